"""A real websocket viewer, in a thread of the benchmark: notes when every message came."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect


class Viewer:
    """What came in.

    Attributes:
        messages: (`time.monotonic_ns` of arrival, text).
        error: why it ended early, in words; empty while all is well.
    """

    def __init__(self, url: str) -> None:
        self.messages: list[tuple[int, str]] = []
        self.error = ""
        self._url = url
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="viewer")
        self._thread.start()

    def first_seen(self) -> dict[tuple[int, bool], int]:
        """When each overlay was first there: (rtp, measured) -> `time.monotonic_ns`."""
        seen: dict[tuple[int, bool], int] = {}
        for came_ns, text in self.messages:
            message = json.loads(text)
            if message.get("t") == "pos":
                for sample in message["s"]:
                    seen.setdefault((sample[1], bool(sample[2])), came_ns)
        return seen

    def leave(self) -> None:
        """Close the connection."""
        self._leaving.set()
        self._thread.join(5)

    def _watch(self) -> None:
        try:
            with connect(self._url, compression=None, open_timeout=10) as socket:
                socket.send('{"t":"hello","v":1}')
                while not self._leaving.is_set():
                    with suppress(TimeoutError):
                        text = socket.recv(timeout=0.25)
                        self.messages.append((time.monotonic_ns(), text if isinstance(text, str) else ""))
        except (OSError, WebSocketException) as error:
            self.error = str(error)


@contextmanager
def viewer(url: str) -> Iterator[Viewer]:
    """A viewer of the websocket `url` while the block lasts."""
    watching = Viewer(url)
    try:
        yield watching
    finally:
        watching.leave()
