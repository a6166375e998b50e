from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.inference.models import colour_embedder, yolox_model
from vitrine.checks import Check, Verdict, run_checks
from vitrine.config import BusConfig, Config, InferenceConfig, RtcConfig, Secret, ServerConfig


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "detector.onnx").write_bytes(yolox_model([(32, 24, 16, 16, 0.9, 0)]))
    (tmp_path / "embedder.onnx").write_bytes(colour_embedder())
    return Config(
        server=ServerConfig(port=0, data_dir=tmp_path / "state"),
        inference=InferenceConfig(detector=tmp_path / "detector.onnx", embedder=tmp_path / "embedder.onnx"),
    )


def check(config: Config, name: str) -> Check:
    return next(item for item in run_checks(config) if item.name == name)


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that sends `answer` to whoever writes to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(4096)
                link.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(2)


def test_a_good_configuration_passes(config: Config) -> None:
    assert {item.verdict for item in run_checks(config)} == {Verdict.OK}


def test_a_data_folder_that_cannot_be_made(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = replace(config, server=replace(config.server, data_dir=tmp_path / "file" / "x"))
    assert "set server.data_dir" in check(broken, "data folder").words
    assert check(broken, "keys").verdict is Verdict.FAILED


def test_an_address_that_is_not_ours(config: Config) -> None:
    broken = replace(config, server=replace(config.server, host="203.0.113.77", port=8080))
    assert check(broken, "port").verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(b"+PONG\r\n", Verdict.OK), (b"-NOAUTH wanted\r\n", Verdict.OK), (b"HTTP/1.1 400\r\n", Verdict.FAILED)],
)
def test_redis_is_asked(config: Config, answer: bytes, verdict: Verdict) -> None:
    with answering(answer) as port:
        found = check(replace(config, bus=BusConfig(url=Secret(f"redis://:pw-x@127.0.0.1:{port}/0"))), "bus")
    assert found.verdict is verdict and "pw-x" not in found.words


def test_the_first_sentinel_is_asked(config: Config) -> None:
    with answering(b"+PONG\r\n") as port:
        url = f"redis+sentinel://:pw-x@127.0.0.1:{port},other:26379/shows"
        found = check(replace(config, bus=BusConfig(url=Secret(url))), "bus")
    assert found.verdict is Verdict.OK and "pw-x" not in found.words


def test_a_redis_that_is_not_there_says_how_to_go_on(config: Config, tmp_path: Path) -> None:
    found = check(replace(config, bus=BusConfig(url=Secret(f"unix://{tmp_path}/absent.sock"))), "bus")
    assert found.verdict is Verdict.FAILED and "start it or set bus.url" in found.words


def test_media_ports_are_counted(config: Config) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        full = check(replace(config, rtc=RtcConfig(udp_ports=f"{port}-{port}")), "media ports")
    assert full.verdict is Verdict.FAILED
    few = check(replace(config, rtc=RtcConfig(udp_ports=f"{port}-{port}")), "media ports")
    assert few.verdict is Verdict.WARNING and "1 free" in few.words


def test_a_model_in_the_wrong_place(config: Config) -> None:
    swapped = replace(config, inference=replace(config.inference, embedder=config.inference.detector))
    found = check(swapped, "embedder")
    assert found.verdict is Verdict.FAILED and "got detector, expected embedder" in found.words


def test_a_provider_that_does_not_work_is_a_warning(config: Config) -> None:
    found = check(replace(config, inference=replace(config.inference, provider="tensorrt")), "detector")
    assert found.verdict is Verdict.WARNING or "on tensorrt" in found.words


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"host": "0.0.0.0"}, Verdict.WARNING),
        ({"host": "0.0.0.0", "tls": "self-signed"}, Verdict.OK),
        ({"host": "0.0.0.0", "public_url": "https://live.example"}, Verdict.OK),
    ],
)
def test_being_open_without_https_is_a_warning(
    config: Config, change: dict[str, object], verdict: Verdict
) -> None:
    found = check(replace(config, server=replace(config.server, **change)), "exposure")
    assert found.verdict is verdict


def test_certificate_files_are_tried(config: Config, tmp_path: Path) -> None:
    server = replace(config.server, tls="files", cert=tmp_path / "a.pem", key=tmp_path / "b.pem")
    assert check(replace(config, server=server), "certificate").verdict is Verdict.FAILED
    own = replace(config.server, tls="self-signed")
    assert "browsers will warn" in check(replace(config, server=own), "certificate").words


def test_a_feed_on_the_web_is_not_fetched(config: Config) -> None:
    feed = replace(config.catalog, feed="https://shop.example/feed.tsv")
    assert check(replace(config, catalog=feed), "catalogue").verdict is Verdict.OK


def test_a_playlist_whose_stream_has_another_source(config: Config) -> None:
    wrong = replace(config, playlists={"stage": "https://cdn.example/a.m3u8"})
    assert check(wrong, "playlists").verdict is Verdict.WARNING
    assert "Name the playlist in [sources] too" in check(wrong, "playlists").words


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (b"Access-Control-Allow-Origin: *\r\n\r\n#EXTM3U\n", Verdict.OK, "stage"),
        (b"\r\n#EXTM3U\n", Verdict.FAILED, "have its server send Access-Control-Allow-Origin"),
        (b"Access-Control-Allow-Origin: *\r\n\r\n<html>", Verdict.FAILED, "got no HLS playlist"),
    ],
)
def test_a_playlist_is_read_as_viewers_pages_read_it(
    config: Config, answer: bytes, verdict: Verdict, words: str
) -> None:
    with answering(b"HTTP/1.0 200 OK\r\n" + answer) as port:
        address = f"http://127.0.0.1:{port}/a.m3u8"
        good = replace(config, playlists={"stage": address}, sources={"stage": Secret(address)})
        found = check(good, "playlists")
        assert found.verdict is verdict and words in found.words


def test_a_playlist_that_is_not_on_the_air(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.m3u8"
    gone = replace(config, playlists={"stage": address}, sources={"stage": Secret(address)})
    assert check(gone, "playlists").verdict is Verdict.FAILED


def test_others_cannot_play_a_playlist_by_http(config: Config) -> None:
    address = "http://cdn.example/a.m3u8"
    seen = replace(config, server=replace(config.server, host="0.0.0.0"), playlists={"stage": address})
    seen = replace(seen, sources={"stage": Secret(address)})
    assert "give its https address" in check(seen, "playlists").words
