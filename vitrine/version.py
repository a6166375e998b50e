"""The version of the installed package."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """As in the package's metadata; "unknown" when it was never installed."""
    try:
        return metadata.version("vitrine")
    except metadata.PackageNotFoundError:
        return "unknown"
