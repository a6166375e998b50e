"""Loads the configuration: defaults, a TOML file, ``VITRINE_SECTION__KEY`` variables, then the command line.

The only module that reads the environment. What cannot be used is refused with what was got, what was
expected, how to fix it and where the value was set; an unknown key by name, with the nearest known one.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
from msgspec import ValidationError

from vitrine.errors import ConfigError
from vitrine.settings import (
    AuthConfig,
    BusConfig,
    CatalogConfig,
    Config,
    InferenceConfig,
    OverlayConfig,
    RtcConfig,
    SearchConfig,
    Secret,
    ServerConfig,
)
from vitrine.studio.settings import FleetConfig

__all__ = [
    "AuthConfig",
    "BusConfig",
    "CatalogConfig",
    "Config",
    "FleetConfig",
    "InferenceConfig",
    "OverlayConfig",
    "RtcConfig",
    "SearchConfig",
    "Secret",
    "ServerConfig",
    "load_config",
    "public_view",
]

PREFIX = "VITRINE_"
CONFIG_VARIABLE = "VITRINE_CONFIG"
DEFAULT_FILE = Path("vitrine.toml")

_SECTIONS: dict[str, tuple[str, ...]] = {
    f.name: tuple(k.name for k in msgspec.structs.fields(f.type)) if isinstance(f.type, type) else ()
    for f in msgspec.structs.fields(Config)
}
_FREE_SECTIONS = ("sources", "republish", "playlists")
_PATHS = {
    ("server", "data_dir"),
    ("server", "cert"),
    ("server", "key"),
    ("server", "trace"),
    ("server", "trace"),
    ("inference", "detector"),
    ("inference", "embedder"),
}
_SECRETS = {
    "auth.publish_key",
    "auth.host_key",
    "auth.operator_key",
    "auth.secret",
    "bus.url",
    "catalog.index",
}
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)


class _Layers:
    """Values by (section, key) with the place each was set; a later layer wins."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, object]] = {}
        self.origins: dict[str, str] = {}

    def put(self, section: str, key: str, value: object, origin: str) -> None:
        _check_name(section, key, origin)
        self.values.setdefault(section, {})[key] = value
        self.origins[f"{section}.{key}"] = origin


