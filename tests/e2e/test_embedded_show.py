"""The embedded show and the embedded weights: what a fresh machine has."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stream.sources.synthetic import load_ground_truth
from stream.types import stream_id
from tests.e2e.rig import STREAM, browser, engine, open_page, until
from tests.publishing import publishing
from vitrine.auth import Role
from vitrine.demo import CATALOGUE

pytestmark = pytest.mark.slow


_NOTE_TAPS = """() => {
  const overlay = document.querySelector('vitrine-overlay');
  Object.assign(window, { tapped: [], answered: [] });
  overlay.addEventListener('vitrine-tap', ({ detail }) =>
    tapped.push({ ...detail, product: overlay.products.find((card) => card.pid === detail.pid)?.id }));
  overlay.addEventListener('vitrine-card', ({ detail: { hit, reason, card } }) =>
    answered.push({ hit, reason, product: card?.id }));
}"""
_LARGEST = """() => {
  const overlay = document.querySelector('vitrine-overlay'), box = overlay.getBoundingClientRect();
  if (document.querySelector('#veil').checkVisibility({ visibilityProperty: true })) return null;
  const { x, y, width, height } = overlay.diagnostics.picture;
  const size = ({ x0, y0, x1, y1 }) => (x1 - x0) * (y1 - y0);
  const [spot] = overlay.shown.spots.toSorted((a, b) => size(b) - size(a));
  const middle = ({ x0, y0, x1, y1 }) => [(x0 + x1) / 2 * width, (y0 + y1) / 2 * height];
  return spot && [box.left + x + middle(spot)[0], box.top + y + middle(spot)[1]];
}"""


@pytest.mark.browser
async def test_one_tap_on_a_hotspot_of_the_show_opens_the_card_of_its_product(tmp_path: Path) -> None:
    said: list[str] = []
    titles = {row["id"]: row["title"] for row in map(json.loads, CATALOGUE.read_text().splitlines())}
    async with (
        engine(tmp_path, catalog__feed=str(CATALOGUE), inference__budget_ms=300) as server,
        browser() as context,
    ):
        async with publishing(server, STREAM):
            opened: Counter[str] = Counter()
            for _ in range(3):  # somebody who has just come: the picture is not even held back yet
                viewer = await open_page(context, server.page(f"/watch/{STREAM}"), said)
                product = await _tap(viewer, titles)
                opened[product] += 1
                assert await asyncio.to_thread(_taps, server) == opened
                await viewer.close()
            runtime = server.engine.hub.get(stream_id(STREAM))
            assert runtime.pipeline.info is not None and runtime.pipeline.info.codec == "H264"
            assert not runtime.pipeline.info.transcoded
            operator = await open_page(context, server.page("/operator", Role.OPERATOR), said)
            await operator.wait_for_selector("text=/Frame age/", timeout=20_000)
    assert said == []


async def _tap(viewer: Any, titles: dict[str, str]) -> str:
    """One click on the largest hotspot there is. Returns the product that was opened, the one it bore."""
    await viewer.evaluate(_NOTE_TAPS)
    place = await until(
        viewer, lambda: viewer.evaluate(_LARGEST), seconds=90, words="a hotspot on the embedded show"
    )
    await viewer.mouse.click(*place)
    answer = await until(viewer, lambda: viewer.evaluate("answered[0]"), seconds=10, words="an answer")
    (tapped,) = await viewer.evaluate("tapped")
    assert answer == {"hit": True, "reason": "", "product": tapped["product"]}, tapped
    assert titles[tapped["product"]] in await viewer.inner_text("#card[open]")
    return str(tapped["product"])


def _taps(server: Any) -> dict[str, int]:
    ledger = server.engine.shop.ledger
    assert ledger.flush()
    return {row.product_id: row.taps for row in ledger.summary() if row.taps}


def test_demo_plays_the_show_headless_and_prints_one_json_object(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vitrine", "demo", "--seconds", "15", "--json", "--port", "0"]
    run = subprocess.run(
        [*command, "--data-dir", str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    told = json.loads(run.stdout)
    frames = told["frames"]
    assert frames["in"] > 200
    ended = sum(frames[name] for name in ("detected", "propagated", "cancelled", "failed"))
    assert frames["in"] - frames["dropped"] - 3 <= ended <= frames["in"]
    assert frames["detected"] > 20
    assert told["frame_age_ms"]["p50"] > 0 and told["stages_ms"]["detect"]["p95"] > 0
    assert told["hotspots"]["shown"] > 0
    accuracy = told["accuracy"]
    assert accuracy["products_identified"] >= 2
    assert accuracy["right"] > accuracy["wrong"]


def test_the_show_names_only_products_of_its_catalogue() -> None:
    known = {row["id"] for row in map(json.loads, CATALOGUE.read_text().splitlines())}
    truth = load_ground_truth()
    assert truth.products <= known
    assert len(truth.frames) >= 25 * 30


def test_a_taken_port_is_explained(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            [sys.executable, "-m", "vitrine", "demo", "--port", port, "--data-dir", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert run.returncode != 0
    words = re.sub(r"\s+", " ", run.stderr)
    assert port in words and "--port" in words
    assert "Traceback" not in run.stderr


def test_demo_in_a_terminal_shows_a_live_console_until_interrupted(tmp_path: Path) -> None:
    import os
    import pty
    import signal
    import time

    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "vitrine", "demo", "--port", "0", "--data-dir", str(tmp_path)]
    run = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    told, interrupted, deadline = b"", False, time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            chunk = os.read(screen, 65536)
        except OSError:  # the terminal is closed when its last writer ends
            break
        told += chunk
        if not interrupted and b"frames in" in told and b"detected" in told:
            run.send_signal(signal.SIGINT)
            interrupted = True
    assert interrupted, told[-2000:]
    assert run.wait(30) in (0, 1)
    words = told.decode("utf-8", "replace")
    assert "/watch/demo" in words and "/operator#key=" in words
    assert "What was shown, against what was there" in words
    assert "Traceback" not in words
