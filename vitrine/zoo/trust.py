"""Hashes seen first: for models whose publisher names none, later pulls must bring the same file."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vitrine.errors import PullError

FILE_NAME = "known-hashes.json"


class Seen(msgspec.Struct, frozen=True):
    """What came when an address was pulled first.

    Attributes:
        sha256: lower-case hex.
        size: bytes.
        date: when, as ISO 8601.
    """

    sha256: str
    size: int
    date: str


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The file that remembers. One writer at a time."""

    path: Path

    def get(self, url: str) -> Seen | None:
        """What was seen first at `url`.

        Raises:
            PullError: the file is damaged.
        """
        return self._read().get(url)

    def remember(self, url: str, seen: Seen) -> None:
        """Note what was seen first; written completely or not at all.

        Raises:
            PullError: the file is damaged or cannot be written.
        """
        entries = self._read() | {url: seen}
        data = msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n"
        try:
            descriptor, scratch = tempfile.mkstemp(dir=self.path.parent, prefix=".writing-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(scratch, self.path)
        except OSError as error:
            raise PullError(f"{self.path}: cannot be written ({error.strerror})") from error

    def _read(self) -> dict[str, Seen]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, Seen])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise PullError(
                f"{self.path}: damaged ({error}); restore it, or delete it to trust the next pulls anew"
            ) from error
