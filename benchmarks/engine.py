"""The real server in a process of its own: ``vitrine serve`` with a configuration made here."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.harness import CannotRun
from benchmarks.procs import Child, child, free_port

STREAM = "bench"
KEY = "benchmark-publishes"
OPERATOR_KEY = "benchmark-operates"
Section = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Engine:
    """A running server.

    Attributes:
        process: the child.
        url: of its one port.
        trace: JSONL file it writes one line per overlay to.
    """

    process: Child
    url: str
    trace: Path

    @property
    def whip(self) -> str:
        """Where to publish."""
        return f"{self.url}/whip/{STREAM}"

    @property
    def websocket(self) -> str:
        """Where viewers get the overlay."""
        return f"{self.url.replace('http', 'ws', 1)}/ws/{STREAM}"

    def figures(self) -> dict[str, object]:
        """What ``/api/operator`` says of the stream.

        Raises:
            CannotRun: the server does not answer, or knows no such stream.
        """
        request = urllib.request.Request(
            f"{self.url}/api/operator", headers={"Authorization": f"Bearer {OPERATOR_KEY}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                streams = json.load(answer)["streams"]
        except (OSError, ValueError, KeyError) as error:
            raise CannotRun(f"/api/operator: {error}; {self.process.tail()}") from error
        for stream in streams:
            if stream["id"] == STREAM:
                found: dict[str, object] = stream
                return found
        raise CannotRun(f"the server does not know the stream {STREAM}; {self.process.tail()}")

    def lines(self) -> list[dict[str, object]]:
        """The trace so far; a line that is still being written is left out."""
        if not self.trace.exists():
            return []
        text = self.trace.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def toml(sections: Mapping[str, Section]) -> str:
    """Sections of plain values as TOML (JSON's strings, numbers, booleans and lists are TOML's too)."""
    parts = []
    for name, values in sections.items():
        parts.append(f"[{name}]")
        parts += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(parts) + "\n"


def catalogue(folder: Path) -> Path:
    """A feed with one product: a green square, 64 x 64."""
    Image.new("RGB", (64, 64), (0, 200, 0)).save(folder / "object.png")
    feed = folder / "feed.tsv"
    columns = ("id", "title", "price", "link", "image_link", "availability")
    row = ("object-1", "Object", "1.00 EUR", "https://shop.example/object", "object.png", "in_stock")
    feed.write_text("\t".join(columns) + "\n" + "\t".join(row) + "\n", encoding="utf-8")
    return feed


@contextmanager
def engine(
    folder: Path,
    sections: Mapping[str, Section],
    *,
    blob: bool = False,
    cores: Sequence[int] | None = None,
    under: Sequence[str | Path] = (),
    traced: bool = True,
) -> Iterator[Engine]:
    """Run the server with `sections` of configuration while the block lasts.

    Args:
        folder: for its configuration, state and trace.
        sections: configuration beyond what is set here (address, keys, trace).
        blob: register the benchmark's detector family first (`benchmarks.painted.blob`).
        cores: processor cores it may use.
        under: a module that serves instead of ``vitrine``, and what it wants before ``serve``.
        traced: it writes the times of every overlay.
    """
    port, trace = free_port(), folder / "trace.jsonl"
    trace.unlink(missing_ok=True)
    keys = {"publish_key": KEY, "operator_key": OPERATOR_KEY}
    base: dict[str, Section] = {
        "server": {
            "host": "127.0.0.1",
            "port": port,
            "data_dir": str(folder / "state"),
            **({"trace": str(trace)} if traced else {}),
            **sections.get("server", {}),
        },
        "auth": {**keys, **sections.get("auth", {})},
        # Full before memory is looked at: with its three minutes the recorder would grow all along.
        "search": {"keep_ms": 10_000, **sections.get("search", {})},
    }
    config = folder / "vitrine.toml"
    config.write_text(toml({**sections, **base}), encoding="utf-8")
    module = "benchmarks.painted.serve" if blob else "vitrine"
    command: list[str | Path] = [sys.executable, "-m", *(under or (module,)), "serve", "--config", config]
    with child("vitrine", command, env=_environment(), cores=cores) as process:
        running = Engine(process, f"http://127.0.0.1:{port}", trace)
        _wait_ready(running)
        yield running


def _environment() -> dict[str, str]:
    """Nothing of the caller's own Vitrine settings reaches the subject."""
    return {name: "" for name in os.environ if name.startswith("VITRINE_")}


def _wait_ready(running: Engine, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if running.process.process.poll() is not None:
            raise CannotRun(f"the server ended; {running.process.tail()}")
        try:
            with urllib.request.urlopen(f"{running.url}/readyz", timeout=2):
                return
        except urllib.error.HTTPError:
            pass
        except OSError:
            pass
        time.sleep(0.1)
    raise CannotRun(f"the server was not ready after {timeout_s:.0f} s; {running.process.tail()}")
