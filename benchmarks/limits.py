"""What limits the targets that are missed, in words; docs/benchmarks.md says it of those that really are."""

from __future__ import annotations

from typing import Final

from benchmarks.report import Target

LIMITS: Final[dict[str, dict[str, str]]] = {
    "match": {
        "top-1 after 10 views": (
            "most of the wrong tracks are one carton taken for its organic sibling, which the embedder does "
            "not tell apart: its model card says what was tried."
        ),
    },
    "index": {
        "16 callers": (
            "sixteen callers share two cores: those that wait are served together, and each waits for up to "
            "two such runs and for being woken. What threads on hnswlib take is in the table beside it."
        ),
    },
    "models": {
        "AUROC": (
            "nineteen photographed cartons are few, and siblings of one brand make the other half of the "
            "split; the row with one carton left out at a time is the steadier figure."
        ),
    },
    "whep": {
        "frames delivered": (
            "the largest crowd nearly fills its core, and a frame that finds a viewer's queue full is left "
            "out, with what follows up to the next keyframe."
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
