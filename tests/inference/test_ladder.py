from __future__ import annotations

import numpy as np
import pytest

from inference.errors import ModelError
from inference.ladder import check_rungs, default_rungs, rewrite
from inference.runtime import OrtModel, RunOk, RuntimeSettings
from inference.types import Rung
from tests.inference.models import colour_embedder, slow_model, yolox_model
from tests.shared import shared_path

CPU = RuntimeSettings("cpu", 1)


@pytest.mark.parametrize("name", ["yolox_nano.onnx", "nanodet_plus_m_320.onnx"])
@pytest.mark.parametrize("rung", [Rung(224, 224), Rung(416, 256), Rung(640, 384)])
def test_real_models_run_at_another_size(name: str, rung: Rung) -> None:
    data = shared_path(f"models/detect/{name}").read_bytes()
    model = OrtModel(rewrite(data, rung), CPU)
    image = model.info.image_input()
    assert image.shape == (1, 3, rung.height, rung.width)
    outcome = model.run({image.name: np.zeros((1, 3, rung.height, rung.width), np.float32)})
    assert isinstance(outcome, RunOk)
    strides = (8, 16, 32) if name.startswith("yolox") else (8, 16, 32, 64)
    rows = sum(-(-rung.width // s) * -(-rung.height // s) for s in strides)
    assert {output.shape[1] for output in outcome.outputs.values()} == {rows}


@pytest.mark.parametrize("name", ["nanodet_m_320.onnx", "fastestdet_352.onnx"])
def test_a_baked_in_size_is_refused_with_advice(name: str) -> None:
    data = shared_path(f"models/detect/{name}").read_bytes()
    with pytest.raises(ModelError, match=r"baked into the graph; use it at its own size"):
        rewrite(data, Rung(416, 416), name)


def test_a_made_model_with_a_fixed_answer_is_refused() -> None:
    with pytest.raises(ModelError, match="64x64"):
        rewrite(yolox_model([]), Rung(96, 96))


def test_its_own_size_changes_nothing() -> None:
    data = yolox_model([])
    assert rewrite(data, Rung(64, 64)) is data


def test_what_is_not_onnx_is_refused() -> None:
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        rewrite(b"\x00\x01garbage", Rung(64, 64))


def test_a_model_without_an_image_is_refused() -> None:
    with pytest.raises(ModelError, match="got 0 image inputs"):
        rewrite(slow_model(2, 8), Rung(64, 64))


def test_an_embedder_that_pools_can_be_rewritten() -> None:
    model = OrtModel(rewrite(colour_embedder(16), Rung(32, 32)), CPU)
    assert model.info.image_input().shape == (None, 3, 32, 32)


def test_default_ladder_is_under_the_models_own_size() -> None:
    assert default_rungs(Rung(416, 416)) == (Rung(416, 416), Rung(320, 320), Rung(224, 224))
    assert default_rungs(Rung(640, 384)) == (Rung(640, 384), Rung(480, 288), Rung(352, 192))
    assert default_rungs(Rung(64, 64)) == (Rung(64, 64),)


@pytest.mark.parametrize("rungs", [(), (Rung(100, 96),), (Rung(0, 32),), (Rung(4096, 32),)])
def test_impossible_rungs_are_refused(rungs: tuple[Rung, ...]) -> None:
    with pytest.raises(ModelError, match="multiples of 32"):
        check_rungs(rungs)
