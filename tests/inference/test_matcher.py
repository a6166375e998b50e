from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.evidence import OneSide
from inference.matcher import Limits, Matcher, MatcherSettings
from inference.types import UNMATCHED, Box, MatchState, Track
from inference.views import Look

MS = 1_000_000


def track(
    track_id: int, x: float = 0.4, side: float = 0.2, label: str = "product", measured_ms: int = 0
) -> Track:
    return Track(
        track_id, Box(x, 0.4, x + side, 0.4 + side), (0, 0, 0, 0), label, 0.9, measured_ms * MS, True
    )


def votes(matcher: Matcher, track_id: int, *views: dict[str, float]) -> None:
    for view in views:
        ranked = sorted(view.items(), key=lambda pair: -pair[1])
        matcher.vote(track_id, ranked, 0)


CLEAR = {"mug": 0.8, "jar": 0.5, "pen": 0.3}
CLOSE = {"mug": 0.7, "jar": 0.69, "pen": 0.3}
NOTHING = {"mug": 0.3, "jar": 0.28, "pen": 0.2}


def test_before_any_view_nothing_is_claimed() -> None:
    assert Matcher().match(1) == UNMATCHED


def test_a_clear_product_is_exact_with_a_reason() -> None:
    matcher = Matcher()
    votes(matcher, 1, CLEAR, CLEAR, CLEAR)
    match = matcher.match(1)
    assert (match.product_id, match.state, match.views) == ("mug", MatchState.EXACT, 3)
    assert match.score == pytest.approx(0.8) and match.margin == pytest.approx(0.3)
    assert match.reason == "seen from 3 views, 0.30 ahead of the next"


def test_one_ordinary_view_is_too_few() -> None:
    matcher = Matcher()
    votes(matcher, 1, {"mug": 0.65, "jar": 0.5})
    match = matcher.match(1)
    assert match.state is MatchState.UNSURE and match.product_id == ""
    assert match.reason == "seen from 1 view, too few to tell"


def test_each_pair_of_products_has_the_margin_that_the_catalogue_gives_it() -> None:
    settings = MatcherSettings(margin=0.1, relative=True)
    near = {"mug": 0.7, "jar": 0.64}

    def state(distance: float | None, relative: bool = True) -> MatchState:
        matcher = Matcher(replace(settings, relative=relative))
        apart = {} if distance is None else {("jar", "mug"): distance}
        for _ in range(3):
            matcher.vote(1, near.items(), 0, apart=apart)
        return matcher.match(1).state

    assert state(None) is state(1.2) is MatchState.SIMILAR
    assert state(0.5) is MatchState.EXACT, "look-alikes: half of the lead says as much"
    assert state(0.5, relative=False) is MatchState.SIMILAR
    assert state(0.1) is MatchState.SIMILAR, "the same picture: no lead says anything"


def side(number: int) -> Look:
    """A look at one side of an object."""
    return Look(vector=np.eye(8, dtype=np.float32)[number])


STRICT = MatcherSettings(exact=0.6, similar=0.45, margin=0.1, one_side=OneSide(0.15, 0.1))


def seen_from(matcher: Matcher, *numbers: int, score: float = 0.7, other: float = 0.5) -> MatchState:
    for number in numbers:
        matcher.vote(1, {"mug": score, "jar": other}.items(), 0, side(number))
    return matcher.match(1).state


def test_a_track_of_one_side_needs_a_higher_score_than_one_of_several() -> None:
    assert seen_from(Matcher(STRICT), 1, 1, 1, 1) is MatchState.SIMILAR
    assert seen_from(Matcher(STRICT), 1, 2, 3, 4) is MatchState.EXACT
    assert seen_from(Matcher(STRICT), 1, 1, 1, 1, score=0.8) is MatchState.EXACT
    assert seen_from(Matcher(replace(STRICT, one_side=OneSide())), 1, 1, 1, 1) is MatchState.EXACT


def test_a_track_of_one_side_needs_a_larger_lead() -> None:
    assert seen_from(Matcher(STRICT), 1, 1, 1, score=0.8, other=0.65) is MatchState.SIMILAR
    assert seen_from(Matcher(STRICT), 1, 2, 3, score=0.8, other=0.65) is MatchState.EXACT


def test_turning_a_product_is_what_makes_it_exact_and_the_reason_says_so() -> None:
    matcher = Matcher(STRICT)
    assert seen_from(matcher, 1, 1, 1) is MatchState.SIMILAR
    assert matcher.match(1).reason.endswith("(0.70, sure from 0.75), from one side only")
    assert seen_from(matcher, 2, 3, 4) is MatchState.EXACT
    assert "one side" not in matcher.match(1).reason


