"""FFmpeg as a WHIP publisher: another implementation of ICE, DTLS and packetisation."""

from __future__ import annotations

import asyncio
import asyncio.subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.stream.media import write_clip
from tests.stream.peers import watching
from tests.stream.rig import serve, until


async def ffmpeg(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *arguments, stderr=asyncio.subprocess.PIPE
    )


async def test_ffmpeg_publishes_and_viewers_get_its_packets(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=90, audio=True)
    async with serve() as server:
        source = ("-re", "-i", str(clip), "-c", "copy", "-f", "whip", f"{server.url}/whip/show")
        process = await ffmpeg(*source)
        try:
            await until(lambda: process.returncode is not None or (server.sinks and server.sink.frames))
            async with watching(server.url) as viewer:
                await until(lambda: len(viewer.frames) > 20)
                sent = {frame.time.rtp for frame in server.sink.video()}
                assert set(viewer.frames) <= sent
            await until(lambda: server.sink.ended)
        finally:
            if process.returncode is None:
                process.kill()
            _, errors = await process.communicate()
        sink = server.sink
        codes = [frame.barcode for frame in sink.frames]
        assert codes == list(range(codes[0] or 0, 90)), errors.decode()[-400:]
        assert len(codes) >= 60
        steps = {(b.rtp - a.rtp) % (1 << 32) for a, b in zip(sink.frames, sink.frames[1:], strict=False)}
        assert steps == {3000}
        info = sink.started[-1][1]
        assert (info.codec, info.description, info.has_audio) == ("H264", "WHIP, FFmpeg", True)
        assert sink.ended[0] in ("bye", "timeout")


@pytest.mark.parametrize("profile", ["high"])
async def test_high_profile_is_accepted(tmp_path: Path, profile: str) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=60)
    async with serve() as server:
        encode = (
            "-c:v",
            "libx264",
            "-profile:v",
            profile,
            "-bf",
            "0",
            "-preset",
            "ultrafast",
            "-8x8dct",
            "1",
        )
        process = await ffmpeg(
            "-re", "-i", str(clip), *encode, "-an", "-f", "whip", f"{server.url}/whip/show"
        )
        try:
            await until(
                lambda: process.returncode is not None or (server.sinks and len(server.sink.frames) > 10)
            )
            assert server.sink.frames
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
