"""Options shared by commands, and the configuration they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from vitrine.cli.output import usage_error
from vitrine.config import Config, load_config

if TYPE_CHECKING:
    from inference.types import Rung

ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="TOML file. Without it: $VITRINE_CONFIG, then ./vitrine.toml.", metavar="FILE"
    ),
]
DataDirOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where state is kept. Default: ./vitrine-data.", metavar="DIR"),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
ProviderOption: TypeAlias = Annotated[
    str | None, typer.Option("--provider", help="auto, cpu, cuda or tensorrt.", metavar="NAME")
]
FamilyOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--family",
        help="Detector family, where the file does not show it; see 'models list'.",
        metavar="NAME",
    ),
]
DetectorOption: TypeAlias = Annotated[
    Path | None, typer.Option("--detector", help="ONNX detector instead of the embedded one.", metavar="FILE")
]
EmbedderOption: TypeAlias = Annotated[
    Path | None, typer.Option("--embedder", help="ONNX embedder instead of the embedded one.", metavar="FILE")
]


RungOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--rung", help="Input size: 416 or 640x384. May be repeated.")
]


def ladder(rungs: list[str] | None) -> tuple[Rung, ...] | None:
    """The sizes (width, height) that were asked for with ``--rung``, None for the model's own.

    Raises:
        UsageError: one is not a size.
    """
    from vitrine.settings import InferenceConfig

    try:
        return InferenceConfig(rungs=tuple(rungs or ())).ladder() or None
    except ValueError as error:
        raise usage_error(f"--rung: {str(error).removeprefix('rungs: ')}") from None


def configure(path: Path | None, **overrides: object) -> Config:
    """The configuration of a command; keyword ``server__port`` stands for ``server.port``."""
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    return load_config(path, None, {name.replace("__", "."): value for name, value in texts.items()})
