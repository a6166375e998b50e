"""Tagging: what the heads' metadata means, and what the shipped weights do."""

from __future__ import annotations

import csv
import json
import threading

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from inference.attributes import HEADS, Attribute, AttributeModel, Attributes, Head, load_attributes
from inference.deadline import JobCancelled, RunHandle
from inference.errors import ModelError
from inference.runtime import OrtModel, RuntimeSettings
from tests.inference.models import colour_embedder
from tests.shared import shared_path

CPU = RuntimeSettings("cpu", 1)
LABELS = {
    "category": ["dress", "shoes", "none"],
    "pattern": ["plain", "striped"],
    "packaging": ["can", "none"],
}


def made(
    logits: dict[str, list[float]] | None = None,
    thresholds: dict[str, float] | None = None,
    metadata: dict[str, str] | None = None,
) -> AttributeModel:
    """A model whose outputs are `logits`, whatever it sees."""
    answers = {"category": [4.0, 0.0, 0.0], "pattern": [0.0, 4.0], "packaging": [4.0, 0.0]} | (logits or {})
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nought"]),
        helper.make_node("Unsqueeze", ["nought", "one"], ["column"]),
        *[helper.make_node("Add", ["column", f"{name}_bias"], [name]) for name in answers],
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        *[helper.make_tensor(f"{n}_bias", TensorProto.FLOAT, [1, len(v)], v) for n, v in answers.items()],
    ]
    graph = helper.make_graph(
        nodes,
        "tags",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", len(v)]) for n, v in answers.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    heads = {
        name: {"labels": labels, "temperature": 1.0, "threshold": (thresholds or {}).get(name, 0.5)}
        for name, labels in LABELS.items()
    }
    default = {
        "vitrine.input": json.dumps({"size": 8, "range": "0..255"}),
        "vitrine.attributes": json.dumps(heads),
    }
    for key, value in (default | (metadata or {})).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    return AttributeModel(OrtModel(model.SerializeToString(), CPU))


def crop(height: int = 20, width: int = 12) -> NDArray[np.uint8]:
    return np.full((height, width, 3), (200, 20, 30), np.uint8)


def test_sure_answers_carry_their_label_and_probability() -> None:
    tags = made().tag(crop())
    p = np.exp(4) / (np.exp(4) + 2)
    assert tags.category.value == "dress" and tags.category.confidence == pytest.approx(p, abs=1e-4)
    assert tags.pattern.value == "striped"
    assert tags.packaging.value == "can"
    assert tags.colour.value == "red" and tags.colours[0].share > 0.9


def test_below_its_threshold_a_head_abstains_and_says_how_sure_it_was() -> None:
    tags = made(thresholds={"packaging": 0.99}).tag(crop())
    assert tags.packaging.value is None
    assert tags.packaging.confidence == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-4)
    assert tags.category.value == "dress"


def test_none_is_no_value_however_sure() -> None:
    tags = made({"packaging": [0.0, 9.0]}).tag(crop())
    assert tags.packaging.value is None and tags.packaging.confidence > 0.99


def test_what_is_no_apparel_has_no_pattern() -> None:
    tags = made({"category": [0.0, 0.0, 9.0]}).tag(crop())
    assert tags.category.value is None and tags.pattern.value is None
    assert tags.pattern.confidence > 0.9


def test_temperature_softens_the_confidence_not_the_answer() -> None:
    logits = np.array([2.0, 0.0], np.float32)
    warm, cold = Head(("a", "b"), 4.0, 0.0).read(logits, ""), Head(("a", "b"), 1.0, 0.0).read(logits, "")
    assert warm.value == cold.value == "a"
    assert warm.confidence == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-4)
    assert warm.confidence < cold.confidence


def test_huge_logits_do_not_overflow() -> None:
    assert Head(("a", "b"), 1.0, 0.5).read(np.array([1e4, -1e4], np.float32), "") == Attribute("a", 1.0)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 4), (4, 4, 4), (1, 4, 4, 3)])
