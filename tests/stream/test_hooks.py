"""Every hook on the real aiortc: these fail when the pinned version is changed underneath."""

from __future__ import annotations

import socket
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import pytest
from aioice import ice, stun
from aioice.candidate import Candidate

from stream import hooks
from stream.errors import PortsExhausted
from tests.stream.peers import IDR, Pair, ScriptedTrack, connected_pair, connection
from tests.stream.rig import until

P_SLICE = b"\x00\x00\x00\x01\x41" + b"\x9a" * 3000


def test_the_pinned_version_is_installed() -> None:
    pinned = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'"aiortc=={version("aiortc")}"' in pinned


async def sending(pair: Pair, frames: int = 3, start: int = 4_294_964_296) -> list[int]:
    """Send frames one frame interval apart, across a wrap; returns their wire timestamps."""
    stamps = [(start + n * 3000) % (1 << 32) for n in range(frames)]
    for n, rtp in enumerate(stamps):
        pair.track.put(IDR if n == 0 else P_SLICE, rtp)
    await until(lambda: sum(p.marker for p in pair.packets) >= frames)
    return stamps


async def test_packets_are_tapped_with_true_timestamps_and_nothing_is_queued_for_decoding() -> None:
    async with connected_pair() as pair:
        stamps = await sending(pair)
        assert [p.rtp for p in pair.packets if p.marker] == stamps
        assert pair.packets[0].data.startswith(b"\x00\x00\x00\x01\x67")
        assert len(pair.packets) == 1 + 2 * 3  # 3000 bytes make three packets
        assert b"".join(p.data for p in pair.packets[1:4]) == P_SLICE
        arrivals = [p.arrived_ns for p in pair.packets]
        assert arrivals == sorted(arrivals)
        receiver = pair.receiver
        assert receiver._RTCRtpReceiver__decoder_queue.empty()  # type: ignore[attr-defined]
        assert receiver.track._queue.empty()  # type: ignore[attr-defined]


async def test_codec_names_are_known() -> None:
    async with connected_pair() as pair:
        await sending(pair, 1)
        assert hooks.codec_names(pair.receiver)[pair.packets[0].payload_type] == "H264"


async def test_sender_reports_and_goodbye_are_seen() -> None:
    async with connected_pair() as pair:
        await sending(pair, 1)
        await until(lambda: pair.alive)
        assert not pair.byes
        await pair.sender.stop()
        await until(lambda: pair.byes)


async def test_keyframe_request_reaches_the_senders_callback() -> None:
    async with connected_pair() as pair:
        asked: list[int] = []
        hooks.on_keyframe_request(pair.sender, lambda: asked.append(1))
        await sending(pair, 1)
        await hooks.send_pli(pair.receiver, pair.packets[0].ssrc)
        await until(lambda: asked)


async def test_nack_brings_a_packet_again() -> None:
    async with connected_pair() as pair:
        await sending(pair, 2)
        wanted, count = pair.packets[1], len(pair.packets)
        asked: list[int] = []
        hooks.on_nack(pair.receiver, asked.append)
        await hooks.send_nack(pair.receiver, wanted.ssrc, [wanted.seq])
        await until(lambda: len(pair.packets) > count)
        again = pair.packets[-1]
        assert (again.seq, again.rtp, again.data) == (wanted.seq, wanted.rtp, wanted.data)
        assert asked == [1]


async def test_packets_around_a_wrap_can_be_asked_for() -> None:
    async with connected_pair() as pair:
        await sending(pair, 1)
        asked: list[int] = []
        hooks.on_nack(pair.receiver, asked.append)
        await hooks.send_nack(pair.receiver, pair.packets[0].ssrc, [65_534, 65_535, 0, 1])
        assert asked == [4]


async def test_remb_reaches_the_senders_encoder() -> None:
    async with connected_pair() as pair:
        await sending(pair, 1)
        await hooks.send_remb(pair.receiver, pair.packets[0].ssrc, 1_234_000)
        encoder = pair.sender._RTCRtpSender__encoder
        await until(lambda: abs(encoder.target_bitrate - 1_234_000) < 10)


