"""Orders from the shop, over HTTP: what was bought together is what completes a look."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from overlay.ledger.orders import read_orders
from stream.errors import EngineError
from vitrine.auth import Role
from vitrine.engine import Engine
from vitrine.fleet import Elsewhere
from vitrine.http_api import json_reply

MOST_TOLD = 20
"""Problems listed in one answer."""


class OrdersApi:
    """``POST /api/orders``, for whoever holds the operator's key."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """All routes of this module."""
        return [web.post("/api/orders", self.orders)]

    async def orders(self, request: web.Request) -> web.Response:
        """Keep orders; answered when they are on disk, so a shop may tell them again until then."""
        engine = self._engine
        engine.auth.check(
            request.headers.get("Authorization"), Role.OPERATOR, None, peer=request.remote or ""
        )
        if not engine.recognises and (node := await engine.fleet.catalogue()) is not None:
            raise Elsewhere(node)
        data = await request.read()
        known = await asyncio.to_thread(engine.store.ids)
        found = await asyncio.to_thread(read_orders, data, known, int(time.time() * 1000))
        if found.problems and not found.read:
            raise EngineError(found.problems[0], code="orders-invalid", http_status=400)
        ledger = engine.shop.ledger
        ledger.record(*found.entries)
        if not await asyncio.to_thread(ledger.flush):
            raise EngineError(
                "the ledger cannot be written for the moment; tell the orders again",
                code="ledger-busy",
                http_status=503,
            )
        return json_reply(
            {"orders": found.orders, "ignored": found.ignored, "problems": found.problems[:MOST_TOLD]}
        )
