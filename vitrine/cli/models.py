"""``vitrine models``: which models there are, and whether a file is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vitrine.cli.options import JsonOption, ProviderOption
from vitrine.cli.output import epilog, out, print_json, progress, usage_error

LIST_EPILOG = epilog(
    ("vitrine models list", "embedded models and known detector families"),
    ("vitrine models list --json", "the same for a program"),
)
CHECK_EPILOG = epilog(
    ("vitrine models check my_detector.onnx", "family, inputs, outputs, speed"),
    ("vitrine models check yolox.onnx --rung 416 --rung 320", "does the ladder work?"),
    ("vitrine models check d.onnx --provider cuda --json", "on the GPU, for a program"),
)


def list_models(as_json: JsonOption = False) -> None:
    """List the embedded models and the detector families that are understood."""
    from inference.detectors.base import FAMILIES
    from inference.embedded import WEIGHTS

    models = [
        {"name": path.stem, "path": str(path), "bytes": path.stat().st_size}
        for path in sorted(WEIGHTS.glob("*.onnx"))
    ]
    if as_json:
        print_json({"models": models, "families": sorted(FAMILIES)})
        return
    table = Table("model", "size", "file", box=None)
    for model in models:
        table.add_row(str(model["name"]), f"{int(str(model['bytes'])) / 1e6:.2f} MB", str(model["path"]))
    out().print(table if models else "no embedded models are installed")
    out().print(f"detector families: {', '.join(sorted(FAMILIES))}")


def check_model(
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    rung: Annotated[
        list[str] | None, typer.Option(help="Input size to try: 416 or 640x384. May be repeated.")
    ] = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a model, run it, and say what it is: detector family or embedder, sizes, speed."""
    from inference.describe import describe_model
    from inference.detection import DetectorSettings
    from inference.runtime import RuntimeSettings
    from vitrine.settings import InferenceConfig

    try:
        rungs = InferenceConfig(rungs=tuple(rung or ())).ladder() or None
    except ValueError as error:
        raise usage_error(f"--rung: {str(error).removeprefix('rungs: ')}") from None
    settings = DetectorSettings(runtime=RuntimeSettings(provider=provider or "auto"))
    with progress(as_json) as bar:
        bar.add_task(f"running {file.name}", total=None)
        facts = describe_model(file, rungs=rungs, settings=settings)
    if as_json:
        print_json(facts)
    else:
        _show(facts)


def _show(facts: Mapping[str, object]) -> None:
    table = Table("", "", box=None, show_header=False)
    for name, value in facts.items():
        table.add_row(f"[bold]{name}[/bold]", _words(value))
    out().print(table)


def _words(value: object) -> str:
    if isinstance(value, list):
        lines = [_words(item) for item in value]
        joined = ", ".join(lines)
        return joined if len(joined) < 70 or len(lines) > 8 else "\n".join(lines)
    if isinstance(value, Mapping):
        if {"width", "height", "warm_ms"} <= set(value):
            return f"{value['width']}x{value['height']} in {value['warm_ms']} ms"
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return str(value).replace("[", r"\[")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Detection and embedding models.", no_args_is_help=True)
    group.command("list", epilog=LIST_EPILOG)(list_models)
    group.command("check", epilog=CHECK_EPILOG)(check_model)
    app.add_typer(group, name="models")
