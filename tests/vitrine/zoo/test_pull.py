"""`pull` against a server that truncates, stalls, lies and redirects."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.vitrine.zoo.server import Server, head, ranged, serving, stalling, status, whole
from vitrine.errors import PullBrokeOff, PullError, WrongFile
from vitrine.zoo.manifest import Entry
from vitrine.zoo.pull import Pulled, PullSettings, pull

MODEL = b"\x08\x09" + bytes(range(256)) * 4000
OTHER = b"\x08\x09" + bytes(reversed(range(256))) * 4000
SHA = hashlib.sha256(MODEL).hexdigest()
QUICK = PullSettings(connect_s=2, stall_s=0.3, attempts=3, pause_s=0.01, proxies=False)


def entry(server: Server, sha256: str = SHA, size: int = len(MODEL), path: str = "/model.onnx") -> Entry:
    return Entry(name="made", url=server.url(path), sha256=sha256, size=size)


async def fetch(wanted: Entry, folder: Path, settings: PullSettings = QUICK, mirror: str = "") -> Pulled:
    return await pull(wanted, folder, settings=settings, mirror=mirror)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ranges(server: Server) -> list[str]:
    return [request.headers.get("range", "") for request in server.requests]


async def test_a_model_arrives_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    async with serving(whole(MODEL)) as server:
        done = await pull(
            entry(server), tmp_path / "new", settings=QUICK, progress=lambda *here: told.append(here)
        )
    assert done.path == tmp_path / "new" / "made.onnx" and done.path.read_bytes() == MODEL
    assert (done.sha256, done.size, done.fetched, done.first_seen) == (SHA, len(MODEL), True, False)
    assert left(tmp_path / "new") == ["made.onnx"]
    assert told[-1] == (len(MODEL), len(MODEL)) and told == sorted(told)
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].headers["user-agent"].startswith("vitrine/")


async def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    async with serving(whole(MODEL)) as server:
        await fetch(entry(server), tmp_path)
        again = await fetch(entry(server), tmp_path)
        assert not again.fetched and again.size == len(MODEL) and len(server.requests) == 1
        (tmp_path / "made.onnx").write_bytes(b"damaged")
        assert (await fetch(entry(server), tmp_path)).fetched
    assert (tmp_path / "made.onnx").read_bytes() == MODEL


async def test_a_truncated_answer_is_continued_where_it_broke(tmp_path: Path) -> None:
    async with serving(ranged(MODEL, cut=1000), ranged(MODEL, cut=50_000), ranged(MODEL)) as server:
        await fetch(entry(server), tmp_path)
    assert (tmp_path / "made.onnx").read_bytes() == MODEL
    assert ranges(server) == ["", "bytes=1000-", "bytes=51000-"]
    assert server.requests[1].headers["if-range"] == '"one"'


async def test_a_server_that_stalls_is_left_and_asked_again(tmp_path: Path) -> None:
    async with serving(stalling(MODEL, 7000), ranged(MODEL)) as server:
        await fetch(entry(server), tmp_path)
    assert ranges(server) == ["", "bytes=7000-"]
    assert (tmp_path / "made.onnx").read_bytes() == MODEL


async def test_what_broke_off_is_kept_for_the_next_pull(tmp_path: Path) -> None:
    async with serving(ranged(MODEL, cut=1000), ranged(MODEL, cut=0)) as server:
        with pytest.raises(PullBrokeOff, match="1000 bytes are kept; pull again to go on") as caught:
            await fetch(entry(server), tmp_path)
        assert caught.value.retryable and len(server.requests) == 4
        assert left(tmp_path) == [".made.onnx.part", ".made.onnx.part.json"]
        server.script = [ranged(MODEL)]
        await fetch(entry(server), tmp_path)
        assert ranges(server)[-1] == "bytes=1000-"
    assert left(tmp_path) == ["made.onnx"]


async def test_a_file_that_changed_meanwhile_starts_again(tmp_path: Path) -> None:
    wanted = hashlib.sha256(OTHER).hexdigest()
    async with serving(ranged(MODEL, cut=1000), ranged(OTHER, etag='"two"')) as server:
        done = await fetch(entry(server, wanted), tmp_path)
    assert done.path.read_bytes() == OTHER
    assert server.requests[1].headers["if-range"] == '"one"'


async def test_a_server_without_ranges_starts_again(tmp_path: Path) -> None:
    async with serving(whole(MODEL, cut=1000), whole(MODEL)) as server:
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert ranges(server) == ["", "bytes=1000-"]


async def test_without_a_validator_only_a_known_hash_lets_it_go_on(tmp_path: Path) -> None:
    async with serving(ranged(MODEL, cut=1000, etag=""), ranged(MODEL, etag="")) as server:
        await fetch(entry(server, sha256="", size=0), tmp_path)
    assert ranges(server) == ["", ""]
    async with serving(ranged(MODEL, cut=1000, etag=""), ranged(MODEL, etag="")) as server:
        await fetch(entry(server), tmp_path / "known")
    assert ranges(server) == ["", "bytes=1000-"]


async def test_a_weak_validator_is_not_used(tmp_path: Path) -> None:
    date = "Sat, 21 Nov 2026 02:47:00 GMT"
    async with serving(whole(MODEL, cut=1000, ETag='W/"one"', Last_Modified=date), whole(MODEL)) as server:
        await fetch(entry(server), tmp_path)
    assert server.requests[1].headers["if-range"] == date


async def test_a_range_that_begins_elsewhere_starts_again(tmp_path: Path) -> None:
    async with serving(ranged(MODEL, cut=1000), ranged(MODEL, shift=5), ranged(MODEL)) as server:
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert ranges(server) == ["", "bytes=1000-", ""]


async def test_a_part_that_is_already_whole_is_checked_and_taken(tmp_path: Path) -> None:
    async with serving(ranged(MODEL)) as server:
        (tmp_path / ".made.onnx.part").write_bytes(MODEL)
        (tmp_path / ".made.onnx.part.json").write_text(
            json.dumps({"url": server.url(), "validator": '"one"'})
        )
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert ranges(server) == [f"bytes={len(MODEL)}-"]


async def test_a_part_longer_than_the_file_starts_again(tmp_path: Path) -> None:
    async with serving(ranged(MODEL)) as server:
        (tmp_path / ".made.onnx.part").write_bytes(MODEL + b"more")
        (tmp_path / ".made.onnx.part.json").write_text(
            json.dumps({"url": server.url(), "validator": '"one"'})
        )
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert ranges(server) == [f"bytes={len(MODEL) + 4}-", ""]


async def test_a_part_of_another_address_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".made.onnx.part").write_bytes(OTHER[:1000])
    (tmp_path / ".made.onnx.part.json").write_text('{"url": "http://elsewhere/", "validator": "x"}')
    async with serving(ranged(MODEL)) as server:
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert ranges(server) == [""]


async def test_a_part_that_rotted_is_noticed_and_fetched_once_anew(tmp_path: Path) -> None:
    async with serving(ranged(MODEL)) as server:
        (tmp_path / ".made.onnx.part").write_bytes(OTHER[:1000])
        (tmp_path / ".made.onnx.part.json").write_text(
            json.dumps({"url": server.url(), "validator": '"one"'})
        )
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert ranges(server) == ["bytes=1000-", ""]


async def test_wrong_bytes_are_refused_and_replace_nothing(tmp_path: Path) -> None:
    (tmp_path / "made.onnx").write_bytes(b"what was there")
    async with serving(whole(OTHER)) as server:
        with pytest.raises(WrongFile, match=f"expected {SHA} from the list of models"):
            await fetch(entry(server), tmp_path)
        assert len(server.requests) == 1
    assert (tmp_path / "made.onnx").read_bytes() == b"what was there"
    assert left(tmp_path) == ["made.onnx"]


@pytest.mark.parametrize(("announced", "words"), [(10, "has 10 bytes"), (10**12, "has 1000000000000 bytes")])
async def test_an_announced_length_that_cannot_be_right_is_refused(
    tmp_path: Path, announced: int, words: str
) -> None:
    async with serving(whole(MODEL[:announced], Content_Length=announced)) as server:
        with pytest.raises(PullError, match=f"{words}, expected {len(MODEL)}"):
            await fetch(entry(server), tmp_path)


async def test_more_than_was_announced_breaks_off_in_few_words(tmp_path: Path) -> None:
    async with serving(whole(MODEL, Content_Length=1000)) as server:
        with pytest.raises(PullBrokeOff, match="gave up") as caught:
            await fetch(entry(server, size=0), tmp_path)
    assert len(str(caught.value)) < 400
    assert "made.onnx" not in left(tmp_path)


async def test_a_short_file_announced_as_such_is_refused_by_its_hash(tmp_path: Path) -> None:
    async with serving(whole(MODEL[:1000])) as server:
        with pytest.raises(WrongFile, match="1000 bytes"):
            await fetch(entry(server, size=0), tmp_path)
    assert left(tmp_path) == []


async def test_a_stream_without_length_that_goes_on_too_long_is_cut(tmp_path: Path) -> None:
    async def endless(request: object, writer: object) -> None:
        from asyncio import StreamWriter

        assert isinstance(writer, StreamWriter)
        writer.write(head("200 OK", Content_Type="application/octet-stream"))
        for _ in range(40):
            writer.write(MODEL)
            await writer.drain()

    async with serving(endless) as server:
        with pytest.raises(WrongFile, match=f"got more than {len(MODEL)} bytes"):
            await fetch(entry(server), tmp_path)
    assert left(tmp_path) == []


async def test_a_stream_without_length_that_ends_early_is_noticed(tmp_path: Path) -> None:
    async def short(request: object, writer: object) -> None:
        from asyncio import StreamWriter

        assert isinstance(writer, StreamWriter)
        writer.write(head("200 OK") + MODEL[:1000])
        await writer.drain()

    async with serving(short, whole(MODEL)) as server:
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL


@pytest.mark.parametrize("code", ["500 Oops", "502 Bad Gateway", "503 Unavailable", "429 Too Many Requests"])
async def test_a_passing_fault_is_asked_again(tmp_path: Path, code: str) -> None:
    async with serving(status(code), status(code), whole(MODEL)) as server:
        assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert len(server.requests) == 3


async def test_a_lasting_fault_gives_up_and_may_be_tried_later(tmp_path: Path) -> None:
    async with serving(status("503 Unavailable")) as server:
        with pytest.raises(PullBrokeOff, match="the server answered 503; gave up.*nothing came"):
            await fetch(entry(server), tmp_path)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("404 Not Found", "404 .it has no such file"),
        ("403 Forbidden", "403 .it refuses"),
        ("401 Unauthorized", "401 .it wants a login"),
        ("410 Gone", "410 .the file is gone"),
        ("204 No Content", "204"),
    ],
)
async def test_a_refusal_is_final(tmp_path: Path, code: str, words: str) -> None:
    async with serving(status(code)) as server:
        with pytest.raises(PullError, match=words) as caught:
            await fetch(entry(server), tmp_path)
        assert not caught.value.retryable and len(server.requests) == 1


async def test_redirects_are_followed_with_the_range(tmp_path: Path) -> None:
    async with serving(ranged(MODEL, cut=1000), ranged(MODEL)) as store:
        moved = status("302 Found", Location=store.url("/blob"))
        async with serving(moved) as server:
            assert (await fetch(entry(server), tmp_path)).path.read_bytes() == MODEL
    assert ranges(store) == ["", "bytes=1000-"] and store.requests[0].target == "/blob"


async def test_redirects_in_a_circle_end(tmp_path: Path) -> None:
    async with serving(status("302 Found", Location="/again")) as server:
        with pytest.raises(PullError, match="more than 10 redirects"):
            await fetch(entry(server), tmp_path)


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (MODEL, {"Content_Type": "text/html; charset=utf-8"}, "sent a web page"),
        (MODEL, {"Content_Encoding": "gzip"}, "sent gzip, expected the plain file"),
        (b"<!DOCTYPE html><p>log in", {}, "brought a web page, expected an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid", {}, "Git LFS pointer"),
        (b"PK\x03\x04zip", {}, "an archive"),
    ],
)
async def test_what_is_plainly_no_model_is_not_trusted(
    tmp_path: Path, body: bytes, headers: dict[str, str], words: str
) -> None:
    async with serving(whole(body, None, **headers)) as server:
        with pytest.raises(PullError, match=words):
            await fetch(entry(server, sha256="", size=0), tmp_path)
    assert left(tmp_path) == []


async def test_nobody_listening_is_said(tmp_path: Path) -> None:
    async with serving(whole(MODEL)) as server:
        gone = entry(server)
    with pytest.raises(PullBrokeOff, match="ClientConnector.*gave up after several attempts; nothing came"):
        await fetch(gone, tmp_path)


async def test_the_first_pull_without_a_published_hash_is_trusted_and_later_ones_must_match(
    tmp_path: Path,
) -> None:
    async with serving(whole(MODEL)) as server:
        unknown = entry(server, sha256="", size=0)
        first = await fetch(unknown, tmp_path)
        assert first.first_seen and first.fetched
        kept = json.loads((tmp_path / "known-hashes.json").read_text())
        assert kept[server.url()]["sha256"] == SHA and kept[server.url()]["size"] == len(MODEL)
        again = await fetch(unknown, tmp_path)
        assert not again.first_seen and not again.fetched
        (tmp_path / "made.onnx").unlink()
        server.script = [whole(OTHER)]
        with pytest.raises(WrongFile, match=f"expected {SHA} from the first pull"):
            await fetch(unknown, tmp_path)
        assert not (tmp_path / "made.onnx").exists()
        server.script = [whole(MODEL)]
        assert not (await fetch(unknown, tmp_path)).first_seen


async def test_a_damaged_memory_of_first_pulls_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "known-hashes.json").write_text("{oops")
    async with serving(whole(MODEL)) as server:
        with pytest.raises(PullError, match="known-hashes.json: damaged"):
            await fetch(entry(server, sha256=""), tmp_path)
        assert (await fetch(entry(server), tmp_path)).fetched


@pytest.mark.parametrize("name", ["made.onnx", "model.onnx"])
@pytest.mark.parametrize("form", ["folder", "file"])
async def test_a_mirror_folder_brings_the_file_checked(tmp_path: Path, name: str, form: str) -> None:
    mirror = tmp_path / "mirror of ours"
    mirror.mkdir()
    (mirror / name).write_bytes(MODEL)
    wanted = Entry(name="made", url="https://example.invalid/model.onnx", sha256=SHA)
    place = str(mirror) if form == "folder" else mirror.as_uri()
    done = await fetch(wanted, tmp_path / "here", mirror=place)
    assert done.path.read_bytes() == MODEL
    (mirror / name).write_bytes(OTHER)
    done.path.unlink()
    with pytest.raises(WrongFile, match="expected"):
        await fetch(wanted, tmp_path / "here", mirror=place)
    assert left(tmp_path / "here") == []


async def test_a_mirror_without_the_file_says_what_it_should_hold(tmp_path: Path) -> None:
    wanted = Entry(name="made", url="https://example.invalid/model.onnx", sha256=SHA)
    with pytest.raises(PullError, match="expected made.onnx or model.onnx in the mirror"):
        await fetch(wanted, tmp_path / "here", mirror=str(tmp_path))


async def test_a_web_mirror_is_asked_for_the_name_here(tmp_path: Path) -> None:
    async with serving(whole(MODEL)) as server:
        wanted = Entry(name="made", url="https://example.invalid/model.onnx", sha256=SHA)
        assert (await fetch(wanted, tmp_path, mirror=server.url("/models/"))).fetched
    assert server.requests[0].target == "/models/made.onnx"


async def test_a_file_address_is_copied(tmp_path: Path) -> None:
    (tmp_path / "a b.onnx").write_bytes(MODEL)
    wanted = Entry(name="made", url=(tmp_path / "a b.onnx").as_uri())
    done = await fetch(wanted, tmp_path / "here")
    assert done.first_seen and done.path.read_bytes() == MODEL
    gone = Entry(name="made", url=(tmp_path / "gone.onnx").as_uri(), sha256=SHA)
    with pytest.raises(PullError, match="no such file"):
        await fetch(gone, tmp_path / "there")


async def test_a_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(whole(MODEL)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
        monkeypatch.setenv("http_proxy", proxy.url(""))
        wanted = Entry(name="made", url="http://models.invalid/model.onnx", sha256=SHA)
        behind = PullSettings(connect_s=2, stall_s=2, attempts=1, pause_s=0.01)
        assert (await fetch(wanted, tmp_path, behind)).fetched
    assert proxy.requests[0].target == "http://models.invalid/model.onnx"


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with serving(whole(MODEL)) as server:
        with pytest.raises(PullError, match="choose another folder"):
            await fetch(entry(server), tmp_path / "file" / "below")


async def test_too_little_room_is_said_before_anything_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    async with serving(whole(MODEL, Content_Length=free)) as server:
        with pytest.raises(PullError, match=r"MB are free.*make room|bytes, expected"):
            await fetch(entry(server, size=0), tmp_path)
