"""What the operator's page is told of a running engine."""

from __future__ import annotations

import time

from vitrine.diagnose import device_problems
from vitrine.engine import Engine
from vitrine.figures import EngineFigures, HotspotFigures, StreamFigures, StreamStatus
from vitrine.hub import StreamRuntime, video_status
from vitrine.studio.nodes import NodeRecord, StreamRecord
from vitrine.version import version

_SILENT_MS = 5_000


def not_ready(engine: Engine) -> str:
    """Why the engine cannot do its work; empty when it can."""
    if engine.fleet.draining:
        return "draining: it ends soon and takes nothing new"
    stuck = engine.recognition.device.statistics().stuck if engine.recognises else 0
    return f"the inference device has {stuck} stuck threads; restart the process" if stuck > 2 else ""


def engine_figures(engine: Engine) -> EngineFigures:
    """All figures, now."""
    now_ns = engine.clock.now_ns()
    reason = not_ready(engine)
    problems = ((reason,) if reason else ()) + _bus_problems(engine)
    if engine.recognises:
        device = engine.recognition.device.statistics()
        problems += engine.recognition.recovery.told + device_problems(device)
        problems += engine.recognition.index.problems
    return EngineFigures(
        now_ms=int(time.time() * 1000),
        uptime_s=round((now_ns - engine.started_ns) / 1e9, 1),
        version=version(),
        model=engine.recognition.model_name if engine.recognises else "",
        provider=engine.recognition.detector.provider if engine.recognises else "",
        problems=problems,
        streams=tuple(stream_figures(engine, runtime, now_ns) for runtime in engine.hub),
    )


def _bus_problems(engine: Engine) -> tuple[str, ...]:
    silent_ms = engine.fleet.silent_ms()
    if silent_ms <= _SILENT_MS:
        return ()
    return (
        f"the bus has not answered for {silent_ms / 1000:.0f} s: viewers on other nodes see nothing new, and "
        "no stream can be taken over; what is connected here goes on",
    )


def node_record(engine: Engine, address: str, public: str) -> NodeRecord:
    """This node for the others; leases and viewers are filled in by `Fleet`.

    Args:
        engine: what it does.
        address: how nodes reach it.
        public: how publishers and people do.
    """
    now_ns = engine.clock.now_ns()
    load, full = _load(engine, now_ns)
    streams = tuple(
        StreamRecord(
            id=runtime.stream,
            fence=0,
            epoch=runtime.active,
            live=runtime.relay.live,
            products=len(runtime.show.products),
        )
        for runtime in engine.hub
    )
    return NodeRecord(
        role=engine.role,
        version=version(),
        address=address,
        public=public,
        up_s=round((now_ns - engine.started_ns) / 1e9, 1),
        load=round(load, 3),
        full=full,
        streams=streams,
    )


def _load(engine: Engine, now_ns: int) -> tuple[float, str]:
    """How much of what this node may take it has, and why it takes no further stream."""
    if not engine.recognises:
        return engine.gateway.statistics().viewers / engine.config.overlay.max_viewers, ""
    limit, count = engine.config.server.max_streams, len(list(engine.hub))
    full = f"{count} streams are open, of at most {limit}" if count >= limit else engine.refusal()
    share = engine.recognition.share
    device = share.load(share.costs.rungs[-1], now_ns)
    return max(count / limit, device, 1.0 if full else 0.0), full


def stream_figures(engine: Engine, runtime: StreamRuntime, now_ns: int) -> StreamFigures:
    """The figures of one stream at `now_ns`."""
    status = StreamStatus(
        live=runtime.relay.live,
        epoch=runtime.active,
        viewers=engine.fleet.viewers(runtime.stream),
        source=runtime.pipeline.info,
        latency_ms=runtime.show.latency_ms,
        hotspots=_hotspots(engine, runtime) if runtime.relay.live else (),
        video=video_status(runtime),
    )
    return runtime.metrics.figures(now_ns, status)


def told_figures(engine: Engine) -> tuple[StreamFigures, ...]:
    """What operators at other nodes are told: streams held here, and ages seen by those who watch here."""
    now_ns = engine.clock.now_ns()
    held = {runtime.stream: stream_figures(engine, runtime, now_ns) for runtime in engine.hub}
    seen = (stream for stream in engine.gateway.watched() if stream not in held)
    return (*held.values(), *(engine.metrics.stream(stream).seen(now_ns) for stream in seen))


def _hotspots(engine: Engine, runtime: StreamRuntime) -> tuple[HotspotFigures, ...]:
    newest = engine.newest.get(runtime.stream)
    if newest is None:
        return ()
    result, sent = newest
    matches = {track.id: track.match for track in result.tracks}
    found = []
    for spot in sent.hotspots:
        product, match = runtime.show.products.get(spot.product_id), matches.get(spot.id)
        found.append(
            HotspotFigures(
                id=spot.id,
                product_id=spot.product_id,
                title=product.title if product else "",
                state=spot.state.value,
                score=round(match.score, 3) if match else 0.0,
                reason=match.reason if match else "",
            )
        )
    return tuple(found)
