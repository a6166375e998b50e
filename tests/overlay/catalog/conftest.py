"""What the catalogue's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from overlay.catalog.store import CatalogStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CatalogStore]:
    made = CatalogStore(tmp_path / "data")
    yield made
    made.close()
