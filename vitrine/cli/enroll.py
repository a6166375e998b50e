"""``vitrine catalog enroll``: a product learned from being shown, in a recording or a live stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.options import (
    ConfigOption,
    DataDirOption,
    DetectorOption,
    EmbedderOption,
    JsonOption,
    ProviderOption,
    configure,
)
from vitrine.cli.output import Exit, epilog, note, out, print_json, progress, usage_error

if TYPE_CHECKING:
    from inference.apart import Verdict
    from overlay.catalog.store import CatalogStore
    from vitrine.config import Config
    from vitrine.enrolling import Enrolling
    from vitrine.recognition import Recognition

EPILOG = epilog(
    ("vitrine catalog enroll mug-01 --video mug.mp4", "somebody turns the mug in front of a camera"),
    ("vitrine catalog enroll mug-01 --source rtsp://cam.local/1", "from a camera, for ten seconds"),
    ("vitrine catalog enroll mug-01 --source whep://localhost:8080/whep/demo", "from a host's live stream"),
    ("vitrine catalog enroll mug-01 --video mug.mp4 --dry-run", "say what it is worth, keep nothing"),
    ("vitrine catalog enroll mug-01 --forget", "take back all that was taught of it"),
)
SECONDS = 10.0
TOLD = ("apart", "mostly")
"""Verdicts (`inference.apart.Telling`) that are good enough."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What is asked for. `keep`: the verdicts with which the views are kept."""

    product_id: str
    url: str
    recorded: bool
    seconds: float | None
    keep: frozenset[str]
    quiet: bool


def enroll(
    product_id: Annotated[
        str, typer.Argument(help="Catalogue id of the product that is shown.", metavar="ID")
    ],
    video: Annotated[
        Path | None, typer.Option("--video", help="A recording in which it is shown.", metavar="FILE")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="A live address: rtsp, whep, ... .", metavar="URL")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="How long to look. Default: 10 s of a live address, all of a recording.", min=1),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge the views, keep nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Keep the views even where it cannot be told from others.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Take back what was taught of it.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    detector: DetectorOption = None,
    embedder: EmbedderOption = None,
    provider: ProviderOption = None,
) -> None:
    """Learn a product from being shown: sharp views of all sides become references of it.

    Says which other products it may be taken for, and whether it can be told from them. Where it cannot (or
    another product was shown), nothing is kept and the exit code is 1. What is kept stays when the feed is
    imported again.
    """
    loaded = configure(
        config,
        server__data_dir=data_dir,
        inference__detector=detector,
        inference__embedder=embedder,
        inference__provider=provider,
    )
    if forget:
        _forget(loaded, product_id, as_json)
        return
    if (video is None) == (source is None):
        raise usage_error("give either --video FILE or --source URL")
    if video is not None and not video.is_file():
        raise usage_error(f"--video {video}: no such file")
    keep = frozenset[str]() if dry_run else frozenset({*TOLD, *(("not",) if force else ())})
    job = _Job(product_id, source or str(video), video is not None, seconds, keep, as_json)
    verdict, kept, words = asyncio.run(_enroll(loaded, job))
    _tell(product_id, verdict, kept, words, as_json)
    raise typer.Exit(Exit.OK if verdict.telling in TOLD else Exit.FAILED)


def _tell(product_id: str, verdict: Verdict, kept: int, words: str, as_json: bool) -> None:
    if as_json:
        from msgspec import to_builtins

        print_json({"product_id": product_id, **to_builtins(verdict), "kept": kept, "words": words})
    else:
        out().print(words, soft_wrap=True, highlight=False, markup=False)
        heard = f"{kept} views kept; servers that are running hear them within two seconds"
        note(heard if kept else "nothing kept")


async def _enroll(config: Config, job: _Job) -> tuple[Verdict, int, str]:
    from inference.apart import in_words
    from overlay.catalog.words import LessonKind
    from vitrine.enrolling import judged
    from vitrine.teaching import Teacher

    async with _ready(config, job.product_id) as (store, recognition):
        made = await _watch(recognition, job)
        enrolment, embedder, index = made.enrolment, recognition.embedder, recognition.index
        verdict = await asyncio.to_thread(judged, enrolment.taken, job.product_id, embedder, index)
        kept = 0
        if verdict.telling in job.keep:
            teacher = Teacher(config.server.data_dir, store, embedder, index)
            try:
                kept = await teacher.learn(job.product_id, LessonKind.ENROLLED, enrolment.taken)
            finally:
                teacher.close()
        titles = {product.id: product.title for product in store.list()}
    return verdict, kept, in_words(verdict, titles)


@asynccontextmanager
async def _ready(config: Config, product_id: str) -> AsyncIterator[tuple[CatalogStore, Recognition]]:
    """Catalogue and models; the product must be known before the models are loaded."""
    from overlay.catalog.store import CatalogStore
    from stream.clock import MonotonicClock
    from vitrine.recognition import load_recognition, refresh_index

    store = CatalogStore(config.server.data_dir)
    try:
        store.get(product_id)
        recognition = await asyncio.to_thread(load_recognition, config.inference, MonotonicClock())
        try:
            index, embedder = recognition.index, recognition.embedder
            server = config.catalog.index_server
            await asyncio.to_thread(
                refresh_index, store, config.server.data_dir, embedder, index, server=server
            )
            yield store, recognition
        finally:
            recognition.index.close()
            await recognition.device.close()
    finally:
        store.close()


async def _watch(recognition: Recognition, job: _Job) -> Enrolling:
    """Look until the views are there, with a bar of how far it is."""
    from stream.clock import MonotonicClock
    from stream.recorded import describe_recording
    from vitrine.enrolling import live_frames, recorded_frames, watch

    seconds = job.seconds
    if seconds is None:
        seconds = SECONDS
        if job.recorded:
            found = await asyncio.to_thread(describe_recording, job.url)
            seconds = max(SECONDS, found.duration_ns / 1e9)
    with progress(job.quiet) as bar:
        step = bar.add_task("looking", total=100)
        frames = recorded_frames(job.url) if job.recorded else live_frames(job.url, MonotonicClock())
        return await watch(
            frames,
            recognition,
            job.product_id,
            seconds,
            lambda made: bar.update(
                step,
                completed=round(100 * made.enrolment.progress),
                description=f"{len(made.enrolment.taken)} views",
            ),
        )


def _forget(config: Config, product_id: str, as_json: bool) -> None:
    from overlay.catalog.lessons import LessonStore

    lessons = LessonStore(config.server.data_dir)
    try:
        gone = lessons.forget(product_id)
    finally:
        lessons.close()
    if as_json:
        print_json({"product_id": product_id, "forgotten": gone})
    else:
        out().print(f"{gone} views forgotten", highlight=False)


def register(group: typer.Typer) -> None:
    """Add the command to ``vitrine catalog``."""
    group.command("enroll", epilog=EPILOG)(enroll)
