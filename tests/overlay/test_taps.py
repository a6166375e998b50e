from __future__ import annotations

import pytest

from overlay.messages import Positions, Spot, TapResult
from overlay.replica import OverlayReplica
from overlay.state import OverlayAuthor
from overlay.taps import Claim, TapLedger, resolve
from tests.overlay.builders import MS, STREAM, card, sample, spot, tap

S = 1_000 * MS


@pytest.fixture
def replica() -> OverlayReplica:
    author = OverlayAuthor(STREAM, "log-1")
    author.set_products([card(1), card(2), card(3)])
    author.live(1, 0, 100)
    author.hide(3, True)
    return OverlayReplica(author.snapshot())


def put(replica: OverlayReplica, *spots: Spot, rtp: int = 0, measured: bool = True) -> None:
    replica.positions(Positions((sample(*spots, rtp=rtp, measured=measured),)), 0)


def test_tap_inside_a_box_hits_its_product(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1))
    outcome = resolve(tap(0.2, 0.3), replica)
    assert outcome.hit and outcome.card == card(1) and outcome.spot == spot(7, 1)
    assert (outcome.state, outcome.reason) == ("exact", "measured")
    assert outcome.result() == TapResult("b1f0", True, "exact", card(1))
    assert (outcome.time.epoch, outcome.time.rtp) == (1, 0)


def test_tap_is_resolved_on_the_frame_that_was_on_screen_not_on_the_newest(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1, x0=1000), rtp=0)
    put(replica, spot(7, 1, x0=6000), rtp=45_000)
    assert resolve(tap(0.2, 0.3, rtp=0), replica).hit
    assert not resolve(tap(0.2, 0.3, rtp=45_000), replica).hit
    assert resolve(tap(0.45, 0.3, rtp=22_500), replica).reason == "interpolated"


def test_tap_on_what_the_viewer_saw_before_the_detection_arrived_hits_too(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1, x0=1000), rtp=0)
    put(replica, spot(7, 1, x0=1000), rtp=3000, measured=False)
    put(replica, spot(7, 1, x0=6000), rtp=3000)
    assert resolve(tap(0.7, 0.3, rtp=3000), replica).reason == "measured"
    assert resolve(tap(0.2, 0.3, rtp=3000), replica).reason == "predicted"


@pytest.mark.parametrize(
    ("epoch", "rtp", "reason"), [(2, 90_000, "unknown-epoch"), (1, 0, "too-old"), (1, 500_000, "too-new")]
)
def test_miss_says_why(replica: OverlayReplica, epoch: int, rtp: int, reason: str) -> None:
    put(replica, spot(7, 1), rtp=90_000)
    outcome = resolve(tap(epoch=epoch, rtp=rtp), replica)
    assert not outcome.hit and outcome.reason == reason
    assert outcome.result().reason == reason


def test_tap_beside_everything_misses(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1))
    assert resolve(tap(0.9, 0.9), replica).reason == "no-hotspot-there"


def test_small_targets_are_grown(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1, x0=5000, y0=5000, side=100))
    assert resolve(tap(0.505 + 0.029, 0.505), replica).hit
    assert not resolve(tap(0.505 + 0.05, 0.505), replica).hit


def test_named_hotspot_wins_over_what_else_is_under_the_finger(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1), spot(8, 2))
    assert resolve(tap(h=8), replica).card == card(2)
    assert resolve(tap(h=7), replica).card == card(1)
    assert resolve(tap(h=99), replica).hit


def test_tap_on_a_label_opens_its_product_however_far_from_the_box_it_lies(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1), spot(8, 2, x0=6000))
    assert resolve(tap(0.7, 0.3, h=7, pid=1), replica).card == card(1)
    assert resolve(tap(0.95, 0.95, h=7), replica).card == card(1)


def test_tap_opens_the_product_that_the_hotspot_bore_when_it_was_tapped(replica: OverlayReplica) -> None:
    put(replica, Spot(7, 1, 1, 0, 1000, 2000, 3000, 4000), rtp=3000, measured=False)
    put(replica, spot(7, 2), rtp=3000)  # the detection of the same frame came later, and with it a new match
    outcome = resolve(tap(rtp=3000, h=7, pid=1), replica)
    assert (outcome.card, outcome.state, outcome.reason) == (card(1), "similar", "predicted")
    assert resolve(tap(rtp=3000, h=7, pid=2), replica).card == card(2)
    assert resolve(tap(rtp=3000, h=7), replica).card == card(2)


def test_tap_on_a_hotspot_drawn_from_predictions_ahead_of_the_newest_sample_hits(
    replica: OverlayReplica,
) -> None:
    put(replica, spot(7, 1), rtp=0)
    for rtp in range(3000, 48_000, 3000):
        put(replica, spot(7, 1), rtp=rtp, measured=False)
    assert resolve(tap(rtp=60_000, h=7, pid=1), replica).card == card(1)
    assert resolve(tap(rtp=60_000), replica).card == card(1)


