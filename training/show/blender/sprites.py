"""Runs inside Blender: renders turntable views of products. `blender -b -P sprites.py -- job.json`.

The job is written by training.show.sprites: products with their parts (ring files), views and light.
Existing pictures are kept, so an interrupted run goes on where it stopped.
"""

import json
import math
import os
import sys
from array import array

import bpy
from mathutils import Vector


def linear(hex_color):
    out = []
    for i in (1, 3, 5):
        c = int(hex_color[i : i + 2], 16) / 255
        out.append(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
    return (*out, 1.0)


def material(part):
    mat = bpy.data.materials.new("m")
    mat.use_nodes = True
    nodes, links = mat.node_tree.nodes, mat.node_tree.links
    bsdf = nodes["Principled BSDF"]
    bsdf.inputs["Base Color"].default_value = linear(part["color"])
    bsdf.inputs["Roughness"].default_value = part["rough"]
    bsdf.inputs["Metallic"].default_value = part["metal"]
    bsdf.inputs["Clearcoat"].default_value = part["coat"]
    bsdf.inputs["Clearcoat Roughness"].default_value = 0.08
    if part.get("skin"):
        coord = nodes.new("ShaderNodeTexCoord")
        blotch, mix = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeMixRGB")
        blotch.inputs["Scale"].default_value, blotch.inputs["Detail"].default_value = 3.5, 6.0
        mix.inputs["Color1"].default_value, mix.inputs["Color2"].default_value = (
            linear("#d39a78"),
            linear("#bd6f54"),
        )
        links.new(coord.outputs["Object"], blotch.inputs["Vector"])
        links.new(blotch.outputs["Fac"], mix.inputs["Fac"])
        links.new(mix.outputs["Color"], bsdf.inputs["Base Color"])
        crease, bump = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeBump")
        crease.inputs["Scale"].default_value, crease.inputs["Detail"].default_value = 16.0, 6.0
        bump.inputs["Strength"].default_value, bump.inputs["Distance"].default_value = 0.25, 0.04
        links.new(coord.outputs["Object"], crease.inputs["Vector"])
        links.new(crease.outputs["Fac"], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], bsdf.inputs["Normal"])
    if part.get("texture"):
        tex = nodes.new("ShaderNodeTexImage")
        tex.image = bpy.data.images.load(part["texture"])
        tex.image.alpha_mode = "CHANNEL_PACKED"
        links.new(tex.outputs["Color"], bsdf.inputs["Base Color"])
        mix = nodes.new("ShaderNodeMapRange")
        mix.inputs["To Min"].default_value = part["rough"]
        mix.inputs["To Max"].default_value = part["paper_rough"]
        links.new(tex.outputs["Alpha"], mix.inputs["Value"])
        links.new(mix.outputs["Result"], bsdf.inputs["Roughness"])
        less = nodes.new("ShaderNodeMapRange")
        less.inputs["To Min"].default_value = part["coat"]
        less.inputs["To Max"].default_value = part["coat"] * 0.2
        links.new(tex.outputs["Alpha"], less.inputs["Value"])
        links.new(less.outputs["Result"], bsdf.inputs["Clearcoat"])
    if part["grain"] > 0:
        noise = nodes.new("ShaderNodeTexNoise")
        noise.inputs["Scale"].default_value = part.get("grain_scale", 38.0)
        noise.inputs["Detail"].default_value = 4.0
        bump = nodes.new("ShaderNodeBump")
        bump.inputs["Strength"].default_value = 0.25 * part["grain"]
        bump.inputs["Distance"].default_value = 0.02
        coord = nodes.new("ShaderNodeTexCoord")
        links.new(coord.outputs["Object"], noise.inputs["Vector"])
        links.new(noise.outputs["Fac"], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], bsdf.inputs["Normal"])
    return mat