def test_a_crop_that_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"expected uint8 \(height, width, 3\)"):
        made().tag(np.zeros(shape, np.uint8))


def test_a_crop_of_another_type_is_refused() -> None:
    with pytest.raises(ModelError, match="got float32"):
        made().tag(np.zeros((4, 4, 3), np.float32))


def test_a_cancelled_job_stops() -> None:
    handle = RunHandle()
    handle.cancel()
    with pytest.raises(JobCancelled):
        made().tag(crop(), handle)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"vitrine.attributes": "{}"}, "no attribute model"),
        ({"vitrine.attributes": json.dumps(dict.fromkeys(HEADS, 1))}, "expected labels, temperature"),
        (
            {
                "vitrine.attributes": json.dumps(
                    dict.fromkeys(HEADS, {"labels": ["a"], "temperature": 1, "threshold": 0})
                )
            },
            "3 outputs for 1 labels",
        ),
    ],
)
def test_metadata_that_does_not_fit_the_model_is_a_clear_error(metadata: dict[str, str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        made(metadata=metadata)


def test_an_embedder_is_no_attribute_model() -> None:
    with pytest.raises(ModelError, match="no attribute model: expected outputs"):
        AttributeModel(OrtModel(colour_embedder(), CPU))


@pytest.fixture(scope="module")
def shipped() -> AttributeModel:
    return load_attributes()


def test_the_shipped_heads_are_calibrated(shipped: AttributeModel) -> None:
    assert set(shipped.heads) == set(HEADS) and len(shipped.model_hash) == 64
    for head in shipped.heads.values():
        assert len(set(head.labels)) == len(head.labels) >= 5
        assert 0 < head.threshold <= 1 and 0.2 < head.temperature < 6
    assert shipped.none in shipped.heads["category"].labels
    assert {"dress", "shoes", "t-shirt"} <= set(shipped.heads["category"].labels)
    assert {"bottle", "carton", "tube"} <= set(shipped.heads["packaging"].labels)


def test_the_shipped_model_is_deterministic_and_tags_any_size(shipped: AttributeModel) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (97, 61, 3)).astype(np.uint8)
    assert shipped.tag(noise) == shipped.tag(noise)
    for shape in ((1, 1), (500, 30), (128, 128)):
        tags = shipped.tag(crop(*shape))
        assert tags.colour.value == "red"
        assert all(0 <= a.confidence <= 1 for a in (tags.category, tags.pattern, tags.packaging))


def test_the_shipped_model_serves_many_threads(shipped: AttributeModel) -> None:
    alone = shipped.tag(crop())
    found: list[Attributes] = []
    threads = [threading.Thread(target=lambda: found.append(shipped.tag(crop()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 4


def test_a_flat_picture_is_no_garment(shipped: AttributeModel) -> None:
    for level in (0, 114, 255):
        assert shipped.tag(np.full((64, 64, 3), level, np.uint8)).category.value is None


def test_shipped_answers_are_mostly_right_where_they_are_given(shipped: AttributeModel) -> None:
    """Garments of contributors never trained on: a floor under what the model card reports."""
    rows = []
    for pack in ("train", "dev"):
        with shared_path(f"clothing/{pack}/labels.csv").open(newline="") as file:
            rows += [r for r in csv.DictReader(file) if int(r["sender_id"]) % 4 == 2]
    names = shipped.heads["category"].labels
    right: list[bool] = []
    given = 0
    for row in rows[::4]:
        if row["label"].lower() not in names:
            continue
        image = np.asarray(Image.open(shared_path(f"clothing/{row['image']}")).convert("RGB"), np.uint8)
        logits = shipped.logits(image)["category"]
        right.append(names[int(logits.argmax())] == row["label"].lower())
        given += shipped.heads["category"].read(logits, shipped.none).value is not None
    assert len(right) >= 150
    assert np.mean(right) >= 0.4
    assert given >= 5
