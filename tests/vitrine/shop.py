"""A server that sells the embedded show's products and has no stream yet."""

from __future__ import annotations

from pathlib import Path

from vitrine.app import Server
from vitrine.config import load_config
from vitrine.demo import CATALOGUE


def shop(state: Path) -> Server:
    """Not started; `state` is its data folder."""
    overrides = {"server.port": 0, "server.data_dir": str(state), "catalog.feed": str(CATALOGUE)}
    return Server(load_config(None, {}, overrides))
