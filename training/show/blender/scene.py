"""Runs inside Blender: renders the empty shop behind the show. `blender -b -P scene.py -- job.json`.

A wooden counter, a painted wall with two shelves of plants, books and vases, warm lamps; everything behind
the counter is out of focus. Nothing in it is a product.
"""

import json
import math
import os
import random
import sys

import bpy
from mathutils import Vector

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sprites import area, linear, setup  # noqa: E402


def paint(color, rough=0.6, metal=0.0, emission=0.0):
    mat = bpy.data.materials.new("m")
    mat.use_nodes = True
    bsdf = mat.node_tree.nodes["Principled BSDF"]
    bsdf.inputs["Base Color"].default_value = linear(color)
    bsdf.inputs["Roughness"].default_value = rough
    bsdf.inputs["Metallic"].default_value = metal
    if emission:
        bsdf.inputs["Emission"].default_value = linear(color)
        bsdf.inputs["Emission Strength"].default_value = emission
    return mat


def wood(light, dark, scale=1.0, rough=0.35):
    mat = paint(light, rough)
    nodes, links = mat.node_tree.nodes, mat.node_tree.links
    coord, mapping = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = (0.12 * scale, 1.6 * scale, 1.6 * scale)
    noise, wave, ramp = (
        nodes.new("ShaderNodeTexNoise"),
        nodes.new("ShaderNodeTexWave"),
        nodes.new("ShaderNodeValToRGB"),
    )
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 2.2, 8.0
    wave.bands_direction = "Y"
    wave.inputs["Scale"].default_value, wave.inputs["Distortion"].default_value = 1.3, 9.0
    wave.inputs["Detail"].default_value = 4.0
    mix = nodes.new("ShaderNodeMixRGB")
    mix.inputs["Fac"].default_value = 0.5
    links.new(coord.outputs["Object"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], noise.inputs["Vector"])
    links.new(mapping.outputs["Vector"], wave.inputs["Vector"])
    links.new(noise.outputs["Fac"], mix.inputs["Color1"])
    links.new(wave.outputs["Fac"], mix.inputs["Color2"])
    links.new(mix.outputs["Color"], ramp.inputs["Fac"])
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[0].position = linear(dark), 0.25
    ramp.color_ramp.elements[1].color, ramp.color_ramp.elements[1].position = linear(light), 0.75
    links.new(ramp.outputs["Color"], mat.node_tree.nodes["Principled BSDF"].inputs["Base Color"])
    return mat


def cube(low, high, mat, bevel=0.03):
    center = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    bpy.ops.mesh.primitive_cube_add(size=1, location=center)
    obj = bpy.context.object
    obj.scale = [b - a for a, b in zip(low, high, strict=True)]
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
    if bevel:
        mod = obj.modifiers.new("b", "BEVEL")
        mod.width, mod.segments = bevel, 3
    obj.data.materials.append(mat)
    return obj


def turned(profile, at, mat, n=40):
    verts = [
        (r * math.cos(2 * math.pi * k / n), r * math.sin(2 * math.pi * k / n), z)
        for r, z in profile
        for k in range(n)
    ]
    faces = [
        (i * n + k, i * n + (k + 1) % n, (i + 1) * n + (k + 1) % n, (i + 1) * n + k)
        for i in range(len(profile) - 1)
        for k in range(n)
    ]
    mesh = bpy.data.meshes.new("t")
    mesh.from_pydata(verts, [], faces)
    mesh.polygons.foreach_set("use_smooth", [True] * len(faces))
    obj = bpy.data.objects.new("t", mesh)
    obj.location = at
    bpy.context.collection.objects.link(obj)
    mesh.materials.append(mat)
    mod = obj.modifiers.new("s", "SUBSURF")
    mod.render_levels = 2
    return obj


def plant(at, rng, size=1.0, pot="#c7b8a3"):
    x, y, z = at
    turned(
        [
            (0.0, 0.0),
            (0.3 * size, 0.0),
            (0.38 * size, 0.5 * size),
            (0.36 * size, 0.52 * size),
            (0.0, 0.45 * size),
        ],
        at,
        paint(pot, 0.8),
    )
    greens = [paint(c, 0.5) for c in ("#3f6b3a", "#57803f", "#2f5534")]
    for _ in range(34):
        yaw, lean, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 1.25), size * rng.uniform(0.5, 1.1)
        bpy.ops.mesh.primitive_uv_sphere_add(segments=10, ring_count=8, radius=1)
        leaf = bpy.context.object
        leaf.scale = (0.13 * size, 0.02, 0.5 * length)
        leaf.rotation_euler = (0, lean, yaw)
        reach = (
            Vector((math.sin(lean) * math.cos(yaw), math.sin(lean) * math.sin(yaw), math.cos(lean)))
            * length
            * 0.55
        )
        leaf.location = Vector((x, y, z + 0.5 * size)) + reach
        leaf.data.materials.append(rng.choice(greens))


def books(x, y, z, count, rng):
    tones = ("#a8553f", "#d8c9ae", "#42566b", "#7f8c7a", "#c99b52", "#e5ded0", "#5d3d3a")
    for _ in range(count):
        w, h = rng.uniform(0.12, 0.26), rng.uniform(0.95, 1.35)
        cube((x, y - 0.4, z), (x + w, y + 0.4, z + h), paint(rng.choice(tones), 0.7), 0.015)
        x += w + 0.01
    return x


