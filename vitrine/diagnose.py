"""What is wrong with a stream, in words an operator can act on ([C])."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from inference.device import DeviceStatistics
from vitrine.figures import Percentiles, StreamFigures

LOW_FPS: Final = 12.0
MISS_SHARE: Final = 0.02
DROP_SHARE: Final = 0.05
STALE_MS: Final = 250.0
OVERLAY_AGE_MS: Final = 400.0
DECODE_MS: Final = 25.0
OVERSHOOT_MS: Final = 25.0
ENOUGH_FRAMES: Final = 30
"""Shares of fewer frames than this say nothing."""

ENOUGH_CANCELLED: Final = 5
"""The mean of fewer cancelled runs than this says nothing."""

UNWATCHED: Final = "unwatched"
"""Reason of frames that are left undecoded because nobody looks at them: nothing is wrong with those."""

_DROP_WORDS: Final = {
    "undecodable": "packets were lost on the way in; check the publisher's network or lower its bitrate",
    "decoder-full": "decoding cannot keep up; lower the publisher's resolution or frame rate",
    "late": "the engine was busy; use a smaller model (inference.rungs), a GPU, or fewer streams",
}


@dataclass(frozen=True, slots=True)
class Recent:
    """Counts of the last ten seconds.

    Attributes:
        frames: frames in.
        detected: with a detection of their own.
        misses: overlays later than the budget, and cancelled runs.
        failed: runs that raised.
        drops: by reason.
    """

    frames: int = 0
    detected: int = 0
    misses: int = 0
    failed: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)


def device_problems(device: DeviceStatistics) -> tuple[str, ...]:
    """Problems of the inference device since the start."""
    found = []
    if device.abandoned:
        found.append(
            f"{device.abandoned} runs would not stop and lost their thread; 'vitrine models check FILE' "
            "tests the model"
        )
    cancelled = device.cancelled + device.abandoned
    mean_ms = device.overshoot_sum_ns / max(1, cancelled) / 1e6
    if mean_ms > OVERSHOOT_MS and cancelled >= ENOUGH_CANCELLED:
        found.append(
            f"{cancelled} cancelled runs gave the device back {mean_ms:.0f} ms after their deadline on "
            "average: this model or provider can hardly be stopped; raise inference.budget_ms or use a "
            "smaller size"
        )
    return tuple(found)


def diagnose(figures: StreamFigures, recent: Recent) -> tuple[str, ...]:
    """Problems of one stream, worst first; empty when it does well or is not live.

    Every sentence says what was seen, over the last ten seconds, and what helps.
    """
    if not figures.live:
        return ()
    found = [*_no_picture(figures, recent), *_detector(figures, recent), *_lateness(figures, recent)]
    found += _drops(recent)
    found += _viewers(figures)
    found += _sent_on(figures)
    return tuple(found)


def _sent_on(figures: StreamFigures) -> list[str]:
    sent_on = figures.video.republish if figures.video is not None else None
    if sent_on is None or sent_on.state != "retrying":
        return []
    return [f"not re-published to {sent_on.host}: {sent_on.reason}; trying again by itself"]


def _share(part: int, whole: int) -> float:
    return part / whole if whole >= ENOUGH_FRAMES else 0.0


def _p95(values: Percentiles | None) -> float:
    return (values.p95 if values else None) or 0.0


def _no_picture(figures: StreamFigures, recent: Recent) -> list[str]:
    if recent.drops.get(UNWATCHED):
        return []
    if recent.frames == 0:
        return ["no frame arrived in the last 10 s; the publisher is connected but sends no video"]
    if figures.fps_in < LOW_FPS:
        return [
            f"only {figures.fps_in:.0f} frames a second arrive; check the publisher's network, light and "
            "settings"
        ]
    return []


def _detector(figures: StreamFigures, recent: Recent) -> list[str]:
    found = []
    if recent.failed:
        found.append(
            f"the detector failed on {recent.failed} frames in the last 10 s; the log has the reason, "
            "'vitrine models check FILE' tests the model"
        )
    if recent.frames >= ENOUGH_FRAMES and not recent.detected and figures.viewers and not recent.failed:
        found.append(
            f"no frame was detected in the last 10 s; the budget of {figures.budget_ms:.0f} ms is too short "
            "for this model: raise inference.budget_ms or add a smaller size to inference.rungs"
        )
    stale = _p95(figures.staleness_ms)
    watched = figures.viewers and not recent.drops.get(UNWATCHED)  # else detections are rare on purpose
    if recent.detected and watched and stale > STALE_MS:
        found.append(
            f"hotspots rest on detections {stale:.0f} ms old (p95); the device is overloaded: fewer streams, "
            "a smaller model, or a GPU"
        )
    return found


def _lateness(figures: StreamFigures, recent: Recent) -> list[str]:
    share = _share(recent.misses, recent.frames)
    if share <= MISS_SHARE:
        return []
    slowest = max(figures.stages_ms, key=lambda name: _p95(figures.stages_ms[name]), default="")
    words = {
        "detect": "the detector takes",
        "queue": "frames wait for the device for",
        "receive": "decoding takes",
        "embed": "comparing products takes",
    }.get(slowest, f"stage {slowest!r} takes")
    because = f"; {words} {_p95(figures.stages_ms.get(slowest)):.0f} ms at p95" if slowest else ""
    budget = f"{figures.budget_ms:.0f} ms budget"
    return [f"{share * 100:.1f} % of frames missed the {budget} in the last 10 s{because}"]


def _drops(recent: Recent) -> list[str]:
    return [
        f"{count} frames dropped in the last 10 s ({reason}): {_DROP_WORDS.get(reason, 'see the log')}"
        for reason, count in sorted(recent.drops.items(), key=lambda item: -item[1])
        if reason != UNWATCHED and _share(count, recent.frames + count) > DROP_SHARE
    ]


def _viewers(figures: StreamFigures) -> list[str]:
    found = []
    age = _p95(figures.overlay_age_ms)
    if figures.viewers and age > OVERLAY_AGE_MS:
        found.append(
            f"viewers see hotspots {age:.0f} ms old (p95, as they report); their networks are slow, "
            "or detections too rare"
        )
    decode = _p95(figures.stages_ms.get("receive"))
    if decode > DECODE_MS:
        h264 = figures.source is not None and figures.source.codec == "H264"
        cheaper = (
            "lower the resolution or the frame rate" if h264 else "lower the resolution, or publish H264"
        )
        found.append(f"decoding takes {decode:.0f} ms at p95; {cheaper}")
    if figures.source is not None and figures.source.transcoded:
        found.append(
            f"{figures.source.codec} is transcoded for viewers, which costs a core or so; "
            "send H264 without B-frames to pass it through"
        )
    return found
