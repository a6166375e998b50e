"""What the show's past says about a search: whom the engine followed there, when something like it was shown.

[C]: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from inference.search import Candidate, overlap
from inference.types import Box, Match, MatchState
from overlay.search import Related
from overlay.types import ShowList
from stream.types import MediaTime
from vitrine.moments import StreamMemory
from vitrine.recorder import Stretch
from vitrine.sightings import Shown, Sightings

SAME_OBJECT: Final = 0.5
"""Overlap (IoU) from which on a region is the object that the engine followed there."""
MOST_MOMENTS: Final = 4
ITSELF_NS: Final = 5_000_000_000
"""A showing so near to the moment that was searched is no other moment."""
_RANK: Final = {MatchState.EXACT: 0, MatchState.SIMILAR: 1, MatchState.UNSURE: 2}


def followed(sightings: Sightings, time: MediaTime, region: Box, listed: ShowList) -> Match | None:
    """What the engine, having followed the object through many frames, took it for; None where it did not."""
    decision = sightings.near(time)
    if decision is None:
        return None
    tracks = [
        track
        for track in decision.tracks
        if track.match.state is not MatchState.UNSURE and track.match.product_id not in listed.hidden
    ]
    best = max(tracks, key=lambda track: overlap(region, track.box), default=None)
    return best.match if best is not None and overlap(region, best.box) >= SAME_OBJECT else None


def with_followed(candidates: Sequence[Candidate], known: Match | None) -> list[Candidate]:
    """Candidates, with what many frames said weighing more than what this one does."""
    if known is None:
        return list(candidates)
    own = next((one for one in candidates if one.product_id == known.product_id), None)
    score = known.score if own is None else max(own.score, known.score)
    state = known.state if own is None else min(own.state, known.state, key=_RANK.__getitem__)
    others = [
        one._replace(state=MatchState.SIMILAR)
        if known.state is MatchState.EXACT and one.state is MatchState.EXACT
        else one
        for one in candidates
        if one.product_id != known.product_id
    ]
    joined = [Candidate(known.product_id, score, state), *others]
    return sorted(joined, key=lambda one: (_RANK[one.state], -one.score))


def related(memory: StreamMemory, titles: Mapping[str, str], time: MediaTime) -> tuple[Related, ...]:
    """Other moments of the show at which one of `titles` (by product id, likest first) was shown."""
    decision = memory.sightings.near(time)
    here_ns = decision.pts_ns if decision is not None else None
    found: list[Related] = []
    for product_id, title in titles.items():
        spans = memory.sightings.shown(product_id)
        other = [span for span in spans if here_ns is None or not _covers(span, here_ns)]
        found += [_related(memory, span, title) for span in other[:1]]
    return tuple(found[:MOST_MOMENTS])


def _covers(span: Shown, at_ns: int) -> bool:
    return span.first_ns - ITSELF_NS <= at_ns <= span.last_ns + ITSELF_NS


def _related(memory: StreamMemory, span: Shown, title: str) -> Related:
    return Related(
        product_id=span.product_id,
        title=title,
        epoch=span.best.epoch,
        rtp=span.best.rtp,
        ago_ms=(memory.sightings.newest_ns - span.best_ns) // 1_000_000,
        seconds=round((span.last_ns - span.first_ns) / 1e9, 1),
        recorded=isinstance(memory.recorder.stretch(span.best), Stretch),
    )
