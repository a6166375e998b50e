"""``vitrine catalog tag``: drafts of what merchants left out, for a person to accept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.options import ConfigOption, DataDirOption, JsonOption, configure
from vitrine.cli.output import Exit, epilog, err, note, out, print_json, progress, usage_error

if TYPE_CHECKING:
    from overlay.catalog.drafts import Draft
    from overlay.catalog.store import CatalogStore

EPILOG = epilog(
    ("vitrine catalog tag", "writes review.csv: colours, category, words, with confidence"),
    ("vitrine catalog tag --out review.jsonl --least 0.8", "JSON Lines; only what is rather sure"),
    ("vitrine catalog tag mug-01 mug-02", "these products only"),
    ("vitrine catalog tag --apply review.csv", "takes the rows marked 'yes' in column accept"),
)
SHOWN = 20


def tag_catalog(
    products: Annotated[
        list[str] | None, typer.Argument(help="Ids; all products without any.", metavar="[ID]...")
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Review file, .csv or .jsonl. Default: review.csv.", metavar="FILE"),
    ] = None,
    apply: Annotated[
        Path | None, typer.Option(help="Take over an edited review file instead.", metavar="REVIEW")
    ] = None,
    least: Annotated[
        float, typer.Option(help="Least confidence of a proposal, 0..1.", min=0.0, max=1.0)
    ] = 0.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draft category, colours, pattern, packaging, title and description from the products' pictures.

    Proposals go into a review file; nothing changes before a person has marked rows and applied it. A field
    that the merchant has filled is never touched, and goes before a draft whenever a feed fills it later.
    """
    from overlay.catalog.store import CatalogStore

    if apply is not None and (products or out_file or least):
        raise usage_error("--apply takes a review file and nothing else")
    loaded = configure(config, server__data_dir=data_dir)
    store = CatalogStore(loaded.server.data_dir)
    try:
        if apply is not None:
            raise typer.Exit(_apply(store, apply, as_json))
        raise typer.Exit(_propose(store, products or [], out_file or Path("review.csv"), least, as_json))
    finally:
        store.close()


def _propose(store: CatalogStore, wanted: list[str], path: Path, least: float, as_json: bool) -> Exit:
    from inference.attributes import load_attributes
    from overlay.catalog.review import write_review
    from vitrine.drafting import AttributeTagger, draft_catalogue

    known = {product.id: product for product in store.list()}
    if unknown := [name for name in wanted if name not in known]:
        raise usage_error(f"no such product: {', '.join(unknown[:5])}; 'vitrine catalog list' lists them")
    if not known:
        note("the catalogue is empty: 'vitrine catalog import FEED' imports one")
        return Exit.FAILED
    with progress(as_json) as bar:
        task = bar.add_task("looking at pictures", total=len(wanted) or len(known))
        drafts = list(
            draft_catalogue(
                store,
                AttributeTagger(load_attributes()),
                wanted=frozenset(wanted),
                least=least,
                report=lambda done, total: bar.update(task, completed=done, total=total),
            )
        )
    try:
        write_review(path, drafts, known)
    except OSError as error:
        raise usage_error(f"--out {path}: {error.strerror}; name a file that can be written") from None
    _show_drafts(drafts, len(wanted) or len(known), path, as_json)
    return Exit.OK


def _show_drafts(drafts: list[Draft], products: int, path: Path, as_json: bool) -> None:
    fields: dict[str, int] = {}
    for draft in drafts:
        fields[draft.field] = fields.get(draft.field, 0) + 1
    if as_json:
        print_json({"products": products, "proposals": len(drafts), "fields": fields, "file": str(path)})
        return
    words = ", ".join(f"{count} {field}" for field, count in fields.items()) or "nothing to propose"
    out().print(f"{len(drafts)} proposals for {products} products: {words}", highlight=False, markup=False)
    out().print(
        f"{path}: write 'yes' into column accept, then: vitrine catalog tag --apply {path}", markup=False
    )


def _apply(store: CatalogStore, path: Path, as_json: bool) -> Exit:
    from overlay.catalog.review import read_review, settle

    review = read_review(path)
    good, bad = settle(review, {product.id: product for product in store.list()})
    for decision in good:
        store.put_draft(decision.product_id, decision.field, decision.value)
    accepted = sum(1 for decision in good if decision.value)
    told = [f"line {line}: {why}" for line, why in review.problems]
    told += [f"{decision.product_id}: {why}" for decision, why in bad]
    if as_json:
        facts = {"accepted": accepted, "refused": len(good) - accepted, "open": review.open}
        print_json({**facts, "skipped": told})
    else:
        words = f"{accepted} accepted, {len(good) - accepted} refused, {review.open} without an answer"
        out().print(f"{words}, {len(told)} skipped", highlight=False)
        for line in told[:SHOWN]:
            err().print(line, style="yellow", markup=False, soft_wrap=True)
        if len(told) > SHOWN:
            note(f"... and {len(told) - SHOWN} more; --json lists them all")
    return Exit.FAILED if review.problems else Exit.OK


def register(group: typer.Typer) -> None:
    """Add the command to ``vitrine catalog``."""
    group.command("tag", epilog=EPILOG)(tag_catalog)
