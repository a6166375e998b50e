"""What a detector's classes mean to a shop: product, person, or nothing. Pure.

Without rules every class is a product but ``person``, which is the embedded detector's way: it knows no kinds
of product. A detector of fashion, groceries or cosmetics names dozens; rules say which of them are products,
which are people (kept, so that nothing on them is mistaken for a product of its own), and which to forget.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModelError
from inference.types import Detections

PERSON = "person"
"""Label of people, whatever a detector calls them: never a product, only matched with itself."""
FORGOTTEN = -1


@dataclass(frozen=True, slots=True)
class ClassRules:
    """Patterns of class names, as in a shell (``"*shoe*"``), upper and lower case alike.

    Where several match, `ignore` wins over `persons`, and that over `products`.

    Attributes:
        products: what becomes a product; empty takes all that is left.
        persons: people.
        ignore: what is forgotten.
    """

    products: tuple[str, ...] = ()
    persons: tuple[str, ...] = (PERSON,)
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassMap:
    """Rules applied to one detector's names.

    Attributes:
        names: labels of what is kept; products keep the detector's own name.
        table: int32, detector's label -> index into `names`, or `FORGOTTEN`; None where nothing changes.
        roles: detector's class name -> ``"product"``, ``"person"`` or ``"ignore"``, for people.
    """

    names: tuple[str, ...]
    table: NDArray[np.int32] | None
    roles: dict[str, str]

    def apply(self, found: Detections) -> Detections:
        """Detections with their classes' meaning; the order stays."""
        if self.table is None:
            return found
        labels = self.table[found.labels]
        keep = labels != FORGOTTEN
        return Detections(found.boxes[keep], found.scores[keep], labels[keep], self.names)


def class_map(names: tuple[str, ...], rules: ClassRules) -> ClassMap:
    """What `rules` make of a detector's class names.

    Raises:
        ModelError: a pattern matches no class (the nearest are named), or no class is left a product.
    """
    _check(names, rules)
    roles = [_role(name, rules) for name in names]
    if "product" not in roles:
        raise ModelError(
            f"classes: none of the detector's {len(names)} is left a product; change inference.products, "
            f"inference.persons or inference.ignore. It knows {_some(names)}"
        )
    by_name = dict(zip(names, roles, strict=True))
    if all(role == "product" or (role == "person" and name == PERSON) for name, role in by_name.items()):
        return ClassMap(names, None, by_name)
    kept: list[str] = []
    table = np.full(len(names), FORGOTTEN, np.int32)
    for index, (name, role) in enumerate(zip(names, roles, strict=True)):
        if role == "ignore":
            continue
        label = PERSON if role == "person" else name
        if label not in kept:
            kept.append(label)
        table[index] = kept.index(label)
    return ClassMap(tuple(kept), table, by_name)


def _role(name: str, rules: ClassRules) -> str:
    if _matches(name, rules.ignore):
        return "ignore"
    if _matches(name, rules.persons):
        return "person"
    return "product" if not rules.products or _matches(name, rules.products) else "ignore"


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _check(names: tuple[str, ...], rules: ClassRules) -> None:
    for key, patterns in (("products", rules.products), ("persons", rules.persons), ("ignore", rules.ignore)):
        for pattern in patterns:
            if (key, pattern) == ("persons", PERSON) or any(_matches(name, (pattern,)) for name in names):
                continue
            lower = {name.lower(): name for name in names}
            close = [lower[near] for near in difflib.get_close_matches(pattern.lower(), lower, 3, 0.5)]
            near_words = (
                f"did you mean {' or '.join(map(repr, close))}?" if close else f"it knows {_some(names)}"
            )
            raise ModelError(
                f"inference.{key}: got {pattern!r}, which no class of the detector matches; {near_words}"
            )


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
