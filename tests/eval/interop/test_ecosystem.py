"""Adapters to other harnesses, each against the real package where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from PIL import Image
from small_suite import FLAWED, SMALL, Steady, write
from typer.testing import CliRunner

from eval import cli
from eval.interop import lmms_task
from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.judge import Judge

ANSWER = {"elements": {"thing 0": True, "colour 0": False}, "degradation": "none", "alignment": 4,
          "structure": 2, "score": 4}  # fmt: skip


# -- inspect-ai ----------------------------------------------------------------------------------------


# What inspect-ai and its own dependencies warn about is theirs to mend.
theirs = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def inspect() -> Any:
    return pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")


def picture(folder: Path) -> Path:
    Image.new("RGB", (32, 24), "teal").save(folder / "one.png")
    return folder / "one.png"


def evaluated(inspect: Any, samples: list[Any], scorer: Any, folder: Path) -> Any:
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.solver import solver

    @solver
    def nothing() -> Any:
        """Even inspect-ai's mock model would fetch a vocabulary from the network, to count tokens."""

        async def solve(state: Any, generate: Any) -> Any:
            return state

        return solve

    task = inspect.Task(dataset=MemoryDataset(samples), solver=nothing(), scorer=scorer)
    (log,) = inspect.eval(task, model="mockllm/model", log_dir=str(folder / "logs"), display="none")
    assert log.status == "success", log.error
    return log


