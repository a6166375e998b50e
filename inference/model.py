"""What a model file turned out to be: plain values made by `inference.runtime`, read by the families."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from inference.errors import ModelError


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a model.

    Attributes:
        name: as in the graph.
        shape: a dimension that is not fixed is None.
        dtype: ONNX Runtime's name (``"tensor(float)"``).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} [{sizes}] {self.dtype.removeprefix('tensor(').removesuffix(')')}"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model file.

    Attributes:
        inputs: in graph order.
        outputs: in graph order.
        metadata: the file's custom metadata (``vitrine.family``, ``vitrine.names``...).
        path: where it came from, for people.
        sha256: of the file's bytes, lower-case hex.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    path: str = ""
    sha256: str = ""

    def describe(self) -> str:
        """Inputs and outputs in one line, for error messages."""
        inputs = "; ".join(map(str, self.inputs))
        outputs = "; ".join(map(str, self.outputs))
        return f"inputs: {inputs}. outputs: {outputs}"

    def image_input(self) -> TensorInfo:
        """The single 4-dimensional input.

        Raises:
            ModelError: there is none, or several.
        """
        images = [tensor for tensor in self.inputs if len(tensor.shape) == 4]
        if len(images) != 1:
            raise ModelError(
                f"{self.path}: got {len(images)} inputs of 4 dimensions, expected one. {self.describe()}"
            )
        return images[0]

    def metadata_json(self, key: str) -> object:
        """Metadata `key` parsed as JSON; None where it is absent.

        Raises:
            ModelError: it is there and is not JSON.
        """
        text = self.metadata.get(key)
        if text is None:
            return None
        try:
            value: object = json.loads(text)
        except ValueError as error:
            raise ModelError(f"{self.path}: metadata {key}: expected JSON, got {text[:80]!r}") from error
        return value

    def names(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Class names from metadata ``vitrine.names``, else `default`.

        The metadata is JSON: a list of names, or an object of index to name, ``{"0": "product"}``.

        Raises:
            ModelError: the metadata is neither.
        """
        value = self.metadata_json("vitrine.names")
        if value is None:
            return default
        if isinstance(value, dict) and set(value) == {str(i) for i in range(len(value))}:
            value = [value[str(i)] for i in range(len(value))]
        if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
            raise ModelError(
                f"{self.path}: metadata vitrine.names: expected a JSON list of names or an object of "
                f"index to name, got {str(value)[:80]}"
            )
        return tuple(value)
