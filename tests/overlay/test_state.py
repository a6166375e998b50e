from __future__ import annotations

import pytest

from inference.types import Box
from overlay.errors import CatalogError
from overlay.messages import EndedEvent, Epoch, Event, EventBody, HideEvent, LiveEvent, PinEvent, Positions
from overlay.state import MAX_PID, OverlayAuthor, assign_pids, fold
from overlay.types import Hotspot
from tests.overlay.builders import STREAM, card, frame, hotspot


def author(*, live: bool = True, products: int = 3) -> OverlayAuthor:
    made = OverlayAuthor(STREAM, "log-1")
    made.set_products(card(pid) for pid in range(1, products + 1))
    if live:
        made.live(1, 0, 120)
    return made


def keys(positions: Positions | None) -> list[tuple[int, int]]:
    assert positions is not None
    return [(sample.rtp, sample.measured) for sample in positions.s]


def test_numbers_of_products_are_kept_and_never_given_twice() -> None:
    first = assign_pids({}, ["b", "a", "b"])
    assert first == {"b": 1, "a": 2}
    assert assign_pids(first, ["c", "a"]) == {"b": 1, "a": 2, "c": 3}


def test_more_products_than_16_bits_hold_are_refused() -> None:
    with pytest.raises(CatalogError, match="65535"):
        assign_pids({"last": MAX_PID}, ["one-more"])


def test_author_remembers_numbers_of_products_that_left_and_return() -> None:
    made = OverlayAuthor(STREAM, "log-1")
    assert made.pids_for(["a", "b"]) == {"a": 1, "b": 2}
    assert made.pids_for(["c"]) == {"c": 3}
    assert made.pids_for(["b"]) == {"b": 2}


def test_events_are_numbered_without_gaps_and_nothing_changed_is_no_event() -> None:
    made = OverlayAuthor(STREAM, "log-1")
    events = [
        made.set_products([card(1)]),
        made.set_products([card(1)]),
        made.pin(1, True),
        made.pin(1, True),
        made.hide(1, True),
        made.hide(1, True),
        made.live(1, 0, 100),
        made.live(1, 0, 100),
        made.latency(100),
        made.latency(140),
        made.availability(1, "out_of_stock"),
        made.availability(1, "out_of_stock"),
        made.ended("bye"),
        made.ended("bye"),
        made.pin(1, False),
        made.pin(1, False),
    ]
    assert [event.seq if event else None for event in events] == [
        *(1, None, 2, None, 3, None, 4, None, None, 5, 6, None, 7, None, 8, None)
    ]


def test_unknown_products_cannot_be_pinned_or_hidden() -> None:
    made = author()
    assert made.pin(99, True) is None and made.hide(99, True) is None
    assert made.pid_of("product-2") == 2
    with pytest.raises(CatalogError, match="'nothing' is not in this show"):
        made.pid_of("nothing")


@pytest.mark.parametrize("twice", [[card(1), card(1, "other")], [card(1, "a"), card(2, "a")]])
def test_products_that_share_id_or_number_are_refused(twice: list[object]) -> None:
    with pytest.raises(CatalogError, match="each once"):
        OverlayAuthor(STREAM, "log-1").set_products(twice)  # type: ignore[arg-type]


def test_new_list_keeps_pins_of_products_that_stay() -> None:
    made = author()
    made.pin(1, True)
    made.pin(2, True)
    made.hide(3, True)
    made.set_products([card(2), card(3)])
    snapshot = made.snapshot()
    assert (snapshot.pinned, snapshot.hidden) == ((2,), (3,))
    shown = made.shown()
    assert shown.pinned == {"product-2"} and shown.hidden == {"product-3"}
    assert shown.pids == {"product-2": 2, "product-3": 3}


def test_reconnect_is_a_new_epoch_and_keeps_products() -> None:
    made = author()
    made.ended("timeout")
    assert not made.snapshot().live
    made.live(2, 77, 90)
    snapshot = made.snapshot()
    assert snapshot.live and snapshot.epochs == (Epoch(1, 0), Epoch(2, 77)) and len(snapshot.products) == 3
    assert snapshot.latency_ms == 90


def test_only_the_newest_epochs_are_kept() -> None:
    made = author()
    for epoch in range(2, 30):
        made.live(epoch, 0, 120)
    assert [known.epoch for known in made.snapshot().epochs] == list(range(22, 30))


