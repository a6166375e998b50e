"""Errors of `inference`.

EngineError
├── ModelError      a model file that cannot be used, or outputs that fit no family
│   └── AmbiguousModel  several detector families fit
├── RuntimeStuck    a run neither ended nor could be cancelled; its thread was abandoned
├── ProductIndexError  a product index that cannot be used with this model or is damaged
└── UnknownObject   an object that is not in the picture any more, or was not looked at yet
"""

from __future__ import annotations

from stream.errors import EngineError


class ModelError(EngineError):
    """A model cannot be used: unreadable, unknown family, wrong outputs."""

    code = "model"
    http_status = 422


class AmbiguousModel(ModelError):
    """Several detector families fit a model; its shapes leave it open."""


class RuntimeStuck(EngineError):
    """A run did not end after it was cancelled; its thread was abandoned."""

    code = "runtime-stuck"
    retryable = True
    http_status = 503


class ProductIndexError(EngineError):
    """A product index is damaged or was made with another model."""

    code = "product-index"
    http_status = 409


class UnknownObject(EngineError):
    """An object of the picture is gone, or nothing is known of how it looks."""

    code = "object-unknown"
    http_status = 404
