"""Whether everything the engine needs is there: ``vitrine check``. Blocking."""

from __future__ import annotations

import socket
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from inference.describe import describe_model
from inference.embedded import DETECTOR, EMBEDDER, embedded_model
from stream.errors import EngineError
from stream.packets import is_playlist
from vitrine.config import Config
from vitrine.keys import load_keys
from vitrine.recognition import detector_settings, plain_settings
from vitrine.settings import EVERY_STREAM
from vitrine.shared_index import check_server
from vitrine.tls import context_for

TIMEOUT_S: Final = 3.0
ENOUGH_UDP_PORTS: Final = 10


class Verdict(StrEnum):
    """How one check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: what was looked at.
        verdict: a warning does not keep the engine from starting.
        words: what was found, and what to do.
    """

    name: str
    verdict: Verdict
    words: str


def run_checks(config: Config) -> Iterator[Check]:
    """All checks, one by one; a check that raises an `EngineError` has failed with its message."""
    yield _guard("data folder", lambda: _data_dir(config))
    yield _guard("keys", lambda: _keys(config))
    yield _guard("port", lambda: _port(config))
    yield _guard("certificate", lambda: _certificate(config))
    yield _guard("media ports", lambda: _udp_ports(config))
    yield _guard("detector", lambda: _model(config, "detector"))
    yield _guard("embedder", lambda: _model(config, "embedder"))
    yield _guard("bus", lambda: _bus(config))
    yield _guard("catalogue", lambda: _feed(config))
    yield _guard("product index", lambda: _index(config))
    yield _guard("playlists", lambda: _playlists(config))
    yield _guard("exposure", lambda: _exposure(config))


def _guard(name: str, check: Callable[[], tuple[Verdict, str]]) -> Check:
    try:
        verdict, words = check()
    except EngineError as error:
        return Check(name, Verdict.FAILED, str(error))
    except OSError as error:
        return Check(name, Verdict.FAILED, f"{error.strerror or error}")
    return Check(name, verdict, words)


def _data_dir(config: Config) -> tuple[Verdict, str]:
    folder = config.server.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".check-"):
            pass
    except OSError as error:
        words = f"{folder}: cannot be written ({error.strerror}); set server.data_dir to another folder"
        return Verdict.FAILED, words
    return Verdict.OK, str(folder)


def _keys(config: Config) -> tuple[Verdict, str]:
    keys = load_keys(config.auth, config.server.data_dir)
    return Verdict.OK, f"in {config.server.data_dir / 'keys.json'}" if keys.generated else "configured"


def _port(config: Config) -> tuple[Verdict, str]:
    host, port = config.server.host, config.server.port
    if port == 0:
        return Verdict.OK, "any free one"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return Verdict.FAILED, f"{host}: no such address; set server.host to one of this machine"
    family, kind, proto, _, address = found[0]
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            words = f"{host}:{port}: {error.strerror}; stop the program that uses it, or set server.port"
            return Verdict.FAILED, words
    return Verdict.OK, f"{host}:{port} is free"


def _certificate(config: Config) -> tuple[Verdict, str]:
    context, made = context_for(config.server)
    if context is None:
        return Verdict.OK, "none: plain http"
    if made is None:
        return Verdict.OK, str(config.server.cert)
    return Verdict.OK, f"self-signed for {', '.join(made.names)}; browsers will warn"


def _udp_ports(config: Config) -> tuple[Verdict, str]:
    wanted = config.rtc.port_range()
    if wanted is None:
        return Verdict.OK, "chosen by the system; set rtc.udp_ports behind a firewall"
    low, high = wanted
    free = sum(_udp_free(port) for port in range(low, min(high, low + 999) + 1))
    if not free:
        return Verdict.FAILED, f"{low}-{high}: none is free; choose another range"
    words = f"{low}-{high}: {free} free, one per publisher or viewer"
    return (Verdict.OK if free >= ENOUGH_UDP_PORTS else Verdict.WARNING), words


def _udp_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _model(config: Config, which: str) -> tuple[Verdict, str]:
    wanted = config.inference
    own, embedded = (wanted.detector, DETECTOR) if which == "detector" else (wanted.embedder, EMBEDDER)
    path = own or embedded_model(embedded)
    facts = describe_model(path, rungs=wanted.ladder() or None, settings=detector_settings(wanted))
    if facts["kind"] != which:
        return Verdict.FAILED, f"{path}: got {facts['kind']}, expected {which}; set inference.{which}"
    asked = wanted.provider not in ("auto", facts["provider"])
    words = f"{path.name} on {facts['provider']}"
    if which == "detector":
        words += f", {facts['family']}, " + ", ".join(_rung_words(facts["rungs"]))
        for other, rungs in wanted.others().items():
            its = describe_model(other, rungs=rungs or None, settings=plain_settings(wanted))
            words += f"; {other.name}, {its['family']}, " + ", ".join(_rung_words(its["rungs"]))
    if asked:
        return Verdict.WARNING, f"{words}; {wanted.provider} was asked for and does not work here"
    return Verdict.OK, words


