"""How long does a viewer wait for what a box in the picture shows, and what does the show pay?

The embedded show is published through real WebRTC and watched, with the demo's catalogue and the embedded
models on the CPU, while boxes around its products are searched four times a second: on the frame looked at
just before (a viewer who adjusts a box), on any frame of the last seconds (each decoded from the keyframe
before it), and once a second for all products of a frame. Boxes are the true ones, off by up to an eighth of
their size at every edge. A search counts from when it was due, so one that waits for another is not let off.
A stretch without any search says what the show would have been.
"""

from __future__ import annotations

import asyncio
import io
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from benchmarks.engine import KEY, STREAM, Engine, engine
from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.procs import Watch, two_cores, wait_until
from benchmarks.publish import publisher
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import interleaved, share, spread
from benchmarks.trace import between, overlays, summary
from benchmarks.viewer import viewer
from stream.packets import read_packets
from stream.sources.synthetic import SHOW, GroundTruth, TrueBox, load_ground_truth
from stream.stills import decode_last
from vitrine.demo import CATALOGUE

SUBJECTS = ("no searches", "same frame", "any frame", "all products")
PER_S = {"same frame": 4.0, "any frame": 4.0, "all products": 1.0}
TICKS = 3000
BACK_S = 5.0
OFF = 0.125
"""Largest error of a drawn box's edge, as a share of its side."""
SETTLE_S = 6.5
LIMIT_S = 10.0


@dataclass(slots=True)
class Stretch:
    """What was measured of one subject."""

    waits_ms: list[float] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    right: int = 0
    judged: int = 0
    refused: int = 0

    def row(self) -> Row:
        """As columns."""
        row: Row = {"searches": len(self.waits_ms) + self.refused, "busy": self.refused}
        row |= spread(self.waits_ms, "answer_ms")
        row["right_pct"] = round(share(self.right, self.judged), 1)
        for stage in ("decode", "wait", "look"):
            row |= spread(self.stages_ms.get(stage, []), f"{stage}_ms")
        return row


def run(settings: Settings) -> Outcome:
    """A row per subject, all against one server."""
    if not SHOW.exists():
        raise CannotRun("the embedded show is not here")
    seconds = settings.seconds or (3.0 if settings.quick else 30.0)
    rounds = 1 if settings.quick else 2
    plan = interleaved([name for name in SUBJECTS if settings.wants(name)], rounds, settings.seed)
    ours, others = two_cores()
    sections: dict[str, dict[str, object]] = {
        "catalog": {"feed": str(CATALOGUE)},
        "search": {"per_second": 100.0, "keep_ms": 180_000},  # as by default, not as for other benchmarks
    }
    with tempfile.TemporaryDirectory() as folder:
        with (
            engine(Path(folder), sections, cores=ours) as server,
            viewer(server.websocket),
            publisher(SHOW, server.whip, KEY, others) as sending,
        ):
            wait_until(lambda: len(server.lines()) > 5, 20, lambda: f"no overlay; {sending.tail()}")
            time.sleep(SETTLE_S)
            times, stretches, used = _measure(server, plan, seconds, settings)
        traced = overlays(server.lines())  # only a server that has ended has written its whole trace
    rows: list[Row] = []
    for name in SUBJECTS:
        if name not in times:
            continue
        seen = [one for begin, end in times[name] for one in between(traced, begin, end)]
        whole = summary(seen, sum(end - begin for begin, end in times[name]) / 1e9)
        show = {key: whole[key] for key in ("detected_per_s", "age_ms_p50", "age_ms_p99", "staleness_ms_p95")}
        found = stretches[name].row() if name != "no searches" else {}
        rows.append({"subject": name, **found, **show, "cpu_pct": round(float(np.mean(used[name])), 1)})
    return rows, _targets(rows)


def _targets(rows: list[Row]) -> list[Target]:
    by_name = {str(row["subject"]): row for row in rows}
    found = []
    for name in ("same frame", "any frame"):
        if name in by_name:
            answer, right = (value_of(by_name[name], key) for key in ("answer_ms_p99", "right_pct"))
            found.append(judge(f"{name}: answer, p99", answer, "<= 150", "ms"))
            found.append(judge(f"{name}: right product first", right, ">= 90", "%"))
    if {"no searches", "any frame"} <= by_name.keys():
        kept = share(*(value_of(by_name[name], "detected_per_s") for name in ("any frame", "no searches")))
        found.append(judge("detections kept while any frame is searched", round(kept, 1), ">= 95", "%"))
    return found


def _measure(
    server: Engine, plan: list[str], seconds: float, settings: Settings
) -> tuple[dict[str, list[tuple[int, int]]], dict[str, Stretch], dict[str, list[float]]]:
    """Stretches of the clock, what was measured in them, and the server's CPU, by subject."""
    times: dict[str, list[tuple[int, int]]] = {}
    stretches = {name: Stretch() for name in SUBJECTS}
    used: dict[str, list[float]] = {}
    chance = random.Random(settings.seed)
    for name in plan:
        settings.say(f"{name}: {seconds:.0f} s")
        watch, begin = Watch(server.process.pid), time.monotonic_ns()
        asyncio.run(_Asking(server, name, stretches[name], chance).run(seconds))
        used.setdefault(name, []).append(watch.stop()["cpu_pct"])
        times.setdefault(name, []).append((begin, time.monotonic_ns()))
    return times, stretches, used


