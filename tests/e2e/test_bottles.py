"""A browser publishes the bottle clip, a browser watches, a finger taps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from stream.types import stream_id
from tests.e2e.rig import STREAM, browser, camera_file, engine, go_live, open_page, spots, until, write_feed
from tests.shared import shared_path
from vitrine.auth import Role

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MIDDLE, RIGHT = 0.49, 0.84
"""Centres of two of the three bottles, 0..1 across the picture, in the clip's first seconds."""


def catalogue(folder: Path) -> Path:
    with av.open(str(shared_path("clips/dev/intel_bottle.mp4"))) as clip:
        still = Image.fromarray(next(clip.decode(video=0)).to_ndarray(format="rgb24"))
    others = sorted(shared_path("ivs_cosmetics").glob("*.jp*g")) + sorted(
        shared_path("ivs_cosmetics").glob("*.png")
    )
    return write_feed(
        folder,
        {
            "water": ("Spring water", still.crop((276, 100, 352, 322))),
            "palette": ("Eye palette", Image.open(others[0])),
            "mascara": ("Mascara", Image.open(others[1])),
        },
    )


def near(found: list[dict[str, Any]], x: float) -> dict[str, Any] | None:
    return next((s for s in found if abs(s["x"] - x) < 0.06 and "Spring water" in s["label"]), None)


async def test_hotspots_sit_on_the_bottles_a_tap_opens_the_card_and_a_reconnect_keeps_both(
    tmp_path: Path,
) -> None:
    camera = camera_file(shared_path("clips/dev/intel_bottle.mp4"), tmp_path, seconds=6)
    said: list[str] = []
    settings = {
        "inference__detector": str(shared_path("models/detect/yolox_nano.onnx")),
        "inference__embedder": str(shared_path("models/embed/mobilenetv3s_embed576.onnx")),
        "inference__rungs": [416],
        "inference__budget_ms": 500,
        "catalog__feed": str(catalogue(tmp_path)),
    }
    async with engine(tmp_path, **settings) as server, browser(camera) as context:
        host = await open_page(context, server.page(f"/host/{STREAM}", Role.HOST), said)
        await go_live(host)
        viewer = await open_page(context, server.page(f"/watch/{STREAM}"), said)

        async def both() -> Any:
            found = await spots(viewer)
            return near(found, MIDDLE) and near(found, RIGHT)

        await until(viewer, both, seconds=60, words="hotspots on the middle and the right bottle")
        found = near(await spots(viewer), MIDDLE)
        assert found is not None
        assert 0.25 < found["y"] < 0.9

        await viewer.locator("button.spot", has_text="Spring water").first.click()
        await viewer.wait_for_selector("#card[open]", timeout=10_000)
        card = await viewer.inner_text("#card")
        assert "Spring water" in card
        assert "1.50" in card and "Studio North" in card
        assert await viewer.get_attribute("#card a", "href") == "https://shop.example/water"

        runtime = server.engine.hub.get(stream_id(STREAM))
        runtime.show.pin("water", True)
        epoch = runtime.active
        await host.evaluate("() => { window.onbeforeunload = null }")
        await host.goto("about:blank")
        host = await open_page(context, server.page(f"/host/{STREAM}", Role.HOST), said)
        await go_live(host)

        async def again() -> Any:
            return runtime.active > epoch and near(await spots(viewer), MIDDLE)

        await until(viewer, again, seconds=60, words="hotspots after the publisher came back")
        listed = await viewer.inner_text("#products")
        assert all(title in listed for title in ("Spring water", "Eye palette", "Mascara"))
        assert len(runtime.show.state().pinned) == 1
    assert said == []
