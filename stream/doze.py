"""Which access units need decoding at once while nobody looks at a stream's pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LOOK_NS: Final = 2_000_000_000
"""How often a stream that nobody watches is looked at: the publisher is asked for a keyframe so often."""
KEEP_NS: Final = 3_000_000_000
"""Access units are kept undecoded for so long at most,"""
MOST: Final = 90
"""and so many: they are decoded in about a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """What to do about one access unit.

    Attributes:
        first: to be decoded before it, in order, their pictures not needed.
        now: it is to be decoded now; otherwise it is kept.
        skipped: access units whose picture nobody will see, because of this step.
        ask: a keyframe would spare decoding what lies between.
    """

    first: tuple[T, ...] = ()
    now: bool = True
    skipped: int = 0
    ask: bool = False


class Doze(Generic[T]):
    """Keeps what nobody needs decoded, so that decoding can go on at any frame without a keyframe.

    While pictures are not wanted only keyframes are decoded: each makes what was kept before it superfluous.
    A publisher is asked for one every `LOOK_NS`; of one who sends none, what was kept for `KEEP_NS` is
    decoded together, so that catching up stays short. Wanted again, all that was kept is decoded
    first, at once: the pictures that follow are exact.
    """

    def __init__(self) -> None:
        self._kept: list[T] = []
        self._asked_ns = 0
        self._since_ns = 0

    def step(self, unit: T, *, keyframe: bool, wanted: bool, now_ns: int) -> Step[T]:
        """Take the next access unit, in decoding order.

        Args:
            unit: it.
            keyframe: it needs none before it.
            wanted: somebody looks at the pictures.
            now_ns: the present.
        """
        if keyframe:
            self._asked_ns = self._since_ns = now_ns
            return Step(skipped=self.forget())
        if not wanted and len(self._kept) < MOST - 1 and now_ns - self._since_ns < KEEP_NS:
            self._kept.append(unit)
            return Step(now=False, ask=self._due(now_ns))
        first = tuple(self._kept)
        self._since_ns = now_ns
        return Step(first, skipped=self.forget())

    def forget(self) -> int:
        """Keep nothing any more; the access units that were."""
        count = len(self._kept)
        self._kept = []
        return count

    def _due(self, now_ns: int) -> bool:
        if now_ns - self._asked_ns < LOOK_NS:
            return False
        self._asked_ns = now_ns
        return True
