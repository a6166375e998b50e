from __future__ import annotations

import json
import re

import pytest

from inference.types import Box, MatchState
from overlay.messages import Card
from overlay.types import Hotspot
from vitrine.tagging.frames import Cue, Tags
from vitrine.tagging.track import appearances, chapters, heading, to_chapters, to_json, to_webvtt

MUG = Card(0, "mug", "Mug --> blue", "12.00 EUR", "https://shop.example/mug", "products/0.jpg", "Studio")
HAT = Card(0, "hat", "Hat", "9.00 EUR", "", "", "", label="Paid placement by Hats & Co")
CARDS = (MUG, HAT)
S = 1_000_000_000


def spot(product: str, x: float = 0.0, number: int = 1) -> Hotspot:
    return Hotspot(number, 1, product, MatchState.EXACT, Box(x, 0.2, x + 0.2, 0.6))


def tags(*spans: tuple[float, float, str], end: float = 60.0) -> Tags:
    """Cues of a second each for every (from, to, product)."""
    moments = sorted({start + k for start, until, _ in spans for k in range(int(until - start))})
    cues = []
    for at in moments:
        there = [p for start, until, p in spans if start <= at < until]
        found = tuple(spot(product, number=n) for n, product in enumerate(there, 1))
        cues.append(Cue(int(at * S), int((at + 1) * S), found))
    return Tags(tuple(cues), 1800, 600, int(end * S), 10 * S)


def test_the_track_is_webvtt_that_a_parser_accepts() -> None:
    blocks = to_webvtt(tags((0, 2, "mug")), CARDS).strip().split("\n\n")
    assert blocks[0] == "WEBVTT"
    timing = re.compile(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}")
    for block in blocks[1:]:
        identifier, span, text = block.split("\n")
        assert timing.fullmatch(span) and "-->" not in text and "-->" not in identifier
    head = json.loads(blocks[1].split("\n")[2])
    assert head["products"] == [
        {
            "id": "mug",
            "title": "Mug --> blue",
            "price": "12.00 EUR",
            "link": "https://shop.example/mug",
            "image": "products/0.jpg",
            "seller": "Studio",
            "shown": [[0, 2000]],
        }
    ]
    first = json.loads(blocks[2].split("\n")[2])
    box = [0.0, 0.2, 0.2, 0.6]
    assert first == {"pts": 0, "hotspots": [{"id": 1, "product": "mug", "state": "exact", "box": box}]}


def test_disclosure_goes_with_the_product() -> None:
    (product,) = json.loads(to_webvtt(tags((0, 1, "hat")), CARDS).split("\n\n")[1].split("\n")[2])["products"]
    assert product["label"] == "Paid placement by Hats & Co"


def test_frames_are_named_by_the_clock_of_the_file() -> None:
    late = tags((0, 1, "mug")).starting_at(1_466_666_666)
    cue = to_webvtt(late, CARDS).split("\n\n")[2]
    assert "00:00:01.466 --> 00:00:02.466" in cue and '"pts":132000' in cue
    found = to_json(late, CARDS)
    assert (found["start_ms"], found["duration_ms"]) == (1466, 60_000)


def test_the_document_gives_each_hotspot_its_path() -> None:
    found = to_json(tags((0, 3, "mug")), CARDS)
    (entry,) = found["hotspots"] if isinstance(found["hotspots"], list) else [None]
    assert entry is not None
    assert (entry["id"], entry["product_id"], entry["start_ms"], entry["end_ms"]) == (1, "mug", 0, 3000)
    assert entry["boxes"][2] == [2000, 0.0, 0.2, 0.2, 0.6]
    assert json.loads(json.dumps(found)) == found
    assert found["times_real_time"] == 6.0


def test_short_absences_are_bridged_and_long_ones_are_not() -> None:
    shown = appearances(tags((0, 2, "mug"), (5, 6, "mug"), (10, 11, "mug")))
    assert shown == {"mug": ((0, 6 * S), (10 * S, 11 * S))}


def test_a_chapter_begins_with_each_product_that_comes_and_none_overlap() -> None:
    parts = chapters(appearances(tags((0, 20, "mug"), (8, 12, "hat"), (30, 31, "hat"))))
    assert [(p.start_ns // S, p.end_ns // S, p.products) for p in parts] == [
        (0, 8, ("mug",)),
        (8, 12, ("hat",)),
        (30, 31, ("hat",)),
    ]


def test_products_that_come_together_share_a_chapter() -> None:
    (part,) = chapters(appearances(tags((1, 9, "mug"), (2, 5, "hat"))))
    assert (part.start_ns, part.end_ns, part.products) == (S, 9 * S, ("mug", "hat"))


def test_chapters_are_webvtt_with_titles_escaped() -> None:
    text = to_chapters(chapters({"a": ((134 * S, 140 * S),)}), {"a": "Salt & <Pepper>\n--> set"})
    assert text == "WEBVTT\n\n1\n00:02:14.000 --> 00:02:20.000\nSalt &amp; &lt;Pepper&gt; --&gt; set\n"


def test_a_heading_names_three_products() -> None:
    (part,) = chapters({name: ((0, S),) for name in "abcde"})
    assert heading(part, {"a": "Mug"}) == "Mug, b, c and 2 more"


@pytest.mark.parametrize("hours", [3, 27])
def test_hours_are_written_with_two_digits(hours: int) -> None:
    long = Tags((), 1, 1, hours * 3600 * S + 61_001_000_000, 1)
    assert f"00:00:00.000 --> {hours:02d}:01:01.001" in to_webvtt(long, ())
