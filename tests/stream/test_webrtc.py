"""Publishers and viewers over real connections on 127.0.0.1, with aiortc at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import RTCSessionDescription

from stream import hooks
from stream.clock import MonotonicClock
from stream.errors import PortsExhausted, SdpError
from stream.latest import LatestSlot
from stream.publish import Publisher
from stream.relay import Relay
from stream.settings import RtcSettings
from stream.types import Frame
from stream.webrtc import Ingest, Playback
from tests.stream.offers import CHROMIUM, offer, video
from tests.stream.peers import IDR, ScriptedTrack, connection, watching
from tests.stream.rig import STREAM, RecordingSink, Server, serve, until

MS = 1_000_000


@contextlib.asynccontextmanager
async def publishing(server: Server, clip: Path, *, loop: bool = True) -> AsyncIterator[Publisher]:
    """A publisher in the background, until the block is left."""
    publisher = Publisher(f"{server.url}/whip/show", "", str(clip), loop=loop)
    task = asyncio.create_task(publisher.run())
    known = len(server.sinks)
    try:
        await until(lambda: task.done() or (len(server.sinks) > known and server.sink.frames))
        yield publisher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("fixture", "codec"), [("clip", "H264"), ("vp8_clip", "VP8")])
async def test_every_frame_arrives_once_under_its_wire_timestamp(
    fixture: str, codec: str, request: pytest.FixtureRequest
) -> None:
    clip = request.getfixturevalue(fixture)
    async with serve() as server:
        publisher = Publisher(f"{server.url}/whip/show", "", str(clip))
        assert (await publisher.run()).frames == 45
        sink = server.sink
        await until(lambda: sink.ended)
        assert [frame.barcode for frame in sink.frames] == list(range(45))
        assert [publisher.frame_index(frame.rtp) for frame in sink.frames] == list(range(45))
        assert [f.time.rtp for f in sink.video()] == [frame.rtp for frame in sink.frames]
        assert {frame.epoch for frame in sink.frames} == {1}
        info = sink.started[-1][1]
        assert (info.codec, info.width, info.height, info.transcoded, info.has_audio) == (
            codec,
            320,
            240,
            False,
            True,
        )
        assert sink.dropped == {}
        assert sink.ended == ["bye"]
        assert [frame.keyframe for frame in sink.video()[:16]] == [True] + [False] * 14 + [True]
        if codec == "H264":
            assert sum(frame.motion > 0 for frame in sink.frames) >= 40


async def test_opus_passes_through_unchanged(clip: Path) -> None:
    async with serve() as server:
        await Publisher(f"{server.url}/whip/show", "", str(clip)).run()
        await until(lambda: server.sink.ended)
        sound = server.sink.audio()
        assert len(sound) >= 70
        assert {(b.time.rtp - a.time.rtp) % (1 << 32) for a, b in zip(sound, sound[1:], strict=False)} == {
            960
        }
        assert all(frame.keyframe and frame.data for frame in sound)


async def test_media_time_is_steady_and_frames_are_complete_on_their_marker(clip: Path) -> None:
    async with serve() as server:
        await Publisher(f"{server.url}/whip/show", "", str(clip)).run()
        frames = server.sink.frames
        steps = [(b.pts_ns - a.pts_ns) // 1000 for a, b in zip(frames, frames[1:], strict=False)]
        assert set(steps) <= {33_333, 33_334}
        waits = sorted((f.decoded_ns - f.arrived_ns) / 1e6 for f in frames)
        assert waits[len(waits) // 2] < 25  # waiting for the next frame's first packet would be 33 ms
        arrived = {f.time.rtp: f.arrived_ns for f in server.sink.video()}
        assert all(arrived[f.rtp] == f.arrived_ns for f in frames)


async def test_reconnect_is_a_new_epoch_and_the_old_session_ends_once(clip: Path) -> None:
    async with serve() as server:
        async with publishing(server, clip), publishing(server, clip):
            await until(lambda: len(server.sink.frames) > 3)
            assert [sink.ended for sink in server.sinks] == [["replaced"], []]
            assert server.sink.frames[0].epoch == 2
        await until(lambda: server.sink.ended)
        await server.ingest.close("again")
        assert server.sink.ended == ["bye"]
        delivered = len(server.sink.frames)
        await asyncio.sleep(0.1)
        assert len(server.sink.frames) == delivered


def _silence(publisher_pcs: list[Any]) -> None:
    """Cut the network of a peer: nothing is sent any more, and no goodbye."""
    for pc in publisher_pcs:
        for transceiver in pc.getTransceivers():
            connection = transceiver.receiver.transport.transport._connection
            for protocol in connection._protocols:
                protocol.transport.sendto = lambda *args: None


async def test_publisher_that_falls_silent_is_ended_by_the_media_timeout(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcs: list[Any] = []
    original = hooks.limit_network

    def remember(pc: Any, **settings: Any) -> None:
        pcs.append(pc)
        original(pc, **settings)

    async with serve(RtcSettings(media_timeout_ms=600)) as server:
        with monkeypatch.context() as patch:
            patch.setattr("stream.publish.hooks.limit_network", remember)
            async with publishing(server, clip):
                publisher_pc = next(
                    pc for pc in pcs if pc.getTransceivers()[0].currentDirection == "sendonly"
                )
                _silence([publisher_pc])
                cut_ns = MonotonicClock().now_ns()
                await until(lambda: server.sink.ended)
                assert server.sink.ended == ["timeout"]
                assert 500 < (MonotonicClock().now_ns() - cut_ns) / MS < 2000


async def test_publisher_that_never_connects_is_ended() -> None:
    sink = RecordingSink()
    ingest = await Ingest.accept(
        offer=CHROMIUM,
        stream=STREAM,
        epoch=1,
        sink=sink,
        clock=MonotonicClock(),
        settings=RtcSettings(connect_timeout_ms=200),
    )
    async with asyncio.timeout(5):
        await ingest.wait_closed()
    assert sink.ended == ["timeout"]


def _drop(share: float, seed: int) -> Callable[[Any], None]:
    rng = random.Random(seed)

    def install(pc: Any) -> None:
        transport = pc.getTransceivers()[0].receiver.transport
        original: Callable[[bytes], Awaitable[None]] = transport._send_rtp

        async def lossy(data: bytes) -> None:
            if rng.random() >= share or 192 <= data[1] <= 208:
                await original(data)

        transport._send_rtp = lossy

    return install


async def test_lost_packets_are_recovered_by_retransmission(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = hooks.limit_network
    install = _drop(0.15, 4)

    def lossy(pc: Any, **settings: Any) -> None:
        original(pc, **settings)
        install(pc)

    async with serve() as server:
        with monkeypatch.context() as patch:
            patch.setattr("stream.publish.hooks.limit_network", lossy)
            publisher = Publisher(f"{server.url}/whip/show", "", str(clip))
            await publisher.run()
        sink = server.sink
        await until(lambda: sink.ended)
        assert server.ingest.statistics()["nacks"] > 0
        assert len(sink.frames) >= 20
        # Whatever is shown is right: no frame is decoded from damaged references.
        assert all(frame.barcode == publisher.frame_index(frame.rtp) for frame in sink.frames)


async def test_slow_consumer_never_sees_old_frames(clip: Path) -> None:
    class Slot(RecordingSink):
        slot: LatestSlot[Frame]

        def on_frame(self, frame: Frame) -> None:
            self.slot.put(frame)

    slot: LatestSlot[Frame] = LatestSlot()
    async with serve() as server:
        server.make_sink = lambda relay: _with_slot(Slot(relay), slot)
        publisher = asyncio.create_task(Publisher(f"{server.url}/whip/show", "", str(clip), loop=True).run())
        ages = []
        for _ in range(12):
            async with asyncio.timeout(10):
                frame = await slot.get()
            assert frame is not None
            ages.append((MonotonicClock().now_ns() - frame.arrived_ns) / MS)
            await asyncio.sleep(0.2)  # ten times too slow would be 0.3; the age does not depend on it
        publisher.cancel()
        await asyncio.gather(publisher, return_exceptions=True)
        assert slot.dropped > 30
        assert max(ages[6:]) < 150
        assert server.sink.dropped == {}


def _with_slot(sink: Any, slot: LatestSlot[Frame]) -> Any:
    sink.slot = slot
    return sink


async def test_keyframe_requests_reach_the_publisher_at_most_twice_a_second(clip: Path) -> None:
    async with serve() as server, publishing(server, clip):
        for _ in range(50):
            server.ingest.request_keyframe()
            await asyncio.sleep(0.01)
        assert 1 <= server.ingest.statistics()["plis"] <= 3


async def test_viewer_gets_the_publishers_packets_and_timestamps(clip: Path) -> None:
    async with serve() as server, publishing(server, clip) as publisher, watching(server.url) as viewer:
        await until(lambda: len(viewer.frames) > 20 and len(viewer.audio) > 20)
        published = {frame.time.rtp: frame.data for frame in server.sink.video()}
        assert set(viewer.frames) <= set(published)
        first = publisher.frame_index(viewer.frames[0])
        assert first is not None and first % 15 == 0  # begins at a keyframe
        whole = b"".join(p.data for p in viewer.ordered if p.rtp == viewer.frames[0])
        assert whole == published[viewer.frames[0]]
        sound = {frame.time.rtp: frame.data for frame in server.sink.audio()}
        assert all(sound[packet.rtp] == packet.data for packet in viewer.audio)
        assert "a=sendonly" in viewer.answer


async def test_a_lost_packet_is_sent_again_to_who_lost_it_alone(clip: Path) -> None:
    async with serve() as server, publishing(server, clip):
        async with watching(server.url) as one, watching(server.url) as other:
            await until(lambda: len(one.frames) > 25 and len(other.frames) > 25)
            before = [playback.statistics() for playback in server.playbacks]
            wanted = max(one.video, key=lambda packet: packet.rtp)
            await hooks.send_nack(one.receiver, wanted.ssrc, [wanted.seq, (wanted.seq + 900) % (1 << 16)])
            await until(lambda: sum(p.seq == wanted.seq for p in one.video) == 2)
            again = [p for p in one.video if p.seq == wanted.seq]
            assert (again[1].rtp, again[1].data) == (wanted.rtp, wanted.data)
            after = [playback.statistics() for playback in server.playbacks]
            gained = [
                {key: new[key] - old[key] for key in new} for old, new in zip(before, after, strict=True)
            ]
            assert (gained[0]["resent"], gained[0]["refused"]) == (1, 1)
            assert (gained[1]["resent"], gained[1]["refused"]) == (0, 0)


async def test_who_joins_has_all_since_the_newest_keyframe_without_a_hole(clip: Path) -> None:
    async with serve() as server, publishing(server, clip) as publisher:
        await until(lambda: len(server.sink.frames) > 20)
        plis = server.ingest.statistics()["plis"]
        async with watching(server.url) as viewer:
            await until(lambda: server.playbacks[0].connected)
            known = {frame.time.rtp for frame in server.sink.video()}
            await until(lambda: len(viewer.frames) > 25)
            ordered = viewer.ordered
            assert ordered[0].rtp in known  # published before the viewer was there, and not made for it
            index = publisher.frame_index(ordered[0].rtp)
            assert index is not None and index % 15 == 0
            assert {b.seq - a.seq for a, b in zip(ordered, ordered[1:], strict=False)} == {1}
            assert {packet.rtp for packet in ordered} == set(viewer.frames)
            assert server.ingest.statistics()["plis"] == plis


async def test_viewers_keyframe_request_is_forwarded(clip: Path) -> None:
    async with serve() as server, publishing(server, clip), watching(server.url) as viewer:
        await until(lambda: viewer.frames)
        before = server.ingest.statistics()["plis"]
        await asyncio.sleep(0.6)
        await hooks.send_pli(viewer.receiver, viewer.video[0].ssrc)
        await until(lambda: server.ingest.statistics()["plis"] > before)


async def test_viewer_stays_through_a_reconnect_on_a_continuous_timeline(clip: Path) -> None:
    async with serve() as server:
        async with publishing(server, clip):
            viewing = contextlib.AsyncExitStack()
            viewer = await viewing.enter_async_context(watching(server.url))
            await until(lambda: len(viewer.frames) > 5)
        await until(lambda: server.sink.ended)
        seen = len(viewer.frames)
        async with publishing(server, clip) as second, viewing:
            await until(lambda: len(viewer.frames) > seen + 5)
            steps = [(b - a) % (1 << 32) for a, b in zip(viewer.frames, viewer.frames[1:], strict=False)]
            assert all(0 < step < 10 * 90_000 for step in steps)
            offset = server.relay.offset(2)
            assert offset is not None
            assert second.frame_index((viewer.frames[-1] - offset) % (1 << 32)) is not None


async def test_viewer_is_let_go_after_the_grace_time(clip: Path) -> None:
    async with serve(RtcSettings(viewer_grace_ms=400)) as server:
        async with publishing(server, clip):
            viewing = contextlib.AsyncExitStack()
            viewer = await viewing.enter_async_context(watching(server.url))
            await until(lambda: viewer.frames)
        async with viewing:
            await until(lambda: viewer.ended)
        assert server.relay.viewers == 0


async def test_change_of_codec_ends_the_viewers_session(clip: Path, vp8_clip: Path) -> None:
    async with serve() as server:
        async with publishing(server, clip), watching(server.url) as viewer:
            await until(lambda: viewer.frames)
            async with publishing(server, vp8_clip):
                await until(lambda: viewer.ended)


async def test_viewer_of_nothing_is_refused_for_now() -> None:
    with pytest.raises(SdpError) as caught:
        await Playback.accept(
            offer=CHROMIUM, relay=Relay(STREAM), settings=RtcSettings(), clock=MonotonicClock()
        )
    assert (caught.value.http_status, caught.value.retryable, caught.value.code) == (409, True, "not-live")


async def test_viewer_without_the_codec_is_refused(clip: Path) -> None:
    async with serve() as server, publishing(server, clip):
        body = offer(video(("VP8",), direction="recvonly"))
        async with aiohttp.ClientSession() as http:
            headers = {"Content-Type": "application/sdp"}
            async with http.post(f"{server.url}/whep/show", data=body, headers=headers) as reply:
                assert reply.status == 406
                assert (await reply.json())["code"] == "sdp-codec"


async def accept(text: str, **settings: Any) -> Ingest:
    return await Ingest.accept(
        offer=text,
        stream=STREAM,
        epoch=1,
        sink=RecordingSink(),
        clock=MonotonicClock(),
        settings=RtcSettings(**settings),
    )


async def test_answer_has_candidates_loopback_only_and_what_whip_asks_for() -> None:
    ingest = await accept(CHROMIUM)
    try:
        candidates = [
            line.split()[4] for line in ingest.answer.splitlines() if line.startswith("a=candidate")
        ]
        assert set(candidates) == {"127.0.0.1"}
        assert "a=rtcp-mux-only" in ingest.answer
        assert "x-google-start-bitrate=2500;x-google-max-bitrate=4000" in ingest.answer
        assert ingest.answer.count("a=recvonly") == 2
        assert len(ingest.id) >= 22
    finally:
        await ingest.close("bye")


async def test_public_ip_is_announced_beside_the_own_address() -> None:
    ingest = await accept(CHROMIUM, public_ip="203.0.113.9")
    try:
        hosts = {line.split()[4] for line in ingest.answer.splitlines() if line.startswith("a=candidate")}
        assert hosts == {"127.0.0.1", "203.0.113.9"}
    finally:
        await ingest.close("bye")


async def test_exhausted_ports_are_an_error_and_are_free_again_after_the_end() -> None:
    first = await accept(CHROMIUM)
    port = next(int(line.split()[5]) for line in first.answer.splitlines() if line.startswith("a=candidate"))
    with pytest.raises(PortsExhausted):
        await accept(CHROMIUM, udp_ports=(port, port))
    await first.close("bye")
    second = await accept(CHROMIUM, udp_ports=(port, port))
    await second.close("bye")


async def test_publisher_without_candidates_connects() -> None:
    pc, track, sink = connection(), ScriptedTrack(), RecordingSink()
    pc.addTransceiver(track, direction="sendonly")
    hooks.limit_network(pc, loopback=True, udp_ports=None)
    await pc.setLocalDescription(await pc.createOffer())
    kept = [line for line in pc.localDescription.sdp.splitlines() if "candidate" not in line]
    ingest = await Ingest.accept(
        offer="\r\n".join(kept) + "\r\n",
        stream=STREAM,
        epoch=1,
        sink=sink,
        clock=MonotonicClock(),
        settings=RtcSettings(),
    )
    try:
        await pc.setRemoteDescription(RTCSessionDescription(ingest.answer, "answer"))
        track.put(IDR, 1000)
        await until(lambda: sink.encoded)
        assert ingest.connected
    finally:
        await pc.close()
        await ingest.close("bye")


async def test_damaged_offers_are_refused_not_raised() -> None:
    for damaged in (
        CHROMIUM.replace("a=setup:actpass", "a=setup:nonsense"),
        CHROMIUM.replace("a=rtpmap:108 H264/90000", "a=rtpmap:108 H264"),
        CHROMIUM.replace("a=mid:1", "a=mid:1\r\na=ssrc:x cname:y"),
        CHROMIUM.replace("a=mid:1", "a=mid:1\r\na=extmap:one"),
        CHROMIUM.replace("UDP/TLS/RTP/SAVPF", "udp?"),
    ):
        with pytest.raises(SdpError) as caught:
            await (await accept(damaged)).close("bye")
        assert caught.value.http_status in (400, 422)


async def test_trickle_is_taken_restart_and_garbage_are_refused() -> None:
    ingest = await accept(CHROMIUM)
    try:
        host = "a=candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host"
        await ingest.trickle(f"a=ice-ufrag:kSYd\r\na=ice-pwd:x\r\nm=audio 9 X 0\r\na=mid:0\r\n{host}\r\n")
        await ingest.trickle(f"{host}\r\na=end-of-candidates\r\n")
        with pytest.raises(SdpError) as caught:
            await ingest.trickle("a=ice-ufrag:other\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n")
        assert (caught.value.http_status, caught.value.code) == (422, "ice-restart")
        with pytest.raises(SdpError):
            await ingest.trickle("garbage")
    finally:
        await ingest.close("bye")
