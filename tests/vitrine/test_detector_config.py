"""A detector of somebody else's plugs in by configuration alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.errors import ModelError
from stream.clock import MonotonicClock
from tests.inference.detectors.graphs import answering
from tests.inference.models import colour_embedder, painted
from vitrine.checks import Verdict, run_checks
from vitrine.config import load_config
from vitrine.errors import ConfigError
from vitrine.recognition import Recognition, load_recognition

FASHION = ("short sleeve top", "long sleeve dress", "model", "hand", "bag")
SIDE = 96


def fashion_detector(folder: Path, metadata: dict[str, str] | None = None) -> None:
    """A YOLOv8 export that sees a dress, a model wearing it, a hand and a bag."""
    cells = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
    columns = np.zeros((1, 4 + len(FASHION), cells), np.float32)
    seen = [
        (1, 48, 40, 30, 60, 0.9),
        (2, 48, 48, 50, 90, 0.85),
        (3, 20, 40, 8, 8, 0.8),
        (4, 80, 60, 12, 16, 0.7),
    ]
    for at, (label, x, y, w, h, score) in enumerate(seen):
        columns[0, :4, at * 9] = (x, y, w, h)
        columns[0, 4 + label, at * 9] = score
    (folder / "fashion.onnx").write_bytes(
        answering({"output0": columns}, (1, 3, SIDE, SIDE), metadata=metadata)
    )
    (folder / "embedder.onnx").write_bytes(colour_embedder())


def write(folder: Path, lines: str) -> Path:
    path = folder / "vitrine.toml"
    path.write_text(f"[inference]\ndetector = 'fashion.onnx'\nembedder = 'embedder.onnx'\n{lines}\n")
    return path


def recognition(path: Path) -> Recognition:
    return load_recognition(load_config(path, {}).inference, MonotonicClock())


def labels(loaded: Recognition) -> list[str]:
    frame = painted(SIDE, SIDE, (0, 0, 8, 8))
    found = loaded.detector.detect(frame, loaded.detector.rungs[0], None, MonotonicClock()).detections
    return [found.names[label] for label in found.labels]


EXAMPLE = """
names = ["short sleeve top", "long sleeve dress", "model", "hand", "bag"]
products = ["*top", "*dress", "bag"]
persons = ["model"]
"""


def test_a_fashion_detector_becomes_products_and_people(tmp_path: Path) -> None:
    fashion_detector(tmp_path)
    assert labels(recognition(write(tmp_path, EXAMPLE))) == ["long sleeve dress", "person", "bag"]


def test_without_a_word_every_class_is_a_product(tmp_path: Path) -> None:
    fashion_detector(tmp_path, {"names": str(dict(enumerate(FASHION)))})
    assert labels(recognition(write(tmp_path, ""))) == ["long sleeve dress", "model", "hand", "bag"]


def test_ignoring_alone_keeps_the_rest(tmp_path: Path) -> None:
    fashion_detector(tmp_path, {"names": str(dict(enumerate(FASHION)))})
    loaded = recognition(write(tmp_path, 'ignore = ["hand"]\npersons = ["model"]'))
    assert labels(loaded) == ["long sleeve dress", "person", "bag"]


def test_classes_come_from_the_environment_too(tmp_path: Path) -> None:
    fashion_detector(tmp_path, {"names": str(dict(enumerate(FASHION)))})
    variables = {"VITRINE_INFERENCE__PRODUCTS": "bag, *dress", "VITRINE_INFERENCE__PERSONS": "model"}
    config = load_config(write(tmp_path, ""), variables)
    loaded = load_recognition(config.inference, MonotonicClock())
    assert labels(loaded) == ["long sleeve dress", "person", "bag"]


def test_a_misspelt_class_is_found_before_the_show(tmp_path: Path) -> None:
    fashion_detector(tmp_path, {"names": str(dict(enumerate(FASHION)))})
    path = write(tmp_path, 'products = ["bags"]')
    with pytest.raises(ModelError, match=r"inference\.products: got 'bags'.*did you mean 'bag'"):
        recognition(path)
    config = load_config(
        path, {"VITRINE_SERVER__PORT": "0", "VITRINE_SERVER__DATA_DIR": str(tmp_path / "state")}
    )
    check = next(each for each in run_checks(config) if each.name == "detector")
    assert check.verdict is Verdict.FAILED and "did you mean 'bag'" in check.words


def test_the_family_may_be_named_and_must_fit(tmp_path: Path) -> None:
    fashion_detector(tmp_path, {"names": str(dict(enumerate(FASHION)))})
    assert recognition(write(tmp_path, 'family = "yolov8"')).detector.detector.family == "yolov8"
    with pytest.raises(ModelError, match="not a ssd model"):
        recognition(write(tmp_path, 'family = "ssd"'))
    with pytest.raises(ModelError, match="expected one of yolox"):
        recognition(write(tmp_path, 'family = "yolo"'))


@pytest.mark.parametrize("lines", ['products = "bag"', 'ignore = [""]', "names = [1]", "family = 8"])
def test_settings_of_the_wrong_kind_are_refused(tmp_path: Path, lines: str) -> None:
    with pytest.raises(ConfigError, match=r"inference\."):
        load_config(write(tmp_path, lines), {})


def test_the_example_of_the_documentation_is_this_one(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```toml\n")[1:]]
    (example,) = [block for block in blocks if "products" in block]
    path = tmp_path / "docs.toml"
    path.write_text(example)
    config = load_config(path, {}).inference
    assert config.products and config.persons and config.ignore
    names = tuple(name.replace("*", "xyz") for name in (*config.products, *config.persons, *config.ignore))
    from inference.classes import class_map
    from vitrine.recognition import detector_settings

    roles = class_map(names, detector_settings(config).classes).roles
    assert {"product", "person", "ignore"} == set(roles.values())
