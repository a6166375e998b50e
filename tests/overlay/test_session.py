from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from overlay.messages import ErrorMessage, Resume, TapResult, Want
from overlay.session import (
    _TABLE,
    Action,
    AskTap,
    Close,
    CloseCode,
    Rate,
    Reply,
    SessionLimits,
    State,
    Sync,
    TakeReport,
    TakeSeen,
    TakeWant,
    TokenBucket,
    ViewerSession,
)
from tests.overlay.builders import MS

S = 1_000 * MS
TAP: dict[str, Any] = {"t": "tap", "id": "b1f0", "x": 0.2, "y": 0.5, "epoch": 1, "rtp": 3}
REPORT: dict[str, Any] = {"t": "report", "frames": 10, "with_box": 9, "age_ms": [1.0, 2.0], "fps": 28.0}
SEEN: dict[str, Any] = {"t": "seen", "pids": [1]}
WANT: dict[str, Any] = {"t": "want", "predicted": False}
HELLO: dict[str, Any] = {"t": "hello", "v": 1}


def say(session: ViewerSession, message: dict[str, Any], at_ns: int = 0) -> list[Action]:
    return session.receive(json.dumps(message).encode(), at_ns)


def live(limits: SessionLimits | None = None) -> ViewerSession:
    session = ViewerSession(0, limits or SessionLimits())
    say(session, HELLO)
    session.synced()
    assert session.state is State.LIVE
    return session


def code(actions: list[Action]) -> str:
    (action,) = actions
    assert isinstance(action, Reply) and isinstance(action.message, ErrorMessage)
    return action.message.code


def test_hello_then_snapshot_then_live() -> None:
    session = ViewerSession(0)
    assert say(session, HELLO) == [Sync(None)]
    states = [session.state]
    session.synced()
    states.append(session.state)
    assert states == [State.SYNC, State.LIVE]


def test_hello_may_resume() -> None:
    assert say(ViewerSession(0), {**HELLO, "resume": {"log": "k3J9", "seq": 41}}) == [
        Sync(Resume("k3J9", 41))
    ]


def test_table_covers_every_state_and_message() -> None:
    states = [State.HELLO, State.SYNC, State.LIVE]
    kinds = {kind for _, kind in _TABLE}
    assert set(_TABLE) == set(itertools.product(states, kinds)) and len(kinds) == 5


def test_viewer_that_says_nothing_is_closed_with_4408() -> None:
    session = ViewerSession(0)
    assert session.tick(5 * S - 1) == []
    (action,) = session.tick(5 * S)
    assert isinstance(action, Close) and action.code == CloseCode.NO_HELLO
    assert session.tick(9 * S) == [] and say(session, HELLO) == []


def test_viewer_that_said_hello_is_not_closed_for_silence() -> None:
    assert live().tick(3600 * S) == []


def test_other_protocol_version_is_told_and_closed_with_4400() -> None:
    told, closed = say(ViewerSession(0), {"t": "hello", "v": 2})
    assert isinstance(told, Reply) and isinstance(told.message, ErrorMessage)
    assert "got protocol version 2, expected 1" in told.message.message
    assert isinstance(closed, Close) and closed.code == CloseCode.NOT_UNDERSTOOD


@pytest.mark.parametrize("message", [TAP, REPORT, SEEN, WANT, {"t": "nothing"}])
def test_anything_before_hello_closes_with_4400(message: dict[str, Any]) -> None:
    told, closed = say(ViewerSession(0), message)
    assert isinstance(told, Reply)
    assert isinstance(closed, Close) and closed.code == CloseCode.NOT_UNDERSTOOD


def test_second_hello_is_an_error_but_does_not_close() -> None:
    assert code(say(live(), HELLO)) == "hello-twice"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"t":"tap"}',
        b'{"t":"hello","v":1,"extra":1}',
        b"1" * 2000,
    ],
)
def test_garbage_is_answered_and_closes_only_after_five(garbage: bytes) -> None:
    session = live()
    for _ in range(4):
        assert code(session.receive(garbage, 0)) in ("message-invalid", "message-too-long")
    told, closed = session.receive(garbage, 0)
    assert isinstance(told, Reply)
    assert isinstance(closed, Close) and closed.code == CloseCode.NOT_UNDERSTOOD
    assert session.receive(garbage, 0) == []


