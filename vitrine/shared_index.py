"""The product index that nodes share, if one is configured; its library is not always installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.errors import ProductIndexError

if TYPE_CHECKING:
    from inference.embedder import OnnxEmbedder
    from inference.holder import IndexHolder
    from inference.postgres.index import PostgresIndex


def shared_index(server: str, embedder: OnnxEmbedder, holder: IndexHolder) -> PostgresIndex:
    """The index of a server, in use before it answers: it says itself when it does not.

    Raises:
        ProductIndexError: the library that reaches it is not installed, or `server` is no address.
    """
    found = _library()
    held = holder.current
    if not isinstance(held, found):
        held = found(server, embedder.dim, embedder.model_hash)
        holder.swap(held)
    return held


def check_server(server: str) -> str:
    """See that a server answers and has what is needed; returns where it is.

    Raises:
        ProductIndexError: it does not, or has not.
    """
    return _library().check(server)


def _library() -> type[PostgresIndex]:
    try:
        from inference.postgres.index import PostgresIndex
    except ModuleNotFoundError as error:
        raise ProductIndexError(
            f"catalog.index: needs the package {error.name}; "
            "install vitrine[postgres], or remove catalog.index"
        ) from None
    return PostgresIndex
