from __future__ import annotations

from benchmarks.model_parts.on_show import figures


def accuracy(**other: object) -> dict[str, object]:
    seen = {"visible": 90, "located": 1.0, "identified": 0.9}
    return {
        "products_identified": 2,
        "wrong_identities": 3,
        "right": 0.9,
        "wrong": 0.1,
        "loose": 0.0,
        "not_in_catalogue_visible": 900,
        "not_in_catalogue_hotspots": 2,
        "by_product": {
            "cup": {**seen, "first_visible_frame": 0, "first_identified_frame": 15},
            "box": {**seen, "first_visible_frame": 10, "first_identified_frame": 25},
            "jar": {**seen, "first_visible_frame": 30, "first_identified_frame": 90},
            "bag": {**seen, "first_visible_frame": 40, "first_identified_frame": None},
        },
        **other,
    }


def test_a_product_waits_from_when_it_is_first_seen() -> None:
    row = figures(accuracy(), 1 / 30)
    assert row["first_correct_p50_s"] == 0.5
    assert row["first_correct_max_s"] == 2.0
    assert (row["products_shown"], row["products_identified"], row["wrong_identities"]) == (4, 2, 3)


def test_false_hotspots_are_counted_by_minutes_in_which_the_unknown_product_is_seen() -> None:
    assert figures(accuracy(), 1 / 30)["false_per_min_not_in_catalogue"] == 4.0
    assert figures(accuracy(not_in_catalogue_visible=0), 1 / 30)["false_per_min_not_in_catalogue"] is None


def test_no_product_found_leaves_no_time() -> None:
    row = figures(accuracy(by_product={}), 1 / 30)
    assert row["first_correct_p50_s"] is None
