"""Located rewards: where a picture is broken, on the grid that a trainer wants."""

from __future__ import annotations

import numpy as np
import pytest

from judge import InputError, Judge
from judge.backends.base import Reply
from judge.backends.scripted import Scripted
from judge.reward import Reward
from judge.rubrics.form import dumps

PROMPT = "a red circle"
SEEN = {"elements": {"red circle": True}, "degradation": "none"}
SCORES = {"alignment": 5, "structure": 3, "score": 3, "explanation": "torn"}
PICTURE = np.zeros((80, 160, 3), dtype=np.uint8)


def reply(*defects: dict, sure: float = 1.0) -> Reply:
    text = dumps(SEEN | {"defects": list(defects)} | SCORES)
    opened = {f"defects.{n}.open": {"open": sure, "close": 1 - sure} for n in range(len(defects))}
    return Reply(text, opened)


def torn(box: list[int], severity: str = "critical") -> dict:
    return {"kind": "cut", "box": box, "severity": severity, "explanation": "the circle is cut"}


def mapped(answer: Reply | str):
    (found,) = Reward(Judge(backend=Scripted([answer]))).map(prompts=[PROMPT], images=[PICTURE])
    return found


def test_the_penalty_lies_where_the_defect_lies_and_weighs_what_it_weighs() -> None:
    found = mapped(reply(torn([0, 0, 500, 500]), torn([250, 0, 500, 1000], "moderate"), sure=0.8))
    penalty = found.penalty
    assert penalty.shape == (80, 160) and penalty.dtype == np.float32
    assert penalty[10, 10] == pytest.approx(0.8)
    assert penalty[70, 50] == pytest.approx(0.4)
    assert penalty[10, 50] == pytest.approx(1 - 0.2 * 0.6), "two defects at one place cost more than either"
    assert penalty[:, 80:].max() == 0
    assert found.result.parts["defects"] == pytest.approx(0.2 * 0.6)


def test_latents_get_the_mean_of_their_pixels() -> None:
    found = mapped(reply(torn([0, 0, 500, 500])))
    latent = found.latent(8)
    assert latent.shape == (10, 20)
    assert latent.mean() == pytest.approx(found.penalty.mean(), abs=1e-6)
    assert latent[0, 0] == pytest.approx(1) and latent[9, 19] == 0
    assert found.resized(7, 3).shape == (3, 7)


def test_dense_advantages_keep_the_mean_of_the_scalar() -> None:
    found = mapped(reply(torn([0, 0, 500, 500])))
    dense = found.advantages(0.7, weight=0.5, size=(20, 10))
    assert dense.mean() == pytest.approx(0.7, abs=1e-6)
    assert dense[0, 0] < 0.7 < dense[9, 19]


def test_the_mask_covers_the_defect_with_an_edge_and_the_instruction_names_it() -> None:
    found = mapped(reply(torn([250, 250, 500, 500])))
    tight, wide = (np.asarray(found.mask(grow=grow)) for grow in (0.0, 0.5))
    assert tight.shape == (80, 160) and set(np.unique(tight)) == {0, 255}
    assert (tight > 0).sum() == 40 * 20 and (wide > 0).sum() == 60 * 30
    assert np.asarray(found.mask(least=1.1)).max() == 0
    assert found.instruction == "a red circle, intact (mend: the circle is cut)"


def test_a_sound_picture_has_an_empty_map_and_its_own_prompt() -> None:
    found = mapped(reply())
    assert found.penalty.max() == 0 and np.asarray(found.mask()).max() == 0
    assert found.instruction == PROMPT


def test_what_was_not_scored_has_no_map() -> None:
    found = mapped("no JSON")
    assert found.penalty is None and found.latent() is None and found.advantages(1.0) is None
    assert "not JSON" in found.reason
    (missing,) = Reward(Judge(backend=Scripted())).map(prompts=[PROMPT], images=[None])
    with pytest.raises(InputError):
        missing.mask()
