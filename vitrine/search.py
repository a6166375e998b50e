"""Answers viewers' searches: what looks like this, all of this look, what goes with this."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from inference.search import Candidate, Refusal, judge, merged, occupied, on_person
from inference.types import Box, Match, MatchState
from overlay.catalog.store import CatalogStore
from overlay.errors import CatalogError
from overlay.ledger.sqlite import SqliteLedger
from overlay.messages import Card
from overlay.policy import ShopPolicy
from overlay.search import WORDS, Answer, Complete, Hit, Look, Object, Related, SearchRequest, Similar, Where
from overlay.types import Product, ShowList
from stream.clock import Clock
from stream.errors import EngineError
from stream.types import MediaTime, StreamId
from vitrine.choosing import Chooser, Scope
from vitrine.company import Company
from vitrine.errors import NoMoment
from vitrine.hub import StreamRuntime
from vitrine.line import Line
from vitrine.looking import Looking, Ranked, chosen, person_guard
from vitrine.moments import MOST_WAITING, Moment, Moments, StreamMemory
from vitrine.recall import followed, related, with_followed
from vitrine.recognition import Recognition
from vitrine.settings import Config, SearchConfig
from vitrine.shop import shop_policy

REFUSED: Final = {
    Refusal.PERSON: "People are not searched. Draw the box around a product instead.",
    Refusal.FACE: "Faces are not searched. Draw the box around the product only.",
}
NOTHING: Final = {
    "similar": ("No product of this shop looks like that.", "Nothing that looks like that fits your filter."),
    "look": ("No products were found in this picture.", "Nothing in this picture fits your filter."),
    "complete": (
        "Nothing in this shop is known to go with it.",
        "Nothing that goes with it fits your filter.",
    ),
}
"""By mode: without a filter, and with one."""
CANDIDATES: Final = 24


@dataclass(frozen=True, slots=True)
class SearchParts:
    """What searches are made of.

    Attributes:
        looking: the models' part.
        moments: decodes.
        company: what goes with what.
        store: the catalogue.
        policy: whose shop it is, for cards.
        clock: the engine's clock.
    """

    looking: Looking
    moments: Moments
    company: Company
    store: CatalogStore
    policy: ShopPolicy
    clock: Clock


class _Timed:
    """Milliseconds by stage."""

    def __init__(self, clock: Clock) -> None:
        self.took_ms: dict[str, float] = {}
        self._clock = clock
        self._began_ns = self._last_ns = clock.now_ns()

    def lap(self, stage: str, of_it_ns: int = 0) -> None:
        """The time since the last lap was for `stage`; what is left of it beside `of_it_ns` was waiting."""
        now_ns = self._clock.now_ns()
        passed_ns, self._last_ns = now_ns - self._last_ns, now_ns
        self.took_ms[stage] = round((of_it_ns or passed_ns) / 1e6, 2)
        if of_it_ns:
            self.took_ms["wait"] = round(max(0, passed_ns - of_it_ns) / 1e6, 2)
        self.took_ms["all"] = round((now_ns - self._began_ns) / 1e6, 2)


class Searcher:
    """Answers searches about running streams. Event loop only.

    Attributes:
        config: as configured.
        moments: decodes; also for stills.
    """

    def __init__(self, parts: SearchParts, config: SearchConfig) -> None:
        self.config = config
        self.moments = parts.moments
        self._parts = parts
        self._line = Line("searches", MOST_WAITING)
        self._chooser = Chooser(parts.store, parts.clock)
        self._lists: dict[StreamId, tuple[Mapping[str, int], frozenset[str]]] = {}

    async def answer(self, runtime: StreamRuntime, request: SearchRequest) -> Answer:
        """The answer to a search.

        Raises:
            EngineError: searching is off or not agreed to, the moment is not recorded, the product is not
                known, or the engine is too busy.
        """
        listed = runtime.show.listed()
        if not listed.recognition:
            raise EngineError(
                "search: the host has not agreed to products being recognised in this show",
                code="search-no-consent",
                http_status=403,
            )
        match request:
            case Complete():
                return await self._complete(runtime, listed, request)
            case Similar(product_id=str(product_id)):
                return await self._alike(runtime, listed, product_id, request)
            case Similar():
                return await self._region(runtime, listed, request)
            case Look():
                return await self._look(runtime, listed, request)

    def close(self) -> None:
        """Begin nothing more."""
        self.moments.close()
        self._line.close()

    async def moment(self, runtime: StreamRuntime, epoch: int, rtp: int) -> tuple[StreamMemory, Moment]:
        """What was on screen at a moment, and what is remembered around it.

        Raises:
            NoMoment: nothing is recorded, or not that moment.
            Busy: too many moments wait to be decoded.
            SourceError: it cannot be decoded.
        """
        memory = runtime.memory
        if memory is None:
            raise NoMoment(
                "search: this server keeps no video to search in; set search.enabled",
                code="search-off",
            )
        moment = await self.moments.get(runtime.stream, memory.recorder, MediaTime(epoch, rtp))
        return memory, moment

    # ---- modes ---------------------------------------------------------------------------------------------

    async def _region(self, runtime: StreamRuntime, listed: ShowList, asked: Similar) -> Answer:
        assert asked.epoch is not None and asked.rtp is not None and asked.box is not None
        region, timed = Box(*asked.box), _Timed(self._parts.clock)
        memory, moment = await self.moment(runtime, asked.epoch, asked.rtp)
        timed.lap("decode")
        looking = self._parts.looking
        where, scope = await self._scope(runtime, listed, asked.where)
        found = await looking.region(moment, region, _wanted(listed), scope)
        timed.lap("look", found.took_ns)
        key = moment.time
        if found.refused is not None:
            words = REFUSED[found.refused]
            return _answer("similar", "refused", key, timed, message=words, code=found.refused.value)
        known = followed(memory.sightings, moment.time, region, listed)
        sure = known is not None or occupied(region, found.scene)
        thresholds = looking.thresholds if sure else looking.thresholds.strict
        candidates = judge(_allowed(found.ranked[0], listed), thresholds)
        ranked = [one for one in with_followed(candidates, known) if scope.allows(one.product_id)]
        if ranked and ranked[0].state is MatchState.EXACT:  # what is only loosely like it helps nobody then
            ranked = [one for one in ranked if one.state is not MatchState.UNSURE]
        hits = await self._hits(runtime, listed, ranked[: asked.k], known, where)
        if any(hit.state != MatchState.UNSURE for hit in hits):
            return _answer("similar", "found", key, timed, hits=hits)
        titles = {hit.card.id: hit.card.title for hit in hits}
        words = NOTHING["similar"][bool(where)]
        return _answer("similar", "nothing", key, timed, message=words, moments=related(memory, titles, key))

    async def _look(self, runtime: StreamRuntime, listed: ShowList, asked: Look) -> Answer:
        timed = _Timed(self._parts.clock)
        memory, moment = await self.moment(runtime, asked.epoch, asked.rtp)
        timed.lap("decode")
        person, looking = None if asked.person is None else Box(*asked.person), self._parts.looking
        where, scope = await self._scope(runtime, listed, asked.where)
        found = await looking.objects(moment, person, _wanted(listed), scope)
        timed.lap("look", found.took_ns)
        objects = [Object(one.box, "person") for one in found.scene.people]
        hits: dict[str, Hit] = {}
        for thing, ranked in zip(chosen(found.scene, person), found.ranked, strict=True):
            plain = looking.thresholds
            thresholds = plain.strict if on_person(thing, found.scene) else plain
            candidates = judge(_allowed(ranked, listed), thresholds)
            known = followed(memory.sightings, moment.time, thing.box, listed)
            sure = [
                one
                for one in with_followed(candidates, known)
                if one.state is not MatchState.UNSURE and scope.allows(one.product_id)
            ]
            own = await self._hits(runtime, listed, sure[: asked.k], known, where)
            objects.append(Object(thing.box, "product", own))
            for hit in own[:1]:
                before = hits.get(hit.card.id)
                if before is None or hit.score > before.score:
                    hits[hit.card.id] = hit
        best = tuple(sorted(hits.values(), key=lambda hit: (hit.state != MatchState.EXACT, -hit.score)))
        outcome, words = ("found", "") if best else ("nothing", NOTHING["look"][bool(where)])
        return _answer("look", outcome, moment.time, timed, hits=best, objects=tuple(objects), message=words)

    async def _alike(
        self, runtime: StreamRuntime, listed: ShowList, product_id: str, asked: Similar
    ) -> Answer:
        timed, looking = _Timed(self._parts.clock), self._parts.looking
        products = await self._products(runtime, [product_id])
        own = products.get(product_id)
        if own is None or product_id in listed.hidden:
            raise _unknown(product_id)
        where, scope = await self._scope(runtime, listed, asked.where)
        within = scope.found_in
        lists = await self._line.submit(lambda: looking.like_product(product_id, _wanted(listed), within))
        ranked = [one for one in _allowed(merged(lists), listed) if one[0] != product_id]
        candidates = [  # of another product none can be "this product"
            one._replace(state=MatchState.SIMILAR) if one.state is MatchState.EXACT else one
            for one in judge(ranked, looking.thresholds)
        ]
        timed.lap("look")
        hits = await self._hits(runtime, listed, candidates, None, where, variants_of=own)
        outcome, words = ("found", "") if hits else ("nothing", NOTHING["similar"][bool(where)])
        return _answer("similar", outcome, None, timed, hits=hits[: asked.k], message=words)

    async def _complete(self, runtime: StreamRuntime, listed: ShowList, asked: Complete) -> Answer:
        timed, shown = _Timed(self._parts.clock), runtime.show.products
        products = await self._products(runtime, [asked.product_id])
        if asked.product_id not in products or asked.product_id in listed.hidden:
            raise _unknown(asked.product_id)
        own, where = products[asked.product_id], asked.where.of_shop(self._parts.policy.own_seller)
        shown = {one: product for one, product in shown.items() if where.allows(product)}
        rated = await self._line.submit(lambda: self._parts.company.of(own, shown, listed.hidden))
        timed.lap("look")
        hits = tuple(
            Hit(
                self._card(shown[one], listed),
                "",
                round(rating.score, 4),
                "Goes with it",
                True,
                rating.reason,
            )
            for one, rating in rated[: asked.k]
        )
        outcome, words = ("found", "") if hits else ("nothing", NOTHING["complete"][bool(where)])
        return _answer("complete", outcome, None, timed, hits=hits, message=words)

    # ---- details -------------------------------------------------------------------------------------------

    async def _scope(self, runtime: StreamRuntime, listed: ShowList, asked: Where) -> tuple[Where, Scope]:
        """What the viewer's filter means in this shop, and which products that leaves."""
        where, within = asked.of_shop(self._parts.policy.own_seller), self._within(runtime, listed)
        if not where:
            return where, Scope(within)

        def scoped() -> Scope:
            scope = self._chooser.scope(where, within)
            self._parts.looking.prepare(scope)
            return scope

        return where, await self._line.submit(scoped)

    def _within(self, runtime: StreamRuntime, listed: ShowList) -> frozenset[str] | None:
        """Which products may be found; the same set again while the list stays: the index remembers it."""
        if self.config.whole_catalogue:
            return None
        held = self._lists.get(runtime.stream)
        if held is None or held[0] is not listed.pids:
            held = self._lists[runtime.stream] = (listed.pids, frozenset(listed.pids))
        return held[1]

    async def _products(self, runtime: StreamRuntime, ids: Sequence[str]) -> dict[str, Product]:
        """Those of the show as it has them, others from the catalogue; unknown ones are left out."""
        found = {one: runtime.show.products[one] for one in ids if one in runtime.show.products}

        def others() -> None:
            for one in ids:
                if one not in found:
                    try:
                        found[one] = self._parts.store.get(one)
                    except CatalogError:  # removed since the index was made
                        continue

        if len(found) < len(ids):
            await self._line.submit(others)
        return found

    async def _hits(
        self,
        runtime: StreamRuntime,
        listed: ShowList,
        candidates: Sequence[Candidate],
        known: Match | None,
        where: Where,
        variants_of: Product | None = None,
    ) -> tuple[Hit, ...]:
        """Candidates that `where` allows, with their cards, in order; no variants of `variants_of`."""
        products = await self._products(runtime, [one.product_id for one in candidates])
        group = variants_of.item_group_id if variants_of is not None else ""
        hits = []
        for product_id, score, state in candidates:
            product = products.get(product_id)
            if product is None or not where.allows(product) or (group and product.item_group_id == group):
                continue
            reason = known.reason if known is not None and known.product_id == product_id else ""
            card = self._card(product, listed)
            hits.append(Hit(card, state, round(score, 4), WORDS[state], product_id in listed.pids, reason))
        return tuple(hits)

    def _card(self, product: Product, listed: ShowList) -> Card:
        image = f"/images/{quote(product.id, safe='')}/0"
        return self._parts.policy.card(product, listed.pids.get(product.id, 0), image)


