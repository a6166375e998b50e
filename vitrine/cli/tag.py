"""``vitrine tag``: hotspots of recorded videos."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
from vitrine.cli.output import Exit, epilog, err, note, out, print_json, progress, usage_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

    from vitrine.config import Config
    from vitrine.tagging.frames import TagSettings
    from vitrine.tagging.job import Executor, OnProgress, TagJob, TagReport

    OnReport = Callable[[TagReport], None]

EPILOG = epilog(
    ("vitrine tag show.mp4", "writes show.vtt and more beside it"),
    ("vitrine tag show.mp4 --page site", "writes site/show/, a page for any web server"),
    ("vitrine tag show.mp4 --publish", "then 'vitrine serve' plays it at /replay/show/"),
    ("vitrine tag videos/ --workers 2", "a folder; what is done is skipped"),
    ("vitrine tag videos/ --out tags --json", "documents in tags/, a summary for programs"),
    (
        "vitrine tag https://cdn.example/show/index.m3u8 --page site",
        "what a CDN plays, by the media's own times",
    ),
    ("vitrine tag show.mp4 --every 1 --unsure", "every frame; objects of unknown product too"),
)


def tag(
    videos: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, addresses: anything FFmpeg opens.", metavar="VIDEO...", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Where to write: without ending for one file, else a folder.", metavar="PATH"
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Also a page per video that plays it, in this folder.", metavar="DIR")
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Let 'vitrine serve' play it at /replay/NAME/.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option("--workers", "-j", help="Processes; 0 decides by the number of cores.", min=0, max=256),
    ] = 0,
    again: Annotated[bool, typer.Option("--again", help="Also what is done already.")] = False,
    every: Annotated[int, typer.Option(help="Detect in every n-th frame.", min=1, max=60)] = 3,
    sample_ms: Annotated[int, typer.Option(help="Least distance of cues.", min=20, max=500)] = 100,
    unsure: Annotated[
        bool, typer.Option("--unsure", help="Also objects whose product is not known.")
    ] = False,
    executor: Annotated[
        str, typer.Option(help="Run the jobs elsewhere; see docs/replay.md.", metavar="MODULE:NAME")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    detector: DetectorOption = None,
    embedder: EmbedderOption = None,
    provider: ProviderOption = None,
) -> None:
    """Find the products in recordings: a WebVTT track, chapters, poster, contact sheet, a page.

    A video that was tagged before, by the same models with the same catalogue, is skipped: a batch that was
    stopped goes on. One that cannot be read is reported and stops nothing; the exit code is 1 then.
    """
    from vitrine.tagging.plan import PlanError, Wanted, plan

    loaded = configure(
        config,
        server__data_dir=data_dir,
        inference__detector=detector,
        inference__embedder=embedder,
        inference__provider=provider,
        inference__show_unsure=True if unsure else None,
    )
    try:
        wanted = Wanted(videos, output, page, publish, again)
        jobs = plan(wanted, loaded, _settings(loaded, every, sample_ms))
    except PlanError as error:
        raise usage_error(str(error)) from None
    chosen = _executor(executor, workers, len(jobs))
    _prepare(loaded)
    reports = _run(jobs, chosen, as_json)
    _show(reports, as_json)
    failed = any(report.state == "failed" for report in reports)
    raise typer.Exit(Exit.FAILED if failed else Exit.OK)


def _settings(config: Config, every: int, sample_ms: int) -> TagSettings:
    from overlay.hotspots import HotspotSettings
    from vitrine.tagging.frames import TagSettings

    limits = HotspotSettings(
        max_hotspots=config.overlay.max_hotspots,
        min_dwell_ms=0,
        show_similar=config.overlay.show_similar,
        show_unsure=config.inference.show_unsure,
    )
    return TagSettings(every, sample_ms, hotspots=limits)


def _executor(name: str, workers: int, jobs: int) -> Executor:
    from vitrine.tagging.pool import InProcess, ProcessPool

    if name:
        module, _, attribute = name.partition(":")
        if (here := os.getcwd()) not in sys.path:  # the class lies in the folder more often than in a package
            sys.path.insert(0, here)
        try:
            made: Executor = getattr(importlib.import_module(module), attribute)()
        except (ImportError, AttributeError, ValueError) as error:
            raise usage_error(
                f"--executor: got {name!r}, expected MODULE:NAME of a class ({error})"
            ) from None
        return made
    if jobs == 1:
        return InProcess()
    return ProcessPool(workers or max(1, os.cpu_count() or 1))


def _prepare(config: Config) -> None:
    from vitrine.tagging.video import prepare

    if not prepare(config):
        note("no product can be recognised; only objects are looked for ('vitrine catalog import FEED')")


def _run(jobs: list[TagJob], executor: Executor, quiet: bool) -> list[TagReport]:
    reports: list[TagReport] = []
    with _bars(len(jobs), quiet) as (tell, finish):
        for report in executor.run(jobs, tell):
            reports.append(report)
            finish(report)
    order = {job.video: index for index, job in enumerate(jobs)}
    return sorted(reports, key=lambda report: order[report.video])


@contextmanager
def _bars(videos: int, quiet: bool) -> Iterator[tuple[OnProgress, OnReport]]:
    """A bar for the batch and one for each video at work."""
    with progress(quiet) as bar:
        whole = bar.add_task("videos", total=videos, visible=videos > 1)
        running: dict[str, TaskID] = {}

        def tell(video: str, done: int, total: int) -> None:
            if video not in running:
                running[video] = bar.add_task(Path(video).name[-40:], total=total or None)
            bar.update(running[video], completed=done)

        def finish(report: TagReport) -> None:
            if report.video in running:
                bar.remove_task(running.pop(report.video))
            bar.advance(whole)
            if report.state == "failed" and videos > 1 and not quiet:
                bar.console.print(f"failed: {report.video}", markup=False, highlight=False)

        yield tell, finish


def _show(reports: list[TagReport], as_json: bool) -> None:
    counts = {
        state: sum(report.state == state for report in reports) for state in ("tagged", "skipped", "failed")
    }
    if as_json:
        videos = [
            {
                "video": report.video,
                "state": report.state.value,
                "message": report.message,
                "files": list(report.files),
                **report.figures,
            }
            for report in reports
        ]
        print_json({**counts, "videos": videos})
        return
    for report in reports:
        if report.state == "failed":
            err().print(f"{report.video}: {report.message}", style="yellow", markup=False, soft_wrap=True)
            continue
        told = "done before" if report.state == "skipped" else _figures(report)
        out().print(f"{report.video}: {told}", markup=False, highlight=False, soft_wrap=True)
        for file in report.files:
            out().print(f"  {file}", markup=False, highlight=False, soft_wrap=True)
        if report.message:
            note(report.message)
    if len(reports) > 1:
        words = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        out().print(words, highlight=False)


def _figures(report: TagReport) -> str:
    figures = report.figures
    pace = figures["duration_ms"] / figures["took_ms"] if figures["took_ms"] else 0.0
    return (
        f"{figures['hotspots']} hotspots of {figures['products']} products in {figures['frames']} frames, "
        f"{pace:.1f} times real time"
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tag", epilog=EPILOG)(tag)
