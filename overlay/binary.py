"""The compact encoding of positions: subprotocol ``vitrine.bin.1``. No socket, no clock.

Positions are what a viewer gets fifteen and more times a second; everything else stays JSON text. Five
hotspots take 67 to 87 bytes (ids below 128, and of 28 bits) against 160 and more as JSON. `docs/protocol.md`
has the layout byte by byte, ``docs/protocol-vectors.json`` examples that every codec has to agree with.

Numbers are big-endian; a *varint* is unsigned LEB128 (seven bits a byte, lowest first, the top bit set on all
but the last byte; DWARF 5, 7.6), here of 32 bits at most and never longer than needed.
"""

from __future__ import annotations

import struct

from overlay.errors import MessageError
from overlay.messages import Positions, Sample, Spot

JSON_SUBPROTOCOL = "vitrine.json.1"
BINARY_SUBPROTOCOL = "vitrine.bin.1"

POSITIONS = 1
"""First byte of a positions message."""
MEASURED = 0x80
MAX_SPOTS = 0x7F
MAX_SAMPLES = 16
MAX_FLAGS = 0x3F
_STATE_BITS = 2
_U32 = 0xFFFF_FFFF
_SAMPLE = struct.Struct(">IB")
_SPOT = struct.Struct(">HBHHHH")


def choose_subprotocol(offered: list[str]) -> str | None:
    """The encoding for a viewer who offers these, by its order of preference.

    None when it offers none that is known: JSON then, as if it had offered nothing (RFC 6455, 4.2.2).
    """
    return next((name for name in offered if name in (BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL)), None)


def encode_positions(positions: Positions) -> bytes:
    """Encode positions.

    Raises:
        MessageError: a number does not fit its place; send JSON instead.
    """
    parts = [bytes((POSITIONS,))]
    try:
        if len(positions.s) > MAX_SAMPLES:
            raise ValueError(f"{len(positions.s)} samples")
        for sample in positions.s:
            if len(sample.spots) > MAX_SPOTS:
                raise ValueError(f"{len(sample.spots)} spots in a sample")
            head = len(sample.spots) | (MEASURED if sample.measured else 0)
            parts += (_varint(sample.epoch), _SAMPLE.pack(sample.rtp, head))
            for spot in sample.spots:
                corners = (spot.x0, spot.y0, spot.x1, spot.y1)
                parts += (_varint(spot.id), _SPOT.pack(spot.pid, _traits(spot), *corners))
    except (struct.error, ValueError) as error:
        raise MessageError(
            f"positions do not fit the binary encoding: {error}; send JSON", code="binary-range"
        ) from None
    return b"".join(parts)


def decode_positions(data: bytes) -> Positions:
    """Decode what `encode_positions` made.

    Raises:
        MessageError: another kind of message, cut short, or a number out of its range; says where.
    """
    if not data or data[0] != POSITIONS:
        kind = f"kind {data[0]}" if data else "an empty message"
        raise MessageError(f"got {kind}, expected kind {POSITIONS} (positions)", code="binary-kind")
    at = 1
    samples: list[Sample] = []
    while at < len(data):
        if len(samples) == MAX_SAMPLES:
            raise MessageError(f"got more than {MAX_SAMPLES} samples", code="binary-range")
        sample, at = _read_sample(data, at)
        samples.append(sample)
    return Positions(tuple(samples))


def _traits(spot: Spot) -> int:
    if not 0 <= spot.state < 1 << _STATE_BITS or not 0 <= spot.flags <= MAX_FLAGS:
        raise ValueError(f"state {spot.state} and flags {spot.flags}")
    return spot.flags << _STATE_BITS | spot.state


def _varint(number: int) -> bytes:
    if not 0 <= number <= _U32:
        raise ValueError(f"{number} as a number of 32 bits")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            raise _cut(at)
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number > _U32 or (byte == 0 and shift):
                raise MessageError(f"number before byte {at} is out of range", code="binary-range")
            return number, at
    raise MessageError(f"number before byte {at} is longer than 32 bits", code="binary-range")


def _read_sample(data: bytes, at: int) -> tuple[Sample, int]:
    epoch, at = _read_varint(data, at)
    if at + _SAMPLE.size > len(data):
        raise _cut(at)
    rtp, head = _SAMPLE.unpack_from(data, at)
    at += _SAMPLE.size
    spots: list[Spot] = []
    for _ in range(head & MAX_SPOTS):
        number, at = _read_varint(data, at)
        if at + _SPOT.size > len(data):
            raise _cut(at)
        pid, traits, *corners = _SPOT.unpack_from(data, at)
        at += _SPOT.size
        spots.append(Spot(number, pid, traits & 3, traits >> _STATE_BITS, *corners))
    return Sample(epoch, rtp, int(head >= MEASURED), tuple(spots)), at


def _cut(at: int) -> MessageError:
    return MessageError(f"message ends in the middle, at byte {at}", code="binary-short")