class _Asking:
    """One viewer who searches at a steady pace, whatever becomes of the answers."""

    def __init__(self, server: Engine, name: str, stretch: Stretch, chance: random.Random) -> None:
        self._url = f"{server.url}/api/streams/{STREAM}"
        self._name, self._stretch, self._chance = name, stretch, chance
        self._truth: GroundTruth = load_ground_truth()
        self._mark: tuple[int, int, int] = (0, 0, 0)
        self._held = 0

    async def run(self, seconds: float) -> None:
        """Ask for so long."""
        if self._name == "no searches":
            await asyncio.sleep(seconds)
            return
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(LIMIT_S)) as http:
            await self._find_place(http)
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for number in range(max(2, int(seconds * PER_S[self._name]))):
                    due = began + number / PER_S[self._name]
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    tasks.create_task(self._ask(http, due))

    async def _find_place(self, http: aiohttp.ClientSession) -> None:
        """Which frame of the show the newest keyframe is: told by its picture."""
        async with http.get(f"{self._url}/search") as reply:
            epoch, rtp, _ = (await reply.json())["marks"][-1]
        async with http.get(f"{self._url}/still", params={"epoch": epoch, "rtp": rtp}) as reply:
            picture = _small(Image.open(io.BytesIO(await reply.read())))
        apart = {number: float(np.abs(known - picture).mean()) for number, known in _keyframes().items()}
        best = min(apart, key=apart.__getitem__)
        if apart[best] > 8:
            raise CannotRun(
                f"the picture of the newest keyframe is not in the show ({apart[best]:.0f} of 255)"
            )
        self._mark, self._held = (epoch, rtp, best), 0

    def _moment(self) -> tuple[int, int, tuple[TrueBox, ...]]:
        """A moment of the last seconds at which products can be seen, and what is there."""
        epoch, rtp, number = self._mark
        frames = self._truth.frames
        while True:
            back = self._held or self._chance.randrange(1, int(BACK_S * 30))
            objects = tuple(one for one in frames[(number - back) % len(frames)] if _visible(one))
            if objects:
                self._held = back if self._name == "same frame" else 0
                return epoch, (rtp - back * TICKS) % 2**32, objects
            self._held = 0

    async def _ask(self, http: aiohttp.ClientSession, due: float) -> None:
        epoch, rtp, objects = self._moment()
        wanted = self._chance.choice(objects)
        body: dict[str, object] = {"mode": "look", "epoch": epoch, "rtp": rtp}
        if self._name != "all products":
            body |= {"mode": "similar", "box": _drawn(wanted, self._chance)}
        async with http.post(f"{self._url}/search", json=body) as reply:
            answer = await reply.json()
        if reply.status == 503:
            self._stretch.refused += 1
            return
        if reply.status != 200:
            raise CannotRun(f"search: {reply.status} {answer.get('message', '')}")
        self._stretch.waits_ms.append((time.monotonic() - due) * 1e3)
        for stage, took_ms in answer["took_ms"].items():
            self._stretch.stages_ms.setdefault(stage, []).append(took_ms)
        ids = [hit["card"]["id"] for hit in answer.get("hits", [])]
        there = {one.product_id for one in objects}
        self._stretch.judged += 1
        first = ids[:1] == [wanted.product_id]
        self._stretch.right += first if self._name != "all products" else bool(there & set(ids))


def _visible(one: TrueBox) -> bool:
    """Seen well enough for somebody to draw a box around it."""
    x0, y0, x1, y1 = one.box
    inside = min(x0, y0) >= 0 and max(x1, y1) <= 1
    return bool(one.product_id) and one.visibility >= 0.7 and inside and min(x1 - x0, y1 - y0) >= 0.04


def _drawn(one: TrueBox, chance: random.Random) -> list[float]:
    """The box as somebody might draw it."""
    x0, y0, x1, y1 = one.box
    sides = (x1 - x0, y1 - y0, x1 - x0, y1 - y0)
    return [
        min(1.0, max(0.0, edge + side * chance.uniform(-OFF, OFF)))
        for edge, side in zip(one.box, sides, strict=True)
    ]


def _small(picture: Image.Image) -> NDArray[np.float32]:
    return np.asarray(picture.convert("L").resize((64, 36), Image.Resampling.BOX), np.float32)


def _keyframes() -> dict[int, NDArray[np.float32]]:
    """The show's keyframes by number, small."""
    if not _KNOWN:
        for packet in read_packets(str(SHOW)):
            if packet.kind == "video" and packet.keyframe:
                picture = decode_last("H264", [packet.data]).scaled(128, 72, "rgb")
                _KNOWN[packet.index] = _small(Image.fromarray(picture))
    return _KNOWN


_KNOWN: dict[int, NDArray[np.float32]] = {}


def draw(report: Report, figure: Figure) -> None:
    """Left: how long an answer takes. Right: where the median answer spends its time."""
    rows = [row for row in report.rows if row.get("answer_ms_p50") is not None]
    waits, stages = figure.subplots(1, 2)
    names = [str(row["subject"]) for row in rows]
    for index, q in enumerate((50, 95, 99)):
        values = [float(row.get(f"answer_ms_p{q}") or 0) for row in rows]
        waits.bar([i + 0.25 * index for i in range(len(rows))], values, 0.25, label=f"p{q}")
    waits.set_xticks([i + 0.25 for i in range(len(rows))], names)
    waits.axhline(150, color="black", linewidth=0.8, linestyle="--")
    waits.set_ylabel("from the search to its answer, ms")
    waits.legend()
    left = [0.0] * len(rows)
    for stage in ("decode", "wait", "look"):
        values = [float(row.get(f"{stage}_ms_p50") or 0) for row in rows]
        stages.barh(names, values, left=left, label=stage)
        left = [a + b for a, b in zip(left, values, strict=True)]
    stages.set_xlabel("medians on the server, ms")
    stages.legend()


BENCH = Benchmark("search", run, draw, SUBJECTS)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
