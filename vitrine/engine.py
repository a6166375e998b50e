"""The parts of one process and how they hang together: streams, recognition, gateway, catalogue, figures."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from urllib.parse import parse_qs, urlsplit

from inference.types import FrameResult
from overlay.bus.base import Bus
from overlay.bus.memory import MemoryBus
from overlay.catalog.store import CatalogStore
from overlay.edge import Admission, GatewaySettings
from overlay.errors import FeedError
from overlay.gateway import Gateway
from overlay.hotspots import HotspotSettings
from overlay.messages import Report, TapResult
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from overlay.taps import TapOutcome
from overlay.types import HotspotFrame
from stream.clock import Clock
from stream.errors import EngineError
from stream.relay import Relay
from stream.settings import RtcSettings
from stream.sources.base import open_source
from stream.types import MediaTime, StreamId, stream_id
from vitrine.auth import Authenticator, Role, origin_allowed
from vitrine.company import Company
from vitrine.config import Config
from vitrine.errors import AuthError, UnknownStream
from vitrine.hub import Hub, StreamRuntime
from vitrine.keys import load_keys
from vitrine.looking import Looking
from vitrine.metrics import DeviceCollector, Metrics
from vitrine.moments import Moments, stream_memory
from vitrine.pipeline import Pipeline, PipelineParts
from vitrine.recognition import Recognition, load_recognition, refresh_index_off_loop
from vitrine.refresh import Refresher
from vitrine.search import Searcher, SearchParts
from vitrine.shop import Shop, shop_policy
from vitrine.show import Show, ShowSettings
from vitrine.trace import Trace
from vitrine.version import version

log = logging.getLogger(__name__)

_FORGET_S = 5.0
_SOURCE_RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class Engine:
    """Everything but the port. `start`, then use the attributes, then `stop`.

    Args:
        config: the configuration.
        clock: the engine's clock.
        recognition: models to use instead of loading the configured ones.

    Attributes:
        newest: the last result of each stream and what was shown of it.
        started_ns: when this engine was made.
    """

    hub: Hub
    gateway: Gateway
    recognition: Recognition
    shop: Shop
    search: Searcher

    def __init__(self, config: Config, clock: Clock, recognition: Recognition | None = None) -> None:
        self.config = config
        self.clock = clock
        self.metrics = Metrics(version())
        self.keys = load_keys(config.auth, config.server.data_dir)
        self.auth = Authenticator(self.keys, viewer_tokens=config.auth.viewer_tokens, clock=clock)
        self.store = CatalogStore(config.server.data_dir)
        self._given = recognition
        self._bus: Bus = MemoryBus()
        self.started_ns = clock.now_ns()
        self.newest: dict[StreamId, tuple[FrameResult, HotspotFrame]] = {}
        self._published: dict[tuple[StreamId, MediaTime], int] = {}
        self._trace: Trace | None = None
        self._stack = AsyncExitStack()

    # ---- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load models and catalogue, connect the bus, begin pulled sources.

        Raises:
            EngineError: something cannot be used; the message says what to do.
        """
        config = self.config
        self._stack.callback(self.store.close)
        given = self._given
        self.recognition = (
            await asyncio.to_thread(load_recognition, config.inference, self.clock)
            if given is None
            else given
        )
        self._stack.push_async_callback(self.recognition.device.close)
        self.metrics.registry.register(DeviceCollector(self.recognition.device.statistics))
        self._bus = await self._open_bus()
        self.shop = await self._stack.enter_async_context(
            Shop(config, self.store, self.recognition.embedder, self.clock)
        )
        if config.catalog.feed:
            await self._first_feed()
        await self.refresh_catalogue()
        self.search = self._search()
        self._stack.callback(self.search.moments.close)
        if config.server.trace:
            self._trace = Trace(config.server.trace)
            self._stack.callback(self._trace.close)
        self.gateway = Gateway(
            bus=self._bus,
            clock=self.clock,
            admit=self._admit,
            on_tap=self._on_tap,
            on_report=self._on_report,
            on_seen=self.shop.on_seen,
            settings=GatewaySettings(),
        )
        self.gateway.on_positions_sent = self._on_positions_sent
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self.hub = Hub(
            self._build,
            self.rtc_settings(),
            self.clock,
            tasks,
            config.server.max_streams,
            str if config.server.force_admission else self._refusal,
        )
        self._pulls = [
            tasks.create_task(self._pull(stream_id(name), url.reveal()), name=f"source {name}")
            for name, url in config.sources.items()
        ]
        if config.catalog.feed and config.catalog.refresh_ms:
            refresher = Refresher(self._refresh_feed, config.catalog.refresh_ms * 1_000_000, self.clock)
            self._pulls.append(tasks.create_task(refresher.run(), name="feed"))
        self._pulls.append(tasks.create_task(self._forget(), name="forget"))

    async def stop(self, drain_s: float) -> None:
        """Let viewers and publishers go, then release everything."""
        if hasattr(self, "gateway"):
            await self.gateway.close(drain_s)
        if hasattr(self, "hub"):
            for pull in self._pulls:
                pull.cancel()
            await self.hub.close()
        await self._stack.aclose()

    async def refresh_catalogue(self) -> int:
        """Put the catalogue's products into the index and into every running show."""
        found = await refresh_index_off_loop(
            self.store,
            self.config.server.data_dir,
            self.recognition.embedder,
            self.recognition.index,
        )
        await self._show_catalogue()
        return found

    async def _show_catalogue(self) -> None:
        """Give every running show the products as they are now."""
        if hasattr(self, "hub"):
            products = await asyncio.to_thread(self.store.list)
            for runtime in self.hub:
                runtime.show.set_products(products)

    async def _first_feed(self) -> None:
        """Read the feed at start; one that is away does no harm where products are known from before."""
        try:
            await self.shop.import_feed(self.config.catalog)
        except FeedError as error:
            if not len(self.store):
                raise
            log.warning("feed not read, going on with the products known", extra={"reason": str(error)})

    async def _refresh_feed(self, recheck: bool) -> None:
        report = await self.shop.import_feed(self.config.catalog, recheck=recheck)
        if report.imported or report.removed:
            await self.refresh_catalogue()
        elif report.updated:
            await self._show_catalogue()

    async def _open_bus(self) -> Bus:
        url = self.config.bus.url.reveal()
        if url == "memory":
            return MemoryBus()
        from overlay.bus.redis import RedisBus

        bus = RedisBus(url)
        self._stack.push_async_callback(bus.close)
        return bus

    def rtc_settings(self) -> RtcSettings:
        """WebRTC settings as configured."""
        rtc = self.config.rtc
        return RtcSettings(
            loopback=self.config.loopback,
            udp_ports=rtc.port_range(),
            public_ip=rtc.public_ip or None,
            media_timeout_ms=rtc.media_timeout_ms,
            start_bitrate_kbps=rtc.start_kbps,
            max_bitrate_kbps=rtc.max_kbps,
            pace_kbps=rtc.pace_kbps,
        )

    # ---- streams -------------------------------------------------------------------------------------------

    def _build(self, stream: StreamId) -> StreamRuntime:
        config = self.config
        relay = Relay(stream)
        author = OverlayAuthor(stream, secrets.token_urlsafe(6))
        show = Show(
            StreamPublisher(author, self._bus),
            offset_of=relay.offset,
            viewers=lambda: self.gateway.viewers(stream),
            clock=self.clock,
            settings=ShowSettings(
                hotspots=HotspotSettings(
                    max_hotspots=config.overlay.max_hotspots,
                    min_dwell_ms=config.overlay.dwell_ms,
                    show_similar=config.overlay.show_similar,
                    show_unsure=config.inference.show_unsure,
                ),
                shop=shop_policy(config.catalog),
                latency_ms=config.overlay.latency_ms,
            ),
        )
        products = self.store.list()
        worker = self.recognition.worker(stream, self.clock)
        show.listeners.append(lambda shown: self.recognition.expect(worker, shown))
        if products:
            show.set_products(products)
        metrics = self.metrics.stream(stream, config.inference.budget_ms * 1_000_000)
        parts = PipelineParts(self.clock, self.recognition.planner(), worker, show, metrics)
        memory = stream_memory(config.search)
        push = relay.push if memory is None else memory.recording(relay.push, relay.request_keyframe)
        pipeline = Pipeline(stream, parts, push)
        pipeline.listeners.append(self._on_result)
        if memory is not None:
            pipeline.listeners.append(memory.sightings.add)
        return StreamRuntime(stream, pipeline, relay, show, metrics, memory=memory)

    async def _pull(self, stream: StreamId, url: str) -> None:
        """Run a pulled source for as long as the engine runs; begin again when it breaks off."""
        failures = 0
        while True:
            try:
                await self.hub.pull(stream, lambda epoch: open_source(url, stream, self.clock, epoch=epoch))
                failures = 0
            except EngineError as error:
                log.warning("source broke off", extra={"stream": stream, "reason": str(error)})
            await asyncio.sleep(_SOURCE_RETRY_S[min(failures, len(_SOURCE_RETRY_S) - 1)])
            failures += 1

    def _on_result(self, result: FrameResult, sent: HotspotFrame) -> None:
        now_ns = self.clock.now_ns()
        self.newest[result.stream] = result, sent
        self._published[result.stream, result.time] = now_ns
        if len(self._published) > 512:
            del self._published[next(iter(self._published))]
        if self._trace is not None:
            self._trace.published(result, sent, now_ns)

    def _on_positions_sent(self, stream: StreamId, time: MediaTime, now_ns: int) -> None:
        published_ns = self._published.pop((stream, time), None)
        if published_ns is not None:
            self.metrics.stream(stream).stage("publish", now_ns - published_ns, now_ns)
        if self._trace is not None:
            self._trace.sent(stream, time, now_ns)

    def _search(self) -> Searcher:
        config = self.config
        parts = SearchParts(
            looking=Looking(self.recognition, config.search.device_share, self.clock),
            moments=Moments(self.clock),
            company=Company(self.store, self.shop.ledger),
            store=self.store,
            policy=shop_policy(config.catalog),
            clock=self.clock,
        )
        return Searcher(parts, config.search)

    async def _forget(self) -> None:
        """Forget recorded video in time, also that of streams whose publisher has left."""
        while True:
            await asyncio.sleep(_FORGET_S)
            for runtime in self.hub:
                if runtime.memory is not None:
                    runtime.memory.recorder.prune(self.clock.now_ns())

    def _refusal(self) -> str:
        return self.recognition.share.refusal(self.clock.now_ns())

    # ---- viewers -------------------------------------------------------------------------------------------

    def _admit(self, path: str, headers: Mapping[str, str]) -> Admission | tuple[int, str]:
        """Origin, stream name, token and room for one more."""
        if not origin_allowed(headers.get("origin"), headers.get("host"), self.config.server.origins):
            return 403, "this page's origin may not connect; add it to server.origins"
        parts = urlsplit(path)
        try:
            stream = stream_id(parts.path.removeprefix("/ws/"))
        except ValueError as error:
            return 404, str(error)
        token = next(iter(parse_qs(parts.query).get("token", [])), None)
        try:
            principal = self.auth.check(token, Role.VIEW, stream)
        except AuthError as error:
            return error.http_status, str(error)
        if self.gateway.statistics().viewers >= self.config.overlay.max_viewers:
            return 503, "too many viewers; try again later"
        return Admission(stream, f"{principal.subject}-{secrets.token_urlsafe(6)}")

    async def _on_tap(self, stream: StreamId, viewer: str, outcome: TapOutcome) -> TapResult:
        if outcome.card is not None:
            with suppress(UnknownStream):  # it may be produced by another node
                self.hub.get(stream).show.tapped(outcome.card.id)
        return await self.shop.on_tap(stream, viewer, outcome)

    def _on_report(self, stream: StreamId, viewer: str, report: Report) -> None:
        p50, p95 = report.age_ms
        self.metrics.stream(stream).viewer_report(p50, p95, self.clock.now_ns())
