"""Does the hotspot sit on the very frame a browser paints? In frames, read off the screen.

A Chromium page draws an object that moves on a known path and a barcode of the frame number, and publishes
both through WHIP. The server runs with a detector that finds the object and takes 0, 60 or 120 ms for it. A
second Chromium shows the real viewer page. Its screencast (what is composited, not what a script believes)
is read back: which frame is on screen, where the object is, where the hotspot is. The hotspot's place on the
known path tells to which frame it belongs.

Peers, in the same run: a div moved when the message arrives, and a div moved in the video's frame callback.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psutil
from matplotlib.figure import Figure
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from benchmarks.engine import KEY, STREAM, Engine, catalogue, engine
from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.painted import capture
from benchmarks.painted.blob import ONE_RUNG, write_embedder, write_model
from benchmarks.painted.motion import Motion, ellipse
from benchmarks.painted.readback import read
from benchmarks.painted.verdict import LIMIT, Reading, verdict
from benchmarks.procs import Watch, cpu_s
from benchmarks.report import Report, Row, Target, judge
from benchmarks.stats import interleaved, percentile
from benchmarks.viewer import viewer

SUBJECTS = ("vitrine", "div on arrival", "div in callback", "cpu")
COSTED = ("H264", 60)
"""Where peers are filmed and the browser's processor time is taken."""

SETTLE_S = 4.0


@dataclass(frozen=True, slots=True)
class Case:
    """One viewer under one setting."""

    subject: str
    codec: str
    delay_ms: int
    hold: bool

    @property
    def name(self) -> str:
        """For progress."""
        return f"{self.subject}, {self.codec}, {self.delay_ms} ms, hold {'on' if self.hold else 'off'}"


def cases(codec: str, delay_ms: int, settings: Settings) -> list[Case]:
    """What is filmed while one publisher delivers `codec` into a server whose detector takes `delay_ms`."""
    vitrine = [Case("vitrine", codec, delay_ms, hold) for hold in (True, False)]
    peers = [
        Case(subject, codec, delay_ms, hold)
        for subject in ("div on arrival", "div in callback")
        for hold in (True, False)
        if (codec, delay_ms) == COSTED
    ]
    if settings.quick:
        vitrine, peers = vitrine[:1], peers[2:3]
    return [case for case in (*vitrine, *peers) if settings.wants(case.subject)]


def run(settings: Settings) -> Outcome:
    """Film every case; a row each."""
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> Outcome:
    seconds = settings.seconds or (5.0 if settings.quick else 12.0)
    pairs = [("H264", 60)] if settings.quick else [(c, d) for c in ("H264", "VP8") for d in (0, 60, 120)]
    rows: list[Row] = []
    for codec, delay_ms in interleaved(pairs, 1, settings.seed):
        films = interleaved(cases(codec, delay_ms, settings), 1, settings.seed)
        costs = (codec, delay_ms) == COSTED and settings.wants("cpu") and not settings.quick
        if not films and not costs:
            continue
        async with _stage(codec, delay_ms) as stage:
            for case in films:
                settings.say(f"{case.name}: {seconds:.0f} s")
                rows.append(await stage.film(case, seconds))
            if costs:
                settings.say("processor time with and without the overlay")
                rows += await stage.cost(settings.seed)
    order = {name: index for index, name in enumerate(SUBJECTS)}
    rows.sort(
        key=lambda r: (order[str(r["subject"])], str(r["codec"]), int(r["delay_ms"] or 0), str(r["hold"]))
    )
    return rows, _judge(rows)


def _judge(rows: Sequence[Row]) -> list[Target]:
    held = [row for row in rows if row["subject"] == "vitrine" and row["hold"]]
    targets = []
    for row in held:
        where = f"{row['codec']}, detector {row['delay_ms']} ms"
        aligned, shown = float(row["aligned_pct"] or 0), float(row["hotspot_pct"] or 0)
        targets.append(judge(f"0 frames off, {where}", aligned, ">= 99", "% of frames with a hotspot"))
        targets.append(judge(f"hotspot shown, {where}", shown, ">= 95", "% of frames with the object"))
    ms = {row["page"]: float(row["browser_ms_per_frame"] or 0) for row in rows if row["subject"] == "cpu"}
    if ms:
        above = (ms["with overlay"] - ms["video only"]) * 30 / 10
        targets.append(judge("browser above plain video, 30 fps", above, "<= 10", "points of a core"))
    return targets


