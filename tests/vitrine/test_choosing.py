from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from overlay.catalog.store import CatalogStore
from overlay.search import Where
from overlay.types import Availability
from tests.overlay.builders import FakeClock, product
from vitrine import choosing
from vitrine.choosing import Chooser, Scope

IN_STOCK = Where(availability=frozenset({Availability.IN_STOCK}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CatalogStore]:
    made = CatalogStore(tmp_path)
    for number in range(6):
        made.put(product(f"p{number}", price=f"{number + 1}.00 EUR"), [], "")
    yield made
    made.close()


def sell_out(store: CatalogStore, product_id: str) -> None:
    store.update(product(product_id, availability=Availability.OUT_OF_STOCK), "sold", [])


def test_without_a_filter_the_shows_list_is_all_that_counts(store: CatalogStore) -> None:
    chooser, shown = Chooser(store, FakeClock()), frozenset({"p1"})
    assert chooser.scope(Where(), None) == Scope() and chooser.scope(Where(), shown) == Scope(shown)
    assert Scope(shown).found_in == shown and Scope().found_in is None
    assert Scope(shown).allows("anything"), "what the show allows is decided elsewhere"


def test_a_filter_leaves_what_fits_of_the_shows_list(store: CatalogStore) -> None:
    chooser = Chooser(store, FakeClock())
    sell_out(store, "p1")
    scope = chooser.scope(IN_STOCK, frozenset({"p1", "p2"}))
    assert scope.found_in == frozenset({"p2"}) and scope.allows("p2") and not scope.allows("p1")
    assert chooser.scope(IN_STOCK, None).found_in == frozenset({"p0", "p2", "p3", "p4", "p5"})
    cheap = Where(currencies=frozenset({"EUR"}), prices=(0, 2.5))
    assert chooser.scope(cheap, None).found_in == frozenset({"p0"}), "p1 was given another price"


def test_the_very_set_stays_while_nothing_changes_and_is_made_again_soon_after(store: CatalogStore) -> None:
    clock = FakeClock()
    chooser = Chooser(store, clock)
    first = chooser.scope(IN_STOCK, None).chosen
    clock.advance_ms(60_000)
    assert chooser.scope(IN_STOCK, None).chosen is first, "an index remembers the set, not its content"
    sell_out(store, "p3")
    assert chooser.scope(IN_STOCK, None).chosen is first, "an import changes thousands of rows"
    clock.advance_ms(choosing.FRESH_NS / 1e6)
    again = chooser.scope(IN_STOCK, None).chosen
    assert again is not None and "p3" not in again


def test_sets_are_forgotten_oldest_first(store: CatalogStore) -> None:
    chooser = Chooser(store, FakeClock())
    first = chooser.scope(IN_STOCK, None).chosen
    for most in range(choosing.KEPT):
        chooser.scope(Where(currencies=frozenset({"EUR"}), prices=(0, most)), None)
    assert len(chooser._held) == choosing.KEPT
    assert chooser.scope(IN_STOCK, None).chosen is not first
