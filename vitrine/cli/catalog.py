"""``vitrine catalog``: the products that can be recognised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from overlay.types import Availability
from vitrine.cli import catalog_orders, catalog_tag, enroll
from vitrine.cli.options import ConfigOption, DataDirOption, EmbedderOption, JsonOption, configure
from vitrine.cli.output import Exit, epilog, err, note, out, print_json, progress, usage_error

if TYPE_CHECKING:
    from inference.embedder import OnnxEmbedder
    from overlay.catalog.importer import ImportReport
    from overlay.catalog.store import CatalogStore
    from overlay.types import Product
    from vitrine.config import Config

IMPORT_EPILOG = epilog(
    ("vitrine catalog import feed.tsv", "Merchant feed; pictures beside it or on the web"),
    ("vitrine catalog import https://shop.example/feed.csv", "straight from the shop"),
    ("vitrine catalog import https://shop.example/products.json --currency EUR", "all of a Shopify shop"),
    ("vitrine catalog import page.html", "what a page says in schema.org"),
    ("vitrine catalog import feed.xml --prune", "remove what left the feed"),
    ("vitrine catalog import feed.jsonl --strict", "fail when any row is bad"),
)
LIST_EPILOG = epilog(
    ("vitrine catalog list", "all products"),
    ("vitrine catalog list --json", "all their fields"),
)
SEARCH_EPILOG = epilog(
    ("vitrine catalog search red mug", "by words of title, brand, colour, description"),
    ("vitrine catalog search --image photo.jpg", "by what a picture shows, best first"),
    ("vitrine catalog search --image photo.jpg --availability in_stock", "among what is in stock"),
)
EXPORT_EPILOG = epilog(
    ("vitrine catalog export --out products.jsonld", "schema.org Product and Offer"),
    ("vitrine catalog export > products.jsonld", "the same"),
)
BAD_ROWS_SHOWN = 20


def import_catalog(
    feed: Annotated[
        str,
        typer.Argument(
            help="Merchant TSV, CSV, XML, JSONL; Shopify; schema.org: a file or an http(s) address.",
            metavar="FEED",
        ),
    ],
    feed_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="tsv, csv, jsonl, xml, shopify or schema.org; else by ending and content.",
            metavar="NAME",
        ),
    ] = "",
    currency: Annotated[
        str, typer.Option("--currency", help="Of a feed that names none (Shopify).", metavar="CODE")
    ] = "",
    prune: Annotated[bool, typer.Option("--prune", help="Remove products that left the feed.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when any row is bad.")] = False,
    embed: Annotated[bool, typer.Option(help="Make the products recognisable now.")] = True,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    embedder: EmbedderOption = None,
) -> None:
    """Import a product feed. Bad rows are reported with line and reason; the good ones are kept."""
    loaded = _configure(config, data_dir, embedder)
    wanted = (feed_format or loaded.catalog.format, currency or loaded.catalog.currency, prune)
    report, recognisable = asyncio.run(_import(loaded, feed, wanted, embed, as_json))
    if as_json:
        print_json(
            {
                "imported": report.imported,
                "updated": report.updated,
                "removed": report.removed,
                "unchanged": report.unchanged,
                "recognisable": recognisable,
                "bad": [
                    {"line": p.line, "id": p.id, "field": p.field, "message": p.message}
                    for p in report.rows_bad
                ],
            }
        )
    else:
        _show_report(report, recognisable)
    nothing = not (report.changed or report.unchanged)
    raise typer.Exit(Exit.FAILED if nothing or (strict and report.rows_bad) else Exit.OK)


async def _import(
    config: Config, feed: str, wanted: tuple[str, str, bool], embed: bool, quiet: bool
) -> tuple[ImportReport, int]:
    from overlay.catalog.importer import ImportOptions, import_feed
    from vitrine.recognition import refresh_index

    embedder = await asyncio.to_thread(_embedder, config) if embed else None
    with _store(config) as store, progress(quiet) as bar:
        task = bar.add_task("importing", total=None)
        report = await import_feed(
            feed if "://" in feed else Path(feed),
            store,
            embedder,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            options=ImportOptions(*wanted),
        )
        recognisable = 0
        if embedder is not None:
            from inference.index import IndexHolder

            folder, step = config.server.data_dir, bar.add_task("indexing", total=None)
            with closing(IndexHolder()) as index:
                recognisable = await asyncio.to_thread(
                    refresh_index,
                    store,
                    folder,
                    embedder,
                    index,
                    lambda done, total: bar.update(step, completed=done, total=total),
                    config.catalog.index_server,
                )
    return report, recognisable


def _show_report(report: ImportReport, recognisable: int) -> None:
    out().print(
        f"{report.imported} imported, {report.updated} updated, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.rows_bad)} problems; "
        f"{recognisable} products can be recognised"
    )
    for problem in report.rows_bad[:BAD_ROWS_SHOWN]:
        words = f"line {problem.line}: {problem.field}: {problem.message}".replace("[", r"\[")
        err().print(f"[yellow]{words}[/yellow]", soft_wrap=True)
    if len(report.rows_bad) > BAD_ROWS_SHOWN:
        note(f"... and {len(report.rows_bad) - BAD_ROWS_SHOWN} more; --json lists them all")


def list_catalog(
    as_json: JsonOption = False, config: ConfigOption = None, data_dir: DataDirOption = None
) -> None:
    """List the products."""
    with _store(_configure(config, data_dir, None)) as store:
        _show(store.list(), as_json)


def export_catalog(
    export_format: Annotated[
        str, typer.Option("--format", help="schema.org.", metavar="NAME")
    ] = "schema.org",
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="Instead of standard output.", metavar="FILE")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Export the products as schema.org JSON-LD, for a page or another shop. Always JSON."""
    from overlay.catalog.export import schema_org

    if export_format != "schema.org":
        raise usage_error(f"--format: got {export_format!r}, expected schema.org")
    with _store(_configure(config, data_dir, None)) as store:
        products = store.list()
    document = schema_org(products)
    if out_file is None:
        print_json(document)
        return
    try:
        out_file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise usage_error(f"--out {out_file}: {error.strerror}; name a file that can be written") from None
    note(f"{len(products)} products")


