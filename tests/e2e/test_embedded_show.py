"""The embedded show and the embedded weights: what a fresh machine has."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stream.publish import Publisher
from stream.sources.synthetic import load_ground_truth, show_path
from stream.types import stream_id
from tests.e2e.rig import STREAM, browser, engine, open_page, spots, until
from vitrine.auth import Role
from vitrine.demo import CATALOGUE

pytestmark = pytest.mark.slow


@pytest.mark.browser
async def test_a_tap_on_the_show_opens_the_card_of_the_product_under_the_finger(tmp_path: Path) -> None:
    said: list[str] = []
    titles = {row["id"]: row["title"] for row in map(json.loads, CATALOGUE.read_text().splitlines())}
    async with (
        engine(tmp_path, catalog__feed=str(CATALOGUE), inference__budget_ms=300) as server,
        browser() as context,
    ):
        key = server.keys.publish.reveal()
        publisher = Publisher(f"{server.url}/whip/{STREAM}", key, str(show_path()), loop=True)
        publishing = asyncio.create_task(publisher.run())
        try:
            viewer = await open_page(context, server.page(f"/watch/{STREAM}"), said)

            async def any_spot() -> Any:
                return len(await spots(viewer)) >= 2

            await until(viewer, any_spot, seconds=90, words="two hotspots on the embedded show")
            runtime = server.engine.hub.get(stream_id(STREAM))
            assert runtime.pipeline.info is not None and runtime.pipeline.info.codec == "H264"
            assert not runtime.pipeline.info.transcoded

            named: list[str] = []
            for _ in range(5):  # the hand may cover what the finger aims at: then the answer is a miss
                await viewer.locator("button.spot >> visible=true").first.click()
                await viewer.wait_for_selector("#card[open]", timeout=10_000)
                await viewer.wait_for_timeout(1500)
                card = await viewer.inner_text("#card")
                named = [title for title in titles.values() if title in card]
                if named:
                    break
                await viewer.keyboard.press("Escape")
            assert len(named) == 1
            taps = await asyncio.to_thread(_taps, server)
            assert sum(taps.values()) == 1
            assert titles[next(iter(taps))] == named[0]

            operator = await open_page(context, server.page("/operator", Role.OPERATOR), said)
            await operator.wait_for_selector("text=/Frame age/", timeout=20_000)
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
    assert said == []


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
