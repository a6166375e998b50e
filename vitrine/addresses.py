"""Addresses as the configuration has them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LOOPBACK_NAMES = {"localhost", "ip6-localhost"}


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in _LOOPBACK_NAMES


def web_url(name: str, value: str, example: str) -> None:
    """Refuse what is no http or https address.

    Raises:
        ValueError: says what was got and expected.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name}: got {value!r}, expected an http or https address such as {example}")


def playlist_url(name: str, value: str) -> None:
    """Refuse what viewers' pages cannot fetch: expected is an http or https address, or a path of this site.

    Raises:
        ValueError: says what was got and expected.
    """
    if value.startswith("/") and not value.startswith("//"):
        return
    web_url(name, value, "https://cdn.example/show/index.m3u8, or a path of this site such as /hls/show.m3u8")
    if urlsplit(value).username is not None:
        raise ValueError(f"{name}: got an address with a user name, expected none: every viewer is told it")
    if re.search(r"[\s;,'\"]", urlsplit(value).netloc):
        raise ValueError(f"{name}: got {value!r}, expected a host name as it stands in an address bar")


def origin_of(url: str) -> str:
    """Scheme, host and port of an address (RFC 6454); empty for a path of this site."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