def search_catalog(
    words: Annotated[
        list[str] | None, typer.Argument(help="All of them must occur.", metavar="[WORDS]...")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Find by a picture instead.", metavar="FILE")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1, max=1000)] = 20,
    seller: Annotated[list[str] | None, typer.Option(help="Of this seller; repeatable.")] = None,
    availability: Annotated[
        list[Availability] | None, typer.Option(help="As the feed says; repeatable.")
    ] = None,
    currency: Annotated[
        list[str] | None, typer.Option(help="Of the market with this currency; repeatable.", metavar="CODE")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    embedder: EmbedderOption = None,
) -> None:
    """Search the products by words, or by a picture. Exit code 1 when nothing is found."""
    if bool(words) == bool(image):
        raise usage_error("give either words or --image FILE")
    loaded = _configure(config, data_dir, embedder)
    markets = [one.upper() for one in currency or []]
    with _store(loaded) as store:
        among = None
        if seller or availability or markets:
            among = store.ids(sellers=seller or (), availability=availability or (), currencies=markets)
        if image is not None:
            scores = _look_up(loaded, store, image, limit, among)
            found = [store.get(product_id) for product_id in scores]
        else:
            scores, matching = {}, store.search(" ".join(words or []), limit if among is None else len(store))
            found = [one for one in matching if among is None or one.id in among][:limit]
        _show(found, as_json, scores)
    raise typer.Exit(Exit.OK if found else Exit.FAILED)


def _look_up(
    config: Config, store: CatalogStore, image: Path, limit: int, among: frozenset[str] | None
) -> dict[str, float]:
    """Products by similarity to a picture, best first."""
    from inference.index import IndexHolder
    from overlay.catalog.pictures import PictureError, PictureLimits, decode_picture, views
    from vitrine.recognition import refresh_index

    try:
        picture = decode_picture(image.read_bytes(), PictureLimits())
    except (OSError, PictureError) as error:
        raise usage_error(f"{image}: {error}") from None
    model, best = _embedder(config), dict[str, float]()
    with closing(IndexHolder()) as index:
        refresh_index(store, config.server.data_dir, model, index, server=config.catalog.index_server)
        answers = index.search(model.queries(model.embed(views(picture, model.size))), limit, among)
    for found in answers:
        for product_id, score in found:
            best[product_id] = max(score, best.get(product_id, -1.0))
    return dict(sorted(best.items(), key=lambda item: -item[1])[:limit])


def _show(products: list[Product], as_json: bool, scores: dict[str, float] | None = None) -> None:
    scores = scores or {}
    if as_json:
        from msgspec import to_builtins

        rows = [
            to_builtins(p) | ({"score": round(scores[p.id], 4)} if p.id in scores else {}) for p in products
        ]
        print_json({"products": rows})
        return
    table = Table(*(["score"] if scores else []), "id", "title", "price", "availability", "seller", box=None)
    for product in products:
        cells = [product.id, product.title, product.sale_price or product.price, product.availability]
        score = [f"{scores[product.id]:.3f}"] if scores else []
        table.add_row(*score, *(str(cell).replace("[", r"\[") for cell in (*cells, product.seller)))
    if products:
        out().print(table)
    else:
        note("no product found; 'vitrine catalog import FEED' imports some")


def _configure(config: Path | None, data_dir: Path | None, embedder: Path | None) -> Config:
    return configure(
        config,
        server__data_dir=data_dir,
        inference__embedder=None if embedder is None else str(embedder),
    )


def _embedder(config: Config) -> OnnxEmbedder:
    from inference.embedded import EMBEDDER, embedded_model
    from inference.embedder import OnnxEmbedder
    from inference.runtime import OrtModel, RuntimeSettings

    wanted = config.inference
    runtime = RuntimeSettings(wanted.provider, wanted.threads)
    return OnnxEmbedder(OrtModel(wanted.embedder or embedded_model(EMBEDDER), runtime))


@contextmanager
def _store(config: Config) -> Iterator[CatalogStore]:
    """The catalogue of a configuration, closed at the end."""
    from overlay.catalog.store import CatalogStore

    store = CatalogStore(config.server.data_dir)
    try:
        yield store
    finally:
        store.close()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Products: import, list, search, export, enroll, tag, orders.", no_args_is_help=True
    )
    group.command("import", epilog=IMPORT_EPILOG)(import_catalog)
    group.command("list", epilog=LIST_EPILOG)(list_catalog)
    group.command("export", epilog=EXPORT_EPILOG)(export_catalog)
    group.command("search", epilog=SEARCH_EPILOG)(search_catalog)
    enroll.register(group)
    catalog_tag.register(group)
    catalog_orders.register(group)
    app.add_typer(group, name="catalog")
