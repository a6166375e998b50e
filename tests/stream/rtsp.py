"""A camera that speaks RTSP 1.0 (RFC 2326), as far as a player needs it: one H264 track, interleaved."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import imageio_ffmpeg

SDP = "\r\n".join(
    [
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=camera",
        "t=0 0",
        "m=video 0 RTP/AVP 96",
        "c=IN IP4 0.0.0.0",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1",
        "a=control:trackID=0",
        "",
    ]
)


@contextmanager
def ffmpeg_running(*arguments: str) -> Iterator[None]:
    """Run ffmpeg in the background."""
    with subprocess.Popen(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *arguments],
        stdout=subprocess.DEVNULL,  # the muxer for RTP prints a session description
    ) as process:
        try:
            yield
        finally:
            process.kill()


class _Interleaved(asyncio.DatagramProtocol):
    """RTP packets from a local muxer, into the RTSP connection as channel 0 (RFC 2326, section 10.12)."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._writer.is_closing():
            self._writer.write(b"$\x00" + len(data).to_bytes(2, "big") + data)


class Camera:
    """Serves `clip` in real time, from its beginning to whoever plays."""

    def __init__(self, clip: Path) -> None:
        self._clip = clip
        self.methods: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Interleaved(writer), local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        players = ExitStack()
        try:
            while request := await self._request(reader):
                method, sequence = request
                self.methods.append(method)
                writer.write(self._answer(method, sequence))
                if method == "PLAY":
                    to = f"rtp://127.0.0.1:{port}?pkt_size=1200"
                    muxing = ffmpeg_running("-re", "-i", str(self._clip), "-c", "copy", "-f", "rtp", to)
                    players.enter_context(muxing)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the player hung up
        finally:
            players.close()
            transport.close()
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> tuple[str, str] | None:
        while True:
            first = await reader.readexactly(1)
            if first != b"$":
                break
            head = await reader.readexactly(3)  # the player's receiver reports
            await reader.readexactly(int.from_bytes(head[1:], "big"))
        lines = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return lines[0].split()[0], headers["cseq"]

    def _answer(self, method: str, sequence: str) -> bytes:
        extra, body = {
            "OPTIONS": (["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"], ""),
            "DESCRIBE": (["Content-Type: application/sdp", f"Content-Length: {len(SDP)}"], SDP),
            "SETUP": (["Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"], ""),
        }.get(method, (["Session: 1"], ""))
        return "\r\n".join(["RTSP/1.0 200 OK", f"CSeq: {sequence}", *extra, "", body]).encode()


@asynccontextmanager
async def camera(clip: Path) -> AsyncIterator[tuple[str, Camera]]:
    """A camera on the loopback: its address and itself."""
    serving = Camera(clip)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    try:
        yield f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/stage", serving
    finally:
        server.close()
