"""Adapters to other evaluation tools, each tested with the real package if it is installed."""

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
from small_suite import BROKEN_EVERY, SMALL, DeterministicFiller, write_suite
from typer.testing import CliRunner

from eval.cli.app import app
from eval.interop import lmms_task
from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.judge import Judge

ANSWER = {"elements": {"thing 0": True, "colour 0": False}, "degradation": "none", "alignment": 4,
          "structure": 2, "score": 4}  # fmt: skip


# -- inspect-ai ----------------------------------------------------------------------------------------


# Warnings of inspect-ai and its dependencies are not ours to fix.
ignore_warnings = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def inspect() -> Any:
    return pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")


def write_image(folder: Path) -> Path:
    Image.new("RGB", (32, 24), "teal").save(folder / "one.png")
    return folder / "one.png"


def evaluate(inspect: Any, samples: list[Any], scorer: Any, folder: Path) -> Any:
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.solver import solver

    @solver
    def no_generation() -> Any:
        """Generate nothing: even inspect-ai's mock model downloads a vocabulary to count tokens."""

        async def solve(state: Any, generate: Any) -> Any:
            return state

        return solve

    task = inspect.Task(dataset=MemoryDataset(samples), solver=no_generation(), scorer=scorer)
    (log,) = inspect.eval(task, model="mockllm/model", log_dir=str(folder / "logs"), display="none")
    assert log.status == "success", log.error
    return log


