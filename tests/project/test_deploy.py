"""The files in deploy/, checked without running containers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from compose_spec import ComposeSpecification
from paths import ROOT

from judge.cli.app import app
from judge.serve.engine.ipc import BackendSpec
from judge.serve.engine.supervisor import Engine
from judge.serve.metrics import Metrics
from judge.serve.service import Service

DEPLOY = ROOT / "deploy"


class ComposeLoader(yaml.SafeLoader):
    """Reads Compose's tags `!override` and `!reset`: a value that replaces the one it is merged with."""


class Replacement:
    def __init__(self, value: Any) -> None:
        self.value = value


def _read_replacement(loader: ComposeLoader, suffix: str, node: yaml.Node) -> Replacement:
    if isinstance(node, yaml.SequenceNode):
        return Replacement(loader.construct_sequence(node, deep=True))
    assert isinstance(node, yaml.MappingNode)
    return Replacement(loader.construct_mapping(node, deep=True))


ComposeLoader.add_multi_constructor("!", _read_replacement)


def read_yaml(name: str) -> Any:
    return yaml.load((DEPLOY / name).read_text("utf-8"), ComposeLoader)  # noqa: S506 - a SafeLoader


def merge(base: Any, above: Any) -> Any:
    """Merge two Compose files as `docker compose --file base --file above` does."""
    if isinstance(above, Replacement):
        return above.value
    if isinstance(base, dict) and isinstance(above, dict):
        return {**base, **{name: merge(base.get(name), value) for name, value in above.items()}}
    return above


COMPOSED = [read_yaml("compose.yaml"), merge(read_yaml("compose.yaml"), read_yaml("compose.cpu.yaml"))]


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    completed = subprocess.run([str(linter), str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_the_dockerfile_copies_existing_files_and_installs_existing_extras() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if re.match(r"COPY (?!--from)", line)]
    assert copied and all((ROOT / name).exists() for names in copied for name in names)
    project_extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extras = [extra for found in re.findall(r"/source\[([\w,-]+)\]", text) for extra in found.split(",")]
    assert len(extras) == 8 and set(extras) <= set(project_extras)
    assert set(re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE)) >= {"cpu", "cuda"}


@pytest.mark.parametrize("composed", COMPOSED, ids=["gpu", "cpu"])
def test_compose_files_match_their_schema(composed: dict[str, Any]) -> None:
    specification = ComposeSpecification.model_validate(composed)
    assert {"engine", "gateway", "prometheus", "grafana"} <= set(specification.services)
    for service in composed["services"].values():
        mounted = [volume.split(":")[0] for volume in service.get("volumes", [])]
        assert all((DEPLOY / path).exists() for path in mounted if path.startswith("."))


@pytest.mark.parametrize("composed", COMPOSED, ids=["gpu", "cpu"])
def test_the_gateways_command_is_valid_for_judge(composed: dict[str, Any]) -> None:
    gateway = composed["services"]["gateway"]
    commands: Any = typer.main.get_command(app)
    name, *arguments = gateway["command"]
    options = commands.commands[name].make_context(name, list(arguments)).params
    assert options["host"] == "0.0.0.0"  # noqa: S104
    assert str(options["keys"]) == f"/run/secrets/{gateway['secrets'][0]}"
    assert gateway["ports"] == [f"8000:{options['port']}"]
    if options["backend"] == "openai":
        engine = composed["services"]["engine"]
        assert f"--served-model-name={options['model']}" in engine["command"]
        port = next(word.partition("=")[2] for word in engine["command"] if word.startswith("--port"))
        assert options["base_url"] == f"http://engine:{port}/v1"
    else:
        assert gateway["depends_on"] == {}, "there is no engine to wait for"


@pytest.mark.slow
def test_the_engines_command_is_valid_for_vllm() -> None:
    code = (
        "import sys\n"
        "from judge.backends.torchvision_compat import patch_imports; patch_imports()\n"
        "from vllm.entrypoints.launchers.cli_args import make_arg_parser\n"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "print(make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:]).served_model_name)\n"
    )
    _, *options = COMPOSED[0]["services"]["engine"]["command"]
    completed = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr[-2000:]
    assert completed.stdout.splitlines()[-1] == "['judge']"


def test_prometheus_scrapes_the_ports_of_the_services() -> None:
    jobs = {job["job_name"]: job for job in read_yaml("prometheus.yaml")["scrape_configs"]}
    targets = [target for job in jobs.values() for one in job["static_configs"] for target in one["targets"]]
    assert targets == ["gateway:8000", "engine:8001"]
    secret = jobs["judge"]["authorization"]["credentials_file"].rpartition("/")[2]
    assert secret in COMPOSED[0]["services"]["prometheus"]["secrets"]
    assert secret in COMPOSED[0]["secrets"]


def test_the_dashboard_uses_metrics_that_the_gateway_exports() -> None:
    board = json.loads((DEPLOY / "grafana/judge.json").read_text("utf-8"))
    service = Service(Engine(BackendSpec("judge.backends.scripted:Scripted")))
    service.verdict_counts["default", "verdict", "scored"] += 1
    metrics = Metrics(service)
    metrics.record_request("/v1/verdicts", 200, 0.1)
    exported = set(re.findall(r"^(judge_\w+?)(?:\{| )", metrics.render().decode(), re.MULTILINE))
    used = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\bjudge_\w+", target["expr"])
    }
    assert len(used) >= 7 and used <= exported
    positions = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(positions)) == len(positions)
    sources = {
        source["uid"]
        for source in read_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    }
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == sources


def test_the_kuberay_manifest_matches_its_schemas() -> None:
    from ray.serve.schema import ServeDeploySchema

    service = read_yaml("kuberay.yaml")
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    cluster = service["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == metadata.version("ray")
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a"},
            "spec": group["template"]["spec"],
        }
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        mounts = {mount["name"] for one in pod["spec"]["containers"] for mount in one["volumeMounts"]}
        assert mounts <= volumes

    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    [application] = config.applications
    module, _, name = application.import_path.partition(":")
    ray_serve: Any = import_module(module)
    assert callable(getattr(ray_serve, name))
    options = ray_serve.ApplicationOptions.model_validate(application.args)
    assert options.largest == cluster["workerGroupSpecs"][0]["maxReplicas"]
    paths = {mount["mountPath"] for mount in groups[0]["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert str(options.keys.parent) in paths
