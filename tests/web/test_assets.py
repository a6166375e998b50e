"""What the static files may and may not contain: they must work under a strict content security policy."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vitrine.tagging import page as replay

WEB = Path(__file__).resolve().parents[2] / "overlay" / "web"
PAGES = sorted(WEB.glob("*.html"))
SCRIPTS = sorted(WEB.glob("*.js"))


class Collector(HTMLParser):
    """All tags with attributes, ids, and the text within scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.script_text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.script_text += data


def collect(page: Path) -> Collector:
    collector = Collector()
    collector.feed(page.read_text())
    return collector


def test_there_are_five_pages() -> None:
    names = ["host.html", "index.html", "operator.html", "replay.html", "watch.html"]
    assert [page.name for page in PAGES] == names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_have_no_inline_code_and_load_only_their_own_files(page: Path) -> None:
    found = collect(page)
    assert found.script_text.strip() == ""
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            address = attributes.get(name)
            if address and not address.startswith("#"):
                own = (
                    "static/" if page.name == "replay.html" else "/"
                )  # a replay lies in any folder of any server
                assert address.startswith(own), f"{tag} {address}"
                if address.removeprefix("/").startswith("static/"):
                    assert (WEB / address.removeprefix("/")[7:].split("#")[0]).is_file(), address


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_ids_are_unique_and_scripts_find_theirs(page: Path) -> None:
    ids = [attributes["id"] for _, attributes in collect(page).tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    script = page.with_suffix(".js").read_text()
    wanted = set(re.findall(r'byId\("([\w-]+)"\)', script))
    assert wanted
    assert wanted <= set(ids)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_never_parse_markup_or_code(script: Path) -> None:
    text = script.read_text()
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
    ):
        assert forbidden not in text
    for imported in re.findall(r'from "([^"]+)"', text):
        assert imported.startswith("./") and (WEB / imported).is_file()


def test_a_replay_takes_along_everything_it_needs() -> None:
    tags = collect(WEB / replay.PAGE).tags
    found = [str(attributes.get("src") or attributes.get("href")).split("#")[0] for _, attributes in tags]
    needed = {name.removeprefix("static/") for name in found if name.startswith("static/")}
    waiting = [name for name in needed if name.endswith(".js")]
    while waiting:
        text = (WEB / waiting.pop()).read_text()
        for name in re.findall(r'(?:from|import|URL)\(?\s*[`"]\./([\w.-]+)', text):
            if name not in needed:
                needed.add(name)
                waiting += [name] if name.endswith(".js") else []
    assert needed == set(replay.SCRIPTS)


def test_the_overlay_stands_alone() -> None:
    assert not re.search(r"^import ", (WEB / "vitrine-overlay.js").read_text(), re.MULTILINE)


def test_every_icon_that_is_used_exists() -> None:
    icons = set(re.findall(r'<symbol id="([\w-]+)"', (WEB / "icons.svg").read_text()))
    text = "".join(path.read_text() for path in [*PAGES, *SCRIPTS])
    used = set(re.findall(r'icons\.svg#([a-z][\w-]*)"', text)) | set(re.findall(r'icon\("([\w-]+)"\)', text))
    assert used
    assert used <= icons
