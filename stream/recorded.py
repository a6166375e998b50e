"""Every frame of a recording, as fast as it decodes: for tagging, not for live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.video.reformatter import VideoReformatter

from stream.errors import SourceError
from stream.packets import open_media
from stream.pixels import AvPixels
from stream.types import RTP_CLOCK_HZ, Frame, MediaTime, StreamId

MAX_BROKEN = 100
"""Packets in a row that may be undecodable before the recording is given up."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a recording is.

    Attributes:
        codec: as FFmpeg names it.
        width: displayed pixels, rotation not applied.
        height: displayed pixels, rotation not applied.
        fps: average; 0.0 when the container does not say.
        duration_ns: 0 when the container does not say.
        frames: estimated number of frames, 0 when unknown.
    """

    codec: str
    width: int
    height: int
    fps: float
    duration_ns: int
    frames: int


def describe_recording(url: str) -> Recording:
    """What the container says of itself.

    Raises:
        SourceError: it cannot be opened or has no video.
    """
    with open_media(url) as container:
        video = container.streams.video[0]
        fps = float(video.average_rate or 0)
        duration_ns = int(container.duration or 0) * 1000
        frames = int(video.frames) or int(fps * duration_ns / 1e9)
        context = video.codec_context
        return Recording(context.name, context.width, context.height, fps, duration_ns, frames)


def read_frames(url: str, stream: StreamId) -> Iterator[Frame]:
    """Every frame that decodes, in display order. Blocking.

    `pts_ns` counts from the first frame; `arrived_ns` and `decoded_ns` are the same as `pts_ns`. The codec's
    motion vectors are exported where it has any. Frames share one converter: use one at a time.

    Raises:
        SourceError: it cannot be opened, has no video, or breaks off for good.
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
                    continue
                last_ns = pts_ns
                rtp = pts_ns * RTP_CLOCK_HZ // 1_000_000_000 % (1 << 32)
                pixels = AvPixels(picture, reformatter)
                yield Frame(
                    stream, MediaTime(1, rtp), pts_ns, pts_ns, pts_ns, pixels, bool(picture.key_frame)
                )
