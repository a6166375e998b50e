from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from inference.types import Rung
from vitrine.addresses import is_loopback
from vitrine.config import Config, Secret, load_config, public_view
from vitrine.errors import ConfigError


def load(tmp_path: Path, text: str, **env: str) -> Config:
    return load_config(write(tmp_path, text), env)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "vitrine.toml"
    file.write_text(text)
    return file


def refusal(tmp_path: Path, text: str, **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **env)
    return str(caught.value)


def test_defaults_need_no_file_and_stay_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {})
    assert config == Config()
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.loopback and config.server.data_dir == Path("vitrine-data")


def test_later_layers_win(tmp_path: Path) -> None:
    file = write(tmp_path, "[server]\nport = 1111\n[inference]\nbudget_ms = 80\nmin_score = 0.5\n")
    env = {"VITRINE_SERVER__PORT": "2222", "VITRINE_INFERENCE__BUDGET_MS": "90"}
    config = load_config(file, env, {"server.port": 3333, "server.host": None})
    assert config.server.port == 3333
    assert config.inference.budget_ms == 90
    assert config.inference.min_score == 0.5


def test_vitrine_toml_here_is_found_and_vitrine_config_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "[server]\nport = 1111\n")
    other = tmp_path / "other.toml"
    other.write_text("[server]\nport = 2222\n")
    assert load_config(None, {}).server.port == 1111
    assert load_config(None, {"VITRINE_CONFIG": str(other)}).server.port == 2222


def test_text_from_the_environment_becomes_the_type_of_its_key(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "",
        VITRINE_AUTH__VIEWER_TOKENS="true",
        VITRINE_INFERENCE__RUNGS="416, 640x384",
        VITRINE_INFERENCE__MIN_SCORE="0.25",
        VITRINE_INFERENCE__DETECTOR="models/a.onnx",
        VITRINE_SERVER__ORIGINS="https://a.example,https://b.example",
        VITRINE_SOURCES__CAM_1="rtsp://camera/1",
        VITRINE_RTC__PUBLIC_IP="",
    )
    assert config.auth.viewer_tokens is True
    assert config.inference.ladder() == (Rung(416, 416), Rung(640, 384))
    assert config.inference.min_score == 0.25
    assert config.inference.detector == Path("models/a.onnx")
    assert config.server.origins == ("https://a.example", "https://b.example")
    assert config.sources == {"cam_1": Secret("rtsp://camera/1")}
    assert config.rtc.public_ip == ""


def test_further_models_stand_on_the_ladder_with_their_sizes(tmp_path: Path) -> None:
    config = load(tmp_path, "[inference]\nrungs = [416, 'fast.onnx@320', 'fast.onnx@224', 'own.onnx']\n")
    assert config.inference.ladder() == (Rung(416, 416),)
    assert config.inference.others() == {
        Path("fast.onnx"): (Rung(320, 320), Rung(224, 224)),
        Path("own.onnx"): (),
    }


def test_other_variables_with_our_prefix_are_none_of_our_business(tmp_path: Path) -> None:
    # Kubernetes sets these for a service that is called vitrine.
    assert load(tmp_path, "", VITRINE_PORT="tcp://10.0.0.1:80", VITRINE_SERVICE_HOST="10.0.0.1") == Config()


def test_text_in_the_file_is_not_taken_for_a_number(tmp_path: Path) -> None:
    words = refusal(tmp_path, "[server]\nport = '8080'\n")
    assert "vitrine.toml: server.port: Expected int, got str (got '8080')" in words


