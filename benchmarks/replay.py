"""Does the hotspot sit on the very frame of a replay, MP4 and HLS? And how fast is a recording tagged?

The object of the sync benchmark moves through a recorded video with a barcode of the frame number in it,
H264 with B-frames and sound. The video is tagged, published, and played by the page of `vitrine serve` in
Chromium: as MP4, and as HLS lists of the same frames. The page's screencast is read back, while it plays and
after seeks to random times: which frame is on screen, and to which frame the hotspot belongs.

And live: an encoder writes the recording as the live list of a CDN, the server detects on it, and the page of
viewers plays it, seconds behind (`live`).

Peers, in the same run, from the same track: a div moved by the browser's own `cuechange`, and a div moved on
every animation frame by `currentTime`. How fast: the embedded show, 720p30, by the embedded models.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.engine import Engine, catalogue, engine
from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.machine import ROOT
from benchmarks.painted import blob, capture, live
from benchmarks.painted.motion import Motion, ellipse
from benchmarks.painted.readback import Area, picture, read
from benchmarks.painted.recording import write_hls, write_mp4
from benchmarks.painted.verdict import LIMIT, Reading, verdict
from benchmarks.report import Report, Row, Scalar, Target, judge
from benchmarks.stats import interleaved
from stream.sources.synthetic import SHOW
from vitrine.config import load_config
from vitrine.tagging.job import TagJob, TagState
from vitrine.tagging.page import WEB
from vitrine.tagging.video import tag_video

SUBJECTS = ("vitrine", "live", "cuechange", "currentTime", "tag")
PLAYED = ("mp4", "hls", "hls-ts", "hls native")
"""`hls` is fragmented MP4; native is the browser's own player, of MPEG-TS, which counts from 0."""

LIVE = ("fmp4", "mpegts")
TAIL_S = 4.0
LIVE_S = 30.0
"""Of a live film before what is recorded of it: the server's start, the page's, the hold-back."""
HIDE = capture.MARKED + ".begin, .scrub { visibility: hidden !important; }"


@dataclass(frozen=True, slots=True)
class Case:
    """One page under one setting."""

    subject: str
    played: str
    seeks: bool

    @property
    def name(self) -> str:
        """For progress."""
        return f"{self.subject}, {self.played}, {'after seeks' if self.seeks else 'playing'}"

    @property
    def path(self) -> str:
        """Of the page on the server."""
        if self.subject != "vitrine":
            mode = "cuechange" if self.subject == "cuechange" else "time"
            return f"/replay/mp4/recorded.html?mode={mode}"
        name, _, way = self.played.partition(" ")
        return f"/replay/{'hls-ts' if way else name}/" + (f"?player={way}" if way else "")


def cases(settings: Settings) -> list[Case]:
    """What is filmed."""
    if settings.quick:
        films = [
            Case("vitrine", "mp4", False),
            Case("vitrine", "hls", False),
            Case("cuechange", "mp4", False),
        ]
    else:
        films = [Case("vitrine", played, seeks) for played in PLAYED for seeks in (False, True)]
        films += [Case(peer, "mp4", False) for peer in ("cuechange", "currentTime")]
    return [case for case in films if settings.wants(case.subject)]


def run(settings: Settings) -> Outcome:
    """Film every case, then tag; a row each."""
    rows: list[Row] = []
    films = interleaved(cases(settings), 1, settings.seed)
    if films:
        rows += asyncio.run(_film_all(films, settings))
    if settings.wants("live"):
        rows += asyncio.run(_film_live(settings))
    if settings.wants("tag"):
        rows += _tag_all(settings)
    order = {name: index for index, name in enumerate(SUBJECTS)}
    rows.sort(key=lambda row: (order[str(row["subject"])], str(row.get("played")), str(row.get("seeks"))))
    return rows, judged(rows)


def judged(rows: Sequence[Row]) -> list[Target]:
    """Targets for the rows there are."""
    targets = []
    for row in rows:
        if row["subject"] in ("vitrine", "live"):
            played = f"live {row['played']}" if row["subject"] == "live" else row["played"]
            where = f"{played}, {'after seeks' if row['seeks'] else 'playing'}"
            aligned, shown = float(row["aligned_pct"] or 0), float(row["hotspot_pct"] or 0)
            targets.append(judge(f"0 frames off, {where}", aligned, ">= 99", "% of frames with a hotspot"))
            targets.append(judge(f"hotspot shown, {where}", shown, ">= 95", "% of frames with the object"))
        if row["subject"] == "tag":
            pace = float(row["times_real_time"] or 0)
            where = f"{row['videos']} videos, {row['workers']} processes on {row['cores']} cores"
            targets.append(judge(f"tagging 720p, {where}", pace, ">= 1", "times real time"))
    return targets


# ---- sync ----------------------------------------------------------------------------------------------


