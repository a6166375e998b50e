"""Other ways to do the same work, each in a virtual environment of its own.

``python -m benchmarks.peers setup`` prepares them; a benchmark leaves out, by name, those that are not there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT

HOME = ROOT / ".cache" / "peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """One project to compare with.

    Attributes:
        name: row name.
        module: server in this package, run with the peer's own interpreter.
        requirements: pinned, for pip; empty when Vitrine's own environment has all it needs.
        what: one line for people.
        subjects: row names, where it is a package with several.
        npm: pinned, for npm, where it is a server for node.
        watched: viewers get its boxes over a websocket.
    """

    name: str
    module: str
    requirements: tuple[str, ...]
    what: str
    subjects: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    watched: bool = True

    @property
    def python(self) -> Path:
        """Its interpreter, whether it is there or not."""
        return HOME / self.name / "bin" / "python" if self.requirements else Path(sys.executable)

    @property
    def missing(self) -> str:
        """Why it cannot run, in words; empty when it can."""
        if not (self.requirements or self.npm) or (HOME / self.name / "ready").exists():
            return ""
        return f"{self.name}: not installed (./run bench-setup)"

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """How to start its server."""
        if self.npm:
            return ["node", f"benchmarks/peers/{self.module}.mjs", HOME / self.name, *arguments]
        return [self.python, "-m", f"benchmarks.peers.{self.module}", *arguments]


AIORTC = Peer(
    "aiortc loop",
    "plain_aiortc",
    (),
    "what the documentation suggests: `frame = await track.recv()`, the detector in `asyncio.to_thread`",
)
FASTRTC = Peer(
    "fastrtc",
    "fastrtc_server",
    ("fastrtc==0.0.34", "onnxruntime==1.31.1"),
    "FastRTC with a video handler",
    watched=False,
)
VISION_AGENTS = Peer(
    "vision-agents",
    "vision_agents_server",
    ("vision-agents==0.6.9", "onnxruntime==1.31.1"),
    "a video processor of vision-agents, fed by WHIP instead of its makers' network",
)
ROBOFLOW = Peer(
    "Roboflow inference",
    "roboflow_server",
    ("streamvision[webrtc]==0.1.3", "onnxruntime==1.31.1", "aiohttp==3.14.5"),
    "the InferencePipeline of Roboflow's `inference` 1.8.3 (`streamvision`), fed by WHIP",
)
PEERS = {peer.name: peer for peer in (AIORTC, FASTRTC)}
"""For ``benchmarks.overload``."""
STREAMING = {**PEERS, **{peer.name: peer for peer in (ROBOFLOW, VISION_AGENTS)}}
"""Frames in, boxes out, for ``benchmarks.budget``."""

_ARRAYS = ("numpy==2.4.6", "scipy==1.17.1")
TRACKING = (
    Peer(
        "trackers",
        "tracking",
        ("trackers==2.6.1", "supervision==0.31.2", *_ARRAYS),
        "Roboflow's trackers",
        ("trackers ByteTrack", "trackers OC-SORT", "trackers BoT-SORT", "trackers C-BIoU"),
    ),
    Peer(
        "trackforge",
        "tracking",
        ("trackforge==0.4.0", *_ARRAYS),
        "trackers in Rust",
        (
            "trackforge ByteTrack",
            "trackforge OC-SORT",
            "trackforge BoT-SORT",
            "trackforge TrackTrack",
            "trackforge BoT-SORT + looks",
            "trackforge TrackTrack + looks",
            "trackforge DeepOC-SORT + looks",
            "trackforge DeepSORT + looks",
        ),
    ),
    Peer(
        "norfair",
        "tracking",
        ("norfair==2.1.1", *_ARRAYS),
        "Norfair",
        ("norfair", "norfair + looks"),
    ),
)
"""Trackers, for ``benchmarks.track``."""

TRACKEVAL = Peer("trackeval", "scoring", ("trackeval==1.3.0", *_ARRAYS), "the scoring kit of MOTChallenge")
LUCAS_KANADE = Peer(
    "opencv", "lucas_kanade", ("opencv-python-headless==5.0.0.93", *_ARRAYS), "OpenCV's Lucas-Kanade flow"
)
PICOWS = Peer("picows", "picows_server", ("picows==2.3.1",), "picows, a websocket library in Cython")
NPM_WS = Peer("npm ws", "ws_server", (), "ws, what node servers use", npm=("ws@8.23.0",))
USEARCH = Peer("usearch", "searching", ("usearch==2.26.6", *_ARRAYS), "another HNSW, with int8 vectors too")
ALL = {
    **STREAMING,
    **{peer.name: peer for peer in (*TRACKING, TRACKEVAL, LUCAS_KANADE, PICOWS, NPM_WS, USEARCH)},
}
"""Everything that ``python -m benchmarks.peers setup`` prepares."""
