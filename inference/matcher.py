"""Which product a track shows: what to embed when, votes over a track, and when to say so. Pure.

A single crop is weak evidence (FACTS: half of the photos find their product), so similarities are pooled over
a track's best views (`inference.views`), judged with what is expected of the show (`inference.evidence`), and
compared between the tracks of one picture: a product is where it is most clearly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from inference.evidence import Case, Expected, Limits, OneSide, Rules, describe, hear, judge, within
from inference.types import UNMATCHED, Match, MatchState, Track
from inference.views import UNJUDGED, Look, View, ViewBank, in_sight

if TYPE_CHECKING:
    from inference.embedder import Calibration

__all__ = ["Limits", "Matcher", "MatcherSettings"]

NOTHING_KNOWN: Mapping[tuple[str, str], float] = {}
MOST_PAIRS = 20_000
"""Distances between products that are remembered."""


@dataclass(frozen=True, slots=True)
class MatcherSettings:
    """Thresholds and pace.

    Attributes:
        exact: pooled similarity for "this product".
        similar: pooled similarity for "something like it".
        margin: lead over the next product that "exact" needs.
        classes: thresholds of their own for some of the detector's classes.
        relative: the margin is for products a chord of 1 apart, and each pair of products has its own
            (`inference.evidence.Rules.apart`).
        one_side: what "exact" needs on top where a track was seen from one side only.
        keep: hysteresis: how far a claim may fall below its threshold and stay, as a share of the distance
            between `exact` and `similar`, which is the scale of an embedder's cosines.
        min_views: embeddings before "exact".
        memory: best views over which similarities are averaged.
        alike: cosine from which on two views show the same side.
        first_gap_ms: between the first embeddings of a track; grows by `gap_growth` each time...
        max_gap_ms: ...up to this for a sure track: a tracker may slip from one object to its neighbour...
        unsure_gap_ms: ...or this for an unsure one.
        gap_growth: factor.
        min_side: boxes narrower or lower than this share of the picture are not embedded.
        min_sight: what shows less of itself than this waits for a better moment, if anything is known of it.
        min_sharp: crops less sharp than this share of the sharpest of their track wait too...
        patience: ...but not more often than this in a row.
        contrary: views in a row that speak against a claim before all evidence from before them is dropped.
        pin_lead: what a pinned product is given on top when products are compared, as a share of `margin`.
        ignore: labels that are never products.
    """

    exact: float = 0.6
    similar: float = 0.45
    margin: float = 0.05
    classes: Mapping[str, Limits] = field(default_factory=dict)
    relative: bool = False
    one_side: OneSide = OneSide()
    keep: float = 0.33
    min_views: int = 2
    memory: int = 10
    alike: float = 0.97
    first_gap_ms: float = 120.0
    max_gap_ms: float = 1_000.0
    unsure_gap_ms: float = 400.0
    gap_growth: float = 1.5
    min_side: float = 0.03
    min_sight: float = 0.5
    min_sharp: float = 0.5
    patience: int = 4
    contrary: int = 2
    pin_lead: float = 0.5
    ignore: frozenset[str] = frozenset({"person"})

    def calibrated(self, own: Calibration) -> MatcherSettings:
        """The same on an embedder's own scale."""
        return replace(
            self,
            exact=own.exact,
            similar=own.similar,
            margin=own.margin,
            classes=own.classes,
            relative=own.relative,
            one_side=own.one_side,
            alike=own.alike(0.05),
        )


