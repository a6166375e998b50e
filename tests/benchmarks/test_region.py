from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import region
from benchmarks.harness import plot
from benchmarks.model_parts.pictures import Sample, frame_of, in_corner, show
from benchmarks.report import Report, Row, value_of
from inference.detection import DetectorSettings, load_detector
from inference.runtime import RuntimeSettings
from stream.sources.synthetic import SHOW
from tests.shared import shared_path


def rows(**recall: float) -> list[Row]:
    """A row per clip and way; costs fall from way to way."""
    return [
        {
            "subject": way,
            "clip": name,
            "regions": 40,
            "recall": recall.get(way.replace(", ", "_").replace(" ", "_"), 0.8),
            "cost_ms_per_frame": cost,
        }
        for name in region.clips()
        for way, cost in zip(region.WAYS, (10.0, 6.0, 3.0, 3.2), strict=True)
    ]


def missed(found: list[Row]) -> set[str]:
    return {target.name.split(": ")[1] for target in region._judge(found) if not target.ok}


def test_regions_must_find_as_much_for_less_and_more_of_what_is_small() -> None:
    assert missed(rows(busy_regions=0.9)) == set()
    assert missed(rows(busy_regions=0.82)) == {"recall of regions when busy, ahead of everything"}
    assert missed(rows()) == {"recall of regions when busy, ahead of everything"}
    assert "recall of regions always, ahead of 416" in missed(
        [{**row, "recall": 0.7 if "always" in str(row["subject"]) else 0.8} for row in rows()]
    )
    dear = [{**row, "cost_ms_per_frame": 9.0} for row in rows(busy_regions=0.9)]
    assert missed(dear) == {"cost of regions always, against 416"}


def test_it_draws(tmp_path: Path) -> None:
    plot(region.BENCH, Report("region", {}, "0" * 12, rows(), []), tmp_path / "region.png")
    assert (tmp_path / "region.png").stat().st_size > 4000


@pytest.mark.skipif(not SHOW.exists(), reason="the embedded show is not here")
def test_a_busy_machine_goes_on_where_the_tracks_are() -> None:
    model = shared_path("models/detect/yolox_nano.onnx")
    settings = DetectorSettings(0.1, RuntimeSettings("cpu", 1))
    detector = load_detector(model, rungs=[region.LARGE, region.SMALL], settings=settings)
    samples = []
    for number, sample in enumerate(show(1)):
        if number == region.CALM_FRAMES + 12:
            break
        image = sample.frame.pixels.scaled(640, 360, "rgb")
        larger, moved = in_corner(image, sample.truth, 0, region.LARGER)
        frame = replace(frame_of(larger), pts_ns=number * region.FRAME_NS)
        samples.append(Sample(frame, np.asarray(moved, np.float32)))
    whole, part = (
        asyncio.run(region._follow(way, samples, detector)) for way in ("busy, everything", "busy, regions")
    )
    assert whole["regions"] == 0 and value_of(part, "regions") > 5
    assert value_of(part, "recall") > value_of(whole, "recall")
