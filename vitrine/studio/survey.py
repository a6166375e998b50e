"""The whole fleet at a glance ([C]): its nodes, its streams, and what is wrong in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from vitrine.figures import StreamFigures
from vitrine.studio.nodes import Node, NodeRecord, StreamRecord

BUSY = 0.85
"""Above this share of what the ingest nodes may take together, another one is due."""


class FleetNode(Struct, frozen=True, kw_only=True):
    """One node, as people see it.

    Attributes:
        state: ``"up"``, ``"draining"`` or ``"silent"``.
        silent_ms: since its last sign of life.
        streams: how many it holds.
    """

    name: str
    role: str
    state: str
    version: str
    address: str
    public: str
    up_s: float
    silent_ms: int
    load: float
    full: str
    streams: int
    viewers: int


class FleetStream(Struct, frozen=True, kw_only=True):
    """One stream.

    Attributes:
        node: its holder.
        state: ``"live"``, ``"idle"`` (nobody publishes), ``"unsure"`` (its node cannot confirm the lease) or
            ``"orphaned"`` (its node is silent).
        viewers: on all gateways.
        lease_age_ms: since its lease was last extended, as its node said.
        figures: where its frames' time goes and what is wrong with them, as its node said, with the ages that
            viewers report to whatever gateway; None while it is not live, or nothing was heard.
    """

    id: str
    node: str
    state: str
    live: bool
    epoch: int
    fence: int
    viewers: int
    lease_age_ms: int
    figures: StreamFigures | None = None


class FleetFigures(Struct, frozen=True, kw_only=True):
    """``GET /api/fleet`` and ``vitrine fleet --json``.

    Attributes:
        me: the node that answers; empty when none was asked.
        problems: what is wrong, worst first.
    """

    me: str
    problems: tuple[str, ...]
    nodes: tuple[FleetNode, ...]
    streams: tuple[FleetStream, ...]


def survey(
    nodes: Sequence[Node], me: str = "", told: Mapping[str, Mapping[str, StreamFigures]] | None = None
) -> FleetFigures:
    """Everything, from what the nodes say of themselves.

    Args:
        nodes: all that are known.
        me: the node that asks.
        told: figures of each node's streams, by node and stream.
    """
    nodes = sorted(nodes, key=lambda node: node.name)
    streams = tuple(
        replace(stream, figures=_figures(stream, told or {})) if stream.live else stream
        for stream in streams_of(nodes)
    )
    return FleetFigures(
        me=me,
        problems=tuple(_problems(nodes, streams)),
        nodes=tuple(_node(node) for node in nodes),
        streams=streams,
    )


def _figures(stream: FleetStream, told: Mapping[str, Mapping[str, StreamFigures]]) -> StreamFigures | None:
    held = told.get(stream.node, {}).get(stream.id)
    if held is None:
        return None
    ages = [node[stream.id].overlay_age_ms for node in told.values() if stream.id in node]
    worst = max(ages, key=lambda age: age.p95 or 0.0)
    return replace(held, overlay_age_ms=worst, viewers=stream.viewers)


def streams_of(nodes: Iterable[Node]) -> tuple[FleetStream, ...]:
    """Every stream once: where two nodes claim it, the higher fence has it."""
    nodes = list(nodes)
    holders: dict[str, tuple[StreamRecord, Node]] = {}
    for node in nodes:
        for told in node.record.streams:
            if told.id not in holders or holders[told.id][0].fence < told.fence:
                holders[told.id] = told, node
    return tuple(_stream(told, node, nodes) for _, (told, node) in sorted(holders.items()))


def _node(node: Node) -> FleetNode:
    record = node.record
    return FleetNode(
        name=node.name,
        role=record.role,
        state="silent" if not node.alive else "draining" if record.draining else "up",
        version=record.version,
        address=record.address,
        public=record.public,
        up_s=record.up_s,
        silent_ms=node.silent_ms,
        load=record.load,
        full=record.full,
        streams=len(record.streams),
        viewers=sum(record.viewers.values()),
    )


def _stream(told: StreamRecord, node: Node, nodes: Iterable[Node]) -> FleetStream:
    state = "live" if told.live else "idle"
    if not node.alive:
        state = "orphaned"
    elif not told.certain:
        state = "unsure"
    return FleetStream(
        id=told.id,
        node=node.name,
        state=state,
        live=told.live and node.alive,
        epoch=told.epoch,
        fence=told.fence,
        viewers=sum(other.record.viewers.get(told.id, 0) for other in nodes if other.alive),
        lease_age_ms=told.lease_age_ms + (0 if node.alive else node.silent_ms),
    )


def _problems(nodes: Sequence[Node], streams: Sequence[FleetStream]) -> Iterator[str]:
    for stream in streams:
        if stream.state == "orphaned":
            yield (
                f"stream {stream.id}: its node {stream.node} is silent; it goes on when its publisher comes "
                "back, to any node"
            )
        elif stream.state == "unsure":
            yield f"stream {stream.id}: node {stream.node} cannot confirm its lease; can it reach Redis?"
        for problem in stream.figures.problems if stream.figures else ():
            yield f"stream {stream.id} on {stream.node}: {problem}"
    alive = [node for node in nodes if node.alive]
    for node in nodes:
        if not node.alive:
            yield f"node {node.name} ({node.record.role}) has been silent for {node.silent_ms / 1000:.0f} s"
    yield from _twice(alive)
    if not alive:
        yield "no node is up"
        return
    ingests = [node for node in alive if node.ingests]
    if not ingests:
        yield "no node takes publishers: start one with --role ingest"
    elif not any(node.open for node in ingests):
        yield "no node takes a further stream: " + "; ".join(f"{n.name}: {_why(n.record)}" for n in ingests)
    elif (load := sum(node.record.load for node in ingests) / len(ingests)) > BUSY:
        yield f"the {len(ingests)} ingest nodes are {load:.0%} busy: add one"
    if all(node.record.role == "ingest" for node in alive):
        yield "no node serves viewers: start one with --role gateway"
    versions = sorted({node.record.version for node in alive})
    if len(versions) > 1:
        yield f"nodes run different versions ({', '.join(versions)}): finish the upgrade"


def _twice(alive: Iterable[Node]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for node in alive:
        other = seen.setdefault(node.record.address, node.name)
        if other != node.name:
            yield (
                f"nodes {other} and {node.name} give the same address {node.record.address}: "
                "set fleet.address for each"
            )


def _why(record: NodeRecord) -> str:
    return "draining" if record.draining else record.full
