"""The trackers one can install, fed the same sequences. Run by the interpreter of their own environment.

``python -m benchmarks.peers.tracking FAMILY JOB OUT`` reads a job (JSON: root, sets, regimes, seed, frames)
and writes every subject's boxes, frame by frame, into the folder OUT. Trackers are called on frames with a
detection only, with their defaults; what their settings count in calls is scaled so that it stays the same in
seconds. In between, each shows either its last boxes ("hold") or boxes moved on ("coast") by its own filter
where it lets one ask, by the difference of its last two answers otherwise; the better of the two counts.
"""

# mypy: ignore-errors
# The trackers are installed in environments of their own.

from __future__ import annotations

import copy
import json
import shutil
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks.sequences import REGIMES, crowd, digest, folders, load

warnings.filterwarnings("ignore")


SOURCES = (Path(__file__), Path(sys.modules["benchmarks.sequences"].__file__))


class Roboflow:
    """`trackers`: time given in seconds, filters open to be asked."""

    def __init__(self, kind, stride, fps, **options):
        import supervision
        import trackers

        self.supervision, self.fps = supervision, fps
        hits = max(1, round(options.pop("hits") / stride))
        self.tracker = getattr(trackers, kind)(frame_rate=fps, minimum_consecutive_frames=hits, **options)
        self.shown = []

    def update(self, found, looks, frame):
        """What is shown on a frame with detections: (id, x0, y0, x1, y1) each."""
        found = found[found[:, 4] >= 0.1]
        detections = self.supervision.Detections(
            xyxy=found[:, :4].astype(np.float32).reshape(-1, 4),
            confidence=found[:, 4].astype(np.float32),
            class_id=np.zeros(len(found), int),
        )
        answer = self.tracker.update(detections, timestamp=frame / self.fps)
        filters = {int(t.tracker_id): t for t in self.tracker.tracks if t.tracker_id != -1}
        ids = [] if answer.tracker_id is None else answer.tracker_id
        self.shown = [
            (int(i), box, filters.get(int(i))) for box, i in zip(answer.xyxy, ids, strict=True) if i != -1
        ]
        return [(i, *box) for i, box, _ in self.shown]

    def between(self, ahead):
        """What is shown `ahead` frames later; None where the tracker cannot be asked."""
        moved = []
        for i, box, track in self.shown:
            if track is None:
                moved.append((i, *box))
                continue
            estimator = copy.deepcopy(track.state_estimator)
            before = np.asarray(estimator.state_to_bbox(), float).ravel()
            estimator.predict(float(ahead), self.fps)
            moved.append((i, *(box + np.asarray(estimator.state_to_bbox(), float).ravel() - before)))
        return moved


class Forge:
    """`trackforge` (Rust)."""

    def __init__(self, kind, stride, fps, least, counted, looks=False, **options):
        import trackforge

        options |= {name: max(1, round(value / stride)) for name, value in counted.items()}
        self.tracker, self.least, self.looks = getattr(trackforge, kind)(**options), least, looks

    def update(self, found, looks, frame):
        """What is shown on a frame with detections: (id, x0, y0, x1, y1) each."""
        kept = found[:, 4] >= self.least
        boxes = [
            ([float(d[0]), float(d[1]), float(d[2] - d[0]), float(d[3] - d[1])], float(d[4]), 0)
            for d in found[kept]
        ]
        answer = (
            self.tracker.update(boxes, looks[kept].tolist()) if self.looks else self.tracker.update(boxes)
        )
        return [(q[0], q[1][0], q[1][1], q[1][0] + q[1][2], q[1][1] + q[1][3]) for q in answer]

    def between(self, ahead):
        """What is shown `ahead` frames later; None where the tracker cannot be asked."""
        return None


class Norfair:
    """`norfair`: told the stride, moves its own boxes on."""

    def __init__(self, stride, fps, looks=False):
        import norfair

        self.norfair, self.stride, self.looks = norfair, stride, looks
        options = {}
        if looks:
            options = {
                "reid_distance_function": _unlike,
                "reid_distance_threshold": 0.35,
                "reid_hit_counter_max": round(10 * fps),
            }
        self.tracker = norfair.Tracker(distance_function="iou", distance_threshold=0.7, **options)

    def update(self, found, looks, frame):
        """What is shown on a frame with detections: (id, x0, y0, x1, y1) each."""
        detections = [
            self.norfair.Detection(points=d[:4].reshape(2, 2), scores=np.array([d[4]] * 2), embedding=look)
            for d, look in zip(found, looks, strict=True)
            if d[4] >= 0.5 and d[2] > d[0] and d[3] > d[1]
        ]
        return self._boxes(self.tracker.update(detections, period=self.stride))

    def between(self, ahead):
        """What is shown `ahead` frames later; None where the tracker cannot be asked."""
        return self._boxes(self.tracker.update())

    def _boxes(self, objects):
        return [(o.id, *o.estimate.ravel()) for o in objects]


def _unlike(new, old):
    """Cosine distance of the last views of two of norfair's objects."""
    a, b = new.last_detection.embedding, old.last_detection.embedding
    return 2.0 if a is None or b is None else 1.0 - float(a @ b)


