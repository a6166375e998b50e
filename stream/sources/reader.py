"""The thread's work of a `FileSource`: demux, pace, convert, decode."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import av
import imageio_ffmpeg
from av.codec.context import Flags

from stream.bitstream import is_keyframe
from stream.clock import Clock
from stream.errors import SourceError
from stream.packets import AnnexB, is_playlist, open_media, passthrough_codec
from stream.pixels import AvPixels, StreamReformatter
from stream.sources.outlet import Outlet
from stream.timeline import Timeline
from stream.transcode import OPUS_HZ, OpusTranscoder, VideoTranscoder
from stream.types import RTP_CLOCK_HZ, EncodedFrame, Frame, MediaTime, SourceInfo, StreamId, StreamSink

_NS = 1_000_000_000
_MS = 1_000_000
_WRAP = 1 << 32
_LAG_NS = _NS
_STARVED_NS = _NS // 4
"""A live list that has been waited for so long had no newer segment."""
_BACK_NS = _NS // 10
_AHEAD_NS = 10 * _NS
"""Decoding times of a playlist that step further back or ahead are another run of its encoder."""


class Reader:
    """Plays one address, in its own thread.

    Args:
        url: address or path.
        stream: whose media it is.
        epoch: number of this connection.
        clock: the one clock.
        sink: where it goes, through `outlet`.
        outlet: the way to the loop.
        loop: begin again at the end.
        live: deliver as it comes, without pacing.

    Attributes:
        transcoded: video frames encoded here.
    """

    def __init__(
        self,
        url: str,
        stream: StreamId,
        epoch: int,
        clock: Clock,
        sink: StreamSink,
        outlet: Outlet,
        *,
        loop: bool,
        live: bool,
    ) -> None:
        self.transcoded = 0
        self._url = url
        self._stream = stream
        self._epoch = epoch
        self._clock = clock
        self._sink = sink
        self._outlet = outlet
        self._loop = loop
        self._live = live
        self._timeline = Timeline()
        self._reformatter = StreamReformatter()
        self._encoder: VideoTranscoder | None = None
        self._opus: OpusTranscoder | None = None
        self._info: SourceInfo | None = None
        self._anchor_ns: int | None = None
        self._offset_ns = 0
        self._start_ns: int | None = None
        self._origin_ns = 0
        self._last_ns = 0
        self._step_ns = 0
        self._paced: dict[int, int] = {}
        self._is_list = is_playlist(url)
        self._is_live_list = False
        self._starved = self._skipping = False
        self._dts_ns: int | None = None
        self._sound_ns = -(1 << 62)

    def force_keyframe(self) -> None:
        """Begin a new group of pictures, where pictures are encoded here. Any thread."""
        if self._encoder is not None:
            self._encoder.force_keyframe()

    def run(self) -> None:
        """Play to the end, or until the outlet says stop.

        Raises:
            SourceError: it cannot be opened.
            av.FFmpegError: it broke off.
        """
        while not self._outlet.stop.is_set():
            with _opened(self._url) as container:
                self._play(container)
            if not self._loop or self._start_ns is None:
                return
            # Whole milliseconds are whole ticks of both RTP clocks: a timestamp tells its place in the file.
            self._offset_ns += -(-(self._last_ns + self._step_ns) // _MS) * _MS
            self._start_ns, self._last_ns = None, 0

    def _play(self, container: Any) -> None:
        video = container.streams.video[0]
        audio = container.streams.audio[0] if container.streams.audio else None
        codec = passthrough_codec(container)
        context = video.codec_context
        context.thread_type = "SLICE" if codec else "AUTO"
        if codec:
            context.flags |= Flags.low_delay
        if context.name == "h264":
            context.options = {"flags2": "+export_mvs"}
        annexb = AnnexB(video) if codec == "H264" else None
        if video.start_time is not None:
            self._start_ns = int(video.start_time * video.time_base * _NS)
            if self._is_list and not self._offset_ns:
                self._origin_ns = self._start_ns  # players of the same playlist know these times
        self._is_live_list = self._is_list and container.duration is None
        self._opus, self._dts_ns = None, None
        self._paced.clear()
        for packet in self._timed(container.demux([s for s in (video, audio) if s is not None])):
            if self._outlet.stop.is_set():
                return
            if packet.stream.type == "audio":
                self._audio(packet)
                continue
            if self._is_list and self._breaks(packet):
                for frame in context.decode(None):
                    self._picture(frame, video, codec, audio is not None)
                context.flush_buffers()
                self._begin_anew()
            if self._skips(packet):
                continue
            if codec is not None and packet.size and packet.pts is not None:
                self._pass(packet, codec, annexb)
            for frame in context.decode(_kept(packet) if self._is_list and packet.is_discard else packet):
                if frame.pts is not None:
                    self._picture(frame, video, codec, audio is not None)

    # --- playlists

    def _timed(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The same, noting when a live list had nothing newer yet."""
        asked_ns = self._clock.now_ns()
        for packet in packets:
            self._starved |= self._clock.now_ns() - asked_ns > _STARVED_NS
            yield packet
            asked_ns = self._clock.now_ns()

    def _breaks(self, packet: Any) -> bool:
        """Whether the encoder began anew with this packet: FFmpeg does not pass the playlist's tag on."""
        if packet.dts is None:
            return False
        before_ns, self._dts_ns = self._dts_ns, int(packet.dts * packet.time_base * _NS)
        return before_ns is not None and not -_BACK_NS <= self._dts_ns - before_ns <= _AHEAD_NS

    def _begin_anew(self) -> None:
        """Another run of timestamps: keys are told apart by their epoch, and paced from here on."""
        self._epoch = self._outlet.ask(lambda: self._sink.next_epoch(self._epoch), self._epoch)
        self._start_ns = self._anchor_ns = self._info = self._encoder = self._opus = None
        self._origin_ns = self._offset_ns = self._last_ns = 0
        self._sound_ns = -(1 << 62)
        self._paced.clear()

    def _skips(self, packet: Any) -> bool:
        """Whether a packet is left out, up to a keyframe: this machine is too slow for a live list."""
        if not self._is_live_list or packet.pts is None:
            return False
        if self._skipping and not packet.is_keyframe:
            self._outlet.post(lambda: self._sink.on_dropped("late", 1))
            return True
        late_ns = self._clock.now_ns() - self._due_ns(self._media_ns(packet.pts, packet.time_base))
        self._skipping = late_ns > _LAG_NS and not self._starved
        if self._skipping:
            self._outlet.post(lambda: self._sink.on_dropped("late", 1))
        return self._skipping

    # --- time

    def _media_ns(self, pts: int, base: Any) -> int:
        at_ns = int(pts * base * _NS)
        if self._start_ns is None:
            self._start_ns = at_ns
            if self._is_list and not self._offset_ns:
                self._origin_ns = at_ns
        return at_ns - self._start_ns

    def _due_ns(self, media_ns: int) -> int:
        """When a media time is to be delivered."""
        if self._anchor_ns is None:
            self._anchor_ns = self._clock.now_ns()
        return self._anchor_ns + self._offset_ns + media_ns

    def _pace(self, media_ns: int) -> int:
        """Wait until a media time is due; returns the clock then."""
        now_ns = self._clock.now_ns()
        if self._live:
            return now_ns
        due_ns = self._due_ns(media_ns)
        assert self._anchor_ns is not None
        if due_ns > now_ns:
            self._outlet.stop.wait((due_ns - now_ns) / 1e9)
            return self._clock.now_ns()
        if self._starved if self._is_live_list else now_ns - due_ns > _LAG_NS:
            self._anchor_ns += now_ns - due_ns  # machine or network too slow: go on from here
        self._starved = False
        return now_ns

    def _time(self, media_ns: int, hz: int = RTP_CLOCK_HZ) -> MediaTime:
        return MediaTime(self._epoch, self._ticks(media_ns, hz) % _WRAP)

    def _ticks(self, media_ns: int, hz: int) -> int:
        return ((self._origin_ns + self._offset_ns + media_ns) * hz + _NS // 2) // _NS

    # --- media

    def _pass(self, packet: Any, codec: str, annexb: AnnexB | None) -> None:
        data = annexb.convert(packet) if annexb else bytes(packet)
        media_ns = self._media_ns(packet.pts, packet.time_base)
        now_ns = self._paced[packet.pts] = self._pace(media_ns)
        self._send(EncodedFrame(codec, self._time(media_ns), data, is_keyframe(codec, data), now_ns))

    def _picture(self, frame: av.VideoFrame, video: Any, codec: str | None, has_audio: bool) -> None:
        assert frame.pts is not None
        media_ns = self._media_ns(frame.pts, frame.time_base or video.time_base)
        time = self._time(media_ns)
        if codec is None:
            now_ns = self._pace(media_ns)
            frame, keyframe = self._transcode(frame, media_ns, video, now_ns)
        else:
            now_ns, keyframe = self._paced.pop(frame.pts or 0, self._clock.now_ns()), frame.key_frame
        if media_ns > self._last_ns:
            self._step_ns, self._last_ns = media_ns - self._last_ns, media_ns
        pixels = AvPixels(frame, self._reformatter)
        self._announce(video, pixels, codec, has_audio)
        pts_ns = self._timeline.map(self._epoch, time.rtp, now_ns)
        picture = Frame(self._stream, time, pts_ns, now_ns, self._clock.now_ns(), pixels, keyframe)
        self._outlet.post(lambda: self._sink.on_frame(picture), droppable=True)

    def _transcode(
        self, frame: av.VideoFrame, media_ns: int, video: Any, now_ns: int
    ) -> tuple[av.VideoFrame, bool]:
        if frame.rotation:
            frame = av.VideoFrame.from_ndarray(AvPixels(frame, self._reformatter).rgb(), format="rgb24")
        if self._encoder is None:
            self._encoder = VideoTranscoder(fps=float(video.average_rate or 30))
        data = self._encoder.encode(frame, self._ticks(media_ns, RTP_CLOCK_HZ))
        self.transcoded = self._encoder.encoded
        keyframe = is_keyframe("H264", data)
        if data:
            self._send(EncodedFrame("H264", self._time(media_ns), data, keyframe, now_ns))
        return frame, keyframe

    def _audio(self, packet: Any) -> None:
        if self._start_ns is None:
            return  # time begins with the video
        if packet.stream.codec_context.name in ("opus", "libopus"):
            if packet.size and packet.pts is not None:
                self._sound(bytes(packet), self._media_ns(packet.pts, packet.time_base))
            return
        if self._opus is None:
            self._opus = OpusTranscoder()
        for frame in packet.decode():
            for data, ticks in self._opus.encode(frame):
                self._sound(data, ticks * _NS // OPUS_HZ - self._start_ns)

    def _sound(self, data: bytes, media_ns: int) -> None:
        if self._offset_ns + media_ns <= self._sound_ns:
            return  # audio that outlasts the video is cut where the next loop's begins
        self._sound_ns = self._offset_ns + media_ns
        now_ns = self._pace(media_ns)
        self._send(EncodedFrame("opus", self._time(media_ns, OPUS_HZ), data, True, now_ns))

    def _send(self, unit: EncodedFrame) -> None:
        self._outlet.post(lambda: self._sink.on_encoded(unit))

    def _announce(self, video: Any, pixels: AvPixels, codec: str | None, has_audio: bool) -> None:
        info = self._info
        if info is not None and (info.width, info.height) == (pixels.width, pixels.height):
            return
        name = codec or video.codec_context.name
        info = self._info = SourceInfo(
            name, pixels.width, pixels.height, codec is None, has_audio, describe(self._url)
        )
        self._outlet.post(lambda: self._sink.on_started(self._epoch, info))


def _kept(packet: Any) -> Any:
    """A copy that is decoded: after a break of fragmented MP4 FFmpeg marks a segment as not wanted."""
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    return copy


def describe(url: str) -> str:
    """An address in words, without its credentials and query."""
    if "://" not in url:
        return f"file {PurePosixPath(url).name}"
    parts = urlsplit(url)
    if parts.scheme == "file":
        return f"file {PurePosixPath(unquote(parts.path)).name}"
    return f"{parts.scheme} {parts.hostname or ''}"


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Any]:
    if urlsplit(url).scheme.lower() == "srt":
        with _through_ffmpeg(url) as container:
            yield container
        return
    if url.startswith("file://"):
        url = unquote(urlsplit(url).path)
    with open_media(url) as container:
        yield container


@contextlib.contextmanager
def _through_ffmpeg(url: str) -> Iterator[Any]:
    """SRT, which PyAV's FFmpeg lacks, through a program that has it: MPEG-TS over a pipe."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", url]
    command += [
        "-map",
        "0:v:0",
        "-map",
        "0:a:0?",
        "-c",
        "copy",
        "-flush_packets",
        "1",
        "-f",
        "mpegts",
        "pipe:1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            with open_media(url, file=cast(IO[bytes], process.stdout)) as container:
                yield container
        except SourceError:
            raise
        finally:
            process.kill()
