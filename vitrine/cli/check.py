"""``vitrine check``: is everything there that the engine needs?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vitrine.cli.options import JsonOption, configure
from vitrine.cli.output import Exit, epilog, out, print_json, progress

EPILOG = epilog(
    ("vitrine check", "the default configuration"),
    ("vitrine check vitrine.toml", "before putting it into service"),
    ("vitrine check vitrine.toml --json", "for a deployment script"),
)
_MARKS = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]", "failed": "[red]failed[/red]"}


def check(
    config: Annotated[
        Path | None, typer.Argument(help="TOML file. Without it: $VITRINE_CONFIG, then ./vitrine.toml.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check configuration, models, ports, data folder, certificate and redis."""
    loaded = configure(config)
    from vitrine.checks import Verdict, run_checks
    from vitrine.config import public_view

    with progress(as_json) as bar:
        bar.add_task("checking", total=None)
        found = list(run_checks(loaded))
    failed = any(item.verdict is Verdict.FAILED for item in found)
    if as_json:
        print_json(
            {"ok": not failed, "checks": [asdict(item) for item in found], "config": public_view(loaded)}
        )
    else:
        table = Table("", "", "", box=None, show_header=False)
        for item in found:
            table.add_row(_MARKS[item.verdict], f"[bold]{item.name}[/bold]", item.words.replace("[", r"\["))
        out().print(table)
    raise typer.Exit(Exit.FAILED if failed else Exit.OK)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check", epilog=EPILOG)(check)
