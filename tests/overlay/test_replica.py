from __future__ import annotations

from collections.abc import Callable

from overlay.messages import Event, Positions, Resume, Sample, Snapshot
from overlay.replica import Applied, OverlayReplica
from overlay.samples import Absent
from overlay.state import OverlayAuthor
from stream.types import MediaTime
from tests.overlay.builders import STREAM, card, sample, spot


class Pair:
    """An author and a replica that follows it."""

    def __init__(self) -> None:
        self.author = OverlayAuthor(STREAM, "log-1")
        self.author.set_products([card(1), card(2)])
        self.author.live(1, 0, 100)
        self.replica = OverlayReplica(self.author.snapshot())

    def write(self, event: Event | None) -> Event:
        assert event is not None
        assert self.replica.apply(event) is Applied.DONE
        return event

    def positions(self, *samples: Sample) -> tuple[Sample, ...]:
        return self.replica.positions(Positions(samples), 0)


def state(snapshot: Snapshot) -> tuple[object, ...]:
    return (snapshot.seq, snapshot.products, snapshot.pinned, snapshot.hidden, snapshot.live, snapshot.epochs)


def test_replica_follows_its_author() -> None:
    pair = Pair()
    steps: list[Callable[[], Event | None]] = [
        lambda: pair.author.pin(1, True),
        lambda: pair.author.hide(2, True),
        lambda: pair.author.availability(1, "out_of_stock"),
        lambda: pair.author.ended("bye"),
        lambda: pair.author.live(2, 9, 50),
    ]
    for step in steps:
        pair.write(step())
        assert state(pair.replica.catch_up().snapshot) == state(pair.author.snapshot())


def test_gap_changes_nothing_and_duplicates_are_ignored() -> None:
    pair = Pair()
    pair.author.pin(1, True)
    later = pair.author.pin(2, True)
    assert later is not None
    assert pair.replica.apply(later) is Applied.GAP
    assert pair.replica.state.seq == 2
    assert pair.replica.apply(Event(2, later.ev)) is Applied.DUPLICATE
    assert pair.replica.state.pinned == ()


def test_positions_name_new_samples_once() -> None:
    pair = Pair()
    first, second = sample(spot(), rtp=0), sample(spot(), rtp=3000, measured=False)
    assert pair.positions(first) == (first,)
    assert pair.positions(first, second) == (second,)
    assert pair.replica.catch_up().snapshot.pos == Positions((first, second))


def test_positions_out_of_order_do_not_turn_the_newest_back() -> None:
    pair = Pair()
    pair.positions(sample(rtp=6000))
    pair.positions(sample(rtp=3000))
    assert pair.replica.catch_up().snapshot.pos == Positions((sample(rtp=6000),))
    pair.positions()
    assert pair.replica.catch_up().snapshot.pos == Positions(())


def test_ended_stream_shows_no_positions() -> None:
    pair = Pair()
    pair.positions(sample(rtp=0))
    pair.write(pair.author.ended("bye"))
    pair.positions(sample(rtp=1))
    assert pair.replica.catch_up().snapshot.pos == Positions(())


def test_viewer_who_resumes_gets_the_missed_events_and_the_state_before_them() -> None:
    pair = Pair()
    events = [pair.write(pair.author.pin(1, True)), pair.write(pair.author.pin(2, True))]
    catchup = pair.replica.catch_up(Resume("log-1", 2))
    assert catchup.snapshot.recovered and catchup.snapshot.seq == 2 and catchup.snapshot.pinned == ()
    assert list(catchup.events) == events
    assert pair.replica.catch_up(Resume("log-1", 3)).snapshot.pinned == (1,)


def test_viewer_who_missed_nothing_gets_no_events() -> None:
    pair = Pair()
    pair.write(pair.author.pin(1, True))
    catchup = pair.replica.catch_up(Resume("log-1", 3))
    assert catchup.snapshot.recovered and catchup.events == () and catchup.snapshot.pinned == (1,)


def test_resume_that_cannot_be_replayed_gets_a_complete_snapshot() -> None:
    pair = Pair()
    pair.write(pair.author.pin(1, True))
    for resume in (Resume("other", 2), Resume("log-1", 99), Resume("log-1", 1)):
        catchup = pair.replica.catch_up(resume)
        assert not catchup.snapshot.recovered and catchup.snapshot.seq == 3 and catchup.events == ()


def test_resume_works_from_the_tail_of_the_bus() -> None:
    author = OverlayAuthor(STREAM, "log-1")
    tail = [author.set_products([card(1)]), author.live(1, 0, 100), author.pin(1, True)]
    replica = OverlayReplica(author.snapshot(), tuple(event for event in tail if event))
    catchup = replica.catch_up(Resume("log-1", 1))
    assert catchup.snapshot.recovered and catchup.snapshot.seq == 1
    assert [event.seq for event in catchup.events] == [2, 3]


def test_tail_is_bounded() -> None:
    pair = Pair()
    replica = OverlayReplica(pair.author.snapshot(), tail_limit=3)
    for ms in range(5):
        event = pair.author.latency(ms)
        assert event is not None
        replica.apply(event)
    assert not replica.catch_up(Resume("log-1", 3)).snapshot.recovered
    assert replica.catch_up(Resume("log-1", 4)).snapshot.recovered


def test_history_survives_a_resync_but_not_another_log() -> None:
    pair = Pair()
    pair.positions(sample(spot(), rtp=0))
    pair.replica.reset(pair.author.snapshot())
    assert not isinstance(pair.replica.history.layers(MediaTime(1, 0)), Absent)
    pair.replica.reset(OverlayAuthor(STREAM, "log-2").snapshot())
    assert isinstance(pair.replica.history.layers(MediaTime(1, 0)), Absent)
    assert pair.replica.state.log == "log-2"


def test_products_are_found_by_number() -> None:
    pair = Pair()
    assert pair.replica.product(2) == card(2)
    assert pair.replica.product(3) is None
