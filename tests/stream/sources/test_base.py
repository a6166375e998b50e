from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from stream.errors import SourceError
from stream.sources.base import SOURCES, open_source
from stream.types import StreamId
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize("scheme", SOURCES)
def test_every_named_source_exists_and_is_made_alike(scheme: str) -> None:
    module, _, name = SOURCES[scheme].partition(":")
    found = getattr(import_module(module), name)
    assert list(inspect.signature(found).parameters) == ["url", "stream", "clock", "loop", "epoch"]
    assert inspect.iscoroutinefunction(found.run)
    assert callable(found.request_keyframe)


def test_a_plain_path_is_a_file() -> None:
    assert type(open_source("clips/a.mp4", StreamId("s"), FakeClock())).__name__ == "FileSource"


def test_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(SourceError, match="got scheme 'gopher', expected one of file, http") as caught:
        open_source("gopher://x", StreamId("s"), FakeClock())
    assert caught.value.code == "source-scheme"
