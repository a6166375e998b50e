from __future__ import annotations

import pytest

from inference.detectors.base import FAMILIES
from tests.shared import shared_path
from vitrine.errors import PullError
from vitrine.zoo.manifest import Entry, find, manifest, read_manifest


def test_every_entry_says_where_its_facts_come_from() -> None:
    entries = manifest()
    assert len(entries) >= 12
    for entry in entries:
        assert entry.family in FAMILIES, entry.name
        assert entry.licence in ("Apache-2.0", "MIT", "BSD-3-Clause"), entry.name
        assert entry.source and entry.classes and entry.input, entry.name
        assert bool(entry.hash_from) == bool(entry.sha256), entry.name
        assert entry.url.startswith("https://") and entry.url.endswith(".onnx"), entry.name
        assert entry.ap is not None and 20 < entry.ap < 60, entry.name


def test_every_tier_has_a_model() -> None:
    assert {entry.tier for entry in manifest()} == {"2 cores", "4 to 8 cores", "GPU"}


def test_names_addresses_and_hashes_are_each_others_own() -> None:
    entries = manifest()
    for values in (
        [e.name for e in entries],
        [e.url for e in entries],
        [e.sha256 for e in entries if e.sha256],
    ):
        assert len(values) == len(set(values))


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(PullError, match="no model is called 'yolox_nano'; did you mean yolox-nano"):
        find("yolox_nano")
    with pytest.raises(PullError, match="'vitrine models list' shows them"):
        find("xxxxxxxxxxxxx")


def test_an_address_is_a_model_too() -> None:
    entry = find("https://shop.example/files/Our%20Shoes%20v2.ONNX?x=1", "A" * 64)
    assert (
        entry.name == "our-shoes-v2" and entry.sha256 == "a" * 64 and entry.file_name == "our-shoes-v2.onnx"
    )
    for bad in ("ftp://x/y.onnx", "https://shop.example/"):
        with pytest.raises(PullError, match="cannot be pulled"):
            find(bad)


def test_a_hash_of_ones_own_may_not_contradict_the_known_one() -> None:
    assert find("nanodet-plus-m-1.5x-416", "b" * 64).sha256 == "b" * 64
    with pytest.raises(PullError, match="but the list of models says"):
        find("yolox-nano", "b" * 64)
    with pytest.raises(PullError, match="expected 64 digits"):
        find("yolox-nano", "abc")


@pytest.mark.parametrize(
    "text",
    [
        "[[model]]\nname = 'a'\n",
        "[[model]]\nname = 'a'\nurl = 'https://x/y'\nsha256 = '12'\n",
        "[[model]]\nname = 'a/b'\nurl = 'https://x/y'\n",
        "[[model]]\nname = 'a'\nurl = 'https://x/y'\ncolour = 'red'\n",
        "[[model]]\nname = 'a'\nurl = 'https://x/y'\n[[model]]\nname = 'a'\nurl = 'https://x/z'\n",
        "not toml",
    ],
)
def test_a_damaged_manifest_is_refused(text: str) -> None:
    with pytest.raises(PullError, match="list of models"):
        read_manifest(text.encode())


def test_no_path_leads_out_of_the_folder() -> None:
    for name in ("../x", "a/b", ".hidden", ""):
        with pytest.raises(ValueError, match="name"):
            Entry(name=name, url="https://x/y.onnx")


def test_what_the_manifest_calls_a_family_its_files_are() -> None:
    """Where a file of the list lies among the shared data under another name, its family is checked there."""
    from inference.detectors.base import detect_family
    from inference.runtime import OrtModel, RuntimeSettings

    model = OrtModel(shared_path("models/detect/yolox_nano.onnx"), RuntimeSettings("cpu", 1))
    assert detect_family(model.info) == find("yolox-nano").family
