"""What a product is like, from one crop: apparel category, pattern, packaging and dominant colours.

One small network answers the first three; each answer is a label with a calibrated confidence, or no value
where the network is less sure than the threshold at which nine answers in ten were right on products and
contributors it has never seen. Which labels there are, and the thresholds, is metadata
``vitrine.attributes``: ``{"category": {"labels": [...], "temperature": 1.1, "threshold": 0.8}, ...}``, one
entry per output of the model, in logits. Colours need no model; see `inference.colours`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.colours import Colour, colours, resize
from inference.deadline import JobCancelled, RunHandle
from inference.embedded import embedded_model
from inference.embedder import InputSpec, input_spec, prepare
from inference.errors import ModelError
from inference.model import ModelInfo
from inference.runtime import OrtModel, RunCancelled, RunFailed, RuntimeSettings

WEIGHTS = "vitrine_attributes.onnx"
HEADS = ("category", "pattern", "packaging")
COLOUR_SURE = 0.5
"""A colour is named where its pixels are at least this clearly of that name."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One answer.

    Attributes:
        value: the label; None where the model abstains, or says that the attribute does not apply.
        confidence: 0..1, the calibrated probability of its best label, given or not.
    """

    value: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a crop shows.

    Attributes:
        category: apparel category ("dress", "shoes"); no value for anything else.
        pattern: of an apparel's cloth ("plain", "striped"); only where the category has a value.
        packaging: "bottle", "carton"; no value for things without one.
        colour: the first of `colours`; its confidence is that of `inference.colours.Colour`.
        colours: dominant colours that are clear, most of the product first; may be empty.
    """

    category: Attribute
    pattern: Attribute
    packaging: Attribute
    colour: Attribute
    colours: tuple[Colour, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """How one output is read.

    Attributes:
        labels: in the order of the logits; the label `none` of the metadata means "does not apply".
        temperature: logits are divided by it (Guo et al. 2017, temperature scaling).
        threshold: probability from which on the label is given.
    """

    labels: tuple[str, ...]
    temperature: float
    threshold: float

    def read(self, logits: NDArray[np.float32], none: str) -> Attribute:
        """The answer that `logits` (labels,) stand for."""
        scaled = logits.astype(np.float64) / self.temperature
        powers = np.exp(scaled - scaled.max())
        best = int(powers.argmax())
        confidence = round(float(powers[best] / powers.sum()), 4)
        given = confidence >= self.threshold and self.labels[best] != none
        return Attribute(self.labels[best] if given else None, confidence)


class AttributeModel:
    """Tags crops. Thread-safe; blocking, so call it off the event loop.

    Attributes:
        heads: labels and thresholds by attribute.
        none: the label that means "does not apply".

    Raises:
        ModelError: the model takes no square picture, lacks an output or the metadata, or does not run.
    """

    def __init__(self, model: OrtModel) -> None:
        self._model = model
        self._spec: InputSpec = input_spec(model.info)
        self.heads: Mapping[str, Head] = heads(model.info)
        self.none = model.info.metadata.get("vitrine.none", "none")
        model.warm_up()

    @property
    def size(self) -> int:
        """Side of the square the model takes, pixels."""
        return self._spec.size

    @property
    def model_hash(self) -> str:
        """sha256 of the model file."""
        return self._model.info.sha256

    def tag(self, crop: NDArray[np.uint8], handle: RunHandle | None = None) -> Attributes:
        """What the product in `crop` is like.

        Args:
            crop: RGB uint8 (height, width, 3) of any size: the product's box, margin of 0 to 10 %.
            handle: cancels the run from another thread.

        Raises:
            ModelError: the crop is no such picture, or the model does not run.
            JobCancelled: `handle` was cancelled.
        """
        if crop.ndim != 3 or crop.shape[2:] != (3,) or crop.dtype != np.uint8 or min(crop.shape) < 1:
            raise ModelError(f"crop: got {crop.dtype} {crop.shape}, expected uint8 (height, width, 3)")
        answers = {
            name: self.heads[name].read(row, self.none) for name, row in self.logits(crop, handle).items()
        }
        clear = tuple(colour for colour in colours(crop) if colour.confidence >= COLOUR_SURE)
        best = Attribute(clear[0].name, clear[0].confidence) if clear else Attribute(None, 0.0)
        pattern = answers["pattern"]
        if answers["category"].value is None:
            pattern = Attribute(None, pattern.confidence)
        return Attributes(answers["category"], pattern, answers["packaging"], best, clear)

    def logits(
        self, crop: NDArray[np.uint8], handle: RunHandle | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """What `tag` reads its answers from: float32 (labels,) for each of `heads`.

        Raises:
            ModelError: the model does not run.
            JobCancelled: `handle` was cancelled.
        """
        size = self._spec.size
        picture = np.clip(resize(crop, size, size) + 0.5, 0, 255).astype(np.uint8)[None]
        outcome = self._model.run({self._model.info.inputs[0].name: prepare(picture, self._spec)}, handle)
        if isinstance(outcome, RunCancelled):
            raise JobCancelled
        if isinstance(outcome, RunFailed):
            raise ModelError(f"tagging failed: {outcome.message}")
        return {name: outcome.outputs[name].reshape(-1).astype(np.float32) for name in self.heads}


def load_attributes(path: str | Path | None = None, runtime: RuntimeSettings | None = None) -> AttributeModel:
    """The embedded attribute model, or the one in the file `path`. Blocking.

    Raises:
        ModelError: see `AttributeModel`, or there is no such file.
    """
    source = embedded_model(WEIGHTS) if path is None else path
    return AttributeModel(OrtModel(source, runtime or RuntimeSettings("cpu", 1)))


def heads(info: ModelInfo) -> dict[str, Head]:
    """Labels and thresholds from metadata ``vitrine.attributes``.

    Raises:
        ModelError: absent, unreadable, or not what the outputs are.
    """
    value = info.metadata_json("vitrine.attributes")
    sizes = {output.name: output.shape[-1] for output in info.outputs if len(output.shape) == 2}
    if not isinstance(value, dict) or any(name not in value or name not in sizes for name in HEADS):
        raise ModelError(
            f"{info.path}: no attribute model: expected outputs (n, labels) named {', '.join(HEADS)}, each "
            f"with an entry in metadata vitrine.attributes. {info.describe()}"
        )
    return {name: _head(info, name, value[name], sizes[name]) for name in HEADS}


def _head(info: ModelInfo, name: str, entry: object, size: int | None) -> Head:
    try:
        if not isinstance(entry, dict):
            raise TypeError("not an object")
        head = Head(
            tuple(str(label) for label in entry["labels"]),
            float(entry["temperature"]),
            float(entry["threshold"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{info.path}: metadata vitrine.attributes: {name}: got {str(entry)[:80]}, expected labels, "
            "temperature and threshold"
        ) from error
    if size not in (None, len(head.labels)) or not head.temperature > 0:
        raise ModelError(
            f"{info.path}: {name}: got {size} outputs for {len(head.labels)} labels, temperature "
            f"{head.temperature}, expected as many outputs as labels and a temperature above 0"
        )
    return head