def test_the_reason_tells_of_a_look_alike() -> None:
    matcher = Matcher(MatcherSettings(relative=True))
    for _ in range(3):
        matcher.vote(1, CLEAR.items(), 0, apart={("mug", "jar"): 0.5, ("mug", "pen"): 1.2})
    assert matcher.match(1).reason == "seen from 3 views, 0.30 ahead of the next, a look-alike"


def test_lookalikes_are_similar_not_exact() -> None:
    matcher = Matcher()
    votes(matcher, 1, CLOSE, CLOSE, CLOSE)
    assert matcher.match(1).state is MatchState.SIMILAR


def test_what_is_not_in_the_catalogue_is_unsure() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[NOTHING] * 10)
    match = matcher.match(1)
    assert match.state is MatchState.UNSURE and "needs 0.45" in match.reason


def test_no_candidates_at_all() -> None:
    matcher = Matcher()
    votes(matcher, 1, {}, {})
    assert matcher.match(1).state is MatchState.UNSURE
    assert matcher.match(1).reason == "nothing to compare with"


def test_pooling_turns_noisy_views_into_the_right_product() -> None:
    rng, matcher = np.random.default_rng(5), Matcher(MatcherSettings(memory=20))
    for _ in range(20):
        noise = rng.normal(0, 0.08, 3)
        votes(matcher, 1, {"mug": 0.7 + noise[0], "jar": 0.58 + noise[1], "pen": 0.4 + noise[2]})
    assert matcher.match(1).product_id == "mug"
    assert matcher.match(1).state is MatchState.EXACT


def test_labels_do_not_flicker_around_a_threshold() -> None:
    rng, matcher, states = np.random.default_rng(2), Matcher(), []
    for _ in range(200):
        score = 0.6 + rng.normal(0, 0.05)
        votes(matcher, 1, {"mug": score, "jar": 0.4})
        states.append(matcher.match(1).state)
    changes = sum(a is not b for a, b in zip(states[20:], states[21:], strict=False))
    assert changes <= 4


def test_a_challenger_needs_a_clear_lead() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[{"mug": 0.75, "jar": 0.6}] * 10)
    labels = []
    for i in range(40):
        lead = 0.02 if i % 2 else -0.02
        votes(matcher, 1, {"mug": 0.7, "jar": 0.7 + lead})
        labels.append(matcher.match(1).product_id)
    assert set(labels) == {"mug"}
    votes(matcher, 1, *[{"mug": 0.5, "jar": 0.8}] * 20)
    assert matcher.match(1).product_id == "jar"


def test_a_product_missing_from_a_view_counts_as_worse_than_the_worst_seen() -> None:
    matcher = Matcher()
    votes(matcher, 1, {"mug": 0.9, "jar": 0.8}, {"pen": 0.5, "jar": 0.4})
    assert matcher.match(1).score < 0.9
    votes(matcher, 1, *[{"pen": 0.9, "jar": 0.4}] * 30)
    assert matcher.match(1).product_id == "pen"


def test_only_the_shows_products_are_claimed() -> None:
    matcher = Matcher()
    matcher.restrict(["jar"])
    votes(matcher, 1, *[CLEAR] * 4)
    assert matcher.match(1).product_id == "jar"
    assert matcher.allowed == frozenset({"jar"})


def test_a_product_taken_off_the_list_is_withdrawn_at_once() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 4)
    matcher.restrict(["pen"])
    assert matcher.match(1).product_id != "mug"
    matcher.restrict(None)
    assert matcher.match(1).product_id == "mug"


def test_one_product_on_two_tracks_stays_exact_on_the_better_one() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[{"mug": 0.8, "jar": 0.3}] * 3)
    votes(matcher, 2, *[{"mug": 0.9, "jar": 0.3}] * 3)
    assert matcher.match(2).state is MatchState.EXACT
    other = matcher.match(1)
    assert other.state is MatchState.SIMILAR and "better" in other.reason
    matcher.forget_all_but([1])
    assert matcher.match(1).state is MatchState.EXACT


def test_a_continued_track_keeps_its_evidence() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 4)
    votes(matcher, 9, CLEAR)
    matcher.rename(9, 1)
    assert matcher.match(1).views == 5 and matcher.match(9) == UNMATCHED
    votes(matcher, 8, CLEAR, CLEAR)
    matcher.rename(8, 7)
    assert matcher.match(7).views == 2
    matcher.rename(55, 7)
    assert matcher.match(7).views == 2


def test_new_tracks_come_first_then_large_ones() -> None:
    matcher = Matcher()
    assert matcher.wanted([track(1), track(2, side=0.3), track(3, side=0.1)], 0, 2) == [2, 1]
    assert matcher.wanted([track(1), track(2), track(3, side=0.1)], 0, 5) == [3]


def test_what_may_be_no_object_comes_last() -> None:
    matcher, maybe = Matcher(), replace(track(1, side=0.3), confirmed=False)
    assert matcher.wanted([maybe, track(2, side=0.1)], 0, 1) == [2]
    assert matcher.wanted([maybe, track(2, side=0.1)], 0, 1) == [1]


