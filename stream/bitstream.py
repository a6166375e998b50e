"""What the engine must know of encoded video: where decoding may start."""

from __future__ import annotations

_IDR = 5
_SPS = 7


def nal_types(data: bytes) -> list[int]:
    """Types of the NAL units of an H264 Annex B access unit, in order (ITU-T H.264 table 7-1)."""
    found = []
    at = data.find(b"\x00\x00\x01")
    while at >= 0 and at + 3 < len(data):
        kind = data[at + 3] & 0x1F
        found.append(kind)
        if kind in (1, _IDR):
            break  # slices follow parameter sets; the rest is more of the same picture
        at = data.find(b"\x00\x00\x01", at + 3)
    return found


def is_keyframe(codec: str, data: bytes) -> bool:
    """Whether decoding may start at this access unit.

    H264: it holds an IDR slice. VP8: the frame tag says key frame and the start code follows (RFC 6386
    section 9.1), so the tail of a frame whose beginning was lost is not mistaken for one. Audio: always.
    """
    if codec == "H264":
        return _IDR in nal_types(data)
    if codec == "VP8":
        return len(data) > 9 and not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a"
    return True


def has_parameter_sets(data: bytes) -> bool:
    """Whether an H264 access unit carries its sequence parameter set in band."""
    return _SPS in nal_types(data)