def _wanted(listed: ShowList) -> int:
    return CANDIDATES + len(listed.hidden)


def _allowed(ranked: Ranked, listed: ShowList) -> Ranked:
    return [one for one in ranked if one[0] not in listed.hidden]


def _unknown(product_id: str) -> CatalogError:
    return CatalogError(
        f"product {product_id[:60]!r} is not in this show's catalogue", code="product-unknown"
    )


def _answer(
    mode: str,
    outcome: str,
    time: MediaTime | None,
    timed: _Timed,
    *,
    message: str = "",
    code: str = "",
    hits: tuple[Hit, ...] = (),
    objects: tuple[Object, ...] = (),
    moments: tuple[Related, ...] = (),
) -> Answer:
    timed.lap("answer")
    epoch, rtp = (time.epoch, time.rtp) if time is not None else (0, 0)
    return Answer(mode, outcome, message, code, epoch, rtp, hits, objects, moments, timed.took_ms)


async def open_search(
    config: Config, recognition: Recognition, store: CatalogStore, ledger: SqliteLedger, clock: Clock
) -> Searcher:
    """What answers the searches of one process, as configured; close it when done."""
    guard = await asyncio.to_thread(person_guard, recognition) if config.search.enabled else None
    parts = SearchParts(
        looking=Looking(recognition, guard, config.search.device_share, clock),
        moments=Moments(clock),
        company=Company(store, ledger),
        store=store,
        policy=shop_policy(config.catalog),
        clock=clock,
    )
    return Searcher(parts, config.search)