def test_asking_again_waits_longer_each_time() -> None:
    matcher, asked = Matcher(), []
    for ms in range(0, 6000, 33):
        if matcher.wanted([track(1, measured_ms=ms)], ms * MS, 1):
            asked.append(ms)
            votes(matcher, 1, CLEAR)
    gaps = np.diff(asked)
    assert gaps[0] < 200 and gaps[-1] > 800
    assert (np.diff(gaps) >= -33).all()


def test_unsure_tracks_are_asked_more_often_than_sure_ones() -> None:
    counts = []
    for view in (CLEAR, NOTHING):
        matcher, count = Matcher(), 0
        for ms in range(0, 20_000, 33):
            if matcher.wanted([track(1, measured_ms=ms)], ms * MS, 1):
                count += 1
                votes(matcher, 1, view)
        counts.append(count)
    assert counts[1] > 1.5 * counts[0]


def test_people_tiny_boxes_and_predicted_boxes_are_not_embedded() -> None:
    matcher = Matcher()
    tracks = [track(1, label="person"), track(2, side=0.01), track(3, measured_ms=-33)]
    assert matcher.wanted(tracks, 0, 5) == []


def test_a_track_that_slipped_to_its_neighbour_is_renamed_within_two_views() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 12)
    neighbour = {"jar": 0.8, "mug": 0.5, "pen": 0.3}
    votes(matcher, 1, neighbour)
    assert matcher.match(1).product_id == "mug"
    votes(matcher, 1, neighbour)
    match = matcher.match(1)
    assert (match.product_id, match.state, match.views) == ("jar", MatchState.EXACT, 2)


def test_one_blurred_view_does_not_shake_a_claim() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 12)
    for _ in range(3):
        votes(matcher, 1, {"jar": 0.6, "mug": 0.5}, CLEAR)
        assert matcher.match(1).product_id == "mug"


def test_a_claim_is_dropped_when_the_object_is_like_nothing_in_the_catalogue() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 12)
    stranger = {"mug": 0.1, "jar": 0.08}
    votes(matcher, 1, stranger, stranger)
    assert matcher.match(1).state is MatchState.UNSURE


def test_a_doubted_claim_is_looked_at_again_soon() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 12)
    for ms in range(0, 10_000, 33):
        matcher.wanted([track(1, measured_ms=ms)], ms * MS, 1)
    votes(matcher, 1, {"jar": 0.8, "mug": 0.5})
    asked = [ms for ms in range(10_000, 12_000, 33) if matcher.wanted([track(1, measured_ms=ms)], ms * MS, 1)]
    assert asked[1] - asked[0] < 200


def test_copies_of_one_product_are_shown_as_similar_a_mere_resemblance_is_not() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[{"mug": 0.85, "jar": 0.4}] * 3)
    votes(matcher, 2, *[{"mug": 0.80, "jar": 0.4}] * 3)
    votes(matcher, 3, *[{"mug": 0.65, "jar": 0.4}] * 3)
    assert matcher.match(1).state is MatchState.EXACT
    assert (matcher.match(2).state, matcher.match(2).product_id) == (MatchState.SIMILAR, "mug")
    third = matcher.match(3)
    assert (third.state, third.product_id) == (MatchState.UNSURE, "")
    assert "clearly this product" in third.reason


# ---- which crops -------------------------------------------------------------------------------------------


def test_what_is_hidden_waits_for_a_better_moment_but_not_for_ever() -> None:
    matcher, asked = Matcher(), []
    for ms in range(0, 3000, 33):
        front = Track(
            2, Box(0.45, 0.3, 0.9, 0.9), (0, 0, 0, 0), "product", 0.9, ms * MS, True
        )  # hides most of the first
        chosen = matcher.wanted([track(1, measured_ms=ms), front], ms * MS, 2)
        for track_id in chosen:
            votes(matcher, track_id, CLEAR)
        asked += [ms for track_id in chosen if track_id == 1]
    assert asked[0] == 0  # nothing was known of it
    assert 400 < asked[1] < 1000  # an open one is looked at again after 120 ms
    assert len(asked) > 2


def test_of_two_new_objects_the_one_in_sight_comes_first() -> None:
    matcher = Matcher()
    cut_off = Track(1, Box(0.0, 0.4, 0.25, 0.65), (0, 0, 0, 0), "product", 0.9, 0, True)
    assert matcher.wanted([cut_off, track(2, side=0.22)], 0, 1) == [2]


