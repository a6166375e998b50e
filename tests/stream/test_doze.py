from __future__ import annotations

from stream.doze import KEEP_NS, LOOK_NS, MOST, Doze, Step

FRAME_NS = 33_333_333


def unwatched(doze: Doze[int], first: int, count: int, frame_ns: int = FRAME_NS) -> list[Step[int]]:
    return [
        doze.step(n, keyframe=False, wanted=False, now_ns=n * frame_ns) for n in range(first, first + count)
    ]


def awake() -> Doze[int]:
    doze: Doze[int] = Doze()
    assert doze.step(0, keyframe=True, wanted=True, now_ns=0) == Step()
    return doze


def test_watched_every_access_unit_is_decoded_by_itself() -> None:
    doze = awake()
    steps = [doze.step(n, keyframe=n % 30 == 0, wanted=True, now_ns=n * FRAME_NS) for n in range(1, 60)]
    assert steps == [Step()] * 59


def test_unwatched_nothing_is_decoded_and_a_keyframe_asked_for_every_two_seconds() -> None:
    doze = awake()
    steps = unwatched(doze, 1, 80)
    assert not any(step.now for step in steps)
    assert [n for n, step in enumerate(steps, 1) if step.ask] == [LOOK_NS // FRAME_NS + 1]


def test_a_keyframe_makes_what_was_kept_superfluous() -> None:
    doze = awake()
    unwatched(doze, 1, 50)
    assert doze.step(51, keyframe=True, wanted=False, now_ns=51 * FRAME_NS) == Step(skipped=50)
    assert doze.step(52, keyframe=False, wanted=True, now_ns=52 * FRAME_NS) == Step()


def test_watched_again_all_that_was_kept_comes_first_in_order() -> None:
    doze = awake()
    unwatched(doze, 1, 20)
    step = doze.step(21, keyframe=False, wanted=True, now_ns=21 * FRAME_NS)
    assert step == Step(tuple(range(1, 21)), skipped=20)
    assert doze.step(22, keyframe=False, wanted=True, now_ns=22 * FRAME_NS) == Step()


def test_a_publisher_without_keyframes_is_decoded_now_and_then() -> None:
    doze = awake()
    steps = unwatched(doze, 1, 200)
    decoded = [n for n, step in enumerate(steps, 1) if step.now]
    assert decoded == [MOST, 2 * MOST]
    assert steps[MOST - 1].first == tuple(range(1, MOST))
    slow = unwatched(awake(), 1, 30, frame_ns=200_000_000)
    assert [n for n, step in enumerate(slow, 1) if step.now] == [KEEP_NS // 200_000_000, 30]


def test_forgetting_says_how_many_there_were() -> None:
    doze = awake()
    unwatched(doze, 1, 7)
    assert (doze.forget(), doze.forget()) == (7, 0)
