from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference.attributes import WEIGHTS as ATTRIBUTES
from inference.classes import ClassRules
from inference.describe import describe_model
from inference.detection import DetectorSettings
from inference.embedded import DETECTOR, EMBEDDER, embedded_model
from inference.errors import ModelError
from inference.runtime import RuntimeSettings
from inference.types import Rung
from tests.inference.detectors.graphs import answering, picodet
from tests.inference.models import colour_embedder, constant_model, yolox_model
from tests.shared import shared_path

CPU = DetectorSettings(runtime=RuntimeSettings("cpu", 1))


def written(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def test_a_detector_is_described(tmp_path: Path) -> None:
    facts = describe_model(written(tmp_path, yolox_model([])), settings=CPU)
    assert (facts["kind"], facts["family"], facts["provider"]) == ("detector", "yolox", "cpu")
    assert facts["names"] == ["product", "person"]
    assert facts["inputs"] == ["image [1, 3, 64, 64] float"]
    assert json.loads(json.dumps(facts)) == facts


def test_an_embedder_is_described(tmp_path: Path) -> None:
    facts = describe_model(written(tmp_path, colour_embedder()), settings=CPU)
    assert (facts["kind"], facts["dim"], facts["size"]) == ("embedder", 4, 16)
    assert facts["calibration"] == {"exact": 0.6, "similar": 0.45, "margin": 0.05}


def test_a_model_that_is_neither_says_what_it_has(tmp_path: Path) -> None:
    odd = constant_model({"maps": np.zeros((1, 4, 4, 4), np.float32)}, (1, 3, 64, 64))
    with pytest.raises(ModelError, match=r"fits no detector family.*maps \[1, 4, 4, 4\] float"):
        describe_model(written(tmp_path, odd), settings=CPU)
    flat = constant_model({"logits": np.zeros((1, 10), np.float32)}, (1, 7, 64, 32))
    with pytest.raises(ModelError, match="neither a detector nor an embedder"):
        describe_model(written(tmp_path, flat), settings=CPU)


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4", yolox_model([])[:500]])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelError, match="not a usable ONNX model"):
        describe_model(written(tmp_path, data), settings=CPU)


def test_a_real_model_shows_its_ladder_with_latencies() -> None:
    rungs = (Rung(224, 224), Rung(160, 96))
    facts = describe_model(shared_path("models/detect/yolox_nano.onnx"), rungs=rungs, settings=CPU)
    steps = facts["rungs"]
    assert isinstance(steps, list)
    assert [(step["width"], step["height"]) for step in steps] == [(224, 224), (160, 96)]
    assert steps[0]["warm_ms"] > steps[1]["warm_ms"] > 0


def test_a_model_of_one_size_is_used_at_that_size() -> None:
    facts = describe_model(shared_path("models/detect/nanodet_m_320.onnx"), settings=CPU)
    steps = facts["rungs"]
    assert isinstance(steps, list) and [step["width"] for step in steps] == [320]


def test_a_rung_that_cannot_be_had_is_an_error() -> None:
    with pytest.raises(ModelError, match="baked into the graph"):
        describe_model(shared_path("models/detect/nanodet_m_320.onnx"), rungs=[Rung(416, 416)], settings=CPU)


@pytest.mark.parametrize("name", [DETECTOR, EMBEDDER])
def test_the_embedded_models_are_there(name: str) -> None:
    facts = describe_model(embedded_model(name), settings=CPU)
    assert facts["kind"] == ("detector" if name == DETECTOR else "embedder")


def test_the_embedded_attributes_are_described() -> None:
    facts = describe_model(embedded_model(ATTRIBUTES), settings=CPU)
    assert (facts["kind"], facts["size"]) == ("attributes", 128)
    labels = facts["packaging"]
    assert isinstance(labels, list) and "carton" in labels
    assert json.loads(json.dumps(facts)) == facts


def test_a_missing_embedded_model_says_what_to_do() -> None:
    with pytest.raises(ModelError, match="the embedded weights are missing; install the complete package"):
        embedded_model("none.onnx")


def test_a_transformer_says_why_it_has_one_size(tmp_path: Path) -> None:
    logits, boxes = np.full((1, 300, 80), -9, np.float32), np.zeros((1, 300, 4), np.float32)
    data = answering({"logits": logits, "pred_boxes": boxes}, (1, 3, 96, 96))
    facts = describe_model(written(tmp_path, data), settings=CPU)
    assert facts["family"] == "rt-detr-logits"
    assert "one size: a transformer's position codes" in str(facts["ladder"])
    assert facts["picture"] == "RGB, stretched, values 0..1"


def test_classes_are_shown_as_the_configuration_sorts_them(tmp_path: Path) -> None:
    rules = ClassRules(products=("product",), ignore=("person",))
    settings = DetectorSettings(runtime=RuntimeSettings("cpu", 1), classes=rules)
    facts = describe_model(written(tmp_path, yolox_model([])), settings=settings)
    assert (facts["persons"], facts["ignored"]) == ([], ["person"])
    assert describe_model(written(tmp_path, yolox_model([])), settings=CPU)["persons"] == ["person"]


def test_picodet_is_no_embedder(tmp_path: Path) -> None:
    rows = np.zeros((1, 6), np.float32)
    assert (
        describe_model(written(tmp_path, picodet(rows, (1, 3, 96, 96))), settings=CPU)["family"] == "picodet"
    )
