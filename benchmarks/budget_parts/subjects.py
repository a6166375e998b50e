"""Running one subject through one scenario: start, publish, disturb, watch, collect."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from benchmarks.budget_parts.clip import SECONDS, found_box, long_clip, slow_clip
from benchmarks.budget_parts.scoring import Answer
from benchmarks.engine import KEY, OPERATOR_KEY, Engine, catalogue, engine
from benchmarks.harness import CannotRun
from benchmarks.painted.blob import ONE_RUNG, write_embedder, write_model
from benchmarks.peers.registry import Peer
from benchmarks.procs import Child, Watch, busy, child, free_port, two_cores, wait_until
from benchmarks.publish import SHARED, moving_square, publisher
from benchmarks.stats import rtp_after
from benchmarks.viewer import viewer
from inference.embedded import EMBEDDER, WEIGHTS

YOLOX = SHARED / "models" / "detect" / "yolox_nano.onnx"
COCO = SHARED / "models" / "detect" / "coco80.txt"
BUDGET_MS = 60
SETTLE_S = 4.0
BUSY_S = 10.0
PROBE_S = 0.05

Counted = tuple[int | None, int | None]
"""Frames that came, and frames that the subject says it dropped; None where it does not tell."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of the five questions.

    Attributes:
        key: letter.
        words: for the rows.
        streams: published at once.
        ticks: RTP ticks from frame to frame.
        takes_ms: a handler of this length instead of the detector; 0 for the detector.
        hogs: processes that spin for ten seconds in the middle.
        seconds: measured, unless the command line says otherwise.
    """

    key: str
    words: str
    streams: int = 1
    ticks: int = 3000
    takes_ms: int = 0
    hogs: int = 0
    seconds: float = 16.0

    @property
    def clip(self) -> Path:
        """What is published."""
        if self.takes_ms:
            return moving_square(SECONDS)
        return slow_clip(long_clip()) if self.ticks != 3000 else long_clip()

    @property
    def frame_ms(self) -> float:
        """From frame to frame."""
        return self.ticks / 90


SCENARIOS = (
    Scenario("a", "one stream"),
    Scenario("b", "four streams", streams=4),
    Scenario("c", "two busy processes in the middle", hogs=2, seconds=26.0),
    Scenario("d", "announces 30, delivers 25 fps", ticks=3600),
    Scenario("e", "handler of 100 ms", takes_ms=100),
)


@dataclass(slots=True)
class Taken:
    """What a run gave.

    Attributes:
        answers: one list per stream, those before the measured stretch included.
        begin_ns: of the measured stretch.
        end_ns: of the measured stretch.
        hog_ns: the disturbed stretch, where there was one.
        probes_ms: how long the server took to answer a trivial request, twenty times a second.
        used: CPU, memory and what others used (`benchmarks.procs.Watch`).
        rss: (s, MiB) samples.
        cpu_s: processor seconds of the server(s).
        came: frames that arrived meanwhile, all streams together; None where the answers have to tell.
        dropped: frames that the subject itself says it dropped; None where it does not say.
        note: what went otherwise than planned.
    """

    answers: list[list[Answer]]
    begin_ns: int
    end_ns: int
    hog_ns: tuple[int, int] | None = None
    probes_ms: list[float] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)
    rss: list[tuple[float, float]] = field(default_factory=list)
    cpu_s: float = 0.0
    came: int | None = None
    dropped: int | None = None
    note: str = ""


class Probe:
    """Asks a trivial question again and again: what an event loop's lag looks like from outside."""

    def __init__(self, url: str) -> None:
        self.took_ms: list[float] = []
        parts = urlsplit(url)
        self._host, self._path = parts.netloc, parts.path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True, name="probe")
        self._thread.start()

    def stop(self) -> list[float]:
        """Times in ms."""
        self._over.set()
        self._thread.join(30)
        return self.took_ms

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        while not self._over.wait(PROBE_S):
            began = time.monotonic()
            try:
                connection.request("GET", self._path)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
            self.took_ms.append((time.monotonic() - began) * 1000)


