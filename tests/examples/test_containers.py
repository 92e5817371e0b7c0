"""The files of examples/containers/, as far as they can be checked without an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_helicone.settings.bridge import BridgeSettings, make_bridge_settings
from otel_helicone.settings.reading import SettingError
from tests.integration.collectors import find_collector, free_port

ROOT = Path(__file__).parents[2]
CONTAINERS = ROOT / "examples" / "containers"
MANIFESTS = sorted((CONTAINERS / "kubernetes").glob("*.yaml"))
BALANCING = ROOT / "examples" / "collector" / "load-balancing.yaml"
NOBODY = 65534
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
BRIDGE_IMAGE = "otel-helicone-bridge"
SPOOL_FOLDER = "/var/lib/otel-helicone"
A_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")


class Environment(Mapping[str, str]):
    """Environment variables that know which of them were looked at."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def bridge_with(variables: Mapping[str, str], *arguments: str) -> BridgeSettings:
    """Give the settings of a container; every variable has to be one that the bridge reads."""
    environment = Environment({**image_environment(), **variables})
    settings = make_bridge_settings(
        allow_anonymous="--allow-anonymous" in arguments, environ=environment
    )
    assert set(variables) <= environment.read
    assert str(settings.spool.parent) == SPOOL_FOLDER
    return settings


# The Dockerfile


