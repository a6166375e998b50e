from __future__ import annotations

from msgspec.structs import replace

from stream.types import StreamId
from tests.vitrine.studio.test_placement import node
from vitrine.figures import Percentiles, StreamFigures
from vitrine.metrics import Metrics, StreamMetrics
from vitrine.studio.nodes import StreamRecord
from vitrine.studio.survey import survey


def held(stream: str = "show", **said: object) -> tuple[StreamRecord, ...]:
    return (StreamRecord(id=stream, **{"fence": 1, "live": True, "epoch": 2, **said}),)  # type: ignore[arg-type]


def test_fleet_that_is_well_has_no_problems() -> None:
    nodes = [
        node("a", streams=held()),
        node("g", role="gateway", viewers={"show": 40}),
        node("h", role="gateway", viewers={"show": 2, "other": 1}),
    ]
    found = survey(nodes, "g")
    assert found.problems == () and found.me == "g"
    assert [one.name for one in found.nodes] == ["a", "g", "h"]
    (stream,) = found.streams
    assert (stream.id, stream.node, stream.state, stream.epoch, stream.viewers) == (
        "show",
        "a",
        "live",
        2,
        42,
    )


def figures(stream: str = "show", **said: object) -> StreamFigures:
    empty = StreamMetrics(Metrics(), StreamId(stream), 60_000_000).seen(0)
    return replace(empty, **said)


def test_time_of_frames_is_told_by_the_holder_and_the_ages_seen_by_every_gateway() -> None:
    nodes = [node("a", streams=held()), node("g", role="gateway", viewers={"show": 40})]
    late = figures(
        fps_in=30.0, stages_ms={"detect": Percentiles(40, 90, 99)}, problems=("3 % of frames were late",)
    )
    told = {
        "a": {"show": late},
        "g": {"show": figures(overlay_age_ms=Percentiles(12, 41))},
        "h": {"show": figures(overlay_age_ms=Percentiles(30, 95)), "other": figures("other")},
    }
    found = survey(nodes, "g", told)
    (stream,) = found.streams
    assert stream.figures is not None
    assert stream.figures.stages_ms["detect"].p95 == 90
    assert (stream.figures.overlay_age_ms.p95, stream.figures.viewers) == (95, 40)
    assert found.problems == ("stream show on a: 3 % of frames were late",)


def test_figures_of_a_stream_that_is_off_air_or_was_taken_over_are_not_shown() -> None:
    gateway = node("g", role="gateway")
    told = {"a": {"show": figures(problems=("late",))}}
    (idle,) = survey([node("a", streams=held(live=False)), gateway], told=told).streams
    (moved,) = survey([node("b", streams=held(fence=9)), gateway], told=told).streams
    assert idle.figures is None and moved.figures is None


def test_one_process_that_does_everything_is_well() -> None:
    assert survey([node("a", role="all")]).problems == ()


def test_stream_of_a_silent_node_is_orphaned_and_not_live() -> None:
    found = survey([node("a", silent_ms=4_000, streams=held()), node("b"), node("g", role="gateway")])
    (stream,) = found.streams
    assert stream.state == "orphaned" and not stream.live and stream.lease_age_ms >= 4_000
    assert "its node a is silent" in found.problems[0] and "publisher comes back" in found.problems[0]
    assert any("node a (ingest) has been silent for 4 s" in words for words in found.problems)


def test_stream_that_was_taken_over_belongs_to_the_higher_fence() -> None:
    nodes = [
        node("b", streams=held(fence=9)),
        node("a", silent_ms=9_000, streams=held(fence=3)),
        node("g", role="gateway"),
    ]
    (stream,) = survey(nodes).streams
    assert (stream.node, stream.state) == ("b", "live")


def test_every_lack_is_told_in_words() -> None:
    def words(*nodes: object) -> str:
        return " | ".join(survey(nodes).problems)  # type: ignore[arg-type]

    gateway = node("g", role="gateway")
    assert "no node is up" in words()
    assert "--role ingest" in words(gateway)
    assert "--role gateway" in words(node("a"))
    full = words(gateway, node("a", full="16 streams are open"), node("b", draining=True))
    assert "no node takes a further stream: a: 16 streams are open; b: draining" in full
    assert "90% busy: add one" in words(gateway, node("a", load=0.9))
    assert "different versions (1, 2)" in words(gateway, node("a", version="2"))
    assert "cannot confirm its lease" in words(gateway, node("a", streams=held(certain=False)))
    assert "same address" in words(gateway, node("a", address="http://g"))
