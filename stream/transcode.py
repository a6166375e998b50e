"""Encoding for viewers what cannot be passed through: H264 without B-frames, and Opus."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.resampler import AudioResampler
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from stream.types import RTP_CLOCK_HZ

OPUS_HZ = 48_000
_OPUS_SAMPLES = 960
_GOP_S = 2


class VideoTranscoder:
    """Frames to H264 constrained baseline, one access unit out for each frame in.

    The encoder touches the frame's timestamps: give the frame to nobody else before `encode` has returned.

    Args:
        fps: expected frames a second, for rate control only.
        kbps: target bitrate.
    """

    def __init__(self, *, fps: float = 30.0, kbps: int = 2500) -> None:
        self.encoded = 0
        self._fps = fps
        self._kbps = kbps
        self._context: VideoCodecContext | None = None
        self._force_key = False

    def force_keyframe(self) -> None:
        """Make the next frame intra-coded. Any thread."""
        self._force_key = True

    def encode(self, frame: av.VideoFrame, ticks: int) -> bytes:
        """Encode one frame; Annex B with parameter sets at keyframes.

        Args:
            frame: any size and format; a new size begins a new encoder.
            ticks: its time at 90 kHz, increasing.
        """
        width, height = frame.width & ~1, frame.height & ~1
        context = self._context
        if context is None or (context.width, context.height) != (width, height):
            context = self._context = self._open(width, height)
        if frame.format.name != "yuv420p" or (frame.width, frame.height) != (width, height):
            frame = frame.reformat(width=width, height=height, format="yuv420p", threads=1)
        pts, base = frame.pts, frame.time_base
        frame.pts, frame.time_base = ticks, Fraction(1, RTP_CLOCK_HZ)
        frame.pict_type = PictureType.I if self._force_key else PictureType.NONE
        self._force_key = False
        data = b"".join(bytes(packet) for packet in context.encode(frame))
        if base is not None:
            frame.pts, frame.time_base = pts, base
        self.encoded += 1
        return data

    def _open(self, width: int, height: int) -> VideoCodecContext:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, RTP_CLOCK_HZ)
        context.framerate = Fraction(self._fps).limit_denominator(1001)
        context.bit_rate = self._kbps * 1000
        context.gop_size = max(round(self._fps * _GOP_S), 1)
        context.max_b_frames = 0
        context.thread_count = 1
        context.options = {"preset": "superfast", "tune": "zerolatency", "forced-idr": "1"}
        context.profile = "Baseline"
        return context


class OpusTranscoder:
    """Any audio to Opus packets of 20 ms."""

    def __init__(self) -> None:
        self._resampler = AudioResampler(
            format="s16", layout="stereo", rate=OPUS_HZ, frame_size=_OPUS_SAMPLES
        )
        self._context = av.CodecContext.create("libopus", "w")
        self._context.sample_rate = OPUS_HZ
        self._context.format = "s16"
        self._context.layout = "stereo"
        self._context.bit_rate = 96_000
        self._context.time_base = Fraction(1, OPUS_HZ)

    def encode(self, frame: av.AudioFrame) -> Iterator[tuple[bytes, int]]:
        """Packets that a frame completes.

        Yields:
            Packet and its time in ticks of 48 kHz, on the frames' own timeline.
        """
        for block in self._resampler.resample(frame):
            for packet in self._context.encode(block):
                if packet.pts is not None:
                    yield bytes(packet), int(packet.pts)
