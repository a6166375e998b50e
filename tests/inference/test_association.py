from __future__ import annotations

import numpy as np

from inference.association import Labels, assign, no_doubles, pair_costs

A = np.array([[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.6, 0.6]], np.float32)
SAME = np.array([1, 1])


def test_a_box_on_itself_costs_nothing() -> None:
    costs = pair_costs(A, SAME, A, SAME, buffer=0.2)
    np.testing.assert_allclose(np.diag(costs), 0, atol=1e-6)
    assert costs[0, 1] == 1


def test_another_label_costs_extra_and_a_lonely_label_forbids() -> None:
    labels = Labels(alone=frozenset({"person"}))
    mine = np.array([labels.code("cup"), labels.code("person")])
    theirs = labels.codes(("cup", "vase"), np.array([1, 0]))
    costs = pair_costs(A, mine, A, theirs, buffer=0.0)
    assert 0.2 < costs[0, 0] < 0.3
    assert assign(costs, 0.9) == [(0, 0)]


def test_buffers_let_fast_boxes_meet() -> None:
    ahead = A + np.array([0.12, 0, 0.12, 0], np.float32)
    plain = pair_costs(A, SAME, ahead, SAME, buffer=0.0)
    wide = pair_costs(A, SAME, ahead, SAME, buffer=0.5)
    assert plain[0, 0] == 1 and wide[0, 0] < 0.9


def test_the_cheapest_whole_is_found_not_the_greedy_one() -> None:
    costs = np.array([[0.1, 0.2], [0.15, 0.9]], np.float32)
    assert assign(costs, 1.0) == [(0, 1), (1, 0)]


def test_dear_pairs_are_left_out() -> None:
    costs = np.array([[0.1, 5.0], [5.0, 0.95]], np.float32)
    assert assign(costs, 0.9) == [(0, 0)]
    assert assign(np.zeros((0, 3), np.float32), 1.0) == []


def test_doubles_of_what_is_known_and_of_each_other_are_left_out() -> None:
    found = np.concatenate((A, A[1:] + 0.005, A + 0.3))
    assert no_doubles([0, 1, 2, 3], found, A[:1]) == [1, 3]
    assert no_doubles([], found, A) == []