async def _film_all(films: Sequence[Case], settings: Settings) -> list[Row]:
    seconds = settings.seconds or (3.0 if settings.quick else 12.0)
    motion = ellipse()
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings.say("drawing and tagging the recording")
        needed = {case.played.partition(" ")[0] for case in films}
        needed |= {"hls-ts"} if any("native" in case.played for case in films) else set()
        sections = await asyncio.to_thread(_publish, folder, motion, seconds, needed, settings.seed)
        server = stack.enter_context(engine(folder, sections, blob=True))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await stack.enter_async_context(capture.browser(playwright))
        for case in films:
            settings.say(f"{case.name}: {seconds:.0f} s")
            rows.append(await _film(case, Place(server, browser, motion), seconds, settings.seed))
    return rows


def _publish(
    folder: Path, motion: Motion, seconds: float, needed: set[str], seed: int
) -> dict[str, dict[str, object]]:
    """Draw, encode, tag and publish the recordings; returns the server's configuration."""
    blob.register()
    models: dict[str, object] = {
        "detector": str(blob.write_model(folder / "blob.onnx", 0)),
        "embedder": str(blob.write_embedder(folder / "embedder.onnx")),
        "rungs": list(blob.ONE_RUNG),
    }
    state = folder / "state"
    feed = catalogue(folder)
    command = ["catalog", "import", feed, "--data-dir", state, "--embedder", models["embedder"]]
    _vitrine(*command)
    overrides = {f"inference.{name}": value for name, value in models.items()}
    config = load_config(None, {}, {**overrides, "server.data_dir": str(state)})
    film = write_mp4(folder / "film.mp4", motion, seconds + TAIL_S, seed)
    videos = {"mp4": film}
    for name, kind in (("hls", "fmp4"), ("hls-ts", "mpegts")):
        if name in needed:
            videos[name] = write_hls(folder / name, film, kind)
    for name, video in videos.items():
        report = tag_video(TagJob(str(video), config, None, state / "replays" / name))
        if report.state is not TagState.TAGGED:
            raise CannotRun(f"{name}: {report.message}")
    for name in ("recorded.html", "recorded.css", "recorded.js"):
        shutil.copyfile(capture.HERE / name, state / "replays" / "mp4" / name)
    return {"inference": models}


@dataclass(frozen=True, slots=True)
class Place:
    """Where films are made."""

    server: Engine
    viewers: Browser
    motion: Motion


async def _film(case: Case, place: Place, seconds: float, seed: int) -> Row:
    async with _page(case, place) as page:
        if case.seeks:
            readings = await _seek(page, seconds, seed)
        else:
            await page.evaluate("() => { document.querySelector('video').play(); }")
            await capture.playing(page, 20)
            readings = await _watched(page, seconds)
        clock = await page.evaluate(DIAGNOSTICS)
    facts: dict[str, Scalar] = {"subject": case.subject, "played": case.played, "seeks": case.seeks}
    return {**facts, **verdict(place.motion, readings, seconds), **clock}


DIAGNOSTICS = """() => {
  const overlay = document.querySelector('vitrine-overlay');
  return { offset_ms: overlay ? Number(overlay.getAttribute('track-offset') ?? 0) : null };
}"""

SEEK = """(share) => new Promise((done) => {
  const video = document.querySelector('video');
  const slider = document.getElementById('seek');
  video.addEventListener('seeked', () => setTimeout(done, 150), { once: true });
  slider.value = String(share * slider.max);
  slider.dispatchEvent(new Event('input'));
})"""
"""As a hand on the slider does it."""


@asynccontextmanager
async def _page(case: Case, place: Place) -> AsyncIterator[Page]:
    context = await place.viewers.new_context(viewport=capture.VIEWPORT)
    try:
        page = await context.new_page()
        await page.goto(place.server.url + case.path)
        if case.subject == "vitrine":
            await page.evaluate(capture.ADOPT, HIDE)
        ready = "() => document.querySelector('video').readyState >= 3"
        await page.wait_for_function(f"{ready} && !document.getElementById('seek')?.disabled", timeout=20_000)
        yield page
    finally:
        await context.close()


async def _film_live(settings: Settings) -> list[Row]:
    """The viewers' page on live lists of both kinds of segments; in a quick run on one."""
    seconds = settings.seconds or (3.0 if settings.quick else 12.0)
    motion = ellipse()
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        film = await asyncio.to_thread(
            write_mp4, folder / "film.mp4", motion, LIVE_S + seconds, settings.seed
        )
        playwright = await stack.enter_async_context(async_playwright())
        browser = await stack.enter_async_context(capture.browser(playwright))
        for kind in LIVE[:1] if settings.quick else LIVE:
            settings.say(f"live list, {kind}: {seconds:.0f} s")
            (folder / kind).mkdir()
            with live.cdn(folder / kind / "cdn") as source:
                source.publish(film, kind)
                with live.watching(folder / kind, source.url) as server:
                    async with live.viewer(server, browser) as page:
                        readings = await _watched(page, seconds)
                        behind_s = await page.evaluate(live.BEHIND)
            facts: dict[str, Scalar] = {"subject": "live", "played": kind, "seeks": False}
            rows.append({**facts, **verdict(motion, readings, seconds), "behind_s": behind_s})
    return rows


