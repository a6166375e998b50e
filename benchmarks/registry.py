"""Which benchmarks there are. Imported on use: listing them loads none."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.harness import Benchmark

BENCHMARKS = {
    "sync": "benchmarks.sync:BENCH",
    "replay": "benchmarks.replay:BENCH",
    "pipeline": "benchmarks.pipeline:BENCH",
    "overload": "benchmarks.overload:BENCH",
    "budget": "benchmarks.budget:BENCH",
    "models": "benchmarks.models:BENCH",
    "match": "benchmarks.match:BENCH",
    "flame": "benchmarks.flame:BENCH",
    "inputs": "benchmarks.inputs:BENCH",
    "gpu": "benchmarks.gpu:BENCH",
    "track": "benchmarks.track:BENCH",
    "propagate": "benchmarks.propagate:BENCH",
    "region": "benchmarks.region:BENCH",
    "index": "benchmarks.index:BENCH",
    "search": "benchmarks.search:BENCH",
    "fanout": "benchmarks.fanout:BENCH",
    "fleet": "benchmarks.fleet:BENCH",
    "unwatched": "benchmarks.unwatched:BENCH",
    "whep": "benchmarks.whep:BENCH",
}
"""Name -> "module:attribute"."""

SUMMARIES = {
    "sync": "Does the hotspot sit on the very frame a browser paints? In frames, read off the screen.",
    "replay": "Does the hotspot sit on the very frame of a replay, MP4 and HLS? How fast is tagging?",
    "pipeline": "How old is an overlay when it is handed to the socket, and where did the time go?",
    "overload": "Does a detector ten times too slow let frame age or memory grow, or lose a frame uncounted?",
    "budget": "Is every overlay within its 60 ms, whatever the machine, the source and the detector do?",
    "models": "Do the weights that ship find what a host shows, beside the detectors one would take instead?",
    "match": "Does a track find its product, does the engine know when not, and does a host's word help?",
    "flame": "Where does the server compute while one stream is watched? Processor time by stack.",
    "inputs": "What does it cost to make a model's input of a decoded picture, and how much memory?",
    "gpu": "What does a GPU buy: the same detector on the CPU, on CUDA in every way, and on TensorRT?",
    "track": "Do boxes stay on their objects, with the same id, better than with trackers one can install?",
    "region": "Does looking only where the tracks are cost less, or find more small things, than the whole?",
    "index": "How good and how fast is a search among very many products: alone, by 16 at once, filtered?",
    "propagate": "How well do boxes follow their objects between detections, and at what cost?",
    "search": "How long does a viewer wait for what a box in the picture shows, and what does the show pay?",
    "whep": "What does passing a stream on to many viewers cost, and what do they see on a bad network?",
    "fanout": "What does it cost to bring positions to many viewers, and do slow ones make the others wait?",
    "fleet": "Is an event lost or reordered when parts of a fleet fail, and how long does nothing arrive?",
    "unwatched": "What does a stream cost that nobody watches, beside one that somebody does?",
}
"""Name -> the one question it answers."""


def load(name: str) -> Benchmark:
    """Import benchmark `name`.

    Raises:
        KeyError: unknown; lists the known ones.
    """
    if name not in BENCHMARKS:
        raise KeyError(f"no benchmark {name!r}; there are: {', '.join(sorted(BENCHMARKS))}")
    module, _, attribute = BENCHMARKS[name].partition(":")
    bench: Benchmark = getattr(importlib.import_module(module), attribute)
    return bench
