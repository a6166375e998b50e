"""Trickle ICE fragments: `application/trickle-ice-sdpfrag` (RFC 8840) as WHIP and WHEP send them in PATCH."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from stream.errors import SdpError

MAX_FRAGMENT_BYTES = 16 * 1024
_CANDIDATE = re.compile(
    r"[A-Za-z0-9+/]{1,32} [1-9]\d{0,2} (?:udp|UDP|tcp|TCP) \d{1,10} \S{1,255} \d{1,5} typ [a-z]+(?: .*)?"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One usable remote candidate.

    Attributes:
        mid: media section it belongs to, or None when the fragment names none.
        line: candidate attribute's value, without ``candidate:``.
    """

    mid: str | None
    line: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """A parsed fragment.

    Attributes:
        ufrag: ICE user fragment it belongs to, or None.
        candidates: the usable ones, see `usable`.
        complete: end of candidates was announced.
    """

    ufrag: str | None
    candidates: tuple[Candidate, ...]
    complete: bool


def read_fragment(text: str) -> Fragment:
    """Parse a fragment.

    Raises:
        SdpError: oversize (413) or not made of SDP lines (400).
    """
    if len(text.encode("utf-8", "replace")) > MAX_FRAGMENT_BYTES:
        raise SdpError(
            f"trickle fragment: got more than {MAX_FRAGMENT_BYTES} bytes",
            code="trickle-too-large",
            http_status=413,
        )
    ufrag: str | None = None
    mid: str | None = None
    complete = False
    found: list[Candidate] = []
    lines = [line for line in (raw.strip() for raw in text.splitlines()) if line]
    if not lines:
        raise SdpError("trickle fragment: got an empty body, expected candidates", code="trickle-malformed")
    for line in lines:
        if len(line) < 2 or line[1] != "=" or not line[0].isalpha():
            raise SdpError(
                f"trickle fragment: got line {line[:60]!r}, expected '<letter>=<value>'",
                code="trickle-malformed",
            )
        name, _, value = line[2:].partition(":") if line.startswith("a=") else ("", "", "")
        if line.startswith("m="):
            mid = None
        elif name == "mid":
            mid = value
        elif name == "ice-ufrag":
            ufrag = value
        elif name == "end-of-candidates":
            complete = True
        elif name == "candidate":
            candidate = _read_candidate(value)
            if candidate is not None:
                found.append(Candidate(mid, candidate))
    return Fragment(ufrag, tuple(found), complete)


def _read_candidate(value: str) -> str | None:
    if not _CANDIDATE.fullmatch(value) or int(value.split(" ")[5]) > 65535:
        raise SdpError(
            f"trickle fragment: got candidate {value[:80]!r}, expected "
            "'<foundation> <component> udp <priority> <address> <port> typ <type>'",
            code="trickle-malformed",
        )
    return value if usable(value) else None


def usable(candidate: str) -> bool:
    """Whether a candidate (its value, without ``candidate:``) can be connected to: UDP, and an address.

    Host names (mDNS) are not resolved: a peer behind one reaches us first, and is known by then.
    """
    parts = candidate.split(" ")
    if len(parts) < 8 or parts[2].lower() != "udp":
        return False
    try:
        ipaddress.ip_address(parts[4])
    except ValueError:
        return False
    return True