@pytest.mark.parametrize(
    "change",
    [{"x": 1.1}, {"x": -0.1}, {"rtp": -1}, {"rtp": 2**32}, {"id": ""}, {"id": "a" * 65}, {"pid": 70_000}],
)
def test_tap_with_an_impossible_field_is_refused_by_name(change: dict[str, Any]) -> None:
    (action,) = say(live(), {**TAP, **change})
    assert isinstance(action, Reply) and isinstance(action.message, ErrorMessage)
    assert next(iter(change)) in action.message.message


def test_binary_messages_are_an_error() -> None:
    session = live()
    assert code(session.binary()) == "message-binary"
    session.close(CloseCode.BYE, "bye")
    assert session.binary() == []


def test_tap_while_waiting_for_the_snapshot_is_answered_not_ready() -> None:
    session = ViewerSession(0)
    say(session, HELLO)
    assert say(session, TAP) == [Reply(TapResult("b1f0", False, reason="not-ready"))]
    assert say(session, REPORT) == [] and say(session, SEEN) == []
    assert code(say(session, HELLO)) == "hello-twice"


def test_taps_are_limited_to_five_a_second_with_bursts_of_ten() -> None:
    session = live()
    asked = [say(session, TAP, 0) for _ in range(12)]
    assert all(isinstance(actions[0], AskTap) for actions in asked[:10])
    assert asked[10] == asked[11] == [Reply(TapResult("b1f0", False, reason="too-many-taps"))]
    assert isinstance(say(session, TAP, S // 5)[0], AskTap)
    assert isinstance(say(session, TAP, S // 5)[0], Reply)
    later = [say(session, TAP, 60 * S) for _ in range(11)]
    assert [isinstance(actions[0], AskTap) for actions in later] == [True] * 10 + [False]


def test_reports_and_impressions_beyond_their_limit_are_ignored() -> None:
    session = live()
    taken = [say(session, REPORT) for _ in range(7)]
    assert [len(actions) for actions in taken] == [1] * 5 + [0] * 2
    assert isinstance(taken[0][0], TakeReport)
    (action,) = say(session, SEEN, 10 * S)
    assert isinstance(action, TakeSeen) and action.seen.pids == (1,)


def test_what_a_viewer_wants_is_taken_before_and_after_its_snapshot() -> None:
    session = ViewerSession(0)
    say(session, HELLO)
    assert say(session, WANT) == [TakeWant(Want(predicted=False))]
    session.synced()
    assert say(session, {**WANT, "predicted": True}) == [TakeWant(Want(predicted=True))]
    assert code(say(session, {**WANT, "predicted": 1})) == "message-invalid"


def test_flood_is_closed_with_4429() -> None:
    session = live(SessionLimits(messages=Rate(20, 40)))
    actions = list(itertools.chain.from_iterable(say(session, SEEN) for _ in range(60)))
    assert actions[-1] == Close(CloseCode.TOO_MANY, "more than 40 messages at once or 20/s")
    assert session.state is State.CLOSING


def test_pings_count_as_messages() -> None:
    session = live(SessionLimits(messages=Rate(1, 3)))
    assert session.ping(0) == [] and session.ping(0) == []
    assert session.ping(0) == [Close(CloseCode.TOO_MANY, "too many pings")]
    assert session.ping(0) == []


def test_server_closes_once() -> None:
    session = live()
    assert session.close(CloseCode.DRAINING, "draining") == [Close(CloseCode.DRAINING, "draining")]
    assert session.close(CloseCode.SLOW, "slow") == []
    session.synced()
    assert session.state is State.CLOSING


def test_bucket_never_holds_more_than_its_burst_and_ignores_a_clock_that_stands() -> None:
    bucket = TokenBucket(Rate(1, 2), 0)
    assert [bucket.take(100 * S) for _ in range(3)] == [True, True, False]
    assert not bucket.take(50 * S)
    assert bucket.take(101 * S)
