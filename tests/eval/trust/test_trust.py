"""The trust suite: it must tell a judge that can be believed from one that cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eval import cli, trust
from eval.trust.injection import BATTERY, paint, shuffled
from eval.trust.material import drawn
from eval.trust.repair import replaced
from judge.pipeline.pipeline import compared
from judge.types import Comparison, Defect, Element, Provenance, Sample, Verdict

COUNT = 8
SCENES = drawn(COUNT, 3)
MADE = Provenance(model="oracle", backend="oracle", rubric="default", rubric_hash="", depth="verdict",
                  version="1", milliseconds=0)  # fmt: skip


class Oracle:
    """Knows every scene. With `gullible` it believes what the prompt says of the score, with `blind` it sees
    no damage mended, with `nervous` the company it judges in moves its score."""

    def __init__(self, **faults: bool) -> None:
        self.gullible = faults.get("gullible", False)
        self.blind = faults.get("blind", False)
        self.nervous = faults.get("nervous", False)

    def many(self, samples: Any, *, batch: int = 16, **_: Any) -> Iterator[Verdict]:
        for sample in samples:
            yield self.verdict(sample, 0.01 * batch if self.nervous else 0.0)

    def compare(self, a: Any, b: Any, **asked: Any) -> Comparison:
        return compared(*(self.verdict(Sample(image=image, **asked), 0.0) for image in (a, b)))

    def verdict(self, sample: Sample, shift: float) -> Verdict:
        scene = min(SCENES, key=lambda one: _apart(one, sample.image))
        truth = {label.name: label.present for label in scene.truth.labels.elements}
        said = [(name, 0.99 if truth.get(name) else 0.01) for name in sample.elements or []]
        elements = [Element(name=name, present=p > 0.5, probability=p) for name, p in said]
        left = [label for label in scene.truth.labels.defects if _broken(scene, sample.image, label.box)]
        defects = [Defect(family="artifact", kind=label.kind, box=label.box, severity=label.severity,
                          confidence=0.9, explanation="") for label in left]  # fmt: skip
        score = 4.5 - (0 if self.blind else 0.5 * len(left)) - shift
        score += self.gullible * any(text in sample.prompt for text in BATTERY) * 0.4
        shares = [0.0] * 5
        shares[int(score) - 1], shares[int(score)] = 1 - score % 1, score % 1
        return Verdict(id=sample.id, status="scored", score=score, distribution=shares, elements=elements,
                       defects=defects, provenance=MADE)  # fmt: skip


def _apart(scene: Any, image: Any) -> float:
    """How unlike a scene, or its mirror image, a picture is; a frame of one pixel may be cut off."""
    own = scene.sample.image[4:-60, 4:-4].astype(int)
    edge = (own.shape[0] + 64 - image.shape[0]) // 2
    inside = np.s_[4 - edge : 4 - edge + own.shape[0], 4 - edge : 4 - edge + own.shape[1]]
    return min(float(np.abs(one[inside] - own).mean()) for one in (image, image[:, ::-1]))


def _broken(scene: Any, image: Any, box: Any) -> bool:
    if image.shape != scene.whole.shape:
        return True
    x1, y1, x2, y2 = map(int, box)
    window = np.s_[y1:y2, x1:x2]
    return min(np.abs(one[window].astype(int) - scene.whole[window]).mean() for one in (image,)) > 1


def test_a_judge_that_sees_damage_raises_its_score_for_repairs_only() -> None:
    found = trust.run(Oracle(), COUNT, 3)
    assert found["repair_raises"] == 1 and found["random_repair_raises"] == 0
    assert found["clean_accuracy"] == 1 and found["ece"] == pytest.approx(0.01)
    assert found["batch_delta"] == 0 and found["order_bias"] == pytest.approx(0)
    assert set(trust.TARGETS) <= set(found)


def test_each_fault_shows_in_its_own_number() -> None:
    assert trust.run(Oracle(blind=True), COUNT, 3)["repair_raises"] == 0
    gullible = trust.run(Oracle(gullible=True), COUNT, 3)
    assert gullible["injection_in_prompt"] == pytest.approx(0.4) == gullible["injection_delta"]
    nervous = trust.run(Oracle(nervous=True), COUNT, 3)
    assert nervous["batch_delta"] == pytest.approx(0.15) and not trust.met("batch_delta", 0.15)


def test_a_backend_that_answers_otherwise_is_noticed() -> None:
    found = trust.run(Oracle(), COUNT, 3, others={"nervous": lambda: Oracle(nervous=True)})
    assert found["backend_delta"] == pytest.approx(0.16)
    assert "nervous" in found["notes"]["backend_delta"]


def test_painted_controls_have_the_same_letters() -> None:
    for text in BATTERY:
        assert sorted(shuffled(text, 1)) == sorted(" ".join(text.split()))
    image = SCENES[0].sample.image
    painted = paint(image, BATTERY[0])
    assert (painted != image).any() and (painted[:100] == image[:100]).all()


def test_a_repair_changes_its_region_only() -> None:
    scene = next(one for one in SCENES if one.truth.labels.defects)
    box = scene.truth.labels.defects[0].box
    mended = replaced(scene.sample.image, scene.whole, box)
    x1, y1, x2, y2 = map(int, box)
    assert (mended[y1:y2, x1:x2] == scene.whole[y1:y2, x1:x2]).all()
    mended[y1:y2, x1:x2] = scene.sample.image[y1:y2, x1:x2]
    assert (mended == scene.sample.image).all()


def test_the_command_writes_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_judge", lambda *_: Oracle())
    monkeypatch.setattr(cli, "elsewhere", lambda _: {})
    command = ["run", "trust", "--out", str(tmp_path / "run"), "--limit", str(COUNT), "--seed", "3"]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0 and "repair_raises" in done.output
    written = json.loads((tmp_path / "run" / "trust.json").read_text())
    assert written["repair_raises"] == 1 and written["backend_delta"] is None
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["trust.json"]


def test_other_suites_still_need_their_data(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["run", "scenes", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2 and "--data" in done.output
