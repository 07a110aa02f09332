"""Rewards take negative prompts from metadata and columns, and limit the elements of a prompt."""

from __future__ import annotations

import json

import pytest
from rewards import IMAGES, PROMPTS, render

from judge import Judge
from judge.backends.base import Request
from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.reward import Reward
from judge.reward.openrlhf import _parse_label
from judge.reward.trl import reward_func

METADATA = [{"negative_prompt": "blue cat"}, {"negative_prompt": "green dog"}, None]


class Presence(Scripted):
    """Answers "absent" to every element and the best score to everything else."""

    def _next_reply(self, request: Request):  # type: ignore[no-untyped-def]
        members = dict(request.form.root.members)
        answer: dict[str, object] = dict.fromkeys(members, 5) | {"degradation": "none"}
        answer["elements"] = dict.fromkeys(dict(members["elements"].members), False)
        self.replies = [answer]
        return super()._next_reply(request)


def asked(backend: Scripted) -> list[list[str]]:
    return [[name for name, _ in dict(r.form.root.members)["elements"].members] for r in backend.requests]


def test_a_negative_prompt_is_part_of_what_a_reward_depends_on() -> None:
    backend = Presence()
    results = Reward(Judge(backend=backend))(prompts=PROMPTS, images=[IMAGES[0]] * 3, metadata=METADATA)
    assert asked(backend) == [["red circle", "blue cat"], ["red circle", "green dog"], ["blue square"]]
    assert [result.parts["alignment"] for result in results] == [0.5, 0.5, 0.0]


def test_a_trainer_passes_the_column_on() -> None:
    backend = Presence()
    score = reward_func(Reward(Judge(backend=backend)), render=render)
    score(PROMPTS, ["a", "b", "c"], negative_prompt=["blue cat", "", "fish"], completion_ids=None)
    assert asked(backend) == [["red circle", "blue cat"], ["red circle"], ["blue square", "fish"]]
    assert _parse_label(json.dumps({"negative_prompt": "x", "other": 1})) == {"negative_prompt": "x"}


def test_a_reward_limits_the_elements_of_a_prompt() -> None:
    backend = Presence()
    Reward(Judge(backend=backend), max_elements=1)(prompts=["a cat and a dog"], images=[IMAGES[0]])
    assert asked(backend) == [["cat"]]
    with pytest.raises(InputError, match="max_elements"):
        Reward(Judge(backend=backend), max_elements=0)


def test_a_negative_prompt_that_is_no_text_makes_its_image_unscored() -> None:
    reward = Reward(Judge(backend=Presence()))
    bad, good = reward(prompts=PROMPTS[:2], images=[IMAGES[0]] * 2, metadata=[{"negative_prompt": 3}, None])
    assert bad.score is None and "negative_prompt" in bad.reason and good.score is not None
