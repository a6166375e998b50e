"""``vitrine models pull``: fetch a public model, or any .onnx file, and check it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from vitrine.cli.options import DataDirOption, JsonOption, configure
from vitrine.cli.output import epilog, err, note, out, print_json
from vitrine.config import Config

FOLDER = "models"
EPILOG = epilog(
    ("vitrine models pull yolox-nano", "into vitrine-data/models"),
    ("vitrine models pull dfine-s --to /srv/models", "somewhere else"),
    ("vitrine models pull dfine-s --mirror /mnt/usb/models", "without the internet"),
    ("vitrine models pull https://example.com/shoes.onnx --sha256 HEX", "a file of your own"),
)


def models_folder(config: Config) -> Path:
    """Where pulled models are kept."""
    return config.server.data_dir / FOLDER


def pull_model(
    name: Annotated[
        str, typer.Argument(help="Name from 'vitrine models list', or address of an .onnx file.")
    ],
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder. Default: models in the data folder.", metavar="DIR")
    ] = None,
    mirror: Annotated[
        str,
        typer.Option(help="Folder or address that holds the files instead of their own.", metavar="DIR|URL"),
    ] = "",
    sha256: Annotated[str, typer.Option(help="What the file has to have.", metavar="HEX")] = "",
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model. Broken downloads go on where they stopped; a file with a wrong hash is thrown away."""
    from vitrine.zoo.manifest import find
    from vitrine.zoo.pull import Progress as Told
    from vitrine.zoo.pull import pull

    entry = find(name, sha256)
    folder = to or models_folder(configure(None, server__data_dir=data_dir))
    with _bar(as_json) as bar:
        task = bar.add_task(entry.name, total=None)

        def told(here: int, total: int | None) -> None:
            bar.update(task, completed=here, total=total)

        progress: Told = told
        done = asyncio.run(pull(entry, folder, mirror=mirror, progress=progress))
    if done.first_seen:
        note(
            f"No hash is known for {entry.name}: what came was trusted, sha256 {done.sha256}. "
            f"That is remembered in {done.trust_file}; later pulls must bring the same."
        )
    facts = {
        "name": entry.name,
        "path": str(done.path),
        "sha256": done.sha256,
        "bytes": done.size,
        "fetched": done.fetched,
        "trusted_on_first_use": done.first_seen,
        "family": entry.family,
        "licence": entry.licence,
        "source": entry.source,
    }
    if as_json:
        print_json(facts)
        return
    verb = "pulled" if done.fetched else "already here"
    out().print(f"{verb}: {done.path} ({done.size / 1e6:.1f} MB)", soft_wrap=True, highlight=False)
    if entry.licence:
        out().print(f"licence: {entry.licence}{f' ({entry.note})' if entry.note else ''}", highlight=False)
    out().print(
        f'try it: vitrine models check {done.path}\nuse it: detector = "{done.path}" under \\[inference]',
        soft_wrap=True,
        highlight=False,
    )


def _bar(quiet: bool) -> Progress:
    console = err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("pull", epilog=EPILOG)(pull_model)
