from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest

from vitrine.errors import FrontError
from vitrine.settings import ServerConfig
from vitrine.tls import BROWSER_WORDS, VALID_DAYS, context_for, local_names, self_signed, server_context

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def test_a_certificate_is_made_once_for_all_names(tmp_path: Path) -> None:
    made = self_signed(tmp_path, ["localhost", "127.0.0.1", "studio.local"], NOW)
    assert set(made.names) == {"localhost", "127.0.0.1", "studio.local"}
    assert self_signed(tmp_path, ["localhost"], NOW).fingerprint == made.fingerprint
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert len(made.fingerprint) == 32 * 3 - 1


def test_a_new_name_or_a_near_end_makes_a_new_one(tmp_path: Path) -> None:
    made = self_signed(tmp_path, ["localhost"], NOW)
    renamed = self_signed(tmp_path, ["localhost", "10.0.0.7"], NOW)
    assert renamed.fingerprint != made.fingerprint
    soon = NOW + datetime.timedelta(days=VALID_DAYS - 20)
    assert self_signed(tmp_path, ["localhost"], soon).fingerprint == renamed.fingerprint
    late = NOW + datetime.timedelta(days=VALID_DAYS - 10)
    assert self_signed(tmp_path, ["localhost"], late).fingerprint != renamed.fingerprint


@pytest.mark.parametrize("damaged", ["tls-cert.pem", "tls-key.pem"])
def test_a_damaged_file_makes_a_new_one(tmp_path: Path, damaged: str) -> None:
    made = self_signed(tmp_path, ["localhost"], NOW)
    (tmp_path / damaged).write_text("broken")
    assert self_signed(tmp_path, ["localhost"], NOW).fingerprint != made.fingerprint


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FrontError, match=r"server\.data_dir"):
        self_signed(tmp_path / "file", ["localhost"], NOW)


def test_what_the_settings_ask_for(tmp_path: Path) -> None:
    assert context_for(ServerConfig()) == (None, None)
    context, made = context_for(ServerConfig(tls="self-signed", data_dir=tmp_path))
    assert context is not None and made is not None and "127.0.0.1" in made.names
    given = ServerConfig(tls="files", cert=made.cert, key=made.key)
    context, own = context_for(given)
    assert context is not None and own is None


def test_files_that_are_no_certificate_are_refused(tmp_path: Path) -> None:
    first = self_signed(tmp_path / "a", ["localhost"])
    second = self_signed(tmp_path / "b", ["localhost"])
    with pytest.raises(FrontError, match="cannot be used"):
        server_context(first.cert, second.key)
    with pytest.raises(FrontError, match="no such file"):
        server_context(tmp_path / "none.pem", first.key)
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(FrontError, match="PEM"):
        server_context(tmp_path / "text.pem", first.key)


def test_names_cover_this_machine() -> None:
    assert local_names("127.0.0.1") == ["localhost", "127.0.0.1", "::1"]
    assert local_names("studio.example")[-1] == "studio.example"
    everywhere = local_names("0.0.0.0")
    assert len(everywhere) >= 4 and len(everywhere) == len(set(everywhere))


def test_people_are_told_what_their_browser_will_say() -> None:
    for browser in ("Chromium", "Firefox", "Safari"):
        assert browser in BROWSER_WORDS
