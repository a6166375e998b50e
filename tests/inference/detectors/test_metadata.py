from __future__ import annotations

import pytest

from inference.detectors.coco import COCO_80, COCO_91
from inference.detectors.metadata import (
    expect_names,
    exported_size,
    given_names,
    likely_classes,
    names_for,
    task_of,
)
from inference.errors import ModelError
from inference.model import ModelInfo
from inference.types import Rung


def info(**metadata: str) -> ModelInfo:
    return ModelInfo((), (), {name.replace("__", "."): value for name, value in metadata.items()}, "m.onnx")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'person', 1: \"men's shoe\"}", ("person", "men's shoe")),
        ("['a', 'b']", ("a", "b")),
        ("{1: 'b', 0: 'a'}", ("a", "b")),
        ("{1: 'a', 2: 'b'}", None),
        ("{0: 'a', 'x': 'b'}", None),
        ("[]", None),
        ("[1, 2]", None),
        ("__import__('os').getcwd()", None),
        ("not python {", None),
        ("(" * 5000, None),
        ("", None),
    ],
)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_exporters_names_are_read_as_data(text: str, names: tuple[str, ...] | None) -> None:
    assert given_names(info(names=text)) == names


def test_our_own_names_go_before_the_exporters() -> None:
    both = info(names="{0: 'a'}", vitrine__names='["b"]')
    assert given_names(both) == ("b",)


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [
        (None, "person", "toothbrush"),
        (80, "person", "toothbrush"),
        (90, "person", "toothbrush"),
        (91, "unused 0", "toothbrush"),
        (3, "class 0", "class 2"),
        (1, "product", "product"),
    ],
)
def test_names_nobody_gave_are_cocos_or_made_up(count: int | None, first: str, last: str) -> None:
    names = names_for(info(), count)
    assert (names[0], names[-1]) == (first, last)
    assert len(names) == (count or 80)


def test_as_many_names_as_classes() -> None:
    named = info(names="['a', 'b']")
    assert names_for(named, 2) == names_for(named, None) == ("a", "b")
    with pytest.raises(ModelError, match="got 3 classes in the output and 2 names"):
        names_for(named, 3)
    assert expect_names(named, ("a",), None) == ("a",)
    assert likely_classes(named) == 2 and likely_classes(info()) == 80


def test_cocos_categories_keep_their_numbers() -> None:
    assert [COCO_91[number] for number in (1, 13, 44, 47, 62, 90)] == [
        "person",
        "stop sign",
        "bottle",
        "cup",
        "chair",
        "toothbrush",
    ]
    assert [name for name in COCO_91 if not name.startswith("unused ")] == list(COCO_80)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("[384, 640]", Rung(640, 384)),
        ("[640]", Rung(640, 640)),
        ("(320, 320)", Rung(320, 320)),
        ("640", None),
        ("[0, 640]", None),
        ("[384, 640, 3]", None),
        ("['a']", None),
        ("", None),
    ],
)
def test_the_size_an_exporter_noted_is_height_then_width(text: str, size: Rung | None) -> None:
    assert exported_size(info(imgsz=text)) == size


def test_a_task_that_is_not_noted_is_none() -> None:
    assert task_of(info()) == "" and task_of(info(task="segment")) == "segment"
