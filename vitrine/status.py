"""What the operator's page is told of a running engine."""

from __future__ import annotations

import time

from vitrine.diagnose import device_problems
from vitrine.engine import Engine
from vitrine.figures import EngineFigures, HotspotFigures, StreamFigures, StreamStatus
from vitrine.hub import StreamRuntime
from vitrine.version import version


def not_ready(engine: Engine) -> str:
    """Why the engine cannot do its work; empty when it can."""
    stuck = engine.recognition.device.statistics().stuck
    return f"the inference device has {stuck} stuck threads; restart the process" if stuck > 2 else ""


def engine_figures(engine: Engine) -> EngineFigures:
    """All figures, now."""
    now_ns = engine.clock.now_ns()
    reason = not_ready(engine)
    device = engine.recognition.device.statistics()
    return EngineFigures(
        now_ms=int(time.time() * 1000),
        uptime_s=round((now_ns - engine.started_ns) / 1e9, 1),
        version=version(),
        model=engine.recognition.model_name,
        provider=engine.recognition.detector.provider,
        problems=((reason,) if reason else ()) + engine.recognition.recovery.told + device_problems(device),
        streams=tuple(stream_figures(engine, runtime, now_ns) for runtime in engine.hub),
    )


def stream_figures(engine: Engine, runtime: StreamRuntime, now_ns: int) -> StreamFigures:
    """The figures of one stream at `now_ns`."""
    status = StreamStatus(
        live=runtime.relay.live,
        epoch=runtime.active,
        viewers=engine.gateway.viewers(runtime.stream),
        source=runtime.pipeline.info,
        latency_ms=runtime.show.latency_ms,
        hotspots=_hotspots(engine, runtime) if runtime.relay.live else (),
    )
    return runtime.metrics.figures(now_ns, status)


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
