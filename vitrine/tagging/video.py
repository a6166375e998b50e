"""One recording from file to files: `tag_video`, the function that a batch runs wherever it runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image

from inference.device import DeviceWorker
from overlay.catalog.importer import embed_missing
from overlay.catalog.store import CatalogStore
from overlay.messages import Card
from overlay.types import Product
from stream.clock import MonotonicClock
from stream.errors import EngineError
from stream.recorded import Recording, describe_recording, read_frames, read_pictures
from stream.types import StreamId
from vitrine.config import Config
from vitrine.recognition import INDEX_DIR, Recognition, load_recognition, refresh_index
from vitrine.settings import InferenceConfig
from vitrine.shop import shop_policy
from vitrine.tagging.frames import Tags, tag_frames
from vitrine.tagging.job import TagJob, TagReport, TagState
from vitrine.tagging.page import FACTS, Replay, local_playlist, write_replay
from vitrine.tagging.pictures import contact_sheet, marked, moment, poster_cue, sheet_cues
from vitrine.tagging.track import VERSION, appearances, chapters, heading, to_chapters, to_json, to_webvtt

log = logging.getLogger(__name__)

ENDINGS: Final = (".vtt", ".chapters.vtt", ".poster.jpg", ".contact.jpg", ".hotspots.json")
"""Of the documents; the last one is written last and says that the others are whole."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A recording that was looked through.

    Attributes:
        recording: what it is.
        tags: what was found, by the file's own clock.
        products: the whole catalogue.
        poster: the best moment with its hotspots.
        sheet: one picture for each chapter; None where nothing decodes.
    """

    recording: Recording
    tags: Tags
    products: Sequence[Product]
    poster: Image.Image
    sheet: Image.Image | None


def tag_video(job: TagJob, on_progress: Callable[[int, int], None] | None = None) -> TagReport:
    """Tag one recording, unless that is done. Blocking; never raises, whatever the file is.

    The models stay loaded for the next job of this process.

    Args:
        job: what to do.
        on_progress: told of (frames done, frames in all or 0) from a thread of its own.
    """
    try:
        return asyncio.run(_tag(job, on_progress or (lambda done, total: None)))
    except EngineError as error:
        return TagReport(job.video, TagState.FAILED, str(error))
    except OSError as error:
        return TagReport(job.video, TagState.FAILED, f"{error.filename or job.video}: {error.strerror}")
    except Exception as error:  # a damaged file makes libraries raise whatever they like
        log.debug("tagging failed", exc_info=True)
        return TagReport(job.video, TagState.FAILED, f"{type(error).__name__}: {error}")


def prepare(config: Config) -> int:
    """Bring the product index up to date before several processes want it. Blocking.

    Products that this embedder has not seen yet (another one made the catalogue's vectors) are embedded.

    Returns:
        How many products can be recognised.

    Raises:
        EngineError: the models or the catalogue cannot be used.
    """
    recognition = _recognition(config.inference)
    store = CatalogStore(config.server.data_dir)
    try:
        asyncio.run(embed_missing(store, recognition.embedder))
        return _refresh(store, config, recognition)
    finally:
        recognition.index.close()
        store.close()


def _refresh(store: CatalogStore, config: Config, recognition: Recognition) -> int:
    server, embedder = config.catalog.index_server, recognition.embedder
    return refresh_index(store, config.server.data_dir, embedder, recognition.index, server=server)


@lru_cache(maxsize=1)
def _recognition(config: InferenceConfig) -> Recognition:
    return load_recognition(config, MonotonicClock())


async def _tag(job: TagJob, on_progress: Callable[[int, int], None]) -> TagReport:
    recording = await asyncio.to_thread(describe_recording, job.video)
    clock = MonotonicClock()
    device = DeviceWorker("device", clock=clock)
    store = CatalogStore(job.config.server.data_dir)
    try:
        recognition = replace(await asyncio.to_thread(_recognition, job.config.inference), device=device)
        await asyncio.to_thread(_refresh, store, job.config, recognition)
        products = store.list()
        made_from = await asyncio.to_thread(_made_from, job, recognition, products)
        if made_from and not job.again and (found := _whole(job, made_from)):
            return TagReport(job.video, TagState.SKIPPED, files=found)
        name = StreamId("tag")
        tags = await tag_frames(
            read_frames(job.video, name),
            worker=recognition.worker(name, clock),
            device=device,
            rung=recognition.detector.rungs[0],
            products=products,
            settings=job.settings,
            on_progress=lambda done: on_progress(done, recording.frames),
        )
        tags = tags.starting_at(recording.start_ns)
        tagged = await asyncio.to_thread(_illustrate, job.video, recording, tags, products)
        return await asyncio.to_thread(_write, job, tagged, store, made_from)
    finally:
        await device.close()
        store.close()


def _illustrate(video: str, recording: Recording, tags: Tags, products: Sequence[Product]) -> Tagged:
    titles = {product.id: product.title for product in products}
    best, cues = poster_cue(tags), sheet_cues(tags)
    times = [best.start_ns if best else tags.start_ns + (tags.end_ns - tags.start_ns) // 10]
    (still,) = read_pictures(video, times)
    poster = marked(still, best.hotspots if best else (), titles)
    stills = list(read_pictures(video, [cue.start_ns for cue in cues]))
    pictures = [marked(shot, cue.hotspots) for shot, cue in zip(stills, cues, strict=False)]
    parts = chapters(appearances(tags))
    captions = []
    for cue in cues[: len(pictures)]:
        part = next((p for p in reversed(parts) if p.start_ns <= cue.start_ns), None)
        names = heading(part, titles) if part else ""
        captions.append(f"{moment(cue.start_ns - tags.start_ns)} {names}")
    return Tagged(recording, tags, products, poster, contact_sheet(pictures, captions))


def _write(job: TagJob, tagged: Tagged, store: CatalogStore, made_from: str) -> TagReport:
    files: list[Path] = []
    policy = shop_policy(job.config.catalog)
    found = {spot.product_id for cue in tagged.tags.cues for spot in cue.hotspots}
    products = [product for product in tagged.products if product.id in found]
    note = ""
    if job.target is not None:
        linked = [p.image_link if p.image_link.startswith(("http://", "https://")) else "" for p in products]
        cards = [policy.card(p, 0, image) for p, image in zip(products, linked, strict=True)]
        files += _write_documents(job.target, tagged, cards, made_from)
    if job.page is not None:
        pictures = [store.picture_path(product.id, 0) for product in products]
        paths = [f"products/{n}.jpg" if picture else "" for n, picture in enumerate(pictures)]
        cards = [policy.card(p, 0, image) for p, image in zip(products, paths, strict=True)]
        documents = _documents(tagged, cards, made_from)
        kept = {path: picture for path, picture in zip(paths, pictures, strict=True) if picture}
        replay = Replay(job.video, documents, tagged.poster, tagged.sheet, kept, tagged.recording, made_from)
        note = write_replay(job.page, replay, static=job.static)
        files.append(job.page)
    tags = tagged.tags
    figures = {
        "frames": tags.frames,
        "detected": tags.detected,
        "hotspots": len({spot.id for cue in tags.cues for spot in cue.hotspots}),
        "products": len(found - {""}),
        "duration_ms": (tags.end_ns - tags.start_ns) // 1_000_000,
        "took_ms": tags.took_ns // 1_000_000,
    }
    return TagReport(job.video, TagState.TAGGED, note, tuple(str(file) for file in files), figures)


def _documents(tagged: Tagged, cards: Sequence[Card], made_from: str) -> dict[str, str]:
    """Texts by name: track, chapters, facts."""
    titles = {card.id: card.title for card in cards}
    facts = {**to_json(tagged.tags, cards), "made_from": made_from}
    return {
        "overlay.vtt": to_webvtt(tagged.tags, cards),
        "chapters.vtt": to_chapters(chapters(appearances(tagged.tags)), titles),
        FACTS: json.dumps(facts, ensure_ascii=False) + "\n",
    }


def _write_documents(target: Path, tagged: Tagged, cards: Sequence[Card], made_from: str) -> list[Path]:
    documents = _documents(tagged, cards, made_from)
    track, parts, poster, sheet, facts = (target.with_name(target.name + ending) for ending in ENDINGS)
    target.parent.mkdir(parents=True, exist_ok=True)
    facts.unlink(missing_ok=True)  # from here on nothing is whole
    track.write_text(documents["overlay.vtt"], encoding="utf-8")
    parts.write_text(documents["chapters.vtt"], encoding="utf-8")
    tagged.poster.save(poster, quality=88)
    files = [track, parts, poster, facts]
    if tagged.sheet is not None:
        tagged.sheet.save(sheet, quality=85)
        files.append(sheet)
    fresh = facts.with_name(facts.name + ".new")
    fresh.write_text(documents[FACTS], encoding="utf-8")
    fresh.replace(facts)
    return files


# ---- what it was made from -----------------------------------------------------------------------------


def _made_from(job: TagJob, recognition: Recognition, products: Sequence[Product]) -> str:
    """A hash of everything that what is written depends on, prices and words of products apart.

    Empty for an address, whose content nobody knows beforehand.
    """
    if "://" in job.video:
        return ""
    wanted = job.config.inference
    seal = job.config.server.data_dir / f"{INDEX_DIR}.sha256"
    settings = asdict(job.settings)
    settings["hotspots"]["never_labels"] = sorted(settings["hotspots"]["never_labels"])
    parts = {
        "version": VERSION,
        "content": _content_hash(Path(job.video)),
        "detector": recognition.detector.info.sha256,
        "embedder": recognition.embedder.model_hash,
        "inference": [wanted.min_score, wanted.rungs, wanted.family, wanted.names, wanted.products]
        + [wanted.persons, wanted.ignore],
        "catalogue": [seal.read_text() if seal.exists() else "", [product.id for product in products]],
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _content_hash(video: Path) -> str:
    files = [video, *local_playlist(video)]
    hashes = []
    for file in files:
        with file.open("rb") as opened:
            hashes.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return " ".join(hashes)


def _whole(job: TagJob, made_from: str) -> tuple[str, ...]:
    """Files of an earlier run that made the same from the same; empty when anything is missing."""
    files: list[Path] = []
    if job.target is not None:
        documents = [job.target.with_name(job.target.name + ending) for ending in ENDINGS]
        if _told(documents[-1]) != made_from or not all(file.is_file() for file in documents[:3]):
            return ()
        files += [file for file in documents if file.is_file()]
    if job.page is not None:
        page = job.page / "index.html"
        if _told(job.page / "replay.json") != made_from or (job.static and not page.is_file()):
            return ()
        files.append(job.page)
    return tuple(str(file) for file in files)


def _told(facts: Path) -> str:
    try:
        found = json.loads(facts.read_bytes())
        return str(found.get("made_from", "")) if isinstance(found, dict) else ""
    except (OSError, ValueError):
        return ""
