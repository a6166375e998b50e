"""A bad network on this machine: a UDP relay that delays packets, put into an answer's candidates.

Both directions suffer, feedback too. Packets are lost by the kernel where this process has a network of its
own (`netns`), else by the relay, seeded and without any privilege. Jitter delays each packet by up to so much
but keeps their order, as queues do.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from typing import Any

from benchmarks.whep_parts.netns import KernelLoss

Address = tuple[str, int]
_CANDIDATE = re.compile(r"^(a=candidate:\S+ \d+ udp \d+ )(\S+) (\d+)( typ host.*)$", re.MULTILINE)


class LossyPath:
    """Between one viewer and one server port.

    Attributes:
        jitter_s: greatest delay of a packet.
        port: where the viewer sends to.
        lost: packets that the relay has lost so far.

    Args:
        seed: of what the relay does by chance.
        by_kernel: the kernel loses packets, not the relay; see `netns.own_network`.
    """

    def __init__(self, seed: int, *, by_kernel: bool = False) -> None:
        self.jitter_s = 0.0
        self.port = 0
        self.lost = 0
        self._loss = 0.0
        self._by_kernel = by_kernel
        self._kernel: KernelLoss | None = None
        self._random = random.Random(seed)
        self._ends: dict[str, asyncio.DatagramTransport] = {}
        self._viewer: Address | None = None
        self._waiting: dict[str, deque[bytes]] = {"viewer": deque(), "server": deque()}
        self._due = {"viewer": 0.0, "server": 0.0}

    @property
    def loss(self) -> float:
        """0..1 of the packets that are lost, each way."""
        return self._loss

    @loss.setter
    def loss(self, share: float) -> None:
        self._loss = share
        if self._kernel is not None:
            self._kernel.set(share)

    async def open(self, server: Address) -> None:
        """Listen for the viewer; pass on to `server`."""
        if self._by_kernel:
            self._kernel = KernelLoss(server[1])
            self._kernel.set(self._loss)
        loop = asyncio.get_running_loop()
        for name, options in (
            ("viewer", {"local_addr": ("127.0.0.1", 0)}),
            ("server", {"remote_addr": server}),
        ):
            transport, _ = await loop.create_datagram_endpoint(lambda n=name: _End(self, n), **options)  # type: ignore[misc, arg-type]
            self._ends[name] = transport
        self.port = self._ends["viewer"].get_extra_info("sockname")[1]

    def close(self) -> None:
        """Stop."""
        self.loss = 0.0
        for transport in self._ends.values():
            transport.close()

    def received(self, name: str, data: bytes, address: Address) -> None:
        """A packet from the `name` end."""
        if name == "viewer":
            self._viewer = address
        if self._kernel is None and self._random.random() < self._loss:
            self.lost += 1
            return
        other = "server" if name == "viewer" else "viewer"
        loop = asyncio.get_running_loop()
        due = max(loop.time() + self._random.random() * self.jitter_s, self._due[other])
        self._due[other] = due
        self._waiting[other].append(data)
        if self.jitter_s or len(self._waiting[other]) > 1:
            loop.call_at(due, self._pass_on, other)
        else:
            self._pass_on(other)

    def _pass_on(self, to: str) -> None:
        data = self._waiting[to].popleft()  # timers that are due together fire in any order
        if not self._ends[to].is_closing():
            self._ends[to].sendto(data, self._viewer if to == "viewer" else None)


class _End(asyncio.DatagramProtocol):
    def __init__(self, path: LossyPath, name: str) -> None:
        self._path, self._name = path, name

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Hand on."""
        self._path.received(self._name, data, address)


async def through(answer: str, path: LossyPath) -> str:
    """Open `path` to the server of an SDP answer; returns the answer with the path's port in its candidates.

    Raises:
        ValueError: there is no host candidate in it.
    """
    found = _CANDIDATE.search(answer)
    if found is None:
        raise ValueError("answer: got no host candidate over UDP, expected one")
    await path.open((found[2], int(found[3])))
    return _CANDIDATE.sub(rf"\g<1>127.0.0.1 {path.port}\g<4>", answer)
