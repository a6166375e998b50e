from __future__ import annotations

import numpy as np
import pytest

from inference.detectors.picture import ImageInput, Picture, image_mismatch, input_size, planes_of
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo
from inference.types import Letterbox, Rung
from tests.inference.detectors.cases import Shape
from tests.inference.models import painted

RGB = Picture("rgb", "centred", fill=114.0)


def info(shape: Shape, dtype: str = "tensor(float)", more: int = 0) -> ModelInfo:
    others = (TensorInfo("more", shape, dtype),) * more
    return ModelInfo((TensorInfo("image", shape, dtype), *others), (), {}, "m.onnx")


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 3, 384, 640), Rung(640, 384)),
        ((1, 384, 640, 3), Rung(640, 384)),
        ((None, 3, None, None), None),
        ((None, None, None, 3), None),
        ((None, None, None, None), None),
        ((1, 3, 384, None), None),
        ((1, 3, 64, 3), Rung(3, 64)),
    ],
)
def test_the_size_of_the_input_wherever_the_channels_are(shape: Shape, size: Rung | None) -> None:
    assert image_mismatch(info(shape)) is None
    assert input_size(info(shape)) == size


@pytest.mark.parametrize(
    "model",
    [
        info((1, 1, 64, 64)),
        info((1, 3, 64, 64), more=1),
        info((1, 3, 64)),
        info((1, 3, 64, 64), "tensor(int64)"),
        info((1, 3, 64, 64), "tensor(int8)"),
    ],
)
def test_what_is_no_single_colour_picture_is_refused(model: ModelInfo) -> None:
    assert "expected one input" in str(image_mismatch(model))
    with pytest.raises(ModelError, match="expected one input"):
        ImageInput(model, RGB)


def test_padding_has_its_value_after_mean_and_std() -> None:
    wanted = Picture("rgb", "centred", fill=100.0, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    inner = np.full((2, 4, 3), 50, np.uint8)
    planes = planes_of(inner, Letterbox(1, 1, 1, 2, 6, 6), wanted)
    assert planes.shape == (1, 3, 6, 6) and planes.dtype == np.float32
    np.testing.assert_allclose(planes[0, :, 2, 1], [20, 7.5, 4])
    np.testing.assert_allclose(planes[0, :, 0, 0], [45, 20, 14])
    inside = np.zeros((6, 6), bool)
    inside[2:4, 1:5] = True
    for channel, (middle, around) in enumerate(((20, 45), (7.5, 20), (4, 14))):
        np.testing.assert_allclose(planes[0, channel][inside], middle)
        np.testing.assert_allclose(planes[0, channel][~inside], around)


@pytest.mark.parametrize("place", ["top-left", "centred", "stretch"])
@pytest.mark.parametrize("size", [(320, 180), (180, 320), (96, 96), (33, 500)])
def test_the_letterbox_says_where_the_picture_lies(place: str, size: tuple[int, int]) -> None:
    picture = Picture("rgb", place, fill=0.0)  # type: ignore[arg-type]
    frame = painted(*size, (0, 0, *size))  # red all over
    array, letterbox = ImageInput(info((1, 3, 96, 96)), picture).feed(frame, Rung(96, 96))
    red = np.argwhere(array[0, 0] > 100)
    (top, left), (bottom, right) = red.min(axis=0), red.max(axis=0) + 1
    assert (left, top) == (letterbox.pad_x, letterbox.pad_y)
    assert right - left == round(size[0] * letterbox.scale_x)
    assert bottom - top == round(size[1] * letterbox.scale_y)
    if place == "stretch":
        assert (right - left, bottom - top) == (96, 96)


def test_the_frame_stays_as_it_is_when_bytes_go_in() -> None:
    frame = painted(96, 96, (10, 10, 60, 60))
    feed = ImageInput(info((1, 96, 96, 3), "tensor(uint8)"), Picture("rgb", "stretch"))
    first, _ = feed.feed(frame, Rung(96, 96))
    np.testing.assert_array_equal(first[0], frame.pixels.rgb())
