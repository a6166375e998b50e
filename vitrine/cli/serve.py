"""``vitrine serve``: the engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.options import (
    ConfigOption,
    DataDirOption,
    DetectorOption,
    EmbedderOption,
    ProviderOption,
    configure,
)
from vitrine.cli.output import epilog, err, note, usage_error

if TYPE_CHECKING:
    from vitrine.app import Server

EPILOG = epilog(
    ("vitrine serve", "on this machine only: http://127.0.0.1:8080"),
    ("vitrine serve --host 0.0.0.0 --tls self-signed", "other devices too; their cameras need https"),
    ("vitrine serve -c vitrine.toml --port 9000", "settings from a file, one of them overridden"),
    ("vitrine serve --source cam=rtsp://10.0.0.5/1", "pull a camera into the stream 'cam'"),
    ("vitrine serve --role ingest --bus redis://10.0.0.9 --port 8081", "one of several nodes"),
    ("vitrine serve --role gateway --bus redis://10.0.0.9", "another, for pages and viewers"),
    ("vitrine serve --udp-ports 50000-50100 --public-ip 203.0.113.7", "behind a firewall, in a cloud"),
)


def _sources(values: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for value in values:
        name, separator, url = value.partition("=")
        if not (separator and name and url):
            raise usage_error(f"--source: got {value!r}, expected NAME=URL such as cam=rtsp://10.0.0.5/1")
        found[f"sources__{name}"] = url
    return found


def serve(
    config: ConfigOption = None,
    role: Annotated[
        str | None,
        typer.Option(help="all, ingest (publishers, recognition) or gateway (pages, viewers). Default: all."),
    ] = None,
    bus: Annotated[
        str | None, typer.Option(help="Redis that nodes share; keep passwords in VITRINE_BUS__URL.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="Name of this process among the nodes.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one. Default: 8080.")] = None,
    data_dir: DataDirOption = None,
    tls: Annotated[
        str | None, typer.Option(help="off, self-signed or files (cert and key in the file).")
    ] = None,
    udp_ports: Annotated[str | None, typer.Option(help="UDP ports for media, 'lo-hi'.")] = None,
    public_ip: Annotated[str | None, typer.Option(help="Address to announce, behind one-to-one NAT.")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Pull a stream: NAME=URL. May be repeated.")
    ] = None,
    feed: Annotated[
        str | None, typer.Option(help="Product feed to import at start.", metavar="FILE|URL")
    ] = None,
    detector: DetectorOption = None,
    embedder: EmbedderOption = None,
    provider: ProviderOption = None,
    budget_ms: Annotated[int | None, typer.Option(help="From a frame to its overlay. Default: 60.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object per line.")] = False,
) -> None:
    """Run the engine until Ctrl-C: pages, WHIP, WHEP and the viewers' websocket on one port."""
    if log_level not in ("debug", "info", "warning", "error"):
        raise usage_error(f"--log-level: got {log_level!r}, expected debug, info, warning or error")
    loaded = configure(
        config,
        fleet__role=role,
        fleet__node=node,
        bus__url=bus,
        server__host=host,
        server__port=port,
        server__data_dir=data_dir,
        server__tls=tls,
        rtc__udp_ports=udp_ports,
        rtc__public_ip=public_ip,
        catalog__feed=feed,
        inference__detector=detector,
        inference__embedder=embedder,
        inference__provider=provider,
        inference__budget_ms=budget_ms,
        **_sources(source or []),
    )
    from vitrine.app import serve as run_server
    from vitrine.logs import set_up_logging

    set_up_logging(log_level, as_json=log_json)
    asyncio.run(run_server(loaded, on_ready=_announce))


def _announce(server: Server) -> None:
    """Where the pages are. Keys are shown to a person at a terminal only, never to a log."""
    from vitrine.auth import Role

    note(f"serving on {server.url} - Ctrl-C stops")
    if err().is_terminal:
        note(f"host      {server.page('/host/demo', Role.HOST)}")
        note(f"operator  {server.page('/operator', Role.OPERATOR)}")
    else:
        note("keys: see keys.json in the data folder, or auth.* of the configuration")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", epilog=EPILOG)(serve)
