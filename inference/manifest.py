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
DEFAULT_EF = 96


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index says of itself.

    Attributes:
        format: of the files.
        dim: length of the vectors.
        vectors: how many.
        products: how many have one.
        model_hash: of the embedder that made them.
        files: kind to file name; the name holds the sha256 of the content.
        ef: candidates a graph search follows.
        build_s: seconds its building took.
    """

    format: int
    dim: int
    vectors: int
    products: int
    model_hash: str
    files: dict[str, str]
    ef: int = DEFAULT_EF
    build_s: float = 0.0


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
            int(raw.get("ef", DEFAULT_EF)),
            float(raw.get("build_s", 0.0)),
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


def store_file(folder: Path, kind: str, suffix: str, path: Path) -> str:
    """Move the file `path`, in the same file system, under a name made of its hash; returns the name."""
    name = f"{kind}-{file_digest(path)}{suffix}"
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(folder / name)
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


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_file(folder: Path, name: str, fix: str) -> Path:
    """Path of a file whose content matches its name.

    Raises:
        ProductIndexError: missing or damaged; the message ends with `fix`.
    """
    path = folder / name
    try:
        digest = file_digest(path)
    except OSError as error:
        raise ProductIndexError(f"{path}: missing ({error.strerror}); {fix}") from error
    if digest not in name:
        raise ProductIndexError(f"{path}: damaged: got sha256 {digest[:12]}, expected its name; {fix}")
    return path
