"""The version of the installed package."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """As in the package's metadata; "unknown" when it was never installed. Looked up once."""
    try:
        return metadata.version("vitrine")
    except metadata.PackageNotFoundError:
        return "unknown"
