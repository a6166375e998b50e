"""Which viewers are let in to the websocket: by role of this node, origin, stream, token and room."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from overlay.edge import Admission
from stream.types import stream_id
from vitrine.auth import Authenticator, Role, origin_allowed
from vitrine.config import Config
from vitrine.errors import AuthError


class Door:
    """An `overlay.edge.Admit`.

    Args:
        config: role, origins and limits.
        auth: checks tokens.
        viewers: how many are in now.
    """

    def __init__(self, config: Config, auth: Authenticator, viewers: Callable[[], int]) -> None:
        self._config, self._auth, self._viewers = config, auth, viewers

    def __call__(self, path: str, headers: Mapping[str, str]) -> Admission | tuple[int, str]:
        """Admitted, or an HTTP status and why."""
        config = self._config
        if config.fleet.role == "ingest":
            return 421, "this node serves no viewers; connect to a gateway"
        if not origin_allowed(headers.get("origin"), headers.get("host"), config.server.origins):
            return 403, "this page's origin may not connect; add it to server.origins"
        parts = urlsplit(path)
        try:
            stream = stream_id(parts.path.removeprefix("/ws/"))
        except ValueError as error:
            return 404, str(error)
        token = next(iter(parse_qs(parts.query).get("token", [])), None)
        try:
            principal = self._auth.check(token, Role.VIEW, stream)
        except AuthError as error:
            return error.http_status, str(error)
        if self._viewers() >= config.overlay.max_viewers:
            return 503, "too many viewers; try again later"
        return Admission(stream, f"{principal.subject}-{secrets.token_urlsafe(6)}")
