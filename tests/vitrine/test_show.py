from __future__ import annotations

from overlay.bus.memory import MemoryBus
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from overlay.types import Product, ShowList
from stream.types import stream_id
from tests.fakes.clock import FakeClock
from vitrine.show import Show, ShowSettings

STREAM = stream_id("demo")


def show(clock: FakeClock, viewers: int = 0) -> Show:
    return Show(
        StreamPublisher(OverlayAuthor(STREAM, "instance"), MemoryBus()),
        offset_of=lambda epoch: 0,
        viewers=lambda: viewers,
        clock=clock,
        settings=ShowSettings(),
    )


def test_the_demand_is_who_watches() -> None:
    assert show(FakeClock(), viewers=7).demand().viewers == 7


def test_a_tapped_product_is_in_demand_for_ten_seconds() -> None:
    clock = FakeClock()
    tapped = show(clock)
    tapped.tapped("mug")
    clock.advance_ms(6_000)
    tapped.tapped("vase")
    tapped.tapped("vase")
    assert tapped.demand().tapped == 2
    clock.advance_ms(6_000)
    assert tapped.demand().tapped == 1
    clock.advance_ms(6_000)
    assert tapped.demand().tapped == 0


def test_listeners_are_told_what_may_be_shown_whenever_that_changes() -> None:
    told: list[ShowList] = []
    made = show(FakeClock())
    made.listeners.append(told.append)
    made.set_products([Product("mug", "Mug", "1.00 EUR", "https://shop.example/mug", "mug.jpg")])
    made.pin("mug", True)
    made.pin("mug", False)
    assert [set(shown.pids) for shown in told] == [{"mug"}] * 3
    assert [shown.pinned for shown in told] == [frozenset(), frozenset({"mug"}), frozenset()]