@theirs
def test_inspect_ai_gets_the_score_with_the_verdict_in_its_metadata(inspect: Any, tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

    from eval.interop.inspect_scorer import judged

    backend = Steady()
    asked = [ContentText(text="a teal square"), ContentImage(image=str(picture(tmp_path)))]
    samples = [
        Sample(
            id="by-metadata", input="draw it", metadata={"image": str(picture(tmp_path)), "prompt": "a cat"}
        ),
        Sample(id="by-message", input=[ChatMessageUser(content=asked)]),
    ]
    log = evaluated(inspect, samples, judged(judge=Judge(backend=backend)), tmp_path)
    scores = {sample.id: sample.scores["judged"] for sample in log.samples}
    for name, score in scores.items():
        assert 1 <= score.value <= 5 and score.metadata["id"] == name
        assert score.metadata["score"] == score.value
    mean = log.results.scores[0].metrics["mean"].value
    assert mean == pytest.approx(sum(s.value for s in scores.values()) / 2)
    told = repr([ask.messages for ask in backend.asks])
    assert "a cat" in told and "a teal square" in told


@theirs
def test_inspect_ai_judges_the_picture_that_the_model_made(inspect: Any, tmp_path: Path) -> None:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ContentImage, ModelName, ModelOutput
    from inspect_ai.solver import TaskState

    from eval.interop.inspect_scorer import picture_of, prompt_of

    given = [ChatMessageUser(content=[ContentImage(image="given.png")])]
    made = ChatMessageAssistant(content=[ContentImage(image="made.png")])
    state = TaskState(ModelName("mockllm/model"), 1, 1, "a cat", given)
    assert picture_of(state) == "given.png" and prompt_of(state) == "a cat"
    state.output = ModelOutput.from_message(made)
    assert picture_of(state) == "made.png"


@theirs
def test_inspect_ai_leaves_what_has_no_score_out_of_its_mean(inspect: Any, tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample

    from eval.interop.inspect_scorer import judged

    here = {"image": str(picture(tmp_path)), "prompt": "a cat"}
    samples = [Sample(id="no picture", input="a cat"), Sample(id="no reply", input="a cat", metadata=here)]
    log = evaluated(inspect, samples, judged(judge=Judge(backend=Scripted(["no JSON"]))), tmp_path)
    scores = {sample.id: sample.scores["judged"] for sample in log.samples}
    assert scores["no picture"].reason == "input" and "image" in scores["no picture"].explanation
    assert scores["no reply"].reason == "reply" and scores["no reply"].metadata["status"] == "unscored"
    assert log.results.scores[0].unscored_samples == 2


# -- lmms-eval -----------------------------------------------------------------------------------------


@pytest.fixture
def task(tmp_path: Path) -> Path:
    data = write(tmp_path / "data", 3)
    lmms_task.write(SMALL, SMALL.read(data), tmp_path / "task")
    return tmp_path / "task"


def documents(task: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (task / "rows.jsonl").read_text().splitlines()]


def test_a_task_asks_in_the_words_of_the_rubric_and_shows_no_label(task: Path) -> None:
    document = documents(task)[0]
    text = lmms_task.doc_to_text(document)
    assert "1. thing 0" in text and '"score": 1 to 5' in text and str(document["score"]) not in text
    assert lmms_task.doc_to_visual(document)[0].size == (24, 16)


def test_a_reply_is_read_by_the_form_fenced_or_not(task: Path) -> None:
    document = documents(task)[0] | {"present": [True, True]}
    for reply in (json.dumps(ANSWER), f"```json\n{json.dumps(ANSWER)}\n```"):
        found = lmms_task.process_results(document, [reply])
        assert found["srcc"] == (4.0, document["score"]) and found["element_accuracy"] == (1, 2)
        assert found["unscored"] is False


def test_a_reply_that_cannot_be_read_is_counted_and_not_guessed(task: Path) -> None:
    found = lmms_task.process_results(documents(task)[0], ["a very nice picture, 4 of 5"])
    assert found["srcc"][0] is None and found["element_accuracy"] == (0, 2)
    assert lmms_task.unscored([found["unscored"], False]) == 1
    assert lmms_task.srcc([found["srcc"], (3.0, 2.0)]) is None
    assert lmms_task.plcc([(1.0, 10.0), (2.0, 20.0), (None, 3.0), (3.0, 30.0)]) == pytest.approx(1.0)


def test_rows_without_a_file_are_refused(tmp_path: Path) -> None:
    items = (item.model_copy(update={"image": None}) for item in SMALL.read(write(tmp_path / "data", 2)))
    with pytest.raises(InputError, match="picture is a file"):
        lmms_task.write(SMALL, items, tmp_path / "task")


def test_the_command_writes_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import eval.suites

    monkeypatch.setattr(eval.suites, "suite", lambda name: SMALL)
    data = write(tmp_path / "data", 2 * FLAWED)
    arguments = ["lmms-task", "small", "--data", str(data), "--out", str(tmp_path / "task"), "--limit", "3"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0 and "3 rows" in result.stderr
    assert (tmp_path / "task" / "judge_small.yaml").is_file() and len(documents(tmp_path / "task")) == 3


def test_lmms_eval_itself_runs_the_task(task: Path, tmp_path: Path) -> None:
    """With lmms-eval's own dummy model, in a process of its own: it sets up logging for everybody."""
    pytest.importorskip("lmms_eval", reason="lmms-eval is not installed")
    (task / "model.py").write_text(LMMS_EVAL)
    home = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, str(task / "model.py"), str(task), json.dumps(ANSWER)],
        capture_output=True, text=True, timeout=500, cwd=ROOT, env=os.environ | home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    # The dummy says the same of every picture: it has answered the first one's form, and no other's.
    assert found["unscored,none"] == 2
    assert found["element_accuracy,none"] in (
        pytest.approx(0 / 6),
        pytest.approx(1 / 6),
        pytest.approx(2 / 6),
    )


LMMS_EVAL = """
import json, sys
sys.path.insert(0, ".")
from judge.backends.torchvision_compat import mend
mend()  # a CPU torch beside a torchvision for CUDA
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.models.simple.dummy import Dummy
from lmms_eval.tasks import TaskManager

tasks = TaskManager(include_path=sys.argv[1], include_defaults=False)
found = simple_evaluate(Dummy(response=sys.argv[2]), tasks=["judge_small"], task_manager=tasks,
                        batch_size=1, bootstrap_iters=0, verbosity="ERROR")
print(json.dumps(found["results"]["judge_small"]))
"""


def test_the_adapters_import_no_harness_until_they_are_used() -> None:
    code = "import sys, eval.interop.lmms_task; sys.exit(bool({'lmms_eval', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
