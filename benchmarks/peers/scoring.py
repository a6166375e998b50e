"""HOTA, IDF1 and MOTA by `trackeval`. Run by the interpreter of the environment it is in.

``python -m benchmarks.peers.scoring JOB FOLDER`` scores every file in FOLDER and prints one JSON object:
{set: {subject: {regime: {mode: {metric: number}}}}}.
"""

# mypy: ignore-errors
# trackeval is installed in an environment of its own.

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import trackeval
from scipy.optimize import linear_sum_assignment

from benchmarks.sequences import digest, folders, iou, load


def data(sequence, rows):
    """What trackeval's metrics take. Boxes on what MOT17 says to ignore are left out, as its kit does."""
    true_ids, shown_ids, out = {}, {}, {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    starts = np.searchsorted(rows[:, 0], np.arange(len(sequence) + 1))
    for frame in range(len(sequence)):
        shown = rows[starts[frame] : starts[frame + 1]]
        sound = np.isfinite(shown).all(axis=1) & (shown[:, 4] > shown[:, 2]) & (shown[:, 5] > shown[:, 3])
        shown = shown[sound]
        shown = shown[np.unique(shown[:, 1], return_index=True)[1]]
        boxes, truth, ignored = shown[:, 2:], sequence.truth[frame], sequence.ignored[frame]
        if len(ignored) and len(shown):
            overlap = iou(np.concatenate((truth, ignored)), boxes)
            overlap[overlap < 0.5 - 1e-9] = 0
            mine, theirs = linear_sum_assignment(-overlap)
            away = [c for r, c in zip(mine, theirs, strict=True) if overlap[r, c] > 0 and r >= len(truth)]
            shown = np.delete(shown, away, axis=0)
            boxes = shown[:, 2:]
        out["gt_ids"].append(
            np.array([true_ids.setdefault(i, len(true_ids)) for i in sequence.ids[frame]], int)
        )
        out["tracker_ids"].append(
            np.array([shown_ids.setdefault(i, len(shown_ids)) for i in shown[:, 1]], int)
        )
        out["similarity_scores"].append(iou(truth, boxes))
    out["num_timesteps"] = len(sequence)
    out["num_gt_ids"], out["num_tracker_ids"] = len(true_ids), len(shown_ids)
    out["num_gt_dets"] = sum(map(len, out["gt_ids"]))
    out["num_tracker_dets"] = sum(map(len, out["tracker_ids"]))
    return out


def score(sequences, answers):
    """All figures over a set of sequences, in percent."""
    kinds = {
        "HOTA": trackeval.metrics.HOTA(),
        "CLEAR": trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
        "Identity": trackeval.metrics.Identity({"PRINT_CONFIG": False}),
    }
    prepared = {s.name: data(s, rows) for s, rows in zip(sequences, answers, strict=True)}
    whole = {
        name: metric.combine_sequences({s: metric.eval_sequence(one) for s, one in prepared.items()})
        for name, metric in kinds.items()
    }
    return {
        "hota": round(100 * float(whole["HOTA"]["HOTA"].mean()), 2),
        "deta": round(100 * float(whole["HOTA"]["DetA"].mean()), 2),
        "assa": round(100 * float(whole["HOTA"]["AssA"].mean()), 2),
        "idf1": round(100 * float(whole["Identity"]["IDF1"]), 2),
        "mota": round(100 * float(whole["CLEAR"]["MOTA"]), 2),
        "idsw": int(whole["CLEAR"]["IDSW"]),
        "fp": int(whole["CLEAR"]["CLR_FP"]),
        "fn": int(whole["CLEAR"]["CLR_FN"]),
    }


def figures(sequences, answers):
    """{regime: {mode: figures}} of one subject over one set."""
    result = {}
    for regime, mode in sorted({tuple(key.split("|")[:2]) for key in answers.files}):
        rows = [answers[f"{regime}|{mode}|{s.name}"] for s in sequences]
        result.setdefault(regime, {})[mode] = score(sequences, rows)
    return result


def main():
    job, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    result = {}
    for set_name in job["sets"]:
        sequences = [load(f, job["seed"], job["frames"]) for f in folders(Path(job["root"]), set_name)]
        for file in sorted(folder.glob(f"{set_name}|*.npz")):
            subject = file.stem.partition("|")[2]
            about = (set_name, job["seed"], job["frames"], job["versions"]["trackeval"])
            known = Path(job["cache"]) / f"{digest(*about, file, Path(__file__))}.json"
            if not known.exists():
                known.write_text(json.dumps(figures(sequences, np.load(file))))
            result.setdefault(set_name, {})[subject] = json.loads(known.read_text())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
