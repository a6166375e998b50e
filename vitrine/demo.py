"""``vitrine demo``: an embedded show through the whole engine, over real WebRTC, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
from msgspec.structs import replace
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from inference.types import FrameResult
from overlay.messages import Event, Hello, Positions, ProductsEvent, Snapshot, decode_server
from overlay.types import HotspotFrame
from stream.publish import Publisher
from stream.sources.synthetic import load_ground_truth, show_path
from stream.types import stream_id
from vitrine.app import Server
from vitrine.auth import Role
from vitrine.config import Config
from vitrine.demo_score import ShowScore
from vitrine.figures import StreamFigures
from vitrine.status import stream_figures

STREAM = stream_id("demo")
CATALOGUE = Path(__file__).resolve().parent.parent / "overlay" / "catalog" / "demo" / "products.jsonl"
_REFRESH_S = 0.25
_SETTLE_S = 0.5


@dataclass(slots=True)
class Watcher:
    """A viewer without a screen: a real websocket client that counts what it is shown.

    Attributes:
        messages: messages received, by kind.
        spots: hotspots received, over all measured frames.
        products: titles of the products that were shown, with in how many messages.
    """

    messages: Counter[str] = field(default_factory=Counter)
    spots: int = 0
    products: Counter[str] = field(default_factory=Counter)
    _titles: dict[int, str] = field(default_factory=dict)

    async def run(self, url: str) -> None:
        """Watch until cancelled."""
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
            await socket.send_str(msgspec.json.encode(Hello(v=1)).decode())
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(message.data)

    def _take(self, data: str) -> None:
        message = decode_server(data)
        self.messages[type(message).__name__.lower()] += 1
        if isinstance(message, Snapshot):
            self._titles = {card.pid: card.title for card in message.products}
        elif isinstance(message, Event) and isinstance(message.ev, ProductsEvent):
            self._titles = {card.pid: card.title for card in message.ev.products}
        elif isinstance(message, Positions) and message.s:
            for spot in message.s[0].spots:
                self.spots += 1
                if spot.pid in self._titles:
                    self.products[self._titles[spot.pid]] += 1


class Demo:
    """One run of the demo.

    Args:
        server: a running engine.
        loop: play the show over and over.
    """

    def __init__(self, server: Server, *, loop: bool) -> None:
        self.server = server
        self.publisher = Publisher(
            f"{server.url}/whip/{STREAM}", server.keys.publish.reveal(), str(show_path()), loop=loop
        )
        self.watcher = Watcher()
        self.runtime = server.engine.hub.open(STREAM)
        self.score = ShowScore(load_ground_truth().frames)
        self._began = time.monotonic()

    async def run(self, seconds: float | None) -> None:
        """Publish and watch until the show ends or `seconds` have passed.

        Raises:
            SourceError: the show cannot be published.
        """
        self.runtime.pipeline.listeners.append(self._on_result)
        watch = asyncio.create_task(self.watcher.run(f"{self.server.url}/ws/{STREAM}"))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.publisher.run()
            await asyncio.sleep(_SETTLE_S)
        finally:
            self.runtime.pipeline.listeners.remove(self._on_result)
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    def figures(self) -> StreamFigures:
        """The stream's figures, as the operator sees them."""
        engine = self.server.engine
        return stream_figures(engine, self.runtime, engine.clock.now_ns())

    def summary(self) -> dict[str, object]:
        """Everything the demo measured, for `--json`."""
        figures = self.figures()
        engine = self.server.engine.recognition
        return {
            "seconds": round(time.monotonic() - self._began, 1),
            "model": engine.model_name,
            "provider": engine.detector.provider,
            "frames": msgspec.to_builtins(figures.frames),
            "drops": figures.drops,
            "budget_ms": figures.budget_ms,
            "budget_misses": figures.budget_misses,
            "frame_age_ms": msgspec.to_builtins(figures.frame_age_ms),
            "staleness_ms": msgspec.to_builtins(figures.staleness_ms),
            "stages_ms": msgspec.to_builtins(figures.stages_ms),
            "latency_ms": figures.latency_ms,
            "hotspots": {
                "shown": self.watcher.spots,
                "messages": self.watcher.messages["positions"],
                "products": dict(self.watcher.products.most_common()),
            },
            "accuracy": self.score.summary(),
        }

    def _on_result(self, result: FrameResult, sent: HotspotFrame) -> None:
        index = self.publisher.frame_index(result.time.rtp)
        if index is not None:
            self.score.add(index, sent)


def addresses(server: Server) -> dict[str, str]:
    """The three pages, keys included."""
    return {
        "viewer": server.page(f"/watch/{STREAM}"),
        "host": server.page(f"/host/{STREAM}", Role.HOST),
        "operator": server.page("/operator", Role.OPERATOR),
    }


