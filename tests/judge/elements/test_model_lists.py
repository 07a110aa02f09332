"""Lists of elements by the judge's model: one question for each distinct prompt, rules when it fails."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from random_backend import RandomBackend

from judge.backends.base import Reply, Request
from judge.backends.scripted import Scripted
from judge.errors import InputError, ReplyError
from judge.judge import Judge
from judge.reward.core import Reward
from judge.rubrics.form_nodes import canonical_json

PROMPT = "a heron beside a jetty"
LISTED = {
    "elements": [
        {"name": "heron", "kind": "object", "needs": 0},
        {"name": "jetty", "kind": "object", "needs": 0},
    ]
}


class ListingBackend(RandomBackend):
    """A general model that lists two elements, and judges at random."""

    def __init__(self, listed: Any = LISTED) -> None:
        super().__init__(brief=False)
        self.lists_elements, self.listed = True, listed

    def _fill(self, request: Request) -> Reply:
        if request.images:
            return super()._fill(request)
        self.requests.append(request)
        return Reply(self.listed if isinstance(self.listed, str) else canonical_json(self.listed))

    @property
    def questions(self) -> list[Request]:
        """The requests without an image."""
        return [request for request in self.requests if not request.images]


@pytest.fixture
def image() -> Image.Image:
    return Image.new("RGB", (32, 32), "white")


def test_a_thousand_images_of_one_prompt_cost_one_question(image: Image.Image) -> None:
    backend = ListingBackend()
    judge = Judge(backend=backend)
    rows = [{"image": image, "prompt": PROMPT} for _ in range(1000)]
    verdicts = list(judge.many(rows, depth="score", batch=50))
    assert len(backend.questions) == 1 and PROMPT in backend.questions[0].messages[0]["content"][0]["text"]
    assert all([element.name for element in verdict.elements] == ["heron", "jetty"] for verdict in verdicts)
    assert {verdict.provenance.elements for verdict in verdicts} == {"model"}
    judge(image, prompt=PROMPT, depth="score")
    judge(image, prompt="another prompt", depth="score")
    assert len(backend.questions) == 2


@pytest.mark.parametrize("listed", ["no list", {"elements": [{"name": " ", "kind": "object", "needs": 0}]}])
def test_the_rules_stand_in_for_a_model_that_lists_nothing(listed: Any, image: Image.Image) -> None:
    backend = ListingBackend(listed)
    judge = Judge(backend=backend)
    verdicts = [judge(image, prompt=PROMPT, depth="score") for _ in range(2)]
    for verdict in verdicts:
        assert "heron" in [element.name for element in verdict.elements]
        assert verdict.provenance.elements == "rules"
        assert any("the model did not list the elements" in note for note in verdict.provenance.notes)
    assert len(backend.questions) == 1
    with pytest.raises(ReplyError):
        judge.elements(PROMPT, by="model")


@pytest.mark.parametrize(
    ("name", "label"), [("rules", "rules"), ("words", "words"), ("grammar", "grammar (en")]
)
def test_a_splitter_is_named_for_the_judge_a_call_or_a_reward(
    name: str, label: str, image: Image.Image
) -> None:
    backend = ListingBackend()
    verdict = Judge(backend=backend, elements=name)(image, prompt=PROMPT, depth="score")
    assert verdict.provenance.elements.startswith(label)
    verdict = Judge(backend=backend)(image, prompt=PROMPT, elements=name, depth="score")
    assert verdict.provenance.elements.startswith(label)
    reward = Reward(Judge(backend=backend), elements=name)  # type: ignore[arg-type]
    (result,) = reward(prompts=[PROMPT], images=[image])
    assert result.verdict.provenance.elements.startswith(label)
    assert not backend.questions


def test_an_unknown_name_is_one_clear_error(image: Image.Image) -> None:
    for call in (
        lambda: Judge(backend=Scripted(), elements="grammer"),
        lambda: Judge(backend=Scripted())(image, prompt=PROMPT, elements="grammer"),
        lambda: Reward(Judge(backend=Scripted()), elements="grammer"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match="elements"):
            call()


def test_given_elements_are_named_as_such(image: Image.Image) -> None:
    verdict = Judge(backend=ListingBackend())(image, prompt=PROMPT, elements=["heron"], depth="score")
    assert verdict.provenance.elements == "given"