def rf(kind, hits, **options):
    return lambda k, fps: Roboflow(kind, k, fps, hits=hits, **options)


def tf(kind, least, looks=False, **counted):
    return lambda k, fps: Forge(kind, k, fps, least, counted, looks)


FAMILIES = {
    "trackers": {
        "trackers ByteTrack": rf("ByteTrackTracker", 2),
        "trackers OC-SORT": rf("OCSORTTracker", 3),
        "trackers BoT-SORT": rf("BoTSORTTracker", 2, enable_cmc=False),
        "trackers C-BIoU": rf("CBIoUTracker", 2),
    },
    "trackforge": {
        "trackforge ByteTrack": tf("BYTETRACK", 0.1, track_buffer=30),
        "trackforge OC-SORT": tf("OCSORT", 0.5, max_age=30, min_hits=3),
        "trackforge BoT-SORT": tf("BOTSORT", 0.1, track_buffer=30),
        "trackforge TrackTrack": tf("TRACKTRACK", 0.1, track_buffer=30, min_hits=3),
        "trackforge BoT-SORT + looks": tf("BOTSORT", 0.1, True, track_buffer=30),
        "trackforge TrackTrack + looks": tf("TRACKTRACK", 0.1, True, track_buffer=30, min_hits=3),
        "trackforge DeepOC-SORT + looks": tf("DEEPOCSORT", 0.5, True, max_age=30, min_hits=3),
        "trackforge DeepSORT + looks": tf("DEEPSORT", 0.5, True, max_age=70, n_init=3),
    },
    "norfair": {
        "norfair": lambda k, fps: Norfair(k, fps),
        "norfair + looks": lambda k, fps: Norfair(k, fps, looks=True),
    },
}


def follow(make, sequence, stride, late, mode):
    """One subject over one sequence: rows of frame, id, x0, y0, x1, y1."""
    tracker = make(stride, sequence.fps)
    native = isinstance(tracker, Norfair)
    rows, current, before, speed, last = [], [], {}, {}, None
    for frame in range(len(sequence)):
        captured = frame - late
        if captured >= 0 and captured % stride == 0:
            current = tracker.update(sequence.found[captured], sequence.looks[captured], captured)
            boxes = {q[0]: np.array(q[1:5], float) for q in current}
            speed = {i: (box - before[i]) / stride for i, box in boxes.items() if i in before}
            before, last = boxes, captured
        if last is None:
            continue
        ahead = frame - last
        shown = current
        if native and not late and ahead:
            moved = tracker.between(ahead)
            shown = current if mode == "hold" else moved
        elif ahead and mode == "coast":
            moved = None if native else tracker.between(ahead)
            shown = moved if moved is not None else [_on(q, speed.get(q[0]), ahead) for q in current]
        rows += [(frame, int(q[0]), *map(float, q[1:5])) for q in shown]
    return np.array(rows, float).reshape(-1, 6)


def _on(row, speed, ahead):
    box = np.array(row[1:5], float)
    if speed is None:
        return row
    middle = (speed[:2] + speed[2:]) / 2 * ahead
    return (row[0], *(box + np.concatenate((middle, middle))))


def update_ms(make, objects, seed):
    """Median milliseconds of an update with this many objects."""
    sequence, tracker, took_ms = crowd(objects, 120 if objects < 100 else 40, seed), make(1, 30.0), []
    for frame, (found, looks) in enumerate(zip(sequence.found, sequence.looks, strict=True)):
        began = time.perf_counter()
        tracker.update(found, looks, frame)
        took_ms.append((time.perf_counter() - began) * 1e3)
    return float(np.median(took_ms[10:]))


def main():
    family, job, out = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
    wanted = {name: make for name, make in FAMILIES[family].items() if name in job["subjects"]}
    kept = Path(job["cache"])
    kept.mkdir(parents=True, exist_ok=True)
    for set_name in job["sets"]:
        places = folders(Path(job["root"]), set_name)
        sequences = [load(place, job["seed"], job["frames"]) for place in places]
        files = [place / part for place in places for part in ("gt/gt.txt", "det/det.txt")]
        for subject, make in wanted.items():
            about = (subject, job["regimes"], job["seed"], job["frames"], job["versions"][family])
            known = kept / f"{digest(*about, *files, *SOURCES)}.npz"
            if not known.exists():
                answer = {}
                for regime in job["regimes"]:
                    stride, late = REGIMES[regime]
                    for mode in ("hold",) if stride == 1 and not late else ("hold", "coast"):
                        for s in sequences:
                            answer[f"{regime}|{mode}|{s.name}"] = follow(make, s, stride, late, mode)
                np.savez(known.with_suffix(".part.npz"), **answer)
                known.with_suffix(".part.npz").rename(known)
            shutil.copy(known, out / f"{set_name}|{subject}.npz")
            print(set_name, subject, flush=True)
    speed = {
        name: {n: update_ms(make, n, job["seed"]) for n in job["objects"]} for name, make in wanted.items()
    }
    (out / f"{family}.speed.json").write_text(json.dumps(speed))


if __name__ == "__main__":
    main()
