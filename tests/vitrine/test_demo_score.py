from __future__ import annotations

from dataclasses import dataclass

from inference.types import Box, MatchState
from overlay.types import Hotspot, HotspotFrame
from stream.types import MediaTime
from tests.fakes.frames import DEMO
from vitrine.demo_score import ShowScore, iou

CUP = (0.1, 0.1, 0.3, 0.3)
JAR = (0.6, 0.6, 0.8, 0.8)


@dataclass(frozen=True)
class Thing:
    product_id: str
    box: tuple[float, float, float, float]
    visibility: float = 1.0


def shown(*spots: tuple[str, tuple[float, float, float, float]], measured: bool = True) -> HotspotFrame:
    hotspots = tuple(
        Hotspot(i, i + 1, product, MatchState.EXACT, Box(*box)) for i, (product, box) in enumerate(spots)
    )
    return HotspotFrame(DEMO, MediaTime(1, 0), measured, hotspots)


def test_iou_of_known_boxes() -> None:
    assert iou(CUP, CUP) == 1.0
    assert iou(CUP, JAR) == 0.0
    assert abs(iou((0, 0, 2, 1), (1, 0, 3, 1)) - 1 / 3) < 1e-9


def test_located_identified_wrong_and_loose_are_told_apart() -> None:
    score = ShowScore([[Thing("cup", CUP), Thing("jar", JAR)]] * 2)
    score.add(0, shown(("cup", CUP), ("cup", JAR), ("jar", (0.0, 0.8, 0.1, 0.9))))
    score.add(1, shown(("cup", CUP)))
    summary = score.summary()
    assert summary["located"] == 0.75
    assert summary["identified"] == 0.5
    assert (summary["right"], summary["wrong"], summary["loose"]) == (0.5, 0.25, 0.25)


def test_an_object_outside_the_catalogue_that_is_named_counts_as_wrong() -> None:
    score = ShowScore([[Thing("", CUP)]])
    score.add(0, shown(("cup", CUP)))
    assert score.summary()["wrong"] == 1.0
    assert score.summary()["not_in_catalogue_but_named"] == 1


def test_covered_products_are_not_asked_for() -> None:
    score = ShowScore([[Thing("cup", CUP, visibility=0.3)]])
    score.add(0, shown())
    assert score.summary()["located"] is None


def test_a_measured_overlay_replaces_a_predicted_one_and_is_not_replaced_by_it() -> None:
    score = ShowScore([[Thing("cup", CUP)]])
    score.add(0, shown(("cup", JAR), measured=False))
    score.add(0, shown(("cup", CUP)))
    score.add(0, shown(("cup", JAR), measured=False))
    assert score.summary()["identified"] == 1.0


def test_products_count_as_identified_after_three_frames() -> None:
    score = ShowScore([[Thing("cup", CUP)]] * 5)
    for number in (2, 3):
        score.add(number, shown(("cup", CUP)))
    assert score.summary()["products_identified"] == 0
    score.add(4, shown(("cup", CUP)))
    summary = score.summary()
    assert summary["products_identified"] == 1
    by_product = summary["by_product"]
    assert isinstance(by_product, dict)
    assert by_product["cup"]["first_identified_frame"] == 2


def test_a_mistake_that_stands_for_many_frames_is_one_wrong_identity() -> None:
    score = ShowScore([[Thing("cup", CUP), Thing("", JAR)]] * 10)
    for number in range(10):
        score.add(number, shown(("jar", CUP), ("cup", JAR)))
    summary = score.summary()
    assert summary["wrong"] == 1.0
    assert summary["wrong_identities"] == 2
    assert summary["not_in_catalogue_visible"] == summary["not_in_catalogue_but_named"] == 10
    assert summary["not_in_catalogue_hotspots"] == 1


def test_a_product_is_first_visible_when_enough_of_it_is_seen() -> None:
    score = ShowScore([[Thing("cup", CUP, 0.2)], [Thing("cup", CUP)], [Thing("cup", CUP)]])
    score.add(0, shown(("cup", CUP)))
    score.add(1, shown())
    score.add(2, shown(("cup", CUP)))
    by_product = score.summary()["by_product"]
    assert isinstance(by_product, dict)
    assert (by_product["cup"]["first_visible_frame"], by_product["cup"]["first_identified_frame"]) == (1, 2)