# ---- Vitrine -----------------------------------------------------------------------------------------------


def vitrine(scenario: Scenario, folder: Path, seconds: float, enough_hz: int = 0) -> Taken:
    """Run Vitrine through `scenario`, with as many detections a second as are said to be enough."""
    ours, others = two_cores()
    names = [f"bench{number}" for number in range(scenario.streams)]
    with ExitStack() as stack:
        sections = _sections(scenario, folder, enough_hz)
        blob = scenario.takes_ms > 0
        server = stack.enter_context(engine(folder, sections, blob=blob, cores=ours))
        for name in names:
            stack.enter_context(viewer(f"{server.url.replace('http', 'ws', 1)}/ws/{name}"))
        sending = [
            stack.enter_context(publisher(scenario.clip, f"{server.url}/whip/{name}", KEY, others))
            for name in names
        ]

        def flows() -> bool:
            return {str(line["stream"]) for line in server.lines()} >= set(names)

        wait_until(flows, 30, lambda: f"no overlay; {server.process.tail()} {sending[0].tail()}")
        taken = _measure(
            [server.process], f"{server.url}/healthz", scenario, seconds, lambda: (None, dropped(server))
        )
        for one in sending:
            one.check()
    lines = server.lines()
    taken.answers = [
        _numbered([line for line in lines if line["stream"] == name], scenario.ticks, _ours) for name in names
    ]
    return taken


def _sections(scenario: Scenario, folder: Path, enough_hz: int) -> dict[str, dict[str, object]]:
    inference: dict[str, object] = {"show_unsure": True, "budget_ms": BUDGET_MS, "enough_hz": enough_hz}
    if scenario.takes_ms or not (WEIGHTS / EMBEDDER).exists():
        inference["embedder"] = str(write_embedder(folder / "embedder.onnx"))
    if scenario.takes_ms:
        model = write_model(folder / "blob.onnx", scenario.takes_ms)
        inference |= {"detector": str(model), "rungs": list(ONE_RUNG)}
    else:
        inference["detector"] = str(YOLOX)
    # The recorder is full before memory is looked at.
    full: dict[str, object] = {"keep_ms": int(1000 * SETTLE_S)}
    return {"inference": inference, "catalog": {"feed": str(catalogue(folder))}, "search": full}


def dropped(server: Engine) -> int:
    """Frames that the operator's figures say got no overlay, all streams and reasons together."""
    request = Request(f"{server.url}/api/operator", headers={"Authorization": f"Bearer {OPERATOR_KEY}"})
    with urlopen(request, timeout=10) as answer:
        return sum(sum(stream["drops"].values()) for stream in json.load(answer)["streams"])


def _ours(line: Mapping[str, object]) -> tuple[bool, Sequence[Sequence[object]]]:
    boxes = line.get("boxes")
    assert isinstance(boxes, list)
    return line["outcome"] == "detected", boxes


# ---- the others --------------------------------------------------------------------------------------------


def peer(peer: Peer, scenario: Scenario, folder: Path, seconds: float) -> Taken:
    """Run `peer` through `scenario`, a process for each stream."""
    ours, others = two_cores()
    classes = COCO.read_text(encoding="utf-8").split("\n") if COCO.exists() else []
    traces = [folder / f"trace{number}.jsonl" for number in range(scenario.streams)]
    what = ["--takes-ms", str(scenario.takes_ms)] if scenario.takes_ms else ["--model", str(YOLOX)]
    with ExitStack() as stack:
        servers: list[Child] = []
        urls: list[str] = []
        for trace in traces:
            command = peer.command("--port", str(free_port()), "--trace", trace, *what)
            servers.append(stack.enter_context(child(peer.name, command, cores=ours)))
            urls.append(servers[-1].line("ready", 90))
        if peer.watched:
            for url in urls:
                stack.enter_context(viewer(f"{url.replace('http', 'ws', 1)}/ws/bench"))
        sending = [
            stack.enter_context(publisher(scenario.clip, f"{url}/whip/bench", "", others)) for url in urls
        ]

        def flows() -> bool:
            return all(trace.exists() and trace.stat().st_size > 300 for trace in traces)

        wait_until(flows, 30, lambda: f"no answer; {servers[0].tail()} {sending[0].tail()}")
        taken = _measure(servers, f"{urls[0]}/count", scenario, seconds, lambda: _counted(urls))
        if any(one.process.poll() is not None for one in sending):
            taken.note = "the publisher gave up before the end"

    def theirs(line: Mapping[str, object]) -> tuple[bool, Sequence[Sequence[object]]]:
        boxes = line.get("boxes")
        assert isinstance(boxes, list)
        return True, [(*box[:5], classes[int(box[5])]) for box in boxes]

    taken.answers = [_numbered(_read(trace), scenario.ticks, theirs, first=0) for trace in traces]
    return taken