def stages() -> list[list[tuple[str, str]]]:
    """Give the instructions of each stage, as pairs of a word and what follows it."""
    lines = (CONTAINERS / "Dockerfile").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    found: list[list[tuple[str, str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        if word and found:
            found[-1].append((word, rest.strip()))
    return found


def last_of(stage: list[tuple[str, str]], word: str) -> str:
    return [rest for name, rest in stage if name == word][-1]


def image_environment() -> dict[str, str]:
    words = [word for name, rest in stages()[-1] if name == "ENV" for word in rest.split()]
    pairs = [word.partition("=") for word in words]
    return {name: value for name, _, value in pairs if name != "PATH"}


def copied() -> list[str]:
    """Give what the Dockerfile takes from the repository."""
    return [
        source
        for stage in stages()
        for name, rest in stage
        if name == "COPY" and not rest.startswith("--from=")
        for source in rest.split()[:-1]
    ]


def health_check() -> list[str]:
    command = last_of(stages()[-1], "HEALTHCHECK").partition("CMD ")[2]
    words: list[str] = json.loads(command)
    return words


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (CONTAINERS / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied())
    for source in copied():
        assert (ROOT / source).exists()


def test_the_image_runs_as_nobody_who_owns_the_spool() -> None:
    final = stages()[-1]
    assert [name for name, _ in final].count("USER") == 1
    assert last_of(final, "USER") == f"{NOBODY}:{NOBODY}"
    assert last_of(final, "VOLUME") == SPOOL_FOLDER
    made = last_of(final, "RUN").split()
    assert made[:2] == ["install", "--directory"]
    assert {f"--owner={NOBODY}", f"--group={NOBODY}", "--mode=0700", SPOOL_FOLDER} <= set(made)


def test_the_last_stage_installs_nothing() -> None:
    build, final = stages()
    assert build[0][1].removesuffix(" AS build") == final[0][1] == "${PYTHON_IMAGE}"
    pinned = re.search(r"^ARG PYTHON_IMAGE=(.+)$", (CONTAINERS / "Dockerfile").read_text(), re.M)
    assert pinned
    assert re.fullmatch(r"python:3\.13-slim-[a-z]+", pinned[1])
    for name, rest in final:
        assert not (name == "RUN" and re.search(r"\b(pip|apt-get|apt)\b", rest))
        assert not (name == "COPY" and not rest.startswith("--from=build /opt/otel-helicone "))


def test_the_image_alone_does_not_let_strangers_in() -> None:
    with pytest.raises(SettingError, match="HELICONE_BRIDGE_TOKEN"):
        bridge_with({"HELICONE_API_KEY": KEY})
    assert bridge_with({"HELICONE_API_KEY": KEY}, "--allow-anonymous").host == "0.0.0.0"
    assert bridge_with({"HELICONE_API_KEY": KEY, "HELICONE_BRIDGE_TOKEN": "x"}).port == 4319


def test_no_file_has_a_secret() -> None:
    for name, rest in (pair for stage in stages() for pair in stage):
        assert not (name in ("ARG", "ENV") and A_SECRET.search(rest))
    for path in CONTAINERS.rglob("*.*"):
        # Keys of Helicone have this shape; documents have dots instead.
        assert not re.search(r"sk-helicone-\w", path.read_text("utf-8")), path


def test_the_image_has_the_versions_of_the_tests(tmp_path: Path) -> None:
    """The command that takes the hashes away leaves one pin a line, for all of the extra."""
    shutil.copy(ROOT / "requirements" / "test.txt", tmp_path)
    (command,) = (rest for name, rest in stages()[0] if name == "RUN" and rest.startswith("sed "))
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    lines = (tmp_path / "constraints.txt").read_text("utf-8").splitlines()
    pins = [re.fullmatch(r"([a-z0-9.-]+)==[\w.]+( ; .+)?", line) for line in lines]
    assert all(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["bridge"]]
    names = {re.split(r"[>;]", one)[0].replace(".", "-") for one in needed}
    assert names <= {pin[1].replace(".", "-") for pin in pins if pin}


def test_what_is_copied_makes_a_bridge_that_starts_is_healthy_and_stops(tmp_path: Path) -> None:
    sources, installed = tmp_path / "sources", tmp_path / "installed"
    sources.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, sources)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=sources,
        check=True,
        capture_output=True,
    )
    (wheel,) = (sources / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    port = free_port()
    environment = {
        **os.environ,
        **image_environment(),
        "PYTHONPATH": str(installed),
        "HELICONE_API_KEY": KEY,
        "HELICONE_BRIDGE_HOST": "127.0.0.1",
        "HELICONE_BRIDGE_PORT": str(port),
        "HELICONE_BRIDGE_GRPC_PORT": "0",
        "HELICONE_BRIDGE_SPOOL": str(tmp_path / "spool" / "bridge.db"),
        # Nothing listens there: a check that asked a proxy would fail.
        "http_proxy": f"http://127.0.0.1:{free_port()}",
    }
    check = [sys.executable, *health_check()[1:]]

    def is_healthy() -> bool:
        return subprocess.call(check, env=environment, stderr=subprocess.DEVNULL) == 0

    assert not is_healthy()
    program, *arguments = json.loads(last_of(stages()[-1], "ENTRYPOINT"))
    assert program == "otel-helicone"
    code = "import sys; from otel_helicone import cli; print(cli.__file__); sys.exit(cli.main())"
    bridge = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stdout=subprocess.PIPE
    )
    with bridge:
        try:
            end = time.monotonic() + 60
            while not is_healthy():
                assert time.monotonic() < end
                assert bridge.poll() is None
            bridge.send_signal(signal.SIGTERM)
            output, _ = bridge.communicate(timeout=60)
        finally:
            bridge.kill()
    assert bridge.returncode == 0
    assert output.startswith(str(installed).encode())
    assert (tmp_path / "spool" / "bridge.db").exists()


# YAML files


def documents(path: Path) -> list[Any]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def collector_version() -> str:
    found = re.search(
        r"^  version: (\S+)$",
        (ROOT / "tests/integration/collector/builder.yaml").read_text("utf-8"),
        re.M,
    )
    assert found
    return found[1]


def test_compose_gives_the_bridge_settings_that_it_takes() -> None:
    (compose,) = documents(CONTAINERS / "compose.yaml")
    bridge = compose["services"]["bridge"]
    outside = {"HELICONE_API_KEY": KEY}
    variables = {}
    for name, value in bridge["environment"].items():
        taken = re.fullmatch(r"\$\{(\w+)(?::-(.*)|:\?.+)\}", value)
        assert taken, "every value comes from outside"
        variables[name] = outside.get(taken[1], taken[2])
    settings = bridge_with(variables, *bridge["command"])
    assert settings.exporter.api_key == KEY
    assert bridge["volumes"] == [f"spool:{SPOOL_FOLDER}"]
    assert "spool" in compose["volumes"]
    built = bridge["build"]
    assert (CONTAINERS / built["context"]).resolve() == ROOT
    assert ROOT / built["dockerfile"] == CONTAINERS / "Dockerfile"


def test_in_compose_only_the_collector_reaches_the_bridge() -> None:
    (compose,) = documents(CONTAINERS / "compose.yaml")
    services = compose["services"]
    assert "ports" not in services["bridge"]
    assert set(services["bridge"]["networks"]) & set(services["collector"]["networks"]) == {"spans"}
    assert compose["networks"]["spans"] == {"internal": True}
    for port in services["collector"]["ports"]:
        assert port.startswith("127.0.0.1:")


def test_containers_of_compose_may_do_nothing_special() -> None:
    (compose,) = documents(CONTAINERS / "compose.yaml")
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    image = compose["services"]["collector"]["image"]
    assert image == f"otel/opentelemetry-collector-contrib:{collector_version()}"


def test_the_collector_of_compose_sends_to_the_bridge_without_an_end() -> None:
    (compose,) = documents(CONTAINERS / "compose.yaml")
    (collector,) = documents(CONTAINERS / "collector.yaml")
    mounted, _, _ = compose["services"]["collector"]["volumes"][0].partition(":")
    assert (CONTAINERS / mounted).resolve() == CONTAINERS / "collector.yaml"
    exporter = collector["exporters"]["otlphttp/helicone"]
    assert exporter["endpoint"] == "http://bridge:4319"
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    taken = bridge_with({"HELICONE_API_KEY": KEY}, "--allow-anonymous").max_request_bytes
    assert exporter["sending_queue"]["batch"]["max_size"] < taken


# Kubernetes


def of_kind(name: str, kind: str) -> Any:
    (found,) = (one for one in documents(CONTAINERS / "kubernetes" / name) if one["kind"] == kind)
    return found


def pods() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Give the Pod of each manifest, and its containers other than the user's own."""
    found = []
    for name, kind in (("sidecar.yaml", "Deployment"), ("gateway.yaml", "StatefulSet")):
        pod = of_kind(name, kind)["spec"]["template"]["spec"]
        containers = [*pod.get("initContainers", []), *pod["containers"]]
        found.append((pod, [one for one in containers if one["name"] != "application"]))
    return found


def the_bridge(pod: dict[str, Any]) -> dict[str, Any]:
    """Give the container of the bridge; beside others it starts first and ends last."""
    (found,) = (
        one
        for one in [*pod.get("initContainers", []), *pod["containers"]]
        if one["image"] == BRIDGE_IMAGE
    )
    if len(pod["containers"]) > 1 or found not in pod["containers"]:
        assert found in pod["initContainers"]
        assert found["restartPolicy"] == "Always"
    bridge: dict[str, Any] = found
    return bridge


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


@pytest.mark.integration
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_kubernetes_knows_every_field(path: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    for document in documents(path):
        for version in ("1.29", validate.latest_version()):
            validate.validate(document, version, strict=True)


def test_kubernetes_gives_the_bridge_settings_that_it_takes() -> None:
    hosts = []
    for pod, _ in pods():
        bridge = the_bridge(pod)
        variables = {one["name"]: one.get("value", KEY) for one in bridge["env"]}
        settings = bridge_with(variables)
        hosts.append(settings.host)
        (mount,) = bridge["volumeMounts"]
        assert mount["mountPath"] == SPOOL_FOLDER
    assert hosts == ["127.0.0.1", "0.0.0.0"]


def test_secrets_of_kubernetes_are_named_and_not_told() -> None:
    seen = set()
    for path in MANIFESTS:
        assert "Secret" not in {document["kind"] for document in documents(path)}
    for _, containers in pods():
        for one in (variable for container in containers for variable in container["env"]):
            if A_SECRET.search(one["name"]):
                assert "value" not in one
                seen.add((one["valueFrom"]["secretKeyRef"]["name"], one["name"]))
    assert seen == {("helicone", "HELICONE_API_KEY"), ("helicone", "HELICONE_BRIDGE_TOKEN")}


def test_containers_of_kubernetes_may_do_nothing_special() -> None:
    for pod, containers in pods():
        for container in containers:
            context = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert context["runAsNonRoot"] is True
            assert (context["runAsUser"], context["runAsGroup"]) == (NOBODY, NOBODY)
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_the_sidecar_never_makes_the_application_unready() -> None:
    """A spool that is full must not take the application out of service."""
    bridge = the_bridge(pods()[0][0])
    assert "readinessProbe" not in bridge
    for probe in ("startupProbe", "livenessProbe"):
        python, flags, code = bridge[probe]["exec"]["command"]
        assert (python, flags) == ("python", "-ISc")
        compile(code, probe, "exec")
        assert "'http://127.0.0.1:4319/healthz'" in code


def test_the_gateway_is_alive_while_it_runs_and_ready_while_it_takes_spans() -> None:
    bridge = the_bridge(pods()[1][0])
    paths = {
        name: bridge[name]["httpGet"]["path"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    for container in pods()[1][1]:
        ports = {port["name"] for port in container["ports"]}
        assert {container[name]["httpGet"]["port"] for name in paths if name in container} <= ports


def test_each_spool_has_room_on_a_volume_of_its_own() -> None:
    sidecar, gateway = (pod for pod, _ in pods())
    (empty,) = sidecar["volumes"]
    (claim,) = of_kind("gateway.yaml", "StatefulSet")["spec"]["volumeClaimTemplates"]
    sizes = (
        (sidecar, empty["name"], empty["emptyDir"]["sizeLimit"]),
        (gateway, claim["metadata"]["name"], claim["spec"]["resources"]["requests"]["storage"]),
    )
    for pod, volume, size in sizes:
        bridge = the_bridge(pod)
        assert bridge["volumeMounts"][0]["name"] == volume
        variables = {one["name"]: one.get("value") for one in bridge["env"]}
        assert mebibytes(size) >= 2 * int(variables["HELICONE_BRIDGE_MAX_SPOOL_MIB"])


def test_a_pod_has_more_time_to_end_than_the_bridge_takes() -> None:
    sidecar, gateway = (pod for pod, _ in pods())
    _, seconds = the_bridge(sidecar)["lifecycle"]["preStop"]["exec"]["command"]
    # Two times five seconds are the bridge's own, for requests and for logs.
    assert sidecar["terminationGracePeriodSeconds"] >= int(seconds) + 30
    assert gateway["terminationGracePeriodSeconds"] >= 30


def test_the_parts_of_the_gateway_mean_the_same_pods() -> None:
    bridges = of_kind("gateway.yaml", "StatefulSet")
    service = of_kind("gateway.yaml", "Service")
    labels = bridges["spec"]["template"]["metadata"]["labels"]
    policy = of_kind("gateway.yaml", "NetworkPolicy")
    budget = of_kind("gateway.yaml", "PodDisruptionBudget")
    assert service["spec"]["selector"] == labels
    assert bridges["spec"]["selector"]["matchLabels"] == labels
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["clusterIP"] == "None"
    assert bridges["spec"]["serviceName"] == service["metadata"]["name"]
    open_ports = {port["port"] for port in policy["spec"]["ingress"][0]["ports"]}
    assert open_ports == {port["port"] for port in service["spec"]["ports"]} == {4317, 4319}
    readme = (CONTAINERS / "README.md").read_text("utf-8")
    for number in range(bridges["spec"]["replicas"]):
        host = f"{bridges['metadata']['name']}-{number}.{service['metadata']['name']}"
        assert f"OTEL_HELICONE_BRIDGE_{number + 1}={host}." in readme
        assert f"env:OTEL_HELICONE_BRIDGE_{number + 1}:-" in BALANCING.read_text("utf-8")


@pytest.mark.integration
def test_the_real_collector_takes_its_configuration() -> None:
    outcome = subprocess.run(
        [str(find_collector()), "validate", f"--config={CONTAINERS / 'collector.yaml'}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
