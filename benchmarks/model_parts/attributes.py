"""What is it like? Categories of garments from contributors never trained on, packaging of cartons."""

from __future__ import annotations

import csv

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness import CannotRun, Outcome, Settings
from benchmarks.model_parts.pictures import shared
from benchmarks.model_parts.retrieval import load
from benchmarks.report import Row
from inference.attributes import AttributeModel, load_attributes
from inference.errors import ModelError

PRECISION = 0.9
PACKS = ("train", "dev")
"""Both packs of the clothing data have contributors in common; the split is by contributor across both."""


def never_trained_on(sender: str) -> bool:
    """Garments of this contributor are for validation; the rule that `training` keeps to."""
    return int(sender) % 4 == 2


def measure(settings: Settings) -> Outcome:
    """A row for categories and one for packaging; no bound was promised, so none is judged."""
    try:
        model = load_attributes()
    except ModelError as error:
        raise CannotRun(str(error)) from error
    rows: list[Row] = []
    settings.say("attributes: apparel category")
    rows.append({"subject": "attributes: category", **categories(model, 3 if settings.quick else 1)})
    settings.say("attributes: packaging")
    rows.append({"subject": "attributes: packaging of cartons", **packaging(model)})
    return rows, []


def categories(model: AttributeModel, every: int) -> Row:
    """Macro-F1 forced to answer, and what is answered when the model may abstain."""
    truth: list[str] = []
    best: list[str] = []
    given: list[bool] = []
    sure: list[float] = []
    labels = [label for label in model.heads["category"].labels if label != model.none]
    for path, label in garments()[::every]:
        if label not in labels:
            continue
        answer = model.logits(np.asarray(Image.open(path).convert("RGB"), np.uint8))["category"]
        shown = model.heads["category"].read(answer, model.none)
        truth.append(label)
        best.append(model.heads["category"].labels[int(answer.argmax())])
        given.append(shown.value is not None)
        sure.append(shown.confidence)
    right = np.array([a == b for a, b in zip(best, truth, strict=True)])
    told = np.array(given)
    return {
        "n": len(truth),
        "macro_f1": round(macro_f1(truth, best), 3),
        "accuracy": round(float(right.mean()), 3),
        "coverage_at_90": round(coverage(np.array(sure), right), 3),
        "answered": round(float(told.mean()), 3),
        "precision": round(float(right[told].mean()), 3) if told.any() else None,
    }


def garments() -> list[tuple[str, str]]:
    """Path and label (lower case) of each photo whose contributor was never trained on."""
    found = []
    for pack in PACKS:
        with shared(f"clothing/{pack}/labels.csv").open(newline="", encoding="utf-8") as file:
            found += [
                (str(shared(f"clothing/{row['image']}")), row["label"].lower())
                for row in csv.DictReader(file)
                if never_trained_on(row["sender_id"])
            ]
    return found


def packaging(model: AttributeModel) -> Row:
    """Hand-boxed cartons, never trained on: how many are called cartons, and how many something else."""
    cartons = load()
    new = cartons.unseen[cartons.labels]
    values = [model.tag(cartons.queries[i]).packaging.value for i in np.flatnonzero(new)]
    told = [value for value in values if value is not None]
    right = sum(value == "carton" for value in told)
    return {
        "n": len(values),
        "answered": round(len(told) / len(values), 3),
        "precision": round(right / len(told), 3) if told else None,
    }


def macro_f1(truth: list[str], answers: list[str]) -> float:
    """Mean F1 over the labels that occur in `truth`."""
    found = []
    for label in sorted(set(truth)):
        both = sum(a == b == label for a, b in zip(truth, answers, strict=True))
        found.append(2 * both / (truth.count(label) + answers.count(label)))
    return float(np.mean(found))


def coverage(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Largest share of the surest answers of which PRECISION are right."""
    order = np.argsort(-sure, kind="stable")
    good = np.flatnonzero(np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= PRECISION)
    return float((good[-1] + 1) / len(order)) if len(good) else 0.0
