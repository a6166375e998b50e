from __future__ import annotations

from collections.abc import Iterator

import pytest

from inference.device import DeviceWorker
from inference.types import UNMATCHED, Box, FrameResult, Match, MatchState, Outcome, Plan, Rung, Track
from overlay.types import Product
from stream.types import Frame
from tests.fakes.frames import frame
from vitrine.tagging.frames import Tags, TagSettings, tag_frames

MUG = Product("mug", "Mug --> blue", "12.00 EUR", "https://shop.example/mug", "mug.jpg", seller="Studio")
HAT = Product("hat", "Hat", "9.00 EUR", "https://shop.example/hat", "hat.jpg")
SURE = Match("mug", MatchState.EXACT, 0.9, 0.3, 3, "seen from 3 views")


class Walker:
    """A worker that sees one object walk to the right, and is sure of its product from frame 12 on."""

    def __init__(self, sure_from: int = 12, label: str = "product") -> None:
        self.plans: list[Plan] = []
        self.coasted = 0
        self._sure_from, self._label = sure_from, label

    async def process(self, frame: Frame, plan: Plan) -> FrameResult:
        self.plans.append(plan)
        return self._result(frame, Outcome.DETECTED)

    def coast(self, frame: Frame) -> FrameResult:
        self.coasted += 1
        return self._result(frame, Outcome.COASTED)

    def region(self, frame: Frame) -> Box | None:
        return None

    def _result(self, frame: Frame, outcome: Outcome) -> FrameResult:
        number = round(frame.pts_ns * 30 / 1e9)
        match = SURE if number >= self._sure_from else UNMATCHED
        box = Box(number / 100, 0.2, number / 100 + 0.2, 0.6)
        track = Track(1, box, (0.3, 0.0, 0.3, 0.0), self._label, 0.9, frame.pts_ns, True, match)
        return FrameResult(frame.stream, frame.time, frame.pts_ns, 0, outcome, (track,))


async def tagged(worker: Walker, products: tuple[Product, ...] = (MUG, HAT), count: int = 30) -> Tags:
    device = DeviceWorker("test")
    try:
        return await tag_frames(
            (frame(number) for number in range(count)),
            worker=worker,
            device=device,
            rung=Rung(64, 64),
            products=products,
            settings=TagSettings(every=3, sample_ms=100),
        )
    finally:
        await device.close()


async def test_every_third_frame_is_detected_and_the_others_followed() -> None:
    worker = Walker()
    tags = await tagged(worker, count=31)
    assert (tags.frames, tags.detected, len(worker.plans), worker.coasted) == (31, 11, 11, 20)
    assert worker.plans[0].rung == Rung(64, 64) and worker.plans[0].detect


async def test_cues_follow_one_another_without_gaps() -> None:
    tags = await tagged(Walker())
    assert [round(cue.start_ns / 1e6) for cue in tags.cues] == [
        0,
        100,
        200,
        300,
        400,
        500,
        600,
        700,
        800,
        900,
    ]
    assert all(cue.end_ns == after.start_ns for cue, after in zip(tags.cues, tags.cues[1:], strict=False))
    assert tags.cues[-1].end_ns == tags.end_ns == pytest.approx(1e9, rel=0.001)


async def test_a_product_known_later_is_known_from_the_beginning() -> None:
    tags = await tagged(Walker(sure_from=25))
    assert {spot.product_id for cue in tags.cues for spot in cue.hotspots} == {"mug"}
    assert tags.cues[0].hotspots[0].state is MatchState.EXACT
    assert tags.cues[0].hotspots[0].box.x0 == 0.0


async def test_an_object_that_is_never_known_is_left_out() -> None:
    assert (await tagged(Walker(sure_from=1000))).cues == ()


async def test_without_a_catalogue_every_object_is_written_down() -> None:
    tags = await tagged(Walker(sure_from=1000), products=())
    assert len(tags.cues) == 10 and tags.cues[0].hotspots[0].product_id == ""


async def test_people_are_never_tagged() -> None:
    assert (await tagged(Walker(label="person"), products=())).cues == ()


async def test_progress_is_told_and_an_empty_video_is_no_error() -> None:
    device, told = DeviceWorker("test"), list[int]()
    frames: Iterator[Frame] = (frame(number) for number in range(7))
    await tag_frames(
        frames, worker=Walker(), device=device, rung=Rung(64, 64), products=(), on_progress=told.append
    )
    empty = await tag_frames(iter(()), worker=Walker(), device=device, rung=Rung(64, 64), products=())
    await device.close()
    assert told == [3, 6, 7]
    assert (empty.frames, empty.cues, empty.end_ns) == (0, (), 0)
