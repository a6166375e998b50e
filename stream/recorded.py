"""Every frame of a recording, as fast as it decodes, or single ones: for tagging, not for live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.packets import open_media
from stream.pixels import AvPixels
from stream.types import RTP_CLOCK_HZ, Frame, MediaTime, StreamId

MAX_BROKEN = 100
"""Packets in a row that may be undecodable before the recording is given up."""

NEW_CLOCK_NS = 1_000_000_000
"""Timestamps that go back further than this are no damage: another clock begins."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a recording is.

    Attributes:
        codec: as FFmpeg names it.
        container: as FFmpeg names it ("mov,mp4,m4a,3gp,3g2,mj2", "hls").
        width: displayed pixels, rotation applied.
        height: displayed pixels, rotation applied.
        fps: average; 0.0 when the container does not say.
        duration_ns: 0 when the container does not say.
        frames: estimated number of frames, 0 when unknown.
        start_ns: media time of the first frame as the file has it: players name frames by this clock
            (`mediaTime` of requestVideoFrameCallback; measured with Chromium 156 for MP4, WebM and HLS).
    """

    codec: str
    container: str
    width: int
    height: int
    fps: float
    duration_ns: int
    frames: int
    start_ns: int


def describe_recording(url: str) -> Recording:
    """What the container says of itself.

    Raises:
        SourceError: it cannot be opened, has no video, or not one frame of it can be decoded.
    """
    with open_media(url) as container:
        video = container.streams.video[0]
        try:
            first = next((p for p in container.decode(video) if p.pts is not None), None)
        except av.FFmpegError:
            first = None
        if first is None:
            raise SourceError(f"{url}: not one frame can be decoded; is it a video, and whole?")
        fps = float(video.average_rate or 0)
        duration_ns = int(container.duration or 0) * 1000
        frames = int(video.frames) or int(fps * duration_ns / 1e9)
        seen = AvPixels(first, VideoReformatter())
        return Recording(
            video.codec_context.name,
            container.format.name,
            seen.width,
            seen.height,
            fps,
            duration_ns,
            frames,
            _time_ns(first),
        )


def _time_ns(picture: Any) -> int:
    return int(picture.pts * picture.time_base * 1_000_000_000)


def read_frames(url: str, stream: StreamId) -> Iterator[Frame]:
    """Every frame that decodes, in display order. Blocking.

    `pts_ns` counts from the first frame; `arrived_ns` and `decoded_ns` are the same as `pts_ns`. The codec's
    motion vectors are exported where it has any. Frames share one converter: use one at a time.

    Raises:
        SourceError: it cannot be opened, has no video, breaks off for good, or its timestamps begin anew, as
            an HLS list's may at a discontinuity (RFC 8216, 4.3.2.3): two frames would have one media time.
    """
    with open_media(url) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        video.codec_context.options = {"flags2": "+export_mvs"}
        reformatter = VideoReformatter()
        start: int | None = None
        last_ns = -1
        broken = 0
        for packet in container.demux(video):
            try:
                decoded = packet.decode()
            except av.FFmpegError as error:
                broken += 1
                if broken > MAX_BROKEN:
                    raise SourceError(
                        f"{url}: {broken} packets in a row cannot be decoded ({error})"
                    ) from error
                continue
            broken = 0
            for picture in decoded:
                if picture.pts is None or picture.time_base is None:
                    continue
                start = picture.pts if start is None else start
                pts_ns = int((picture.pts - start) * picture.time_base * 1_000_000_000)
                if pts_ns <= last_ns:
                    if last_ns - pts_ns > NEW_CLOCK_NS:
                        raise SourceError(_two_clocks(url, last_ns, pts_ns))
                    continue
                last_ns = pts_ns
                rtp = pts_ns * RTP_CLOCK_HZ // 1_000_000_000 % (1 << 32)
                pixels = AvPixels(picture, reformatter)
                yield Frame(
                    stream, MediaTime(1, rtp), pts_ns, pts_ns, pts_ns, pixels, bool(picture.key_frame)
                )


def _two_clocks(url: str, last_ns: int, pts_ns: int) -> str:
    return (
        f"{url}: timestamps go back from {last_ns / 1e9:.2f} s to {pts_ns / 1e9:.2f} s, expected one clock "
        "for all of it, by which frames are named (an HLS list with #EXT-X-DISCONTINUITY?); join it first, "
        "without encoding anything: ffmpeg -i IN -c copy OUT.mp4"
    )


def read_pictures(url: str, times_ns: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """The frame on screen at each of these times, RGB uint8 (height, width, 3), upright. Blocking.

    Args:
        url: the recording.
        times_ns: media times as `Recording.start_ns` counts them, rising; a time past the end shows the last
            frame.

    Raises:
        SourceError: it cannot be opened or has no video.
    """
    if not times_ns:
        return
    with open_media(url) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        reformatter = VideoReformatter()
        for at_ns in times_ns:
            picture = _picture_at(container, video, at_ns)
            if picture is not None:
                yield AvPixels(picture, reformatter).rgb()


def _picture_at(container: Any, video: Any, at_ns: int) -> Any:
    """The last frame that begins by `at_ns`, the file's first one before that; None when nothing decodes."""
    shown = None
    try:
        container.seek(int(at_ns / 1e9 / video.time_base), stream=video, backward=True)
        for picture in container.decode(video):
            if picture.pts is None:
                continue
            if shown is not None and _time_ns(picture) > at_ns + 1_000_000:
                break
            shown = picture
    except av.FFmpegError:
        pass  # damage behind a frame that was found does not take it away
    return shown
