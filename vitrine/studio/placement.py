"""Which node a publisher belongs to ([C]): the one that holds its stream, else the least loaded one.

Nothing is moved without need: a stream stays where it is held, and a new one stays where it arrived as long
as that node takes it. Publishers are sent on with 307 (RFC 9725, section 4.5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from overlay.bus.registry import Lease
from stream.types import StreamId
from vitrine.studio.nodes import Node

_STEP = 0.05
"""Loads are known a second late: nodes that differ by less are taken in an order of their own per stream."""


@dataclass(frozen=True, slots=True)
class Here:
    """This node takes it."""


@dataclass(frozen=True, slots=True)
class There:
    """Another node does."""

    node: Node


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Nobody does now.

    Attributes:
        reason: in words.
        retry_s: when asking again makes sense.
    """

    reason: str
    retry_s: int


Placement: TypeAlias = Here | There | Nowhere


def place(stream: StreamId, me: Node, nodes: Iterable[Node], held: Lease | None) -> Placement:
    """Where a publisher of `stream` who came to `me` belongs.

    Args:
        stream: what is to be published.
        me: this node, as it is now.
        nodes: all nodes, this one as others see it included or not.
        held: the stream's lease, None when nobody has it.
    """
    others = {node.name: node for node in nodes if node.name != me.name}
    if held is not None and held.node == me.name:
        return Here() if not me.record.draining else _anywhere(stream, me, others.values())
    if held is not None and held.left_ms > 0:
        holder = others.get(held.node)
        if holder is not None and holder.alive:
            return There(holder)
        wait_s = max(1, -(-held.left_ms // 1000))
        return Nowhere(f"its node {held.node} is silent; another may take it in {wait_s} s", wait_s)
    return Here() if me.open else _anywhere(stream, me, others.values())


def least_loaded(stream: StreamId, nodes: Iterable[Node]) -> Node | None:
    """The node that should take a new stream, or None: the same whoever asks."""
    return min((node for node in nodes if node.open), key=lambda node: _order(stream, node), default=None)


def _anywhere(stream: StreamId, me: Node, others: Iterable[Node]) -> Placement:
    others = list(others)
    chosen = least_loaded(stream, others)
    if chosen is not None:
        return There(chosen)
    able = [node for node in (me, *others) if node.alive and node.ingests]
    if not able:
        return Nowhere("no node takes publishers; start one with --role ingest", 5)
    if able == [me] and me.record.full:
        return Nowhere(f"{me.record.full}; try again when a stream has ended, or insist with ?force=1", 2)
    words = "; ".join(f"{node.name}: {node.record.full or 'draining'}" for node in able[:3])
    return Nowhere(f"no node takes a further stream ({words})", 2)


def _order(stream: StreamId, node: Node) -> tuple[int, str]:
    mixed = hashlib.sha256(f"{stream}/{node.name}".encode()).hexdigest()
    return round(node.record.load / _STEP), mixed