async def _watched(page: Page, seconds: float) -> list[Reading]:
    """What a playing page shows for so long."""
    reel = await capture.film(page.context, page, seconds)
    shots = await asyncio.to_thread(reel.developed)
    return [Reading(read(shot, area), area.width) for shot, area in shots]


async def _seek(page: Page, seconds: float, seed: int) -> list[Reading]:
    """Pictures of the paused page after seeks to random times, four for each second of a film."""
    where = await page.evaluate(capture.WHERE)
    area = Area(where["x"], where["y"], where["width"], where["height"])
    order = random.Random(seed)
    readings = []
    for _ in range(round(4 * seconds)):
        await page.evaluate(SEEK, order.uniform(0.02, 0.95))
        shot = picture(await page.screenshot(type="png"))
        readings.append(Reading(read(shot, area), area.width))
    return readings


# ---- speed ---------------------------------------------------------------------------------------------


def _tag_all(settings: Settings) -> list[Row]:
    """The embedded show with the demonstration's catalogue, by one process and two, on two cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = folder / "state"
        _vitrine("catalog", "import", WEB.parent / "catalog" / "demo" / "products.jsonl", "--data-dir", state)
        rows = []
        for videos, workers in ((1, 1),) if settings.quick else ((1, 1), (4, 1), (4, 2)):
            settings.say(f"tagging {videos} videos in {workers} processes")
            rows.append(_tag(folder / f"{videos}-{workers}", state, videos, workers))
        return rows


def _tag(folder: Path, state: Path, videos: int, workers: int) -> Row:
    folder.mkdir()
    for number in range(videos):
        shutil.copyfile(SHOW, folder / f"{number}.mp4")
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    began = time.monotonic()
    told = _vitrine("tag", folder, "--data-dir", state, "--workers", workers, "--json", cores=cores)
    wall_s = time.monotonic() - began
    done = json.loads(told)["videos"]
    video_s = sum(one["duration_ms"] for one in done) / 1000
    return {
        "subject": "tag",
        "videos": videos,
        "workers": workers,
        "cores": len(cores) or os.cpu_count(),
        "video_s": round(video_s, 1),
        "wall_s": round(wall_s, 1),
        "times_real_time": round(video_s / wall_s, 2),
        "without_start": round(video_s / (sum(one["took_ms"] for one in done) / 1000 / workers), 2),
    }


PINNED = """import os, sys
os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
os.execv(sys.argv[2], sys.argv[2:])"""
"""Runs a command on some cores only."""


def _vitrine(*arguments: object, cores: Sequence[int] = ()) -> str:
    """Run the command and return what it prints."""
    command = [sys.executable, "-m", "vitrine", *map(str, arguments)]
    if cores:
        command = [sys.executable, "-c", PINNED, ",".join(map(str, cores)), *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"vitrine {' '.join(map(str, arguments))}: {done.stderr[-400:]}")
    return done.stdout


def draw(report: Report, figure: Figure) -> None:
    """Misalignment of each film, and how fast tagging is."""
    films = [row for row in report.rows if row["subject"] != "tag"]
    tags = [row for row in report.rows if row["subject"] == "tag"]
    columns = min(4, max(1, len(films)))
    lines = -(-len(films) // columns) + bool(tags)
    figure.set_size_inches(3.2 * columns, 2.1 * lines + 0.4)
    grid = figure.add_gridspec(lines, columns)
    offsets = range(-LIMIT, LIMIT + 1)
    for index, row in enumerate(films):
        panel = figure.add_subplot(grid[index // columns, index % columns])
        whole = sum(float(row.get(f"off_{offset:+d}") or 0) for offset in offsets) or 1.0
        heights = [100 * float(row.get(f"off_{offset:+d}") or 0) / whole for offset in offsets]
        panel.bar(list(offsets), heights, color=["#2a7" if offset == 0 else "#c54" for offset in offsets])
        how = "after seeks" if row["seeks"] else "playing"
        panel.set_title(f"{row['subject']}\n{row['played']}, {how}", fontsize=8)
        panel.set_ylim(0, 105)
        panel.tick_params(labelsize=7)
    if tags:
        panel = figure.add_subplot(grid[lines - 1, :])
        names = [f"{row['videos']} videos, {row['workers']} processes" for row in tags]
        panel.barh(names, [float(row["times_real_time"] or 0) for row in tags], color="#4a7ab8")
        panel.axvline(1, color="#c54", linewidth=1)
        panel.set_xlabel("tagging, times real time (720p30, 2 cores, from start to end)", fontsize=8)
        panel.tick_params(labelsize=7)
    if films:
        figure.supylabel("% of painted frames")


BENCH = Benchmark("replay", run, draw, SUBJECTS)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
