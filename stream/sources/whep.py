"""One copy of a stream from an SFU or another engine, pulled by WHEP (draft-ietf-wish-whep-03)."""

from __future__ import annotations

import asyncio
import ipaddress
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError

from stream import hooks
from stream.clock import Clock
from stream.errors import SourceError
from stream.receiver import MediaReceiver
from stream.settings import RtcSettings
from stream.types import StreamId, StreamSink

_HTTP_TIMEOUT_S = 15.0
_DRAIN_S = 0.3


class WhepSource:
    """A viewer of somebody else's WHEP endpoint.

    Timestamps are those on the wire: MediaMTX and this engine pass the publisher's on.

    Args:
        url: `whep://host/path` (http) or `wheps://host/path` (https); `whep://TOKEN@host/path` sends a
            bearer token.
        stream: whose media it will be.
        clock: the one clock.
        loop: ignored: a live stream has no end.
        epoch: number of this connection.
    """

    def __init__(
        self, url: str, stream: StreamId, clock: Clock, *, loop: bool = False, epoch: int = 1
    ) -> None:
        parts = urlsplit(url)
        self._token = unquote(parts.username or "")
        self._url = _http_url(parts)
        self._stream = stream
        self._clock = clock
        self._epoch = epoch
        self._settings = RtcSettings(loopback=_is_loopback(parts.hostname or ""))
        self._media: MediaReceiver | None = None

    def request_keyframe(self) -> None:
        """Ask the endpoint for a keyframe (PLI); at most two a second reach it."""
        if self._media is not None:
            self._media.request_keyframe()

    async def run(self, sink: StreamSink) -> None:
        """Deliver until the endpoint says goodbye; see `stream.types.VideoSource`."""
        name = f"WHEP {urlsplit(self._url).hostname}"
        media = self._media = MediaReceiver(
            self._stream, self._epoch, sink, self._clock, self._settings, name
        )
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        reason = "bye"
        resource: str | None = None
        timeout = aiohttp.ClientTimeout(total=_HTTP_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers()) as http:
            try:
                resource = await self._connect(pc, http, media, ended)
                reason = await self._receive(media, ended)
                await media.drain(_DRAIN_S)
                if reason != "bye":
                    raise SourceError(f"WHEP endpoint: {reason}", code="whep-lost", retryable=True)
            except SourceError as error:
                reason = f"error: {error.code}"
                raise
            finally:
                media.close()
                self._media = None
                sink.on_ended(reason)
                await pc.close()
                if resource is not None:
                    await _delete(http, resource)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def _connect(
        self,
        pc: RTCPeerConnection,
        http: aiohttp.ClientSession,
        media: MediaReceiver,
        ended: asyncio.Future[str],
    ) -> str | None:
        def end(reason: str) -> None:
            if not ended.done():
                ended.set_result(reason)

        def changed() -> None:
            if pc.connectionState == "failed":
                end("connection failed")
            elif pc.connectionState == "closed":
                end("bye")

        pc.on("connectionstatechange", changed)
        for kind in ("video", "audio"):
            transceiver = pc.addTransceiver(kind, direction="recvonly")
            media.attach(transceiver.receiver, kind, lambda: end("bye"))
            if kind == "video":
                known = RTCRtpReceiver.getCapabilities("video")
                codecs = known.codecs if known is not None else []
                h264_first = sorted(codecs, key=lambda c: c.mimeType.lower() != "video/h264")
                transceiver.setCodecPreferences(h264_first)
        hooks.limit_network(pc, loopback=self._settings.loopback, udp_ports=None)
        await pc.setLocalDescription(await pc.createOffer())
        answer, location = await self._post(http, str(pc.localDescription.sdp))
        try:
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except (
            ValueError,
            AssertionError,
            InternalError,
            InvalidAccessError,
            InvalidStateError,
            OperationError,
        ) as e:
            raise SourceError(
                f"WHEP endpoint: got an answer that cannot be used: {e}", code="whep-answer"
            ) from e
        return urljoin(self._url, location) if location else None

    async def _post(self, http: aiohttp.ClientSession, offer: str) -> tuple[str, str | None]:
        headers = {"Content-Type": "application/sdp"}
        try:
            async with http.post(self._url, data=offer, headers=headers) as reply:
                text = await reply.text()
                if reply.status != 201:
                    raise SourceError(
                        f"WHEP endpoint: got {reply.status} {text[:200]}, expected 201",
                        code="whep-refused",
                        retryable=reply.status in (404, 409, 503),
                    )
                return text, reply.headers.get("Location")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SourceError(
                f"WHEP endpoint: {error or 'timeout'}; is the address right and the server running?",
                code="whep-unreachable",
                retryable=True,
            ) from error

    async def _receive(self, media: MediaReceiver, ended: asyncio.Future[str]) -> str:
        def check(now_ns: int) -> None:
            reason = media.silent(now_ns)
            if reason and not ended.done():
                ended.set_result(reason)

        feedback = asyncio.create_task(media.run(check))
        try:
            await asyncio.wait((feedback, ended), return_when=asyncio.FIRST_COMPLETED)
            if feedback.done():
                feedback.result()
            return ended.result()
        finally:
            feedback.cancel()
            await asyncio.gather(feedback, return_exceptions=True)


def _http_url(parts: SplitResult) -> str:
    scheme = "https" if parts.scheme.lower() == "wheps" else "http"
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit((scheme, netloc, parts.path, parts.query, ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _delete(http: aiohttp.ClientSession, resource: str) -> None:
    try:
        async with http.delete(resource):
            pass
    except (aiohttp.ClientError, TimeoutError):
        pass  # gone already
