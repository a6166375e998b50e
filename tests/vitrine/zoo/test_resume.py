from __future__ import annotations

import pytest

from vitrine.zoo.resume import MAX_BYTES, Part, Step, foreign, read_answer, request_headers

HERE = Part(100, '"one"')


def test_nothing_here_asks_for_everything() -> None:
    assert "Range" not in request_headers(Part(), hash_known=True)
    assert request_headers(Part(), hash_known=False)["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("part", "known", "wanted"),
    [
        (HERE, False, ("bytes=100-", '"one"')),
        (Part(100), True, ("bytes=100-", None)),
        (Part(100), False, (None, None)),
    ],
)
def test_a_part_asks_for_the_rest_where_a_mix_would_be_noticed(
    part: Part, known: bool, wanted: tuple[str | None, str | None]
) -> None:
    headers = request_headers(part, hash_known=known)
    assert (headers.get("Range"), headers.get("If-Range")) == wanted


@pytest.mark.parametrize(
    ("status", "headers", "step"),
    [
        (200, {"Content-Length": "500"}, Step.REPLACE),
        (200, {}, Step.REPLACE),
        (200, {"Content-Length": "-5"}, Step.REPLACE),
        (206, {"Content-Range": "bytes 100-499/500"}, Step.APPEND),
        (206, {"content-range": "bytes 100-499/*"}, Step.APPEND),
        (206, {"Content-Range": "bytes 0-499/500"}, Step.START_AGAIN),
        (206, {"Content-Range": "items 1-2/3"}, Step.START_AGAIN),
        (206, {}, Step.START_AGAIN),
        (416, {"Content-Range": "bytes */100"}, Step.COMPLETE),
        (416, {"Content-Range": "bytes */99"}, Step.START_AGAIN),
        (416, {}, Step.START_AGAIN),
        (503, {}, Step.RETRY),
        (404, {}, Step.FAIL),
        (304, {}, Step.FAIL),
        (200, {"Content-Length": str(MAX_BYTES + 1)}, Step.FAIL),
    ],
)
def test_an_answer_says_what_to_do(status: int, headers: dict[str, str], step: Step) -> None:
    assert read_answer(status, headers, HERE, 0).step is step


def test_a_size_that_is_known_is_insisted_on() -> None:
    assert read_answer(200, {"Content-Length": "500"}, Part(), 500).step is Step.REPLACE
    reading = read_answer(206, {"Content-Range": "bytes 100-599/600"}, HERE, 500)
    assert reading.step is Step.FAIL and reading.why == "the server has 600 bytes, expected 500"
    assert read_answer(200, {}, Part(), 500).total == 500


def test_the_validator_of_the_first_answer_holds_for_the_rest() -> None:
    assert read_answer(206, {"Content-Range": "bytes 100-499/500"}, HERE, 0).validator == '"one"'
    assert read_answer(200, {"ETag": '"two"', "Last-Modified": "then"}, HERE, 0).validator == '"two"'
    assert read_answer(200, {"ETag": 'W/"two"', "Last-Modified": "then"}, HERE, 0).validator == "then"


def test_a_model_is_not_foreign() -> None:
    assert foreign(b"\x08\x07\x12\x07pytorch") is None
    assert foreign(b"") == "an empty file"
    assert foreign(b"  \n<HTML>") == "a web page"
