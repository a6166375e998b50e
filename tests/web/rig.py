"""What the browser tests share: a stand-in server, a page that must not complain, and patience."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = "document.querySelector('vitrine-overlay')"
SPEED = 12
"""Of the fast server's cards, pixels of 1280 a frame."""
SPOT = "vitrine-overlay button.spot"


def serve(speed: int) -> Iterator[str]:
    """Address of a fresh stand-in server with two drawn cards that move ``speed`` pixels a frame."""
    command = [sys.executable, "-m", "tests.web.mock", "--drawn", "--delay-ms", "30", "--hold-ms", "250"]
    command += ["--speed", str(speed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)
    process.stdout.close()


class Viewer:
    """A page that fails the test when its script fails or its content security policy is broken."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 720}} | options))
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.address = address
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._console(message.text))

    def _console(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.errors.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def act(self, action: str) -> Any:
        response = self.page.request.post(f"{self.address}/mock/{action}")
        return response.json() if action == "received" else None

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """What the page sent over the socket."""
        return [message for message in self.act("received") if message["t"] == kind]

    def close(self) -> None:
        self.context.close()
        assert self.errors == []


def until(page: Page, expression: str) -> None:
    """Like `wait_for_function`, which the content security policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        page.wait_for_timeout(100)


def wait_live(page: Page) -> None:
    """Until hotspots are on a picture that nothing covers."""
    until(page, f"{OVERLAY}.state === 'live' && {OVERLAY}.shown.spots.length > 0")
    until(page, "!document.querySelector('.veil')?.checkVisibility({visibilityProperty: true})")


def centre_of(page: Page, pid: int) -> tuple[float, float]:
    """Where the product's hotspot is painted now, CSS pixels of the page."""
    script = f"""pid => {{
      const overlay = {OVERLAY}, spot = overlay.shown.spots.find((s) => s.pid === pid);
      const picture = overlay.diagnostics.picture, box = overlay.getBoundingClientRect();
      return [box.left + picture.x + (spot.x0 + spot.x1) / 2 * picture.width,
              box.top + picture.y + (spot.y0 + spot.y1) / 2 * picture.height];
    }}"""
    x, y = page.evaluate(script, pid)
    return float(x), float(y)
