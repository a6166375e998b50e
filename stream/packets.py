"""A media file or URL as encoded packets, read in a thread, paced by their timestamps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import av
from av.bitstream import BitStreamFilterContext

from stream.bitstream import has_parameter_sets, is_keyframe
from stream.errors import SourceError
from stream.types import RTP_CLOCK_HZ

log = logging.getLogger(__name__)

_CODECS = {"h264": "H264", "vp8": "VP8"}
_OPEN_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class MediaPacket:
    """One encoded packet of a file, in decoding order.

    Attributes:
        kind: ``"video"`` or ``"audio"``.
        data: access unit (H264: Annex B with parameter sets at keyframes) or audio packet.
        pts_ns: presentation time from the first frame; audio may begin before it (negative).
        index: number of the packet of its kind, from 0: without B-frames the frame number.
        keyframe: decoding may start here.
    """

    kind: str
    data: bytes
    pts_ns: int
    index: int
    keyframe: bool

    def ticks(self, clock_hz: int = RTP_CLOCK_HZ) -> int:
        """`pts_ns` in ticks of an RTP clock, rounded."""
        return (self.pts_ns * clock_hz + 500_000_000) // 1_000_000_000


def open_media(url: str, file: IO[bytes] | None = None) -> Any:
    """Open what PyAV opens.

    Args:
        url: address or path; a name for messages when `file` is given.
        file: an MPEG transport stream to read instead.

    Raises:
        SourceError: it cannot be opened, or has no video.
    """
    shown = repr(_without_secrets(url))
    options = {"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}
    if is_playlist(url):
        options["live_start_index"] = "-1"  # of a live list the newest: its viewers are some segments behind
    try:
        if file is not None:
            container = av.open(file, format="mpegts")
        else:
            container = av.open(url, options=options, timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S))
    except (av.FFmpegError, OSError, ValueError) as error:
        # FFmpeg's own message repeats the address, with its secrets
        why = getattr(error, "strerror", None) or type(error).__name__
        raise SourceError(
            f"source {shown}: {why}; check the address and that the file or server is there",
            code="source-open",
        ) from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"source {shown}: got no video stream, expected one", code="source-no-video")
    return container


def is_playlist(url: str) -> bool:
    """Whether an address names an HLS playlist (RFC 8216): others may play the very same one."""
    return urlsplit(url).path.lower().endswith(".m3u8")


def _without_secrets(url: str) -> str:
    """The address without user name, password and query, for messages."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def passthrough_codec(container: Any) -> str | None:
    """Codec under which the video's packets can go to WebRTC viewers as they are, or None.

    Upright H264 without B-frames and VP8 can; everything else must be transcoded.
    """
    stream = container.streams.video[0]
    name = _CODECS.get(stream.codec_context.name)
    if name == "H264" and stream.codec_context.has_b_frames:
        return None
    if name == "H264" and stream.codec_context.pix_fmt not in ("yuv420p", "yuvj420p"):
        return None
    return None if name is not None and _is_rotated(container) else name


def require_passthrough(container: Any) -> str:
    """Codec under which the video's packets can be published as they are.

    Raises:
        SourceError: they cannot, with the command that converts them.
    """
    codec = passthrough_codec(container)
    if codec is None:
        got = container.streams.video[0].codec_context.name
        raise SourceError(
            f"source {_without_secrets(container.name)!r}: got {got} (perhaps with B-frames, or turned), "
            "expected H264 without B-frames or VP8; convert it: "
            "ffmpeg -i IN -c:v libx264 -bf 0 -g 30 -c:a libopus OUT.mp4",
            code="source-not-webrtc",
        )
    return codec


def _is_rotated(container: Any) -> bool:
    """Whether players turn the picture: phones store it so in MP4. Only a decoded frame tells."""
    if "mp4" not in container.format.name or not container.name or "://" in container.name:
        return False
    with av.open(container.name) as again:
        frame = next(again.decode(video=0), None)
        return frame is not None and frame.rotation % 360 != 0


class AnnexB:
    """H264 packets in Annex B with parameter sets at keyframes, whatever the container stores.

    Raises:
        SourceError: from `convert`, when a packet is damaged.
    """

    def __init__(self, stream: Any) -> None:
        extra = stream.codec_context.extradata or b""
        stored_as_avc = extra[:1] == b"\x01"
        self._extra = b"" if stored_as_avc else extra
        self._filter = BitStreamFilterContext("h264_mp4toannexb", stream) if stored_as_avc else None

    def convert(self, packet: Any) -> bytes:
        """The packet's access unit."""
        if self._filter is None:
            data = bytes(packet)
            needs_sets = self._extra and is_keyframe("H264", data) and not has_parameter_sets(data)
            return self._extra + data if needs_sets else data
        copy = av.Packet(bytes(packet))  # the filter empties what it is given
        copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
        try:
            return b"".join(bytes(out) for out in self._filter.filter(copy))
        except av.error.FFmpegError as error:
            raise SourceError(
                f"H264 packet at {packet.pts}: {error.strerror}; the file is damaged or was being written",
                code="source-damaged",
            ) from None


def read_packets(url: str) -> Iterator[MediaPacket]:
    """Packets of a file that can be passed through: H264 without B-frames or VP8, and Opus if there is any.

    Blocking; run it in a thread.

    Raises:
        SourceError: it cannot be opened, or its video cannot be passed through.
    """
    container = open_media(url)
    with container:
        video = container.streams.video[0]
        codec = require_passthrough(container)
        annexb = AnnexB(video) if codec == "H264" else None
        wanted = [
            video,
            *(s for s in container.streams.audio[:1] if s.codec_context.name in ("opus", "libopus")),
        ]
        start_ns = int(video.start_time * video.time_base * 1e9) if video.start_time is not None else None
        counts = {"video": 0, "audio": 0}
        for packet in container.demux(wanted):
            if packet.pts is None or not packet.size:
                continue
            at_ns = int(packet.pts * packet.time_base * 1_000_000_000)
            kind = packet.stream.type
            if start_ns is None:
                if kind == "audio":
                    continue  # time begins with the video
                start_ns = at_ns
            is_h264 = kind == "video" and annexb is not None
            data = annexb.convert(packet) if is_h264 and annexb else bytes(packet)
            key = kind == "audio" or is_keyframe(codec, data)
            yield MediaPacket(kind, data, at_ns - start_ns, counts[kind], key)
            counts[kind] += 1
