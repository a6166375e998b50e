"""How a family wants its picture, and the one place where frames become model inputs. Pure.

The frame is scaled and converted in one pass by whoever made it (`Pixels.scaled`); what is left is to put the
picture in its place and to give its values the scale that the model was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModelError
from inference.geometry import fit
from inference.model import ModelInfo, TensorInfo
from inference.types import Letterbox, Rung
from stream.types import Frame

Feeds = dict[str, NDArray[np.generic]]
Colour = tuple[float, float, float]

_DTYPES: dict[str, type[np.float32] | type[np.float16] | type[np.uint8]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
"""Types an image input may have."""


@dataclass(frozen=True, slots=True)
class Picture:
    """How a family wants its picture: (value - mean) / std, value in 0..255.

    Attributes:
        order: of the channels.
        place: ``"top-left"`` and ``"centred"`` keep the aspect ratio and pad, ``"stretch"`` fills the input.
        fill: value of the padding, 0..255, before mean and std.
        mean: per channel, in `order`, 0..255.
        std: the same.
    """

    order: Literal["bgr", "rgb"]
    place: Literal["top-left", "centred", "stretch"]
    fill: float = 0.0
    mean: Colour = (0.0, 0.0, 0.0)
    std: Colour = (1.0, 1.0, 1.0)


IMAGENET_MEAN: Colour = (123.675, 116.28, 103.53)
"""Of ImageNet's training pictures, RGB, 0..255."""
IMAGENET_STD: Colour = (58.395, 57.12, 57.375)
UNIT: Colour = (255.0, 255.0, 255.0)
"""As `Picture.std`: values 0..1."""


def image_mismatch(info: ModelInfo) -> str | None:
    """Why none of `info`'s inputs is a single colour picture; None where one is."""
    images = [tensor for tensor in info.inputs if len(tensor.shape) == 4]
    if len(images) != 1:
        return f"expected one input (1, 3, h, w), got {len(images)} inputs of 4 dimensions"
    image = images[0]
    if 3 not in (image.shape[1], image.shape[3]) and None not in (image.shape[1], image.shape[3]):
        return f"expected one input (1, 3, h, w), got {image}"
    if image.dtype not in _DTYPES:
        return f"expected one input of float, float16 or uint8, got {image}"
    return None


def channels_last(image: TensorInfo) -> bool:
    """Whether an image input is (n, h, w, 3) and not (n, 3, h, w)."""
    return image.shape[3] == 3 and image.shape[1] != 3


def input_size(info: ModelInfo) -> Rung | None:
    """The input size a model was exported with; None where it is left open.

    Raises:
        ModelError: there is no single image input.
    """
    image = info.image_input()
    height, width = image.shape[1:3] if channels_last(image) else image.shape[2:]
    return None if height is None or width is None else Rung(width, height)


class ImageInput:
    """The image input of one model: fills it from frames.

    A model exported for a fixed batch gets the frame in the first place and nothing in the others.

    Args:
        info: the model.
        picture: as the family wants it. Of a uint8 input only order and place count: the graph does the rest.

    Attributes:
        name: of the input.

    Raises:
        ModelError: `info` has no such input.
    """

    def __init__(self, info: ModelInfo, picture: Picture) -> None:
        reason = image_mismatch(info)
        if reason is not None:
            raise ModelError(f"{info.path}: {reason}. {info.describe()}")
        image = info.image_input()
        self.name = image.name
        self._picture = picture
        self._dtype = _DTYPES[image.dtype]
        self._last = channels_last(image)
        self._batch = image.shape[0] or 1

    def feed(self, frame: Frame, rung: Rung) -> tuple[NDArray[np.generic], Letterbox]:
        """`frame` scaled once, straight to its place in an input of `rung`.

        Returns:
            The input, contiguous, in the model's own layout and type; and the letterbox to undo.
        """
        pixels, wanted = frame.pixels, self._picture
        if wanted.place == "stretch":
            width, height = rung
            letterbox = Letterbox(width / pixels.width, height / pixels.height, 0, 0, width, height)
        else:
            centred = wanted.place == "centred"
            letterbox, width, height = fit(pixels.width, pixels.height, rung, centred=centred)
        scaled = pixels.scaled(width, height, wanted.order)
        if self._dtype is np.uint8:
            return self._bytes(scaled, letterbox), letterbox
        planes = planes_of(scaled, letterbox, wanted)
        if self._last:
            planes = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return self._batched(planes.astype(self._dtype, copy=False)), letterbox

    def _bytes(self, scaled: NDArray[np.uint8], letterbox: Letterbox) -> NDArray[np.generic]:
        height, width = scaled.shape[:2]
        canvas = scaled[None]
        if (width, height) != (letterbox.width, letterbox.height):
            canvas = np.full((1, letterbox.height, letterbox.width, 3), round(self._picture.fill), np.uint8)
            top, left = int(letterbox.pad_y), int(letterbox.pad_x)
            canvas[0, top : top + height, left : left + width] = scaled
        if not self._last:
            canvas = canvas.transpose(0, 3, 1, 2)
        return self._batched(np.ascontiguousarray(canvas))

    def _batched(self, one: NDArray[np.generic]) -> NDArray[np.generic]:
        if self._batch == 1:
            return one
        whole = np.zeros((self._batch, *one.shape[1:]), one.dtype)
        whole[0] = one[0]
        return whole


def planes_of(scaled: NDArray[np.uint8], letterbox: Letterbox, wanted: Picture) -> NDArray[np.float32]:
    """A scaled picture as planes, put in its place and given the model's scale of values.

    Args:
        scaled: uint8 (h, w, 3), channels as `wanted.order` says.
        letterbox: where it goes.
        wanted: mean, std, and the value around it.

    Returns:
        float32 (1, 3, letterbox.height, letterbox.width), owned by the caller.
    """
    height, width = scaled.shape[:2]
    top, left = int(letterbox.pad_y), int(letterbox.pad_x)
    bottom, right = top + height, left + width
    planes = np.empty((1, 3, letterbox.height, letterbox.width), np.float32)
    mean = np.array(wanted.mean, np.float32)
    factor = np.float32(1.0) / np.array(wanted.std, np.float32)
    around = ((np.float32(wanted.fill) - mean) * factor)[:, None, None]
    planes[0, :, :top] = around
    planes[0, :, bottom:] = around
    planes[0, :, top:bottom, :left] = around
    planes[0, :, top:bottom, right:] = around
    for channel in range(3):
        inner = planes[0, channel, top:bottom, left:right]
        inner[...] = scaled[:, :, channel]
        if mean[channel]:
            inner -= mean[channel]
        if factor[channel] != 1:
            inner *= factor[channel]
    return planes
