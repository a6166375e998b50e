"""``vitrine fleet``: the nodes that share a bus, what they hold, and what is wrong."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vitrine.cli.options import ConfigOption, JsonOption, configure
from vitrine.cli.output import Exit, epilog, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitrine.figures import StreamFigures
    from vitrine.studio.survey import FleetFigures

EPILOG = epilog(
    ("vitrine fleet", "the nodes of the bus in vitrine.toml"),
    ("vitrine fleet --bus redis://10.0.0.9", "of that one"),
    ("vitrine fleet --json", "for a script; exit code 1 when something is wrong"),
)
_TONES = {
    "up": "green",
    "live": "green",
    "idle": "dim",
    "draining": "yellow",
    "unsure": "yellow",
    "silent": "red",
    "orphaned": "red",
}


def fleet(
    as_json: JsonOption = False,
    bus: Annotated[
        str | None, typer.Option(help="Redis that nodes share; keep passwords in VITRINE_BUS__URL.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Show nodes (role, load, version) and streams (holder, viewers, lease, where their frames' time goes).

    Says what is wrong: with nodes, with leases, and why frames of which stream were late.
    """
    loaded = configure(config, bus__url=bus)
    from msgspec import json as encoder

    from vitrine.errors import ConfigError

    if loaded.bus.alone:
        raise ConfigError(
            "bus.url is 'memory': each process is alone, there is no fleet to show. Set bus.url (or --bus) "
            "to the Redis that the nodes share.",
            key="bus.url",
        )
    found = asyncio.run(_ask(loaded.bus.url.reveal()))
    if as_json:
        print_json(json.loads(encoder.encode(found)))
    else:
        _show(found)
    raise typer.Exit(Exit.FAILED if found.problems else Exit.OK)


async def _ask(url: str) -> FleetFigures:
    from overlay.bus.redis_link import RedisLink
    from overlay.bus.redis_registry import RedisRegistry
    from vitrine.figures import hear
    from vitrine.studio.nodes import read
    from vitrine.studio.survey import survey

    link = RedisLink(url)
    try:
        registry = RedisRegistry(link)
        return survey(read(await registry.nodes()), told=hear(await registry.figures()))
    finally:
        await link.close()


def _show(found: FleetFigures) -> None:
    console = out()
    nodes = Table("node", "role", "state", "load", "streams", "viewers", "up", "version", "address", box=None)
    for node in found.nodes:
        state = f"{node.state} {node.silent_ms / 1000:.0f} s" if node.state == "silent" else node.state
        nodes.add_row(
            f"[bold]{node.name}[/bold]",
            node.role,
            f"[{_TONES[node.state]}]{state}[/]",
            "full" if node.full else f"{node.load:.0%}",
            str(node.streams),
            str(node.viewers),
            _span(node.up_s),
            node.version,
            node.public,
        )
    console.print(nodes)
    if found.streams:
        streams = Table("stream", "state", "node", "epoch", "viewers", "lease renewed", box=None)
        for stream in found.streams:
            age = f"{stream.lease_age_ms / 1000:.1f} s ago"
            tone = f"[{_TONES[stream.state]}]{stream.state}[/]"
            streams.add_row(stream.id, tone, stream.node, str(stream.epoch), str(stream.viewers), age)
        console.print()
        console.print(streams)
    told = [stream.figures for stream in found.streams if stream.figures]
    if told:
        console.print()
        console.print(_times(told))
    console.print()
    for problem in found.problems:
        console.print("[red]![/red] " + problem.replace("[", r"\["))
    if not found.problems:
        console.print("[green]all well[/green]")


def _times(told: Sequence[StreamFigures]) -> Table:
    """Where the frames' time goes: every stage of every live stream, p95 over ten seconds."""
    table = Table("ms, p95", "frame age", "seen", "stages", box=None)
    for figures in told:
        age, budget = figures.frame_age_ms.p95, figures.budget_ms
        tone = "red" if (age or 0.0) > budget else "green"
        took = (f"{name} {_ms(values.p95)}" for name, values in figures.stages_ms.items())
        table.add_row(
            f"[bold]{figures.id}[/bold]",
            f"[{tone}]{_ms(age)}[/] of {budget:.0f}",
            _ms(figures.overlay_age_ms.p95),
            ", ".join(took),
        )
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{seconds:.0f} s" if minutes < 1 else f"{minutes // 60} h {minutes % 60} min"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fleet", epilog=EPILOG)(fleet)
