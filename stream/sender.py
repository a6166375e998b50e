"""Sends one viewer what its subscription holds: paced, and again what got lost. Shell."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from stream.clock import Clock
from stream.history import RelayedFrame, SequenceMap
from stream.hooks_send import Packet, RtpWriter
from stream.pacer import Pacer, Resends
from stream.relay import RelaySubscription
from stream.settings import RtcSettings

_BURST_BYTES = 24_000
_UNASKED_S = 0.1


class StreamSender:
    """The video or the audio of one viewer. `run` and `lost` are what `stream.hooks_send.drive` takes.

    A viewer that joins is to see the newest keyframe and what followed at once. Sent as if it were live, that
    would mislead the viewer: a browser learns from the arrival of frames when to show them, and half a minute
    later it would still show each too early, before its overlay is there. It does not learn from frames that
    were sent again. So the first packet of the keyframe and the newest frame are sent, with sequence numbers
    that leave room for all in between; the viewer sees the gap and asks (NACK), and is sent everything. One
    that does not ask is sent it all the same.

    Args:
        kind: ``"video"`` or ``"audio"``.
        subscribe: the viewer's subscription; called when the connection is up.
        clock: the one clock.
        settings: `pace_kbps`.

    Attributes:
        resent: packets sent again because they were lost.
        refused: packets asked for again that were not: too old, or too often.
        replayed: packets sent so that the viewer could begin at a keyframe of the past.
    """

    def __init__(
        self, kind: str, subscribe: Callable[[], RelaySubscription], clock: Clock, settings: RtcSettings
    ) -> None:
        self.resent = 0
        self.refused = 0
        self.replayed = 0
        self._kind = kind
        self._subscribe = subscribe
        self._clock = clock
        self._pacer = Pacer(settings.pace_kbps, _BURST_BYTES)
        self._again_pacer = Pacer(settings.pace_kbps, _BURST_BYTES)
        self._resends = Resends(settings.pace_kbps // 2)
        self._subscription: RelaySubscription | None = None
        self._sequences = SequenceMap(0)
        self._owed: dict[int, int] = {}
        self._again: deque[tuple[int, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, writer: RtpWriter) -> None:
        """Send until the subscription ends.

        Raises:
            ConnectionError: the viewer has gone.
        """
        subscription = self._subscription = self._subscribe()
        self._sequences = SequenceMap(writer.first_sequence)
        take = subscription.video if self._kind == "video" else subscription.audio
        try:
            if self._kind == "video" and subscription.begin:
                await self._begin(writer, subscription.begin)
            while (frame := await take()) is not None:
                await self._send(writer, frame)
        finally:
            self._again.clear()
            if self._timer is not None:
                self._timer.cancel()

    def lost(self, writer: RtpWriter, sequence: int) -> None:
        """The viewer asks for a packet again (NACK)."""
        number = self._sequences.number(sequence)
        if number is not None and number in self._owed:
            self._replay(writer)
        elif number is not None and self._may_have(number):
            self.resent += 1
            self._count(resent=1)
            self._again.append((number, sequence))
            self._pump(writer)
        else:
            self.refused += 1
            self._count(refused=1)

    async def _begin(self, writer: RtpWriter, frames: tuple[RelayedFrame, ...]) -> None:
        *past, newest = frames
        for frame in past:
            for index in range(len(frame.payloads)):
                sequence = self._sequences.take(frame.first + index)
                if frame is past[0] and index == 0:
                    writer.write([_packet(frame, index, sequence)], self._clock.now_ns())
                else:
                    self._owed[frame.first + index] = sequence
        if self._owed:
            self._timer = asyncio.get_running_loop().call_later(_UNASKED_S, self._replay, writer)
        await self._send(writer, newest)

    def _replay(self, writer: RtpWriter) -> None:
        self.replayed += len(self._owed)
        self._count(replayed=len(self._owed))
        self._again.extend(self._owed.items())
        self._owed = {}
        self._pump(writer)

    def _pump(self, writer: RtpWriter) -> None:
        """Send again what waits for it, as much as may go now, and the rest later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._again:
            number, sequence = self._again[0]
            found = self._packet_of(number)
            if found is not None:
                frame, index = found
                now_ns = self._clock.now_ns()
                if delay_ns := self._again_pacer.delay_ns(len(frame.payloads[index]), now_ns):
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(delay_ns / 1e9, self._pump, writer)
                    return
                try:
                    writer.write_again(_packet(frame, index, sequence), now_ns)
                except ConnectionError:
                    self._again.clear()
                    return
            self._again.popleft()

    def _packet_of(self, number: int) -> tuple[RelayedFrame, int] | None:
        return None if self._subscription is None else self._subscription.packet(self._kind, number)

    def _may_have(self, number: int) -> bool:
        found = self._packet_of(number)
        size = len(found[0].payloads[found[1]]) if found is not None else 0
        return found is not None and self._resends.allow(number, size, self._clock.now_ns())

    def _count(self, **packets: int) -> None:
        if self._subscription is not None:
            self._subscription.count(**packets)

    async def _send(self, writer: RtpWriter, frame: RelayedFrame) -> None:
        ready: list[Packet] = []
        now_ns = self._clock.now_ns()
        for index, payload in enumerate(frame.payloads):
            while delay_ns := self._pacer.delay_ns(len(payload), now_ns):
                writer.write(ready, now_ns)
                ready = []
                await asyncio.sleep(delay_ns / 1e9)
                now_ns = self._clock.now_ns()
            ready.append(_packet(frame, index, self._sequences.take(frame.first + index)))
        writer.write(ready, now_ns)
        age_ns = max(self._clock.now_ns() - frame.arrived_ns, 0)
        writer.account(frame.rtp, age_ns, len(frame.payloads), frame.size)


def _packet(frame: RelayedFrame, index: int, sequence: int) -> Packet:
    return Packet(frame.payloads[index], sequence, frame.rtp, index == len(frame.payloads) - 1)