def vase(at, color, rng, size=1.0):
    s = size
    turned(
        [
            (0, 0),
            (0.25 * s, 0),
            (0.42 * s, 0.35 * s),
            (0.3 * s, 0.8 * s),
            (0.14 * s, 1.0 * s),
            (0.18 * s, 1.12 * s),
            (0.1 * s, 1.05 * s),
        ],
        at,
        paint(color, rng.uniform(0.25, 0.7)),
    )


def basket(at, rng, size=1.0):
    turned(
        [
            (0, 0),
            (0.55 * size, 0),
            (0.62 * size, 0.35 * size),
            (0.6 * size, 0.62 * size),
            (0.5 * size, 0.6 * size),
            (0.0, 0.2),
        ],
        at,
        wood("#c9a06a", "#8d6437", 6, 0.9),
    )


def furnish(rng):
    counter = wood("#c99a67", "#9a6a3d", 1.0, 0.32)
    for k in range(4):
        cube((-12, -3.75 + 1.75 * k, -0.3), (12, -2.012 + 1.75 * k, 0.0), counter, 0.02)
    wall_y = 8.0
    cube((-20, wall_y, -6), (20, wall_y + 0.2, 14), paint("#7d9186", 0.85), 0)
    cube((-20, wall_y - 0.12, -6), (20, wall_y, -0.5), paint("#cfc8b8", 0.6), 0.02)
    for k in range(26):
        cube((-13 + k, wall_y - 0.2, -6), (-12.93 + k, wall_y - 0.1, -0.5), paint("#c9c2b1", 0.6), 0.01)
    cube((-20, wall_y - 0.3, -0.5), (20, wall_y, -0.35), wood("#b78654", "#87592f"), 0.02)
    for z in (0.9, 3.6):
        cube((-11, wall_y - 1.3, z - 0.14), (11, wall_y, z), wood("#b78654", "#87592f"), 0.02)
    y = wall_y - 0.7
    x = books(-8.6, y, 0.9, 7, rng)
    vase((x + 0.7, y, 0.9), "#e7dfd2", rng, 1.1)
    plant((-5.0, y, 0.9), rng, 1.1)
    basket((-3.0, y, 0.9), rng, 1.1)
    books(-1.6, y, 0.9, 6, rng)
    vase((0.9, y, 0.9), "#33505f", rng, 1.3)
    vase((1.9, y, 0.9), "#d3a27a", rng, 0.8)
    plant((3.6, y, 0.9), rng, 1.0, "#6f7f78")
    books(5.0, y, 0.9, 8, rng)
    basket((8.2, y, 0.9), rng, 1.2)
    for x, s in ((-7.2, 0.9), (2.4, 1.2), (7.0, 1.0)):
        plant((x, y, 3.6), rng, s)
    for x in (-9.0, -3.2, 2.6, 8.4):
        turned(
            [(0.02, 3.0), (0.03, 0.75), (0.55, 0.15), (0.6, 0.0), (0.5, 0.03)],
            (x, wall_y - 2.4, 2.5),
            paint("#2c2f2e", 0.4, 0.6),
        )
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.22, location=(x, wall_y - 2.4, 2.5))
        bpy.context.object.data.materials.append(paint("#ffdca8", 0.5, 0, 14))
        light = bpy.data.lights.new("lamp", "POINT")
        light.energy, light.color, light.shadow_soft_size = 90, (1.0, 0.82, 0.6), 0.4
        obj = bpy.data.objects.new("lamp", light)
        obj.location = (x, wall_y - 2.4, 2.1)
        bpy.context.collection.objects.link(obj)


def main():
    with open(sys.argv[sys.argv.index("--") + 1]) as file:
        job = json.load(file)
    scene = setup({**job, "lights": []})
    scene.render.film_transparent = False
    scene.render.resolution_x, scene.render.resolution_y = job["width"], job["height"]
    furnish(random.Random(job["seed"]))
    area((-9.0, -9.0, 11.0), (0, 0, 0), (8, 5), 2600, (1.0, 0.96, 0.9))
    area((10.0, -6.0, 6.0), (0, 0, 0), (4, 6), 700, (0.9, 0.95, 1.0))
    area((0.0, 2.0, 12.0), (0, 5.0, 0), (16, 3), 900, (1.0, 0.97, 0.92))
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    bpy.context.collection.objects.link(camera)
    scene.camera = camera
    elevation, distance = math.radians(job["elevation"]), job["distance"]
    tx, ty, tz = job["target"]
    camera.location = (tx, ty - distance * math.cos(elevation), tz + distance * math.sin(elevation))
    camera.rotation_euler = (math.pi / 2 - elevation, 0, 0)
    camera.data.sensor_fit = "HORIZONTAL"
    camera.data.angle = 2 * math.atan(job["half_width"] / distance)
    camera.data.dof.use_dof = True
    camera.data.dof.focus_distance = distance
    camera.data.dof.aperture_fstop = job["fstop"]
    scene.render.image_settings.color_mode = "RGB"
    scene.render.filepath = job["out"]
    bpy.ops.render.render(write_still=True)


main()
