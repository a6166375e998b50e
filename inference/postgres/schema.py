"""Tables of the product index in PostgreSQL, and how they are brought up to date.

One table of vectors for each embedder, named by its hash: nodes with an old and a new one can work side by
side, and vectors of two embedders never meet. ``vitrine_index`` says which there are. What is in the
catalogue is compared with what is in the table by a digest of each vector, so that only what changed travels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier, Literal

from inference.build import Items, batches, unit_rows
from inference.errors import ProductIndexError

Floats = NDArray[np.float32]
Report = Callable[[int, int], None]
"""(rows done, rows in all)."""

LEAST: Final = (0, 8)
"""Version of pgvector: from this one on a filtered walk goes on until it has enough."""
_LOCK: Final = 0x56495452
_FIX: Final = "run `vitrine catalog import` to fill it"


def table(model_hash: str) -> Identifier:
    """Name of the table of an embedder's vectors."""
    return Identifier(f"vitrine_vectors_{hashlib.sha256(model_hash.encode()).hexdigest()[:16]}")


def text(vector: Floats) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def check_version(link: Connection, installed: bool = True) -> None:
    """See that pgvector is there and new enough; `installed`: in the database, else on the server.

    Raises:
        ProductIndexError: it is not.
    """
    query = (
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        if installed
        else "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions "
        "WHERE name = 'vector'"
    )
    row = link.execute(query).fetchone()
    got = "none" if row is None else str(row[0])
    if row is None or tuple(int(part) for part in got.split(".")[:2]) < LEAST:
        raise ProductIndexError(
            f"product index: got pgvector {got}, expected {LEAST[0]}.{LEAST[1]} or newer; install it and run "
            "`CREATE EXTENSION vector` (or `ALTER EXTENSION vector UPDATE`) in the database"
        )


def counts(link: Connection, dim: int, model_hash: str) -> tuple[int, int]:
    """Products and vectors of an embedder.

    Raises:
        ProductIndexError: there is no index of this embedder.
    """
    if link.execute("SELECT to_regclass('vitrine_index')").fetchone() == (None,):
        raise ProductIndexError(f"no product index there; {_FIX}", http_status=404)
    rows = link.execute(
        "SELECT model_hash, dim, products, vectors FROM vitrine_index ORDER BY refreshed DESC"
    ).fetchall()
    for found, its_dim, products, vectors in rows:
        if found == model_hash:
            if its_dim != dim:
                raise ProductIndexError(f"product index: got {its_dim} dimensions, expected {dim}; {_FIX}")
            return int(products), int(vectors)
    made = f"made with embedder {rows[0][0][:12]}" if rows else "empty"
    raise ProductIndexError(f"product index: {made}, expected {model_hash[:12]}; {_FIX}")


def synchronise(
    link: Connection, items: Items, dim: int, model_hash: str, content: str, report: Report | None
) -> None:
    """Make the table hold exactly `items`; readers see what is gone leave first, then all else at once.

    Args:
        link: in autocommit mode.
        items: (product_id, vector), the views of a product in order; vectors are made unit.
        dim: of the vectors.
        model_hash: of their embedder.
        content: digest of `items`; the same again costs nothing.
        report: told of progress.

    Raises:
        ProductIndexError: a vector has another length, or is not finite or zero.
    """
    name = table(model_hash)
    link.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    try:
        _create(link, name, dim)
        known = link.execute("SELECT content FROM vitrine_index WHERE model_hash = %s", (model_hash,))
        if known.fetchone() == (content,):
            return
        rows = list(items)
        _announce(link, rows, dim)
        _changing(link, model_hash)
        link.execute(
            SQL(
                "DELETE FROM {} v WHERE NOT EXISTS "
                "(SELECT 1 FROM wanted w WHERE (w.product_id, w.view) = (v.product_id, v.view))"
            ).format(name)
        )
        with link.transaction():
            _upsert(link, name, rows, dim, report)
            link.execute(
                SQL(
                    "INSERT INTO vitrine_index "
                    "SELECT %s, %s, count(DISTINCT product_id), count(*), %s, now() FROM {} "
                    "ON CONFLICT (model_hash) DO UPDATE SET dim = excluded.dim, products = "
                    "excluded.products, vectors = excluded.vectors, content = excluded.content, "
                    "refreshed = excluded.refreshed"
                ).format(name),
                (model_hash, dim, content),
            )
        link.execute(SQL("ANALYZE {}").format(name))
    finally:
        link.execute("DROP TABLE IF EXISTS wanted")
        link.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def delete(link: Connection, model_hash: str, products: list[str]) -> None:
    """Remove products."""
    name = table(model_hash)
    with link.transaction():
        _changing(link, model_hash)
        link.execute(SQL("DELETE FROM {} WHERE product_id = ANY(%s)").format(name), (products,))
        link.execute(
            SQL(
                "UPDATE vitrine_index SET products = (SELECT count(DISTINCT product_id) FROM {0}), "
                "vectors = (SELECT count(*) FROM {0}) WHERE model_hash = %s"
            ).format(name),
            (model_hash,),
        )


