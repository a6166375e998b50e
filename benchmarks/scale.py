"""``python -m benchmarks.scale``: write docs/scale.md, a paper plan whose constants are our own measurements.

Each constant is read from a saved result (`benchmarks/results/*.json`). Where that has not been saved yet,
the figure of a single run stands in and the page says so; prices are assumptions and are named as such.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.report import RESULTS

PAGE = ROOT / "docs" / "scale.md"
STUDIOS = 1_000
VIEWERS = 10_000_000
KBPS = 2_500
RATE = 15
"""Position messages a second for each viewer."""
HEADROOM = 0.5
"""Share of a machine that is planned with: the rest takes over when another one dies."""
CORES = 8
_HEADERS = 80
"""Bytes of TCP, IP and Ethernet around a small message."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A figure that the plan stands on.

    Attributes:
        words: what it is.
        value: in `unit`.
        unit: of the value.
        source: where it is from, in words.
    """

    words: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to find a constant in a saved result.

    Attributes:
        words: what it is.
        unit: of the value.
        bench: whose result.
        pick: the figure from the rows, or None where they do not have it.
        otherwise: figure of a single run.
    """

    words: str
    unit: str
    bench: str
    pick: Callable[[list[dict[str, Any]]], float | None]
    otherwise: float

    def read(self) -> Constant:
        """From the saved result if there is one."""
        path, command = RESULTS / f"{self.bench}.json", f"`python -m benchmarks.{self.bench}`"
        if path.exists():
            saved = json.loads(path.read_text(encoding="utf-8"))
            value = self.pick(saved["rows"])
            if value is not None:
                return Constant(self.words, value, self.unit, f"{command}, commit {saved['commit'][:12]}")
        return Constant(self.words, self.otherwise, self.unit, f"a single run of {command}; not saved yet")


def _largest(subject: str, case: str, name: str) -> Callable[[list[dict[str, Any]]], float | None]:
    """Figure `name` of the row with most viewers."""

    def pick(rows: list[dict[str, Any]]) -> float | None:
        found = [r for r in rows if r["subject"] == subject and r["case"] == case and r.get(name) is not None]
        return float(max(found, key=lambda r: r["viewers"])[name]) if found else None

    return pick


def _on_the_wire(rows: list[dict[str, Any]]) -> float | None:
    payload = _largest("vitrine binary", "all read", "bytes_per_message")(rows)
    return None if payload is None else payload + _HEADERS


def _engine(rows: list[dict[str, Any]]) -> float | None:
    found = [float(r["cpu_pct"]) for r in rows if r["subject"] == "vitrine"]
    return max(found, default=None)


WANTED = {
    "stream": Wanted(
        "one stream through the engine: ingest, decoding, detection, tracking, overlay",
        "% of a core",
        "pipeline",
        _engine,
        50.0,
    ),
    "delivery": Wanted(
        "delivering positions over websockets",
        "core-seconds per million",
        "fanout",
        _largest("vitrine binary", "all read", "cpu_s_per_million"),
        10.0,
    ),
    "memory": Wanted(
        "a viewer's connection to a gateway",
        "KiB",
        "fanout",
        _largest("vitrine", "all read", "rss_kib_per_viewer"),
        16.0,
    ),
    "octets": Wanted(
        "a position message on the wire, headers included",
        "bytes",
        "fanout",
        _on_the_wire,
        156.0,
    ),
    "whep": Wanted(
        "viewers one core carries by WHEP at 720p30",
        "viewers",
        "whep",
        _largest("vitrine", "crowd", "viewers_per_core"),
        170.0,
    ),
}

ASSUMED = {
    "core_hour": Constant("a core, for an hour", 0.04, "USD", "assumption: list price of rented machines"),
    "egress_gb": Constant("a gigabyte out of a cloud or a CDN", 0.01, "USD", "assumption: volume price"),
    "nic": Constant("what one machine sends", 10.0, "Gbit/s", "assumption"),
    "redis": Constant(
        "messages a Redis shard takes in and hands out",
        50_000.0,
        "a second",
        "assumption: half of what one core of it does with pub/sub",
    ),
}


