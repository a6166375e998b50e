"""The lines of docs/replay.md that run a batch on Ray: on Ray where it is installed, and on a stand-in."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stream.media import write_clip

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = '''
"""Takes work as Ray does: tasks and results travel pickled, and are there in no promised order."""

import pickle


class _Task:
    def __init__(self, function):
        self.function = function

    def remote(self, *values):
        return pickle.dumps(self.function(*pickle.loads(pickle.dumps(values))))


def remote(**options):
    assert set(options) == {"max_retries"}
    return _Task


def wait(references):
    return [references[-1]], references[:-1]


def get(reference):
    return pickle.loads(reference)
'''


def documented() -> str:
    """The adapter as the documentation has it."""
    text = (ROOT / "docs" / "replay.md").read_text()
    blocks: list[str] = re.findall(r"```python\n(# ray_tags\.py\n.*?)```", text, re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


@pytest.mark.parametrize("engine", ["stand-in", "ray"])
def test_a_batch_runs_by_the_documented_adapter(tmp_path: Path, engine: str) -> None:
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray, which is no dependency: pip install ray==2.60")
    (tmp_path / "ray_tags.py").write_text(documented())
    if engine == "stand-in":
        (tmp_path / "ray.py").write_text(STAND_IN)
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        write_clip(tmp_path / "videos" / f"{name}.mp4", frames=12)
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    # -P: as the installed command, which does not find what lies in the folder by itself.
    command = [sys.executable, "-P", "-m", "vitrine", "tag", "videos", "--out", "tags", "--json"]
    command += ["--executor", "ray_tags:RayExecutor", "--data-dir", "state"]
    around = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=around, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert (told["tagged"], told["skipped"], told["failed"]) == (2, 0, 1)
    states = {Path(one["video"]).name: one["state"] for one in told["videos"]}
    assert states == {"a.mp4": "tagged", "b.mp4": "tagged", "broken.mp4": "failed"}
    assert {"a.vtt", "b.vtt", "a.hotspots.json"} <= {file.name for file in (tmp_path / "tags").iterdir()}
