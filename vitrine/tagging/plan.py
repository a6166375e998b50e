"""From what was named on a command line to the jobs of a batch. Reads folders, writes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitrine.config import Config
from vitrine.tagging.frames import TagSettings
from vitrine.tagging.job import TagJob
from vitrine.tagging.page import MANIFEST, video_name

SUFFIXES: Final = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".flv", ".wmv",
)  # fmt: skip
"""What is looked for in folders; other files, and playlists, are to be named themselves."""
REPLAYS: Final = "replays"
"""Folder of the studio's replays, below ``server.data_dir``."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command line asked for.

    Attributes:
        videos: files, folders, addresses.
        out: where documents go: a path without ending for one file, else a folder; None: beside the videos,
            or nowhere when a page is written.
        page: folder for static replays.
        publish: replays for ``vitrine serve``.
        again: also what is done.
    """

    videos: Sequence[str]
    out: Path | None = None
    page: Path | None = None
    publish: bool = False
    again: bool = False


class PlanError(Exception):
    """It cannot be done like that; the message says how it can."""


def plan(wanted: Wanted, config: Config, settings: TagSettings) -> list[TagJob]:
    """The jobs, in order of naming, each folder's files sorted.

    Raises:
        PlanError: a folder without videos, an address without a place to write to.
    """
    alone = len(wanted.videos) == 1 and not Path(wanted.videos[0]).is_dir()
    if wanted.page is not None and wanted.publish:
        raise PlanError("--page and --publish: give one of them")
    if alone and wanted.out is not None and not wanted.out.parent.is_dir():
        raise PlanError(f"--out: {wanted.out.parent}: no such folder")
    jobs: list[TagJob] = []
    names: set[str] = set()
    targets: set[Path] = set()
    for video, relative in _found(wanted.videos):
        name = _unique(replay_name(video), names)
        target = _unique_target(_target(wanted, video, relative, alone), video, targets)
        page = wanted.page
        if wanted.publish:
            page = config.server.data_dir / REPLAYS
        jobs.append(
            TagJob(
                video=video,
                config=config,
                target=target,
                page=None if page is None else page / name,
                static=not wanted.publish,
                settings=settings,
                again=wanted.again,
            )
        )
    return jobs


def replay_name(video: str) -> str:
    """A name that is good in an address, from a path or an address."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", video_name(video)).strip("-_")[:48].lower() or "video"


def _found(videos: Sequence[str]) -> list[tuple[str, Path]]:
    """(video, path relative to the folder it was found in)."""
    found: dict[str, Path] = {}
    for video in videos:
        path = Path(video)
        if "://" in video or not path.is_dir():
            found.setdefault(video, Path(path.name))
            continue
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        files = [file for file in files if not (file.parent / MANIFEST).exists()]  # a replay's own copy
        if not files:
            raise PlanError(f"{video}: no video in this folder; looked for {', '.join(SUFFIXES)}")
        for file in files:
            found.setdefault(str(file), file.relative_to(path))
    return list(found.items())


def _target(wanted: Wanted, video: str, relative: Path, alone: bool) -> Path | None:
    if wanted.out is not None:
        return wanted.out if alone else wanted.out / relative.with_suffix("")
    if wanted.page is not None or wanted.publish:
        return None
    if "://" in video:
        raise PlanError(f"{video}: --out, --page or --publish is needed for an address")
    return Path(video).with_suffix("")


def _unique_target(target: Path | None, video: str, taken: set[Path]) -> Path | None:
    """Of a.mp4 and a.webm side by side the second one's documents bear its whole name."""
    if target is not None and target in taken:
        target = target.with_name(target.name + Path(video).suffix)
    if target is not None:
        taken.add(target)
    return target


def _unique(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free