def _rung_words(rungs: object) -> Iterator[str]:
    assert isinstance(rungs, list)
    for rung in rungs:
        yield f"{rung['width']}x{rung['height']} in {rung['warm_ms']} ms"


def _bus(config: Config) -> tuple[Verdict, str]:
    url = config.bus.url.reveal()
    if url == "memory":
        return Verdict.OK, "in memory: one process"
    parts = urlsplit(url)
    if parts.scheme == "redis+sentinel":  # a sentinel answers as a server does; the first one will do
        parts = urlsplit(f"redis://{parts.netloc.rpartition('@')[2].split(',')[0]}")
    where = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
    try:
        with _connect(parts) as link:
            if parts.scheme == "rediss":
                return Verdict.OK, f"{where} is reachable"
            link.sendall(b"PING\r\n")
            answer = link.recv(64)
    except OSError as error:
        return Verdict.FAILED, f"redis at {where}: {error.strerror or error}; start it or set bus.url"
    if not answer.startswith((b"+PONG", b"-NOAUTH")):
        return Verdict.FAILED, f"{where}: answers, but not as redis does; set bus.url"
    return Verdict.OK, f"redis at {where} answers"


def _connect(parts: SplitResult) -> socket.socket:
    if parts.scheme != "unix":
        return socket.create_connection((parts.hostname or "", parts.port or 6379), TIMEOUT_S)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(TIMEOUT_S)
    try:
        link.connect(parts.path)
    except OSError:
        link.close()
        raise
    return link


def _index(config: Config) -> tuple[Verdict, str]:
    server = config.catalog.index_server
    if not server:
        return Verdict.OK, "in the data folder"
    return Verdict.OK, f"{check_server(server)} answers"


def _feed(config: Config) -> tuple[Verdict, str]:
    feed = config.catalog.feed
    if not feed:
        return Verdict.OK, "no feed configured; products come from 'vitrine catalog import'"
    if urlsplit(feed).scheme in ("http", "https"):
        return Verdict.OK, f"{feed}, read at start"
    if not Path(feed).is_file():
        return Verdict.FAILED, f"{feed}: no such file; set catalog.feed"
    return Verdict.OK, feed


def _playlists(config: Config) -> tuple[Verdict, str]:
    if not config.playlists:
        return Verdict.OK, "none: viewers watch WHEP"
    for stream in config.playlists:
        source = config.sources[stream].reveal() if stream in config.sources else ""
        if stream != EVERY_STREAM and not is_playlist(source):
            words = (
                f"{stream}: viewers watch a playlist but its source is none: hotspots do not fit its frames"
            )
            return Verdict.WARNING, f"{words}. Name the playlist in [sources] too"
    plain = [url for url in config.playlists.values() if url.startswith("http:")]
    if plain and not config.loopback:
        return Verdict.WARNING, f"{plain[0]}: pages served by https cannot play it; give its https address"
    for stream in config.playlists:
        address = config.playlist_of(stream)
        if stream != EVERY_STREAM and "://" in address:
            _fetch_playlist(address)
    return Verdict.OK, ", ".join(config.playlists)


def _fetch_playlist(address: str) -> None:
    """As a viewer's page does.

    Raises:
        EngineError: it is not there, is no playlist, or may not be read by pages of other hosts.
    """
    request = urllib.request.Request(address, headers={"Origin": "https://vitrine.invalid"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310
            begins, shared = reply.read(7), reply.headers.get("Access-Control-Allow-Origin")
    except (OSError, ValueError) as error:
        raise EngineError(f"{address}: {error}; is it on the air?", code="playlist") from None
    if begins != b"#EXTM3U":
        raise EngineError(f"{address}: got no HLS playlist, expected one", code="playlist")
    if not shared:
        words = "pages of other hosts may not read it; have its server send Access-Control-Allow-Origin"
        raise EngineError(f"{address}: {words}", code="playlist")


def _exposure(config: Config) -> tuple[Verdict, str]:
    if config.loopback:
        return Verdict.OK, "this machine only"
    if config.server.tls == "off" and not config.server.public_url.startswith("https"):
        words = (
            "others can connect, but without https: their browsers give no camera, and keys travel in clear"
        )
        return Verdict.WARNING, f"{words}; use server.tls, or a proxy and server.public_url"
    viewers = "viewers need a token" if config.auth.viewer_tokens else "anybody may watch"
    return Verdict.OK, f"others can connect; {viewers}"
