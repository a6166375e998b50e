from __future__ import annotations

import pytest

from stream.bitstream import has_parameter_sets, is_keyframe, nal_types

SPS = b"\x00\x00\x00\x01\x67\x42\xe0\x1f"
PPS = b"\x00\x00\x00\x01\x68\xce\x38\x80"
IDR = b"\x00\x00\x01\x65\x88\x84"
SLICE = b"\x00\x00\x00\x01\x41\x9a\x00"
SEI = b"\x00\x00\x01\x06\x05\x01\x00\x80"


@pytest.mark.parametrize(
    ("data", "keyframe"),
    [
        (SPS + PPS + IDR, True),
        (IDR, True),
        (SEI + SLICE, False),
        (SLICE, False),
        (SPS + PPS, False),
        (b"", False),
        (b"\x00\x00\x01", False),
    ],
)
def test_h264_keyframe_is_an_idr_slice(data: bytes, keyframe: bool) -> None:
    assert is_keyframe("H264", data) is keyframe


def test_slice_data_that_looks_like_a_start_code_is_not_read() -> None:
    assert nal_types(SLICE + b"\x00\x00\x01\x65") == [1]


def test_parameter_sets_are_found() -> None:
    assert has_parameter_sets(SPS + PPS + IDR)
    assert not has_parameter_sets(IDR)


def test_vp8_keyframe_needs_tag_and_start_code() -> None:
    assert is_keyframe("VP8", b"\x10\x02\x00\x9d\x01\x2a\x80\x02\xe0\x01")
    assert not is_keyframe("VP8", b"\x11\x02\x00\x9d\x01\x2a\x80\x02\xe0\x01")
    assert not is_keyframe("VP8", b"\x10\x02\x00\x00\x00\x00\x80\x02\xe0\x01")
    assert not is_keyframe("VP8", b"\x10\x02")


def test_audio_is_always_a_beginning() -> None:
    assert is_keyframe("opus", b"\x00")
