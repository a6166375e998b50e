"""What to do when a model stops working while the show goes on: new sessions, or another provider.

A device that fails (a driver reset, memory taken by somebody else) fails every run. After some failures in
a row the models get new sessions on the CPU, which is slower and works; what failed on the CPU gets new
sessions once. A session whose run never came back is replaced, because nobody knows what it holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

log = logging.getLogger(__name__)

CPU = "cpu"
LIMIT = 3
"""Failures in a row after which something is done."""


class Renewable(Protocol):
    """A model that can be loaded again (`inference.runtime.OrtModel`)."""

    @property
    def provider(self) -> str:
        """What it runs on."""

    def renew(self, provider: str | None = None) -> None:
        """Load it into a new session, on `provider` if given. Blocking."""


class Recovery:
    """Watches the models of one device. `renew` on the device's thread, all else on the event loop.

    Args:
        models: all that run on the device.
        on_renewed: called after a renewal, on the event loop's turn that reports it: what was learned of the
            old sessions no longer holds.
    """

    def __init__(self, models: Sequence[Renewable], on_renewed: Callable[[], None] = lambda: None) -> None:
        self._models = models
        self._on_renewed = on_renewed
        self._in_row = 0
        self._due = False
        self._tried_cpu = False
        self._lock = threading.Lock()
        self._told: list[str] = []
        self._fall_back = False
        self._message = ""

    @property
    def told(self) -> tuple[str, ...]:
        """What happened, in words for the operator."""
        with self._lock:
            return tuple(self._told)

    def worked(self) -> None:
        """A run ended well."""
        self._in_row = 0
        self._tried_cpu = False

    def failed(self, message: str) -> bool:
        """A run raised; returns whether `renew` is to be run on the device's thread now."""
        self._in_row += 1
        if self._in_row < LIMIT or self._due or self._tried_cpu:
            return False
        self._fall_back, self._message = self._provider() != CPU, message
        self._tried_cpu = not self._fall_back
        self._due = True
        return True

    def stuck(self) -> bool:
        """A run did not come back; returns whether `renew` is to be run now."""
        if self._due:
            return False
        self._fall_back, self._message = False, "a run did not come back"
        self._due = True
        return True

    def renew(self) -> None:
        """Load every model anew. Blocking.

        Raises:
            ModelError: one cannot be loaded; it stays as it was.
        """
        before = self._provider()
        for model in self._models:
            model.renew(CPU if self._fall_back else None)
        if self._fall_back:
            words = (
                f"{before} failed ({self._message}); recognition runs on the CPU, slower, until the restart"
            )
        else:
            words = f"the models were loaded anew after a failure ({self._message})"
        log.warning("models renewed", extra={"reason": words})
        with self._lock:
            if words not in self._told:
                self._told.append(words)

    def renewed(self) -> None:
        """`renew` has ended, well or not."""
        self._due, self._in_row = False, 0
        self._on_renewed()

    def _provider(self) -> str:
        return next((model.provider for model in self._models if model.provider != CPU), CPU)
