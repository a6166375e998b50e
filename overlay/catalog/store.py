"""The catalogue on disk: products and vectors in SQLite, pictures as files beside it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from overlay.catalog.drafts import with_drafts
from overlay.database import Contents, Database
from overlay.errors import CatalogError
from overlay.types import Availability, Product

_SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id TEXT PRIMARY KEY, data BLOB NOT NULL, text TEXT NOT NULL, fingerprint TEXT NOT NULL,
    pictures INTEGER NOT NULL, place INTEGER NOT NULL, sources BLOB NOT NULL DEFAULT '[]'
);
CREATE TABLE IF NOT EXISTS vectors (
    id TEXT NOT NULL, view INTEGER NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (id, model, view)
);
CREATE TABLE IF NOT EXISTS drafts (
    id TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (id, field)
);
"""
_CONTENTS = Contents("catalog", "the catalogue", "and import the feed again")
_DRAFTED = "data, (SELECT json_group_object(field, value) FROM drafts WHERE drafts.id = products.id)"
"""A product with its accepted drafts, for `_product`."""
_SAID = "SELECT lower(group_concat(value, ' ')) FROM drafts WHERE drafts.id = products.id"
_WORDS = f"(text || ' ' || coalesce(({_SAID}), ''))"
"""What `CatalogStore.search` looks through."""
_decoder = msgspec.json.Decoder(Product)
_VIEWS = 8
"""Numbers of views set aside for each picture: view 8 * n + i is the i-th of picture n."""


class Source(msgspec.Struct, frozen=True, array_like=True):
    """Where a stored picture came from.

    Attributes:
        link: as in the feed.
        tag: see `overlay.catalog.fetch.Answer`.
        digest: sha256 of what was fetched.
    """

    link: str
    tag: str
    digest: str


class Known(msgspec.Struct, frozen=True):
    """What the catalogue holds of a product.

    Attributes:
        fingerprint: as given to `CatalogStore.put`; empty where the product is not known.
        sources: of its pictures, in order.
        embedded: it has vectors of the model asked about.
    """

    fingerprint: str = ""
    sources: tuple[Source, ...] = ()
    embedded: bool = False


_sources = msgspec.json.Decoder(tuple[Source, ...])


def safe_id(product_id: str) -> str:
    """A folder name for any product id; different ids never share one, whatever the file system."""
    slug = re.sub(r"[^A-Za-z0-9_-]", "_", product_id)[:40]
    return f"{slug}-{hashlib.sha256(product_id.encode()).hexdigest()[:10]}"


