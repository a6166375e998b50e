"""The files of a product index: named by their content, written completely or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from inference.errors import ProductIndexError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index says of itself."""

    format: int
    dim: int
    vectors: int
    products: int
    model_hash: str
    files: dict[str, str]


def read_manifest(directory: str | Path) -> Manifest:
    """What the index in `directory` says of itself.

    Raises:
        ProductIndexError: there is none, or it cannot be read.
    """
    path = Path(directory) / "manifest.json"
    fix = "run `vitrine catalog import` to build it"
    try:
        raw = json.loads(path.read_bytes())
        manifest = Manifest(
            int(raw["format"]),
            int(raw["dim"]),
            int(raw["vectors"]),
            int(raw["products"]),
            str(raw["model_hash"]),
            {str(kind): os.path.basename(str(name)) for kind, name in raw["files"].items()},
        )
    except FileNotFoundError as error:
        raise ProductIndexError(f"{directory}: no product index here; {fix}", http_status=404) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProductIndexError(f"{path}: damaged ({type(error).__name__}: {error}); {fix}") from error
    if manifest.format != FORMAT:
        raise ProductIndexError(f"{path}: got format {manifest.format}, expected {FORMAT}; {fix}")
    return manifest


def store(folder: Path, kind: str, suffix: str, data: bytes) -> str:
    """Write `data` under a name made of its hash; returns the name."""
    name = f"{kind}-{hashlib.sha256(data).hexdigest()}{suffix}"
    replace_file(folder / name, data)
    return name


def replace_file(path: Path, data: bytes) -> None:
    """Write a file completely, then rename it into place."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def read_checked(folder: Path, name: str, fix: str) -> bytes:
    """A file whose content matches its name.

    Raises:
        ProductIndexError: missing or damaged; the message ends with `fix`.
    """
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise ProductIndexError(f"{folder / name}: missing ({error.strerror}); {fix}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest not in name:
        raise ProductIndexError(
            f"{folder / name}: damaged: got sha256 {digest[:12]}, expected its name; {fix}"
        )
    return data
