"""A client that openapi-python-client makes of the OpenAPI document, and what it sends and reads."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_clients import CLIENTS
from serving import Gateway, data_url, png

PACKAGE = "generated_judge"


@pytest.fixture(scope="module")
def folder(running: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a client made of a running gateway's document, without a warning of the generator."""
    if not (CLIENTS / "openapi_python_client").is_dir():
        pytest.skip(f"openapi-python-client is not in {CLIENTS}: run make")
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_text(running.get("/openapi.json").text)
    command = [
        sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--meta", "none",
        "--output-path", str(folder / PACKAGE), "--fail-on-warning",
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it formats with ruff
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(CLIENTS), "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def client(folder: Path, running: Gateway) -> Iterator[Any]:
    with importlib.import_module(f"{PACKAGE}.client").Client(base_url=running.url, timeout=60) as client:
        yield client


def route(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.api.judging.{name}")


def test_it_asks_for_a_verdict_in_json_and_reads_every_field(folder: Path, client: Any) -> None:
    models = importlib.import_module(f"{PACKAGE}.models")
    body = models.VerdictRequest(image=data_url(), prompt="a red circle", elements=["red circle"], id=7)
    verdict = route("verdicts").sync(client=client, body=body)
    assert isinstance(verdict, models.Verdict) and verdict.id == "7"
    assert verdict.status is models.VerdictStatus.SCORED and 1 <= verdict.score <= 5
    assert verdict.elements[0].name == "red circle" and verdict.provenance.rubric == "default"
    assert json.dumps(verdict.to_dict())


def test_it_sends_a_file_in_a_form(folder: Path, client: Any) -> None:
    models, types = (importlib.import_module(f"{PACKAGE}.{name}") for name in ("models", "types"))
    image = types.File(payload=png(), file_name="a.png", mime_type="image/png")
    body = models.VerdictForm(image=image, rubric=models.VerdictFormRubric.QUALITY, max_elements=3)
    response = route("verdicts").sync_detailed(client=client, body=body)
    assert response.status_code == 200, response.content
    assert response.parsed.provenance.rubric == "quality"


def test_it_asks_for_scores_and_reads_unscored_rows(folder: Path, client: Any) -> None:
    models = importlib.import_module(f"{PACKAGE}.models")
    rows = [models.Row(image=data_url(), prompt="a cat", id="a"), models.Row(prompt="no image", id="b")]
    scores = route("scores").sync(client=client, body=models.ScoresRequest(rows=rows))
    assert scores.scores[0] >= 1 and scores.scores[1] is None
    assert [verdict.id for verdict in scores.verdicts] == ["a", "b"] and scores.verdicts[1].reason


def test_it_compares_lists_rubrics_and_reads_errors(folder: Path, client: Any) -> None:
    models = importlib.import_module(f"{PACKAGE}.models")
    body = models.CompareRequest(a=data_url(), b=data_url(png(color="red")), prompt="a cat")
    comparison = route("compare").sync(client=client, body=body)
    assert comparison.how is models.ComparisonHow.POINTWISE and comparison.a.id == "a"
    rubrics = route("rubrics").sync(client=client)
    assert len(rubrics.rubrics) == len(list(models.VerdictRequestRubric))
    refused = route("verdicts").sync(client=client, body=models.VerdictRequest(image=data_url()))
    assert isinstance(refused, models.Error) and refused.error.field == "prompt"


def test_its_types_check(folder: Path) -> None:
    use = folder / "use.py"
    use.write_text(f"""
from {PACKAGE}.api.judging import scores, verdicts
from {PACKAGE}.client import Client
from {PACKAGE}.models import Error, Row, Scores, ScoresRequest, Verdict, VerdictRequest

client = Client(base_url="http://127.0.0.1:8000")
verdict = verdicts.sync(client=client, body=VerdictRequest(image="data:", prompt="a cat", id=1))
if isinstance(verdict, Verdict) and isinstance(verdict.score, float):
    print(verdict.score + 1, verdict.provenance.model.upper())
elif isinstance(verdict, Error):
    print(verdict.error.mend.upper())
found = scores.sync(client=client, body=ScoresRequest(rows=[Row(image="data:", elements=["a", "b"])]))
numbers: list[float | None] = found.scores if isinstance(found, Scores) else []
""")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--follow-imports=silent",
        "--cache-dir",
        str(folder),
        str(use),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
