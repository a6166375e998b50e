from __future__ import annotations

import random

import pytest

from stream.errors import SdpError
from stream.trickle import Candidate, read_fragment

HOST = "1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"


def test_fragment_of_the_rfc() -> None:
    text = (
        "a=group:BUNDLE 0 1\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        f"a=candidate:{HOST}\r\na=candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ host\r\n"
        "a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
        "a=end-of-candidates\r\n"
    )
    fragment = read_fragment(text)
    assert fragment.ufrag == "EsAw"
    assert fragment.complete
    assert fragment.candidates == (
        Candidate("0", HOST),
        Candidate("0", "3471623853 1 udp 2122194687 198.51.100.1 61765 typ host"),
    )


@pytest.mark.parametrize("host", ["abc.local", "example.net", "999.1.1.1"])
def test_host_names_are_left_out(host: str) -> None:
    assert read_fragment(f"a=candidate:1 1 udp 1 {host} 5000 typ host\r\n").candidates == ()


def test_fragment_without_mid_names_none() -> None:
    assert read_fragment(f"a=candidate:{HOST}\n").candidates == (Candidate(None, HOST),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\r\n\r\n",
        "hello",
        "<html>",
        "a=candidate:",
        "a=candidate:1 1 udp x 192.0.2.1 5000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 70000 typ host",
        "a=candidate:1 1 sctp 1 192.0.2.1 5000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 5000",
        '{"candidate": "..."}',
    ],
)
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(SdpError) as caught:
        read_fragment(text)
    assert (caught.value.http_status, caught.value.code) == (400, "trickle-malformed")


def test_oversize_is_refused() -> None:
    with pytest.raises(SdpError) as caught:
        read_fragment("a=mid:0\r\n" * 3000)
    assert caught.value.http_status == 413


def test_random_text_raises_nothing_else() -> None:
    rng = random.Random(5)
    alphabet = "a=:m candidate0159.udp\r\n\x00é"
    for _ in range(3000):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(80)))
        try:
            read_fragment(text)
        except SdpError:
            continue
