from __future__ import annotations

import numpy as np
import pytest

from inference.classes import ClassRules, class_map
from inference.detectors.coco import COCO_80
from inference.errors import ModelError
from inference.types import Detections

FASHION = ("Model", "hand", "long sleeve dress", "short sleeve dress", "bag", "Shoe", "mannequin")


def found(*labels: int, names: tuple[str, ...] = FASHION) -> Detections:
    count = len(labels)
    boxes = np.linspace(0, 1, count * 4, dtype=np.float32).reshape(count, 4)
    return Detections(
        boxes, np.linspace(0.9, 0.1, count, dtype=np.float32), np.array(labels, np.int32), names
    )


def words(detections: Detections) -> list[str]:
    return [detections.names[label] for label in detections.labels]


def test_without_rules_nothing_changes() -> None:
    for names in (("product", "person"), COCO_80, FASHION):
        mapped = class_map(names, ClassRules())
        detections = found(1, 0, names=names)
        assert mapped.apply(detections) is detections
    assert class_map(COCO_80, ClassRules()).roles["person"] == "person"
    assert class_map(COCO_80, ClassRules()).roles["bottle"] == "product"


def test_people_are_called_person_and_products_keep_their_names() -> None:
    rules = ClassRules(persons=("model", "mannequin"), ignore=("hand",))
    mapped = class_map(FASHION, rules).apply(found(0, 1, 2, 4, 6, 5))
    assert words(mapped) == ["person", "long sleeve dress", "bag", "person", "Shoe"]
    np.testing.assert_allclose(mapped.scores, found(0, 1, 2, 4, 6, 5).scores[[0, 2, 3, 4, 5]])
    np.testing.assert_array_equal(mapped.boxes, found(0, 1, 2, 4, 6, 5).boxes[[0, 2, 3, 4, 5]])
    assert mapped.labels.dtype == np.int32


def test_naming_products_forgets_the_rest() -> None:
    mapped = class_map(FASHION, ClassRules(products=("*dress", "BAG")))
    assert words(mapped.apply(found(0, 1, 2, 3, 4, 5, 6))) == [
        "long sleeve dress",
        "short sleeve dress",
        "bag",
    ]
    assert len(mapped.apply(found(0, 1))) == 0
    assert mapped.roles["Shoe"] == "ignore" and mapped.roles["bag"] == "product"


def test_ignoring_wins_over_persons_and_those_over_products() -> None:
    rules = ClassRules(products=("*",), persons=("m*",), ignore=("mannequin", "h*"))
    assert class_map(FASHION, rules).roles == {
        "Model": "person",
        "hand": "ignore",
        "long sleeve dress": "product",
        "short sleeve dress": "product",
        "bag": "product",
        "Shoe": "product",
        "mannequin": "ignore",
    }


def test_no_detections_stay_none() -> None:
    empty = class_map(FASHION, ClassRules(products=("bag",))).apply(found())
    assert len(empty) == 0 and empty.names == ("bag",) and empty.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (ClassRules(products=("shoes",)), r"inference\.products: got 'shoes'.*did you mean 'Shoe'"),
        (ClassRules(ignore=("xylophone",)), r"inference\.ignore: got 'xylophone'.*it knows Model, hand"),
        (ClassRules(persons=("*people*",)), r"inference\.persons: got '\*people\*'"),
    ],
)
def test_a_pattern_that_matches_nothing_names_the_nearest(rules: ClassRules, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        class_map(FASHION, rules)


def test_the_usual_word_for_people_need_not_occur() -> None:
    assert class_map(("dress",), ClassRules(persons=("person",))).roles == {"dress": "product"}


def test_rules_that_leave_no_product_are_refused() -> None:
    with pytest.raises(ModelError, match="none of the detector's 80 is left a product.* and 60 more"):
        class_map(COCO_80, ClassRules(ignore=("*",)))
