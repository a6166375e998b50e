"""The receiving half of a WebRTC connection: packets to encoded frames to pictures, into a `StreamSink`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiortc import RTCRtpReceiver

from stream import hooks
from stream.assembler import Assembled, FrameAssembler, RtpIn
from stream.bitstream import is_keyframe
from stream.clock import Clock
from stream.decoder import Decoded, DecoderThread
from stream.guard import KeyframeRequests, LossGuard
from stream.settings import RtcSettings
from stream.timeline import Timeline
from stream.types import EncodedFrame, Frame, MediaTime, SourceInfo, StreamId, StreamSink

_MS = 1_000_000
_TICK_S = 0.05
_EARLY_REMBS = 8
_EARLY_REMB_NS = 200 * _MS
_GUARD_NS = 1000 * _MS


class MediaReceiver:
    """Everything between the packets of one publisher connection and its sink.

    Event loop only. `run` must be running for feedback (keyframe requests, retransmissions, bitrate) to
    go out.

    Args:
        stream: whose media this is.
        epoch: number of the connection.
        sink: where it goes.
        clock: the one clock.
        settings: see `RtcSettings`.
        description: who publishes, in words.
    """

    def __init__(
        self,
        stream: StreamId,
        epoch: int,
        sink: StreamSink,
        clock: Clock,
        settings: RtcSettings,
        description: str,
    ) -> None:
        self._stream = stream
        self._epoch = epoch
        self._sink = sink
        self._clock = clock
        self._settings = settings
        self._description = description
        self._timeline = Timeline()
        self._assembler = FrameAssembler(patience_ns=settings.loss_patience_ms * _MS)
        self._keyframes = KeyframeRequests()
        self._guard = LossGuard(start_kbps=settings.max_bitrate_kbps, max_kbps=settings.max_bitrate_kbps)
        self._decoder = DecoderThread(
            clock, self._on_decoded, sink.on_dropped, self.request_keyframe, capacity=settings.decoder_queue
        )
        self._video: RTCRtpReceiver | None = None
        self._names: dict[int, str] = {}
        self._ssrc: int | None = None
        self._info: SourceInfo | None = None
        self._codec = ""
        self._has_audio = False
        self._need_key = True
        self._wake = asyncio.Event()
        self._closed = False
        self._audio_seqs: dict[int, None] = {}
        self._counts = {"packets": 0, "bytes": 0, "frames": 0, "keyframes": 0, "nacks": 0, "plis": 0}
        self._first_ns: int | None = None
        self._rate_ns = 0
        self._rate_bytes = 0
        self._kbps = 0.0
        self._opened_ns = clock.now_ns()
        self._heard_ns: int | None = None
        self._media_ns: int | None = None

    def attach(self, receiver: RTCRtpReceiver, kind: str, on_bye: Callable[[], None]) -> None:
        """Take over an RTP receiver before its connection is established.

        Args:
            receiver: of a transceiver of the connection.
            kind: ``"video"`` or ``"audio"``.
            on_bye: called when the sender of the video says goodbye.
        """
        if kind == "video":
            self._video = receiver
            hooks.tap_packets(receiver, self._clock.now_ns, self._on_video)
            hooks.watch_sender(receiver, on_bye, self._on_alive)
            hooks.on_nack(receiver, self._on_nack)
        else:
            hooks.tap_packets(receiver, self._clock.now_ns, self._on_audio)

    def request_keyframe(self) -> None:
        """Ask the publisher for an intra-coded frame; at most one request per half second reaches it."""
        self._keyframes.ask()
        self._wake.set()

    async def drain(self, seconds: float) -> None:
        """Wait until what has arrived is decoded and delivered, `seconds` at most."""
        await self._decoder.drain(seconds)

    def close(self) -> None:
        """Deliver nothing more."""
        self._closed = True
        self._decoder.close()

    def statistics(self) -> dict[str, float]:
        """Counters and rates of the video, as floats."""
        out = {key: float(value) for key, value in self._counts.items()}
        out |= {"lost": float(self._assembler.lost), "late_packets": float(self._assembler.late)}
        out["bitrate_kbps"] = self._kbps
        if self._video is not None and self._ssrc is not None:
            counts = hooks.reception_counts(self._video, self._ssrc)
            out["packet_loss"] = 1 - counts.received / counts.expected if counts.expected else 0.0
            out["jitter_ms"] = counts.jitter / 90
        return out

    def silent(self, now_ns: int) -> str:
        """Why the publisher must be taken for gone, or ``""``."""
        limits = self._settings
        if self._heard_ns is None or self._media_ns is None:
            late = now_ns - self._opened_ns > limits.connect_timeout_ms * _MS
        else:
            late = now_ns - self._heard_ns > limits.media_timeout_ms * _MS
            late = late or now_ns - self._media_ns > limits.silence_timeout_ms * _MS
        return "timeout" if late else ""

    # --- packets in

    def _on_nack(self, packets: int) -> None:
        self._counts["nacks"] += packets

    def _on_alive(self) -> None:
        self._heard_ns = self._clock.now_ns()

    def _on_audio(self, packet: RtpIn) -> None:
        self._heard_ns = self._media_ns = packet.arrived_ns
        if self._closed or not packet.data or packet.seq in self._audio_seqs:
            return
        self._audio_seqs[packet.seq] = None
        if len(self._audio_seqs) > 64:
            del self._audio_seqs[next(iter(self._audio_seqs))]
        if not self._has_audio:
            self._has_audio = True
            self._announce()
        time = MediaTime(self._epoch, packet.rtp)
        self._sink.on_encoded(EncodedFrame("opus", time, packet.data, True, packet.arrived_ns))

    def _on_video(self, packet: RtpIn) -> None:
        now_ns = packet.arrived_ns
        self._heard_ns = self._media_ns = now_ns
        if self._closed:
            return
        if self._first_ns is None:
            self._first_ns = self._rate_ns = now_ns
        self._ssrc = packet.ssrc
        self._counts["packets"] += 1
        self._counts["bytes"] += len(packet.data)
        for unit in self._assembler.add(packet):
            self._on_unit(unit)

    def _on_unit(self, unit: Assembled) -> None:
        if not self._names and self._video is not None:
            self._names = hooks.codec_names(self._video)
        codec = self._names.get(unit.payload_type)
        if codec not in ("H264", "VP8"):
            return
        self._codec = codec
        key = is_keyframe(codec, unit.data)
        if unit.broken and not key:
            self._need_key = True
        if key:
            self._need_key = False
            self._keyframes.satisfied()
            self._counts["keyframes"] += 1
        self._counts["frames"] += 1
        if self._need_key:
            self._sink.on_dropped("undecodable", 1)
            self.request_keyframe()
            return
        time = MediaTime(self._epoch, unit.rtp)
        self._sink.on_encoded(EncodedFrame(codec, time, unit.data, key, unit.arrived_ns))
        wanted = self._info is None or self._sink.wants_pictures()
        self._decoder.put(codec, unit.data, unit.rtp, unit.arrived_ns, key, wanted=wanted)

    # --- pictures out

    def _on_decoded(self, decoded: Decoded) -> None:
        pixels = decoded.pixels
        info = self._info
        if info is None or (info.width, info.height) != (pixels.width, pixels.height):
            self._info = SourceInfo(
                self._codec, pixels.width, pixels.height, False, self._has_audio, self._description
            )
            self._sink.on_started(self._epoch, self._info)
        pts_ns = self._timeline.map(self._epoch, decoded.rtp, decoded.arrived_ns)
        time = MediaTime(self._epoch, decoded.rtp)
        self._sink.on_frame(
            Frame(
                self._stream, time, pts_ns, decoded.arrived_ns, decoded.decoded_ns, pixels, decoded.keyframe
            )
        )

    def _announce(self) -> None:
        if self._info is not None:
            i = self._info
            self._info = SourceInfo(i.codec, i.width, i.height, i.transcoded, self._has_audio, i.description)
            self._sink.on_started(self._epoch, self._info)

    # --- feedback

    async def run(self, check: Callable[[int], None]) -> None:
        """Send feedback until cancelled; calls `check(now_ns)` at each tick."""
        rembs, remb_ns, guard_ns = 0, 0, 0
        while True:
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            now_ns = self._clock.now_ns()
            check(now_ns)
            video, ssrc = self._video, self._ssrc
            if video is None or ssrc is None:
                continue
            await self._ask(video, ssrc, now_ns)
            if rembs < _EARLY_REMBS and now_ns >= remb_ns:
                rembs += 1
                remb_ns = now_ns + _EARLY_REMB_NS
                await self._early_remb(video, ssrc, last=rembs == _EARLY_REMBS)
            elif rembs == _EARLY_REMBS and now_ns >= guard_ns:
                guard_ns = now_ns + _GUARD_NS
                await self._guard_bitrate(video, ssrc)
            self._measure(now_ns)

    async def _ask(self, video: RTCRtpReceiver, ssrc: int, now_ns: int) -> None:
        if self._keyframes.due(now_ns):
            self._counts["plis"] += 1
            await hooks.send_pli(video, ssrc)
        missing = self._assembler.missing()
        if missing:
            await hooks.send_nack(video, ssrc, missing)

    async def _early_remb(self, video: RTCRtpReceiver, ssrc: int, *, last: bool) -> None:
        """Chromium believes a REMB fully only in its first two seconds: say at once what it may use."""
        bits = self._settings.max_bitrate_kbps * 1000
        await hooks.send_remb(video, ssrc, bits)
        if last:
            hooks.start_estimate(video, bits)

    async def _guard_bitrate(self, video: RTCRtpReceiver, ssrc: int) -> None:
        counts = hooks.reception_counts(video, ssrc)
        kbps = self._guard.update(counts.expected, counts.expected - counts.received)
        if not hooks.has_bandwidth_estimate(video):
            await hooks.send_remb(video, ssrc, kbps * 1000)

    def _measure(self, now_ns: int) -> None:
        if now_ns - self._rate_ns >= _GUARD_NS:
            sent = self._counts["bytes"] - self._rate_bytes
            self._kbps = sent * 8e6 / (now_ns - self._rate_ns)
            self._rate_ns, self._rate_bytes = now_ns, self._counts["bytes"]