def _changing(link: Connection, model_hash: str) -> None:
    """What is there is no longer what was last written: the next comparison is not skipped."""
    link.execute("UPDATE vitrine_index SET content = '' WHERE model_hash = %s", (model_hash,))


def _create(link: Connection, name: Identifier, dim: int) -> None:
    link.execute("CREATE EXTENSION IF NOT EXISTS vector")
    check_version(link)
    link.execute(
        "CREATE TABLE IF NOT EXISTS vitrine_index (model_hash text PRIMARY KEY, dim int NOT NULL, "
        "products bigint NOT NULL, vectors bigint NOT NULL, content text NOT NULL, "
        "refreshed timestamptz NOT NULL)"
    )
    link.execute(
        SQL(
            "CREATE TABLE IF NOT EXISTS {} (product_id text NOT NULL, view int NOT NULL, "
            "digest bytea NOT NULL, vector vector({}) NOT NULL, PRIMARY KEY (product_id, view))"
        ).format(name, Literal(dim))
    )


def _announce(link: Connection, rows: list[tuple[str, Floats]], dim: int) -> None:
    """Tell the server what there is to be, in the table ``wanted``."""
    link.execute(
        "CREATE TEMP TABLE wanted (place bigint, product_id text, view int, digest bytea, "
        "PRIMARY KEY (product_id, view))"
    )
    views: dict[str, int] = {}
    with link.cursor() as cursor, cursor.copy("COPY wanted FROM STDIN") as copy:
        place = 0
        for batch in batches(rows):
            for (product, _), vector in zip(batch, unit_rows(batch, dim), strict=True):
                view = views[product] = views.get(product, -1) + 1
                copy.write_row((place, product, view, hashlib.sha256(vector.tobytes()).digest()[:12]))
                place += 1
    link.execute("ANALYZE wanted")


def _upsert(
    link: Connection,
    name: Composed | Identifier,
    rows: list[tuple[str, Floats]],
    dim: int,
    report: Report | None,
) -> None:
    """Send the vectors that the table lacks or has otherwise, and index them."""
    lacking = [
        (int(place), int(view))
        for place, view in link.execute(
            SQL(
                "SELECT w.place, w.view FROM wanted w LEFT JOIN {} v USING (product_id, view) "
                "WHERE v.digest IS DISTINCT FROM w.digest ORDER BY w.place"
            ).format(name)
        )
    ]
    link.execute(SQL("CREATE TEMP TABLE fresh (LIKE {}) ON COMMIT DROP").format(name))
    with link.cursor() as cursor, cursor.copy("COPY fresh FROM STDIN") as copy:
        for row in _fresh(rows, lacking, dim, report):
            copy.write_row(row)
    link.execute(
        SQL(
            "INSERT INTO {} SELECT * FROM fresh ON CONFLICT (product_id, view) DO UPDATE "
            "SET digest = excluded.digest, vector = excluded.vector"
        ).format(name)
    )
    link.execute(
        SQL("CREATE INDEX IF NOT EXISTS {} ON {} USING hnsw (vector vector_ip_ops) WITH (m = 24)").format(
            Identifier(f"{name.as_string().strip(chr(34))}_hnsw"), name
        )
    )


def _fresh(
    rows: list[tuple[str, Floats]], lacking: list[tuple[int, int]], dim: int, report: Report | None
) -> Iterator[tuple[str, int, bytes, str]]:
    done = 0
    for some in batches((rows[place][0], rows[place][1]) for place, _ in lacking):
        for (product, _), vector in zip(some, unit_rows(some, dim), strict=True):
            yield product, lacking[done][1], hashlib.sha256(vector.tobytes()).digest()[:12], text(vector)
            done += 1
        if report is not None:
            report(done, len(lacking))
