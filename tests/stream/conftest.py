"""Clips made once for all tests of this package."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.stream.media import write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H264 without B-frames and Opus: 45 frames, 320x240, 30 fps, a keyframe every 15."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=45, audio=True)


@pytest.fixture(scope="session")
def vp8_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in VP8."""
    return write_clip(tmp_path_factory.mktemp("clips") / "vp8.mkv", codec="libvpx", frames=45, audio=True)


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
