"""One recording to tag, and what became of it: all that travels between a batch and whatever runs it.

Everything here pickles, so that an engine on other machines can take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from vitrine.config import Config
from vitrine.tagging.frames import TagSettings


@dataclass(frozen=True, slots=True)
class TagJob:
    """One recording.

    Attributes:
        video: path, or an address that FFmpeg opens.
        config: models, catalogue, limits. ``server.data_dir`` has to be reachable from where the job runs.
        target: path without ending that the documents are named after; None writes none.
        page: folder of the replay; None writes none.
        static: the replay's folder also gets the page itself, for any web server.
        settings: how thoroughly to look.
        again: also when all of it is there already.
    """

    video: str
    config: Config
    target: Path | None
    page: Path | None = None
    static: bool = False
    settings: TagSettings = field(default_factory=TagSettings)
    again: bool = False


class TagState(StrEnum):
    """What became of a job."""

    TAGGED = "tagged"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TagReport:
    """What became of a job.

    Attributes:
        video: as in the job.
        state: tagged, skipped (everything was there, made from the same) or failed.
        message: why it failed; a remark otherwise, or empty.
        files: written, or found.
        figures: ``frames``, ``detected``, ``hotspots``, ``products``, ``duration_ms``, ``took_ms``.
    """

    video: str
    state: TagState
    message: str = ""
    files: tuple[str, ...] = ()
    figures: Mapping[str, int] = field(default_factory=dict)


OnProgress = Callable[[str, int, int], None]
"""Called with (video, frames done, frames in all or 0)."""


class Executor(Protocol):
    """What runs the jobs of a batch: processes of this machine (`vitrine.tagging.pool`), or an engine."""

    def run(self, jobs: Sequence[TagJob], on_progress: OnProgress) -> Iterator[TagReport]:
        """Run `vitrine.tagging.video.tag_video` on every job and yield its report as soon as it is there.

        Args:
            jobs: in the order they had best be begun.
            on_progress: may be called from the iterating thread, or never.
        """
