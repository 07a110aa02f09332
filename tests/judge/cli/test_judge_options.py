"""`--option` and `--options`: which commands take them, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import assert_error, run
from PIL import Image
from random_backend import RandomBackend

from judge.cli import judges
from judge.errors import InputError
from judge.judge import Judge
from judge.serve.server import ServeOptions, build_service


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Options that the commands open their judges with."""
    seen: list[dict[str, Any]] = []

    def open_judge(*_: Any, **options: Any) -> Judge:
        seen.append(options)
        return Judge(backend=RandomBackend())

    monkeypatch.setattr(judges, "open_judge", open_judge)
    return seen


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "a.png"
    Image.new("RGB", (32, 32), "red").save(path)
    return str(path)


def test_options_reach_the_judge_by_their_types(
    opened: list[dict[str, Any]], image: str, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text('dtype = "float32"\nbatch = 4\n')
    options = ("--option", "batch=2", "--option", "max_pixels=100000", "--options", str(file))
    expected = {"dtype": "float32", "batch": 2, "max_pixels": 100000}
    run("verdict", image, "-p", "a cat", *options)
    run("compare", image, image, "-p", "a cat", *options)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "image": "a.png", "prompt": "a cat"}\n')
    run("score", str(rows), "--out", str(tmp_path / "out.jsonl"), *options)
    run("elements", "a cat", *options)
    assert opened == [expected] * 4
    run("verdict", image, "-p", "a cat")
    assert opened[-1] == {}


@pytest.mark.parametrize("command", ["verdict", "score", "compare", "rank", "elements", "serve", "calibrate"])
@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("bit=4", ("bit", "did you mean bits", "dtype")),
        ("bits=many", ("bits", "a whole number")),
        ("bits", ("NAME=VALUE",)),
    ],
)
def test_an_unusable_option_is_one_line(
    command: str, option: str, parts: tuple[str, ...], image: str, tmp_path: Path
) -> None:
    arguments = {
        "verdict": [image],
        "score": [image, "--out", str(tmp_path / "out")],
        "compare": [image, image],
        "rank": [str(tmp_path)],
        "elements": ["a cat"],
        "serve": [],
        "calibrate": ["--suite", "scenes", "--data", str(tmp_path), "--out", str(tmp_path / "c.json")],
    }
    assert_error(run(command, *arguments[command], "--option", option), *parts)


def test_an_address_takes_the_options_of_the_client(image: str) -> None:
    judge = ("--model", "http://127.0.0.1:9", "--option")
    assert_error(run("verdict", image, *judge, "bits=4"), "api_key, headers, retries, timeout")
    assert judges.parse_judge_options(["timeout=5"], None, "http://127.0.0.1:9", "auto", None) == {
        "timeout": 5.0
    }


def test_a_gateway_passes_options_to_its_engine_and_its_pipelines() -> None:
    service = build_service(ServeOptions(options={"batch": 2, "max_pixels": 50_000}), lambda *_, **__: None)
    assert service.engine.spec.options["batch"] == 2
    assert {pipeline.max_pixels for pipeline in service._pipelines.values()} == {50_000}
    with pytest.raises(InputError, match="did you mean batch"):
        build_service(ServeOptions(options={"bach": 2}), lambda *_, **__: None)
    with pytest.raises(InputError, match="max_defects"):
        build_service(ServeOptions(options={"max_defects": 2}), lambda *_, **__: None)
