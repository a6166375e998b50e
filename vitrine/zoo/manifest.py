"""Which public models there are: ``models.toml``, facts read at their sources."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from vitrine.errors import PullError

FILE: Final = Path(__file__).with_name("models.toml")
Tier = Literal["2 cores", "4 to 8 cores", "GPU"]
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that can be pulled.

    Attributes:
        name: what it is called here, and its file's name without the ending.
        url: of the .onnx file.
        sha256: lower-case hex; empty where nobody published it: the first pull is trusted.
        size: in bytes; 0 where it is not known.
        family: registry name of its detector family.
        tier: the smallest machine it is meant for.
        input: the size it was exported with.
        classes: what it knows.
        licence: of the weights, or of the repository where they are not named apart (then `note` says so).
        ap: COCO val2017 AP as its authors report it, 0..100; None where they do not.
        source: where address, licence and AP were read.
        hash_from: where the hash was read.
        note: what else to know.
    """

    name: str
    url: str
    sha256: str = ""
    size: int = 0
    family: str = ""
    tier: Tier = "GPU"
    input: str = ""
    classes: str = ""
    licence: str = ""
    ap: float | None = None
    source: str = ""
    hash_from: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: got {self.name!r}, expected a-z 0-9 . _ -")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256: got {self.sha256!r}, expected 64 digits of 0-9 a-f")
        if urlsplit(self.url).scheme not in ("http", "https", "file"):
            raise ValueError(f"url: got {self.url!r}, expected an http, https or file address")
        if self.size < 0:
            raise ValueError(f"size: got {self.size}, expected bytes")

    @property
    def file_name(self) -> str:
        """The name of its file where pulled models are kept."""
        return f"{self.name}.onnx"


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[Entry, ...]


@cache
def manifest() -> tuple[Entry, ...]:
    """All models that can be pulled by name, in the order of the file."""
    return read_manifest(FILE.read_bytes())


def read_manifest(data: bytes) -> tuple[Entry, ...]:
    """The entries of a manifest.

    Raises:
        PullError: it is damaged, or two entries have one name.
    """
    try:
        entries = msgspec.convert(tomllib.loads(data.decode()), _Manifest).model
    except (ValueError, msgspec.ValidationError) as error:
        raise PullError(f"the list of models is damaged: {error}; install the package again") from error
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PullError(f"the list of models names {', '.join(twice)} twice; install the package again")
    return entries


def find(name: str, sha256: str = "") -> Entry:
    """The model called `name`, or one made up for an address of an .onnx file.

    Args:
        name: of the manifest, or an http, https or file address.
        sha256: what the file has to have; for an address, or to insist.

    Raises:
        PullError: unknown name (the nearest are named), or `sha256` is none or not the known one.
    """
    wanted = sha256.strip().lower()
    if wanted and not _SHA256.fullmatch(wanted):
        raise PullError(f"--sha256: got {sha256!r}, expected 64 digits of 0-9 a-f")
    if "://" in name:
        return _of_address(name, wanted)
    known = {entry.name: entry for entry in manifest()}
    entry = known.get(name)
    if entry is None:
        close = difflib.get_close_matches(name, known, 3, 0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "'vitrine models list' shows them"
        raise PullError(f"no model is called {name!r}; {hint} An address (https://...) can be pulled too.")
    if wanted and entry.sha256 and wanted != entry.sha256:
        raise PullError(f"{name}: got --sha256 {wanted}, but the list of models says {entry.sha256}")
    return msgspec.structs.replace(entry, sha256=wanted) if wanted else entry


def _of_address(url: str, sha256: str) -> Entry:
    last = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    name = re.sub(r"[^a-z0-9._-]+", "-", last.lower().removesuffix(".onnx")).strip("-._")[:64]
    try:
        return Entry(name=name, url=url, sha256=sha256)
    except ValueError as error:
        raise PullError(
            f"{url}: cannot be pulled: {error}; expected the address of an .onnx file such as "
            "https://example.com/detector.onnx"
        ) from error