def run_demo(config: Config, seconds: float | None, as_json: bool, console: Console) -> int:
    """Run the demo; returns the exit code.

    In a terminal (and without `seconds` and `as_json`) until Ctrl-C with a live console; otherwise for
    `seconds`, or once through the show, then the summary.

    Args:
        config: the configuration; the demo keeps its state in a folder of its own within `data_dir`.
        seconds: stop after so long.
        as_json: print one JSON object on standard output instead of words.
        console: for people (standard error).

    Raises:
        EngineError: the engine cannot start, or the show cannot be published.
    """
    return asyncio.run(_run(demo_config(config), seconds, as_json, console))


def demo_config(config: Config) -> Config:
    """`config` with the demo's catalogue, and its state in a folder of its own."""
    return replace(
        config,
        server=replace(config.server, data_dir=config.server.data_dir / "demo"),
        catalog=replace(config.catalog, feed=str(CATALOGUE), own_seller=_own_seller()),
    )


def _own_seller() -> str:
    """The demo's shop is whoever sells most of its products."""
    rows = [msgspec.json.decode(line) for line in CATALOGUE.read_bytes().splitlines() if line.strip()]
    return str(Counter(row.get("seller", "") for row in rows).most_common(1)[0][0])


async def _run(config: Config, seconds: float | None, as_json: bool, console: Console) -> int:
    live = sys.stdout.isatty() and not as_json and seconds is None
    if not as_json:
        console.print("Loading models and catalogue ...")
    async with Server(config) as server:
        demo = Demo(server, loop=live or seconds is not None)
        if not as_json:
            _print_addresses(server, console)
        task = asyncio.create_task(demo.run(seconds))
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(signum, task.cancel)
        try:
            await (_show(demo, task, console) if live else task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
        summary = demo.summary()
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        _print_summary(summary, console)
    return 0 if summary["hotspots"]["shown"] else 1  # type: ignore[index]


def _print_addresses(server: Server, console: Console) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for who, url in addresses(server).items():
        table.add_row(f"[bold]{who}[/bold]", Text(url, style="cyan", no_wrap=True, overflow="fold"))
    table.add_row("publish key", Text(server.keys.publish.reveal()))
    console.print(table)


async def _show(demo: Demo, task: asyncio.Task[None], console: Console) -> None:
    """The live console, until the demo ends."""
    with Live(console=console, refresh_per_second=4, transient=True) as screen:
        while not task.done():
            screen.update(_picture(demo))
            await asyncio.wait([task], timeout=_REFRESH_S)
    await task


def _picture(demo: Demo) -> Group:
    figures = demo.figures()
    seen = Table(title="In the picture now", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("product", "state", "score", "because"):
        seen.add_column(name)
    for spot in figures.hotspots:
        seen.add_row(spot.title or "?", spot.state, f"{spot.score:.2f}", spot.reason)
    age, stale, frames = figures.frame_age_ms, figures.staleness_ms, figures.frames
    lines = [
        f"frames in {frames.in_}  detected {frames.detected}  predicted {frames.propagated}  "
        f"dropped {frames.dropped}  cancelled {frames.cancelled}",
        f"age of a frame's overlay p50 {age.p50 or 0:.0f}  p95 {age.p95 or 0:.0f}  p99 {age.p99 or 0:.0f} ms"
        f"   detections stale by p95 {stale.p95 or 0:.0f} ms   viewers {figures.viewers}",
        *(f"[yellow]{problem}[/yellow]" for problem in figures.problems),
        "Ctrl-C ends the show.",
    ]
    return Group(seen, *(Text.from_markup(line) for line in lines))


def _print_summary(summary: dict[str, object], console: Console) -> None:
    accuracy = summary["accuracy"]
    assert isinstance(accuracy, dict)
    table = Table(title="What was shown, against what was there", title_justify="left")
    for name in ("product", "frames visible", "located", "identified", "first at"):
        table.add_column(name, justify="left" if name == "product" else "right")
    for name, row in accuracy["by_product"].items():
        first = row["first_identified_frame"]
        table.add_row(
            name,
            str(row["visible"]),
            _percent(row["located"]),
            _percent(row["identified"]),
            "-" if first is None else f"{first / 30:.1f} s",
        )
    console.print(table)
    console.print(f"frames {summary['frames']}  overlay age {summary['frame_age_ms']}")
    console.print(
        f"{accuracy['products_identified']} of {accuracy['products']} products identified; "
        f"{_percent(accuracy['right'])} of hotspots right, {_percent(accuracy['wrong'])} wrong, "
        f"{_percent(accuracy['loose'])} on nothing"
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
