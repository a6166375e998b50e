"""The attributes question: its arithmetic, and that it keeps to the contributors nobody trained on."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from benchmarks.model_parts import attributes
from tests.shared import shared_path


def test_macro_f1_weighs_every_label_alike() -> None:
    truth = ["hat"] * 8 + ["polo"] * 2
    assert attributes.macro_f1(truth, truth) == 1.0
    assert attributes.macro_f1(truth, ["hat"] * 10) == pytest.approx((16 / 18 + 0) / 2)


def test_coverage_is_the_largest_share_at_nine_in_ten() -> None:
    sure = np.linspace(1, 0.5, 20)
    right = np.ones(20, bool)
    right[[9, 15, 16]] = False
    assert attributes.coverage(sure, right) == 0.75
    assert attributes.coverage(sure, np.zeros(20, bool)) == 0.0


def test_the_split_is_by_contributor() -> None:
    shared_path("clothing/train/labels.csv")
    held = {path for path, _ in attributes.garments()}
    senders: dict[bool, set[str]] = {True: set(), False: set()}
    for pack in attributes.PACKS:
        with shared_path(f"clothing/{pack}/labels.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                senders[str(shared_path(f"clothing/{row['image']}")) in held].add(row["sender_id"])
    assert len(held) > 700 and len(senders[True]) > 40
    assert not senders[True] & senders[False]
