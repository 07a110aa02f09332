"""Checkpoints are examined: the embedded judge and its student, and a random one of Qwen's vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from real_vocabulary import tiny_checkpoint

from eval.examination.examine import Candidate, prepare_examination, run_examination
from judge.backends.cards import ModelCard
from judge.judge import Judge
from judge.rubrics.rubric import Rubric


def examined(judge: Judge, model: str, count: int = 6) -> ModelCard:
    return run_examination(prepare_examination(Candidate(judge, model), count, 0))


def test_the_embedded_judge_is_fit() -> None:
    card = examined(Judge(card=False), "embedded", count=12)
    assert card.verdict == "fit", card.reasons
    assert card.measures["element_gain"].value > 0.2
    assert card.measures["box_iou"].value > 0.4 and card.measures["damage_correlation"].value > 0.6
    assert card.measures["scores_per_second"].value > 0 and card.measures["peak_memory"].value > 1e6


def test_a_student_is_examined_by_its_scores_alone() -> None:
    card = examined(Judge("embedded-student", rubric="quality", card=False), "embedded-student")
    assert card.backend == "onnxruntime" and "element_accuracy" not in card.measures
    assert "box_iou" not in card.measures and card.measures["verdicts_per_second"].value is None
    assert card.measures["damage_correlation"].value > 0.6 and card.verdict == "fit", card.reasons


def test_a_random_checkpoint_of_real_vocabulary_is_unfit_with_reasons(tmp_path: Path) -> None:
    folder = str(tiny_checkpoint(tmp_path / "model", "qwen3_vl"))
    # Random weights fill every text to its limit: without texts and defects, a verdict takes a short time.
    rubric = Rubric.load("default")
    short = rubric.model_copy(update={"explanation": 0, "defects": None})
    examination = prepare_examination(Candidate(Judge(folder, rubric=short, card=False), folder), 4, 0)
    few = replace(examination.cases, objects=examination.cases.objects[:1])
    card = run_examination(replace(examination, cases=few))
    assert card.verdict == "unfit"
    assert any(reason.startswith("elements: ") for reason in card.reasons)
    assert card.revision and card.measures["batch_change"].value < 1e-3
    assert len(examination.abilities.conventions) == 3
