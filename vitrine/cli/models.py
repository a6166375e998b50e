"""``vitrine models``: which there are, whether a file is one, how fast it is, and where to get more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vitrine.cli import models_bench, models_pull
from vitrine.cli.options import (
    DataDirOption,
    FamilyOption,
    JsonOption,
    ProviderOption,
    RungOption,
    configure,
    ladder,
)
from vitrine.cli.output import epilog, out, print_json, progress

LIST_EPILOG = epilog(
    ("vitrine models list", "what is here, what can be pulled, which families are known"),
    ("vitrine models list --json", "the same for a program"),
)
CHECK_EPILOG = epilog(
    ("vitrine models check my_detector.onnx", "family, inputs, outputs, speed"),
    ("vitrine models check yolox.onnx --rung 416 --rung 320", "does the ladder work?"),
    ("vitrine models check deim_s.onnx --family deimv2", "where the file does not say"),
    ("vitrine models check d.onnx --provider cuda --json", "on the GPU, for a program"),
)


def list_models(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List the embedded models, those pulled, those that can be, and the detector families understood."""
    from inference.detectors.base import FAMILIES
    from inference.embedded import WEIGHTS
    from vitrine.zoo.manifest import manifest

    folder = models_pull.models_folder(configure(None, server__data_dir=data_dir))
    embedded = _files(WEIGHTS)
    pulled = _files(folder)
    here = {str(model["name"]) for model in pulled}
    if as_json:
        public = [_entry(each) | {"pulled": each.name in here} for each in manifest()]
        print_json({"models": embedded, "pulled": pulled, "public": public, "families": sorted(FAMILIES)})
        return
    table = Table("embedded or pulled", "size", "file", box=None)
    for model in [*embedded, *pulled]:
        table.add_row(str(model["name"]), f"{int(str(model['bytes'])) / 1e6:.2f} MB", str(model["path"]))
    out().print(table if embedded or pulled else "no models are here")
    public_table = Table("can be pulled", "for", "size", "AP", "input", "licence", box=None)
    for column in public_table.columns:
        column.no_wrap = True
    for entry in manifest():
        public_table.add_row(
            entry.name + (" (here)" if entry.name in here else ""),
            entry.tier,
            f"{entry.size / 1e6:.1f} MB" if entry.size else "-",
            "-" if entry.ap is None else f"{entry.ap:.1f}",
            entry.input,
            entry.licence + ("" if entry.sha256 else " *"),
        )
    out().print()
    out().print(public_table)
    out().print("* no hash is known: the first pull is trusted, later ones must match it")
    out().print("AP: COCO val2017, as given at each source (--json names it), not measured here\n")
    out().print(f"detector families: {', '.join(sorted(FAMILIES))}")


def _files(folder: Path) -> list[dict[str, object]]:
    return [
        {"name": path.stem, "path": str(path), "bytes": path.stat().st_size}
        for path in sorted(folder.glob("*.onnx"))
    ]


def _entry(entry: object) -> dict[str, object]:
    import msgspec

    fields: dict[str, object] = msgspec.to_builtins(entry)
    return fields


def check_model(
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    rung: RungOption = None,
    family: FamilyOption = "",
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a model, run it, and say what it is: detector family, embedder or attributes, sizes, speed."""
    from inference.describe import describe_model
    from inference.detection import DetectorSettings
    from inference.runtime import RuntimeSettings

    settings = DetectorSettings(runtime=RuntimeSettings(provider=provider or "auto"), family=family)
    with progress(as_json) as bar:
        bar.add_task(f"running {file.name}", total=None)
        facts = describe_model(file, rungs=ladder(rung), settings=settings)
    if as_json:
        print_json(facts)
    else:
        _show(facts)


def _show(facts: Mapping[str, object]) -> None:
    table = Table("", "", box=None, show_header=False)
    for name, value in facts.items():
        if value != []:
            table.add_row(f"[bold]{name}[/bold]", _words(value))
    out().print(table)


def _words(value: object) -> str:
    if isinstance(value, list):
        lines = [_words(item) for item in value]
        joined = ", ".join(lines)
        return joined if len(joined) < 70 or len(lines) > 8 else "\n".join(lines)
    if isinstance(value, Mapping):
        if {"width", "height", "warm_ms"} <= set(value):
            own = f"{value['width']}x{value['height']}"
            others = {size: took for size, took in dict(value.get("sizes", {})).items() if size != own}
            also = "".join(f", {size} in {took} ms" for size, took in others.items())
            return f"{own} in {value['warm_ms']} ms{also}"
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return str(value).replace("[", r"\[")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Detection and embedding models.", no_args_is_help=True)
    group.command("list", epilog=LIST_EPILOG)(list_models)
    group.command("check", epilog=CHECK_EPILOG)(check_model)
    models_bench.register(group)
    models_pull.register(group)
    app.add_typer(group, name="models")
