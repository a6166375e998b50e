"""Which product a track shows: what to embed when, votes over a track, and when to say so. Pure.

A single crop is weak evidence (FACTS: half of the photos find their product), so similarities are pooled
along a track, a claim needs a margin over the next product, and a claim once made is kept until it is
clearly wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from inference.types import UNMATCHED, Match, MatchState, Track


@dataclass(frozen=True, slots=True)
class MatcherSettings:
    """Thresholds and pace.

    Attributes:
        exact: pooled similarity for "this product".
        similar: pooled similarity for "something like it".
        margin: lead over the next product that "exact" needs.
        keep: hysteresis: how far a claim may fall below its threshold and stay, as a share of the distance
            between `exact` and `similar`, which is the scale of an embedder's cosines.
        min_views: embeddings before "exact".
        memory: views over which similarities are averaged.
        first_gap_ms: between the first embeddings of a track; grows by `gap_growth` each time...
        max_gap_ms: ...up to this for a sure track: a tracker may slip from one object to its neighbour...
        unsure_gap_ms: ...or this for an unsure one.
        gap_growth: factor.
        min_side: boxes narrower or lower than this share of the picture are not embedded.
        contrary: views in a row that speak against a claim before all evidence from before them is dropped.
        ignore: labels that are never products.
    """

    exact: float = 0.6
    similar: float = 0.45
    margin: float = 0.05
    keep: float = 0.33
    min_views: int = 2
    memory: int = 10
    first_gap_ms: float = 120.0
    max_gap_ms: float = 1_000.0
    unsure_gap_ms: float = 400.0
    gap_growth: float = 1.5
    min_side: float = 0.03
    contrary: int = 2
    ignore: frozenset[str] = frozenset({"person"})


@dataclass(slots=True)
class _Case:
    """The evidence about one track."""

    scores: dict[str, float] = field(default_factory=dict)
    views: int = 0
    asked: int = 0
    asked_ns: int = 0
    claim: str = ""
    state: MatchState = MatchState.UNSURE
    against: list[dict[str, float]] = field(default_factory=list)


class Matcher:
    """The product claims of one stream. Not thread-safe."""

    def __init__(self, settings: MatcherSettings = MatcherSettings()) -> None:
        self.settings = settings
        self._cases: dict[int, _Case] = {}
        self._allowed: frozenset[str] | None = None
        self._keep = settings.keep * max(0.0, settings.exact - settings.similar)

    def restrict(self, products: Collection[str] | None) -> None:
        """Only these products can be claimed (the show's list); None: all of the index."""
        self._allowed = None if products is None else frozenset(products)
        for case in self._cases.values():
            if self._allowed is not None and case.claim not in self._allowed:
                case.claim, case.state = "", MatchState.UNSURE
            self._judge(case)

    @property
    def allowed(self) -> frozenset[str] | None:
        """The show's list, None where there is none."""
        return self._allowed

    def wanted(self, tracks: Sequence[Track], pts_ns: int, limit: int) -> list[int]:
        """Tracks whose crops to embed now: new before unsure before stale, large before small.

        Asking counts: a track returned here is not returned again before its gap has passed.
        """
        due = []
        for track in tracks:
            box = track.box
            if (
                track.label in self.settings.ignore
                or min(box.x1 - box.x0, box.y1 - box.y0) < self.settings.min_side
            ):
                continue
            case = self._cases.setdefault(track.id, _Case())
            if track.measured_ns == pts_ns and (
                not case.asked or pts_ns - case.asked_ns >= self._gap_ns(case)
            ):
                area = (box.x1 - box.x0) * (box.y1 - box.y0)
                due.append((self._rank(track, case), -area, track.id))
        chosen = [track_id for _, _, track_id in sorted(due)[:limit]]
        for track_id in chosen:
            case = self._cases[track_id]
            case.asked += 1
            case.asked_ns = pts_ns
        return chosen

    def vote(self, track_id: int, candidates: Iterable[tuple[str, float]], pts_ns: int) -> None:
        """One more view of a track: its nearest products, best first, with their cosines."""
        case = self._cases.setdefault(track_id, _Case())
        near = {p: s for p, s in candidates if self._allowed is None or p in self._allowed}
        self._weigh_against(case, near)
        case.views += 1
        share = 1.0 / min(case.views, self.settings.memory)
        floor = min(near.values(), default=0.0)  # at most as near as the worst candidate: that much is known
        for product in case.scores.keys() | near.keys():
            seen = near.get(product, floor)
            before = case.scores.get(product)
            case.scores[product] = (
                seen if before is None and case.views == 1 else self._pool(before, seen, floor, share)
            )
        self._judge(case)

    def match(self, track_id: int) -> Match:
        """What is claimed about a track now."""
        case = self._cases.get(track_id)
        if case is None or not case.views:
            return UNMATCHED
        score, margin = self._standing(case, case.claim or self._best(case))
        if case.state is MatchState.UNSURE:
            return Match("", MatchState.UNSURE, score, margin, case.views, self._doubt(case, score, margin))
        state, reason = case.state, f"seen from {case.views} views, {margin:.2f} ahead of the next"
        lead = self._outdone_by(track_id, case)
        if lead > 2 * self.settings.margin:
            reason = f"another object in the picture is clearly this product ({lead:.2f} more similar)"
            return Match("", MatchState.UNSURE, score, margin, case.views, reason)
        if state is MatchState.EXACT and lead >= 0.0:
            state, reason = MatchState.SIMILAR, "another object in the picture matches this product better"
        return Match(case.claim, state, score, margin, case.views, reason)

    def rename(self, old: int, new: int) -> None:
        """A track turned out to continue another: their evidence is joined."""
        case = self._cases.pop(old, None)
        if case is None or old == new:
            return
        kept = self._cases.setdefault(new, case)
        if kept is not case:
            for product, score in case.scores.items():
                kept.scores[product] = (kept.scores.get(product, score) + score) / 2
            kept.views += case.views
            kept.asked_ns = case.asked_ns
            self._judge(kept)

    def forget_all_but(self, track_ids: Collection[int]) -> None:
        """Drop the evidence about tracks that cannot come back."""
        for gone in [track_id for track_id in self._cases if track_id not in track_ids]:
            del self._cases[gone]

    def _weigh_against(self, case: _Case, near: dict[str, float]) -> None:
        """Start a track's evidence anew when several views in a row show something else.

        A track that slipped to the object beside it (a hand covered both) has a history that is true of
        another object. One view may be a blur; `contrary` of them are not.
        """
        own = near.get(case.claim, min(near.values(), default=0.0))
        ahead = max(near.values(), default=0.0) - own
        unlike = own < self.settings.similar - (1.0 - self.settings.similar) / 2
        if not case.claim or not (ahead >= self.settings.margin or unlike):
            case.against.clear()
            return
        case.against.append(near)
        if len(case.against) < self.settings.contrary:
            return
        case.scores, case.views, case.claim, case.state = {}, 0, "", MatchState.UNSURE
        earlier, case.against = case.against[:-1], []
        for view in earlier:
            case.views += 1
            for product, score in view.items():
                case.scores[product] = max(score, case.scores.get(product, 0.0))

    # ---- judgement -----------------------------------------------------------------------------------------

    @staticmethod
    def _pool(before: float | None, seen: float, floor: float, share: float) -> float:
        old = floor if before is None else before
        return old + (seen - old) * share

    def _judge(self, case: _Case) -> None:
        """Make, keep or withdraw the claim."""
        s = self.settings
        best = self._best(case)
        if not best:
            case.claim, case.state = "", MatchState.UNSURE
            return
        if case.claim and case.claim != best and case.state is not MatchState.UNSURE:
            score, margin = self._standing(case, case.claim)
            if score >= s.similar - self._keep and margin >= -s.margin:
                best = case.claim  # a challenger must lead by the margin before the label changes
        score, margin = self._standing(case, best)
        same = best == case.claim
        slack = self._keep if same and case.state is MatchState.EXACT else 0.0
        enough = case.views >= s.min_views or score >= s.exact + 2 * self._keep
        if enough and score >= s.exact - slack and margin >= s.margin * (0.5 if slack else 1.0):
            case.state = MatchState.EXACT
        else:
            slack = self._keep if same and case.state is not MatchState.UNSURE else 0.0
            likely = case.views >= s.min_views and score >= s.similar - slack
            case.state = MatchState.SIMILAR if likely else MatchState.UNSURE
        case.claim = "" if case.state is MatchState.UNSURE else best

    def _best(self, case: _Case) -> str:
        allowed = [p for p in case.scores if self._allowed is None or p in self._allowed]
        return max(allowed, key=lambda product: (case.scores[product], product), default="")

    def _standing(self, case: _Case, product: str) -> tuple[float, float]:
        """Pooled score of `product` and its lead over the best other (its own score where it is alone)."""
        own = case.scores.get(product, 0.0)
        others = [
            score
            for other, score in case.scores.items()
            if other != product and (self._allowed is None or other in self._allowed)
        ]
        return own, own - max(others, default=0.0)

    def _outdone_by(self, track_id: int, case: _Case) -> float:
        """How much better another track matches the product it claims exactly; negative when none does."""
        mine = case.scores.get(case.claim, 0.0)
        leads = [
            (other.scores.get(case.claim, 0.0) - mine, other_id)
            for other_id, other in self._cases.items()
            if other_id != track_id and other.claim == case.claim and other.state is MatchState.EXACT
        ]
        better = [lead for lead, other_id in leads if lead > 0.0 or (lead == 0.0 and other_id < track_id)]
        return max(better, default=-1.0)

    def _doubt(self, case: _Case, score: float, margin: float) -> str:
        if not case.scores:
            return "nothing to compare with"
        if case.views < self.settings.min_views:
            return f"seen from {case.views} view{'s' * (case.views != 1)}, too few to tell"
        return (
            f"best similarity {score:.2f} (needs {self.settings.similar:.2f}), {margin:.2f} ahead of the next"
        )

    @staticmethod
    def _rank(track: Track, case: _Case) -> int:
        """New tracks, then unsure ones, then stale ones; what may be no object at all comes last."""
        if not track.confirmed:
            return 3
        return 0 if not case.asked else 1 if case.state is not MatchState.EXACT else 2

    def _gap_ns(self, case: _Case) -> int:
        s = self.settings
        if case.against:
            return int(s.first_gap_ms * 1e6)
        limit_ms = s.max_gap_ms if case.state is MatchState.EXACT else s.unsure_gap_ms
        return int(min(limit_ms, s.first_gap_ms * s.gap_growth ** min(case.asked - 1, 30)) * 1e6)