def build_part(part, parent):
    m, n = part["shape"]
    flat = array("f")
    with open(part["rings"], "rb") as file:
        flat.frombytes(file.read())
    verts = [tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)]
    rows = [verts[i * n : (i + 1) * n] for i in range(m)]
    faces, uvs = [], []
    mean_z = [sum(v[2] for v in row) / n for row in rows]
    low, high = min(mean_z), max(mean_z)
    v_of = [(z - low) / max(1e-9, high - low) for z in mean_z]
    for i in range(m - 1):
        for k in range(n):
            j = (k + 1) % n
            faces.append((i * n + k, i * n + j, (i + 1) * n + j, (i + 1) * n + k))
            uvs += [
                (k / n, v_of[i]),
                ((k + 1) / n, v_of[i]),
                ((k + 1) / n, v_of[i + 1]),
                (k / n, v_of[i + 1]),
            ]
    for row, order in ((0, -1), (m - 1, 1)):
        if part["caps"] and math.dist(verts[row * n], verts[row * n + n // 2]) > 1e-3:
            faces.append(tuple(row * n + k for k in range(n))[::order])
            uvs += [(0.02, 0.001 if row == 0 else 0.999)] * n
    mesh = bpy.data.meshes.new("p")
    mesh.from_pydata(verts, [], faces)
    layer = mesh.uv_layers.new()
    layer.data.foreach_set("uv", [c for uv in uvs for c in uv])
    mesh.polygons.foreach_set("use_smooth", [True] * len(faces))
    mesh.use_auto_smooth = True
    mesh.auto_smooth_angle = math.radians(38)
    mesh.update()
    obj = bpy.data.objects.new("part", mesh)
    bpy.context.collection.objects.link(obj)
    obj.data.materials.append(material(part))
    obj.parent = parent
    if part.get("proxy"):
        obj.visible_camera = False
    return obj


def fuse(objects, voxel):
    """One skin from several limbs."""
    for obj in bpy.context.selected_objects:
        obj.select_set(False)
    for obj in objects:
        obj.select_set(True)
    bpy.context.view_layer.objects.active = objects[0]
    bpy.ops.object.join()
    joined = objects[0]
    remesh = joined.modifiers.new("r", "REMESH")
    remesh.mode, remesh.voxel_size, remesh.use_smooth_shade = "VOXEL", voxel, True
    smooth = joined.modifiers.new("s", "SMOOTH")
    smooth.factor, smooth.iterations = 0.5, 10
    return joined


def area(location, target, size, power, color=(1, 1, 1)):
    light = bpy.data.lights.new("a", "AREA")
    light.shape, light.size, light.energy, light.color = "RECTANGLE", size[0], power, color
    light.size_y = size[1]
    obj = bpy.data.objects.new("a", light)
    obj.location = location
    direction = Vector(target) - Vector(location)
    obj.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()
    bpy.context.collection.objects.link(obj)
    return obj


def setup(job):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.samples = job["samples"]
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.03
    cycles.use_denoising = False
    cycles.max_bounces = 4
    cycles.glossy_bounces = 2
    cycles.diffuse_bounces = 2
    cycles.sample_clamp_indirect = 3.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.seed = job.get("seed", 0)
    scene.render.use_persistent_data = True
    scene.render.film_transparent = True
    scene.render.threads_mode = "FIXED"
    scene.render.threads = job.get("threads", 2)
    scene.render.resolution_x = scene.render.resolution_y = job["size"]
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.compression = 30
    scene.view_settings.view_transform = "Filmic"
    scene.view_settings.look = job.get("look", "Medium High Contrast")
    scene.view_settings.exposure = job.get("exposure", 0.0)
    world = bpy.data.worlds.new("w")
    scene.world = world
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    background = nodes["Background"]
    ramp = nodes.new("ShaderNodeValToRGB")
    for element, color in zip(ramp.color_ramp.elements, job["world"], strict=True):
        element.color = (*color, 1)
    coord, split, spread = (
        nodes.new("ShaderNodeTexCoord"),
        nodes.new("ShaderNodeSeparateXYZ"),
        nodes.new("ShaderNodeMapRange"),
    )
    spread.inputs["From Min"].default_value = -1
    links.new(coord.outputs["Generated"], split.inputs["Vector"])
    links.new(split.outputs["Z"], spread.inputs["Value"])
    links.new(spread.outputs["Result"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], background.inputs["Color"])
    background.inputs["Strength"].default_value = job.get("world_strength", 1.0)
    for light in job["lights"]:
        area(light["at"], (0, 0, 0.7), light["size"], light["power"], light.get("color", (1, 1, 1)))
    return scene


def render_product(scene, camera, job, product):
    root = bpy.data.objects.new("root", None)
    bpy.context.collection.objects.link(root)
    parts = [build_part(part, root) for part in product["parts"] if not part.get("fuse")]
    limbs = [build_part(part, root) for part in product["parts"] if part.get("fuse")]
    if limbs:
        parts.append(fuse(limbs, product["voxel"]))
    cz, half = product["center_z"], product["half"]
    camera.data.ortho_scale = 1.0
    distance = job.get("distance", 9.0)
    camera.data.angle = 2 * math.atan(half / distance)
    for view in product["views"]:
        path = os.path.join(product["out"], view["name"] + ".png")
        if os.path.exists(path):
            continue
        elevation = math.radians(view["elevation"])
        camera.data.clip_end = distance - view["front"] if "front" in view else 100.0
        camera.location = (
            product.get("center_x", 0.0),
            -distance * math.cos(elevation),
            cz + distance * math.sin(elevation),
        )
        camera.rotation_euler = (math.pi / 2 - elevation, math.radians(view.get("roll", 0.0)), 0)
        root.rotation_euler = (math.radians(view.get("tilt", 0.0)), 0, math.radians(view["yaw"]))
        scene.render.filepath = path + ".part.png"
        bpy.ops.render.render(write_still=True)
        os.replace(path + ".part.png", path)
    for obj in [*parts, root]:
        bpy.data.objects.remove(obj, do_unlink=True)


def main():
    with open(sys.argv[sys.argv.index("--") + 1]) as file:
        job = json.load(file)
    scene = setup(job)
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    bpy.context.collection.objects.link(camera)
    scene.camera = camera
    for product in job["products"]:
        os.makedirs(product["out"], exist_ok=True)
        render_product(scene, camera, job, product)
        print("done", product["out"], flush=True)


if __name__ == "__main__":
    main()
