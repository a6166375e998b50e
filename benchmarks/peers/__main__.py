"""``python -m benchmarks.peers setup``: a virtual environment per peer, under .cache/peers."""

from __future__ import annotations

import shutil
import subprocess
import sys

from benchmarks.peers.registry import ALL, HOME, Peer


def prepare(peer: Peer) -> str:
    """Install `peer` where it is missing. Returns what went wrong, in words; empty when it is ready."""
    if not peer.missing:
        return ""
    folder = HOME / peer.name
    shutil.rmtree(folder, ignore_errors=True)
    for command in _commands(peer):
        if shutil.which(command[0]) is None:
            return f"there is no {command[0]} here"
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return lines[-1] if lines else f"status {done.returncode}"
    (folder / "ready").touch()
    return ""


def _commands(peer: Peer) -> list[list[str]]:
    folder = str(HOME / peer.name)
    if peer.npm:
        return [["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", *peer.npm]]
    pip = [str(peer.python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *peer.requirements]
    return [[sys.executable, "-m", "venv", folder], pip]


def main() -> int:
    if sys.argv[1:] != ["setup"]:
        print("usage: python -m benchmarks.peers setup", file=sys.stderr)
        return 2
    failed = 0
    for peer in ALL.values():
        print(f"{peer.name}: {peer.what} ...", flush=True)
        wrong = prepare(peer)
        failed += bool(wrong)
        print(
            f"{peer.name}: does not install and will be left out: {wrong}" if wrong else f"{peer.name}: ready"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
