"""The arithmetic of the benchmarks `track` and `propagate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import propagate, track
from benchmarks.display import Tally, watch
from benchmarks.paired import LESS_IS_WORSE, MORE_IS_WORSE, Pair, worse
from benchmarks.propagate_data import Clip, coffee_truth, overlap, read, show_truth
from benchmarks.report import Report, Row
from benchmarks.sequences import Floats, Sequence, crowd, digest, load, synthetic_looks
from benchmarks.track_ours import detections, follow

SIZE = (1000, 1000)


def scene(frames: int = 60, gap: range = range(0)) -> Sequence:
    """One object, 100 x 100, that moves right by 2 px a frame and is away during `gap`."""
    boxes = [np.array([[100 + 2 * i, 100, 200 + 2 * i, 200]], np.float64) for i in range(frames)]
    empty = np.zeros((0, 4))
    truth = [empty if i in gap else boxes[i] for i in range(frames)]
    ids = [np.zeros(0, np.int64) if i in gap else np.array([7]) for i in range(frames)]
    found = [np.column_stack((box, np.full(len(box), 0.9))) for box in truth]
    looks = synthetic_looks(list(zip(ids, truth, strict=True)), found, 1)
    return Sequence("one", 30.0, SIZE, ids, truth, [empty] * frames, found, looks)


def shown(sequence: Sequence, ids: list[int | None], shift: float = 0.0) -> Floats:
    rows = [
        (frame, track_id, *(sequence.truth[frame][0] + shift))
        for frame, track_id in enumerate(ids)
        if track_id is not None and len(sequence.truth[frame])
    ]
    return np.array(rows, np.float64).reshape(-1, 6)


def figures(sequence: Sequence, rows: Floats) -> dict[str, float]:
    tally = Tally()
    watch(tally, sequence, rows)
    return {key: float(value) for key, value in tally.figures().items()}


def test_a_perfect_display_has_nothing_to_complain_of() -> None:
    one = scene()
    seen = figures(one, shown(one, [1] * 60))
    assert seen["coverage_pct"] == 100 and seen["ids_per_object"] == 1
    assert seen["flicker_per_object_min"] == seen["jitter_px"] == seen["centre_error_px"] == 0
    assert seen["first_ms_p50"] == seen["stray_per_s"] == 0


def test_flicker_late_starts_and_new_ids_are_counted() -> None:
    one = scene()
    seen = figures(one, shown(one, [None] * 3 + [1] * 20 + [None] + [2] * 36, shift=3.0))
    assert seen["first_ms_p50"] == 100
    assert seen["flicker_per_object_min"] == pytest.approx(30)
    assert seen["ids_per_object"] == 2
    assert seen["coverage_pct"] == pytest.approx(100 * 56 / 60, abs=0.01)
    assert seen["centre_error_px"] == pytest.approx(18**0.5, abs=0.01)


def test_jitter_is_what_the_object_does_not_do() -> None:
    one = scene()
    rows = shown(one, [1] * 60)
    rows[::2, 2:] += 2.0
    assert figures(one, rows)["jitter_px"] > 5


def test_boxes_on_nothing_are_stray() -> None:
    one = scene()
    assert figures(one, shown(one, [1] * 60, shift=500.0))["stray_per_s"] == 30


@pytest.mark.parametrize(("after", "kept"), [(1, 100.0), (2, 0.0)])
def test_identity_after_an_absence_is_the_usual_id_on_both_sides(after: int, kept: float) -> None:
    one = scene(90, range(30, 50))
    around: list[int | None] = [*[1] * 40, *[after] * 50]
    seen = figures(one, shown(one, around))
    assert seen["returns"] == 1 and seen["returned_pct"] == kept


def test_looks_tell_objects_apart_and_covered_ones_less() -> None:
    boxes = np.array([[0, 0, 100, 100], [500, 500, 600, 600]], np.float64)
    found = [np.column_stack((boxes, [0.9, 0.9]))] * 20
    looks = synthetic_looks([(np.array([1, 2]), boxes)] * 20, found, 3)
    same = np.mean([looks[i][0] @ looks[i + 5][0] for i in range(10)])
    other = np.mean([looks[i][0] @ looks[i][1] for i in range(10)])
    assert same > 0.7 > 0.55 > other
    again = synthetic_looks([(np.array([1, 2]), boxes)] * 20, found, 3)
    np.testing.assert_array_equal(looks, again)


def test_sequences_are_read_with_what_is_to_be_ignored(tmp_path: Path) -> None:
    for part in ("gt", "det"):
        (tmp_path / part).mkdir()
    (tmp_path / "seqinfo.ini").write_text(
        "[Sequence]\nframeRate=30\nseqLength=2\nimWidth=640\nimHeight=480\n"
    )
    (tmp_path / "gt" / "gt.txt").write_text(
        "1,4,10,20,30,40,1,1,1\n1,5,50,20,30,40,0,7,1\n2,4,11,20,30,40,1,1,1\n"
    )
    (tmp_path / "det" / "det.txt").write_text("1,-1,10,20,30,40,0.5\n1,-1,0,0,9,9,0.8\n")
    one = load(tmp_path)
    assert [ids.tolist() for ids in one.ids] == [[4], [4]]
    assert one.ignored[0].tolist() == [[50, 20, 80, 60]]
    assert one.found[0][:, 4].tolist() == [0.8, 0.5] and len(one.found[1]) == 0
    assert len(load(tmp_path, frames=1)) == 1


def test_our_subject_follows_the_object_between_detections() -> None:
    one = scene()
    for looks in (False, True):
        rows = follow(one, 3, 3, looks)
        assert set(rows[:, 1]) == {1.0}
        late = rows[rows[:, 0] == 50][0, 2:]
        np.testing.assert_allclose(late, one.truth[50][0], atol=8)
    assert len(detections(crowd(10, 5, 1))) == 5


def test_a_digest_changes_with_what_it_is_of(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("a")
    first = digest("track", 1, file)
    assert digest("track", 1, file) == first
    file.write_text("b")
    assert digest("track", 1, file) != first != digest("track", 2, file)


SCORES: track.Scores = {
    "Shop-calm": {
        "vitrine": {"k1": {"hold": {"hota": 80.0, "idf1": 88.0, "mota": 95.0, "idsw": 2}}},
        "norfair": {
            "k1": {
                "hold": {"hota": 70.0, "idf1": 89.0, "mota": 90.0, "idsw": 9},
                "coast": {"hota": 71.0, "idf1": 87.5, "mota": 90.0, "idsw": 9},
            }
        },
        "norfair + looks": {"k1": {"hold": {"hota": 99.0, "idf1": 99.0, "mota": 99.0, "idsw": 0}}},
    }
}


def test_peers_show_their_better_side_and_only_likes_are_compared() -> None:
    chosen = track.best_modes(SCORES)
    assert chosen["Shop-calm", "norfair", "k1"] == "coast"
    assert list(track.rivals(SCORES, "Shop-calm", looks=False)) == ["norfair"]
    assert "norfair + looks" in track.rivals(SCORES, "Shop-calm", looks=True)


def test_viewers_watch_ours_beside_the_best_of_its_kind() -> None:
    (cell,) = track.ours(SCORES)
    assert cell == ("Shop-calm", "vitrine", "k1")
    assert track.best_peer(SCORES, track.best_modes(SCORES), cell) == "norfair"


def test_worse_figures_are_named() -> None:
    good = dict.fromkeys((*LESS_IS_WORSE, *MORE_IS_WORSE), 5.0)
    assert worse({**good}, {**good}) == []
    assert worse({**good, "jitter_px": 6.0, "coverage_pct": 4.0}, {**good}) == ["coverage_pct", "jitter_px"]


def test_a_tracker_gains_nothing_by_hiding_what_is_hard() -> None:
    """Ours shows all frames, the last 20 a little off; theirs shows only the easy ones."""
    one, pair = scene(), Pair()
    ours, theirs = shown(one, [1] * 60), shown(one, [1] * 40 + [None] * 20)
    ours[40::2, 2:] += 3.0
    pair.add(one, ours, theirs)
    assert pair.worse() == []
    assert pair.worse_alone() == ["jitter_px", "centre_error_px"]
    assert pair.figures()[1]["coverage_pct"] == pytest.approx(66.67)


def test_flicker_counts_where_both_show_the_object() -> None:
    one, pair = scene(), Pair()
    ours = shown(one, [1] * 10 + [None] + [1] * 30 + [None] + [1] * 18)
    theirs = shown(one, [1] * 30 + [None] * 30)
    pair.add(one, ours, theirs)
    assert pair.at_risk_s == pytest.approx(29 / 30)
    assert [side.vanished for side in pair.sides] == [1, 1]


def test_who_never_shows_an_object_is_not_early_and_who_does_not_show_it_again_has_lost_it() -> None:
    one = scene(90, range(30, 50))
    kept, gone = Pair(), Pair()
    kept.add(one, shown(one, [1] * 90), shown(one, [1] * 40))
    assert [figures["returned_pct"] for figures in kept.figures()] == [100, 0]
    gone.add(one, shown(one, [None] * 90), shown(one, [1] * 90))
    assert gone.worse()[-1] == "first_ms_p50" and gone.figures()[0]["first_ms_p50"] == float("inf")


def test_clips_keep_their_truth(tmp_path: Path) -> None:
    clip = Clip("one", tmp_path / "one.mp4", [{"cup": (0.1, 0.2, 0.3, 0.4)}, {}])
    clip.save(tmp_path / "clip.json")
    assert read(tmp_path / "clip.json") == clip
    (tmp_path / "coffee.json").write_text(
        '{"size": [100, 200], "n_frames": 2, "frames": {"0": [{"id": "mug", "bbox": [10, 20, 30, 40]}]}}'
    )
    assert coffee_truth(tmp_path / "coffee.json") == [{"mug": (0.1, 0.1, 0.4, 0.3)}, {}]
    (tmp_path / "show.json").write_text(
        '{"frames": [[{"object": 1, "box": [0, 0, 1, 1], "visibility": 0.2},'
        ' {"object": 2, "box": [0, 0, 0.5, 1], "visibility": 0.9}]]}'
    )
    assert show_truth(tmp_path / "show.json") == [{"2": (0, 0, 0.5, 1)}]


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 1, 1), (0, 0, 0.5, 1)) == pytest.approx(0.5)
    assert overlap((0, 0, 0.1, 0.1), (0.5, 0.5, 1, 1)) == 0


ROWS: list[Row] = [
    {"subject": name, "clip": "show", "speed": 4, "codec": codec, **dict.fromkeys(KEYS, value)}
    for KEYS in (("iou_k3", "iou_k6", "iou_k10", "iou_late3", "ms_p50"),)
    for name, codec, value in (("vitrine", "H264", 0.9), ("hold", "-", 0.8))
]


def test_propagate_is_judged_by_its_limits_and_against_the_best_peer() -> None:
    verdict = {target.name: target.ok for target in propagate._judge(ROWS)}
    assert verdict["IoU between boxes 6 frames apart, show x4 H264"]
    assert not verdict["cost of a frame, p50, show x4 H264"]
    assert verdict["iou_late3 ahead of hold, show x4 H264"]


def test_both_benchmarks_draw_what_they_found() -> None:
    figure = Figure()
    propagate.draw(Report("propagate", {}, "x", ROWS), figure)
    assert len(figure.axes[0].lines) == 2
    rows: list[Row] = [{"subject": "vitrine", "Shop-calm k1 hota": 80.0, "Shop-calm k3 hota": 79.0}]
    figure = Figure()
    track.draw(Report("track", {}, "x", rows), figure)
    assert len(figure.axes[0].lines) == 1
