"""``vitrine tag``: hotspots of a recorded video."""

from __future__ import annotations

import asyncio
import json
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
from vitrine.cli.output import epilog, note, out, print_json, progress, usage_error

if TYPE_CHECKING:
    from overlay.types import Product
    from vitrine.config import Config
    from vitrine.tag import Tags

EPILOG = epilog(
    ("vitrine tag show.mp4", "writes show.vtt and show.hotspots.json beside it"),
    ("vitrine tag show.mp4 --out tags/show", "writes tags/show.vtt and tags/show.hotspots.json"),
    ("vitrine tag show.mp4 --every 1", "detect in every frame: slower, a little better"),
    ("vitrine tag show.mp4 --unsure --json", "objects of unknown product too; JSON on standard output"),
)


def tag(
    video: Annotated[str, typer.Argument(help="A recorded file, anything FFmpeg opens.", metavar="VIDEO")],
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write, without ending.", metavar="PATH")
    ] = None,
    every: Annotated[int, typer.Option(help="Detect in every n-th frame.", min=1, max=60)] = 3,
    sample_ms: Annotated[int, typer.Option(help="Distance of cues.", min=20, max=5000)] = 100,
    unsure: Annotated[
        bool, typer.Option("--unsure", help="Also objects whose product is not known.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    detector: DetectorOption = None,
    embedder: EmbedderOption = None,
    provider: ProviderOption = None,
) -> None:
    """Find the products in a recording: a WebVTT metadata track, and JSON of every hotspot over time."""
    loaded = configure(
        config,
        server__data_dir=None if data_dir is None else str(data_dir),
        inference__detector=None if detector is None else str(detector),
        inference__embedder=None if embedder is None else str(embedder),
        inference__provider=provider,
        inference__show_unsure=True if unsure else None,
    )
    target = _target(video, output)
    tags, products = asyncio.run(_tag(loaded, video, every, sample_ms, as_json))
    _write(tags, products, target, as_json)


def _target(video: str, output: Path | None) -> Path:
    """Path without ending that both files are named after."""
    if output is None:
        if "://" in video:
            raise usage_error("--out is needed for an address")
        output = Path(video).with_suffix("")
    if not output.parent.is_dir():
        raise usage_error(f"--out: {output.parent}: no such folder")
    return output


async def _tag(
    config: Config, video: str, every: int, sample_ms: int, quiet: bool
) -> tuple[Tags, list[Product]]:
    from overlay.catalog.store import CatalogStore
    from overlay.hotspots import HotspotSettings
    from stream.clock import MonotonicClock
    from stream.recorded import describe_recording, read_frames
    from stream.types import StreamId
    from vitrine.recognition import load_recognition, refresh_index_off_loop
    from vitrine.tag import TagSettings, tag_frames

    recording = await asyncio.to_thread(describe_recording, video)
    clock, name = MonotonicClock(), StreamId("tag")
    store = CatalogStore(config.server.data_dir)
    recognition = await asyncio.to_thread(load_recognition, config.inference, clock)
    try:
        await refresh_index_off_loop(store, config.server.data_dir, recognition.embedder, recognition.index)
        products = store.list()
        if not products:
            note(
                "the catalogue is empty: objects are tagged without products ('vitrine catalog import FEED')"
            )
        limits = HotspotSettings(
            max_hotspots=config.overlay.max_hotspots,
            min_dwell_ms=0,
            show_similar=config.overlay.show_similar,
            show_unsure=config.inference.show_unsure,
        )
        with progress(quiet) as bar:
            task = bar.add_task("tagging", total=recording.frames or None)
            tags = await tag_frames(
                read_frames(video, name),
                worker=recognition.worker(name, clock),
                device=recognition.device,
                rung=recognition.detector.rungs[0],
                products=products,
                settings=TagSettings(every, sample_ms, hotspots=limits),
                on_progress=lambda done: bar.update(task, completed=done),
            )
        return tags, products
    finally:
        await recognition.device.close()
        store.close()


def _write(tags: Tags, products: list[Product], target: Path, as_json: bool) -> None:
    from vitrine.tag import to_json, to_webvtt

    track, document = target.with_name(f"{target.name}.vtt"), target.with_name(f"{target.name}.hotspots.json")
    found = to_json(tags, products)
    try:
        track.write_text(to_webvtt(tags, products), encoding="utf-8")
        document.write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise usage_error(f"--out: {error.filename}: {error.strerror}") from None
    if as_json:
        print_json({**found, "files": [str(track), str(document)]})
        return
    spots = found["hotspots"]
    assert isinstance(spots, list)
    out().print(
        f"{len(spots)} hotspots in {tags.frames} frames, {found['times_real_time']} times real time\n"
        f"{track}\n{document}",
        highlight=False,
        markup=False,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tag", epilog=EPILOG)(tag)