@dataclass(frozen=True, slots=True)
class Need:
    """One line of the plan.

    Attributes:
        what: is needed.
        count: of it.
        sum_: how that was worked out.
    """

    what: str
    count: float
    sum_: str


def plan(c: dict[str, Constant]) -> list[Need]:
    """The arithmetic."""
    v = {name: constant.value for name, constant in c.items()}
    usable = CORES * HEADROOM
    ingest_cores = STUDIOS * v["stream"] / 100
    ingest = math.ceil(ingest_cores / usable)
    messages = VIEWERS * RATE
    gateway_cores = messages / 1e6 * v["delivery"]
    gateways = math.ceil(gateway_cores / usable)
    overlay_gbit = messages * v["octets"] * 8 / 1e9
    video_gbit = VIEWERS * KBPS / 1e6
    whep_cores = VIEWERS / v["whep"]
    per_gateway = VIEWERS / gateways
    streams_each = min(STUDIOS, gateways)
    subscriptions = STUDIOS * math.ceil(gateways / STUDIOS) + gateways
    redis_rate = STUDIOS * RATE + subscriptions * RATE
    shards = max(math.ceil(redis_rate / v["redis"]), 3)
    return [
        Need(
            f"ingest nodes of {CORES} cores",
            ingest,
            f"{STUDIOS:,} streams x {v['stream']:g} % = {ingest_cores:,.0f} cores, {HEADROOM:.0%} used",
        ),
        Need(
            f"gateways of {CORES} cores",
            gateways,
            f"{VIEWERS:,} viewers x {RATE}/s x {v['delivery']:g} core-s per million = {gateway_cores:,.0f} "
            f"cores, {HEADROOM:.0%} used",
        ),
        Need("viewers per gateway", round(per_gateway), f"{VIEWERS:,} / {gateways:,}"),
        Need(
            "memory of a gateway's connections, GiB",
            round(per_gateway * v["memory"] / 2**20, 1),
            f"{per_gateway:,.0f} x {v['memory']:g} KiB",
        ),
        Need(
            "Redis shards",
            shards,
            f"{STUDIOS:,} streams x {RATE}/s in, {subscriptions:,} subscriptions x {RATE}/s out "
            f"= {redis_rate:,.0f}/s; at least 3 for a quorum; viewers sorted to gateways by stream, "
            f"{streams_each:,} streams over {gateways:,} gateways",
        ),
        Need(
            "egress of positions, Gbit/s", round(overlay_gbit, 1), f"{messages:,}/s x {v['octets']:g} bytes"
        ),
        Need("egress of video, Gbit/s", round(video_gbit), f"{VIEWERS:,} x {KBPS / 1000:g} Mbit/s"),
        Need(
            f"machines for the video, were Vitrine to send it ({CORES} cores)",
            math.ceil(max(whep_cores / usable, video_gbit / v["nic"] / HEADROOM)),
            f"{VIEWERS:,} / {v['whep']:g} a core = {whep_cores:,.0f} cores, or {v['nic']:g} Gbit/s each, "
            f"{HEADROOM:.0%} used; therefore an SFU or a CDN",
        ),
    ]


def costs(c: dict[str, Constant], needs: list[Need]) -> list[Need]:
    """US dollars per stream-hour, at the mean audience of a studio."""
    v = {name: constant.value for name, constant in c.items()}
    count = {need.what.split(" of ")[0]: need.count for need in needs}
    each = VIEWERS // STUDIOS
    ingest = count["ingest nodes"] * CORES * v["core_hour"] / STUDIOS
    gateway = count["gateways"] * CORES * v["core_hour"] / STUDIOS
    positions = each * RATE * v["octets"] * 3600 / 1e9 * v["egress_gb"]
    video = each * KBPS * 1000 / 8 * 3600 / 1e9 * v["egress_gb"]
    return [
        Need(
            "recognition", round(ingest, 3), f"{count['ingest nodes']:,.0f} nodes x {CORES} cores / streams"
        ),
        Need("gateways", round(gateway, 3), f"{count['gateways']:,.0f} nodes x {CORES} cores / streams"),
        Need(
            "egress of positions", round(positions, 2), f"{each:,} viewers, {RATE}/s, {v['octets']:g} bytes"
        ),
        Need("egress of video", round(video, 2), f"{each:,} viewers, {KBPS / 1000:g} Mbit/s"),
    ]