def load_config(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """Read the configuration once.

    Args:
        path: TOML file. None takes ``VITRINE_CONFIG``, then ``vitrine.toml`` here if it exists, then no file.
        env: environment; None reads the process's own.
        overrides: dotted keys from the command line (``{"server.port": 9000}``); a None value is skipped.

    Paths written in the file are relative to the file's folder, all others to the working directory.

    Raises:
        ConfigError: unreadable file, unknown key, wrong type or value. Never contains a secret's text.
    """
    environment = os.environ if env is None else env
    layers = _Layers()
    file = _find_file(path, environment)
    if file is not None:
        for section, key, value in _read_toml(file):
            layers.put(section, key, _from_file(file, section, key, value), str(file))
    for name in sorted(environment):
        if name.startswith(PREFIX) and "__" in name and environment[name] != "":
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            layers.put(section, key, environment[name], f"environment variable {name}")
            layers.values[section][key] = _from_text(section, key, environment[name], layers)
    for dotted, value in (overrides or {}).items():
        if value is not None:
            section, _, key = dotted.partition(".")
            layers.put(section, key, value, "command line")
    try:
        return msgspec.convert(layers.values, Config, dec_hook=_decode)
    except ValidationError as error:
        raise _explain(str(error), layers) from None


def public_view(config: Config) -> dict[str, dict[str, object]]:
    """The configuration as plain values for people: secrets appear as "(set)" or "(not set)" only."""

    def hide(value: object) -> object:
        if isinstance(value, Secret):
            return "(set)" if value else "(not set)"
        return str(value) if isinstance(value, Path) else value

    view: dict[str, dict[str, object]] = msgspec.to_builtins(config, enc_hook=hide)
    return view


def _find_file(path: Path | None, env: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if env.get(CONFIG_VARIABLE):
        return Path(env[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read_toml(file: Path) -> Iterator[tuple[str, str, object]]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}). Give the path of a TOML file, or leave it out.",
            origin=str(file),
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}", origin=str(file)) from None
    for section, table in tree.items():
        if not isinstance(table, dict):
            known = next((s for s, keys in _SECTIONS.items() if section in keys), "")
            hint = f" It belongs under [{known}]." if known else _nearest(section, _SECTIONS, "Sections")
            raise ConfigError(
                f"{file}: {section!r} stands outside every section.{hint}", key=section, origin=str(file)
            )
        if not table:
            _check_name(section, None, str(file))
        for key, value in table.items():
            yield section, key, value


def _check_name(section: str, key: str | None, origin: str) -> None:
    if section not in _SECTIONS:
        raise ConfigError(
            f"{origin}: unknown section [{section}].{_nearest(section, _SECTIONS, 'Sections')}",
            key=section,
            origin=origin,
        )
    if section in _FREE_SECTIONS or key is None or key in _SECTIONS[section]:
        return
    dotted = f"{section}.{key}"
    elsewhere = [s for s, keys in _SECTIONS.items() if key in keys]
    hint = f" Did you mean {elsewhere[0]}.{key}?" if elsewhere else _nearest(key, _SECTIONS[section], "Keys")
    raise ConfigError(f"{origin}: unknown key {dotted}.{hint}", key=dotted, origin=origin)


def _nearest(name: str, known: Mapping[str, object] | tuple[str, ...], what: str) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" {what}: {', '.join(known)}." if known else ""


def _from_file(file: Path, section: str, key: str, value: object) -> object:
    """Make a path written in `file` relative to the file's folder."""
    if not isinstance(value, str):
        return value
    if (section, key) in _PATHS and value:
        return str(file.parent / value)
    if (section, key) == ("catalog", "feed") and value and "://" not in value:
        return str(file.parent / value)
    return value


def _from_text(section: str, key: str, text: str, layers: _Layers) -> object:
    """A variable's text as a value of its key's type; lists are separated by commas."""
    if section in _FREE_SECTIONS:
        return text
    kind = _kind(section, key)
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        value: object = msgspec.convert(text, kind, strict=False, dec_hook=_decode)
    except ValidationError as error:
        raise _explain(f"{str(error).partition(' - at ')[0]} - at `$.{section}.{key}`", layers) from None
    return text if isinstance(value, Secret | Path) else value


def _decode(kind: type, value: object) -> object:
    """Types that msgspec does not know."""
    if kind is Path:
        if isinstance(value, str | Path) and str(value):
            return Path(value)
        raise ValueError(f"got {value!r}, expected a path")
    if kind is Secret:
        if isinstance(value, str):
            return Secret(value)
        raise ValueError(f"got {type(value).__name__}, expected text in quotes")
    raise NotImplementedError(kind)


def _explain(message: str, layers: _Layers) -> ConfigError:
    """A validation error in words: where, what was got and expected, how to fix it."""
    found = _AT.match(message)
    assert found is not None
    what, path = found["what"], found["path"] or ""
    dotted = ".".join(re.sub(r"\[[^\]]*\]", "", path).split(".")[:2])
    named = re.match(r"(\w+):", what)
    if "." not in dotted and named and f"{dotted}.{named[1]}" in layers.origins:
        dotted = f"{dotted}.{named[1]}"
    origin = layers.origins.get(dotted) or next(
        (place for key, place in layers.origins.items() if key.startswith(dotted)), "configuration"
    )
    section, _, key = dotted.partition(".")
    value = layers.values.get(section, {}).get(key)
    what = what.removeprefix(f"{key}: ").replace("`", "")
    if what.startswith("Invalid enum value"):
        what = f"expected one of {', '.join(get_args(_kind(section, key)))}"
    public = dotted not in _SECRETS and section not in _FREE_SECTIONS
    if value is not None and public and not what.startswith("got "):
        what = f"{what} (got {value!r})"
    fix = f" Set {dotted} accordingly, or remove it to take the default." if key else ""
    return ConfigError(f"{origin}: {dotted or 'sources'}: {what}.{fix}", key=dotted, origin=origin)


def _kind(section: str, key: str) -> Any:
    """The declared type of a key."""
    fields: Callable[..., tuple[msgspec.structs.FieldInfo, ...]] = msgspec.structs.fields
    struct = next(f.type for f in fields(Config) if f.name == section)
    return next(f.type for f in fields(struct) if f.name == key)
