"""``vitrine token``: a short-lived token for one role on one stream."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.options import ConfigOption, DataDirOption, JsonOption, configure
from vitrine.cli.output import epilog, print_json, usage_error

EPILOG = epilog(
    ("vitrine token view demo", "a viewer's token for the stream 'demo', good for a minute"),
    ("vitrine token publish stage-2 --ttl 3600", "somebody may publish 'stage-2' for an hour"),
    ("vitrine token host demo --json", "with its expiry"),
)


def token(
    role: Annotated[str, typer.Argument(help="view, host, publish or operator.")],
    stream: Annotated[str, typer.Argument(help="Stream name; '*' for all.")],
    ttl: Annotated[int, typer.Option(help="Seconds it is good for, up to a day.")] = 60,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a signed token, for a viewer's address (?token=...) or an Authorization header."""
    from stream.types import stream_id
    from vitrine.auth import ALL_STREAMS, Authenticator, Role
    from vitrine.keys import load_keys

    if role not in set(Role):
        raise usage_error(f"role: got {role!r}, expected one of {', '.join(Role)}")
    loaded = configure(config, server__data_dir=data_dir)
    try:
        wanted = None if stream == ALL_STREAMS else stream_id(stream)
        made = Authenticator(load_keys(loaded.auth, loaded.server.data_dir)).mint(Role(role), wanted, ttl)
    except ValueError as error:
        raise usage_error(str(error)) from None
    if as_json:
        print_json({"token": made, "role": role, "stream": stream, "ttl_s": ttl})
    else:
        typer.echo(made)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("token", epilog=EPILOG)(token)
