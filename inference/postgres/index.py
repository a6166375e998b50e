"""The product index in PostgreSQL with pgvector, for catalogues that outgrow one machine.

Many nodes share it: each brings it up to date with its own catalogue, and only differences travel. A search
among all walks pgvector's HNSW graph; one within few products is exact over them; one within many filters
while it walks (iterative scan), and is exact where that finds too few.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.sql import SQL, Composable, Identifier, Literal

from inference.build import Items
from inference.errors import ProductIndexError
from inference.holder import Held
from inference.postgres import schema
from inference.postgres.link import IndexAway, Link, connection, place

Floats = NDArray[np.float32]
Found = list[list[tuple[str, float]]]

EXACT_BELOW = 5000
"""A selection of fewer products is searched exactly."""
_SEND = 200
"""A selection of fewer products is sent with the search; a larger one once, to a table of the connection."""
_SELECTIONS = 16
_EF = 200
_SETTINGS = f"SET hnsw.ef_search = {_EF}; SET hnsw.iterative_scan = strict_order"


class PostgresIndex:
    """A `Held` index in PostgreSQL. Threads may share it; they take turns.

    Args:
        url: postgresql://user:password@host:port/database; never shown.
        dim: of the vectors.
        model_hash: of their embedder.
    """

    def __init__(self, url: str, dim: int, model_hash: str) -> None:
        self.dim = dim
        self._url, self._model = url, model_hash
        self._table = schema.table(model_hash)
        self._products = self._vectors = 0
        self._missing: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
        self._selections: OrderedDict[frozenset[str], Composable] = OrderedDict()
        self._numbers = 0
        self._link = Link(url, self._prepare)

    def __len__(self) -> int:
        return self._products

    @property
    def problems(self) -> tuple[str, ...]:
        """Why searches fail at present."""
        return (self._link.trouble,) if self._link.trouble else ()

    @staticmethod
    def check(url: str) -> str:
        """See that a server answers and can hold an index; returns where it is. Blocking.

        Raises:
            IndexAway: it does not answer.
            ProductIndexError: it has no pgvector, or an old one.
        """
        with connection(url) as link:
            schema.check_version(link, installed=False)
        return place(url)

    def open(self) -> None:
        """Connect, and see what is there. Blocking.

        Raises:
            IndexAway: the server does not answer.
            ProductIndexError: there is no index, or one of another embedder, or pgvector is missing or old.
        """
        self._link.connect()

    def refresh(self, items: Items, content: str, report: schema.Report | None = None) -> None:
        """Make the index hold exactly `items`; searches go on meanwhile. Blocking.

        Args:
            items: (product_id, vector), the views of a product in order.
            content: digest of `items`; the same again costs one question.
            report: told of (rows done, rows in all).

        Raises:
            IndexAway: the server does not answer.
            ProductIndexError: a vector cannot be used, or the server refuses.
        """
        try:
            with connection(self._url) as link:
                schema.synchronise(link, items, self.dim, self._model, content, report)
            self.open()
        except IndexAway as error:
            self._link.lost(error)
            raise

    def close(self) -> None:
        """Let go of the server."""
        self._link.close()

    def missing(self, products: frozenset[str]) -> frozenset[str]:
        """Those of `products` that have no vector; asked for once, then remembered until a refresh."""
        asked, answer = self._missing
        if asked != products:
            query = SQL("SELECT DISTINCT product_id FROM {} WHERE product_id = ANY(%s)").format(self._table)
            with self._link.use() as link:
                answer = products - {row[0] for row in link.execute(query, (list(products),))}
            self._missing = products, answer
        return answer

    def views(self, product: str) -> Floats:
        """Vectors of a product, unit float32 (n, dim)."""
        query = SQL("SELECT vector::real[] FROM {} WHERE product_id = %s ORDER BY view").format(self._table)
        with self._link.use() as link:
            rows = link.execute(query, (product,), binary=True).fetchall()
        return np.array([row[0] for row in rows], np.float32).reshape(len(rows), self.dim)

    def without(self, products: Collection[str]) -> PostgresIndex:
        """This index; `products` are gone from it, for every node."""
        with self._link.use() as link:
            schema.delete(link, self._model, list(products))
            self._products, self._vectors = schema.counts(link, self.dim, self._model)
        return self

    def search(self, vectors: Floats, k: int, within: Collection[str] | None = None) -> Found:
        """As `Held.search`."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ProductIndexError(f"search: got vectors {vectors.shape}, expected (n, {self.dim})")
        if not len(vectors) or k < 1 or (within is not None and not within):
            return [[] for _ in vectors]
        queries = [schema.text(vector) for vector in vectors]
        with self._link.use() as link:
            if within is None:
                return self._walk(link, queries, k, None)
            chosen, values = self._chosen(link, within)
            if len(within) >= EXACT_BELOW:
                found = self._walk(link, queries, k, chosen)
                if all(len(line) >= min(k, len(within)) for line in found):
                    return found
            return self._exact(link, queries, k, chosen, values)

    # ---- on the connection ---------------------------------------------------------------------------------

    def _prepare(self, link: Connection) -> None:
        schema.check_version(link)
        self._products, self._vectors = schema.counts(link, self.dim, self._model)
        for setting in _SETTINGS.split("; "):
            link.execute(setting)
        self._selections.clear()  # they were tables of the old connection
        self._missing = frozenset(), frozenset()

    def _chosen(self, link: Connection, within: Collection[str]) -> tuple[Composable, list[list[str]]]:
        """A selection as a list in SQL, and the values that go with it."""
        if len(within) < _SEND:
            return SQL("SELECT unnest(%s::text[])"), [list(within)]
        within = frozenset(within)
        held = self._selections.get(within)
        if held is None:
            held = self._selections[within] = self._send(link, within)
            if len(self._selections) > _SELECTIONS:
                _, old = self._selections.popitem(last=False)
                link.execute(SQL("DROP TABLE {}").format(old))
        self._selections.move_to_end(within)
        return SQL("SELECT product_id FROM {}").format(held), []

    def _send(self, link: Connection, within: frozenset[str]) -> Composable:
        self._numbers += 1
        name = Identifier(f"selection_{self._numbers}")
        link.execute(SQL("CREATE TEMP TABLE {} (product_id text PRIMARY KEY)").format(name))
        with link.cursor() as cursor, cursor.copy(SQL("COPY {} FROM STDIN").format(name)) as copy:
            for product in within:
                copy.write_row((product,))
        link.execute(SQL("ANALYZE {}").format(name))
        return name

    def _exact(
        self, link: Connection, queries: list[str], k: int, chosen: Composable, values: list[list[str]]
    ) -> Found:
        query = SQL(
            "WITH held AS MATERIALIZED "
            "(SELECT product_id, vector FROM {table} WHERE product_id IN ({chosen})) "
            "SELECT q.n, f.product_id, f.cosine FROM unnest(%s::text[]::vector[]) WITH ORDINALITY q(v, n) "
            "CROSS JOIN LATERAL (SELECT product_id, max(-(vector <#> q.v)) AS cosine FROM held "
            "GROUP BY product_id ORDER BY cosine DESC LIMIT {k}) f"
        ).format(table=self._table, chosen=chosen, k=Literal(k))
        return _lines(link.execute(query, (*values, queries)).fetchall(), len(queries), k)

    def _walk(self, link: Connection, queries: list[str], k: int, chosen: Composable | None) -> Found:
        """Along the graph; several views of a product may fill the places, then for more of them."""
        views = -(-self._vectors // max(1, self._products))
        wanted = k * min(views, 4)
        sieve: Composable = SQL("")
        if chosen is not None:  # a plain join would be planned without the graph
            sieve = SQL("WHERE (SELECT true FROM ({}) s WHERE s.product_id = t.product_id)").format(chosen)
        while True:
            query = SQL(
                "SELECT q.n, f.product_id, f.cosine "
                "FROM unnest(%s::text[]::vector[]) WITH ORDINALITY q(v, n) "
                "CROSS JOIN LATERAL (SELECT product_id, -(vector <#> q.v) AS cosine FROM {table} t {sieve} "
                "ORDER BY vector <#> q.v LIMIT {wanted}) f"
            ).format(table=self._table, sieve=sieve, wanted=Literal(wanted))
            rows = link.execute(query, (queries,)).fetchall()
            found = _lines(rows, len(queries), k)
            if len(rows) < wanted * len(queries) or all(len(line) >= k for line in found):
                return found
            wanted *= 4


_: type[Held] = PostgresIndex


def _lines(rows: list[tuple[int, str, float]], queries: int, k: int) -> Found:
    """Rows of (query from 1, product, cosine) as the best `k` products of each query."""
    best: list[dict[str, float]] = [{} for _ in range(queries)]
    for number, product, cosine in rows:
        line = best[number - 1]
        line[product] = max(cosine, line.get(product, -2.0))
    return [sorted(line.items(), key=lambda pair: -pair[1])[:k] for line in best]
