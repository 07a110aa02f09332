"""Reward maps: where an image is broken, on the grid that a trainer wants."""

from __future__ import annotations

import numpy as np
import pytest

from judge import InputError, Judge
from judge.backends.base import Reply
from judge.backends.scripted import Scripted
from judge.reward import Reward, RewardMap
from judge.rubrics.form_nodes import canonical_json

PROMPT = "a red circle"
BEFORE_DEFECTS = {"elements": {"red circle": True}, "degradation": "none"}
AFTER_DEFECTS = {"alignment": 5, "structure": 3, "score": 3, "explanation": "torn"}
IMAGE = np.zeros((80, 160, 3), dtype=np.uint8)


def reply(*defects: dict, confidence: float = 1.0) -> Reply:
    text = canonical_json(BEFORE_DEFECTS | {"defects": list(defects)} | AFTER_DEFECTS)
    probabilities = {
        f"defects.{n}.open": {"open": confidence, "close": 1 - confidence} for n in range(len(defects))
    }
    return Reply(text, probabilities)


def cut(box: list[int], severity: str = "critical") -> dict:
    """A defect in a box (relative, 0 to 1000)."""
    return {"kind": "cut", "box": box, "severity": severity, "explanation": "the circle is cut"}


def map_of(answer: Reply | str) -> RewardMap:
    (reward_map,) = Reward(Judge(backend=Scripted([answer]))).map(prompts=[PROMPT], images=[IMAGE])
    return reward_map


def test_the_penalty_lies_inside_the_defects_and_combines_where_they_overlap() -> None:
    defects = cut([0, 0, 500, 500]), cut([250, 0, 500, 1000], "moderate")
    reward_map = map_of(reply(*defects, confidence=0.8))
    penalty = reward_map.penalty
    assert penalty.shape == (80, 160) and penalty.dtype == np.float32
    assert penalty[10, 10] == pytest.approx(0.8)
    assert penalty[70, 50] == pytest.approx(0.4)
    assert penalty[10, 50] == pytest.approx(1 - 0.2 * 0.6), "two defects cost more than either"
    assert penalty[:, 80:].max() == 0
    assert reward_map.result.parts["defects"] == pytest.approx(0.2 * 0.6)


def test_latents_get_the_mean_of_their_pixels() -> None:
    reward_map = map_of(reply(cut([0, 0, 500, 500])))
    latent = reward_map.latent(8)
    assert latent.shape == (10, 20)
    assert latent.mean() == pytest.approx(reward_map.penalty.mean(), abs=1e-6)
    assert latent[0, 0] == pytest.approx(1) and latent[9, 19] == 0
    assert reward_map.resized(7, 3).shape == (3, 7)


def test_dense_advantages_have_the_scalar_as_their_mean() -> None:
    dense = map_of(reply(cut([0, 0, 500, 500]))).advantages(0.7, weight=0.5, size=(20, 10))
    assert dense.mean() == pytest.approx(0.7, abs=1e-6)
    assert dense[0, 0] < 0.7 < dense[9, 19]


def test_the_mask_covers_the_defect_with_a_margin_and_the_instruction_names_it() -> None:
    reward_map = map_of(reply(cut([250, 250, 500, 500])))
    tight, wide = (np.asarray(reward_map.mask(grow=grow)) for grow in (0.0, 0.5))
    assert tight.shape == (80, 160) and set(np.unique(tight)) == {0, 255}
    assert (tight > 0).sum() == 40 * 20 and (wide > 0).sum() == 60 * 30
    assert np.asarray(reward_map.mask(least=1.1)).max() == 0
    assert reward_map.instruction == "a red circle, intact (mend: the circle is cut)"


def test_a_sound_image_has_an_empty_map_and_its_own_prompt() -> None:
    reward_map = map_of(reply())
    assert reward_map.penalty.max() == 0 and np.asarray(reward_map.mask()).max() == 0
    assert reward_map.instruction == PROMPT


def test_an_unscored_image_has_no_map() -> None:
    reward_map = map_of("no JSON")
    assert reward_map.penalty is None and reward_map.latent() is None and reward_map.advantages(1.0) is None
    assert "not JSON" in reward_map.reason
    (without_image,) = Reward(Judge(backend=Scripted())).map(prompts=[PROMPT], images=[None])
    with pytest.raises(InputError):
        without_image.mask()
