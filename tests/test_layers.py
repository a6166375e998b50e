"""The house rules of `docs/architecture.md` that a machine can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("stream", "inference", "overlay", "vitrine")
"""Each may import itself and those before it."""

SURFACE = {"types", "errors"}
STREAM_SURFACE = SURFACE | {"clock", "latest"}
NEVER_IMPORTED = {"tests", "benchmarks", "training"}
FENCES = {
    "aiortc": "stream/",
    "aioice": "stream/",
    "av": "stream/",
    "imageio_ffmpeg": "stream/",
    "onnxruntime": "inference/runtime.py",
    "onnx": "inference/ladder.py",
    "hnswlib": "inference/index.py",
    "psycopg": "inference/postgres/",
    "redis": "overlay/bus/redis",
    "websockets": "overlay/gateway.py",
    "jwt": "vitrine/auth.py",
    "cryptography": "vitrine/tls.py",
    "prometheus_client": "vitrine/metrics.py",
    "typer": "vitrine/cli/",
}
CORES = (
    "stream/timeline.py",
    "stream/whip.py",
    "stream/sdp.py",
    "stream/sdp_text.py",
    "stream/trickle.py",
    "stream/assembler.py",
    "stream/guard.py",
    "stream/history.py",
    "stream/pacer.py",
    "stream/bitstream.py",
    "inference/geometry.py",
    "inference/budget.py",
    "inference/costs.py",
    "inference/sharing.py",
    "inference/motion.py",
    "inference/tracker.py",
    "inference/matcher.py",
    "inference/common.py",
    "inference/evidence.py",
    "inference/views.py",
    "inference/taught.py",
    "inference/enrolment.py",
    "inference/apart.py",
    "inference/detectors/base.py",
    "inference/detectors/yolox.py",
    "inference/detectors/nanodet.py",
    "inference/detectors/picture.py",
    "inference/detectors/metadata.py",
    "inference/detectors/yolo.py",
    "inference/detectors/yolov5.py",
    "inference/detectors/yolov8.py",
    "inference/detectors/end2end.py",
    "inference/detectors/rtdetr.py",
    "inference/detectors/detr.py",
    "inference/detectors/picodet.py",
    "inference/detectors/ssd.py",
    "inference/classes.py",
    "inference/allowance.py",
    "inference/search.py",
    "vitrine/zoo/resume.py",
    "overlay/hotspots.py",
    "overlay/policy.py",
    "overlay/state.py",
    "overlay/samples.py",
    "overlay/replica.py",
    "overlay/taps.py",
    "overlay/session.py",
    "overlay/outbox.py",
    "overlay/pace.py",
    "overlay/frames.py",
    "overlay/binary.py",
    "overlay/search.py",
    "overlay/compat.py",
    "vitrine/demo_score.py",
    "vitrine/diagnose.py",
    "vitrine/hold.py",
    "vitrine/rolling.py",
    "vitrine/studio/lease.py",
    "vitrine/studio/nodes.py",
    "vitrine/studio/placement.py",
    "vitrine/studio/survey.py",
    "vitrine/recorder.py",
    "vitrine/sightings.py",
)
SHELL_ONLY = {"asyncio", "socket", "time", "threading", "onnxruntime", "redis", "websockets", "aiohttp"}
FILE_LINES = 400
"""Above 300 a file says why in its review; above this it is split."""


def sources() -> list[str]:
    return sorted(str(p.relative_to(ROOT)) for package in ORDER for p in (ROOT / package).rglob("*.py"))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def imports(file: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything `file` imports, at whatever depth."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: relative import; write the full name"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def violations(rule: str) -> list[str]:
    return [f"{file}:{line}: {name}" for file in sources() for line, name in CHECKS[rule](file)]


def wrong_direction(file: str) -> Iterator[tuple[int, str]]:
    allowed = ORDER[: ORDER.index(file.split("/")[0]) + 1]
    for line, name in imports(file):
        top = name.split(".")[0]
        if top in NEVER_IMPORTED or (top in ORDER and top not in allowed):
            yield line, name


def past_the_surface(file: str) -> Iterator[tuple[int, str]]:
    package = file.split("/")[0]
    for line, name in imports(file):
        top, _, rest = name.partition(".")
        if package == "vitrine" or top not in ORDER or top == package:
            continue
        if rest.split(".")[0] not in (STREAM_SURFACE if top == "stream" else SURFACE):
            yield line, name


def outside_the_fence(file: str) -> Iterator[tuple[int, str]]:
    for line, name in imports(file):
        fence = FENCES.get(name.split(".")[0])
        if fence and not file.startswith(fence):
            yield line, name


def reads_the_environment(file: str) -> Iterator[tuple[int, str]]:
    if file == "vitrine/config.py":
        return
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"):
            yield node.lineno, ast.unparse(node)
    yield from ((line, name) for line, name in imports(file) if name in ("os.environ", "os.getenv"))


def prints(file: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "print"


def impure_core(file: str) -> Iterator[tuple[int, str]]:
    if file in CORES:
        yield from ((line, name) for line, name in imports(file) if name.split(".")[0] in SHELL_ONLY)


def too_long(file: str) -> Iterator[tuple[int, str]]:
    lines = len((ROOT / file).read_text(encoding="utf-8").splitlines())
    if lines > FILE_LINES:
        yield lines, f"more than {FILE_LINES} lines"


CHECKS = {
    "imports go one way": wrong_direction,
    "packages meet at their surface": past_the_surface,
    "third-party libraries stay in their shell": outside_the_fence,
    "only the configuration reads the environment": reads_the_environment,
    "libraries do not print": prints,
    "cores are pure": impure_core,
    "files stay short": too_long,
}


@pytest.mark.parametrize("rule", CHECKS)
def test_house_rule(rule: str) -> None:
    assert violations(rule) == []


def test_every_named_core_exists() -> None:
    assert [core for core in CORES if not (ROOT / core).is_file()] == []


@pytest.mark.parametrize(
    ("rule", "file", "source"),
    [
        ("imports go one way", "stream/x.py", "from inference.types import Box"),
        ("imports go one way", "overlay/x.py", "import vitrine.config"),
        ("imports go one way", "vitrine/x.py", "from training.show import labels"),
        ("packages meet at their surface", "overlay/x.py", "from inference.tracker import Tracker"),
        (
            "packages meet at their surface",
            "inference/x.py",
            "from stream.latest.deep import LatestSlot\nimport stream",
        ),
        ("third-party libraries stay in their shell", "overlay/x.py", "def f():\n    import av.container"),
        ("third-party libraries stay in their shell", "inference/index.py", "import onnxruntime as ort"),
        ("only the configuration reads the environment", "vitrine/x.py", "import os\nos.environ['A']"),
        ("only the configuration reads the environment", "stream/x.py", "from os import getenv"),
        ("libraries do not print", "stream/x.py", "print('x')"),
        ("cores are pure", "overlay/taps.py", "from time import monotonic"),
    ],
)
def test_a_rule_can_fail(rule: str, file: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "tree", lambda name: ast.parse(source))
    assert len(list(CHECKS[rule](file))) == 1
