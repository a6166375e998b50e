"""What a measurement ran on, in words that name no host and no path."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
_LIBRARIES = ("aiortc", "av", "onnxruntime-gpu", "onnxruntime", "aiohttp", "websockets", "numpy")

MachineInfo = dict[str, str | int | float]


def describe() -> MachineInfo:
    """Processor, cores this process may use, memory, system, library versions, load of the last minute."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": ", ".join(_versions()),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
    }


def commit() -> str:
    """Short hash of the checkout, ``+changes`` when tracked files differ from it, ``unknown`` without git."""
    found = _git("rev-parse", "--short=12", "HEAD")
    if not found:
        return "unknown"
    return f"{found}+changes" if _git("status", "--porcelain", "--untracked-files=no") else found


def in_words(info: MachineInfo) -> str:
    """One line for people."""
    return (
        f"{info.get('cpu', '?')}, {info.get('cores', '?')} cores, {info.get('memory_gib', '?')} GiB, "
        f"{info.get('system', '?')}, Python {info.get('python', '?')} ({info.get('libraries', '')}); "
        f"load before the run {info.get('load_1min', '?')}"
    )


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> list[str]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