def test_hotspot_that_the_late_detection_does_not_have_is_hit_and_not_its_neighbour(
    replica: OverlayReplica,
) -> None:
    put(replica, spot(7, 1), rtp=3000, measured=False)
    put(replica, spot(8, 2), rtp=3000)
    assert resolve(tap(rtp=3000, h=7, pid=1), replica).card == card(1)


@pytest.mark.parametrize(("rtp", "epoch", "h"), [(9_000_000, 1, 8), (0, 9, 8), (0, 1, 99), (0, 1, 8)])
def test_product_named_where_history_knows_no_such_hotspot_is_opened_as_unsure(
    replica: OverlayReplica, rtp: int, epoch: int, h: int
) -> None:
    put(replica, spot(8, 2))
    outcome = resolve(tap(rtp=rtp, epoch=epoch, h=h, pid=1), replica)
    assert (outcome.hit, outcome.card, outcome.state, outcome.reason) == (True, card(1), "unsure", "page")
    assert outcome.spot is None


def test_hotspot_of_a_hidden_or_removed_product_opens_nothing_else(replica: OverlayReplica) -> None:
    put(replica, spot(9, 3), spot(8, 2))
    assert resolve(tap(h=9, pid=3), replica).reason == "hidden"
    assert resolve(tap(h=9), replica).reason == "hidden"
    assert resolve(tap(h=50, pid=3), replica).reason == "hidden"
    assert resolve(tap(h=50, pid=77), replica).reason == "unknown-product"


def test_smallest_box_under_the_finger_wins_over_a_grown_neighbour(replica: OverlayReplica) -> None:
    put(replica, spot(7, 1, side=4000), spot(8, 2, x0=1900, y0=2900, side=300), spot(9, 3, x0=2250, side=50))
    assert resolve(tap(0.2, 0.3), replica).card == card(2)


def test_known_product_wins_over_an_unknown_object(replica: OverlayReplica) -> None:
    put(replica, Spot(6, 0, 2, 0, 1900, 2900, 2100, 3100), spot(7, 1))
    assert resolve(tap(0.2, 0.3), replica).card == card(1)


def test_object_without_a_product_is_hit_as_unsure(replica: OverlayReplica) -> None:
    put(replica, Spot(6, 0, 2, 0, 1000, 2000, 3000, 4000))
    outcome = resolve(tap(), replica)
    assert outcome.hit and outcome.card is None and outcome.state == "unsure"


def test_hidden_product_is_missed_although_it_was_shown_then(replica: OverlayReplica) -> None:
    put(replica, spot(9, 3))
    assert resolve(tap(), replica).reason == "hidden"


def test_product_that_left_the_show_is_missed(replica: OverlayReplica) -> None:
    put(replica, spot(9, 77))
    assert resolve(tap(), replica).reason == "unknown-product"


def test_tap_in_the_product_list_needs_no_frame(replica: OverlayReplica) -> None:
    outcome = resolve(tap(epoch=99, pid=2), replica)
    assert outcome.hit and outcome.card == card(2) and outcome.spot is None
    assert resolve(tap(pid=40), replica).reason == "unknown-product"


# ---- the ledger of answers ---------------------------------------------------------------------------------

ANSWER = TapResult("b1f0", True, "exact", card(1))
LONG = "0123456789abcdef"


def test_repeated_id_gets_the_same_answer() -> None:
    ledger: TapLedger[str] = TapLedger()
    assert ledger.claim("v", "b1f0", "a", 0) is Claim.NEW
    assert ledger.settle("v", "b1f0", ANSWER) == ["a"]
    assert ledger.claim("v", "b1f0", "a", 1) == ANSWER


def test_everyone_who_asks_while_the_answer_is_worked_out_gets_it() -> None:
    ledger: TapLedger[str] = TapLedger()
    ledger.claim("v", LONG, "first-connection", 0)
    assert ledger.claim("v2", LONG, "second-connection", 1) is Claim.WAIT
    assert ledger.claim("v2", LONG, "second-connection", 1) is Claim.WAIT
    assert ledger.settle("v", LONG, ANSWER) == ["first-connection", "second-connection"]


def test_short_ids_belong_to_one_viewer_and_long_ones_to_the_tap() -> None:
    ledger: TapLedger[str] = TapLedger()
    ledger.claim("v", "b1f0", "a", 0)
    assert ledger.claim("w", "b1f0", "b", 0) is Claim.NEW
    ledger.claim("v", LONG, "a", 0)
    ledger.settle("v", LONG, ANSWER)
    assert ledger.claim("w", LONG, "b", 0) == ANSWER


def test_answers_are_forgotten_after_their_time_and_beyond_the_limit() -> None:
    ledger: TapLedger[str] = TapLedger(ttl_ns=10 * S, limit=3)
    ledger.claim("v", "old", "a", 0)
    ledger.settle("v", "old", ANSWER)
    assert ledger.claim("v", "old", "a", 10 * S) == ANSWER
    assert ledger.claim("v", "old", "a", 11 * S) is Claim.NEW
    for index in range(10):
        ledger.claim("v", f"tap-{index}", "a", 11 * S)
    assert len(ledger) == 3
    assert ledger.settle("v", "tap-0", ANSWER) == []
