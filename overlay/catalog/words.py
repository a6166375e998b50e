"""A host's word about a product, as nodes tell it to each other. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from overlay.errors import CatalogError

MOST_VIEWS: Final = 64
_PICTURE: Final = 512 * 1024
Floats = NDArray[np.float32]


class LessonKind(StrEnum):
    """How a view was taught."""

    ENROLLED = "enrolled"
    CONFIRMED = "confirmed"
    VETOED = "vetoed"


class WordView(Struct, frozen=True, array_like=True):
    """One view: its JPEG, and the float32 vector that the model of the word made of it, as bytes."""

    picture: Annotated[bytes, Meta(max_length=_PICTURE)]
    vector: Annotated[bytes, Meta(min_length=4, max_length=64 * 1024)]


class Word(Struct, frozen=True, array_like=True):
    """One thing a host said.

    Attributes:
        id: of this word, on all nodes.
        product_id: about which product.
        kind: how the views were taught; None: all that was taught of the product is taken back.
        stream: where, "" outside a show.
        at_ms: when, Unix time.
        model: hash of the embedder that made the vectors.
        views: what was shown.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    product_id: Annotated[str, Meta(min_length=1, max_length=50)]
    kind: LessonKind | None
    stream: Annotated[str, Meta(max_length=200)]
    at_ms: int
    model: Annotated[str, Meta(max_length=200)]
    views: Annotated[tuple[WordView, ...], Meta(max_length=MOST_VIEWS)] = ()


_decoder = msgspec.msgpack.Decoder(Word)
encode_word = msgspec.msgpack.Encoder().encode
"""A word as bytes (MessagePack)."""


def decode_word(data: bytes) -> Word:
    """A word that another node said.

    Raises:
        CatalogError: it is none, or a vector is not finite.
    """
    try:
        word = _decoder.decode(data)
        if not all(np.isfinite(vector_of(view)).all() for view in word.views):
            raise ValueError("a vector is not finite")
    except (msgspec.MsgspecError, ValueError) as error:
        raise CatalogError(f"what another node taught: {error}; expected a word", code="word-bad") from None
    return word


def vector_of(view: WordView) -> Floats:
    """The view's vector.

    Raises:
        ValueError: its length is not a multiple of four bytes.
    """
    return np.frombuffer(view.vector, np.float32)
