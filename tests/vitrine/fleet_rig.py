"""A fleet on loopback: whole servers in one event loop, one real Redis between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiortc import RTCPeerConnection

from vitrine.app import Server
from vitrine.auth import Role
from vitrine.config import load_config

SDP = {"Content-Type": "application/sdp"}
KEYS = {
    "auth.publish_key": "publish-key",
    "auth.host_key": "host-key-1",
    "auth.operator_key": "operator-key",
    "auth.secret": "s" * 40,
}


async def offer() -> str:
    pc = RTCPeerConnection()
    pc.addTransceiver("video", direction="sendonly")
    await pc.setLocalDescription(await pc.createOffer())
    text = str(pc.localDescription.sdp)
    await pc.close()
    return text


def bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[f'auth.{role.value}_key']}"}


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process tells by answers alone
            await asyncio.sleep(0.05)


@dataclass
class FleetRig:
    """Servers by name; they can be killed (silently, as a machine goes) and stopped in order."""

    folder: Path
    redis_url: str
    http: aiohttp.ClientSession
    servers: dict[str, Server] = field(default_factory=dict)

    async def start(self, name: str, role: str, **overrides: Any) -> Server:
        settings = {
            "server.port": 0,
            "server.data_dir": str(self.folder / name),
            "fleet.role": role,
            "fleet.node": name,
            "fleet.lease_ms": 1_000,
            "fleet.drain_ms": 100,
            "bus.url": self.redis_url,
            **KEYS,
            **{key.replace("__", "."): value for key, value in overrides.items()},
        }
        server = Server(load_config(None, {}, settings))
        await server.__aenter__()
        self.servers[name] = server
        return server

    async def stop(self, name: str) -> None:
        await self.servers.pop(name).__aexit__(None, None, None)

    def kill(self, name: str) -> Server:
        """Let a node fall silent: no sign of life, no lease extended, nothing handed over."""
        server = self.servers.pop(name)
        for task in server.engine._pulls:
            task.cancel()
        return server

    async def post(self, url: str, body: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        async with self.http.post(url, data=body, headers=headers, allow_redirects=False) as reply:
            text = await reply.text()
            told = json.loads(text) if "json" in reply.headers.get("Content-Type", "") else text
            return reply.status, dict(reply.headers), told

    async def get(self, url: str, **headers: str) -> Any:
        async with self.http.get(url, headers=headers) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()


@contextlib.asynccontextmanager
async def fleet_rig(folder: Path, redis_url: str) -> AsyncIterator[FleetRig]:
    async with aiohttp.ClientSession() as http:
        rig = FleetRig(folder, redis_url, http)
        try:
            yield rig
        finally:
            for name in list(rig.servers):
                await rig.stop(name)