TEXT = """# At scale

Generated by `python -m benchmarks.scale` from `benchmarks/results/`; do not edit by hand.

A paper plan: {studios:,} studios live at once, {viewers:,} viewers, {each:,} each on average. It has not
been built. Its constants are measured on the machine named in each result; what is not ours to measure is
an assumption and says so.

## Constants

{constants}

## What it takes

{needs}

Recognition is bought once for each stream, whatever its audience; the rest grows with viewers.

## What a stream-hour costs

{costs}

With an audience of {each:,}, video is {share:.0f} % of the bill, and it is not Vitrine's: recognition is
{recognition:.2f} %. Slow viewers are sent
half of the positions or fewer by themselves.

## What breaks first

1. **Video egress.** {video:,} Gbit/s belong to a CDN or an SFU tree before anything else is thought of.
   Vitrine pulls or hands over one copy of each stream: {copies:,} Gbit/s ([video
   network](video-network.md)).
2. **One very large stream.** A million viewers of one studio need about {million:,} gateways, all
   subscribed to one channel: Redis hands that stream's {rate} messages a second to each, {fan:,} a second,
   from one shard, because a channel lives on one. Beyond that, let gateways subscribe to gateways, or put
   that stream's channel on a shard of its own.
3. **Everybody comes back at once.** After a cut, {viewers:,} reconnects spread over 30 s are {rejoins:,} a
   second, {per:,.0f} for each gateway; clients wait with full jitter, and a gateway accepts some thousands
   a second ([benchmarks](benchmarks.md)).
4. **A host's node dies.** Its {streams:.0f} streams have to be published again; leases keep two nodes from
   writing one stream. Nothing is moved while it lives.
5. **Redis.** {redis:,.0f} messages a second are far from its limits; its death stops events for as long as
   fail-over takes, and positions with them. Viewers keep their picture and the products they know.
"""


def page(constants: dict[str, Constant]) -> str:
    """The page in Markdown."""
    needs = plan(constants)
    bill = costs(constants, needs)
    total = sum(need.count for need in bill)
    count = {need.what: need.count for need in needs}
    gateways = next(need.count for need in needs if need.what.startswith("gateways"))
    million = math.ceil(gateways * 1_000_000 / VIEWERS)
    return TEXT.format(
        studios=STUDIOS,
        viewers=VIEWERS,
        each=VIEWERS // STUDIOS,
        constants=_table(
            ("", "", "", "From"), [(c.words, f"{c.value:g}", c.unit, c.source) for c in constants.values()]
        ),
        needs=_table(("", "", "How"), [(n.what, f"{n.count:,}", n.sum_) for n in needs]),
        costs=_table(
            ("", "USD", "How"),
            [*((n.what, f"{n.count:g}", n.sum_) for n in bill), ("together", f"{total:.2f}", "")],
        ),
        share=100 * bill[3].count / total,
        recognition=100 * bill[0].count / total,
        video=count["egress of video, Gbit/s"],
        copies=round(STUDIOS * KBPS / 1e6, 1),
        million=million,
        rate=RATE,
        fan=million * RATE,
        rejoins=round(VIEWERS / 30),
        per=VIEWERS / 30 / gateways,
        streams=STUDIOS / needs[0].count,
        redis=(STUDIOS + gateways) * RATE,
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def constants() -> dict[str, Constant]:
    """Measured and assumed."""
    return {**{name: wanted.read() for name, wanted in WANTED.items()}, **ASSUMED}


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(constants()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