def test_availability_changes_one_product_and_price_only_when_given() -> None:
    made = author()
    made.availability(2, "out_of_stock")
    made.availability(3, "in_stock", "9.00 EUR")
    cards = {item.pid: item for item in made.snapshot().products}
    assert (cards[2].availability, cards[2].price) == ("out_of_stock", "12.00 EUR")
    assert cards[3].price == "9.00 EUR" and cards[1].availability == "in_stock"


def test_snapshot_is_the_fold_of_all_events() -> None:
    made = OverlayAuthor(STREAM, "log-1")
    state = made.snapshot()
    steps = [
        made.set_products([card(1), card(2)]),
        made.pin(1, True),
        made.live(1, 0, 100),
        made.hide(2, True),
        made.latency(60),
        made.availability(1, "preorder", "1.00 EUR"),
        made.pin(1, False),
        made.ended("bye"),
    ]
    for event in steps:
        assert event is not None
        state = fold(state, event)
    assert fold(state, Event(state.seq, EndedEvent("x"))).seq == made.snapshot().seq
    assert (state.products, state.pinned, state.hidden, state.live, state.latency_ms) == (
        made.snapshot().products,
        (),
        (2,),
        False,
        60,
    )


def test_replaying_the_end_of_the_log_onto_the_present_state_changes_nothing() -> None:
    made = author()
    bodies: list[EventBody] = [
        PinEvent(1, True),
        HideEvent(2, True),
        PinEvent(1, False),
        LiveEvent(3, 5, 80),
        PinEvent(2, True),
    ]
    state = made.snapshot()
    events = [Event(state.seq + 1 + index, body) for index, body in enumerate(bodies)]
    for event in events:
        state = fold(state, event)
    again = state
    for event in events[2:]:
        again = fold(again, event)
    assert again == state


# ---- positions ---------------------------------------------------------------------------------------------


def test_positions_are_newest_measured_then_newer_predicted() -> None:
    made = author()
    assert keys(made.positions(frame(rtp=100))) == [(100, 1)]
    assert keys(made.positions(frame(rtp=200, measured=False))) == [(100, 1), (200, 0)]
    assert keys(made.positions(frame(rtp=300, measured=False))) == [(100, 1), (300, 0)]
    assert keys(made.positions(frame(rtp=400))) == [(400, 1)]


def test_detection_that_took_long_is_sent_although_newer_predictions_were() -> None:
    made = author()
    made.positions(frame(rtp=100))
    made.positions(frame(rtp=300, measured=False))
    assert keys(made.positions(frame(rtp=200))) == [(200, 1), (300, 0)]


def test_frames_older_than_what_was_sent_are_dropped() -> None:
    made = author()
    made.positions(frame(rtp=300))
    assert made.positions(frame(rtp=200)) is None
    assert made.positions(frame(rtp=300)) is None
    assert made.positions(frame(rtp=250, measured=False)) is None
    made.positions(frame(rtp=400, measured=False))
    assert made.positions(frame(rtp=400, measured=False)) is None
    assert made.positions(frame(rtp=350, measured=False)) is None


def test_timestamp_wrap_does_not_stop_positions() -> None:
    made = author()
    made.positions(frame(rtp=0xFFFFFF00))
    assert keys(made.positions(frame(rtp=100))) == [(100, 1)]


def test_positions_of_another_epoch_or_without_a_publisher_are_dropped() -> None:
    made = author(live=False)
    assert made.positions(frame(rtp=1)) is None
    made.live(1, 0, 100)
    assert made.positions(frame(rtp=1)) is not None
    made.live(2, 0, 100)
    assert made.positions(frame(rtp=2)) is None
    assert keys(made.positions(frame(rtp=5, epoch=2))) == [(5, 1)]
    made.ended("bye")
    assert made.positions(frame(rtp=9, epoch=2)) is None
    assert made.snapshot().pos == Positions(())


def test_predicted_frames_count_before_the_first_detection() -> None:
    made = author()
    assert keys(made.positions(frame(rtp=10, measured=False))) == [(10, 0)]
    assert keys(made.positions(frame(rtp=5))) == [(5, 1), (10, 0)]


def test_boxes_go_out_as_integers_inside_the_picture() -> None:
    made = author()
    outside = Hotspot(3, 1, "product-1", hotspot().state, Box(-0.1, 0.00004, 0.33333, 1.2), pinned=True)
    positions = made.positions(frame(outside, rtp=1))
    assert positions is not None
    (spot,) = positions.s[0].spots
    assert (spot.x0, spot.y0, spot.x1, spot.y1, spot.flags, spot.state) == (0, 0, 3333, 10_000, 1, 0)
    assert made.snapshot().pos == positions
