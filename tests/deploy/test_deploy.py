"""What `deploy/` holds fits the engine, and the tools that read it accept it, where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from vitrine.config import load_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
METRICS = set(re.findall(r'"(vitrine_[a-z_]+)"', (ROOT / "vitrine" / "metrics.py").read_text()))
_APPLIED = ("namespace", "redis", "vitrine", "gateway", "autoscaling")
SUFFIXES = ("", "_total", "_bucket", "_count", "_sum", "_info")


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def accepted(command: Sequence[object], **options: Any) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return str(done.stdout) + str(done.stderr)


def documents(path: Path) -> list[Any]:
    if importlib.util.find_spec("yaml") is None:
        pytest.skip("PyYAML is not installed")
    return [one for one in importlib.import_module("yaml").safe_load_all(path.read_text()) if one is not None]


def compose() -> Any:
    return documents(DEPLOY / "compose.yaml")[0]


def manifests() -> dict[tuple[str, str], Any]:
    files = [f"{name}.yaml" for name in _APPLIED if name != "autoscaling"]
    found = [one for file in files for one in documents(DEPLOY / "kubernetes" / file)]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def pods() -> Iterator[tuple[str, Any]]:
    for (kind, name), one in manifests().items():
        if kind == "StatefulSet":
            yield name, one["spec"]["template"]["spec"]


# ---- settings, figures: no tool needed -------------------------------------------------------------------


@pytest.mark.parametrize("file", ["vitrine.toml", "kubernetes/vitrine.toml"])
def test_settings_are_understood(file: str) -> None:
    config = load_config(DEPLOY / file, env={})
    assert (config.server.host, config.server.port) == ("0.0.0.0", 8080)
    assert str(config.server.data_dir) == "/var/lib/vitrine"
    assert config.rtc.udp_ports == "50000-50100"


def expressions() -> list[str]:
    board = json.loads((DEPLOY / "grafana" / "vitrine.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [board["templating"]["list"][0]["query"]["query"]]
    return [*found, (DEPLOY / "prometheus" / "alerts.yml").read_text()]


def test_dashboard_and_alerts_ask_for_metrics_that_exist() -> None:
    asked = {name for text in expressions() for name in re.findall(r"\bvitrine_[a-z_]+", text)}
    exist = {name + suffix for name in METRICS for suffix in SUFFIXES}
    assert len(asked) >= 10
    assert asked - exist == set()


def test_dashboard_panels_do_not_overlap() -> None:
    panels = json.loads((DEPLOY / "grafana" / "vitrine.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})


def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def test_image_runs_as_nobody_in_particular_and_says_whether_it_is_well() -> None:
    last = dockerfile().split("\nFROM ")[-1]
    user = re.search(r"^USER (\S+)", last, re.MULTILINE)
    assert user is not None and user[1] not in ("root", "0", "0:0")
    assert "/healthz" in last and '"/healthz"' in (ROOT / "vitrine" / "http_api.py").read_text()
    assert 'ENTRYPOINT ["vitrine"]' in last


def test_everything_the_image_copies_is_there_and_reaches_the_builder() -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), re.MULTILINE)
    names = [name for copy in copies for name in copy.split()]
    assert len(names) >= 9
    for name in names:
        assert (ROOT / name).exists() and f"!{name}" in ignore, name


def test_image_knows_two_devices_and_refuses_others() -> None:
    build = dockerfile().split("\nFROM ")[1]
    assert "ARG DEVICE=cpu" in build
    case = build[build.index("case ") : build.index("esac")]
    assert all(word in case for word in ("cpu)", "gpu)", "*)", "exit 1"))


def test_service_starts_a_command_that_exists_with_options_that_exist() -> None:
    unit = (DEPLOY / "vitrine.service").read_text()
    assert re.search(r"^User=vitrine$", unit, re.MULTILINE)
    starts = re.findall(r"^ExecStart(?:Pre)?=\S+/vitrine (.+)$", unit, re.MULTILINE)
    assert starts == ["check /etc/vitrine/vitrine.toml", "serve -c /etc/vitrine/vitrine.toml --log-json"]


def test_the_operations_page_names_every_part() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    parts = {path.name for path in DEPLOY.iterdir()} - {".env", ".gitignore", "Dockerfile.dockerignore"}
    helpers = {"env.example", "mediamtx.yml", "vitrine.toml"}  # parts of compose.yaml
    assert [part for part in parts - helpers if part not in page] == []


# ---- compose and Kubernetes, as data ---------------------------------------------------------------------


def test_compose_gives_vitrine_settings_that_are_understood() -> None:
    service = compose()["services"]["vitrine"]
    env = {
        name: re.sub(r"\$\{[^}]*\}", "", value) or ("x" * 32 if "__PUBLIC_" not in name else "")
        for name, value in service["environment"].items()
    }
    config = load_config(DEPLOY / "vitrine.toml", env=env)
    assert config.bus.url.reveal() == "redis://redis:6379/0"
    lo_hi = config.rtc.udp_ports
    assert service["ports"] == [f"{config.server.port}:8080/tcp", f"{lo_hi}:{lo_hi}/udp"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]


def test_compose_mounts_files_that_exist_and_volumes_that_are_declared() -> None:
    whole = compose()
    assert set(whole["services"]) == {"vitrine", "redis", "mediamtx", "prometheus", "grafana"}
    for name, service in whole["services"].items():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            there = (DEPLOY / source).exists() if source.startswith(".") else source in whole["volumes"]
            assert there, f"{name}: {mount}"


def test_compose_asks_for_variables_that_the_example_lists() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    listed = set(re.findall(r"^(\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert asked == listed - {"COMPOSE_PROJECT_NAME"}


def test_mediamtx_is_told_what_it_knows() -> None:
    """MediaMTX refuses unknown names, and yes and no as booleans; its binary is in no registry we use."""
    config = documents(DEPLOY / "mediamtx.yml")[0]
    switches = {"rtsp", "rtmp", "srt", "webrtc", "hls"}
    assert set(config) == switches | {"logLevel", "rtspTransports", "paths"}
    assert all(isinstance(config[name], bool) for name in switches)
    text = (DEPLOY / "mediamtx.yml").read_text()
    assert re.findall(r":\s+(?:yes|no|on|off)\b", text) == []
    assert config["rtspTransports"] == ["tcp"] and config["logLevel"] in ("error", "warn", "info", "debug")


def test_source_of_the_example_is_a_path_of_mediamtx() -> None:
    paths = documents(DEPLOY / "mediamtx.yml")[0]["paths"]
    sources = load_config(DEPLOY / "vitrine.toml", env={}).sources
    assert {str(name) for name in sources} == set(paths) == {"stage"}


def test_pods_run_without_root_and_are_probed() -> None:
    found = dict(pods())
    assert set(found) == {"vitrine", "gateway", "redis"}
    for name, pod in found.items():
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, name
        for container in pod["containers"]:
            assert {"readinessProbe", "livenessProbe"} <= set(container), name
            assert container["resources"]["limits"]["memory"], name
    vitrine = found["vitrine"]["containers"][0]
    assert (
        vitrine["startupProbe"]["httpGet"]["path"]
        == vitrine["livenessProbe"]["httpGet"]["path"]
        == "/healthz"
    )
    assert vitrine["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert vitrine["ports"][0]["containerPort"] == 8080


def test_pods_take_roles_that_exist_and_names_of_their_own() -> None:
    roles = {}
    for name, pod in pods():
        args = pod["containers"][0].get("args", ())
        if "--role" in args:
            env = {one["name"]: one for one in pod["containers"][0]["env"]}
            assert env["VITRINE_FLEET__NODE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
            roles[name] = args[args.index("--role") + 1]
            values = {
                key: one["value"] for key, one in env.items() if key.startswith("VITRINE_") and "value" in one
            }
            values = {key: value.replace("$(HOST_IP)", "10.0.0.5") for key, value in values.items()}
            config = load_config(DEPLOY / "kubernetes" / "vitrine.toml", values, {"fleet.role": roles[name]})
            assert not config.bus.alone
    assert roles == {"vitrine": "ingest", "gateway": "gateway"}


def test_pods_grow_with_figures_that_exist_and_ingest_never_shrinks_under_a_stream() -> None:
    asked = set()
    for one in documents(DEPLOY / "kubernetes" / "autoscaling.yaml"):
        target = one["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in manifests()
        asked |= {m["pods"]["metric"]["name"] for m in one["spec"]["metrics"] if m["type"] == "Pods"}
        if target["name"] == "vitrine":
            assert one["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
    rules = documents(DEPLOY / "kubernetes" / "adapter.yaml")[0]["rules"]["custom"]
    assert asked == {rule["seriesQuery"].split("{")[0] for rule in rules}
    assert asked == {"vitrine_node_viewers", "vitrine_node_streams"}
    assert asked <= METRICS


def test_services_select_the_pods_there_are() -> None:
    for (kind, name), one in manifests().items():
        if kind == "Service":
            labels = manifests()["StatefulSet", name]["spec"]["template"]["metadata"]["labels"]
            assert one["spec"]["selector"].items() <= labels.items()


def test_mounts_of_pods_have_volumes() -> None:
    for name, pod in pods():
        claims = manifests()["StatefulSet", name]["spec"]["volumeClaimTemplates"]
        volumes = {one["name"] for one in pod.get("volumes", ())} | {
            one["metadata"]["name"] for one in claims
        }
        mounted = {mount["name"] for one in pod["containers"] for mount in one["volumeMounts"]}
        assert mounted == volumes


# ---- the tools that read them ----------------------------------------------------------------------------


def test_compose_file_is_accepted(tmp_path: Path) -> None:
    composes = ["docker", "compose"], ["docker-compose"]
    compose = next((words for words in composes if _answers([*words, "version"])), None)
    if compose is None:
        pytest.skip("neither docker compose nor docker-compose is installed")
    filled = re.sub(
        r"^(\w*(?:KEY|SECRET|PASSWORD))=$", r"\1=x", (DEPLOY / "env.example").read_text(), flags=re.M
    )
    (tmp_path / "env").write_text(filled)
    accepted([*compose, "--env-file", tmp_path / "env", "-f", DEPLOY / "compose.yaml", "config", "-q"])


def _answers(command: list[str]) -> bool:
    return (
        shutil.which(command[0]) is not None and not subprocess.run(command, capture_output=True).returncode
    )


def test_prometheus_understands_every_question_of_the_dashboard(tmp_path: Path) -> None:
    rules = []
    for number, panel in enumerate(json.loads((DEPLOY / "grafana" / "vitrine.json").read_text())["panels"]):
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "1m").replace("$stream", ".*")
            assert "$" not in expr, "a variable that Prometheus would not know"
            rules.append({"record": f"panel:{number}", "expr": expr, "labels": {"of": target["refId"]}})
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    told = accepted([tool("promtool"), "check", "rules", tmp_path / "rules.yml"])
    assert f"{len(rules)} rules found" in told and len(rules) >= 15


def test_hadolint_finds_nothing_in_the_dockerfile_but_what_is_meant() -> None:
    meant = ("DL3008", "DL4006")  # the newest compiler of that Debian; a pipe whose first end cannot fail
    accepted([tool("hadolint"), *(f"--ignore={rule}" for rule in meant), DEPLOY / "Dockerfile"])


def test_manifests_follow_the_schemas_of_kubernetes() -> None:
    validate = tool("kubernetes-validate")
    files = [DEPLOY / "kubernetes" / f"{name}.yaml" for name in _APPLIED]
    accepted([validate, "--strict", "-k", "1.31", *files])


def test_prometheus_accepts_its_configuration_and_the_alerts_fire_when_they_should() -> None:
    promtool, folder = tool("promtool"), DEPLOY / "prometheus"
    accepted([promtool, "check", "config", "--syntax-only", folder / "prometheus.yml"])
    assert "5 rules found" in accepted([promtool, "check", "rules", folder / "alerts.yml"])
    accepted([promtool, "test", "rules", "tests.yml"], cwd=folder)


def test_caddy_accepts_its_file(tmp_path: Path) -> None:
    command = [tool("caddy"), "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"]
    accepted(command, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    nginx, text = tool("nginx"), (DEPLOY / "nginx.conf").read_text()
    text = re.sub(r"listen 443 ssl", "listen 127.0.0.1:18443", text)  # there is no certificate here
    text = re.sub(r"^\s*ssl_certificate.*$", "", text, flags=re.MULTILINE)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    text = text.replace("http {", f"http {{ access_log off; {folders}", 1)
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/nginx.pid;\n{text}")
    accepted([nginx, "-t", "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf"])


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    unit = re.sub(r"/opt/vitrine/\.venv/bin/vitrine", "/bin/true", (DEPLOY / "vitrine.service").read_text())
    (tmp_path / "vitrine.service").write_text(unit)
    assert accepted([analyze, "verify", "--man=no", tmp_path / "vitrine.service"]).strip() == ""


def test_kubectl_puts_the_manifests_together() -> None:
    made = accepted([tool("kubectl"), "kustomize", DEPLOY / "kubernetes"])
    kinds = re.findall(r"^kind: (\w+)$", made, re.MULTILINE)
    parts = ["ConfigMap", *["HorizontalPodAutoscaler"] * 2, "Namespace"]
    parts += [*["Service"] * 3, *["StatefulSet"] * 3]
    assert sorted(kinds) == parts
    assert made.count("namespace: vitrine") == 9
