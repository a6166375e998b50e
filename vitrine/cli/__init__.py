"""The command ``vitrine``. Commands import what they need when they run, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from stream.errors import EngineError
from vitrine.cli import catalog, check, demo, fleet, models, serve, tag, token
from vitrine.cli.output import Exit, complain, epilog, exit_code
from vitrine.version import version

app = typer.Typer(
    name="vitrine",
    help="Tappable product hotspots on live video, on the exact frame each viewer sees.",
    epilog=epilog(
        ("vitrine demo", "a show, from camera to hotspot, on this machine"),
        ("vitrine serve", "the engine, on http://127.0.0.1:8080"),
        ("vitrine check", "is everything there that it needs?"),
        ("vitrine catalog import feed.tsv", "products to recognise"),
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_state = {"debug": False}


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vitrine {version()}")
        raise typer.Exit


@app.callback()
def _options(
    shown: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    _state["debug"] = debug


serve.register(app)
demo.register(app)
check.register(app)
fleet.register(app)
catalog.register(app)
models.register(app)
tag.register(app)
token.register(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _state["debug"] = False
    try:
        app(args=arguments, prog_name="vitrine")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except EngineError as error:
        complain(error, _state["debug"])
        return exit_code(error)
    except Exception as error:
        complain(error, _state["debug"])
        return Exit.FAILED
    return Exit.OK


def main() -> NoReturn:
    """Entry point of the command."""
    sys.exit(run())
