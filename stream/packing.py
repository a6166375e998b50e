"""Encoded frames to RTP payloads, once for all viewers: RFC 6184 (H264), RFC 7741 (VP8), RFC 7587 (Opus)."""

from __future__ import annotations

from fractions import Fraction

import av
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder

_TIME_BASE = Fraction(1, 90_000)


class Packer:
    """Cuts the frames of one stream into payloads that fit into a packet.

    VP8's picture ids run on through the frames it is given: all viewers see the same ones.

    Args:
        codec: ``"H264"`` or ``"VP8"``; audio needs no cutting.
    """

    def __init__(self, codec: str) -> None:
        self._encoder: Encoder = H264Encoder() if codec == "H264" else Vp8Encoder()

    def pack(self, data: bytes) -> tuple[bytes, ...]:
        """Payloads of one access unit (H264 in Annex B); empty when there is nothing in it to send."""
        packet = av.Packet(data)
        packet.pts, packet.time_base = 0, _TIME_BASE
        payloads, _ = self._encoder.pack(packet)
        return tuple(payloads)