def _counted(urls: Sequence[str]) -> Counted:
    """Of all of these servers together."""
    came, gone = 0, list[int | None]()
    for url in urls:
        with urlopen(f"{url}/count", timeout=30) as answer:
            figures = json.load(answer)
        came += figures["in"]
        gone.append(figures.get("dropped"))
    return came, None if None in gone else sum(one or 0 for one in gone)


def _read(trace: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in trace.read_text().splitlines() if line.endswith("}")]


# ---- both --------------------------------------------------------------------------------------------------


def _measure(
    servers: Sequence[Child],
    asked: str,
    scenario: Scenario,
    seconds: float,
    count: Callable[[], Counted],
) -> Taken:
    """Let it settle, then watch it for `seconds`, disturbed in the middle if the scenario says so."""
    time.sleep(SETTLE_S)
    probe = Probe(asked)
    watches = [Watch(server.pid) for server in servers]
    before = count()
    begin_ns, hog_ns = time.monotonic_ns(), None
    if scenario.hogs:
        busy_s = min(BUSY_S, seconds / 2)
        time.sleep((seconds - busy_s) / 2)
        with _hogs(scenario.hogs) as started_ns:
            time.sleep(busy_s)
        hog_ns = (started_ns, time.monotonic_ns())
        time.sleep((seconds - busy_s) / 2)
    else:
        time.sleep(seconds)
    end_ns = time.monotonic_ns()
    came, gone = (
        None if old is None or new is None else new - old for old, new in zip(before, count(), strict=True)
    )
    used = [watch.stop() for watch in watches]
    totals = {name: round(sum(one[name] for one in used), 2) for name in ("cpu_pct", "rss_mib")}
    totals["others_cores"] = used[0]["others_cores"]
    cpu_s = totals["cpu_pct"] / 100 * (end_ns - begin_ns) / 1e9
    lag_ms = probe.stop()
    return Taken([], begin_ns, end_ns, hog_ns, lag_ms, totals, watches[0].rss, cpu_s, came, gone)


@contextmanager
def _hogs(count: int) -> Iterator[int]:
    """Processes that spin; yields when they began."""
    with ExitStack() as stack:
        for number in range(count):
            stack.enter_context(busy(f"hog {number}"))
        yield time.monotonic_ns()


def _numbered(
    lines: Sequence[Mapping[str, object]],
    ticks: int,
    said: object,
    first: int | None = None,
) -> list[Answer]:
    """Trace lines as answers; frames are counted from the first line's, or from RTP time `first`."""
    if not lines:
        return []
    assert callable(said)
    ordered = sorted(lines, key=lambda line: _int(line["sent_ns"]))
    base = _int(ordered[0]["rtp"]) if first is None else first
    found = []
    for line in ordered:
        frame = round(rtp_after(_int(line["rtp"]), base) / ticks)
        measured, boxes = said(line)
        rows = tuple(found_box(box) for box in boxes)
        found.append(Answer(frame, _int(line["arrived_ns"]), _int(line["sent_ns"]), measured, rows))
    return found


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise CannotRun(f"trace: got {value!r}, expected a whole number")
    return value
