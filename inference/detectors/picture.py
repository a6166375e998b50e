"""How a family wants its picture, and the one place where frames become model inputs. Pure.

The frame is scaled and converted in one pass by whoever made it (`Pixels.planes`); what is left is to put the
picture in its place and to give its values the scale that the model was trained with: one pass more, straight
into the input that the model reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inference.buffers import Buffers
from inference.errors import ModelError
from inference.geometry import fit
from inference.model import ModelInfo, TensorInfo
from inference.types import Letterbox, Rung
from stream.types import Frame, Planes

Feeds = dict[str, NDArray[np.generic]]
Colour = tuple[float, float, float]

_DTYPES: dict[str, type[np.float32] | type[np.float16] | type[np.uint8]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
"""Types an image input may have."""
_LEVELS = np.arange(256, dtype=np.float32)


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
        raw = self._dtype is np.uint8
        self._mean = np.array((0, 0, 0) if raw else picture.mean, np.float32)
        self._factor = np.float32(1) / np.array((1, 1, 1) if raw else picture.std, np.float32)
        self._fill = np.float32(round(picture.fill) if raw else picture.fill)
        self._buffers = Buffers()

    def feed(self, frame: Frame, rung: Rung) -> tuple[NDArray[np.generic], Letterbox]:
        """`frame` scaled once, straight to its place in an input of `rung`. Thread-safe.

        Returns:
            The input, contiguous, in the model's own layout and type; and the letterbox to undo. The memory
            is used again once nothing refers to it any more. Read it, do not write: the padding is kept.
        """
        pixels, wanted = frame.pixels, self._picture
        if wanted.place == "stretch":
            width, height = rung.width, rung.height
            letterbox = Letterbox(width / pixels.width, height / pixels.height, 0, 0, width, height)
        else:
            centred = wanted.place == "centred"
            letterbox, width, height = fit(pixels.width, pixels.height, rung, centred=centred)
        red, green, blue = pixels.planes(width, height)
        channels = (red, green, blue) if wanted.order == "rgb" else (blue, green, red)
        # Not by the letterbox alone: pictures of other heights may share it, and leave another part to fill.
        key = (width, height, letterbox)
        array = self._buffers.take(key, lambda: self._surround(letterbox))
        planes = array[0].transpose(2, 0, 1) if self._last else array[0]
        put(channels, inner_of(planes, letterbox, width, height), self._mean, self._factor)
        return array, letterbox

    def _surround(self, letterbox: Letterbox) -> NDArray[np.generic]:
        """An input without its picture: what is around it, and the empty places of a batch."""
        size = (letterbox.height, letterbox.width)
        shape = (*size, 3) if self._last else (3, *size)
        array = np.zeros((self._batch, *shape), self._dtype)
        planes = array[0].transpose(2, 0, 1) if self._last else array[0]
        for channel in range(3):
            planes[channel] = (self._fill - self._mean[channel]) * self._factor[channel]
        return array


def inner_of(
    planes: NDArray[np.generic], letterbox: Letterbox, width: int, height: int
) -> NDArray[np.generic]:
    """The place of a picture of `width` x `height` within planes (3, h, w): a view."""
    top, left = int(letterbox.pad_y), int(letterbox.pad_x)
    return planes[:, top : top + height, left : left + width]


def put(
    channels: Planes,
    into: NDArray[np.generic],
    mean: NDArray[np.float32],
    factor: NDArray[np.float32],
) -> None:
    """Write (channel - mean) * factor into (3, h, w), in place.

    A plain copy and two passes in place are faster than one pass that converts as it computes; where there is
    nothing to compute the copy is all.
    """
    for index, channel in enumerate(channels):
        plane, off, by = into[index], mean[index], factor[index]
        if plane.dtype == np.float16:  # which processors compute in software: a table is four times as fast
            plane[...] = ((_LEVELS - off) * by).astype(np.float16)[channel]
            continue
        plane[...] = channel
        if off:
            np.subtract(plane, off, out=plane)
        if by != 1:
            np.multiply(plane, by, out=plane)
