from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overlay.binary import (
    BINARY_SUBPROTOCOL,
    JSON_SUBPROTOCOL,
    MAX_SAMPLES,
    MAX_SPOTS,
    choose_subprotocol,
    decode_positions,
    encode_positions,
)
from overlay.errors import MessageError
from overlay.messages import Positions, Sample, Spot
from tests.overlay.builders import sample, spot

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "docs" / "protocol-vectors.json").read_text())


def named(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS[kind]]


def test_vectors_are_for_this_subprotocol() -> None:
    assert VECTORS["subprotocol"] == BINARY_SUBPROTOCOL
    assert len(VECTORS["valid"]) >= 7 and len(VECTORS["invalid"]) >= 12


@pytest.mark.parametrize("vector", named("valid"))
def test_golden_vectors_hold_both_ways(vector: dict[str, Any]) -> None:
    positions = msgspec.convert(vector["json"], Positions)
    assert encode_positions(positions).hex() == vector["hex"]
    assert decode_positions(bytes.fromhex(vector["hex"])) == positions


@pytest.mark.parametrize("vector", named("invalid"))
def test_broken_messages_are_refused_with_their_code(vector: dict[str, Any]) -> None:
    with pytest.raises(MessageError) as caught:
        decode_positions(bytes.fromhex(vector["hex"]))
    assert caught.value.code == vector["code"]


def test_five_hotspots_take_less_than_76_bytes() -> None:
    young = Positions((sample(*(spot(i, i) for i in range(1, 6)), rtp=2_879_995_000),))
    assert len(encode_positions(young)) == 67
    old = Positions((sample(*(spot(16_000 + i, i) for i in range(1, 6)), rtp=2_879_995_000),))
    assert len(encode_positions(old)) == 72


def test_any_positions_survive() -> None:
    rng = random.Random(6)
    for _ in range(200):
        spots = tuple(
            Spot(
                rng.getrandbits(rng.choice((3, 7, 14, 32))),
                rng.getrandbits(16),
                rng.randrange(3),
                rng.randrange(64),
                *(rng.randrange(10_001) for _ in range(4)),
            )
            for _ in range(rng.randrange(12))
        )
        one = Sample(rng.getrandbits(20), rng.getrandbits(32), rng.randrange(2), spots)
        positions = Positions((one,) * rng.randrange(3))
        assert decode_positions(encode_positions(positions)) == positions


def test_every_cut_and_every_flipped_byte_is_refused_or_read_but_never_crashes() -> None:
    whole = encode_positions(Positions((sample(spot(300, 2), spot(2, 3), rtp=7),)))
    for end in range(2, len(whole)):
        with pytest.raises(MessageError):
            decode_positions(whole[:end])
    for at in range(len(whole)):
        for value in (0, 0x7F, 0x80, 0xFF):
            changed = whole[:at] + bytes([value]) + whole[at + 1 :]
            try:
                again = decode_positions(changed)
            except MessageError:
                continue
            assert encode_positions(again) == changed, "one meaning, one encoding"


@pytest.mark.parametrize(
    "positions",
    [
        Positions((Sample(1, 0, 1, (Spot(1, 1, 4, 0, 0, 0, 1, 1),)),)),
        Positions((Sample(1, 0, 1, (Spot(1, 1, 0, 64, 0, 0, 1, 1),)),)),
        Positions((Sample(1, 0, 1, (Spot(1, 1, 0, 0, -1, 0, 1, 1),)),)),
        Positions((Sample(1, 0, 1, (Spot(1, 1, 0, 0, 0, 0, 1, 65_536),)),)),
        Positions((Sample(1, 2**32, 1, ()),)),
        Positions((Sample(2**32, 0, 1, ()),)),
        Positions((Sample(1, 0, 1, tuple(spot(i) for i in range(MAX_SPOTS + 1))),)),
        Positions((Sample(1, 0, 1, ()),) * (MAX_SAMPLES + 1)),
    ],
)
def test_numbers_that_do_not_fit_are_refused_not_cut(positions: Positions) -> None:
    with pytest.raises(MessageError, match="send JSON") as caught:
        encode_positions(positions)
    assert caught.value.code == "binary-range"


def test_layout_is_the_one_of_the_page() -> None:
    got = encode_positions(
        Positions((Sample(1, 2_879_995_000, 1, (Spot(7, 513, 1, 1, 1200, 3000, 2600, 7100),)),))
    )
    assert got == bytes((1, 1)) + struct.pack(">I", 2_879_995_000) + bytes((0x81, 7)) + struct.pack(
        ">HBHHHH", 513, 0b000001_01, 1200, 3000, 2600, 7100
    )


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["mqtt"], None),
        ([BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL], BINARY_SUBPROTOCOL),
        (["mqtt", JSON_SUBPROTOCOL, BINARY_SUBPROTOCOL], JSON_SUBPROTOCOL),
        (["vitrine.bin.2"], None),
    ],
)
def test_the_first_known_subprotocol_is_chosen(offered: list[str], chosen: str | None) -> None:
    assert choose_subprotocol(offered) == chosen
