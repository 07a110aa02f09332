"""`judge score --shard`: the shards of a run, merged, are the run in one piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batch_rows import BATCH, judge_directly, make_judge, verdicts_by_id, write_rows
from typer.testing import CliRunner

from eval.cli.app import app as eval_app
from eval.runs.merge import merge_shards
from judge.batch.ray_options import insert_default_address
from judge.cli import app as cli
from judge.errors import InputError


@pytest.fixture
def scripted_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line opens a scripted judge."""
    monkeypatch.setattr("judge.cli.judges.open_judge", lambda *_: make_judge())


def run_judge(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


def test_merged_shards_are_the_run_in_one_piece(tmp_path: Path, scripted_judge: None) -> None:
    rows, shards = write_rows(tmp_path, 49), [tmp_path / f"out-{i}" for i in (1, 2, 3)]
    for i, out in enumerate(shards, 1):
        options = ("--depth", "score", "--batch", BATCH, "--out", out, "--shard", f"{i}/3")
        result = run_judge("score", rows, *options)
        assert result.exit_code == 0, result.output
    merged = tmp_path / "all.jsonl"
    result = CliRunner().invoke(eval_app, ["merge", *map(str, shards[::-1]), "--out", str(merged)])
    assert result.exit_code == 0, result.output
    lines = merged.read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"row-{n}" for n in range(49)]
    assert verdicts_by_id(lines) == judge_directly(rows)
    for folders, message in ((shards[:2], "all 3 shards"), ([shards[0], *shards], "given twice")):
        with pytest.raises(InputError, match=message):
            merge_shards(folders, tmp_path / "wrong.jsonl")
    next(shards[1].glob("part-*.jsonl")).unlink()
    with pytest.raises(InputError, match="missing are rows 1 to"):
        merge_shards(shards, tmp_path / "wrong.jsonl")
    assert not list(tmp_path.glob("*wrong*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--shard", "3/2"], "1 <= i"), (["--shard", "1/0"], "1 <= i"), (["--shard", "x"], "i/n"),
     (["--shard", "1/2", "--ray"], "none with"), (["--ray", "local:no"], "extra argument"),
     (["--batch", "0", "--shard", "1/2"], "batch")],
)  # fmt: skip
def test_bad_options_exit_with_code_two(
    tmp_path: Path, scripted_judge: None, options: list[str], message: str
) -> None:
    result = run_judge("score", write_rows(tmp_path, 2), "--out", tmp_path / "out", *options)
    assert result.exit_code == 2 and message in result.output and not (tmp_path / "out").exists()


def test_ray_may_be_given_without_an_address() -> None:
    assert insert_default_address(["rows", "--ray"]) == ["rows", "--ray", "auto"]
    before_file = ["--ray", "rows.jsonl", "--out", "x"]
    assert insert_default_address(before_file) == ["--ray", "auto", "rows.jsonl", "--out", "x"]
    assert insert_default_address(["--ray", "--out", "x"]) == ["--ray", "auto", "--out", "x"]
    for address in ("head:6379", "ray://head:10001", "local"):
        assert insert_default_address(["--ray", address]) == ["--ray", address]
