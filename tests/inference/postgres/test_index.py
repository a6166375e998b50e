"""The product index in a real PostgreSQL."""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator

import numpy as np
import psycopg
import pytest

import inference.postgres.index as module
from inference.errors import ProductIndexError
from inference.holder import IndexHolder
from inference.loaded import LoadedIndex
from inference.postgres.index import PostgresIndex
from inference.postgres.link import IndexAway, place
from tests.inference.test_index import HASH, Floats, items, vectors
from tests.postgres_server import PASSWORD, PostgresServer

pytestmark = pytest.mark.postgres
numbers = itertools.count()
Make = Callable[..., PostgresIndex]


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    return postgres_server.database(f"index{next(numbers)}")


@pytest.fixture
def make(database: str) -> Iterator[Make]:
    made: list[PostgresIndex] = []

    def build(rows: list[tuple[str, Floats]], model: str = HASH, dim: int = 16) -> PostgresIndex:
        made.append(PostgresIndex(database, dim, model))
        made[-1].refresh(rows, digest(rows))
        return made[-1]

    yield build
    for index in made:
        index.close()


def digest(rows: list[tuple[str, Floats]]) -> str:
    content = hashlib.sha256()
    for product, vector in rows:
        content.update(product.encode() + vector.tobytes())
    return content.hexdigest()


def names(found: list[list[tuple[str, float]]]) -> list[list[str]]:
    return [[product for product, _ in line] for line in found]


def test_a_large_table_is_walked_and_large_selections_keep_their_recall(
    make: Make, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setattr(module, "EXACT_BELOW", 1000)
    rows, queries = vectors(6000), vectors(40, seed=4)
    index, local = make(items(rows)), LoadedIndex([f"p{at}" for at in range(6000)], rows)
    wide = frozenset(f"p{at}" for at in range(0, 6000, 2))
    far = np.argsort(rows @ queries[0])[:2000]
    for within in (None, wide, frozenset(f"p{at}" for at in far)):
        found, wanted = names(index.search(queries, 10, within)), names(local.search(queries, 10, within))
        hits = sum(len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True))
        assert hits >= 0.99 * 400, "recall"
        assert within is None or {name for line in found for name in line} <= within
    with psycopg.connect(database) as link:
        text = "[" + ",".join(map(str, queries[0])) + "]"
        link.execute("SET enable_seqscan = off")
        (used,) = link.execute(
            "SELECT indexrelname FROM pg_stat_user_indexes WHERE indexrelname LIKE '%hnsw'"
        )
        plan = link.execute(
            f"EXPLAIN SELECT 1 FROM {used[0].removesuffix('_hnsw')} ORDER BY vector <#> '{text}' LIMIT 9"
        ).fetchall()
    assert any(used[0] in line[0] for line in plan)


def test_only_what_changed_is_sent_and_what_left_is_gone(make: Make, database: str) -> None:
    rows = vectors(500)
    index = make(items(rows))
    kept = items(rows)[20:]
    kept[0] = ("p20", vectors(1, seed=9)[0])
    kept.append(("new", vectors(1, seed=8)[0]))
    sent: list[tuple[int, int]] = []
    index.refresh(kept, digest(kept), lambda done, total: sent.append((done, total)))
    assert sent == [(2, 2)] and len(index) == 481
    assert index.search(rows[:20], 1) and not {f"p{at}" for at in range(20)} & {
        name for line in names(index.search(rows[:20], 480)) for name in line
    }
    np.testing.assert_allclose(index.views("p20"), [kept[0][1]], atol=1e-6)
    sent.clear()
    index.refresh(kept, digest(kept), lambda done, total: sent.append((done, total)))
    assert sent == [], "the same again is one question"


def test_a_product_is_removed_at_once_for_every_node_and_comes_back(make: Make, database: str) -> None:
    rows = items(vectors(30))
    index, other = make(rows), make(rows)
    holder = IndexHolder(index)
    holder.remove(["p3"])
    assert len(holder) == 29
    assert all("p3" not in line for line in names(other.search(vectors(30), 30)))
    index.refresh(rows, digest(rows))
    assert len(index) == 30 and names(other.search(vectors(30)[3:4], 1)) == [["p3"]]


def test_vectors_of_two_embedders_never_meet(make: Make, database: str) -> None:
    make(items(vectors(10)))
    stranger = PostgresIndex(database, 16, "b" * 64)
    with pytest.raises(
        ProductIndexError, match=r"made with embedder aaaaaaaaaaaa, expected bbbbbbbbbbbb; run"
    ):
        stranger.open()
    newer = make([("q1", vectors(1)[0])], "b" * 64)
    assert names(newer.search(vectors(1), 5)) == [["q1"]]
    with pytest.raises(ProductIndexError, match="got 16 dimensions, expected 8"):
        PostgresIndex(database, 8, HASH).open()


def test_an_empty_database_says_what_to_do(database: str) -> None:
    with pytest.raises(ProductIndexError, match="got pgvector none, expected 0.8 or newer"):
        PostgresIndex(database, 16, HASH).open()
    with psycopg.connect(database) as link:
        link.execute("CREATE EXTENSION vector")
    with pytest.raises(ProductIndexError, match="no product index there; run `vitrine catalog import`"):
        PostgresIndex(database, 16, HASH).open()


def test_a_server_that_goes_away_fails_searches_at_once_and_is_found_again(
    make: Make, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    rows = vectors(300)
    holder = IndexHolder(make(items(rows)))
    many = frozenset(f"p{at}" for at in range(250))
    before = holder.search(rows[:2], 3, many)
    postgres_server.stop()
    with caplog.at_level(logging.INFO), pytest.raises(IndexAway, match="127.0.0.1:.*no answer"):
        holder.search(rows[:2], 3, many)
    began = time.monotonic()
    with pytest.raises(IndexAway) as refused:
        holder.search(rows[:2], 3)
    assert time.monotonic() - began < 0.1, "the device's thread does not wait for it"
    assert refused.value.retryable and refused.value.http_status == 503
    (told,) = holder.problems
    assert "products are not recognised until it is back" in told
    assert PASSWORD not in told + str(refused.value) + caplog.text
    postgres_server.start()
    until = time.monotonic() + 20
    while holder.problems and time.monotonic() < until:
        time.sleep(0.05)
    assert holder.search(rows[:2], 3, many) == before and holder.problems == ()


def test_an_address_is_never_shown_with_its_password() -> None:
    assert place("postgresql://me:hunter2@db.example:6543/shop") == "postgresql at db.example:6543/shop"
    for url in ("postgresql://me:hunter2@[db/shop", "postgresql://me:hunter2@db/shop?nonsense=1"):
        with pytest.raises(ProductIndexError, match="expected postgresql://") as refused:
            place(url)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(IndexAway) as away:
        PostgresIndex("postgresql://me:hunter2@127.0.0.1:1/shop", 16, HASH).open()
    assert "hunter2" not in str(away.value) and "127.0.0.1:1/shop" in str(away.value)
