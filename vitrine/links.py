"""What ties the nodes of one installation together, as configured."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from overlay.bus.base import Bus
from overlay.bus.journal import Journal
from overlay.bus.memory import MemoryBus
from overlay.bus.registry import MemoryRegistry, Registry
from vitrine.settings import BusConfig


@dataclass(frozen=True, slots=True)
class Links:
    """Ties to other nodes.

    Attributes:
        bus: carries streams to gateways.
        registry: which nodes there are, and who holds which stream.
        lessons: what hosts taught, for all nodes; None where there is only this one.
    """

    bus: Bus
    registry: Registry
    lessons: Journal | None = None


def open_links(config: BusConfig, stack: AsyncExitStack) -> Links:
    """The ties that `config` names; `stack` closes them.

    Raises:
        BusError: no such address.
    """
    if config.alone:
        return Links(MemoryBus(), MemoryRegistry())
    from overlay.bus.redis import RedisBus
    from overlay.bus.redis_journal import RedisJournal
    from overlay.bus.redis_registry import RedisRegistry

    bus = RedisBus(config.url.reveal())
    stack.push_async_callback(bus.close)
    return Links(bus, RedisRegistry(bus.link), RedisJournal(bus.link, "lessons"))
