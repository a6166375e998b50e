"""What to ask a server for, and what its answer means for the part that is already here. Pure.

RFC 9110: 13.1.5 If-Range (a part is continued only where the file is still the same), 14.2 Range, 15.3.7
206, 15.5.17 416. Servers that ignore ranges answer 200 with the whole file, which starts again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_BYTES: Final = 4_000_000_000
"""A larger file is no detector."""
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may go away by themselves."""
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """What is already here.

    Attributes:
        size: bytes.
        validator: strong ETag or Last-Modified of the file it is a part of; empty where there was none.
    """

    size: int = 0
    validator: str = ""


class Step(StrEnum):
    """What to do with an answer."""

    APPEND = "append"
    REPLACE = "replace"
    COMPLETE = "complete"
    START_AGAIN = "start again"
    RETRY = "retry"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, read.

    Attributes:
        step: what to do.
        total: bytes of the whole file; None where the server does not say.
        validator: for `Part`.
        why: for people, where the step is none of the good ones.
    """

    step: Step
    total: int | None = None
    validator: str = ""
    why: str = ""


def request_headers(part: Part, *, hash_known: bool) -> dict[str, str]:
    """Headers of the next request.

    A part without validator is continued only where the whole file's hash is known: a mix of two files
    would otherwise not be noticed.
    """
    headers = {"Accept-Encoding": "identity", "Accept": "application/octet-stream, */*;q=0.5"}
    if part.size and (part.validator or hash_known):
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    return headers


def read_answer(status: int, headers: Mapping[str, str], part: Part, size: int) -> Reading:
    """What an answer means.

    Args:
        status: of the last response, redirects followed.
        headers: names in any case.
        part: what the request was made for.
        size: bytes the file is known to have; 0 where that is unknown.
    """
    named = {name.lower(): value for name, value in headers.items()}
    if status in TRANSIENT:
        return Reading(Step.RETRY, why=f"the server answered {status}")
    if status == 416:
        return _unsatisfiable(named, part)
    if status not in (200, 206):
        return Reading(Step.FAIL, why=_refusal(status))
    if named.get("content-encoding", "identity").lower() not in ("", "identity"):
        return Reading(Step.FAIL, why=f"the server sent {named['content-encoding']}, expected the plain file")
    if named.get("content-type", "").lower().startswith("text/html"):
        return Reading(Step.FAIL, why="the server sent a web page (a login or a notice?), expected a model")
    return _whole(named, size) if status == 200 else _range(named, part, size)


def _whole(named: Mapping[str, str], size: int) -> Reading:
    length = named.get("content-length", "")
    total = int(length) if length.isascii() and length.isdigit() else None
    return _sized(Step.REPLACE, total, size, _validator(named))


def _range(named: Mapping[str, str], part: Part, size: int) -> Reading:
    found = _CONTENT_RANGE.fullmatch(named.get("content-range", "").strip())
    if found is None or found[1] is None:
        return Reading(Step.START_AGAIN, why="the server sent a range without saying which")
    if int(found[1]) != part.size:
        return Reading(Step.START_AGAIN, why=f"asked from byte {part.size} on, got from {found[1]} on")
    total = None if found[3] == "*" else int(found[3])
    return _sized(Step.APPEND, total, size, _validator(named) or part.validator)


def _sized(step: Step, total: int | None, size: int, validator: str) -> Reading:
    if total is not None and size and total != size:
        return Reading(Step.FAIL, total, why=f"the server has {total} bytes, expected {size}")
    if total is not None and total > MAX_BYTES:
        return Reading(Step.FAIL, total, why=f"the server has {total} bytes, expected {MAX_BYTES} at most")
    return Reading(step, total if total is not None else size or None, validator)


def _unsatisfiable(named: Mapping[str, str], part: Part) -> Reading:
    found = _CONTENT_RANGE.fullmatch(named.get("content-range", "").strip())
    if found is not None and found[3] == str(part.size):
        return Reading(Step.COMPLETE, part.size, part.validator)
    return Reading(Step.START_AGAIN, why="what is here is no part of the server's file")


def _validator(named: Mapping[str, str]) -> str:
    """Weak validators may not be used in If-Range."""
    etag = named.get("etag", "").strip()
    return etag if etag.startswith('"') else named.get("last-modified", "").strip()


def _refusal(status: int) -> str:
    words = {401: "it wants a login", 403: "it refuses", 404: "it has no such file", 410: "the file is gone"}
    return f"the server answered {status}" + (f" ({words[status]})" if status in words else "")


def foreign(start: bytes) -> str | None:
    """What a file that begins with `start` is, where that is plainly no ONNX model; else None."""
    head = start[:64].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it stands for"
    if start.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        return "an archive; unpack the .onnx file from it"
    if not start:
        return "an empty file"
    return None
