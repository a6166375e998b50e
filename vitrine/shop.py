"""The shop side of one process: catalogue import, answers to taps, the ledger of what was seen and tapped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from types import TracebackType

from inference.embedder import OnnxEmbedder
from overlay.catalog.importer import ImportOptions, ImportReport, embed_missing, import_feed
from overlay.catalog.rows import RowProblem
from overlay.catalog.store import CatalogStore
from overlay.commerce.base import Commerce
from overlay.commerce.http import HttpCommerce, HttpCommerceSettings
from overlay.commerce.static import StaticCommerce
from overlay.errors import CatalogError, CommerceError
from overlay.ledger.sqlite import SqliteLedger
from overlay.ledger.types import Entry, Kind
from overlay.messages import Card, TapResult
from overlay.policy import ShopPolicy
from overlay.taps import TapOutcome
from stream.clock import Clock
from stream.types import StreamId
from vitrine.config import CatalogConfig, Config

log = logging.getLogger(__name__)

LEDGER_FILE = "ledger.db"


def shop_policy(catalog: CatalogConfig) -> ShopPolicy:
    """Whose shop this is, for labels and links."""
    return ShopPolicy(
        own_seller=catalog.own_seller,
        partners=frozenset(catalog.partners),
        link_hosts=frozenset(catalog.link_hosts),
    )


class Shop:
    """An async context manager.

    Args:
        config: the configuration.
        store: the catalogue.
        embedder: makes the vectors of imported pictures; None on a node without a catalogue, which answers
            taps from the show's own list.
        clock: for deadlines and freshness.

    Attributes:
        ledger: append-only record of impressions and taps.
    """

    def __init__(
        self, config: Config, store: CatalogStore, embedder: OnnxEmbedder | None, clock: Clock
    ) -> None:
        self.ledger = SqliteLedger(config.server.data_dir / LEDGER_FILE)
        self._store, self._embedder, self._policy = store, embedder, shop_policy(config.catalog)
        self._told: frozenset[RowProblem] = frozenset()
        address = config.catalog.shop
        self._commerce: Commerce | None = None
        if address != "static":
            self._commerce = HttpCommerce(HttpCommerceSettings(address), clock)
        elif embedder is not None:
            self._commerce = StaticCommerce(store, self._policy)

    async def __aenter__(self) -> Shop:
        if self._embedder is not None:
            await embed_missing(self._store, self._embedder)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._commerce is not None:
            await self._commerce.close()
        await asyncio.to_thread(self.ledger.close)

    async def import_feed(self, catalog: CatalogConfig, *, recheck: bool = True) -> ImportReport:
        """Import the feed; bad rows are logged once, good ones serve after the next index refresh.

        Args:
            catalog: which feed, and how.
            recheck: also ask for pictures whose address stayed the same.

        Raises:
            FeedError: the feed cannot be read at all.
        """
        assert self._embedder is not None, "a node without a catalogue imports nothing"
        options = ImportOptions(catalog.format, catalog.currency, catalog.prune, recheck)
        report = await import_feed(catalog.feed, self._store, self._embedder, options=options)
        told, self._told = self._told, frozenset(report.rows_bad)
        for row in report.rows_bad:
            if row in told:
                continue
            log.warning(
                "catalogue row skipped",
                extra={"line": row.line, "product": row.id, "field": row.field, "reason": row.message},
            )
        return report

    def cards(self, product_ids: Sequence[str]) -> list[Card]:
        """What viewers are shown of these products now, without pictures; gone ones are left out. Blocking.

        Raises:
            CatalogError: this node has no catalogue to ask.
        """
        if not len(self._store):
            raise CatalogError("this node has no catalogue", code="catalog-empty")
        found = []
        for product_id in product_ids:
            with contextlib.suppress(CatalogError):
                found.append(self._policy.card(self._store.get(product_id), 0, ""))
        return found

    async def on_tap(self, stream: StreamId, viewer: str, outcome: TapOutcome) -> TapResult:
        """Answer a tap with the product's card as the shop has it now; record it either way."""
        card = outcome.card
        self._record_tap(stream, viewer, outcome, card)
        if card is None:
            return outcome.result()
        reason = ""
        if self._commerce is None:
            return TapResult(outcome.tap.id, outcome.hit, outcome.state, card)
        try:
            card = (await self._commerce.product(card.id)).on(card)
        except CommerceError as error:
            log.warning("shop did not answer", extra={"product": card.id, "reason": str(error)})
            reason = "as of the show's list"
        return TapResult(outcome.tap.id, outcome.hit, outcome.state, card, reason)

    def on_seen(self, stream: StreamId, viewer: str, product_ids: tuple[str, ...]) -> None:
        """Record impressions."""
        at_ms = int(time.time() * 1000)
        self.ledger.record(
            *(Entry(Kind.IMPRESSION, stream, product_id, viewer, at_ms) for product_id in product_ids)
        )

    def _record_tap(self, stream: StreamId, viewer: str, outcome: TapOutcome, card: Card | None) -> None:
        tap = outcome.tap
        self.ledger.record(
            Entry(
                Kind.TAP,
                stream,
                card.id if card else "",
                viewer,
                int(time.time() * 1000),
                key=f"{stream}/{viewer}/{tap.id}",
                hotspot=outcome.spot.id if outcome.spot else 0,
                state=outcome.state if outcome.hit else "",
                placement="paid" if card and card.label.startswith("Paid") else "organic",
                epoch=tap.epoch,
                rtp=tap.rtp,
            )
        )