@ignore_warnings
def test_the_scorer_returns_the_score_with_the_verdict_as_metadata(inspect: Any, tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

    from eval.interop.inspect_scorer import judged

    backend = DeterministicFiller()
    content = [ContentText(text="a teal square"), ContentImage(image=str(write_image(tmp_path)))]
    samples = [
        Sample(
            id="by-metadata",
            input="draw it",
            metadata={"image": str(write_image(tmp_path)), "prompt": "a cat"},
        ),
        Sample(id="by-message", input=[ChatMessageUser(content=content)]),
    ]
    log = evaluate(inspect, samples, judged(judge=Judge(backend=backend)), tmp_path)
    scores = {sample.id: sample.scores["judged"] for sample in log.samples}
    for name, score in scores.items():
        assert 1 <= score.value <= 5 and score.metadata["id"] == name
        assert score.metadata["score"] == score.value
    mean = log.results.scores[0].metrics["mean"].value
    assert mean == pytest.approx(sum(s.value for s in scores.values()) / 2)
    messages = repr([request.messages for request in backend.requests])
    assert "a cat" in messages and "a teal square" in messages


@ignore_warnings
def test_the_scorer_prefers_the_image_in_the_answer_of_the_model(inspect: Any, tmp_path: Path) -> None:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ContentImage, ModelName, ModelOutput
    from inspect_ai.solver import TaskState

    from eval.interop.inspect_scorer import find_image, find_prompt

    question = [ChatMessageUser(content=[ContentImage(image="given.png")])]
    answer = ChatMessageAssistant(content=[ContentImage(image="made.png")])
    state = TaskState(ModelName("mockllm/model"), 1, 1, "a cat", question)
    assert find_image(state) == "given.png" and find_prompt(state) == "a cat"
    state.output = ModelOutput.from_message(answer)
    assert find_image(state) == "made.png"


@ignore_warnings
def test_unscored_samples_are_left_out_of_the_mean(inspect: Any, tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample

    from eval.interop.inspect_scorer import judged

    metadata = {"image": str(write_image(tmp_path)), "prompt": "a cat"}
    samples = [Sample(id="no image", input="a cat"), Sample(id="no reply", input="a cat", metadata=metadata)]
    log = evaluate(inspect, samples, judged(judge=Judge(backend=Scripted(["no JSON"]))), tmp_path)
    scores = {sample.id: sample.scores["judged"] for sample in log.samples}
    assert scores["no image"].reason == "input" and "image" in scores["no image"].explanation
    assert scores["no reply"].reason == "reply" and scores["no reply"].metadata["status"] == "unscored"
    assert log.results.scores[0].unscored_samples == 2


# -- lmms-eval -----------------------------------------------------------------------------------------


@pytest.fixture
def task(tmp_path: Path) -> Path:
    data = write_suite(tmp_path / "data", 3)
    lmms_task.write_task(SMALL, SMALL.read(data), tmp_path / "task")
    return tmp_path / "task"


def read_documents(task: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (task / "rows.jsonl").read_text().splitlines()]


def test_a_task_contains_the_text_of_the_rubric_and_no_label(task: Path) -> None:
    document = read_documents(task)[0]
    text = lmms_task.doc_to_text(document)
    assert "1. thing 0" in text and '"score": 1 to 5' in text and str(document["score"]) not in text
    assert lmms_task.doc_to_visual(document)[0].size == (24, 16)


def test_a_reply_is_parsed_with_and_without_a_markdown_fence(task: Path) -> None:
    document = read_documents(task)[0] | {"present": [True, True]}
    for reply in (json.dumps(ANSWER), f"```json\n{json.dumps(ANSWER)}\n```"):
        result = lmms_task.process_results(document, [reply])
        assert result["srcc"] == (4.0, document["score"]) and result["element_accuracy"] == (1, 2)
        assert result["unscored"] is False


def test_a_reply_that_cannot_be_parsed_is_counted_as_unscored(task: Path) -> None:
    result = lmms_task.process_results(read_documents(task)[0], ["a very nice picture, 4 of 5"])
    assert result["srcc"][0] is None and result["element_accuracy"] == (0, 2)
    assert lmms_task.unscored([result["unscored"], False]) == 1
    assert lmms_task.srcc([result["srcc"], (3.0, 2.0)]) is None
    assert lmms_task.plcc([(1.0, 10.0), (2.0, 20.0), (None, 3.0), (3.0, 30.0)]) == pytest.approx(1.0)


def test_rows_without_an_image_file_are_refused(tmp_path: Path) -> None:
    items = (
        item.model_copy(update={"image": None}) for item in SMALL.read(write_suite(tmp_path / "data", 2))
    )
    with pytest.raises(InputError, match="image is a file"):
        lmms_task.write_task(SMALL, items, tmp_path / "task")


def test_the_command_writes_a_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import eval.suites

    monkeypatch.setattr(eval.suites, "load_suite", lambda name: SMALL)
    data = write_suite(tmp_path / "data", 2 * BROKEN_EVERY)
    arguments = ["lmms-task", "small", "--data", str(data), "--out", str(tmp_path / "task"), "--limit", "3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "3 rows" in result.stderr
    assert (tmp_path / "task" / "judge_small.yaml").is_file() and len(read_documents(tmp_path / "task")) == 3


def test_lmms_eval_itself_runs_the_task(task: Path, tmp_path: Path) -> None:
    """Run the task with lmms-eval's dummy model, in a child process because lmms-eval configures logging."""
    pytest.importorskip("lmms_eval", reason="lmms-eval is not installed")
    (task / "model.py").write_text(LMMS_EVAL)
    home = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, str(task / "model.py"), str(task), json.dumps(ANSWER)],
        capture_output=True, text=True, timeout=500, cwd=ROOT, env=os.environ | home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    # The dummy model gives the same reply for every image; it fits only the form of the first row.
    assert results["unscored,none"] == 2
    assert results["element_accuracy,none"] in (
        pytest.approx(0 / 6),
        pytest.approx(1 / 6),
        pytest.approx(2 / 6),
    )


LMMS_EVAL = """
import json, sys
sys.path.insert(0, ".")
from judge.backends.torchvision_compat import patch_imports
patch_imports()  # for a CPU build of torch with a CUDA build of torchvision
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.models.simple.dummy import Dummy
from lmms_eval.tasks import TaskManager

tasks = TaskManager(include_path=sys.argv[1], include_defaults=False)
results = simple_evaluate(Dummy(response=sys.argv[2]), tasks=["judge_small"], task_manager=tasks,
                        batch_size=1, bootstrap_iters=0, verbosity="ERROR")
print(json.dumps(results["results"]["judge_small"]))
"""


def test_the_task_module_imports_neither_lmms_eval_nor_torch() -> None:
    code = "import sys, eval.interop.lmms_task; sys.exit(bool({'lmms_eval', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