def test_a_blurred_crop_is_asked_for_again_soon_and_taken_when_nothing_better_comes() -> None:
    matcher = Matcher()
    matcher.wanted([track(1)], 0, 1)
    assert matcher.least_sharp(1) == 0.0  # the first is taken as it is
    matcher.vote(1, CLEAR.items(), 0, Look(sharpness=2.0))
    assert matcher.least_sharp(1) == pytest.approx(1.0)
    for number in range(matcher.settings.patience):
        assert matcher.least_sharp(1) > 0, number
        matcher.blurred(1)
    assert matcher.least_sharp(1) == 0.0
    matcher.vote(1, CLEAR.items(), 0, Look(sharpness=0.2))
    assert matcher.least_sharp(1) == pytest.approx(1.0)


def test_a_blurred_view_does_not_shake_what_sharp_ones_said() -> None:
    matcher = Matcher()
    for _ in range(3):
        matcher.vote(1, CLEAR.items(), 0, Look(sharpness=2.0))
    before = matcher.match(1).score
    matcher.vote(1, {"mug": 0.5, "jar": 0.48}.items(), 0, Look(sharpness=0.2))
    assert before - matcher.match(1).score < 0.02


# ---- what is expected --------------------------------------------------------------------------------------


def test_among_look_alikes_the_pinned_one_is_the_likely_one() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLOSE] * 3)
    matcher.pin({"jar"})
    assert matcher.match(1).product_id == "jar"
    votes(matcher, 1, *[CLOSE] * 3)
    assert matcher.match(1).product_id == "jar"
    matcher.pin(())
    votes(matcher, 1, *[CLEAR] * 10)
    assert matcher.match(1).product_id == "mug"


def test_a_pin_makes_nothing_of_what_does_not_look_like_it() -> None:
    matcher = Matcher()
    matcher.pin({"mug"})
    votes(matcher, 1, *[NOTHING] * 5)
    votes(matcher, 2, *[{"jar": 0.8, "mug": 0.6}] * 5)
    assert matcher.match(1).state is MatchState.UNSURE
    assert matcher.match(2).product_id == "jar"


def test_a_class_has_thresholds_of_its_own() -> None:
    settings = MatcherSettings(classes={"bottle": Limits(0.85, 0.7, 0.05)})
    matcher = Matcher(settings)
    matcher.wanted([track(1), track(2, label="bottle")], 0, 2)
    votes(matcher, 1, *[CLEAR] * 3)
    votes(matcher, 2, *[{"vase": 0.8, "jug": 0.5}] * 3)
    assert matcher.match(1).state is MatchState.EXACT
    assert matcher.match(2).state is MatchState.SIMILAR


# ---- the host's word ---------------------------------------------------------------------------------------


def test_what_the_host_confirms_is_so_at_once_and_against_the_odds() -> None:
    matcher = Matcher()
    votes(matcher, 1, {"mug": 0.5, "jar": 0.55})
    matcher.confirm(1, "mug")
    match = matcher.match(1)
    assert (match.product_id, match.state) == ("mug", MatchState.EXACT)
    assert match.reason == "the host said so, seen from 1 view"


def test_what_the_host_vetoes_is_not_claimed_of_that_object_again() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 2)
    matcher.veto(1, "mug")
    assert matcher.match(1).product_id != "mug"
    votes(matcher, 1, *[{"mug": 0.9, "jar": 0.2}] * 6)
    match = matcher.match(1)
    assert (match.product_id, match.state) == ("", MatchState.UNSURE)
    votes(matcher, 2, *[CLEAR] * 4)
    assert matcher.match(2).product_id == "mug"
    matcher.confirm(1, "mug")
    assert matcher.match(1).product_id == "mug"


def test_a_veto_withdraws_what_the_host_had_confirmed() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 4)
    matcher.confirm(1, "jar")
    matcher.veto(1, "jar")
    assert matcher.match(1).product_id == "mug"


def test_the_hosts_word_is_void_when_the_track_has_slipped_to_another_object() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 4)
    matcher.confirm(1, "mug")
    votes(matcher, 1, *[{"jar": 0.9, "mug": 0.2}] * 3)
    assert matcher.match(1).product_id == "jar"


def test_a_continued_track_keeps_the_hosts_word() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 4)
    votes(matcher, 9, CLEAR)
    matcher.veto(9, "mug")
    matcher.rename(9, 1)
    assert matcher.match(1).product_id != "mug"


def test_the_best_looks_at_a_track_are_kept_for_the_hosts_word() -> None:
    matcher = Matcher()
    assert matcher.looks(1) == []
    for number in range(3):
        vector = np.eye(3, dtype=np.float32)[number]
        matcher.vote(1, CLEAR.items(), 0, Look(1.0 + number, 1.0, vector))
    assert [look.sharpness for look in matcher.looks(1, 2)] == [3.0, 2.0]


def test_the_next_product_is_named() -> None:
    matcher = Matcher()
    votes(matcher, 1, *[CLEAR] * 3)
    assert matcher.match(1).rival == "jar"