@dataclass(slots=True)
class Stage:
    """A server with a publisher, ready for viewers."""

    server: Engine
    site: str
    motion: Motion
    viewers: Browser
    codec: str
    delay_ms: int

    async def film(self, case: Case, seconds: float) -> Row:
        """Watch one viewer's screen."""
        async with self._watching(case) as (context, page):
            await asyncio.sleep(SETTLE_S)
            watch = Watch(self.server.process.pid)
            reel = await capture.film(context, page, seconds)
            used = watch.stop()
        advised = self.server.figures()["latency_ms"]
        pictures = await asyncio.to_thread(reel.developed)
        readings = [Reading(read(shot, area), area.width) for shot, area in pictures]
        return {
            "subject": case.subject,
            "codec": case.codec,
            "delay_ms": case.delay_ms,
            "hold": case.hold,
            "advised_hold_ms": advised if isinstance(advised, int) else None,
            **verdict(self.motion, readings, seconds),
            "server_cpu_pct": used["cpu_pct"],
            "others_cores": used["others_cores"],
        }

    async def cost(self, seed: int, rounds: int = 5, seconds: float = 8.0) -> list[Row]:
        """Processor time of a whole browser that shows the viewer page, with the overlay and without.

        Judged per frame shown, for thirty of them a second: a page that drops frames is not cheap.
        """
        pages = ("with overlay", "video only")
        used: dict[str, list[float]] = {name: [] for name in pages}
        rates: dict[str, list[float]] = {name: [] for name in pages}
        for name in interleaved(pages, rounds, seed):
            case = Case("vitrine", self.codec, self.delay_ms, True)
            async with self._watching(case, overlay=name == "with overlay", marked=False) as (_, page):
                await asyncio.sleep(SETTLE_S)
                frames, took = await page.evaluate(capture.FRAMES), cpu_s(_browser_pid())
                await asyncio.sleep(seconds)
                used[name].append(100 * (cpu_s(_browser_pid()) - took) / seconds)
                rates[name].append((await page.evaluate(capture.FRAMES) - frames) / seconds)
        common: Row = {"subject": "cpu", "codec": self.codec, "delay_ms": self.delay_ms, "hold": True}
        rows: list[Row] = []
        for name in pages:
            per_frame = [10 * cpu / fps for cpu, fps in zip(used[name], rates[name], strict=True) if fps]
            rows.append(
                {
                    **common,
                    "page": name,
                    "browser_cpu_pct": round(percentile(used[name], 50), 1),
                    "video_fps": round(percentile(rates[name], 50), 1),
                    "browser_ms_per_frame": round(percentile(per_frame, 50), 2),
                }
            )
        return rows

    @asynccontextmanager
    async def _watching(
        self, case: Case, *, overlay: bool = True, marked: bool = True
    ) -> AsyncIterator[tuple[BrowserContext, Page]]:
        context = await self.viewers.new_context(viewport=capture.VIEWPORT)
        try:
            page = await context.new_page()
            if not case.hold:
                await page.add_init_script(capture.NO_HOLD)
            if not overlay:
                await page.add_init_script(capture.NO_OVERLAY)
            await page.goto(self._address(case))
            if marked and case.subject == "vitrine":
                await page.evaluate(capture.ADOPT, capture.MARKED)
            await capture.playing(page, 20)
            yield context, page
        finally:
            await context.close()

    def _address(self, case: Case) -> str:
        if case.subject == "vitrine":
            return f"{self.server.url}/watch/{STREAM}"
        mode = case.subject.rpartition(" ")[2]
        facts = {
            "server": self.server.url,
            "stream": STREAM,
            "mode": mode,
            "hold": "on" if case.hold else "off",
        }
        return f"{self.site}/peers.html?{urlencode(facts)}"


@asynccontextmanager
async def _stage(codec: str, delay_ms: int) -> AsyncIterator[Stage]:
    """Server, publisher and an empty viewers' browser."""
    motion = ellipse()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = await stack.enter_async_context(capture.pages(motion))
        sections: dict[str, dict[str, object]] = {
            "server": {"origins": [site]},
            "inference": {
                "detector": str(write_model(folder / "blob.onnx", delay_ms)),
                "embedder": str(write_embedder(folder / "embedder.onnx")),
                "budget_ms": 60 + 2 * delay_ms,
                "rungs": list(ONE_RUNG),
            },
            "catalog": {"feed": str(catalogue(folder))},
        }
        server = stack.enter_context(engine(folder, sections, blob=True))
        # Somebody always watches: unwatched streams are detected seldom, and the engine would advise viewers
        # to hold their video back for much longer than they need to.
        stack.enter_context(viewer(server.websocket))
        playwright = await stack.enter_async_context(async_playwright())
        publishers = await stack.enter_async_context(capture.browser(playwright))
        context = await publishers.new_context(viewport={"width": 1280, "height": 720})
        await capture.publish(context, site, server.whip, KEY, codec)
        viewers = await stack.enter_async_context(capture.browser(playwright))
        yield Stage(server, site, motion, viewers, codec, delay_ms)


def _browser_pid() -> int:
    """Process id of the viewers' browser: the younger of the Chromiums this process started."""
    roots = [
        process
        for process in psutil.Process(os.getpid()).children(recursive=True)
        if process.name().startswith("chrom")
        and "crashpad" not in process.name()
        and not any(part.startswith("--type=") for part in process.cmdline())
    ]
    return max(roots, key=lambda process: process.create_time()).pid


def draw(report: Report, figure: Figure) -> None:
    """One histogram of misalignment per filmed case."""
    rows = [row for row in report.rows if row["subject"] != "cpu"]
    columns = min(4, max(1, len(rows)))
    lines = -(-len(rows) // columns)
    figure.set_size_inches(3.2 * columns, 2.0 * lines + 0.4)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    offsets = range(-LIMIT, LIMIT + 1)
    for panel, row in zip(panels, rows, strict=False):
        whole = sum(float(row.get(f"off_{offset:+d}") or 0) for offset in offsets) or 1.0
        heights = [100 * float(row.get(f"off_{offset:+d}") or 0) / whole for offset in offsets]
        panel.bar(list(offsets), heights, color=["#2a7" if offset == 0 else "#c54" for offset in offsets])
        hold = "held" if row["hold"] else "not held"
        panel.set_title(f"{row['subject']}\n{row['codec']} {row['delay_ms']} ms {hold}", fontsize=8)
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    figure.supxlabel("frames the hotspot is off (below 0: it lags)")
    figure.supylabel("% of painted frames")


BENCH = Benchmark("sync", run, draw, SUBJECTS)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
