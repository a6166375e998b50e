from __future__ import annotations

import numpy as np
from PIL import Image

from inference.types import Box, MatchState
from overlay.types import Hotspot
from vitrine.tagging.frames import Cue, Tags
from vitrine.tagging.pictures import contact_sheet, marked, moment, poster_cue, sheet_cues

S = 1_000_000_000
GREY = np.full((360, 640, 3), 90, np.uint8)


def spot(number: int, box: tuple[float, ...], state: MatchState = MatchState.EXACT) -> Hotspot:
    return Hotspot(number, number, f"p{number}", state, Box(*box))


def cue(at: int, *spots: Hotspot) -> Cue:
    return Cue(at * S, (at + 1) * S, spots)


SMALL, LARGE = (0.1, 0.1, 0.2, 0.2), (0.4, 0.3, 0.8, 0.9)


def test_the_poster_shows_most_products_and_those_largest() -> None:
    one, small = cue(0, spot(1, LARGE)), cue(1, spot(1, SMALL), spot(2, SMALL))
    large = cue(2, spot(1, SMALL), spot(2, LARGE))
    guess = cue(3, *(spot(n, LARGE, MatchState.SIMILAR) for n in range(5)))
    assert poster_cue(Tags((one, small, large, guess), 1, 1, 4 * S, 1)) is large
    assert poster_cue(Tags((), 1, 1, 4 * S, 1)) is None


def test_each_chapter_has_a_picture_and_very_many_are_thinned_out() -> None:
    cues = tuple(cue(10 * n, spot(n, SMALL)) for n in range(60))
    chosen = sheet_cues(Tags(cues, 1, 1, 600 * S, 1))
    assert len(chosen) == 24 and chosen[0] is cues[0] and chosen[-1] is cues[-1]
    two = (cue(0, spot(1, SMALL)), cue(1, spot(1, LARGE)), cue(9, spot(2, SMALL)))
    assert sheet_cues(Tags(two, 1, 1, 10 * S, 1)) == [two[1], two[2]]


def test_without_hotspots_the_sheet_spreads_over_the_video() -> None:
    chosen = sheet_cues(Tags((), 1, 1, 9 * S, 1))
    assert [one.start_ns // S for one in chosen] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert sheet_cues(Tags((), 0, 0, 0, 1)) == []


def test_pin_brackets_and_label_are_drawn_where_the_hotspot_is() -> None:
    plain = np.asarray(marked(GREY, ()))
    assert (plain == GREY).all()
    drawn = np.asarray(marked(GREY, [spot(1, LARGE)], {"p1": "Stoneware mug"})).astype(int)
    changed = np.abs(drawn - GREY).max(axis=2) > 20
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert abs(columns[0] - 0.4 * 640) < 6 and abs(columns[-1] - 0.8 * 640) < 6
    assert abs(rows[0] - 0.3 * 360) < 6 and abs(rows[-1] - 0.9 * 360) < 6
    assert drawn[round(0.6 * 360), round(0.6 * 640)].min() > 200  # the pin's white middle
    unlabelled = np.asarray(marked(GREY, [spot(1, LARGE)])).astype(int)
    below = slice(round(0.6 * 360) + 20, round(0.6 * 360) + 34)
    assert np.abs(drawn[below] - GREY[below]).max() > 60
    assert np.abs(unlabelled[below, 270:500] - 90).max() < 20


def test_labels_do_not_lie_on_each_other() -> None:
    near = [spot(n, (0.3 + 0.03 * n, 0.4, 0.5 + 0.03 * n, 0.6)) for n in range(6)]
    titles = {f"p{n}": "A product with quite a long name" for n in range(6)}
    assert marked(GREY, near, titles).size == (640, 360)
    tall = marked(np.full((640, 360, 3), 90, np.uint8), near, titles)
    assert tall.size == (360, 640)


def test_a_sheet_has_four_in_a_row_and_captions() -> None:
    pictures = [Image.new("RGB", (640, 360), (n * 40, 0, 0)) for n in range(5)]
    sheet = contact_sheet(pictures, [f"00:0{n} A name that is far too long to fit below" for n in range(5)])
    assert sheet is not None and sheet.size == (4 * 416 + 16, 16 + 2 * (225 + 30 + 16))
    assert contact_sheet([], []) is None


def test_times_for_people() -> None:
    assert [moment(s * S) for s in (0, 134, 3734)] == ["00:00", "02:14", "1:02:14"]
