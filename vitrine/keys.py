"""The static keys: configured, or made at first start and kept in ``data_dir/keys.json`` (mode 0600)."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vitrine.errors import ConfigError
from vitrine.settings import AuthConfig, Secret

FILE = "keys.json"


@dataclass(frozen=True, slots=True)
class Keys:
    """One key per role, and the secret that signs tokens. All set.

    Attributes:
        generated: at least one was made by us (and may be shown to whoever started the engine).
    """

    publish: Secret
    host: Secret
    operator: Secret
    secret: Secret
    generated: bool = False


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    publish: str
    host: str
    operator: str
    secret: str


def load_keys(auth: AuthConfig, data_dir: Path) -> Keys:
    """Keys from `auth`; those not set there from ``data_dir/keys.json``, made if need be.

    Raises:
        ConfigError: the file is damaged, or the folder cannot be written.
    """
    configured = (auth.publish_key, auth.host_key, auth.operator_key, auth.secret)
    if all(configured):
        return Keys(*configured)
    stored = _read_or_make(data_dir / FILE)
    kept = (stored.publish, stored.host, stored.operator, stored.secret)
    publish, host, operator, secret = (
        mine or Secret(theirs) for mine, theirs in zip(configured, kept, strict=True)
    )
    return Keys(publish, host, operator, secret, generated=True)


def _read_or_make(path: Path) -> _Stored:
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be used ({error.strerror}). Make the folder writable, set server.data_dir to "
            "another one, or set all of auth.publish_key, host_key, operator_key and secret.",
            key="server.data_dir",
        ) from None
    except msgspec.DecodeError:
        raise ConfigError(
            f"{path}: damaged, expected a JSON object with publish, host, operator and secret. "
            "Delete the file to have new keys made."
        ) from None
    if min(len(stored.publish), len(stored.host), len(stored.operator)) < 8 or len(stored.secret) < 32:
        raise ConfigError(f"{path}: a key in it is too short. Delete the file to have new keys made.")
    return stored


def _make(path: Path) -> None:
    """Write new keys; a file that another process made meanwhile stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = _Stored(
        publish=secrets.token_urlsafe(18),
        host=secrets.token_urlsafe(18),
        operator=secrets.token_urlsafe(18),
        secret=secrets.token_urlsafe(36),
    )
    draft = path.with_name(f".{FILE}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
