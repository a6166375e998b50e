"""The whole engine in one process: builds the parts, opens the port, shuts down in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import TracebackType

from aiohttp import web

from stream.clock import Clock, MonotonicClock
from vitrine.auth import Role
from vitrine.config import Config
from vitrine.engine import Engine
from vitrine.figures import tell
from vitrine.forward import Forward
from vitrine.front import Front, late_upgrade
from vitrine.http import build_app
from vitrine.http_api import Api
from vitrine.http_host import HostApi
from vitrine.http_orders import OrdersApi
from vitrine.http_replay import Replays
from vitrine.http_rtc import RtcEndpoints
from vitrine.http_search import SearchEndpoints
from vitrine.http_watch import WatchEndpoints
from vitrine.keys import Keys
from vitrine.recognition import Recognition
from vitrine.status import engine_figures, node_record, not_ready, told_figures
from vitrine.tls import context_for

log = logging.getLogger(__name__)


class Server:
    """An async context manager: inside it, the engine serves.

    Args:
        config: the configuration.
        clock: the engine's clock.
        recognition: models to use instead of loading the configured ones.

    Attributes:
        url: base address of the one port.
        engine: streams, gateway, catalogue.
    """

    def __init__(
        self, config: Config, *, clock: Clock | None = None, recognition: Recognition | None = None
    ) -> None:
        self.url = ""
        self._config = config
        self.engine = Engine(config, clock or MonotonicClock(), recognition)
        self._front: Front | None = None
        self._forward: Forward | None = None
        self._runner: web.AppRunner | None = None

    @property
    def keys(self) -> Keys:
        """The keys in force."""
        return self.engine.keys

    async def __aenter__(self) -> Server:
        try:
            await self.engine.start()
            await self._listen()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._front is not None:
            await self._front.stop_accepting()
        await self.engine.stop(self._config.fleet.drain_ms / 1000)
        if self._forward is not None:
            await self._forward.close()
        if self._front is not None:
            await self._front.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def page(self, path: str, role: Role | None = None) -> str:
        """Address of a page, with the key of `role` in its fragment."""
        keys = {
            Role.PUBLISH: self.keys.publish,
            Role.HOST: self.keys.host,
            Role.OPERATOR: self.keys.operator,
        }
        return f"{self.url}{path}" + (f"#key={keys[role].reveal()}" if role else "")

    async def _listen(self) -> None:
        engine, server = self.engine, self._config.server
        api = Api(
            streams=engine.streams,
            auth=engine.auth,
            metrics=engine.metrics,
            figures=lambda: engine_figures(engine),
            image=engine.store.picture_path,
            viewers=engine.fleet.viewers,
            not_ready=lambda: not_ready(engine),
            open_metrics=self._config.loopback,
        )
        upgrade = late_upgrade(engine.gateway.protocol)
        routes = [
            *api.routes(),
            *RtcEndpoints(engine.streams, engine.auth).routes(),
            *SearchEndpoints(
                engine.streams,
                engine.auth,
                engine.search if engine.recognises else None,
                self._config.search,
                engine.clock,
            ).routes(),
            *HostApi(engine).routes(),
            *OrdersApi(engine).routes(),
            *Replays(self._config.server.data_dir, engine.auth, engine.shop.cards).routes(),
            *WatchEndpoints(self._config, engine.auth).routes(pages=engine.role != "ingest"),
            web.get("/ws/{stream}", upgrade),
        ]
        self._forward = Forward(engine.auth)
        app = build_app(routes, [self._forward.middleware], pages=engine.role != "ingest")
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        assert self._runner.server is not None
        tls, made = context_for(server)
        self._front = Front(self._runner.server, engine.gateway.protocol)
        ports = await self._front.start(server.host, server.port, tls, reuse_port=server.reuse_port)
        scheme = "https" if tls else "http"
        self.url = server.public_url or f"{scheme}://{_in_url(server.host)}:{ports[0]}"
        if made is not None:
            log.warning("%s", made.words)
        reached = f"{scheme}://{_in_url(_reachable(server.host))}:{ports[0]}"
        address = self._config.fleet.address or reached
        public = server.public_url or address
        if not self._config.bus.alone:
            engine.fleet.figures = lambda: tell(told_figures(engine))
        await engine.join(lambda: node_record(engine, address, public))


def _raise_descriptor_limit() -> None:
    """Every viewer takes a descriptor; shells and service managers often allow 1024 unless asked."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reachable(host: str) -> str:
    """`host`, or what this machine calls its own address where that means all of them."""
    if host not in ("0.0.0.0", "::"):
        return host
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


async def serve(config: Config, *, on_ready: Callable[[Server], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then shut down in order.

    Args:
        config: the configuration.
        on_ready: called once the port is open.

    Raises:
        EngineError: it cannot start; the message says what to do.
    """
    _raise_descriptor_limit()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signum, stop.set)
    async with Server(config) as server:
        gc.collect()
        gc.freeze()  # what is loaded stays: to look through it again would hold every stream up for 0.1 s
        log.info("serving", extra={"url": server.url})
        if on_ready is not None:
            on_ready(server)
        await stop.wait()
        log.info("shutting down")
