"""``vitrine catalog orders``: what was bought together, from the shop's orders."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.options import ConfigOption, DataDirOption, JsonOption, configure
from vitrine.cli.output import Exit, epilog, err, note, out, print_json, usage_error

if TYPE_CHECKING:
    from overlay.ledger.orders import Orders

EPILOG = epilog(
    ("vitrine catalog orders orders.json", "Shopify's orders.json, or GA4 purchases"),
    ("vitrine catalog orders orders.jsonl --strict", "fail when any order is bad"),
)
SHOWN = 20
FLUSH_S = 60.0


def import_orders(
    file: Annotated[Path, typer.Argument(help="JSON or JSON Lines of orders.", metavar="FILE")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when anything is bad.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Read past orders into the ledger: products bought together complete each other.

    Orders that were read before are not counted again. Nothing of the buyers is kept.
    """
    from overlay.ledger.orders import MOST_BYTES

    loaded = configure(config, server__data_dir=data_dir)
    try:
        if file.stat().st_size > MOST_BYTES:
            raise usage_error(f"{file}: expected at most {MOST_BYTES >> 20} MiB; split it")
        data = file.read_bytes()
    except OSError as error:
        raise usage_error(f"{file}: {error.strerror}; name a file that can be read") from None
    found = _keep(loaded.server.data_dir, data)
    if as_json:
        print_json({"orders": found.orders, "ignored": found.ignored, "problems": found.problems})
    else:
        words = f"{found.orders} orders, {found.ignored} ignored, {len(found.problems)} problems"
        out().print(words, highlight=False)
        for line in found.problems[:SHOWN]:
            err().print(line, style="yellow", markup=False, soft_wrap=True)
        if len(found.problems) > SHOWN:
            note(f"... and {len(found.problems) - SHOWN} more; --json lists them all")
    nothing = not (found.orders or found.ignored)
    raise typer.Exit(Exit.FAILED if nothing or (strict and found.problems) else Exit.OK)


def _keep(data_dir: Path, data: bytes) -> Orders:
    from overlay.catalog.store import CatalogStore
    from overlay.errors import CatalogError
    from overlay.ledger.orders import read_orders
    from overlay.ledger.sqlite import SqliteLedger
    from vitrine.shop import LEDGER_FILE

    store = CatalogStore(data_dir)
    try:
        found = read_orders(data, store.ids(), int(time.time() * 1000))
    finally:
        store.close()
    ledger = SqliteLedger(data_dir / LEDGER_FILE, waiting_limit=len(found.entries) + 1)
    try:
        ledger.record(*found.entries)
        if not ledger.flush(FLUSH_S):
            raise CatalogError(f"{data_dir}: the ledger cannot be written now; try again", code="ledger-busy")
    finally:
        ledger.close()
    return found


def register(group: typer.Typer) -> None:
    """Add the command to ``vitrine catalog``."""
    group.command("orders", epilog=EPILOG)(import_orders)
