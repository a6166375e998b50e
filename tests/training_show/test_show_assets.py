from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import av
import msgspec
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "stream" / "sources" / "assets"
DEMO = ROOT / "overlay" / "catalog" / "demo"
TWINS = ("lumen-serum-c", "lumen-serum-h")


class Seen(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    object: int
    box: tuple[float, float, float, float]
    visibility: float


class Truth(msgspec.Struct, forbid_unknown_fields=True):
    fps: int
    width: int
    height: int
    seed: int
    products: list[str]
    frames: list[list[Seen]]


class Row(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    title: str
    description: str
    link: str
    image_link: str
    additional_image_link: list[str]
    availability: str
    price: str
    brand: str
    condition: str
    color: str
    google_product_category: str
    seller: str
    placement: str


@pytest.fixture(scope="module")
def truth() -> Truth:
    return msgspec.json.decode((ASSETS / "show.gt.json").read_bytes(), type=Truth)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    text = (DEMO / "products.jsonl").read_text(encoding="utf-8")
    return [msgspec.json.decode(line, type=Row) for line in text.splitlines()]


@pytest.fixture(scope="module")
def packets() -> list[tuple[int, int, bool]]:
    with av.open(str(ASSETS / "show.mp4")) as container:
        found = [
            (p.pts, p.dts, p.is_keyframe)
            for p in container.demux(video=0)
            if p.pts is not None and p.dts is not None
        ]
    return found


def test_show_is_720p30_baseline_and_small() -> None:
    path = ASSETS / "show.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (1280, 720)
        assert float(stream.average_rate or 0) == 30.0
        assert stream.codec_context.name == "h264"
        assert "Baseline" in str(stream.profile)
        assert stream.pix_fmt == "yuv420p"
        assert len(container.streams) == 1
    assert path.stat().st_size <= 6_000_000


def test_show_decodes_from_first_to_last_frame(truth: Truth) -> None:
    with av.open(str(ASSETS / "show.mp4")) as container:
        container.streams.video[0].thread_type = "AUTO"
        count = sum(1 for _ in container.decode(video=0))
    assert count == len(truth.frames)
    assert count >= 25 * truth.fps


def test_packets_are_in_display_order_with_frequent_key_frames(packets: list[tuple[int, int, bool]]) -> None:
    assert all(pts == dts for pts, dts, _ in packets)
    keys = [index for index, (_, _, key) in enumerate(packets) if key]
    assert keys[0] == 0
    assert max(b - a for a, b in pairwise([*keys, len(packets)])) <= 60


def test_truth_is_consistent(truth: Truth, rows: list[Row]) -> None:
    assert (truth.fps, truth.width, truth.height) == (30, 1280, 720)
    assert (ASSETS / "show.gt.json").stat().st_size <= 700_000
    known = {row.id for row in rows}
    assert set(truth.products) == known
    for seen in (s for frame in truth.frames for s in frame):
        x0, y0, x1, y1 = seen.box
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        assert 0 <= seen.visibility <= 1
        assert seen.id in known or seen.id == ""
    for frame in truth.frames:
        objects = [s.object for s in frame]
        assert len(objects) == len(set(objects))


def test_an_object_keeps_its_identity(truth: Truth) -> None:
    names: dict[int, set[str]] = {}
    for seen in (s for frame in truth.frames for s in frame):
        names.setdefault(seen.object, set()).add(seen.id)
    assert all(len(ids) == 1 for ids in names.values())


def test_boxes_move_smoothly(truth: Truth) -> None:
    for before, after in pairwise(truth.frames):
        last = {s.object: s.box for s in before}
        for seen in after:
            if seen.object in last and seen.visibility > 0.2:
                assert max(abs(a - b) for a, b in zip(last[seen.object], seen.box, strict=True)) < 0.06


def test_eight_products_are_seen_well_and_one_of_them_gets_covered(truth: Truth) -> None:
    clear = {s.id for frame in truth.frames for s in frame if s.id and s.visibility > 0.9}
    assert len(clear) >= 8
    inside = [s for frame in truth.frames for s in frame if s.box[0] > 0 and s.box[2] < 1 and s.box[3] < 1]
    assert any(s.visibility < 0.5 for s in inside)


def test_something_that_is_not_for_sale_is_shown(truth: Truth) -> None:
    unknown = [s for frame in truth.frames for s in frame if s.id == "" and s.visibility > 0.6]
    assert len(unknown) > 3 * truth.fps


def test_look_alikes_stand_side_by_side(truth: Truth, rows: list[Row]) -> None:
    both = [f for f in truth.frames if {s.id for s in f if s.visibility > 0.8} >= set(TWINS)]
    assert len(both) > 3 * truth.fps
    assert set(TWINS) <= {row.id for row in rows}


def test_catalogue_rows_are_merchant_rows_with_pictures(rows: list[Row]) -> None:
    assert len(rows) >= 8
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert len(row.id) <= 50
        assert row.link.startswith("https://shop.example/")
        assert row.price.endswith(" EUR") and float(row.price.removesuffix(" EUR")) > 0
        assert 1 <= len(row.additional_image_link) <= 3
        for name in (row.image_link, *row.additional_image_link):
            path = DEMO / name
            assert path.stat().st_size <= 40_000
            with Image.open(path) as picture:
                picture.load()
                assert min(picture.size) >= 300


def test_catalogue_is_small() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) <= 1_000_000


def test_truth_file_is_plain_json() -> None:
    assert isinstance(json.loads((ASSETS / "show.gt.json").read_text()), dict)