async def test_bandwidth_estimate_is_seen_and_started() -> None:
    async with connected_pair() as pair:
        assert not hooks.has_bandwidth_estimate(pair.receiver)
        await sending(pair, 1)
        assert hooks.has_bandwidth_estimate(pair.receiver)
        hooks.start_estimate(pair.receiver, 4_000_000)
        estimator = pair.receiver._RTCRtpReceiver__remote_bitrate_estimator  # type: ignore[attr-defined]
        assert estimator.rate_control.current_bitrate_initialized
        assert estimator.rate_control.current_bitrate > 0


async def test_reception_is_counted() -> None:
    async with connected_pair() as pair:
        assert hooks.reception_counts(pair.receiver, 99) == hooks.ReceptionCounts(0, 0, 0)
        await sending(pair, 3)
        counts = hooks.reception_counts(pair.receiver, pair.packets[0].ssrc)
        assert (counts.expected, counts.received) == (7, 7)


async def gathered(
    loopback: bool, udp_ports: tuple[int, int] | None, own: bool = False
) -> list[tuple[str, int]]:
    pc = connection()
    try:
        pc.addTransceiver(ScriptedTrack(), direction="sendonly")
        hooks.limit_network(pc, loopback=loopback, udp_ports=udp_ports, through_own_addresses=own)
        await pc.setLocalDescription(await pc.createOffer())
        lines = [
            line.split() for line in pc.localDescription.sdp.splitlines() if line.startswith("a=candidate")
        ]
        return [(parts[4], int(parts[5])) for parts in lines]
    finally:
        await pc.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_loopback_gathers_one_address_only() -> None:
    assert [host for host, _ in await gathered(True, None)] == ["127.0.0.1"]


async def test_without_loopback_the_machines_addresses_are_gathered() -> None:
    assert "127.0.0.1" not in [host for host, _ in await gathered(False, None)]


async def test_firefox_is_given_the_machines_own_addresses() -> None:
    outside = [host for host, _ in await gathered(False, None)]
    assert [host for host, _ in await gathered(True, None, own=True)] == (outside or ["127.0.0.1"])


@pytest.mark.parametrize("excused", [True, False])
async def test_a_peer_that_answers_no_consent_check_stays_only_where_excused(
    excused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice, "CONSENT_INTERVAL", 0.01)
    monkeypatch.setattr(stun, "RETRY_RTO", 0.01)
    async with connected_pair(hooks.media_is_consent if excused else None) as pair:
        await sending(pair, 1)
        asked: list[object] = []
        deaf = pair.sending.getTransceivers()[0].sender.transport.transport.iceGatherer._connection
        monkeypatch.setattr(deaf, "request_received", lambda *arguments: asked.append(arguments))
        await until(lambda: len(asked) >= 2 * ice.CONSENT_FAILURES or not excused and _lost(pair))
        assert _lost(pair) is not excused


def _lost(pair: Pair) -> bool:
    return pair.receiving.iceConnectionState in ("closed", "failed", "disconnected")


async def test_other_machines_are_not_heard_in_loopback_mode() -> None:
    class Connection(ice.Connection):
        heard: ClassVar[list[bytes]] = []

        def data_received(self, data: bytes, component: int) -> None:
            self.heard.append(data)

    made = Connection(ice_controlling=False)
    protocol = hooks._OwnMachineProtocol(made, frozenset({"192.0.2.1"}))
    protocol.local_candidate = Candidate("1", 1, "udp", 1, "192.0.2.1", 5, "host")
    protocol.datagram_received(b"\x80theirs", ("198.51.100.7", 4000))
    protocol.datagram_received(b"\x80ours", ("192.0.2.1", 4000))
    assert Connection.heard == [b"\x80ours"]


async def test_ports_come_from_the_range() -> None:
    port = free_port()
    assert await gathered(True, (port, port)) == [("127.0.0.1", port)]


async def test_exhausted_range_is_an_error_that_says_what_to_do() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(PortsExhausted, match=rf"all of {port}-{port} are taken.*--udp-ports") as caught:
            await gathered(True, (port, port))
    assert (caught.value.http_status, caught.value.retryable) == (503, True)


def test_a_changed_library_is_named() -> None:
    with pytest.raises(hooks.HookError, match="object has no _send_keyframe"):
        hooks.on_keyframe_request(object(), print)  # type: ignore[arg-type]
