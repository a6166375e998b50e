from __future__ import annotations

import numpy as np
import pytest

from inference.detectors.picture import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageInput,
    Picture,
    image_mismatch,
    input_size,
)
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo
from inference.types import Rung
from stream.types import Frame, MediaTime, stream_id
from tests.fakes.frames import FlatPixels
from tests.inference.detectors.cases import Shape
from tests.inference.models import painted

RGB = Picture("rgb", "centred", fill=114.0)


def grey(width: int, height: int) -> Frame:
    """128 all over."""
    return Frame(stream_id("demo"), MediaTime(1, 0), 0, 0, 0, FlatPixels(width, height))


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


@pytest.mark.parametrize("layout", ["planes", "channels last"])
@pytest.mark.parametrize(("size", "inside"), [((60, 30), np.s_[24:72, :]), ((30, 60), np.s_[:, 24:72])])
def test_padding_has_its_value_after_mean_and_std(
    size: tuple[int, int], inside: tuple[slice, slice], layout: str
) -> None:
    wanted = Picture("rgb", "centred", fill=100.0, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    model = info((1, 3, 96, 96) if layout == "planes" else (1, 96, 96, 3))
    array, _ = ImageInput(model, wanted).feed(grey(*size), Rung(96, 96))
    assert array.dtype == np.float32 and array.flags.c_contiguous
    planes = array[0] if layout == "planes" else array[0].transpose(2, 0, 1)
    mask = np.zeros((96, 96), bool)
    mask[inside] = True
    for plane, middle, around in zip(planes, (59, 27, 19.6), (45, 20, 14), strict=True):
        np.testing.assert_allclose(plane[mask], middle, rtol=1e-6)
        np.testing.assert_allclose(plane[~mask], around, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["tensor(float)", "tensor(float16)", "tensor(uint8)"])
@pytest.mark.parametrize("shape", [(1, 3, 96, 96), (1, 96, 96, 3), (2, 3, 96, 96)])
def test_an_input_that_somebody_holds_is_never_overwritten(shape: Shape, dtype: str) -> None:
    image = ImageInput(info(shape, dtype), RGB)
    first, _ = image.feed(painted(96, 54, (0, 0, 96, 54)), Rung(96, 96))
    part = first[0, :1]
    before = first.copy()
    second, _ = image.feed(painted(96, 54, (0, 0, 1, 1)), Rung(96, 96))
    del first
    third, _ = image.feed(painted(96, 54, (0, 0, 1, 1)), Rung(96, 96))
    np.testing.assert_array_equal(part, before[0, :1])
    np.testing.assert_array_equal(second, third)
    assert not np.shares_memory(second, third)


def test_an_input_that_nobody_holds_is_filled_again() -> None:
    image = ImageInput(info((1, 3, 96, 96)), RGB)
    frame = painted(96, 54, (10, 10, 60, 50))
    kept, _ = image.feed(frame, Rung(96, 96))
    wanted, where = kept.copy(), kept.ctypes.data
    del kept
    again, _ = image.feed(frame, Rung(96, 96))
    assert again.ctypes.data == where
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.parametrize("place", ["top-left", "centred"])
def test_nothing_of_an_earlier_picture_shows_beside_a_smaller_one(place: str) -> None:
    image = ImageInput(info((1, 3, 96, 96)), Picture("rgb", place, fill=7.0))  # type: ignore[arg-type]
    for size in ((96, 96), (96, 40), (96, 41), (40, 96), (96, 96), (96, 40)):
        array, letterbox = image.feed(grey(*size), Rung(96, 96))
        where = (array[0] == 128).all(axis=0)
        assert where.sum() == round(size[0] * letterbox.scale_x) * round(size[1] * letterbox.scale_y)
        assert (array[0][:, ~where] == 7).all()
        del array


def test_a_batch_has_the_frame_first_and_nothing_behind() -> None:
    array, _ = ImageInput(info((3, 3, 96, 96)), RGB).feed(grey(96, 96), Rung(96, 96))
    assert array.shape == (3, 3, 96, 96)
    assert (array[0] == 128).all() and not array[1:].any()


def test_half_precision_is_rounded_once() -> None:
    wanted = Picture("rgb", "stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)
    half, _ = ImageInput(info((1, 3, 8, 8), "tensor(float16)"), wanted).feed(grey(8, 8), Rung(8, 8))
    full, _ = ImageInput(info((1, 3, 8, 8)), wanted).feed(grey(8, 8), Rung(8, 8))
    np.testing.assert_array_equal(half, full.astype(np.float16))


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
