from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from overlay.errors import MessageError
from overlay.messages import (
    Card,
    Positions,
    Snapshot,
    ViewerMessage,
    decode_server,
    decode_viewer,
    encode,
)
from tests.overlay.builders import card, sample, spot

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
FROM_VIEWERS = {"hello", "tap", "report", "seen", "want"}


def examples() -> list[str]:
    """Every message of the overlay section of the protocol's page, one JSON text each."""
    section = PAGE.read_text().split("## Overlay websocket")[1].split("## Operator")[0]
    block = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert block is not None
    decoder, text, found = json.JSONDecoder(), block[1].strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(json.dumps(value))
        text = text[end:].lstrip()
    return found


@pytest.mark.parametrize("example", examples())
def test_every_example_of_the_protocol_page_is_understood(example: str) -> None:
    tag = json.loads(example)["t"]
    if tag in FROM_VIEWERS:
        assert isinstance(decode_viewer(example), ViewerMessage)
    elif '"...": "..."' in example:
        assert tag == "card", "the one example that is cut short"
    else:
        again = json.loads(encode(decode_server(example)))
        assert again["t"] == tag


def test_examples_cover_every_kind_of_message() -> None:
    tags = {json.loads(example)["t"] for example in examples()}
    assert tags == FROM_VIEWERS | {"snap", "pos", "evt", "card", "err"}


def test_positions_are_compact() -> None:
    positions = Positions((sample(*(spot(i, i) for i in range(1, 6)), rtp=2_879_995_000),))
    assert len(encode(positions)) <= 190
    assert decode_server(encode(positions)) == positions


def test_cards_leave_out_what_is_not_special() -> None:
    assert set(json.loads(msgspec.json.encode(card(1)))) == {
        "pid",
        "id",
        "title",
        "price",
        "link",
        "image",
        "seller",
    }
    paid = Card(1, "a", "A", "1 EUR", "", "", "X", label="Paid placement by X", third_party=True)
    assert json.loads(msgspec.json.encode(paid))["third_party"] is True


def test_snapshot_survives_the_wire() -> None:
    snapshot = Snapshot(1, "demo", "log", 3, True, 120, products=(card(1),), pinned=(1,), pos=Positions(()))
    assert decode_server(encode(snapshot)) == snapshot


def test_errors_name_the_field_and_the_limit() -> None:
    with pytest.raises(MessageError, match=r"`\$\.y`") as caught:
        decode_viewer('{"t":"tap","id":"a","x":0,"y":"0","epoch":1,"rtp":1}')
    assert caught.value.code == "message-invalid"
    with pytest.raises(MessageError, match="2000 bytes, expected at most 1024") as caught:
        decode_viewer(b" " * 2000)
    assert caught.value.code == "message-too-long"


@pytest.mark.parametrize(
    "message",
    [
        '{"t":"tap","id":"a","x":NaN,"y":0,"epoch":1,"rtp":1}',
        '{"t":"tap","id":"a","x":0,"y":0,"epoch":1,"rtp":1,"admin":true}',
        '{"t":"seen","pids":[' + ",".join(["1"] * 33) + "]}",
        '{"t":"report","frames":-1,"with_box":0,"age_ms":[0,0],"fps":0}',
        '{"t":"hello","v":1,"resume":{"log":"","seq":1}}',
        '{"t":"hello","v":1,"resume":{"log":"a","seq":-1}}',
        "[" * 1024,
        '{"t":"tap","extra":' + "[" * 1000,
    ],
)
def test_messages_outside_their_bounds_are_refused(message: str) -> None:
    with pytest.raises(MessageError):
        decode_viewer(message)
