"""Fetch a model file: streamed, resumed, checked, put in place at the end or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import aiohttp
import msgspec
from yarl import URL

from vitrine.errors import PullBrokeOff, PullError, WrongFile
from vitrine.version import version
from vitrine.zoo.manifest import Entry
from vitrine.zoo.resume import MAX_BYTES, Part, Reading, Step, foreign, read_answer, request_headers
from vitrine.zoo.trust import FILE_NAME, Seen, TrustStore

Progress = Callable[[int, int | None], None]
"""Told bytes that are here and bytes in all (None: unknown). Called often: must be quick."""

CHUNK: Final = 256 * 1024
MAX_WORDS: Final = 160
MOST: Final = 25
"""Times `PullSettings.attempts`, however much each brings."""
ROOM: Final = 16_000_000
"""Left free on the disk beside the file."""


@dataclass(frozen=True, slots=True)
class PullSettings:
    """How patiently to pull.

    Attributes:
        connect_s: until a connection stands.
        stall_s: without a byte, the connection counts as dead.
        attempts: that bring nothing new, before giving up.
        pause_s: before trying again; doubles each time.
        max_redirects: followed, never from https to http.
        proxies: take proxies from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and ~/.netrc.
    """

    connect_s: float = 15.0
    stall_s: float = 30.0
    attempts: int = 4
    pause_s: float = 1.0
    max_redirects: int = 10
    proxies: bool = True


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that is in place.

    Attributes:
        path: where.
        sha256: of the file.
        size: bytes.
        fetched: it came now; otherwise it was there.
        first_seen: nobody had published its hash and it had not been pulled before: it was trusted.
        trust_file: where that is remembered.
    """

    path: Path
    sha256: str
    size: int
    fetched: bool
    first_seen: bool
    trust_file: Path


