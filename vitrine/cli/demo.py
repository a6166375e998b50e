"""``vitrine demo``: the whole engine with an embedded show."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.options import ConfigOption, DataDirOption, JsonOption, configure
from vitrine.cli.output import epilog, err

EPILOG = epilog(
    ("vitrine demo", "plays until Ctrl-C; prints the addresses of the three pages"),
    ("vitrine demo --port 9000", "on another port"),
    ("vitrine demo --seconds 20 --json", "headless: one JSON object, then exit"),
)


def demo(
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", min=1.0)] = None,
    as_json: JsonOption = False,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one. Default: 8080.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
) -> None:
    """Play the embedded show through the whole engine, on this machine, over a real WebRTC connection.

    In a terminal it runs until Ctrl-C with a live console; otherwise it plays the show once.
    """
    from vitrine.demo import run_demo
    from vitrine.logs import set_up_logging

    loaded = configure(config, server__port=port, server__data_dir=data_dir)
    set_up_logging("info" if verbose else "error")
    raise typer.Exit(run_demo(loaded, seconds, as_json, err()))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", epilog=EPILOG)(demo)
