"""What publishers' and viewers' WebRTC sessions share."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import NoReturn

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp

from stream import hooks, sdp
from stream.errors import SdpError
from stream.settings import RtcSettings
from stream.trickle import read_fragment

log = logging.getLogger(__name__)

_CLOSE_S = 5.0
REFUSALS = (
    ValueError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    StopIteration,
    TypeError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)
"""What the stack raises at a description that it cannot use."""


class Session:
    """One connection: its answer, trickled candidates, and ending exactly once.

    Attributes:
        id: random, URL-safe: the session's resource name.
        answer: SDP answer.
        offer: what was offered.
    """

    def __init__(self, pc: RTCPeerConnection, offer: sdp.Offer) -> None:
        self.id = secrets.token_urlsafe(24)
        self.answer = ""
        self.offer = offer
        self._pc = pc
        self._reason: str | None = None
        self._stopping = asyncio.Event()
        self._closed = asyncio.Event()
        self._main_task: asyncio.Task[None] | None = None
        pc.on("connectionstatechange", self._on_state)

    @property
    def connected(self) -> bool:
        """ICE and DTLS are up."""
        return self._pc.connectionState == "connected"

    async def trickle(self, fragment: str) -> None:
        """Add the candidates of a trickle fragment (RFC 8840).

        Raises:
            SdpError: malformed (400, 413), or it belongs to another ICE session: restarts are not
                supported (422).
        """
        parsed = read_fragment(fragment)
        if parsed.ufrag is not None and parsed.ufrag not in self.offer.ufrags:
            raise SdpError(
                "trickle fragment: got a new ice-ufrag, expected the session's; ICE restart is not "
                "supported, end this session and start another",
                code="ice-restart",
                http_status=422,
            )
        for candidate in parsed.candidates:
            try:
                found = candidate_from_sdp(candidate.line)
                found.sdpMid = candidate.mid if candidate.mid in self.offer.mids else self.offer.mids[0]
                await self._pc.addIceCandidate(found)
            except (ValueError, IndexError, AssertionError) as error:
                raise SdpError(
                    f"trickle fragment: got candidate {candidate.line[:80]!r}: {error}",
                    code="trickle-malformed",
                ) from None

    async def close(self, reason: str) -> None:
        """End the session; returns when everything is released. Idempotent: the first reason counts."""
        self._end(reason)
        await self._closed.wait()

    async def wait_closed(self) -> None:
        """Wait until the session has ended and everything is released."""
        await self._closed.wait()

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            self._stopping.set()

    def _on_state(self) -> None:
        state = self._pc.connectionState
        if state == "failed":
            self._end("error: connection failed")
        elif state == "closed":
            self._end("bye")

    async def _negotiate(self, settings: RtcSettings) -> str:
        """Answer the offer that was set; returns the stack's answer."""
        hooks.limit_network(
            self._pc,
            loopback=settings.loopback,
            udp_ports=settings.udp_ports,
            through_own_addresses=self.offer.publisher == "Firefox",
        )
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return str(self._pc.localDescription.sdp)

    def _run(self) -> None:
        self._main_task = asyncio.create_task(self._main(), name=f"{type(self).__name__}-{self.id[:6]}")

    async def _main(self) -> None:
        work = asyncio.create_task(self._work())
        work.add_done_callback(self._work_done)
        try:
            await self._stopping.wait()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            began_s = asyncio.get_running_loop().time()
            try:
                await self._finish(self._reason or "")
                self._ended(self._reason or "error: cancelled")
                async with asyncio.timeout(_CLOSE_S):
                    await self._pc.close()
            except TimeoutError:
                waited_s = asyncio.get_running_loop().time() - began_s  # far more than the limit: it was us
                state = {"connection": self._pc.connectionState, "ice": self._pc.iceConnectionState}
                log.warning(
                    "closing a WebRTC connection took too long",
                    extra={"waited_ms": round(waited_s * 1000), "reason": self._reason, **state},
                )
            finally:
                self._closed.set()

    def _work_done(self, work: asyncio.Task[None]) -> None:
        if not work.cancelled() and (error := work.exception()) is not None:
            log.error("WebRTC session failed", exc_info=error)
            self._end(f"error: {type(error).__name__}")

    async def _work(self) -> None:
        """What runs while the session is open; ends it by `_end`."""
        raise NotImplementedError

    async def _finish(self, reason: str) -> None:
        """Let what is under way come to its end; short."""

    def _ended(self, reason: str) -> None:
        """Called once, before the connection is closed."""
        raise NotImplementedError


class StandInTrack(MediaStreamTrack):
    """Stands for a relayed stream in a session's description; its packets go past it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    async def recv(self) -> NoReturn:
        """Not called: `stream.hooks_send.drive` sends."""
        raise MediaStreamError


async def set_offer(pc: RTCPeerConnection, offer: sdp.Offer) -> None:
    """Give a checked offer to the stack.

    Raises:
        SdpError: the stack finds something in it that the check did not.
    """
    try:
        await pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
    except REFUSALS as error:
        raise SdpError(
            f"SDP: the offer cannot be applied ({type(error).__name__}: {str(error)[:120]}); "
            "send an unchanged offer of a WebRTC implementation",
            code="sdp-malformed",
        ) from error
