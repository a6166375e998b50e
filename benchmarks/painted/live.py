"""A CDN's live playlist of the painted recording, and the viewers' page that plays it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import imageio_ffmpeg
from playwright.async_api import Browser, Page

from benchmarks.engine import STREAM, Engine, Section, catalogue, engine
from benchmarks.harness import CannotRun
from benchmarks.painted import blob, capture
from benchmarks.painted.recording import GOP_S

JOIN_S = 40.0
"""A page may take so long until its first frame with a hotspot."""
SPOTS = "() => document.querySelector('vitrine-overlay').shown.spots.length > 0"
BEHIND = "() => Number(/(\\d+) s behind/.exec(document.getElementById('badge-words').textContent)?.[1] ?? -1)"


class _Handler(SimpleHTTPRequestHandler):
    """Files that pages of other hosts may read."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Cdn:
    """A folder that others read over HTTP, and an encoder that writes a live list into it.

    Attributes:
        url: of the list.
        encoder: the running one.
    """

    def __init__(self, folder: Path, site: str) -> None:
        self.url = f"{site}/index.m3u8"
        self.encoder: subprocess.Popen[bytes] | None = None
        self._playlist = folder / "index.m3u8"

    def publish(self, film: Path, kind: str) -> None:
        """Write the film as if it were happening; a list that is there goes on, after a discontinuity.

        Args:
            film: H264; it is not encoded again.
            kind: of the segments, ``fmp4`` or ``mpegts``.

        Raises:
            CannotRun: there is no list in time.
        """
        known = self._segments()
        flags = "delete_segments+append_list+omit_endlist"
        options = ("-f", "hls", "-hls_time", str(GOP_S), "-hls_list_size", "6", "-hls_flags", flags)
        # A run's first segments have other names than the last one's of an encoder that was killed.
        names = ("-hls_fmp4_init_filename", f"init{monotonic():.0f}.mp4", "-hls_segment_type", kind)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-re", "-i", str(film)]
        self.encoder = subprocess.Popen([*command, "-c", "copy", *options, *names, str(self._playlist)])
        deadline = monotonic() + 20
        while self._segments() <= known:
            if monotonic() > deadline or self.encoder.poll() is not None:
                raise CannotRun("ffmpeg wrote no live list in time")
            sleep(0.05)

    def stop(self) -> None:
        """The encoder dies."""
        if self.encoder is not None:
            self.encoder.kill()
            self.encoder.wait()

    def _segments(self) -> int:
        """Segments ever listed."""
        text = self._playlist.read_text() if self._playlist.exists() else ""
        first = text.partition("#EXT-X-MEDIA-SEQUENCE:")[2].split("\n")[0]
        return int(first or 0) + text.count("#EXTINF")


@contextmanager
def cdn(folder: Path) -> Iterator[Cdn]:
    """Serve `folder`, with CORS, while the block lasts."""
    folder.mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    made = Cdn(folder, f"http://127.0.0.1:{server.server_address[1]}")
    try:
        yield made
    finally:
        made.stop()
        server.shutdown()
        server.server_close()


@contextmanager
def watching(folder: Path, url: str) -> Iterator[Engine]:
    """A server that detects on the list at `url`, whose viewers watch it too."""
    models = {
        "detector": str(blob.write_model(folder / "blob.onnx", 0)),
        "embedder": str(blob.write_embedder(folder / "embedder.onnx")),
        "rungs": list(blob.ONE_RUNG),
    }
    sections: dict[str, Section] = {
        "inference": models,
        "catalog": {"feed": str(catalogue(folder))},
        "sources": {STREAM: url},
        "playlists": {STREAM: url},
    }
    with engine(folder, sections, blob=True) as server:
        yield server


@asynccontextmanager
async def viewer(server: Engine, browser: Browser) -> AsyncIterator[Page]:
    """The viewers' page, once hotspots are on its picture.

    Raises:
        CannotRun: there are none in time.
    """
    context = await browser.new_context(viewport=capture.VIEWPORT)
    try:
        page = await context.new_page()
        await page.goto(f"{server.url}/watch/{STREAM}")
        await page.evaluate(capture.ADOPT, capture.MARKED)
        await capture.playing(page, JOIN_S)
        deadline = monotonic() + JOIN_S
        while not await page.evaluate(SPOTS):  # a page's policy forbids `wait_for_function`
            if monotonic() > deadline:
                raise CannotRun(f"no hotspot on the live list after {JOIN_S:.0f} s")
            await page.wait_for_timeout(100)
        yield page
    finally:
        await context.close()
