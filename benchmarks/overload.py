"""Does a detector ten times too slow let frame age or memory grow, or lose a frame uncounted?

Thirty frames a second come in through real WebRTC; one detection takes a third of a second. Frame age is
that of the overlays made *by* a detection (Vitrine answers the frames in between at once, with predictions:
they are listed, and not judged). Peers get the same handler.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.engine import KEY, catalogue, engine
from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.painted.blob import ONE_RUNG, write_embedder, write_model
from benchmarks.peers.registry import PEERS, Peer
from benchmarks.procs import Watch, child, free_port, two_cores, wait_until
from benchmarks.publish import moving_square, publisher
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import percentile, rtp_after, spread
from benchmarks.trace import overlays, worst_growth
from benchmarks.viewer import viewer

HANDLER_MS = 333
SUBJECTS = ("vitrine", *PEERS)
CURVE_POINTS = 30


def run(settings: Settings) -> Outcome:
    """One row per subject."""
    seconds = settings.seconds or (15.0 if settings.quick else 60.0)
    clip = moving_square()
    rows: list[Row] = []
    targets: list[Target] = []
    for name in SUBJECTS:
        if not settings.wants(name) or (settings.quick and name == "fastrtc"):
            continue
        length = min(seconds, 8.0) if settings.quick and name != "vitrine" else seconds
        settings.say(f"{name}: {length:.0f} s")
        with tempfile.TemporaryDirectory() as folder:
            if name == "vitrine":
                row = _vitrine(Path(folder), clip, length)
                targets = _judge(row, long_enough=length >= 30)
            else:
                row = _peer(PEERS[name], Path(folder), clip, length)
        rows.append({"subject": name, "handler_ms": HANDLER_MS, "seconds": length, **row})
    return rows, targets


def _judge(row: Row, long_enough: bool) -> list[Target]:
    targets = [
        judge(
            "age of a detected frame, p99, in handler times", value_of(row, "age_in_handlers"), "<= 1.2", "x"
        ),
        judge(
            "frames in that are neither processed, dropped nor on their way",
            value_of(row, "lost"),
            "<= 0",
            "frames",
        ),
    ]
    if long_enough:
        growth = value_of(row, "age_growth")
        targets.append(judge("age at the end against age at the start", growth, "<= 1.1", "x"))
        targets.append(
            judge(
                "memory growth from second to last quarter", value_of(row, "rss_growth_mib"), "<= 10", "MiB"
            )
        )
    return targets


def _vitrine(folder: Path, clip: Path, seconds: float) -> Row:
    sections: dict[str, dict[str, object]] = {
        "inference": {
            "detector": str(write_model(folder / "blob.onnx", HANDLER_MS)),
            "embedder": str(write_embedder(folder / "embedder.onnx")),
            "budget_ms": 2000,
            "rungs": list(ONE_RUNG),
        },
        "catalog": {"feed": str(catalogue(folder))},
    }
    ours, others = two_cores()
    with engine(folder, sections, blob=True, cores=ours) as server:
        with viewer(server.websocket), publisher(clip, server.whip, KEY, others) as sending:
            wait_until(
                lambda: len(server.lines()) > 5, 20, lambda: f"{server.process.tail()} {sending.tail()}"
            )
            watch, begin = Watch(server.process.pid), time.monotonic_ns()
            time.sleep(seconds)
            sending.check()
            used = watch.stop()
            figures = server.figures()
    # Only a server that has ended has written its whole trace.
    measured = [one for one in overlays(server.lines()) if one.sent_ns >= begin]
    detected = [((one.sent_ns - begin) / 1e9, one.age_ms) for one in measured if one.outcome == "detected"]
    others_age = [one.age_ms for one in measured if one.outcome != "detected"]
    return {
        **_ages(detected),
        **spread(others_age, "age_predicted_ms"),
        **accounts(figures),
        "without_overlay": _uncovered([one.rtp for one in measured]),
        **_memory(watch.rss),
        **used,
    }


def accounts(figures: Mapping[str, object]) -> Row:
    """Where the frames went, from the operator's figures.

    Every decoded frame ends as processed or dropped ("late", for a newer one), but for two that may be on the
    way: one with the device, one in the slot. What the decoder refused was never "in", and is listed beside.
    """
    frames, drops = figures["frames"], figures["drops"]
    assert isinstance(frames, dict) and isinstance(drops, dict)
    processed = sum(frames[word] for word in ("detected", "propagated", "cancelled", "failed"))
    late = drops.get("late", 0)
    return {
        "frames_in": frames["in"],
        "processed": processed,
        "dropped": late,
        "dropped_before_decoding": sum(drops.values()) - late,
        "lost": max(0, frames["in"] - processed - late - 2),
    }


def _uncovered(stamps: Sequence[int]) -> int | None:
    """Frames of a 30 fps stretch that never had an overlay, by the gaps in the RTP timestamps that had."""
    if not stamps:
        return None
    span = max(rtp_after(stamp, stamps[0]) for stamp in stamps) - min(
        rtp_after(stamp, stamps[0]) for stamp in stamps
    )
    return round(span / 3000) + 1 - len(set(stamps))


def _peer(peer: Peer, folder: Path, clip: Path, seconds: float) -> Row:
    if peer.missing:
        return {"note": f"left out: {peer.missing}"}
    ours, others = two_cores()
    trace = folder / "trace.jsonl"
    command = peer.command("--port", str(free_port()), "--trace", trace, "--takes-ms", str(HANDLER_MS))
    with child(peer.name, command, cores=ours) as server:
        url = server.line("ready", 60)
        with publisher(clip, f"{url}/whip/bench", "", others) as sending:
            wait_until(lambda: trace.stat().st_size > 100, 20, lambda: f"{server.tail()} {sending.tail()}")
            watch, begin = Watch(server.pid), time.monotonic_ns()
            time.sleep(seconds)
            note = "" if sending.process.poll() is None else "the publisher gave up before the end"
            used = watch.stop()
            with urllib.request.urlopen(f"{url}/count", timeout=10) as answer:
                frames_in = json.load(answer)["in"]
        lines = [json.loads(line) for line in trace.read_text().splitlines() if line.endswith("}")]
    ages = [
        ((one["sent_ns"] - begin) / 1e9, (one["sent_ns"] - one["arrived_ns"]) / 1e6)
        for one in lines
        if one["sent_ns"] >= begin
    ]
    return {
        **_ages(ages),
        "frames_in": frames_in,
        "processed": len(lines),
        "lost": None,
        "note": note or None,
        **_memory(watch.rss),
        **used,
    }


def _ages(points: Sequence[tuple[float, float]]) -> Row:
    """Percentiles, growth and a thinned curve (``t:age`` pairs) of (seconds, ms) points."""
    ages = [age for _, age in points]
    step = max(1, len(points) // CURVE_POINTS)
    return {
        **spread(ages, "age_ms"),
        "age_end_ms": round(ages[-1], 1) if ages else None,
        "age_in_handlers": round(percentile(ages, 99) / HANDLER_MS, 3),
        "age_growth": round(worst_growth(points), 3),
        "age_curve": " ".join(f"{t:.1f}:{age:.0f}" for t, age in points[::step]),
    }


def _memory(samples: Sequence[tuple[float, float]]) -> Row:
    """How much the median of the last quarter lies above that of the second (the first warms up)."""
    size = len(samples) // 4
    second, last = samples[size : 2 * size], samples[3 * size :]
    middle = [percentile([mib for _, mib in quarter], 50) for quarter in (second, last)]
    return {"rss_growth_mib": round(middle[1] - middle[0], 1)}


def curve(text: str) -> tuple[list[float], list[float]]:
    """The thinned curve of a row back as two lists."""
    pairs = [pair.split(":") for pair in text.split()]
    return [float(t) for t, _ in pairs], [float(age) for _, age in pairs]


def draw(report: Report, figure: Figure) -> None:
    """Frame age over time, one line per subject."""
    axes = figure.subplots()
    for row in report.rows:
        if row.get("age_curve"):
            axes.plot(*curve(str(row["age_curve"])), marker=".", label=str(row["subject"]))
    axes.axhline(HANDLER_MS, color="black", linewidth=0.8, linestyle="--", label="handler")
    axes.set_yscale("log")
    axes.set_xlabel("seconds under overload")
    axes.set_ylabel("age of a frame when it is answered, ms")
    axes.legend()


BENCH = Benchmark("overload", run, draw, SUBJECTS)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
