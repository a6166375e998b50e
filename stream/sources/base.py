"""Sources by URL scheme. A source is made by name, imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast
from urllib.parse import urlsplit

from stream.clock import Clock
from stream.errors import SourceError
from stream.types import StreamId, VideoSource

SOURCES: dict[str, str] = {
    "file": "stream.sources.file:FileSource",
    "http": "stream.sources.file:FileSource",
    "https": "stream.sources.file:FileSource",
    "rtsp": "stream.sources.file:FileSource",
    "rtsps": "stream.sources.file:FileSource",
    "rtmp": "stream.sources.file:FileSource",
    "rtmps": "stream.sources.file:FileSource",
    "srt": "stream.sources.file:FileSource",
    "udp": "stream.sources.file:FileSource",
    "whep": "stream.sources.whep:WhepSource",
    "wheps": "stream.sources.whep:WhepSource",
    "synthetic": "stream.sources.synthetic:SyntheticSource",
}
"""Scheme -> "module:Class". To add a source, write a module with such a class and name it here."""


class SourceFactory(Protocol):
    """How every source is made."""

    def __call__(
        self, url: str, stream: StreamId, clock: Clock, *, loop: bool = False, epoch: int = 1
    ) -> VideoSource:
        """Make a source; nothing is opened before `run`."""


def open_source(
    url: str, stream: StreamId, clock: Clock, *, loop: bool = False, epoch: int = 1
) -> VideoSource:
    """The source for an address. A plain path is a file.

    Args:
        url: address; `whep://host/path` means WHEP over http, `wheps://` over https.
        stream: whose media it will be.
        clock: the one clock.
        loop: begin again at the end, where there is one.
        epoch: number of this connection.

    Raises:
        SourceError: no source is known for the scheme.
    """
    scheme = urlsplit(url).scheme.lower() if "://" in url else "file"
    target = SOURCES.get(scheme)
    if target is None:
        raise SourceError(
            f"source: got scheme {scheme[:20]!r}, expected one of {', '.join(SOURCES)} or a path",
            code="source-scheme",
        )
    module, _, name = target.partition(":")
    factory = cast(SourceFactory, getattr(import_module(module), name))
    return factory(url, stream, clock, loop=loop, epoch=epoch)
