"""The configuration's section [fleet]; see `vitrine.settings`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from vitrine.addresses import web_url


class FleetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[fleet]: what this process does among others that share its bus.

    Attributes:
        role: all does everything; ingest takes publishers and recognises; gateway serves pages and viewers.
        node: name of this process among the others; empty makes one of the machine's name.
        address: how other nodes reach this one, http or https; empty takes the address it listens on.
        lease_ms: a stream whose node is silent for so long may be taken over by another.
        idle_ms: a stream that nobody publishes is given up after so long (what is known of it stays).
        drain_ms: over so long the viewers of a node that ends are sent away.
    """

    role: Literal["all", "ingest", "gateway"] = "all"
    node: str = ""
    address: str = ""
    lease_ms: Annotated[int, Meta(ge=1_000, le=60_000)] = 4_000
    idle_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 60_000
    drain_ms: Annotated[int, Meta(ge=0, le=600_000)] = 1_000

    def __post_init__(self) -> None:
        if self.node and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", self.node):
            raise ValueError(f"node: got {self.node!r}, expected letters, digits, '.', '-' and '_'")
        if self.address:
            web_url("address", self.address, "http://10.0.0.5:8080")
