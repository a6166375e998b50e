"""Loss by the kernel, in a process of its own: the tests' own network is left alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.whep_parts.path import LossyPath
from tests.benchmarks.test_whep import heard_through

_IN_A_NETWORK_OF_ITS_OWN = """
import asyncio, json
from benchmarks.whep_parts.netns import own_network
from tests.benchmarks.test_netns import losing
print(json.dumps({"why": why} if (why := own_network()) else asyncio.run(losing())))
"""


async def losing() -> dict[str, int]:
    heard = {}
    for loss in (0.0, 0.1, 1.0):
        path = LossyPath(1, by_kernel=True)
        path.loss = loss
        heard[str(loss)] = len(await heard_through(path, 1000, 0.2))
        assert path.lost == 0, "the relay has no part in it"
    return heard


def test_kernel_loses_as_many_as_it_should_and_stops_when_told() -> None:
    command = [sys.executable, "-c", _IN_A_NETWORK_OF_ITS_OWN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if "why" in found:
        pytest.skip(f"packets cannot be lost here: {found['why']}")
    assert found["0.0"] == 1000 and found["1.0"] == 0
    assert 740 < found["0.1"] < 880  # 0.9 * 0.9
