from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream.clock import MonotonicClock
from stream.errors import SourceError
from stream.sources.synthetic import SHOW, TRUTH, SyntheticSource, load_ground_truth, show_path
from tests.stream.rig import STREAM, RecordingSink

MUG = {"id": "mug", "object": 1, "box": [0.1, 0.2, 0.3, 0.4], "visibility": 1.0}
TIN = {"id": "tin", "object": 2, "box": [0, 0, 0.1, 0.1], "visibility": 0.5}
CUP = {"id": "", "object": 3, "box": [0.5, 0.5, 0.6, 0.6], "visibility": 1}
FRAMES = [[MUG], [], [MUG, TIN, CUP]]


def truth_file(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "show.gt.json"
    path.write_text(json.dumps({"width": 640, "height": 360, "fps": 25, "frames": FRAMES} | changes))
    return path


def test_truth_is_read(tmp_path: Path) -> None:
    truth = load_ground_truth(truth_file(tmp_path))
    assert truth.products == {"mug", "tin"}
    assert truth.pts_ns == (0, 40_000_000, 80_000_000)
    assert truth.frames[2][1].box == (0.0, 0.0, 0.1, 0.1)


@pytest.mark.parametrize(
    ("at_ms", "index"), [(0, 0), (19, 0), (21, 1), (40, 1), (81, 2), (99, 2), (120, 0), (160, 1), (1200, 0)]
)
def test_frame_on_screen_by_time_over_loops(tmp_path: Path, at_ms: int, index: int) -> None:
    assert load_ground_truth(truth_file(tmp_path)).index(at_ms * 1_000_000) == index


@pytest.mark.parametrize(
    "changes", [{"frames": []}, {"frames": [[["mug", 1]]]}, {"fps": "x"}, {"width": None}]
)
def test_damaged_truth_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(SourceError, match=r"ground truth show.gt.json") as caught:
        load_ground_truth(truth_file(tmp_path, **changes))
    assert caught.value.code == "show-truth"


async def test_another_clip_can_be_played(clip: Path) -> None:
    sink = RecordingSink()
    await SyntheticSource(f"synthetic://{clip}", STREAM, MonotonicClock()).run(sink)
    assert len(sink.frames) == 45


@pytest.mark.skipif(SHOW.exists(), reason="the show is embedded")
def test_missing_show_is_an_error_not_something_else() -> None:
    with pytest.raises(SourceError, match="got no show.mp4") as caught:
        SyntheticSource("synthetic://show", STREAM, MonotonicClock())
    assert caught.value.code == "show-missing"


@pytest.mark.skipif(not TRUTH.exists(), reason="the show is not embedded")
def test_truth_of_the_embedded_show_covers_every_frame() -> None:
    import av

    truth = load_ground_truth()
    with av.open(str(show_path())) as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == (truth.width, truth.height)
        assert sum(1 for packet in container.demux(video) if packet.size) == len(truth.frames)
    assert truth.products
