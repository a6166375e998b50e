"""What the views of one track say about which product it is. Pure.

Similarities are pooled over the best views; a claim needs to be near enough and a margin over the next
product; a claim once made is kept until it is clearly wrong; and a host's word outweighs all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from inference.types import Match, MatchState
from inference.views import View, ViewBank

SAME = 0.3
"""Products nearer than this (a cosine of .955) have the same picture, as variants often do: a small lead of
one over the other says nothing."""


ALIKE = 0.6
"""Products nearer than this (a cosine of .82) are called look-alikes."""


def scale(distance: float) -> float:
    """What a margin is multiplied with for two products so far apart; 1 where they have the same picture."""
    return distance if distance >= SAME else 1.0


class Limits(NamedTuple):
    """Thresholds that mean something for one embedder, and perhaps for one class of objects only.

    Attributes:
        exact: pooled similarity for "this product".
        similar: pooled similarity for "something like it".
        margin: lead over the next product that "exact" needs; see `Rules.apart`.
    """

    exact: float = 0.6
    similar: float = 0.45
    margin: float = 0.05


class OneSide(NamedTuple):
    """What "exact" needs on top where a track was seen from one side only.

    Views of one side err together: ten of them say hardly more than one, and which side of a product tells it
    from others, one side does not say. How many sides were seen is told by how alike the views are.

    Attributes:
        exact: added to `Limits.exact`.
        margin: added to `Limits.margin`.
        several: mean cosine between a track's views up to which they show several sides: nothing is added.
        one: from which on they show one: all of it is. A share of it between the two.
    """

    exact: float = 0.0
    margin: float = 0.0
    several: float = 0.65
    one: float = 0.92

    def share(self, likeness: float) -> float:
        """How much of it is added for a track whose views are so alike, 0..1."""
        return min(1.0, max(0.0, (likeness - self.several) / max(self.one - self.several, 1e-6)))


@dataclass(frozen=True, slots=True)
class Expected:
    """What is likely before anything was seen.

    Attributes:
        allowed: the show's list: nothing else can be claimed. None: all of the index.
        pinned: products the host shows right now.
    """

    allowed: frozenset[str] | None = None
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """How a case is judged.

    Attributes:
        limits: thresholds.
        keep: similarity by which a claim may fall below its threshold and stay.
        min_views: looks before "exact".
        contrary: views in a row that speak against a claim before all evidence from before them is dropped.
        pin_lead: similarity that a pinned product is given on top when products are compared.
        apart: how far apart the catalogue's pictures of two products lie (chord; 1: a cosine of .5, or not
            known), by which the margin is scaled. A view is off by as much in every direction, so
            between look-alikes a small lead says as much as a large one between things that have nothing in
            common: each pair has the margin that the catalogue itself gives it.
        one_side: what is asked for on top of `limits` where one side was seen.
    """

    limits: Limits
    keep: float
    min_views: int
    contrary: int
    pin_lead: float
    apart: Callable[[str, str], float] = lambda one, other: 1.0
    one_side: OneSide = OneSide()

    def seen(self, likeness: float) -> Rules:
        """These for a track whose views are so alike (`inference.views.ViewBank.likeness`)."""
        share = self.one_side.share(likeness)
        if not share:
            return self
        exact, similar, margin = self.limits
        stricter = Limits(exact + share * self.one_side.exact, similar, margin + share * self.one_side.margin)
        return replace(self, limits=stricter)

    def margin(self, one: str, other: str) -> float:
        """Lead that one product needs over another."""
        return self.limits.margin * scale(self.apart(one, other))


class Standing(NamedTuple):
    """How a product stands: pooled similarity, lead over the best other product, and which that is."""

    score: float
    lead: float
    rival: str


@dataclass(slots=True)
class Case:
    """The evidence about one track.

    Attributes:
        bank: the views that count.
        label: the detector's class name, for thresholds of its own.
        asked: how often a crop was asked for.
        asked_ns: media time of the last time.
        blurred: crops in a row that were not worth embedding.
        claim: the product claimed, "" for none.
        state: how surely.
        confirmed: the product the host said it is, "" for none.
        vetoed: products the host said it is not.
        against: views in a row that speak against the claim.
        scores: pooled similarities, as of the last judgement.
        said: the claim in words, once it was asked for after the last judgement.
    """

    bank: ViewBank
    label: str = ""
    asked: int = 0
    asked_ns: int = 0
    blurred: int = 0
    claim: str = ""
    state: MatchState = MatchState.UNSURE
    confirmed: str = ""
    vetoed: set[str] = field(default_factory=set)
    against: list[View] = field(default_factory=list)
    scores: Mapping[str, float] = field(default_factory=dict)
    said: Match | None = None

    def open_to(self, expected: Expected) -> dict[str, float]:
        """Pooled similarities of the products that can be claimed."""
        allowed = expected.allowed
        return {
            product: score
            for product, score in self.scores.items()
            if product not in self.vetoed and (allowed is None or product in allowed)
        }


def hear(case: Case, view: View, rules: Rules, expected: Expected, fresh: ViewBank) -> None:
    """One more view. `fresh` takes the place of the bank when the track turns out to show something else.

    A track that slipped to the object beside it (a hand covered both) has a history that is true of another
    object. One view may be a blur; `Rules.contrary` of them are not. Then what the host confirmed is void: it
    was about that other object. A veto stays, because a wrong claim is worse than none.
    """
    case.blurred = 0
    if _speaks_against(case, view, rules):
        case.against.append(view)
    else:
        case.against.clear()
    if case.against and len(case.against) >= rules.contrary:
        for earlier in case.against[:-1]:
            fresh.add(earlier)
        case.bank, case.against = fresh, []
        case.claim, case.state, case.confirmed = "", MatchState.UNSURE, ""
    case.bank.add(view)
    judge(case, rules, expected)


def judge(case: Case, rules: Rules, expected: Expected) -> None:
    """Make, keep or withdraw the claim."""
    case.said = None
    case.scores = case.bank.pooled() if len(case.bank) else {}
    open_to = case.open_to(expected)
    if case.confirmed:
        case.claim, case.state = case.confirmed, MatchState.EXACT
        return
    best = favourite(open_to, rules, expected)
    if not best:
        case.claim, case.state = "", MatchState.UNSURE
        return
    rules = rules.seen(case.bank.likeness)
    exact, similar, _ = rules.limits
    if case.claim in open_to and case.claim != best and case.state is not MatchState.UNSURE:
        held = standing(open_to, case.claim, rules, expected)
        firm = held.score >= similar - rules.keep and held.lead >= -rules.margin(best, case.claim)
        if firm and best not in expected.pinned:
            best = case.claim  # a challenger must lead by the margin before the label changes
    score, lead, rival = standing(open_to, best, rules, expected)
    margin = rules.margin(best, rival)
    same, looks = best == case.claim, case.bank.looks
    slack = rules.keep if same and case.state is MatchState.EXACT else 0.0
    enough = looks >= rules.min_views or score >= exact + 2 * rules.keep
    if enough and score >= exact - slack and lead >= margin * (0.5 if slack else 1.0):
        case.state = MatchState.EXACT
    else:
        slack = rules.keep if same and case.state is not MatchState.UNSURE else 0.0
        likely = looks >= rules.min_views and score >= similar - slack
        case.state = MatchState.SIMILAR if likely else MatchState.UNSURE
    case.claim = "" if case.state is MatchState.UNSURE else best


def favourite(scores: Mapping[str, float], rules: Rules, expected: Expected) -> str:
    """The product that leads, "" where there is none."""
    return max(
        scores, key=lambda product: (_weighed(product, scores[product], rules, expected), product), default=""
    )


def standing(scores: Mapping[str, float], product: str, rules: Rules, expected: Expected) -> Standing:
    """How `product` stands among `scores`; alone, it leads by its own similarity."""
    own = scores.get(product, 0.0)
    others = {other: score for other, score in scores.items() if other != product}
    rival = favourite(others, rules, expected)
    ahead = _weighed(product, own, rules, expected)
    return Standing(own, ahead - (_weighed(rival, others[rival], rules, expected) if rival else 0.0), rival)


def describe(case: Case, rules: Rules, expected: Expected) -> Match:
    """The claim in words for people."""
    open_to = case.open_to(expected)
    stands = standing(open_to, case.claim or favourite(open_to, rules, expected), rules, expected)
    score, lead, rival = stands
    looks = case.bank.looks
    words = _reason(case, rules.seen(case.bank.likeness), stands, bool(open_to))
    would_do = score >= rules.limits.exact and lead >= rules.margin(case.claim, rival)
    if case.state is MatchState.SIMILAR and would_do and looks >= rules.min_views:
        words += ", from one side only"  # turning it is what helps
    return Match(case.claim, case.state, score, lead, looks, words, rival)


def _reason(case: Case, rules: Rules, stands: Standing, any_near: bool) -> str:
    views = case.bank.looks
    seen = f"seen from {views} view{'s' * (views != 1)}"
    if case.bank.sides < views and case.bank.sides > 1:
        seen += f" of {case.bank.sides} sides"
    ahead = f"{stands.lead:.2f} ahead of the next"
    if stands.rival and rules.apart(case.claim, stands.rival) < ALIKE:
        ahead += ", a look-alike"
    exact, similar, _ = rules.limits
    if case.confirmed:
        return f"the host said so, {seen}"
    if case.state is MatchState.EXACT:
        return f"{seen}, {ahead}"
    if case.state is MatchState.SIMILAR:
        near = stands.score >= exact
        return (
            f"{seen}, only {ahead}"
            if near
            else f"{seen}, like it ({stands.score:.2f}, sure from {exact:.2f})"
        )
    if not any_near:
        return "the host said what it is not" if case.vetoed else "nothing to compare with"
    if views < rules.min_views:
        return f"{seen}, too few to tell"
    return f"{seen}, nothing is near: best similarity {stands.score:.2f} (needs {similar:.2f})"


def _weighed(product: str, score: float, rules: Rules, expected: Expected) -> float:
    return score + (rules.pin_lead if product in expected.pinned else 0.0)


def _speaks_against(case: Case, view: View, rules: Rules) -> bool:
    if not case.claim:
        return False
    _, similar, margin = rules.limits
    own = view.scores.get(case.claim, view.floor)
    open_to = (score for product, score in view.scores.items() if product not in case.vetoed)
    ahead = max(open_to, default=0.0) - own
    return ahead >= margin or own < similar - (1.0 - similar) / 2


def within(scores: Mapping[str, float], allowed: Collection[str] | None) -> dict[str, float]:
    """Those of `scores` that are allowed."""
    return {product: score for product, score in scores.items() if allowed is None or product in allowed}
