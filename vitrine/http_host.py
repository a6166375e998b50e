"""The host's side of recognition over HTTP: what the engine sees and why, teaching it, enrolling products."""

from __future__ import annotations

import base64
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from inference.apart import in_words
from inference.enrolment import ADVICE
from inference.types import MatchState, Track
from inference.views import PEOPLE
from inference.worker import StreamWorker
from overlay.catalog.pictures import encode_jpeg
from stream.errors import EngineError
from vitrine.auth import Role
from vitrine.engine import Engine
from vitrine.enrolling import Enrolling
from vitrine.http_api import json_reply, read_body, stream_named
from vitrine.hub import StreamRuntime

ProductId = Annotated[str, Meta(min_length=1, max_length=50)]
_DATA: Final = "data:image/jpeg;base64,"


class Word(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``teach``: whether an object of the picture is a product."""

    object: Annotated[int, Meta(ge=1)]
    product_id: ProductId
    right: bool


class Begin(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``enrol``."""

    product_id: ProductId
    seconds: Annotated[float, Meta(ge=2, le=60)] = 10.0


class Named(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``forget``."""

    product_id: ProductId


_word, _begin, _named = msgspec.json.Decoder(Word), msgspec.json.Decoder(Begin), msgspec.json.Decoder(Named)


class HostApi:
    """Routes below ``/api/streams/{stream}`` that take the host's key."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """All routes of this module."""
        base = "/api/streams/{stream}"
        return [
            web.get(f"{base}/seen", self.seen),
            web.post(f"{base}/teach", self.teach),
            web.get(f"{base}/taught", self.taught),
            web.post(f"{base}/forget", self.forget),
            web.post(f"{base}/enrol", self.enrol),
            web.get(f"{base}/enrol", self.enrolling),
            web.post(f"{base}/enrol/keep", self.keep),
            web.delete(f"{base}/enrol", self.give_up),
        ]

    # ---- what the engine sees ------------------------------------------------------------------------------

    async def seen(self, request: web.Request) -> web.Response:
        """The objects of the newest frame, what each is taken for, and why."""
        runtime = await self._host(request)
        newest = self._engine.newest.get(runtime.stream)
        if newest is None or not runtime.relay.live:
            return json_reply({"objects": []})
        result, sent = newest
        shown = {spot.id for spot in sent.hotspots}
        things = [track for track in result.tracks if track.confirmed and track.label not in PEOPLE]
        return json_reply({"objects": [self._object(track, runtime, track.id in shown) for track in things]})

    def _object(self, track: Track, runtime: StreamRuntime, shown: bool) -> dict[str, object]:
        match = track.match
        return {
            "id": track.id,
            "box": [round(float(edge), 4) for edge in track.box],
            "product_id": match.product_id,
            "title": self._title(runtime, match.product_id),
            "state": match.state.value,
            "score": round(match.score, 3),
            "views": match.views,
            "reason": match.reason,
            "next": "" if match.state is MatchState.UNSURE else self._title(runtime, match.rival),
            "shown": shown,
        }

    def _title(self, runtime: StreamRuntime, product_id: str) -> str:
        product = runtime.show.products.get(product_id)
        return product.title if product is not None else product_id

    # ---- teaching ------------------------------------------------------------------------------------------

    async def teach(self, request: web.Request) -> web.Response:
        """The host says that an object is a product, or that it is not."""
        runtime = await self._host(request)
        word = await read_body(request, _word, '{"object": 7, "product_id": "...", "right": true}')
        worker = _worker(runtime)
        kept = await self._engine.teacher.judge(worker, word.object, word.product_id, word.right)
        return json_reply({"remembered": kept})

    async def taught(self, request: web.Request) -> web.Response:
        """What is remembered of this show's products, all hosts together."""
        runtime = await self._host(request)
        listed = [
            {"product_id": one.product_id, "title": self._title(runtime, one.product_id), **one.views}
            for one in await self._engine.teacher.taught()
            if one.product_id in runtime.show.products
        ]
        return json_reply({"products": listed})

    async def forget(self, request: web.Request) -> web.Response:
        """Take back what was taught of a product."""
        await self._host(request)
        named = await read_body(request, _named, '{"product_id": "..."}')
        return json_reply({"forgotten": await self._engine.teacher.forget(named.product_id)})

    # ---- enrolling -----------------------------------------------------------------------------------------

    async def enrol(self, request: web.Request) -> web.Response:
        """Begin to learn the product that is held up to the camera."""
        runtime = await self._host(request)
        begin = await read_body(request, _begin, '{"product_id": "...", "seconds": 10}')
        self._engine.store.get(begin.product_id)
        if not runtime.relay.live:
            raise EngineError(
                "nobody is live; go live, then show the product", code="not-live", http_status=409
            )
        worker = _worker(runtime)
        made = self._engine.enroller.begin(worker, begin.product_id, begin.seconds)
        return json_reply(self._progress(runtime, made, 0))

    async def enrolling(self, request: web.Request) -> web.Response:
        """How far it is; ``?have=n``: without the first n pictures."""
        runtime = await self._host(request)
        have = request.query.get("have", "0")
        made = await self._engine.enroller.state(runtime.stream)
        return json_reply(self._progress(runtime, made, int(have) if have.isdecimal() else 0))

    async def keep(self, request: web.Request) -> web.Response:
        """The views that were collected become references of the product."""
        runtime = await self._host(request)
        made = await self._engine.enroller.keep(runtime.stream)
        return json_reply(self._progress(runtime, made, len(made.enrolment.taken)))

    async def give_up(self, request: web.Request) -> web.Response:
        """Throw away what was collected."""
        self._engine.enroller.cancel((await self._host(request)).stream)
        return web.Response(status=204)

    def _progress(self, runtime: StreamRuntime, made: Enrolling, have: int) -> dict[str, object]:
        enrolment, verdict = made.enrolment, made.verdict
        body: dict[str, object] = {
            "product_id": enrolment.product_id,
            "progress": round(enrolment.progress, 3),
            "done": verdict is not None,
            "advice": ADVICE[enrolment.advice],
            "views": len(enrolment.taken),
            "pictures": [
                _DATA + base64.b64encode(encode_jpeg(look.crop)).decode()
                for look in enrolment.taken[have:]
                if look.crop is not None
            ],
            "kept": made.kept,
        }
        if verdict is not None:
            titles = {product_id: product.title for product_id, product in runtime.show.products.items()}
            body |= {
                "telling": verdict.telling.value,
                "words": in_words(verdict, titles),
                "right": verdict.right,
                "right_before": verdict.right_before,
                "confused": [
                    {"product_id": one.product_id, "title": titles.get(one.product_id, one.product_id)}
                    | {"views": one.views, "similarity": round(one.similarity, 3)}
                    for one in verdict.confused[:4]
                ],
            }
        return body

    async def _host(self, request: web.Request) -> StreamRuntime:
        stream = stream_named(request.match_info["stream"])
        bearer = request.headers.get("Authorization")
        self._engine.auth.check(bearer, Role.HOST, stream, peer=request.remote or "")
        return await self._engine.streams.open(stream)


def _worker(runtime: StreamRuntime) -> StreamWorker:
    assert runtime.worker is not None, "a stream that is open here is recognised here"
    return runtime.worker
