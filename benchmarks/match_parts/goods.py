"""Goods with catalogue pictures and many views: groceries photographed in shops, and the rendered show."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.harness import CannotRun
from benchmarks.model_parts.finders import finders
from benchmarks.model_parts.pictures import Picture, clip, frame_of, shared
from benchmarks.model_parts.retrieval import NEVER_TRAINED_ON, cut, picture
from inference.prominence import rank
from overlay.catalog.pictures import PictureLimits, decode_picture
from stream.sources.synthetic import SHOW, load_ground_truth
from vitrine.demo import CATALOGUE

SEEN = 0.6
"""An object of the show is looked at where at least this share of it is in sight."""


@dataclass(frozen=True, slots=True, eq=False)
class Article:
    """One article.

    Attributes:
        name: of it.
        family: what look-alikes have in common ("Milk").
        shelf: its catalogue pictures, RGB; none for one that is in no catalogue.
        views: how it was seen, RGB crops; of a video in order of time.
        unseen: the embedded embedder was never trained on it.
    """

    name: str
    family: str
    shelf: tuple[Picture, ...]
    views: tuple[Picture, ...]
    unseen: bool


def groceries(kind: str, most: int) -> list[Article]:
    """Articles of a kind (``"package"``, ``"produce"``), at most so many photos of each, spread over all.

    Packages are cut out along the box drawn by hand where there is one, else along the most prominent box of
    the embedded detector, as live video is; produce lies in heaps and is taken whole.

    Raises:
        CannotRun: the photos are not there.
    """
    with shared("grocery/dev/catalogue.csv").open(newline="", encoding="utf-8") as file:
        listed = [row for row in csv.DictReader(file) if row["kind"] == kind]
    photos: dict[str, list[dict[str, str]]] = defaultdict(list)
    with shared("grocery/dev/wild.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            photos[row["sku_id"]].append(row)
    return [
        Article(
            row["name"],
            row["coarse"],
            (picture(row["iconic_image"]),),
            tuple(_seen(photo, kind) for photo in _some(photos[row["sku_id"]], most)),
            row["sku_id"] in NEVER_TRAINED_ON,
        )
        for row in listed
    ]


def _some(photos: list[dict[str, str]], most: int) -> list[dict[str, str]]:
    """Those with a box first, then evenly among the others; each file once."""
    once = list({row["image"]: row for row in photos}.values())
    boxed = [row for row in once if row["x0"]][:most]
    others = [row for row in once if not row["x0"]]
    picked = np.linspace(0, len(others) - 1, min(most - len(boxed), len(others))).astype(int)
    return [*boxed, *(others[number] for number in np.unique(picked))]


def _seen(row: dict[str, str], kind: str) -> Picture:
    image = picture(row["image"])
    if row["x0"]:
        return cut(image, tuple(float(row[key]) for key in ("x0", "y0", "x1", "y1")))
    if kind == "produce":
        return image
    boxes, scores = finders()[0].find(frame_of(image))
    if not len(boxes):
        return image
    height, width = image.shape[:2]
    return cut(image, tuple(boxes[rank(boxes, scores)[0]] * np.array((width, height) * 2, np.float32)))


def show(every: int) -> list[Article]:
    """The rendered show's objects along their tracks, one view every `every` pictures, by their true boxes.

    Its products were trained on; what is in no catalogue was not.

    Raises:
        CannotRun: it is not in this checkout.
    """
    if not SHOW.exists():
        raise CannotRun("the embedded show is not here")
    views: dict[tuple[str, int], list[Picture]] = defaultdict(list)
    truth = load_ground_truth().frames
    for number, frame in clip(SHOW, every):
        for one in truth[number] if number < len(truth) else ():
            if one.visibility >= SEEN:
                views[one.product_id, one.object].append(_crop(frame.pixels.rgb(), one.box))
    shelf = dict(_catalogue())
    return [
        Article(name or f"object {number}", name, shelf.get(name, ()), tuple(seen), not name)
        for (name, number), seen in sorted(views.items())
    ]


def _crop(image: Picture, box: tuple[float, float, float, float]) -> Picture:
    height, width = image.shape[:2]
    return cut(image, (box[0] * width, box[1] * height, box[2] * width, box[3] * height)).copy()


def _catalogue() -> Iterator[tuple[str, tuple[Picture, ...]]]:
    for line in CATALOGUE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        links = [row["image_link"], *row.get("additional_image_link", ())]
        read = [decode_picture((CATALOGUE.parent / link).read_bytes(), PictureLimits()) for link in links]
        yield row["id"], tuple(read)
