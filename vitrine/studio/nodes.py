"""What nodes tell of themselves, and what the others read of it ([C])."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct

from overlay.bus.registry import NodeSign
from stream.types import StreamId

Role = Literal["all", "ingest", "gateway"]

SILENT_MS = 2_500
"""A node gives a sign every second; one that missed two is taken for dead."""


class StreamRecord(Struct, frozen=True, kw_only=True):
    """A stream that a node holds.

    Attributes:
        fence: number of its lease.
        epoch: publisher connection, 0 before the first.
        live: somebody publishes.
        lease_age_ms: since the lease was last extended.
        certain: the lease has not run out.
        products: of the show.
    """

    id: str
    fence: int
    epoch: int = 0
    live: bool = False
    lease_age_ms: int = 0
    certain: bool = True
    products: int = 0


class NodeRecord(Struct, frozen=True, kw_only=True):
    """A node as it describes itself.

    Attributes:
        address: how other nodes reach it.
        public: how publishers and people reach it.
        up_s: since its start.
        draining: it ends soon and takes nothing new.
        load: of what it may take, 0 none, 1 or more all of it.
        full: why it takes no further stream; empty while it does.
        streams: that it holds.
        viewers: on this node, by stream.
    """

    role: Role
    version: str
    address: str
    public: str
    up_s: float = 0.0
    draining: bool = False
    load: float = 0.0
    full: str = ""
    streams: tuple[StreamRecord, ...] = ()
    viewers: dict[str, int] = {}


_decoder = msgspec.json.Decoder(NodeRecord)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as another one sees it.

    Attributes:
        name: unique in the fleet.
        silent_ms: since its last sign of life.
        record: what it said then.
    """

    name: str
    silent_ms: int
    record: NodeRecord

    @property
    def alive(self) -> bool:
        """It was heard of lately."""
        return self.silent_ms <= SILENT_MS

    @property
    def ingests(self) -> bool:
        """It takes publishers, in principle."""
        return self.record.role != "gateway"

    @property
    def open(self) -> bool:
        """It takes a further stream now."""
        return self.alive and self.ingests and not self.record.draining and not self.record.full

    def holds(self, stream: StreamId) -> bool:
        """It says that it holds `stream`."""
        return any(held.id == stream for held in self.record.streams)


def encode(record: NodeRecord) -> bytes:
    """A record as it goes to the registry."""
    return msgspec.json.encode(record)


def read(signs: Iterable[NodeSign]) -> tuple[Node, ...]:
    """The nodes behind `signs`; those of a version whose records cannot be read are left out."""
    found = []
    for sign in signs:
        try:
            found.append(Node(sign.node, sign.silent_ms, _decoder.decode(sign.record)))
        except msgspec.DecodeError:
            continue
    return tuple(found)