def test_paths_of_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    text = (
        "[server]\ndata_dir = 'state'\n[inference]\ndetector = '/abs/d.onnx'\n[catalog]\nfeed = 'feed.tsv'\n"
    )
    config = load(tmp_path, text)
    assert config.server.data_dir == tmp_path / "state"
    assert config.inference.detector == Path("/abs/d.onnx")
    assert config.catalog.feed == str(tmp_path / "feed.tsv")
    assert load(tmp_path, "[catalog]\nfeed = 'https://s.example/f.tsv'\n").catalog.feed.startswith("https://")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1\n", "unknown key server.prot. Did you mean 'port'?"),
        ("[server]\nbudget_ms = 1\n", "unknown key server.budget_ms. Did you mean inference.budget_ms?"),
        ("[sevrer]\nport = 1\n", "unknown section [sevrer]. Did you mean 'server'?"),
        ("[zzz]\n", "unknown section [zzz]. Sections: server, rtc"),
        ("[bus]\nzzz = 1\n", "unknown key bus.zzz. Keys: url."),
        ("port = 1\n", "'port' stands outside every section. It belongs under [server]."),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_known_one(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert f"vitrine.toml: {expected}" in refusal(tmp_path, text)


def test_unknown_variables_are_refused_too(tmp_path: Path) -> None:
    words = refusal(tmp_path, "", VITRINE_SERVER__PROT="1")
    assert words == "environment variable VITRINE_SERVER__PROT: unknown key server.prot. Did you mean 'port'?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nport = 70000\n", "server.port: Expected int <= 65535 (got 70000)"),
        ("[server]\ntls = 'of'\n", "server.tls: expected one of off, self-signed, files (got 'of')"),
        ("[server]\ntls = 'files'\n", "server: tls = 'files' needs both cert and key"),
        ("[server]\ncert = 'a.pem'\n", "cert and key are read only with tls = 'files'"),
        (
            "[server]\npublic_url = 'live.example'\n",
            "server.public_url: got 'live.example', expected an http",
        ),
        ("[server]\norigins = ['https://*.example']\n", "without wildcards"),
        ("[server]\norigins = 'https://a.example'\n", "server.origins: Expected array, got str"),
        ("[rtc]\nudp_ports = '9-3'\n", "rtc.udp_ports: got '9-3', expected 'lo-hi'"),
        ("[rtc]\npublic_ip = 'me'\n", "rtc.public_ip: got 'me', expected an IP address"),
        ("[rtc]\nstart_kbps = 5000\n", "start_kbps 5000 is above max_kbps 4000"),
        ("[inference]\nrungs = [100]\n", "inference.rungs: got 100, expected multiples of 32"),
        ("[inference]\nrungs = ['big']\n", "inference.rungs: got 'big', expected a size"),
        ("[inference]\nrungs = ['a.onnx@big']\n", "inference.rungs: got 'big', expected a size"),
        ("[inference]\ndetector = ''\n[server]\nport=1\n", "detector"),
        ("[overlay]\nmax_hotspots = 0\n", "overlay.max_hotspots: Expected int >= 1 (got 0)"),
        ("[catalog]\nshop = 'ftp://x'\n", "expected an http or https address"),
        ("[sources]\n'Bad Name' = 'x'\n", "stream name: got 'Bad Name'"),
        ("[sources]\ncam = ''\n", "source 'cam': got an empty address"),
        ("[republish]\ncam = 'https://x/whip'\n", "republish 'cam': expected an address such as whips://"),
        ("[republish]\n'a b' = 'whip://x/y'\n", "stream name: got 'a b'"),
        ("[playlists]\ncam = 'cdn/x.m3u8'\n", "playlist 'cam': got 'cdn/x.m3u8', expected an http or https"),
        ("[playlists]\ncam = '//cdn/x.m3u8'\n", "playlist 'cam': got '//cdn/x.m3u8', expected an http"),
        ("[playlists]\ncam = 'https://me:pw@cdn/x.m3u8'\n", "an address with a user name, expected none"),
        ("[playlists]\ncam = \"https://a.example; script-src 'none'/x\"\n", "expected a host name"),
        ("[playlists]\n'a b' = '/x.m3u8'\n", "stream name: got 'a b'"),
        ("[server\n", "not valid TOML"),
    ],
)
def test_values_that_cannot_be_used_say_got_and_expected(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refusal(tmp_path, text)


def test_the_error_names_key_and_origin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "", VITRINE_SERVER__PORT="many")
    assert caught.value.key == "server.port"
    assert caught.value.origin == "environment variable VITRINE_SERVER__PORT"
    with pytest.raises(ConfigError, match="command line: server.port"):
        load_config(write(tmp_path, ""), {}, {"server.port": "x"})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere.toml: cannot be read"):
        load_config(tmp_path / "nowhere.toml", {})


SECRETS = {
    "VITRINE_AUTH__PUBLISH_KEY": "publish-geheim",
    "VITRINE_AUTH__SECRET": "signing-geheim-0123456789-0123456789",
    "VITRINE_BUS__URL": "redis://:pw-geheim@localhost",
    "VITRINE_CATALOG__INDEX": "postgresql://me:pw-geheim@localhost/shop",
    "VITRINE_SOURCES__CAM": "rtsp://user:geheim@camera/1",
}


