"""Render the embedded show: `python -m training.show --stage all`.

Needs Blender 3.4 or newer on PATH (Debian: apt install blender) and the project's own dependencies.
On two CPU cores the plate takes 10 minutes, the show's sprites 10, the catalogue 2, composing 12
and encoding 2; the training turntables take another 15. Pictures that exist are kept, so an interrupted run
goes on where it stopped. The same seed gives the same pictures with the same Blender.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import Progress

from training.show import catalogue, encode, extras, plates, script, sprites, views
from training.show.camera import FPS, HEIGHT, WIDTH
from training.show.compose import frame
from training.show.hand import grip, open_hand
from training.show.products import PRODUCTS
from training.show.stock import Stock

STAGES = ("plates", "sprites", "compose", "encode", "sheet", "catalogue")
HAND_FRAME = (1.9, -1.5, 2.9)
CHUNK = 57


def _hands() -> list[sprites.Request]:
    held, flat = grip(0.36), open_hand(0.15, 0.25)
    front = sprites.View("front", 5, 0, front=0.0)
    full = sprites.View("full", 5, 0)
    return [
        sprites.Request("grip", held.parts, [full, front], held.skin, held.proxies, HAND_FRAME),
        sprites.Request("open", flat.parts, [full], flat.skin, flat.proxies, HAND_FRAME),
    ]


def compose_part(cache: Path, first: int, last: int) -> int:
    """Compose frames first..last-1 into cache/parts/<first>.mkv and their ground truth into <first>.json."""
    stock = Stock(cache / "views", cache / "hands", plates.plate(cache / "plate.png"))
    truth = []
    with encode.intermediate(cache / "parts" / f"{first:05d}.mkv") as pipe:
        for index in range(first, last):
            picture, seen = frame(stock, index)
            pipe.write(picture.tobytes())
            truth.append(
                [{"id": s.id, "object": s.object, "box": s.box, "visibility": s.visibility} for s in seen]
            )
    (cache / "parts" / f"{first:05d}.json").write_text(json.dumps(truth))
    return last - first


def compose(cache: Path, seed: int, progress: Progress, workers: int) -> None:
    """Compose every frame that is not there yet into cache/parts; writes cache/show.gt.json."""
    plates.plate(cache / "plate.png")
    parts = cache / "parts"
    parts.mkdir(exist_ok=True)
    total = round(script.DURATION_S * FPS)
    starts = range(0, total, CHUNK)
    task = progress.add_task("compose", total=total)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(compose_part, cache, s, min(total, s + CHUNK))
            for s in starts
            if not (parts / f"{s:05d}.json").exists()
        ]
        progress.advance(task, total - CHUNK * len(jobs))
        for job in as_completed(jobs):
            progress.advance(task, job.result())
    frames = [seen for start in starts for seen in json.loads((parts / f"{start:05d}.json").read_text())]
    head = {
        "fps": FPS,
        "width": WIDTH,
        "height": HEIGHT,
        "seed": seed,
        "products": [p.id for p in PRODUCTS if p.sold],
    }
    text = json.dumps({**head, "frames": frames}, separators=(",", ":"))
    (cache / "show.gt.json").write_text(text + "\n")


def run(stage: str, cache: Path, out: Path, seed: int, workers: int, progress: Progress) -> None:
    """One stage."""
    if stage == "plates":
        plates.render_plate(cache, seed)
    elif stage == "sprites":
        sprites.render(_hands(), cache / "hands", sprites.SHOW_LIGHT, 900, 24, seed)
        sprites.render(views.show_views(), cache / "views", sprites.SHOW_LIGHT, 512, 20, seed)
    elif stage == "turntables":
        sprites.render(views.turntables(), cache.parent / "sprites", sprites.SHOW_LIGHT, 384, 24, seed)
    elif stage == "extras":
        sprites.render(
            extras.extra_views(seed), cache.parent / "sprites-extra", sprites.SHOW_LIGHT, 288, 16, seed
        )
    elif stage == "compose":
        compose(cache, seed, progress, workers)
    elif stage == "encode":
        assets = out / "stream" / "sources" / "assets"
        assets.mkdir(parents=True, exist_ok=True)
        encode.encode(sorted((cache / "parts").glob("*.mkv")), assets / "show.mp4")
        (assets / "show.gt.json").write_text((cache / "show.gt.json").read_text())
    elif stage == "sheet":
        video = out / "stream" / "sources" / "assets" / "show.mp4"
        encode.sheet(video, round(script.DURATION_S * FPS), cache / "sheet.jpg")
    elif stage == "catalogue":
        sprites.render(catalogue.photo_views(), cache / "photos", sprites.SHOP_LIGHT, 480, 24, seed)
        catalogue.write(cache / "photos", out / "overlay" / "catalog" / "demo")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.show",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--stage",
        choices=(*STAGES, "turntables", "extras", "all"),
        default="all",
        help="all: everything but what training alone needs",
    )
    parser.add_argument("--seed", type=int, default=3, help="seed of the decoration and of the render noise")
    parser.add_argument(
        "--out", type=Path, default=Path("."), help="repository root the shipped files are written under"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".cache/show"), help="folder for everything that is not shipped"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that compose frames")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        stages = STAGES if options.stage == "all" else (options.stage,)
        task = progress.add_task("stages", total=len(stages))
        for stage in stages:
            progress.update(task, description=stage)
            run(stage, options.cache, options.out, options.seed, options.workers, progress)
            progress.advance(task)


if __name__ == "__main__":
    main()