class Matcher:
    """The product claims of one stream. Not thread-safe.

    Attributes:
        settings: thresholds and pace.
        expected: the show's list and the host's pins.
    """

    def __init__(self, settings: MatcherSettings = MatcherSettings()) -> None:
        self.settings = settings
        self.expected = Expected()
        self._cases: dict[int, Case] = {}
        self._apart: dict[tuple[str, str], float] = {}
        whole = Limits(settings.exact, settings.similar, settings.margin)
        self._whole = self._rules_of(whole)
        self._classes = {label: self._rules_of(limits) for label, limits in settings.classes.items()}

    # ---- what is expected ----------------------------------------------------------------------------------

    def restrict(self, products: Collection[str] | None) -> None:
        """Only these products can be claimed (the show's list); None: all of the index."""
        self._expect(replace(self.expected, allowed=None if products is None else frozenset(products)))

    def pin(self, products: Collection[str]) -> None:
        """The host shows these products now: among look-alikes they are the likely ones."""
        self._expect(replace(self.expected, pinned=frozenset(products)))

    @property
    def allowed(self) -> frozenset[str] | None:
        """The show's list, None where there is none."""
        return self.expected.allowed

    def _expect(self, expected: Expected) -> None:
        if expected == self.expected:
            return
        self.expected, allowed = expected, expected.allowed
        for case in self._cases.values():
            if allowed is not None and case.claim not in allowed:
                case.claim, case.state, case.confirmed = "", MatchState.UNSURE, ""
            judge(case, self._rules(case), expected)

    # ---- what is looked at ---------------------------------------------------------------------------------

    def wanted(self, tracks: Sequence[Track], pts_ns: int, limit: int) -> list[int]:
        """Tracks whose crops to embed now: new before unsure before stale, what shows much before little.

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
            case = self._case(track.id)
            case.label = track.label
            if track.measured_ns != pts_ns or (case.asked and pts_ns - case.asked_ns < self._gap_ns(case)):
                continue
            sight = in_sight(track, tracks)
            if len(case.bank) and sight < self.settings.min_sight and not self._overdue(case, pts_ns):
                continue
            area = (box.x1 - box.x0) * (box.y1 - box.y0)
            due.append((self._rank(track, case), -area * sight, track.id))
        chosen = [track_id for _, _, track_id in sorted(due)[:limit]]
        for track_id in chosen:
            case = self._cases[track_id]
            case.asked += 1
            case.asked_ns = pts_ns
        return chosen

    def least_sharp(self, track_id: int) -> float:
        """Sharpness (`inference.views.sharpness`) below which a crop of this track is not worth embedding."""
        case = self._cases.get(track_id)
        if case is None or case.blurred >= self.settings.patience:
            return 0.0
        return self.settings.min_sharp * case.bank.sharpest

    def blurred(self, track_id: int) -> None:
        """A crop that was asked for was not worth embedding: ask again soon."""
        self._case(track_id).blurred += 1

    def vote(
        self,
        track_id: int,
        candidates: Iterable[tuple[str, float]],
        pts_ns: int,
        look: Look = UNJUDGED,
        apart: Mapping[tuple[str, str], float] = NOTHING_KNOWN,
    ) -> None:
        """One more view of a track.

        Args:
            track_id: whose.
            candidates: its nearest products, best first, with their cosines.
            pts_ns: when it was seen.
            look: how well, and what.
            apart: how far apart each two of them lie (`inference.holder.IndexHolder.apart`).
        """
        if len(self._apart) > MOST_PAIRS:
            self._apart.clear()
        for (one, other), distance in apart.items():
            self._apart[one, other] = self._apart[other, one] = distance
        case = self._case(track_id)
        view = View(within(dict(candidates), self.allowed), look)
        hear(case, view, self._rules(case), self.expected, self._bank())

    # ---- what is claimed -----------------------------------------------------------------------------------

    def match(self, track_id: int) -> Match:
        """What is claimed about a track now."""
        case = self._cases.get(track_id)
        if case is None or not case.bank.looks:
            return UNMATCHED
        found = case.said or describe(case, self._rules(case), self.expected)
        case.said = found  # asked for with every frame, judged a few times a second
        if case.state is MatchState.UNSURE or case.confirmed:
            return found
        lead = self._outdone_by(track_id, case)
        if lead > 2 * self._rules(case).limits.margin:
            reason = f"another object in the picture is clearly this product ({lead:.2f} more similar)"
            return replace(found, product_id="", state=MatchState.UNSURE, reason=reason)
        if case.state is MatchState.EXACT and lead >= 0.0:
            reason = "another object in the picture matches this product better"
            return replace(found, state=MatchState.SIMILAR, reason=reason)
        return found

    def looks(self, track_id: int, count: int = 4) -> list[Look]:
        """The best views of a track, of different sides: what a host's word about it is remembered by."""
        case = self._cases.get(track_id)
        return [] if case is None else case.bank.best(count)

    # ---- what the host says --------------------------------------------------------------------------------

    def confirm(self, track_id: int, product: str) -> None:
        """The host says that this track is that product. It is, until it clearly shows something else."""
        case = self._case(track_id)
        case.confirmed = product
        case.vetoed.discard(product)
        case.against.clear()
        judge(case, self._rules(case), self.expected)

    def veto(self, track_id: int, product: str) -> None:
        """The host says that this track is not that product: it is not claimed of it again."""
        case = self._case(track_id)
        case.vetoed.add(product)
        case.confirmed = "" if case.confirmed == product else case.confirmed
        if case.claim == product:
            case.claim, case.state = "", MatchState.UNSURE
        case.against.clear()
        judge(case, self._rules(case), self.expected)

    # ---- the life of tracks --------------------------------------------------------------------------------

    def rename(self, old: int, new: int) -> None:
        """A track turned out to continue another: their evidence is joined."""
        case = self._cases.pop(old, None)
        if case is None or old == new:
            return
        kept = self._cases.setdefault(new, case)
        if kept is not case:
            kept.bank.join(case.bank)
            kept.vetoed |= case.vetoed
            kept.confirmed = case.confirmed or kept.confirmed
            kept.asked_ns = case.asked_ns
            judge(kept, self._rules(kept), self.expected)

    def forget_all_but(self, track_ids: Collection[int]) -> None:
        """Drop the evidence about tracks that cannot come back."""
        for gone in [track_id for track_id in self._cases if track_id not in track_ids]:
            del self._cases[gone]

    # ---- details -------------------------------------------------------------------------------------------

    def _case(self, track_id: int) -> Case:
        found = self._cases.get(track_id)
        if found is None:
            found = self._cases[track_id] = Case(self._bank())
        return found

    def _bank(self) -> ViewBank:
        return ViewBank(self.settings.memory, self.settings.alike)

    def _rules(self, case: Case) -> Rules:
        return self._classes.get(case.label, self._whole)

    def _rules_of(self, limits: Limits) -> Rules:
        s = self.settings
        keep = s.keep * max(0.0, limits.exact - limits.similar)
        pin_lead = s.pin_lead * limits.margin
        return Rules(limits, keep, s.min_views, s.contrary, pin_lead, self._distance, s.one_side)

    def _distance(self, one: str, other: str) -> float:
        return self._apart.get((one, other), 1.0) if self.settings.relative else 1.0

    def _outdone_by(self, track_id: int, case: Case) -> float:
        """How much better another track matches the product it claims exactly; negative when none does."""
        mine = case.scores.get(case.claim, 0.0)
        leads = [
            (other.scores.get(case.claim, 0.0) - mine, other_id)
            for other_id, other in self._cases.items()
            if other_id != track_id and other.claim == case.claim and other.state is MatchState.EXACT
        ]
        better = [lead for lead, other_id in leads if lead > 0.0 or (lead == 0.0 and other_id < track_id)]
        return max(better, default=-1.0)

    def _overdue(self, case: Case, pts_ns: int) -> bool:
        """It was not seen well for so long that a bad view is better than none."""
        return pts_ns - case.asked_ns >= self.settings.patience * self._gap_ns(case)

    @staticmethod
    def _rank(track: Track, case: Case) -> int:
        """New tracks, then unsure ones, then stale ones; what may be no object at all comes last."""
        if not track.confirmed:
            return 3
        return 0 if not case.asked else 1 if case.state is not MatchState.EXACT else 2

    def _gap_ns(self, case: Case) -> int:
        s = self.settings
        if case.against or case.blurred:
            return int(s.first_gap_ms * 1e6)
        limit_ms = s.max_gap_ms if case.state is MatchState.EXACT else s.unsure_gap_ms
        return int(min(limit_ms, s.first_gap_ms * s.gap_growth ** min(case.asked - 1, 30)) * 1e6)
