"""How every command speaks: results on standard output, everything else on standard error, exit codes."""

from __future__ import annotations

import json
import sys
import traceback
from enum import IntEnum
from typing import Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from stream.errors import EngineError
from vitrine.errors import ConfigError, FrontError


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    UNAVAILABLE = 4
    INTERRUPTED = 130


EXIT_HELP: Final = """[bold]Exit codes[/bold]
  0 done                       1 failed, or something was found wrong
  2 wrong usage                3 configuration refused
  4 something it needs is not there (port, redis, shop)
  130 interrupted"""
_ONE_LINE: Final = 76


def epilog(*examples: tuple[str, str]) -> str:
    """Examples below a command's help: (command line, what it does)."""
    width = max(len(command) for command, _ in examples)
    joint = "  " if width + max(len(words) for _, words in examples) + 4 <= _ONE_LINE else "\n    "
    pad = width if joint == "  " else 0
    lines = [f"  [cyan]{command:<{pad}}[/cyan]{joint}[dim]{words}[/dim]" for command, words in examples]
    return "\n".join(["[bold]Examples[/bold]", *lines, "", EXIT_HELP])


def out() -> Console:
    """Standard output, for tables."""
    return Console(file=sys.stdout, soft_wrap=False)


def err() -> Console:
    """Standard error, for notes and progress."""
    return Console(file=sys.stderr, highlight=False)


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str, indent=2) + "\n")
    sys.stdout.flush()


def progress(quiet: bool = False) -> Progress:
    """A progress bar on standard error; invisible when that is no terminal or `quiet`."""
    console = err()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )


def exit_code(error: EngineError) -> Exit:
    """The exit code that an error stands for."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, FrontError) or error.retryable:
        return Exit.UNAVAILABLE
    return Exit.FAILED


def complain(error: BaseException, debug: bool) -> None:
    """One clear paragraph on standard error; the traceback only when asked for."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
        return
    words = str(error) or type(error).__name__
    if not isinstance(error, EngineError):
        words = f"{type(error).__name__}: {words} (an error in the engine itself; --debug shows where)"
    err().print(f"[bold red]error:[/bold red] {_plain(words)}", soft_wrap=True)


def note(words: str) -> None:
    """A remark on standard error."""
    err().print(_plain(words), soft_wrap=True, style="dim")


def _plain(text: str) -> str:
    """Text that rich must not take for markup."""
    return text.replace("[", r"\[")


def usage_error(words: str) -> typer.BadParameter:
    """Wrong usage, found by the command itself: exit code 2."""
    return typer.BadParameter(words)
