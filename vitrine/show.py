"""One stream's show: products, pins, vetoes, and how results become messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from inference.types import Demand, FrameResult, Outcome
from overlay.hotspots import HotspotProjector, HotspotSettings
from overlay.messages import Snapshot
from overlay.policy import Consent, ShopPolicy
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from overlay.types import HotspotFrame, Product, ShowList
from stream.clock import Clock
from stream.types import SourceInfo
from vitrine.hold import HoldEstimator

TAPPED_NS: Final = 10_000_000_000
"""A product that was tapped gets more attention for so long."""


@dataclass(frozen=True, slots=True)
class ShowSettings:
    """How a show is presented.

    Attributes:
        hotspots: limits on what is shown.
        shop: whose shop it is, for labels and links.
        latency_ms: fixed delay of the viewers' video; 0 learns it.
    """

    hotspots: HotspotSettings = HotspotSettings()
    shop: ShopPolicy = ShopPolicy()
    latency_ms: int = 0


class Show:
    """Authors the overlay of one stream. Synchronous on the event loop; `run` sends the events.

    Args:
        publisher: the stream's author and its way to the bus.
        offset_of: viewers' RTP offset of an epoch (`Relay.offset`), None until its first frame was relayed.
        viewers: how many watch now.
        clock: the engine's clock.
        settings: presentation.

    Attributes:
        products: the show's list, by catalogue id.
        listeners: told what may be shown whenever the list or a pin changes.
    """

    def __init__(
        self,
        publisher: StreamPublisher,
        *,
        offset_of: Callable[[int], int | None],
        viewers: Callable[[], int],
        clock: Clock,
        settings: ShowSettings,
    ) -> None:
        self.products: dict[str, Product] = {}
        self.listeners: list[Callable[[ShowList], None]] = []
        self._publisher = publisher
        self._author: OverlayAuthor = publisher.author
        self._projector = HotspotProjector(settings.hotspots)
        self._offset_of, self._viewers, self._clock = offset_of, viewers, clock
        self._settings = settings
        self._hold = HoldEstimator()
        self._consent = Consent()
        self._tapped_ns: dict[str, int] = {}

    @property
    def latency_ms(self) -> int:
        """How far viewers are to hold their video back."""
        return self._settings.latency_ms or self._hold.current_ms

    def state(self) -> Snapshot:
        """Everything a viewer would be told now."""
        return self._author.snapshot()

    def listed(self) -> ShowList:
        """The show's list, less what may not be shown now."""
        return self._consent.limit(self._author.shown())

    # ---- what the host does --------------------------------------------------------------------------------

    def set_products(self, products: Sequence[Product]) -> None:
        """Replace the show's list. Starting a show with products is the host's consent to recognise them."""
        pids = self._author.pids_for([product.id for product in products])
        self.products = {product.id: product for product in products}
        self._consent = Consent.of_show(len(products))
        self._publisher.post(self._author.set_products(self._settings.shop.cards(products, pids)))
        self._tell()

    def pin(self, product_id: str, on: bool) -> None:
        """Pin or release.

        Raises:
            CatalogError: the show does not have it.
        """
        self._publisher.post(self._author.pin(self._author.pid_of(product_id), on))
        self._tell()

    def hide(self, product_id: str, on: bool) -> None:
        """Hide a product's hotspots or show them again.

        Raises:
            CatalogError: the show does not have it.
        """
        self._publisher.post(self._author.hide(self._author.pid_of(product_id), on))

    def _tell(self) -> None:
        for listener in self.listeners:
            listener(self._author.shown())

    # ---- what the pipeline does ----------------------------------------------------------------------------

    def live(self, epoch: int, info: SourceInfo) -> None:
        """A publisher connection delivers."""
        self._publisher.post(self._author.live(epoch, self._offset_of(epoch) or 0, self.latency_ms))

    def ended(self, reason: str) -> None:
        """The publisher went away."""
        self._publisher.post(self._author.ended(reason))

    def demand(self) -> Demand:
        """Who watches, and how many products are pinned or were tapped lately."""
        now_ns = self._clock.now_ns()
        for product_id in [p for p, at_ns in self._tapped_ns.items() if now_ns - at_ns > TAPPED_NS]:
            del self._tapped_ns[product_id]
        pinned = len(self._author.shown().pinned)
        return Demand(viewers=self._viewers(), pinned=pinned, tapped=len(self._tapped_ns))

    def tapped(self, product_id: str) -> None:
        """A viewer tapped a product: it is worth a closer look for some seconds."""
        self._tapped_ns[product_id] = self._clock.now_ns()

    def publish(self, result: FrameResult) -> HotspotFrame:
        """Project, author and send one result; positions go out at once."""
        frame = self._projector.project(result, self.listed())
        self._publisher.positions(frame)
        # without viewers detections are rare on purpose: that says nothing about a viewer's wait
        if result.outcome is Outcome.DETECTED and not self._settings.latency_ms and self._viewers():
            changed = self._hold.observe(
                pts_ns=result.pts_ns, arrived_ns=result.arrived_ns, sent_ns=self._clock.now_ns()
            )
            if changed is not None:
                self._publisher.post(self._author.latency(changed))
        return frame

    @property
    def fenced(self) -> bool:
        """Another node speaks for the stream by now."""
        return self._publisher.fenced

    async def run(self) -> None:
        """Send the events that were authored, in order, until cancelled or `fenced`."""
        await self._publisher.run()

    async def flush(self) -> None:
        """Send what waits now.

        Raises:
            BusError: not stored.
        """
        await self._publisher.flush()
