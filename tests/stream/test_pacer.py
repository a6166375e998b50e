from __future__ import annotations

from stream.pacer import Pacer, Resends

MS = 1_000_000


def drain(pacer: Pacer, count: int, size: int = 1000, now_ns: int = 0) -> list[int]:
    """When (ms) each of `count` packets goes out, all waiting from `now_ns` on."""
    times = []
    for _ in range(count):
        while delay_ns := pacer.delay_ns(size, now_ns):
            now_ns += delay_ns
        times.append(now_ns // MS)
    return times


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    pacer = Pacer(8000, burst_bytes=5000)  # a packet of 1000 bytes a millisecond
    times = drain(pacer, 106, now_ns=1_000 * MS)
    assert times[:6] == [1000] * 6
    assert 99 <= times[-1] - 1000 <= 102
    assert all(b - a <= 3 for a, b in zip(times, times[1:], strict=False))


def test_waits_bring_several_packets_each() -> None:
    times = drain(Pacer(8000, burst_bytes=1000), 41)
    assert len(set(times)) <= 22


def test_a_pause_earns_one_burst_not_more() -> None:
    pacer = Pacer(8000, burst_bytes=5000)
    drain(pacer, 20)
    times = drain(pacer, 20, now_ns=60_000 * MS)
    assert times[:6] == [60_000] * 6 and times[7] > 60_000


def test_a_steady_stream_below_the_rate_never_waits() -> None:
    pacer = Pacer(8000, burst_bytes=5000)
    assert [pacer.delay_ns(1000, n * 2 * MS) for n in range(1000)] == [0] * 1000


def test_a_packet_goes_out_again_only_after_a_while() -> None:
    resends = Resends(10_000)
    assert resends.allow(7, 1000, 100 * MS)
    assert not resends.allow(7, 1000, 110 * MS)
    assert resends.allow(8, 1000, 110 * MS)
    assert resends.allow(7, 1000, 120 * MS)


def test_retransmissions_are_bounded_in_rate() -> None:
    resends = Resends(8000)
    allowed = sum(resends.allow(n, 1000, 1000 * MS) for n in range(1000))
    assert 240 <= allowed <= 260  # a quarter of a second's worth
    assert sum(resends.allow(n, 1000, 1100 * MS) for n in range(1000)) <= 101
