"""Several models on one ladder: a good one for calm times, a fast one below it for busy ones.

Each keeps its own input sizes. Its scores are put on the first one's scale by the working points of both, and
its classes by name: a class that the first one does not know is a label of its own.
"""

from __future__ import annotations

from dataclasses import replace

from inference.detection import LoadedDetector
from inference.errors import ModelError


def joined(first: LoadedDetector, others: tuple[LoadedDetector, ...]) -> LoadedDetector:
    """`first` with the rungs of `others` on its ladder.

    Raises:
        ModelError: a further model shares no class with the first: tracks could not go on from one to the
            other.
    """
    mine = _labels(first)
    for other in others:
        if not mine & _labels(other):
            raise ModelError(
                f"{other.info.path}: knows {_some(_labels(other))}, and shares no class with "
                f"{first.info.path} ({_some(mine)}): their boxes cannot belong to one object. Use models of "
                "the same classes on one ladder, or name them alike with inference.names"
            )
    return replace(first, others=others) if others else first


def _labels(loaded: LoadedDetector) -> frozenset[str]:
    return frozenset(loaded.detector.names if loaded.classes is None else loaded.classes.names)


def _some(names: frozenset[str]) -> str:
    shown = sorted(names)[:6]
    return ", ".join(shown) + (" and more" if len(names) > len(shown) else "")
