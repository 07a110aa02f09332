"""The suite `trust`: its numbers must tell a reliable judge from an unreliable one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.cli import judges
from eval.cli.app import app
from eval.trust.injection import INJECTIONS, paint_text, shuffle_letters
from eval.trust.repair import replace_region
from eval.trust.scenes import draw_trust_scenes
from eval.trust.suite import TARGETS, measure_trust, meets_target
from judge.pipeline.comparison import compare_pointwise
from judge.types import Comparison, Defect, Element, Provenance, Sample, Verdict

COUNT = 8
SEED = 3
SCENES = draw_trust_scenes(COUNT, SEED)
PROVENANCE = Provenance(model="oracle", backend="oracle", rubric="default", rubric_hash="", depth="verdict",
                        version="1", milliseconds=0)  # fmt: skip


class Oracle:
    """A judge that knows the truth of every scene, with faults that can be switched on.

    Args:
        faults: `gullible`: an injection in the prompt raises the score; `blind`: damage does not lower the
            score; `nervous`: the score depends on the size of the batch.
    """

    def __init__(self, **faults: bool) -> None:
        self.gullible = faults.get("gullible", False)
        self.blind = faults.get("blind", False)
        self.nervous = faults.get("nervous", False)

    def many(self, samples: Any, *, batch: int = 16, **_: Any) -> Iterator[Verdict]:
        for sample in samples:
            yield self.verdict(sample, 0.01 * batch if self.nervous else 0.0)

    def compare(self, a: Any, b: Any, **question: Any) -> Comparison:
        return compare_pointwise(*(self.verdict(Sample(image=image, **question), 0.0) for image in (a, b)))

    def verdict(self, sample: Sample, shift: float) -> Verdict:
        scene = min(SCENES, key=lambda scene: _distance(scene, sample.image))
        truth = {label.name: label.present for label in scene.truth.labels.elements}
        answers = [(name, 0.99 if truth.get(name) else 0.01) for name in sample.elements or []]
        elements = [Element(name=name, present=p > 0.5, probability=p) for name, p in answers]
        damaged = [
            label for label in scene.truth.labels.defects if _is_damaged(scene, sample.image, label.box)
        ]
        defects = [Defect(family="artifact", kind=label.kind, box=label.box, severity=label.severity,
                          confidence=0.9, explanation="") for label in damaged]  # fmt: skip
        score = 4.5 - (0 if self.blind else 0.5 * len(damaged)) - shift
        score += self.gullible * any(text in sample.prompt for text in INJECTIONS) * 0.4
        distribution = [0.0] * 5
        distribution[int(score) - 1], distribution[int(score)] = 1 - score % 1, score % 1
        return Verdict(id=sample.id, status="scored", score=score, distribution=distribution,
                       elements=elements, defects=defects, provenance=PROVENANCE)  # fmt: skip


def _distance(scene: Any, image: Any) -> float:
    """Return the mean difference of an image from a scene or its mirror image.

    One pixel may be cut off at each side of the image. The lower 60 pixels, where text is painted, are
    ignored.
    """
    expected = scene.sample.image[4:-60, 4:-4].astype(int)
    margin = (expected.shape[0] + 64 - image.shape[0]) // 2
    inside = np.s_[4 - margin : 4 - margin + expected.shape[0], 4 - margin : 4 - margin + expected.shape[1]]
    return min(float(np.abs(side[inside] - expected).mean()) for side in (image, image[:, ::-1]))


def _is_damaged(scene: Any, image: Any, box: Any) -> bool:
    """Return whether a region of the image differs from the undamaged scene."""
    if image.shape != scene.undamaged.shape:
        return True
    x1, y1, x2, y2 = map(int, box)
    window = np.s_[y1:y2, x1:x2]
    return bool(np.abs(image[window].astype(int) - scene.undamaged[window]).mean() > 1)


def test_a_judge_without_faults_meets_the_targets() -> None:
    result = measure_trust(Oracle(), COUNT, SEED)
    assert result["repair_raises"] == 1 and result["random_repair_raises"] == 0
    assert result["clean_accuracy"] == 1 and result["ece"] == pytest.approx(0.01)
    assert result["batch_delta"] == 0 and result["order_bias"] == pytest.approx(0)
    assert set(TARGETS) <= set(result)


def test_each_fault_changes_its_own_number() -> None:
    assert measure_trust(Oracle(blind=True), COUNT, SEED)["repair_raises"] == 0
    gullible = measure_trust(Oracle(gullible=True), COUNT, SEED)
    assert gullible["injection_in_prompt"] == pytest.approx(0.4) == gullible["injection_delta"]
    nervous = measure_trust(Oracle(nervous=True), COUNT, SEED)
    assert nervous["batch_delta"] == pytest.approx(0.15) and not meets_target("batch_delta", 0.15)


def test_a_backend_with_other_scores_is_reported() -> None:
    result = measure_trust(Oracle(), COUNT, SEED, others={"nervous": lambda: Oracle(nervous=True)})
    assert result["backend_delta"] == pytest.approx(0.16)
    assert "nervous" in result["notes"]["backend_delta"]


def test_the_control_texts_have_the_same_letters_and_are_painted_at_the_bottom() -> None:
    for text in INJECTIONS:
        assert sorted(shuffle_letters(text, 1)) == sorted(" ".join(text.split()))
    image = SCENES[0].sample.image
    painted = paint_text(image, INJECTIONS[0])
    assert (painted != image).any() and (painted[:100] == image[:100]).all()


def test_a_repair_changes_only_its_region() -> None:
    scene = next(scene for scene in SCENES if scene.truth.labels.defects)
    box = scene.truth.labels.defects[0].box
    repaired = replace_region(scene.sample.image, scene.undamaged, box)
    x1, y1, x2, y2 = map(int, box)
    assert (repaired[y1:y2, x1:x2] == scene.undamaged[y1:y2, x1:x2]).all()
    repaired[y1:y2, x1:x2] = scene.sample.image[y1:y2, x1:x2]
    assert (repaired == scene.sample.image).all()


def test_the_command_writes_only_trust_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "open_judge", lambda *_: Oracle())
    monkeypatch.setattr(judges, "other_backends", lambda _: {})
    command = ["run", "trust", "--out", str(tmp_path / "run"), "--limit", str(COUNT), "--seed", str(SEED)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "repair_raises" in done.output
    written = json.loads((tmp_path / "run" / "trust.json").read_text())
    assert written["repair_raises"] == 1 and written["backend_delta"] is None
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["trust.json"]


def test_other_suites_need_the_option_data(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", "scenes", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2 and "--data" in done.output
