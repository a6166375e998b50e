"""The parts of one process and how they hang together: streams, recognition, gateway, catalogue, figures."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress

from inference.errors import ProductIndexError
from inference.types import FrameResult
from overlay.bus.memory import MemoryBus
from overlay.bus.registry import MemoryRegistry
from overlay.catalog.importer import embed_missing
from overlay.catalog.store import CatalogStore
from overlay.edge import GatewaySettings
from overlay.errors import FeedError
from overlay.gateway import Gateway
from overlay.hotspots import HotspotSettings
from overlay.messages import MAX_BACK_MS, Report, TapResult
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from overlay.taps import TapOutcome
from overlay.types import HotspotFrame
from stream.clock import Clock
from stream.errors import EngineError
from stream.relay import Relay
from stream.republish import Republisher
from stream.settings import RtcSettings
from stream.signalling import Endpoint
from stream.types import MediaTime, StreamId, stream_id
from vitrine.auth import Authenticator
from vitrine.config import Config
from vitrine.door import Door
from vitrine.enrolling import Enroller
from vitrine.errors import UnknownStream
from vitrine.figures import VideoStatus
from vitrine.fleet import Fleet
from vitrine.hearing import Hearing, watch_file
from vitrine.hub import Hub, StreamRuntime, video_status
from vitrine.keys import load_keys
from vitrine.links import Links, open_links
from vitrine.metrics import DeviceCollector, Metrics, NodeCollector, RecorderCollector, VideoCollector
from vitrine.moments import stream_memory
from vitrine.pipeline import Pipeline, PipelineParts
from vitrine.recognition import Recognition, load_recognition, refresh_index
from vitrine.recorder import RecorderStatistics
from vitrine.refresh import Refresher
from vitrine.search import Searcher, open_search
from vitrine.shop import Shop, shop_policy
from vitrine.show import Show, ShowSettings
from vitrine.streams import Streams
from vitrine.studio.nodes import NodeRecord
from vitrine.teaching import Teacher
from vitrine.trace import Trace
from vitrine.version import version

log = logging.getLogger(__name__)

_FORGET_S = 5.0


class Engine:
    """Everything but the port. `start`, then use the attributes, then `stop`.

    Args:
        config: the configuration.
        clock: the engine's clock.
        recognition: models to use instead of loading the configured ones.

    Attributes:
        newest: the last result of each stream and what was shown of it.
        started_ns: when this engine was made.
        streams: the streams of this node, each under its lease.
        fleet: this node among the others.
        role: what this node does; a gateway has no models and no streams of its own.
    """

    hub: Hub
    streams: Streams
    fleet: Fleet
    gateway: Gateway
    shop: Shop
    search: Searcher
    teacher: Teacher
    enroller: Enroller

    def __init__(self, config: Config, clock: Clock, recognition: Recognition | None = None) -> None:
        self.config = config
        self.clock = clock
        self.metrics = Metrics(version())
        self.keys = load_keys(config.auth, config.server.data_dir)
        self.auth = Authenticator(self.keys, viewer_tokens=config.auth.viewer_tokens, clock=clock)
        self.store = CatalogStore(config.server.data_dir)
        self.role = config.fleet.role
        self._recognition = recognition
        self._links = Links(MemoryBus(), MemoryRegistry())
        self._pulls: list[asyncio.Task[None]] = []
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
        self.metrics.registry.register(VideoCollector(self._video))
        if self.role != "gateway":
            await self._load_recognition()
        self._links = open_links(config.bus, self._stack)
        embedder = self.recognition.embedder if self._recognition else None
        self.shop = await self._stack.enter_async_context(Shop(config, self.store, embedder, self.clock))
        if self.role != "gateway":
            if config.catalog.feed:
                await self._first_feed()
            await self.refresh_catalogue()
            self.search = await open_search(
                config, self.recognition, self.store, self.shop.ledger, self.clock
            )
            self._stack.callback(self.search.close)
            self.metrics.registry.register(RecorderCollector(self._recorded))
            self._learn()
        if config.server.trace:
            self._trace = Trace(config.server.trace)
            self._stack.callback(self._trace.close)
        self.gateway = Gateway(
            bus=self._links.bus,
            clock=self.clock,
            admit=Door(config, self.auth, lambda: self.gateway.statistics().viewers),
            on_tap=self._on_tap,
            on_report=self._on_report,
            on_seen=self.shop.on_seen,
            settings=GatewaySettings(keep_ms=MAX_BACK_MS) if config.playlists else GatewaySettings(),
        )
        self.gateway.on_positions_sent = self._on_positions_sent
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self.hub = Hub(
            self._build,
            self.rtc_settings(),
            self.clock,
            tasks,
            config.server.max_streams,
            self.refusal,
        )
        self.fleet = Fleet(self._links.registry, config.fleet, self.clock)
        self.fleet.watched = self.gateway.watched
        idle_ms = None if config.bus.alone else config.fleet.idle_ms
        self.streams = Streams(self.hub, self.fleet, self._links.bus, self.clock, idle_ms)
        self._tasks = tasks
        if config.catalog.feed and config.catalog.refresh_ms and self.recognises:
            refresher = Refresher(self._refresh_feed, config.catalog.refresh_ms * 1_000_000, self.clock)
            self._pulls.append(tasks.create_task(refresher.run(), name="feed"))
        self._pulls.append(tasks.create_task(self._forget(), name="forget"))
        if self.recognises:
            hearing = Hearing(self.teacher.lessons, self._links.lessons, self.teacher.reload)
            self._pulls.append(tasks.create_task(hearing.run(), name="hearing"))
            watching = watch_file(self.store.version, self._take_over_catalogue)
            self._pulls.append(tasks.create_task(watching, name="catalogue"))

    async def join(self, describe: Callable[[], NodeRecord]) -> None:
        """Become known to the other nodes, as what `describe` says, and begin pulled sources.

        Raises:
            FleetError: another process has this one's name.
            BusError: the registry does not answer.
        """
        config, tasks = self.config, self._tasks
        self._pulls += await self.fleet.join(tasks, describe)
        self.metrics.registry.register(NodeCollector(self.fleet.record))
        if self.role == "gateway":
            return
        self._pulls.append(tasks.create_task(self.streams.run(), name="streams"))
        for name, url in config.sources.items():
            pull = self.streams.pull(stream_id(name), url.reveal())
            self._pulls.append(tasks.create_task(pull, name=f"source {name}"))

    async def stop(self, drain_s: float) -> None:
        """Take nothing new, hand publishers and viewers over to other nodes, then release everything."""
        if hasattr(self, "streams"):
            with suppress(EngineError):
                await self.fleet.drain()
            await self.streams.hand_over()
        if hasattr(self, "gateway"):
            await self.gateway.close(drain_s)
        if hasattr(self, "hub"):
            for pull in self._pulls:
                pull.cancel()
            await self.hub.close()
        if hasattr(self, "fleet"):
            await self.fleet.leave()
        await self._stack.aclose()

    @property
    def recognition(self) -> Recognition:
        """The models in use; a gateway has none and must not ask."""
        assert self._recognition is not None, "a gateway recognises nothing"
        return self._recognition

    @property
    def recognises(self) -> bool:
        """This node has models."""
        return self._recognition is not None

    async def _load_recognition(self) -> None:
        if self._recognition is None:
            self._recognition = await asyncio.to_thread(load_recognition, self.config.inference, self.clock)
        self._stack.callback(self.recognition.index.close)
        self._stack.push_async_callback(self.recognition.device.close)
        self.metrics.registry.register(DeviceCollector(self.recognition.device.statistics))

    def _learn(self) -> None:
        index, embedder = self.recognition.index, self.recognition.embedder
        self.teacher = Teacher(self.config.server.data_dir, self.store, embedder, index)
        self._stack.callback(self.teacher.close)
        self.enroller = Enroller(embedder, index, self.teacher)

    async def refresh_catalogue(self) -> int:
        """Put the catalogue's products into the index and into every running show."""
        config, models = self.config, self.recognition
        try:
            await asyncio.to_thread(
                refresh_index,
                self.store,
                config.server.data_dir,
                models.embedder,
                models.index,
                server=config.catalog.index_server,
            )
        except ProductIndexError as error:
            if not error.retryable:
                raise
            log.error("products are not recognised for now", extra={"reason": str(error)})
        if hasattr(self, "teacher"):
            await self.teacher.reload()  # what was said while the index was read
        await self._show_catalogue()
        return len(models.index)

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

    async def _take_over_catalogue(self) -> None:
        """`vitrine catalog` wrote into it."""
        await embed_missing(self.store, self.recognition.embedder)
        await self.refresh_catalogue()

    async def _refresh_feed(self, recheck: bool) -> None:
        report = await self.shop.import_feed(self.config.catalog, recheck=recheck)
        if report.imported or report.removed:
            await self.refresh_catalogue()
        elif report.updated:
            await self._show_catalogue()

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
        start = self.streams.start_of(stream)
        state = start.held.snapshot if start.held else None
        author = OverlayAuthor(stream, state.log if state else secrets.token_urlsafe(6), state)
        show = Show(
            StreamPublisher(author, self._links.bus, fence=start.fence, start=start.held),
            offset_of=relay.offset,
            viewers=lambda: self.fleet.viewers(stream),
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
        if state is not None and state.live:
            show.ended("its node was lost")
        if products:
            show.set_products(products)
        metrics = self.metrics.stream(stream, config.inference.budget_ms * 1_000_000)
        parts = PipelineParts(
            self.clock, self.recognition.planner(), worker, show, metrics, config.doze_ns(stream)
        )
        memory = stream_memory(config.search)
        push = relay.push if memory is None else memory.recording(relay.push, relay.request_keyframe)
        pipeline = Pipeline(stream, parts, push)
        pipeline.listeners.append(self._on_result)
        pipeline.needs.append(lambda: worker.enrolment is not None)
        if memory is not None:
            pipeline.listeners.append(memory.sightings.add)
        return StreamRuntime(
            stream,
            pipeline,
            relay,
            show,
            metrics,
            memory=memory,
            worker=worker,
            epoch=author.epoch,
            republisher=self._republisher(relay),
        )

    def _republisher(self, relay: Relay) -> Republisher | None:
        address = self.config.republish_to(relay.stream)
        if not address:
            return None
        return Republisher(relay, Endpoint.parse(address), self.clock, self.rtc_settings())

    def _video(self) -> Iterator[VideoStatus]:
        for runtime in self.hub if hasattr(self, "hub") else ():
            yield video_status(runtime)

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

    def _recorded(self) -> dict[StreamId, RecorderStatistics]:
        memories = {one.stream: one.memory for one in self.hub} if hasattr(self, "hub") else {}
        return {name: memory.recorder.statistics() for name, memory in memories.items() if memory is not None}

    async def _forget(self) -> None:
        """Forget recorded video in time, also that of streams whose publisher has left."""
        while True:
            await asyncio.sleep(_FORGET_S)
            for runtime in self.hub:
                if runtime.memory is not None:
                    runtime.memory.recorder.prune(self.clock.now_ns())

    def refusal(self) -> str:
        """Why one more stream would break the promise to those that run; empty while there is room."""
        if self.config.server.force_admission:
            return ""
        return self.recognition.share.refusal(self.clock.now_ns())

    # ---- viewers -------------------------------------------------------------------------------------------

    async def _on_tap(self, stream: StreamId, viewer: str, outcome: TapOutcome) -> TapResult:
        if outcome.card is not None:
            with suppress(UnknownStream):  # it may be produced by another node
                self.hub.get(stream).show.tapped(outcome.card.id)
        return await self.shop.on_tap(stream, viewer, outcome)

    def _on_report(self, stream: StreamId, viewer: str, report: Report) -> None:
        p50, p95 = report.age_ms
        self.metrics.stream(stream).viewer_report(p50, p95, self.clock.now_ns())
