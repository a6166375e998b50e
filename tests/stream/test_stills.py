from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import SourceError
from stream.packets import read_packets
from stream.stills import decode_last
from tests.stream.media import read_barcode, write_clip


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    clip: Path = write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=40, gop=15)
    return [packet.data for packet in read_packets(str(clip)) if packet.kind == "video"]


def test_the_last_picture_is_the_one_decoded(units: list[bytes]) -> None:
    for first, last in ((0, 0), (15, 15), (15, 27), (30, 39)):
        pixels = decode_last("H264", units[first : last + 1])
        assert read_barcode(pixels.scaled(320, 240, "gray")) == last


def test_vp8_is_decoded_too(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.webm", codec="libvpx", frames=12, gop=6)
    data = [packet.data for packet in read_packets(str(clip)) if packet.kind == "video"]
    assert read_barcode(decode_last("VP8", data[6:10]).scaled(320, 240, "gray")) == 9


def test_what_cannot_be_decoded_is_said(units: list[bytes]) -> None:
    for broken in ([], [b"\x00\x00\x01garbage"], [*units[:3], b""]):
        with pytest.raises(SourceError, match="no whole picture"):
            decode_last("H264", broken)
