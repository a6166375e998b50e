from __future__ import annotations

import json

import pytest

from stream.errors import PortsExhausted, SdpError
from stream.whip import (
    FRAGMENT_TYPE,
    SDP_TYPE,
    Act,
    Action,
    Reply,
    Request,
    Resource,
    accepted,
    decide,
    done,
    entity_tag,
    refused,
)

ETAG = '"abc"'


def post(body: bytes = b"v=0\r\n", content_type: str | None = SDP_TYPE) -> Reply | Action:
    return decide(Resource.ENDPOINT, Request("POST", content_type, body))


def patch(
    if_match: str | None, body: bytes = b"a=mid:0\r\n", content_type: str = FRAGMENT_TYPE
) -> Reply | Action:
    return decide(Resource.SESSION, Request("PATCH", content_type, body, if_match), ETAG)


def status(reply: Reply | Action) -> int:
    assert isinstance(reply, Reply)
    return reply.status


def headers(reply: Reply | Action) -> dict[str, str]:
    assert isinstance(reply, Reply)
    return dict(reply.headers)


def test_offer_is_accepted_as_it_is() -> None:
    assert post(b"v=0\r\ns=\xc3\xa9\r\n") == Action(Act.ACCEPT, "v=0\r\ns=é\r\n")
    assert isinstance(post(content_type="Application/SDP; charset=utf-8"), Action)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/json", FRAGMENT_TYPE])
def test_offer_of_another_type_is_415_and_names_the_right_one(content_type: str | None) -> None:
    reply = post(content_type=content_type)
    assert status(reply) == 415
    assert headers(reply)["Accept-Post"] == SDP_TYPE


@pytest.mark.parametrize(
    ("body", "code"), [(b"", 400), (b" \r\n", 400), (b"\xff\xfe", 400), (b"v" * 65_537, 413)]
)
def test_unreadable_offers_are_refused(body: bytes, code: int) -> None:
    assert status(post(body)) == code


def test_answer_is_201_with_location_and_etag_and_no_ice_servers() -> None:
    reply = accepted("v=0\r\n", "/whip/show/xyz", ETAG)
    assert (reply.status, reply.body) == (201, "v=0\r\n")
    found = headers(reply)
    assert (found["Content-Type"], found["Location"], found["ETag"]) == (SDP_TYPE, "/whip/show/xyz", ETAG)
    assert "Link" not in found


def test_ice_servers_are_links() -> None:
    link = '<stun:stun.example.net>; rel="ice-server"'
    assert ("Link", link) in accepted("v=0", "/x", ETAG, (link,)).headers


@pytest.mark.parametrize(
    "reply", [accepted("v=0", "/x", ETAG), done(Act.CLOSE), refused(SdpError("no")), Reply(204)]
)
def test_browsers_may_read_every_reply(reply: Reply) -> None:
    found = headers(reply)
    assert found["Access-Control-Allow-Origin"] == "*"
    assert {"ETag", "Link", "Location"} <= set(found["Access-Control-Expose-Headers"].split(", "))


def test_options_names_what_can_be_posted_and_patched() -> None:
    endpoint = headers(decide(Resource.ENDPOINT, Request("OPTIONS")))
    assert endpoint["Accept-Post"] == SDP_TYPE
    assert endpoint["Access-Control-Allow-Methods"] == "OPTIONS, GET, POST"
    assert "Authorization" in endpoint["Access-Control-Allow-Headers"]
    assert "Link" not in endpoint
    session = headers(decide(Resource.SESSION, Request("OPTIONS"), ETAG))
    assert session["Accept-Patch"] == FRAGMENT_TYPE
    assert session["Access-Control-Allow-Methods"] == "OPTIONS, GET, PATCH, DELETE"


@pytest.mark.parametrize("resource", [Resource.ENDPOINT, Resource.SESSION])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_is_empty_success(resource: Resource, method: str) -> None:
    assert decide(resource, Request(method), ETAG) == Reply(204)


@pytest.mark.parametrize(
    ("resource", "method", "allow"),
    [
        (Resource.ENDPOINT, "DELETE", "OPTIONS, GET, HEAD, POST"),
        (Resource.ENDPOINT, "PATCH", "OPTIONS, GET, HEAD, POST"),
        (Resource.ENDPOINT, "PUT", "OPTIONS, GET, HEAD, POST"),
        (Resource.SESSION, "POST", "OPTIONS, GET, HEAD, PATCH, DELETE"),
        (Resource.SESSION, "PUT", "OPTIONS, GET, HEAD, PATCH, DELETE"),
    ],
)
def test_other_methods_are_405(resource: Resource, method: str, allow: str) -> None:
    reply = decide(resource, Request(method), ETAG)
    assert status(reply) == 405
    assert headers(reply)["Allow"] == allow


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "GET", "POST"])
def test_ended_sessions_are_404(method: str) -> None:
    assert status(decide(Resource.GONE, Request(method))) == 404


def test_preflight_of_an_ended_session_is_answered() -> None:
    assert status(decide(Resource.GONE, Request("OPTIONS"))) == 204


def test_delete_ends_and_ignores_the_etag() -> None:
    assert decide(Resource.SESSION, Request("DELETE", if_match='"stale"'), ETAG) == Action(Act.CLOSE)
    assert done(Act.CLOSE).status == 200


def test_trickle_with_the_etag_is_carried_out() -> None:
    assert patch(ETAG) == Action(Act.TRICKLE, "a=mid:0\r\n")
    assert patch(f'"other", {ETAG}') == Action(Act.TRICKLE, "a=mid:0\r\n")
    assert done(Act.TRICKLE).status == 204


def test_trickle_without_etag_is_428_and_with_a_stale_one_412() -> None:
    assert status(patch(None)) == 428
    assert status(patch('"stale"')) == 412


def test_any_etag_is_left_to_the_fragment() -> None:
    assert isinstance(patch("*"), Action)


def test_trickle_body_is_checked() -> None:
    assert status(patch(ETAG, content_type=SDP_TYPE)) == 415
    assert headers(patch(ETAG, content_type=SDP_TYPE))["Accept-Patch"] == FRAGMENT_TYPE
    assert status(patch(ETAG, b"")) == 400
    assert status(patch(ETAG, b"a" * 16_385)) == 413


def test_refusals_carry_status_code_message_and_retry() -> None:
    reply = refused(SdpError("got this", code="sdp-codec", http_status=422))
    assert reply.status == 422
    assert json.loads(reply.body) == {"code": "sdp-codec", "message": "got this"}
    assert "Retry-After" not in headers(reply)
    again = refused(PortsExhausted("full"))
    assert again.status == 503
    assert int(headers(again)["Retry-After"]) > 0
    assert headers(refused(SdpError("none", retryable=True, http_status=409)))["Retry-After"]


def test_entity_tag_is_strong_and_does_not_tell_the_whole_session_id() -> None:
    tag = entity_tag("0123456789abcdefghijkl")
    assert tag == '"0123456789abcdef"'
