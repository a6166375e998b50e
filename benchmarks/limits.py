"""What limits the targets that are missed, in words; docs/benchmarks.md says it of those that really are."""

from __future__ import annotations

from typing import Final

from benchmarks.report import Target

LIMITS: Final[dict[str, dict[str, str]]] = {
    "track": {
        "DanceTrack-val-sim k1: display worse than trackforge TrackTrack + looks in centre_error_px": (
            "10.55 pixels against 10.49. That peer shows its detections as they are, and the errors of these "
            "simulated detections last for about ten frames, so that a filter has nothing to average. Ours, "
            "shown as they are, come to 10.50 and tremble more."
        ),
    },
    "match": {
        "top-1 after 10 views": (
            "most of the wrong tracks are one carton taken for its organic sibling, which the embedder does "
            "not tell apart: its model card says what was tried."
        ),
    },
    "index": {
        "16 callers": (
            "sixteen callers share two cores: those that wait are served together, fifteen in 6 ms, and each "
            "waits for up to two such runs and for being woken. Threads on hnswlib itself take twice as long."
        ),
    },
    "models": {
        "AUROC": (
            "nineteen photographed cartons are few, and siblings of one brand make the other half of the "
            "split: left out one at a time they come to .81."
        ),
    },
    "whep": {
        "frames delivered": (
            "200 viewers take four fifths of one core, and a frame that finds a viewer's queue full is left "
            "out up to the next keyframe. On a faster day of the same machine it was 100 %."
        ),
    },
    "fanout": {
        "p99": (
            "5,000 writes take the kernel most of that time: raw asyncio, which only writes, is in the table "
            "beside it."
        ),
    },
}
"""By benchmark and part of the target's name."""


def limits(bench: str, targets: list[Target]) -> list[str]:
    """Why targets of `bench` are missed, for those that are and of which it is known."""
    known = LIMITS.get(bench, {})
    missed = [target.name for target in targets if not target.ok]
    return [f"{name}: {words}" for name in missed for part, words in known.items() if part in name]