class CatalogStore:
    """Products, their pictures and their vectors. Blocking; safe to call from several threads.

    Every `put` is one transaction; pictures are moved into place as whole files.

    Args:
        data_dir: made where absent; holds ``catalog.db`` and ``images/``.

    Raises:
        CatalogError: the folder or the database cannot be used.
    """

    def __init__(self, data_dir: Path) -> None:
        self._images = data_dir / "images"
        self._db = Database(data_dir / "catalog.db", _SCHEMA, _CONTENTS)
        with self._db.locked() as db:
            self._migrate(db)

    def _migrate(self, db: sqlite3.Connection) -> None:
        """A catalogue from before pictures had sources: they are fetched and embedded once more."""
        if "sources" not in {row[1] for row in db.execute("PRAGMA table_info(products)")}:
            db.executescript(
                "ALTER TABLE products ADD COLUMN sources BLOB NOT NULL DEFAULT '[]'; DELETE FROM vectors;"
            )

    # ---- reading -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        with self._db.locked() as db:
            return int(db.execute("SELECT count(*) FROM products").fetchone()[0])

    def list(self) -> list[Product]:
        """All products, in the order they were first imported."""
        with self._db.locked() as db:
            rows = db.execute(f"SELECT {_DRAFTED} FROM products ORDER BY place").fetchall()
        return [_product(*row) for row in rows]

    def get(self, product_id: str) -> Product:
        """One product.

        Raises:
            CatalogError: the catalogue does not have it.
        """
        with self._db.locked() as db:
            row = db.execute(f"SELECT {_DRAFTED} FROM products WHERE id = ?", (product_id,)).fetchone()
        if row is None:
            raise CatalogError(
                f"product {product_id[:60]!r} is not in the catalogue; import a feed that has it",
                code="product-unknown",
            )
        return _product(*row)

    def search(self, text: str, limit: int = 50) -> Sequence[Product]:
        """Products whose id, title, brand, colour or description contain every word of `text`."""
        words = text.casefold().split()
        where = " AND ".join([f"{_WORDS} LIKE ? ESCAPE '\\'"] * len(words)) or "1"
        escaped = ["%" + re.sub(r"([%_\\])", r"\\\1", word) + "%" for word in words]
        with self._db.locked() as db:
            query = f"SELECT {_DRAFTED} FROM products WHERE {where} ORDER BY place LIMIT ?"
            rows = db.execute(query, (*escaped, limit)).fetchall()
        return [_product(*row) for row in rows]

    def fingerprint(self, product_id: str) -> str:
        """What `put` was given; empty where the product is not known."""
        with self._db.locked() as db:
            row = db.execute("SELECT fingerprint FROM products WHERE id = ?", (product_id,)).fetchone()
        return str(row[0]) if row is not None else ""

    def known(self, product_id: str, model_hash: str = "") -> Known:
        """What is held of a product."""
        with self._db.locked() as db:
            row = db.execute(
                "SELECT fingerprint, sources, EXISTS (SELECT 1 FROM vectors WHERE vectors.id = products.id "
                "AND model = ?) FROM products WHERE id = ?",
                (model_hash, product_id),
            ).fetchone()
        return Known() if row is None else Known(str(row[0]), _sources.decode(row[1]), bool(row[2]))

    def ids(
        self,
        *,
        sellers: Collection[str] = (),
        availability: Collection[Availability] = (),
        currencies: Collection[str] = (),
        prices: tuple[float, float] | None = None,
    ) -> frozenset[str]:
        """Products to search within; keep the set and pass the same one again: the index remembers it.

        Args:
            sellers: of these only; empty for all, as the others are.
            availability: these only.
            currencies: markets, by the currency of the price.
            prices: least and most, of what one pays.
        """
        text = "CAST(data AS TEXT)"
        paid = f"coalesce(nullif(json_extract({text}, '$.sale_price'), ''), json_extract({text}, '$.price'))"
        wanted = {
            f"json_extract({text}, '$.seller')": sellers,
            f"json_extract({text}, '$.availability')": [str(one) for one in availability],
            f"substr({paid}, -3)": currencies,
        }
        clauses = [f"{what} IN ({', '.join('?' * len(ones))})" for what, ones in wanted.items() if ones]
        values: list[str | float] = [one for ones in wanted.values() for one in ones]
        if prices is not None:  # a cast reads the amount before the currency
            clauses.append(f"CAST({paid} AS REAL) BETWEEN ? AND ?")
            values += prices
        query = "SELECT id FROM products" + (" WHERE " + " AND ".join(clauses) if clauses else "")
        with self._db.locked() as db:
            return frozenset(row[0] for row in db.execute(query, values))

    def changes(self) -> tuple[int, int]:
        """Differs from before once anybody changed anything. Cheap."""
        with self._db.locked() as db:  # by other connections, by this one
            return int(db.execute("PRAGMA data_version").fetchone()[0]), db.total_changes

    def picture_path(self, product_id: str, number: int) -> Path | None:
        """File of picture `number` (0 is the main one), a JPEG; None where there is none."""
        path = self._images / safe_id(product_id) / f"{number}.jpg"
        return path if number >= 0 and path.is_file() else None

    def vectors(self, model_hash: str) -> Sequence[tuple[str, NDArray[np.float32]]]:
        """(product id, unit float32 (dim,)) of every view that this model embedded."""
        with self._db.locked() as db:
            query = (
                "SELECT id, vector FROM vectors JOIN products USING (id) WHERE model = ? ORDER BY place, view"
            )
            rows = db.execute(query, (model_hash,)).fetchall()
        return [(product_id, np.frombuffer(blob, np.float32)) for product_id, blob in rows]

    def without_vectors(self, model_hash: str) -> Sequence[str]:
        """Products that have pictures but were not embedded by this model."""
        with self._db.locked() as db:
            rows = db.execute(
                "SELECT id FROM products WHERE pictures > 0 AND id NOT IN "
                "(SELECT id FROM vectors WHERE model = ?) ORDER BY place",
                (model_hash,),
            ).fetchall()
        return [product_id for (product_id,) in rows]

    # ---- writing -------------------------------------------------------------------------------------------

    def put(
        self,
        product: Product,
        pictures: Sequence[bytes],
        fingerprint: str,
        sources: Sequence[Source] = (),
        kept: Collection[int] = (),
    ) -> None:
        """Add or replace a product with its pictures (JPEG). Vectors of earlier pictures are dropped.

        Args:
            product: what is known of it.
            pictures: in order.
            fingerprint: given back by `fingerprint`.
            sources: of the pictures.
            kept: numbers of pictures that stay, vectors too; `pictures` is not looked at there.
        """
        folder = self._images / safe_id(product.id)
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(pictures):
            if number in kept:
                continue
            fresh = folder / f"{number}.jpg.new"
            fresh.write_bytes(data)
            fresh.replace(folder / f"{number}.jpg")
        with self._db.transaction() as db:
            marks = ", ".join("?" * len(kept))
            db.execute(
                f"DELETE FROM vectors WHERE id = ? AND view / {_VIEWS} NOT IN ({marks})",
                (product.id, *sorted(kept)),
            )
            db.execute(
                "INSERT INTO products (id, data, text, fingerprint, pictures, sources, place) VALUES "
                "(?, ?, ?, ?, ?, ?, (SELECT coalesce(max(place), 0) + 1 FROM products)) "
                "ON CONFLICT (id) DO UPDATE SET data = excluded.data, text = excluded.text, fingerprint = "
                "excluded.fingerprint, pictures = excluded.pictures, sources = excluded.sources",
                (*_columns(product), fingerprint, len(pictures), msgspec.json.encode(sources)),
            )
        for old in folder.glob("*.jpg"):
            if old.stem.isdigit() and int(old.stem) >= len(pictures):
                old.unlink(missing_ok=True)

    def update(self, product: Product, fingerprint: str, sources: Sequence[Source]) -> None:
        """Replace what is known of a product; its pictures and vectors stay."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE products SET data = ?2, text = ?3, fingerprint = ?4, sources = ?5 WHERE id = ?1",
                (*_columns(product), fingerprint, msgspec.json.encode(sources)),
            )

    def put_vectors(
        self, product_id: str, model_hash: str, vectors: NDArray[np.float32], picture: int | None = None
    ) -> None:
        """Replace a product's vectors of one model, unit float32 (n, dim): all, or those of one picture."""
        first = _VIEWS * (picture or 0)
        with self._db.transaction() as db:
            db.execute(
                "DELETE FROM vectors WHERE id = ? AND model = ?"
                + ("" if picture is None else f" AND view / {_VIEWS} = {picture:d}"),
                (product_id, model_hash),
            )
            db.executemany(
                "INSERT INTO vectors (id, view, model, vector) VALUES (?, ?, ?, ?)",
                [
                    (product_id, first + view, model_hash, np.ascontiguousarray(vector, np.float32).tobytes())
                    for view, vector in enumerate(vectors)
                ],
            )

    def put_draft(self, product_id: str, field: str, value: str) -> None:
        """Accept a draft for a field that the merchant left empty; an empty value takes it back."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM drafts WHERE id = ? AND field = ?", (product_id, field))
            if value:
                db.execute("INSERT INTO drafts VALUES (?, ?, ?)", (product_id, field, value))

    def remove(self, product_id: str) -> None:
        """Remove a product, its vectors, drafts and pictures. Does nothing where it is not known."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM drafts WHERE id = ?", (product_id,))
            db.execute("DELETE FROM vectors WHERE id = ?", (product_id,))
            db.execute("DELETE FROM products WHERE id = ?", (product_id,))
        folder = self._images / safe_id(product_id)
        for picture in folder.glob("*.jpg"):
            picture.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()

    def version(self) -> int:
        """Another number whenever another process, or another store, wrote into the catalogue."""
        return self._db.version()

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _product(data: bytes, drafts: str) -> Product:
    accepted: dict[str, str] = json.loads(drafts)
    return with_drafts(_decoder.decode(data), accepted)


def _columns(product: Product) -> tuple[str, bytes, str]:
    return product.id, msgspec.json.encode(product), _text(product)


def _text(product: Product) -> str:
    parts = (product.id, product.title, product.brand, product.color, product.seller, product.description)
    return " ".join(parts).casefold()
