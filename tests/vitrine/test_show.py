from __future__ import annotations

from overlay.bus.memory import MemoryBus
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
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
