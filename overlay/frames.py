"""Where a viewer's frames begin, as far as that can be told without reading them. No socket, no clock."""

from __future__ import annotations

PONG = b"\x8a\x84"
"""How a masked pong with a payload of four bytes begins (RFC 6455, 5.5.3)."""
PONG_SIZE = 10


class FrameScan:
    """Whether a viewer's bytes are between two frames, without reading what is in them.

    Gives up (`at_start` stays False) where a frame is cut by the network: rare, and only slower.

    Attributes:
        at_start: the next byte begins a frame.
    """

    __slots__ = ("at_start",)

    def __init__(self) -> None:
        self.at_start = True

    def pass_by(self, data: bytes) -> None:
        """Step over whole masked frames (RFC 6455, 5.2), lengths of 64 bits not included."""
        at, end = 0, len(data)
        while self.at_start and at < end:
            size = data[at + 1] & 0x7F if at + 1 < end else 127
            head = 6
            if size == 126 and at + 4 <= end:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 8
            elif size >= 126:
                self.at_start = False
            at += head + size
        self.at_start = self.at_start and at == end
