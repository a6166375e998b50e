from __future__ import annotations

from benchmarks.report import Row
from benchmarks.unwatched import judged


def rows(**cost: float) -> list[Row]:
    return [{"subject": name, "cpu_ms_per_frame": value} for name, value in cost.items()]


def test_dozing_is_judged_against_what_was_measured_beside_it() -> None:
    met = judged(rows(dozing=1.5, awake=5.0, watched=12.0))
    assert [(target.value, target.ok) for target in met] == [(0.3, True), (0.125, True)]
    assert [target.ok for target in judged(rows(dozing=3.0, awake=5.0, watched=10.0))] == [False, False]
    assert len(judged(rows(dozing=1.5, watched=12.0))) == 1
    assert judged(rows(awake=5.0)) == judged(rows(dozing=5.0)) == []
