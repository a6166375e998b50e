"""Products and operator figures of the stand-in server."""

from __future__ import annotations

import math
import time

from tests.web.show import Json

SOURCE = {
    "codec": "H264",
    "width": 1280,
    "height": 720,
    "transcoded": False,
    "has_audio": True,
    "description": "WHIP, Chromium",
}
PRODUCTS: list[Json] = [
    {
        "pid": 1,
        "id": "mug-01",
        "title": "Stoneware mug, white",
        "price": "18.00 EUR",
        "link": "https://shop.example/mug",
        "image": "/images/mug-01/0",
        "seller": "Studio North",
        "brand": "North Ceramics",
        "description": "Thrown by hand, holds 300 ml, dishwasher safe.",
    },
    {
        "pid": 2,
        "id": "kettle-01",
        "title": "Gooseneck kettle, brushed steel",
        "price": "89.00 EUR",
        "sale_price": "74.90 EUR",
        "link": "https://shop.example/kettle",
        "image": "/images/kettle-01/0",
        "seller": "Brew & Co",
        "third_party": True,
        "label": "Paid placement by Brew & Co",
        "description": "1.0 litre, temperature hold, with thermometer in the lid.",
    },
    {
        "pid": 3,
        "id": "beans-01",
        "title": "House espresso, 250 g, a rather long title that has to be shortened somewhere",
        "price": "9.50 EUR",
        "link": "https://shop.example/beans",
        "image": "/images/beans-01/0",
        "seller": "Studio North",
    },
    {
        "pid": 4,
        "id": "filter-01",
        "title": "Paper filters <b>100</b>",
        "price": "4.20 EUR",
        "link": "javascript:alert(1)",
        "image": "/images/none/0",
        "seller": "Studio North",
        "availability": "out_of_stock",
    },
]


STAGE_MS = {
    "receive": 1.2,
    "queue": 0.8,
    "pixels": 2.1,
    "detect": 21.0,
    "boxes": 0.6,
    "track": 0.9,
    "embed": 5.0,
    "match": 0.4,
    "publish": 0.5,
}


def operator_figures(now_s: float, live: bool, viewers: int, problems: list[str]) -> Json:
    """Figures as docs/protocol.md has them: calm, with a slow swell and a slow detector now and then."""
    swell = 1 + 0.25 * math.sin(now_s / 9) + 0.1 * math.sin(now_s / 2.3)
    spike = 2.2 if int(now_s) % 40 in (20, 21, 22) else 1.0

    def percentiles(ms: float, slow: float = 1.0) -> dict[str, float]:
        return {
            "p50": round(ms * swell, 2),
            "p95": round(ms * swell * 1.7 * slow, 2),
            "p99": round(ms * swell * 2.3 * slow, 2),
        }

    stages = {name: percentiles(ms, spike if name == "detect" else 1.0) for name, ms in STAGE_MS.items()}
    count = int(now_s * 30)
    show = {
        "id": "demo",
        "live": live,
        "epoch": 1,
        "viewers": viewers,
        "source": SOURCE,
        "fps_in": 29.9,
        "fps_detected": 15.2,
        "budget_ms": 60,
        "frames": {
            "in": count,
            "detected": count // 2,
            "propagated": count // 2 - 9,
            "dropped": 9,
            "cancelled": 2,
            "failed": 0,
        },
        "drops": {"late": 7, "queue-full": 2},
        "budget_misses": 3 + int(now_s / 40),
        "stages_ms": stages,
        "frame_age_ms": percentiles(31.0, spike),
        "staleness_ms": percentiles(40.0, spike),
        "overlay_age_ms": {"p50": 12.0, "p95": 41.0},
        "latency_ms": 120,
        "problems": problems,
        "hotspots": [
            {
                "id": 7,
                "product_id": "mug-01",
                "title": "Stoneware mug, white",
                "state": "exact",
                "score": 0.83,
                "reason": "seen from 6 views",
            },
            {
                "id": 8,
                "product_id": "kettle-01",
                "title": "Gooseneck kettle",
                "state": "similar",
                "score": 0.61,
                "reason": "two products are close",
            },
        ],
    }
    quiet = {
        "id": "evening",
        "live": False,
        "epoch": 0,
        "viewers": 0,
        "source": None,
        "fps_in": 0,
        "fps_detected": 0,
        "budget_ms": 60,
    }
    return {
        "now_ms": int(time.time() * 1000),
        "uptime_s": round(now_s, 1),
        "version": "0.1.0",
        "model": "vitrine_detect",
        "provider": "CPUExecutionProvider",
        "problems": problems,
        "streams": [show, quiet],
    }


def fleet_figures(several: bool) -> Json:
    """``GET /api/fleet`` of one process, or of three nodes one of which is silent."""
    told = {"version": "0.1.0", "up_s": 75.0, "full": "", "streams": 0, "viewers": 0, "load": 0.25}
    nodes: list[Json] = [
        {**told, "name": "one", "role": "all", "state": "up", "silent_ms": 200, "public": "http://one:8080"}
    ]
    if not several:
        return {"me": "one", "problems": [], "nodes": nodes, "streams": []}
    nodes += [
        {**told, "name": "two", "role": "ingest", "state": "silent", "silent_ms": 9000, "public": "ftp://x"},
        {**told, "name": "<b>", "role": "gateway", "state": "draining", "silent_ms": 100, "public": ""},
    ]
    stream = {"id": "demo", "node": "two", "state": "orphaned", "live": False, "epoch": 3, "fence": 9}
    figures = operator_figures(1.0, True, 7, ["3.1 % of frames missed the 60 ms budget"])["streams"][0]
    away = {
        "id": "away",
        "node": "three",
        "state": "live",
        "live": True,
        "epoch": 1,
        "fence": 4,
        "viewers": 7,
    }
    return {
        "me": "one",
        "problems": [
            "node two (ingest) has been silent for 9 s",
            "stream away on three: 3.1 % of frames missed the 60 ms budget",
        ],
        "nodes": nodes,
        "streams": [
            {**stream, "viewers": 42, "lease_age_ms": 9100},
            {**away, "lease_age_ms": 300, "figures": {**figures, "id": "away"}},
        ],
    }
