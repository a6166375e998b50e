from __future__ import annotations

import asyncio
from pathlib import Path

import av
import pytest

from stream.errors import SourceError
from stream.packets import read_packets
from stream.publish import Progress, Publisher, publish
from tests.stream.media import write_clip
from tests.stream.rig import serve, until


def nals(unit: bytes) -> list[bytes]:
    """NAL units without their start codes, which a packet on the wire does not carry."""
    return [nal.rstrip(b"\x00") for nal in unit.split(b"\x00\x00\x01")[1:]]


async def test_looping_publication_maps_every_timestamp_to_its_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=20, gop=10)
    async with serve() as server:
        progress: list[Progress] = []
        publisher = Publisher(
            f"{server.url}/whip/show", "", str(path), loop=True, on_progress=progress.append
        )
        running = asyncio.create_task(publisher.run())
        await until(lambda: server.sinks and len(server.sink.frames) >= 50)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        frames = server.sink.frames
        assert [f.barcode for f in frames] == [n % 20 for n in range(len(frames))]
        assert [publisher.frame_index(f.rtp) for f in frames] == [f.barcode for f in frames]
        assert (frames[0].rtp - publisher.origin) % (1 << 32) == 0
        assert publisher.frame_index(frames[3].rtp + 1) is None
        assert progress and progress[0].frames > 10
        await until(lambda: server.sink.ended)


async def test_data_on_the_wire_is_the_files(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=10)
    async with serve() as server:
        done = await publish(f"{server.url}/whip/show", "", str(path), loop=False, loopback=True)
        assert (done.frames, done.loops) == (10, 1)
        await until(lambda: server.sink.ended)
        assert [nals(f.data) for f in server.sink.video()] == [nals(p.data) for p in read_packets(str(path))]


async def test_refusal_is_told_in_the_servers_words(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=5)
    async with serve() as server:
        with pytest.raises(SourceError, match="got 404") as caught:
            await publish(f"{server.url}/nowhere", "key", str(path), loop=False, loopback=True)
        assert caught.value.code == "whip-refused"


async def test_no_server_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=5)
    with pytest.raises(SourceError, match="the server running") as caught:
        await publish("http://127.0.0.1:9/whip/show", "", str(path), loop=False, loopback=True)
    assert caught.value.code == "whip-unreachable"


async def test_b_frames_are_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=20, b_frames=2)
    async with serve() as server:
        with pytest.raises(SourceError, match=r"ffmpeg -i IN -c:v libx264 -bf 0") as caught:
            await publish(f"{server.url}/whip/show", "", str(path), loop=False, loopback=True)
        assert caught.value.code == "source-not-webrtc"
        assert server.sinks == []


async def test_server_that_ends_the_session_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=60)
    async with serve() as server:
        running = asyncio.create_task(
            publish(f"{server.url}/whip/show", "", str(path), loop=True, loopback=True)
        )
        await until(lambda: server.sinks and server.sink.frames)
        await server.ingest.close("shutdown")
        with pytest.raises(SourceError) as caught:
            async with asyncio.timeout(10):
                await running
        assert (caught.value.code, caught.value.retryable) == ("whip-lost", True)


def test_a_damaged_file_is_named_not_a_traceback(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=20, gop=10)
    with av.open(str(path)) as clip:
        places = [(packet.pos, packet.size) for packet in clip.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    at, size = places[5]
    assert at is not None
    data[at : at + size] = b"\xff" * size
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError) as caught:
        list(read_packets(str(path)))
    assert caught.value.code == "source-damaged"
    assert "damaged" in str(caught.value)