def test_secrets_never_show(tmp_path: Path) -> None:
    config = load(tmp_path, "", **SECRETS)
    assert config.auth.publish_key.reveal() == "publish-geheim"
    for shown in (repr(config), str(config), str(public_view(config)), str(msgspec.structs.asdict(config))):
        assert "geheim" not in shown
    assert public_view(config)["auth"]["publish_key"] == "(set)"


@pytest.mark.parametrize(
    "text",
    [
        "[auth]\npublish_key = 'geheim'\n",
        "[auth]\nsecret = 'geheim-but-short'\n",
        "[bus]\nurl = 'http://geheim@x'\n",
        "[auth]\nhost_key = ['geheim']\n",
        "[catalog]\nindex = 'mysql://me:geheim@x/y'\n",
        "[sources]\nbad = ['geheim']\n",
    ],
)
def test_refused_secrets_do_not_show_either(tmp_path: Path, text: str) -> None:
    assert "geheim" not in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("host", "setting", "expected"),
    [
        ("127.0.0.1", "auto", True),
        ("localhost", "auto", True),
        ("::1", "auto", True),
        ("0.0.0.0", "auto", False),
        ("studio.example", "auto", False),
        ("0.0.0.0", "on", True),
        ("127.0.0.1", "off", False),
    ],
)
def test_loopback_follows_the_host_unless_set(
    tmp_path: Path, host: str, setting: str, expected: bool
) -> None:
    config = load(tmp_path, f"[server]\nhost = '{host}'\n[rtc]\nloopback = '{setting}'\n")
    assert config.loopback is expected
    assert is_loopback("127.8.8.8")


def test_port_range_is_inclusive_and_optional(tmp_path: Path) -> None:
    assert load(tmp_path, "[rtc]\nudp_ports = '50000 - 50100'\n").rtc.port_range() == (50000, 50100)
    assert Config().rtc.port_range() is None


def _cell(default: object) -> str:
    """A default as the table of the documentation writes it."""
    shown = default.reveal() if isinstance(default, Secret) else default
    if shown is None or shown in ("", ()):
        return "-"
    if isinstance(shown, tuple):
        shown = ", ".join(map(str, shown))
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def test_the_documentation_lists_every_key_with_its_default() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    sections = {part.split("]")[0]: part for part in text.split("\n## [")[1:]}
    for section in msgspec.structs.fields(Config):
        part = sections[section.name]
        if section.name in ("sources", "republish", "playlists"):
            continue
        rows = {
            line.split("|")[1].strip(): line.split("|")
            for line in part.splitlines()
            if line.startswith("| `")
        }
        keys = {f"`{key.name}`": key for key in msgspec.structs.fields(section.type)}
        assert set(rows) == set(keys), section.name
        for name, key in keys.items():
            assert rows[name][-3].strip() == _cell(key.default), f"{section.name}.{name}"


def test_the_example_of_the_documentation_is_accepted(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    config = load(tmp_path, example)
    assert config.auth.viewer_tokens and config.inference.ladder()[-1] == Rung(640, 384)


def test_every_stream_is_sent_on_unless_it_has_an_entry_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "v.toml"
    path.write_text(
        "[republish]\n'*' = 'whips://tok@sfu.example/{stream}/whip'\nstage = 'whip://other.example/whip'\n"
    )
    config = load_config(path, env={})
    assert config.republish_to("cam-1") == "whips://tok@sfu.example/cam-1/whip"
    assert config.republish_to("stage") == "whip://other.example/whip"
    assert load_config(None, env={}).republish_to("stage") == ""


def test_a_playlist_is_named_for_one_stream_or_for_all(tmp_path: Path) -> None:
    text = "[playlists]\n'*' = 'https://cdn.example/{stream}/index.m3u8'\nstage = '/hls/stage.m3u8'\n"
    config = load(tmp_path, text)
    assert config.playlist_of("cam-1") == "https://cdn.example/cam-1/index.m3u8"
    assert config.playlist_of("stage") == "/hls/stage.m3u8"
    assert Config().playlist_of("stage") == ""
