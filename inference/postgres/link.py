"""A connection to PostgreSQL that is never waited for: what is gone comes back in the background.

Searches run on the inference device's thread. A server that is away must cost it nothing: a search that finds
no connection fails at once, and a thread tries to get one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
from psycopg import Connection, conninfo

from inference.errors import ProductIndexError

log = logging.getLogger(__name__)

_STATEMENT_MS: Final = 2000
"""A search that takes longer is given up."""
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)

Prepare = Callable[[Connection], None]


class IndexAway(ProductIndexError):
    """The server of the product index does not answer."""

    code = "product-index-away"
    retryable = True
    http_status = 503


def place(url: str) -> str:
    """Host and database of an address, without user and password.

    Raises:
        ProductIndexError: it is no address of PostgreSQL; the address is not repeated.
    """
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise ProductIndexError(
            "catalog.index: cannot be read; expected postgresql://user:password@host:5432/database",
            http_status=422,
        ) from None
    host = parts.get("host") or "localhost"
    return f"postgresql at {host}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def reason(error: BaseException) -> str:
    """The first line of what a server or its library says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextlib.contextmanager
def connection(url: str) -> Iterator[Connection]:
    """A connection of one's own for work that takes long.

    Raises:
        IndexAway: there is none, or it broke.
        ProductIndexError: the server refused something.
    """
    where = place(url)
    with told(where), psycopg.connect(url, connect_timeout=5, autocommit=True) as link:
        yield link


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """Errors of the server as ours, saying where."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise away(where, reason(error)) from None
    except psycopg.Error as error:
        raise ProductIndexError(f"product index, {where}: {reason(error)}", http_status=500) from None


def away(where: str, why: str) -> IndexAway:
    """The error of a server that does not answer."""
    return IndexAway(
        f"product index, {where}: no answer ({why}); products are not recognised until it is back: start the "
        "server, or correct catalog.index"
    )


class Link:
    """The connection searches use, one at a time. Threads may share it.

    Args:
        url: of the server.
        prepare: run on every new connection.
    """

    def __init__(self, url: str, prepare: Prepare) -> None:
        self.where = place(url)
        self._url, self._prepare = url, prepare
        self._lock = threading.Lock()
        self._link: Connection | None = None
        self._closed = threading.Event()
        self._trying: threading.Thread | None = None
        self.trouble = ""

    def connect(self) -> None:
        """Connect. Blocking, a few seconds at most.

        Raises:
            IndexAway: it does not answer.
            ProductIndexError: it cannot be used.
        """
        options = f"-c statement_timeout={_STATEMENT_MS}"
        with told(self.where):
            link = psycopg.connect(
                self._url,
                connect_timeout=3,
                autocommit=True,
                options=options,
                tcp_user_timeout=_STATEMENT_MS,
                keepalives_idle=5,
            )
            try:
                self._prepare(link)
            except BaseException:
                link.close()
                raise
        with self._lock:
            if self._closed.is_set():
                link.close()
                return
            old, self._link, self.trouble = self._link, link, ""
        if old is not None:
            old.close()

    @contextlib.contextmanager
    def use(self) -> Iterator[Connection]:
        """The connection, for one search.

        Raises:
            IndexAway: there is none at present; it is looked for in the background.
            ProductIndexError: the server refused something.
        """
        with self._lock:
            if self._link is None:
                self._look_for_it()
                raise away(self.where, self.trouble or "not connected")
            try:
                with told(self.where):
                    yield self._link
            except ProductIndexError as error:
                if self._link.closed or self._link.broken:
                    self._link = None
                    self._gone(error)
                raise

    def lost(self, error: ProductIndexError) -> None:
        """The server was found not to answer: look for it in the background, and say so meanwhile."""
        with self._lock:
            if self._link is None:
                self._gone(error)

    def _gone(self, error: ProductIndexError) -> None:
        self.trouble = str(error)
        log.error("product index away", extra={"reason": self.trouble})
        self._look_for_it()

    def close(self) -> None:
        """Let go of the server."""
        with self._lock:
            self._closed.set()
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _look_for_it(self) -> None:
        if self._trying is None and not self._closed.is_set():
            self._trying = threading.Thread(target=self._reconnect, name="product-index", daemon=True)
            self._trying.start()

    def _reconnect(self) -> None:
        tries = 0
        while not self._closed.wait(_RETRY_S[min(tries, len(_RETRY_S) - 1)]):
            tries += 1
            try:
                self.connect()
            except ProductIndexError as error:
                self.trouble = str(error)
                continue
            log.info("product index back", extra={"tries": tries})
            break
        with self._lock:
            self._trying = None
