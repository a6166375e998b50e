from __future__ import annotations

import pytest

from inference.detectors.base import FAMILIES, detect_family, family_class, grid, make_detector
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo


def info(
    output: tuple[int | None, ...], metadata: dict[str, str] | None = None, side: int | None = 64
) -> ModelInfo:
    return ModelInfo(
        (TensorInfo("images", (1, 3, side, side), "tensor(float)"),),
        (TensorInfo("output", output, "tensor(float)"),),
        metadata or {},
        "model.onnx",
    )


def test_metadata_names_the_family() -> None:
    assert detect_family(info((1, 84, 7), {"vitrine.family": "yolox"})) == "yolox"


def test_unknown_family_in_metadata_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="got 'yolo99', expected one of yolox, nanodet, nanodet-plus"):
        detect_family(info((1, 84, 7), {"vitrine.family": "yolo99"}))


def test_no_family_fits_says_what_was_seen_and_tried() -> None:
    with pytest.raises(ModelError) as caught:
        detect_family(info((1, 84, 8400), side=640))
    text = str(caught.value)
    assert "output [1, 84, 8400] float" in text
    assert all(f"{family}: " in text for family in ("yolox", "nanodet", "nanodet-plus"))
    assert "transposed" in text and "vitrine.family" in text


def test_an_open_input_size_is_accepted() -> None:
    assert detect_family(info((1, None, 85), side=None)) == "yolox"


def test_rows_must_fit_the_input_size() -> None:
    with pytest.raises(ModelError, match="expected 84 rows for an input of 64x64"):
        detect_family(info((1, 100, 7)))


def mismatches(output: tuple[int | None, ...], inputs: int = 1, channels: int = 3) -> dict[str, str | None]:
    model = ModelInfo(
        (TensorInfo("images", (1, channels, 64, 64), "tensor(float)"),) * inputs,
        (
            TensorInfo("scores", (1, 85, 80), "tensor(float)"),
            TensorInfo("dist", output, "tensor(float)"),
        ),
    )
    return {family: family_class(family).mismatch(model) for family in FAMILIES}


def test_reasons_name_what_is_wrong() -> None:
    assert mismatches((1, 85, 32))["nanodet-plus"] is None
    assert "got 31" in str(mismatches((1, 85, 31))["nanodet-plus"])
    assert "'dist' of 3 dimensions" in str(mismatches((85, 32))["nanodet-plus"])
    assert all("one input" in str(reason) for reason in mismatches((1, 85, 32), inputs=2).values())
    assert all("one input" in str(reason) for reason in mismatches((1, 85, 32), channels=1).values())
    assert "at least 6 values" in str(family_class("yolox").mismatch(info((1, 84, 5))))


def test_names_come_as_list_or_by_index() -> None:
    by_index = info((1, 84, 7), {"vitrine.names": '{"1": "person", "0": "product"}'})
    assert make_detector(by_index).names == ("product", "person")
    as_list = info((1, 84, 7), {"vitrine.names": '["product", "person"]'})
    assert make_detector(as_list).names == ("product", "person")


@pytest.mark.parametrize("names", ["[]", "7", '{"5": "a"}', "[1, 2]", "not json"])
def test_unreadable_names_are_refused(names: str) -> None:
    with pytest.raises(ModelError, match=r"vitrine\.names"):
        make_detector(info((1, 84, 7), {"vitrine.names": names}))


def test_strides_come_from_metadata() -> None:
    two = info((1, 80, 7), {"vitrine.strides": "[8, 16]", "vitrine.names": '["a", "b"]'})
    assert detect_family(two) == "yolox"
    with pytest.raises(ModelError, match=r"vitrine\.strides"):
        make_detector(info((1, 80, 7), {"vitrine.strides": "[0]", "vitrine.names": '["a", "b"]'}))


def test_a_family_name_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="expected one of"):
        family_class("")


def test_grid_counts_cells_row_by_row() -> None:
    cells = grid(64, 40, (8, 16))
    assert len(cells.cells) == 8 * 5 + 4 * 3
    assert cells.cells[9].tolist() == [1, 1]
    assert cells.strides[39].tolist() == [8] and cells.strides[40].tolist() == [16]