@dataclass(slots=True)
class _Job:
    """One pull under way."""

    entry: Entry
    url: str
    part: Path
    wanted: str
    size: int
    settings: PullSettings
    progress: Progress
    state: Part = field(default_factory=Part)

    @property
    def notes(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")

    def load(self) -> None:
        """What an earlier pull left here."""
        try:
            notes = msgspec.json.decode(self.notes.read_bytes(), type=dict[str, str])
            size = self.part.stat().st_size
        except (OSError, ValueError):
            return
        if notes.get("url") == self.url:
            self.state = Part(size, notes.get("validator", ""))

    def note(self, validator: str) -> None:
        """Remember what the part is a part of."""
        self.state = Part(self.state.size, validator)
        self.notes.write_bytes(msgspec.json.encode({"url": self.url, "validator": validator}))

    def discard(self) -> None:
        """Begin again."""
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.state = Part()


async def pull(
    entry: Entry,
    folder: Path,
    *,
    mirror: str = "",
    progress: Progress = lambda here, total: None,
    settings: PullSettings = PullSettings(),
) -> Pulled:
    """Bring a model into `folder`. What stands there already with the right hash is left alone.

    Args:
        entry: which.
        folder: made where it is missing.
        mirror: instead of the entry's own address: a folder, a file:// or http(s) address of one, that holds
            the file under the name it has here or there. What it brings is checked all the same.
        progress: told how far it is.
        settings: patience.

    Raises:
        WrongFile: what came is not the file; it was thrown away.
        PullBrokeOff: the network gave out; what came is kept for the next pull.
        PullError: anything else: no such file, no room, no permission.
    """
    target, trust = folder / entry.file_name, TrustStore(folder / FILE_NAME)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        seen = None if entry.sha256 else trust.get(entry.url)
        wanted = entry.sha256 or (seen.sha256 if seen else "")
        if wanted and target.is_file():
            found, size = await asyncio.to_thread(_digest, target)
            if found == wanted:
                return Pulled(target, found, size, False, False, trust.path)
        part = folder / f".{entry.file_name}.part"
        size = entry.size or (seen.size if seen else 0)
        job = _Job(entry, _address(entry, mirror), part, wanted, size, settings, progress)
        found, size = await _bring(job)
        os.replace(part, target)
        job.notes.unlink(missing_ok=True)
        if not wanted:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            trust.remember(entry.url, Seen(found, size, now))
        return Pulled(target, found, size, True, not wanted, trust.path)
    except OSError as error:
        raise PullError(
            f"{error.filename or target}: {error.strerror or error}; choose another folder"
        ) from error


async def _bring(job: _Job) -> tuple[str, int]:
    """Fill the part and check it; a part that was continued and turns out wrong is fetched once anew."""
    job.load()
    continued = job.state.size > 0
    while True:
        if urlsplit(job.url).scheme in ("http", "https"):
            await _download(job)
        else:
            await asyncio.to_thread(_copy, job)
        found, size = await asyncio.to_thread(_digest, job.part)
        why = await asyncio.to_thread(_wrong, job, found, size)
        if why is None:
            return found, size
        job.discard()
        if not continued:
            raise WrongFile(f"{job.entry.name}: {why}. It was thrown away; nothing was replaced.")
        continued = False


def _wrong(job: _Job, found: str, size: int) -> str | None:
    """Why the finished part is not the file; None where it is."""
    with job.part.open("rb") as file:
        kind = foreign(file.read(4096))
    if kind is not None:
        return f"{job.url} brought {kind}, expected an ONNX model"
    if job.wanted and found != job.wanted:
        known = "the list of models" if job.entry.sha256 else "the first pull"
        return f"{job.url} brought sha256 {found} ({size} bytes), expected {job.wanted} from {known}"
    return None


def _address(entry: Entry, mirror: str) -> str:
    """Where to fetch from."""
    if not mirror:
        return entry.url
    if urlsplit(mirror).scheme in ("http", "https"):
        return f"{mirror.rstrip('/')}/{entry.file_name}"
    folder = _local(mirror) if mirror.startswith("file:") else Path(mirror)
    last = URL(entry.url).name
    names = (entry.file_name, last)
    found = next((folder / name for name in names if name and (folder / name).is_file()), None)
    if found is None:
        listed = " or ".join(dict.fromkeys(name for name in names if name))
        raise PullError(f"{folder}: expected {listed} in the mirror, found neither")
    return found.resolve().as_uri()


def _local(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _copy(job: _Job) -> None:
    """From a file of this machine or its network drives."""
    source = _local(job.url)
    job.discard()
    if not source.is_file():
        raise PullError(f"{source}: no such file")
    total = source.stat().st_size
    _make_room(job, total)
    with source.open("rb") as reader, job.part.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            job.progress(writer.tell(), total)
        os.fsync(writer.fileno())


async def _download(job: _Job) -> None:
    """Fill the part, trying again as long as each attempt brings something.

    Raises:
        PullBrokeOff: several attempts in a row brought nothing.
        PullError: the server refuses, or has another file.
    """
    settings, idle, why = job.settings, 0, ""
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=settings.connect_s, connect=None, sock_read=settings.stall_s
    )
    agent = {"User-Agent": f"vitrine/{version()}"}
    async with aiohttp.ClientSession(
        timeout=timeout, headers=agent, trust_env=settings.proxies, auto_decompress=False
    ) as session:
        for _ in range(settings.attempts * MOST):
            if idle:
                await asyncio.sleep(settings.pause_s * 2 ** (idle - 1))
            before = job.state.size
            why = await _attempt(session, job)
            if not why:
                return
            idle = 1 if job.state.size > before else idle + 1
            if idle > settings.attempts:
                break
    kept = f"{job.state.size} bytes are kept; pull again to go on" if job.state.size else "nothing came"
    raise PullBrokeOff(f"{job.entry.name}: {job.url}: {why}; gave up after several attempts; {kept}")


async def _attempt(session: aiohttp.ClientSession, job: _Job) -> str:
    """One request; returns why it did not finish, empty when the part is whole."""
    headers = request_headers(job.state, hash_known=bool(job.wanted))
    if job.state.size and "Range" not in headers:
        job.discard()
    try:
        async with session.get(
            job.url, headers=headers, max_redirects=job.settings.max_redirects
        ) as response:
            _check_redirects(response)
            reading = read_answer(response.status, response.headers, job.state, job.size)
            if reading.step is Step.FAIL:
                raise PullError(f"{job.entry.name}: {response.url}: {reading.why}")
            if reading.step is Step.RETRY:
                return reading.why
            if reading.step is Step.START_AGAIN:
                job.discard()
                return reading.why
            if reading.step is not Step.COMPLETE:
                await _receive(response, job, reading)
    except TimeoutError:
        return f"nothing came for {job.settings.stall_s:g} s"
    except aiohttp.TooManyRedirects as error:
        raise PullError(
            f"{job.entry.name}: {job.url}: more than {job.settings.max_redirects} redirects"
        ) from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise PullError(f"{job.entry.name}: {error}: not an address that can be fetched") from error
    except aiohttp.ClientError as error:
        return _words(error)
    return _short(job)


def _words(error: aiohttp.ClientError) -> str:
    """An error in one short line: some quote pages of what the server sent."""
    words = " ".join(str(error).split())
    if len(words) > MAX_WORDS:
        words = f"{words[:MAX_WORDS]}..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _check_redirects(response: aiohttp.ClientResponse) -> None:
    hops = [*(each.url for each in response.history), response.url]
    if any(a.scheme == "https" and b.scheme != "https" for a, b in zip(hops, hops[1:], strict=False)):
        raise PullError(f"{hops[0]}: redirected from https to {response.url}, which anyone could change")


async def _receive(response: aiohttp.ClientResponse, job: _Job, reading: Reading) -> None:
    """Write what comes, as it comes."""
    total, limit = reading.total, job.size or MAX_BYTES
    if reading.step is Step.REPLACE:
        job.discard()
    _make_room(job, (total or 0) - job.state.size)
    job.note(reading.validator)
    with job.part.open("ab") as file:
        try:
            async for chunk in response.content.iter_chunked(CHUNK):
                file.write(chunk)
                job.state = Part(job.state.size + len(chunk), reading.validator)
                job.progress(job.state.size, total)
                if job.state.size > limit:
                    raise WrongFile(
                        f"{job.entry.name}: {response.url}: got more than {limit} bytes, expected {limit}"
                        f"{'' if job.size else ' at most'}. It was thrown away; nothing was replaced."
                    )
            os.fsync(file.fileno())
        except WrongFile:
            file.close()
            job.discard()
            raise
    job.size = job.size or (total or 0)


def _short(job: _Job) -> str:
    if job.size and job.state.size < job.size:
        return f"the connection ended after {job.state.size} of {job.size} bytes"
    return ""


def _make_room(job: _Job, needed: int) -> None:
    free = shutil.disk_usage(job.part.parent).free
    if needed > 0 and needed + ROOM > free:
        raise PullError(
            f"{job.part.parent}: {free // 1_000_000} MB are free, {needed // 1_000_000 + 1} MB are needed; "
            "make room, or choose another folder"
        )


def _digest(path: Path) -> tuple[str, int]:
    """sha256 and size of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()
