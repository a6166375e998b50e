from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from vitrine.logs import set_up_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_for_people_has_message_and_fields(root: logging.Logger) -> None:
    out = io.StringIO()
    set_up_logging("info", stream=out)
    logging.getLogger("vitrine.x").info("stream live", extra={"stream": "demo", "epoch": 2})
    logging.getLogger("vitrine.x").debug("not shown")
    (line,) = out.getvalue().splitlines()
    assert line.endswith("INFO    vitrine.x stream live  stream=demo epoch=2")


def test_a_line_for_machines_is_one_json_object(root: logging.Logger) -> None:
    out = io.StringIO()
    set_up_logging("info", as_json=True, stream=out)
    try:
        raise ValueError("broken\nbadly")
    except ValueError:
        logging.getLogger("vitrine.x").exception("it broke", extra={"stream": "demo", "odd": {1}})
    (line,) = out.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "vitrine.x", "it broke")
    assert entry["stream"] == "demo" and entry["odd"] == "{1}" and "broken" in entry["exception"]


def test_libraries_that_chatter_are_kept_quiet(root: logging.Logger) -> None:
    out = io.StringIO()
    set_up_logging("info", stream=out)
    logging.getLogger("aioice.ice").info("candidate pair")
    assert out.getvalue() == ""
