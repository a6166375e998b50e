"""The embedded show: a clip that comes with the truth about every frame."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream.clock import Clock
from stream.errors import SourceError
from stream.sources.file import FileSource
from stream.types import StreamId

ASSETS = Path(__file__).parent / "assets"
SHOW = ASSETS / "show.mp4"
TRUTH = ASSETS / "show.gt.json"


@dataclass(frozen=True, slots=True)
class TrueBox:
    """An object in a frame, as the show's maker knows it.

    Attributes:
        product_id: id in the show's catalogue, ``""`` for an object that is not in it.
        object: number of the object, the same in every frame.
        box: x0 y0 x1 y1, 0..1 of the picture: its whole extent, covered parts included.
        visibility: share of the object that can be seen, 0..1.
    """

    product_id: str
    object: int
    box: tuple[float, float, float, float]
    visibility: float


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What is really in the show.

    Attributes:
        width: pixels.
        height: pixels.
        pts_ns: time of each frame from the first one.
        frames: boxes of each frame.
    """

    width: int
    height: int
    pts_ns: tuple[int, ...]
    frames: tuple[tuple[TrueBox, ...], ...]

    @property
    def products(self) -> frozenset[str]:
        """Every catalogue product that appears."""
        return frozenset(box.product_id for frame in self.frames for box in frame if box.product_id)

    def index(self, pts_ns: int) -> int:
        """Number of the frame on screen at a time of the show (looping, nearest frame wins)."""
        step_ns = self.pts_ns[1] - self.pts_ns[0] if len(self.pts_ns) > 1 else 1
        at_ns = pts_ns % (self.pts_ns[-1] + step_ns)
        return max(bisect_right(self.pts_ns, at_ns + step_ns // 2) - 1, 0)

    def at(self, pts_ns: int) -> tuple[TrueBox, ...]:
        """Boxes of the frame on screen at a time of the show."""
        return self.frames[self.index(pts_ns)]


def show_path() -> Path:
    """Path of the embedded show.

    Raises:
        SourceError: it is not part of this installation.
    """
    return _asset(SHOW)


def load_ground_truth(path: Path | None = None) -> GroundTruth:
    """The truth about the embedded show.

    Args:
        path: another truth file of the same form.

    Raises:
        SourceError: missing, or not of the expected form.
    """
    path = path or _asset(TRUTH)
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SourceError(
            f"ground truth {path.name}: {type(error).__name__} {error}; expected "
            '{"width", "height", "fps", "frames": [[{"id", "object", "box", "visibility"}, ...], ...]}',
            code="show-truth",
        ) from error


def _asset(path: Path) -> Path:
    if not path.exists():
        raise SourceError(
            f"embedded show: got no {path.name}, expected it beside the package; "
            "reinstall, or give a file instead",
            code="show-missing",
        )
    return path


def _parse(raw: dict[str, Any]) -> GroundTruth:
    frames = tuple(tuple(_box(item) for item in frame) for frame in raw["frames"])
    if not frames:
        raise ValueError("no frames")
    fps = float(raw["fps"])
    pts_ns = tuple(round(n * 1e9 / fps) for n in range(len(frames)))
    return GroundTruth(int(raw["width"]), int(raw["height"]), pts_ns, frames)


def _box(item: dict[str, Any]) -> TrueBox:
    x0, y0, x1, y1 = (float(value) for value in item["box"])
    return TrueBox(str(item["id"]), int(item["object"]), (x0, y0, x1, y1), float(item["visibility"]))


class SyntheticSource(FileSource):
    """Plays the embedded show.

    Args:
        url: `synthetic://show`, or `synthetic:///path/to/clip.mp4` for another clip.
        stream: whose media it will be.
        clock: the one clock.
        loop: begin again at the end.
        epoch: number of this connection.

    Raises:
        SourceError: the show is not part of this installation. Nothing else is played in its place.
    """

    def __init__(
        self, url: str, stream: StreamId, clock: Clock, *, loop: bool = False, epoch: int = 1
    ) -> None:
        path = url.removeprefix("synthetic://")
        found = Path(path) if path.startswith("/") else show_path()
        super().__init__(str(found), stream, clock, loop=loop, epoch=epoch)
