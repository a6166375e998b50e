from __future__ import annotations

import pytest

from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo

IMAGE = TensorInfo("image", (1, 3, None, 64), "tensor(float)")
SCALE = TensorInfo("scale", (1, 2), "tensor(int64)")


def test_tensors_read_like_shapes() -> None:
    assert str(IMAGE) == "image [1, 3, ?, 64] float"
    assert (
        ModelInfo((IMAGE, SCALE), ()).describe().startswith("inputs: image [1, 3, ?, 64] float; scale [1, 2]")
    )


def test_the_image_is_the_input_of_four_dimensions() -> None:
    assert ModelInfo((SCALE, IMAGE), ()).image_input() is IMAGE
    for inputs in ((SCALE,), (IMAGE, IMAGE)):
        with pytest.raises(ModelError, match="inputs of 4 dimensions, expected one"):
            ModelInfo(inputs, ()).image_input()


def test_metadata_may_be_absent() -> None:
    info = ModelInfo((IMAGE,), ())
    assert info.metadata_json("vitrine.input") is None
    assert info.names(("a",)) == ("a",)


def test_metadata_that_is_no_json_is_named() -> None:
    with pytest.raises(ModelError, match=r"metadata vitrine\.input: expected JSON, got '\{'"):
        ModelInfo((IMAGE,), (), {"vitrine.input": "{"}).metadata_json("vitrine.input")
