from __future__ import annotations

import pytest

from stream.errors import EngineError, PortsExhausted, SdpError, SourceError
from stream.types import MediaTime, stream_id


@pytest.mark.parametrize("name", ["a", "0", "demo-show_2", "a" * 64])
def test_good_stream_names(name: str) -> None:
    assert stream_id(name) == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "A", "a b", "a/b", "ä", "a" * 65, "a\n", ".."])
def test_bad_stream_names_are_named(name: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 64 characters"):
        stream_id(name)


def test_media_time_is_a_key() -> None:
    assert {MediaTime(1, 5): "x"}[MediaTime(1, 5)] == "x"
    assert MediaTime(1, 4_000_000_000) < MediaTime(2, 0)


def test_errors_carry_what_an_edge_needs() -> None:
    assert (SdpError("x").http_status, SdpError("x").retryable) == (400, False)
    assert (PortsExhausted("x").http_status, PortsExhausted("x").retryable) == (503, True)
    error = SourceError("x", code="c", retryable=True, http_status=418)
    assert (error.code, error.retryable, error.http_status) == ("c", True, 418)
    assert isinstance(error, EngineError)
    assert SourceError("y").code == "source"
