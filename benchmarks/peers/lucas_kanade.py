"""OpenCV's pyramidal Lucas-Kanade with forward-backward check, moving true boxes on between detections.

``python -m benchmarks.peers.lucas_kanade CLIP STRIDE...`` prints the mean IoU per stride and the time a frame
takes.
"""

# mypy: ignore-errors
# OpenCV is installed in this peer's own environment only.

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.propagate_data import overlap, read

WIDTH, HEIGHT = 640, 360
CORNERS = 25


def pictures(video):
    """Every frame, grey, 640 x 360."""
    capture = cv2.VideoCapture(str(video))
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield cv2.resize(
            cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA
        )


def corners(grey, box):
    """Points worth following inside `box`."""
    x0, y0, x1, y1 = (np.array(box) * (WIDTH, HEIGHT, WIDTH, HEIGHT)).astype(int)
    inset_x, inset_y = (x1 - x0) // 10, (y1 - y0) // 10
    x0, y0 = max(0, x0 + inset_x), max(0, y0 + inset_y)
    inside = grey[y0 : max(y0, y1 - inset_y), x0 : max(x0, x1 - inset_x)]
    if min(inside.shape) < 4:
        return None
    found = cv2.goodFeaturesToTrack(inside, CORNERS, 0.01, 3)
    return None if found is None else (found.reshape(-1, 2) + (x0, y0)).astype(np.float32)


def moved(before, after, box, points):
    """The box and its points one frame later."""
    if points is None or len(points) < 3:
        return box, points
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points.reshape(-1, 1, 2), None, winSize=(15, 15), maxLevel=3
    )
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=(15, 15), maxLevel=3)
    there, error = there.reshape(-1, 2), np.linalg.norm(back.reshape(-1, 2) - points, axis=1)
    good = (found.ravel() == 1) & (returned.ravel() == 1) & (error < max(1.5, float(np.median(error))))
    if good.sum() < 3:
        return box, points
    dx, dy = np.median(there[good] - points[good], axis=0)
    spread_before = np.linalg.norm(points[good][:, None] - points[good][None], axis=2)
    spread_after = np.linalg.norm(there[good][:, None] - there[good][None], axis=2)
    far = spread_before > 3
    scale = float(np.clip(np.median(spread_after[far] / spread_before[far]) if far.any() else 1.0, 0.9, 1.1))
    x, y = (box[0] + box[2]) / 2 + dx / WIDTH, (box[1] + box[3]) / 2 + dy / HEIGHT
    half_x, half_y = (box[2] - box[0]) / 2 * scale, (box[3] - box[1]) / 2 * scale
    return (x - half_x, y - half_y, x + half_x, y + half_y), there[good]


def main():
    cv2.setNumThreads(1)
    clip, answer, took_ms = read(Path(sys.argv[1])), {}, []
    greys = list(pictures(clip.video))
    for stride in map(int, sys.argv[2:]):
        got, following = [], {}
        for number, grey in enumerate(greys[: len(clip.truth)]):
            began = time.thread_time()
            if number % stride == 0:
                following = {name: (box, corners(grey, box)) for name, box in clip.truth[number].items()}
                continue
            following = {name: moved(greys[number - 1], grey, *one) for name, one in following.items()}
            took_ms.append((time.thread_time() - began) * 1e3)
            truth = clip.truth[number]
            got += [overlap(box, truth[name]) for name, (box, _) in following.items() if name in truth]
        answer[f"iou_k{stride}"] = round(float(np.mean(got)), 4)
    answer["ms_p50"] = round(statistics.median(took_ms), 3)
    answer["ms_p95"] = round(float(np.percentile(took_ms, 95)), 3)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
