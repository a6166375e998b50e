from __future__ import annotations

import pytest
from msgspec.structs import replace

from overlay.bus.registry import Lease, NodeSign
from stream.types import StreamId
from vitrine.studio.nodes import Node, NodeRecord, encode, read
from vitrine.studio.placement import Here, Nowhere, There, least_loaded, place

SHOW = StreamId("show")


def node(name: str, silent_ms: int = 100, **said: object) -> Node:
    record = NodeRecord(role="ingest", version="1", address=f"http://{name}", public=f"http://{name}")
    return Node(name, silent_ms, replace(record, **said))


def test_new_stream_stays_where_it_arrived_even_if_another_node_is_less_loaded() -> None:
    assert place(SHOW, node("a", load=0.9), [node("b", load=0.0)], None) == Here()


def test_held_stream_stays_with_its_holder() -> None:
    other = node("b", load=1.0, full="16 streams are open")
    assert place(SHOW, node("a"), [node("a"), other], Lease("b", 1, 900)) == There(other)
    assert place(SHOW, node("a", full="full"), [other], Lease("a", 1, 900)) == Here()


def test_full_node_sends_to_the_least_loaded_that_is_open() -> None:
    me = node("a", full="16 streams are open")
    busy, idle = node("b", load=0.6), node("c", load=0.2)
    closed = [
        node("d", full="the device is full"),
        node("e", draining=True),
        node("f", silent_ms=9_000),
        node("g", role="gateway"),
    ]
    assert place(SHOW, me, [me, busy, idle, *closed], None) == There(idle)


@pytest.mark.parametrize("me", [node("a", role="gateway"), node("a", draining=True)])
def test_node_that_takes_no_publishers_sends_them_on(me: Node) -> None:
    other = node("b")
    assert place(SHOW, me, [other], None) == There(other)


def test_draining_holder_sends_its_own_publisher_away() -> None:
    other = node("b")
    assert place(SHOW, node("a", draining=True), [other], Lease("a", 1, 900)) == There(other)


def test_stream_of_a_dead_node_waits_for_its_lease_and_is_then_taken_by_whoever_is_asked() -> None:
    dead = node("b", silent_ms=3_000)
    waiting = place(SHOW, node("a"), [dead], Lease("b", 1, 1_400))
    assert isinstance(waiting, Nowhere) and waiting.retry_s == 2 and "b is silent" in waiting.reason
    assert place(SHOW, node("a"), [dead], Lease("b", 1, 0)) == Here()
    assert isinstance(place(SHOW, node("a"), [], Lease("b", 1, 1_400)), Nowhere)


def test_refusal_says_why() -> None:
    only = place(SHOW, node("a", full="16 streams are open"), [], None)
    assert isinstance(only, Nowhere) and "16 streams are open" in only.reason and "?force=1" in only.reason
    alone = place(SHOW, node("a", role="gateway"), [], None)
    assert isinstance(alone, Nowhere) and "--role ingest" in alone.reason
    full = place(SHOW, node("a", full="x"), [node("b", full="the device is full")], None)
    assert isinstance(full, Nowhere) and "b: the device is full" in full.reason and full.retry_s > 0


def test_everybody_chooses_the_same_node_and_streams_spread_over_equal_ones() -> None:
    nodes = [node(name, load=0.2) for name in "abcd"]
    chosen = [least_loaded(StreamId(f"s{n}"), nodes) for n in range(200)]
    again = [least_loaded(StreamId(f"s{n}"), reversed(nodes)) for n in range(200)]
    assert chosen == again
    counts = [chosen.count(one) for one in nodes]
    assert min(counts) > 25, counts
    assert least_loaded(SHOW, []) is None


def test_records_survive_the_registry_and_unreadable_ones_are_left_out() -> None:
    record = node("a", load=0.5, viewers={"show": 3}).record
    signs = [NodeSign("a", 10, encode(record)), NodeSign("b", 10, b"{}"), NodeSign("c", 10, b"\xff")]
    assert read(signs) == (Node("a", 10, record),)
