from __future__ import annotations

import pytest
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from stream.packing import Packer

IDR = b"\x00\x00\x00\x01\x67\x42\xe0\x1f" + b"\x00\x00\x00\x01\x65" + bytes(range(256)) * 20


@pytest.mark.parametrize(("codec", "data"), [("H264", IDR), ("VP8", bytes(range(256)) * 20)])
def test_payloads_fit_and_give_the_frame_back(codec: str, data: bytes) -> None:
    payloads = Packer(codec).pack(data)
    assert len(payloads) > 3 and max(map(len, payloads)) <= 1300
    known = RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=90_000)
    assert b"".join(depayload(known, payload) for payload in payloads) == data


def test_picture_ids_of_vp8_run_on() -> None:
    packer = Packer("VP8")
    ids = [packer.pack(b"frame")[0][2:4] for _ in range(3)]
    assert len(set(ids)) == 3


def test_nothing_gives_nothing() -> None:
    assert Packer("H264").pack(b"") == ()
