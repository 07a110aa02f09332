"""`Reward`: scores from 0 to 1, None with a reason where there is none, and nothing judged twice."""

from __future__ import annotations

import asyncio
import logging
import math
from random import Random

import numpy as np
import pytest
from random_backend import RandomBackend

from judge import InputError, Judge
from judge.backends.scripted import Scripted
from judge.errors import BackendError, ReplyError
from judge.reward import Reward

PROMPT = "a red circle and a blue square"


def uniform_image(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, dtype=np.uint8)


def reward_and_backend(**options) -> tuple[Reward, RandomBackend]:
    backend = RandomBackend(3)
    return Reward(Judge(backend=backend), **options), backend


def test_scores_lie_between_0_and_1_and_have_parts() -> None:
    reward, _ = reward_and_backend()
    results = reward(prompts=[PROMPT] * 12, images=[uniform_image(n) for n in range(12)])
    assert all(0 <= result.score <= 1 and result.reason == "" for result in results)
    assert len({result.score for result in results}) == 12, "scores are continuous"
    assert set(results[0].parts) == {"score", "alignment", "structure", "degradation"}


def test_the_score_is_the_weighted_mean_of_its_parts() -> None:
    reward, _ = reward_and_backend(weights={"alignment": 1, "structure": 0.5})
    (result,) = reward(prompts=[PROMPT], images=[uniform_image(1)])
    parts = result.parts
    assert result.score == pytest.approx((parts["alignment"] + 0.5 * parts["structure"]) / 1.5)


def test_alignment_is_the_mean_or_the_product_of_the_element_probabilities() -> None:
    by_mean, _ = reward_and_backend(weights={"alignment": 1})
    by_product, _ = reward_and_backend(weights={"alignment": 1}, elements="all")
    (mean,) = by_mean(prompts=[PROMPT], images=[uniform_image(1)])
    (product,) = by_product(prompts=[PROMPT], images=[uniform_image(1)])
    probabilities = [element.probability for element in mean.verdict.elements]
    assert mean.score == pytest.approx(sum(probabilities) / len(probabilities))
    assert product.score == pytest.approx(math.prod(probabilities))
    floor, parts = by_mean.rubric.score.floor, product.parts
    assert parts["score"] == pytest.approx(parts["alignment"] * (floor + (1 - floor) * parts["structure"]))


def test_defects_are_a_part_at_verdict_depth_only() -> None:
    reward, _ = reward_and_backend(depth="verdict", weights={"score": 1, "defects": 1})
    (result,) = reward(prompts=[PROMPT], images=[uniform_image(1)])
    assert 0 <= result.parts["defects"] <= 1
    with pytest.raises(InputError, match="depth='verdict'"):
        reward_and_backend(weights={"defects": 1})


def test_the_same_content_is_judged_once_and_scores_the_same() -> None:
    """Generators repeat themselves, within a group and between groups."""
    reward, backend = reward_and_backend()
    images = [uniform_image(n) for n in (1, 2, 1, 1)]
    first = reward(prompts=[PROMPT] * 4, images=images)
    assert len(backend.requests) == 2
    assert first[0].score == first[2].score == first[3].score != first[1].score
    again = reward(prompts=[PROMPT] * 2, images=[uniform_image(2), uniform_image(1)])
    assert len(backend.requests) == 2
    assert [result.score for result in again] == [first[1].score, first[0].score]


def test_another_prompt_other_elements_or_one_other_pixel_is_other_content() -> None:
    reward, backend = reward_and_backend()
    one_pixel_off = uniform_image(1)
    one_pixel_off[0, 0, 0] = 2
    images = [uniform_image(1), uniform_image(1), one_pixel_off, uniform_image(1)]
    metadata = [None, None, None, {"elements": ["a hat"]}]
    results = reward(prompts=[PROMPT, "a green ring", PROMPT, PROMPT], images=images, metadata=metadata)
    assert len(backend.requests) == 4
    assert [element.name for element in results[3].verdict.elements] == ["a hat"]


def test_the_cache_drops_the_least_recently_used() -> None:
    reward, backend = reward_and_backend(cache=1)
    for value in (1, 2, 2, 1):
        reward(prompts=[PROMPT], images=[uniform_image(value)])
    assert len(backend.requests) == 3


def test_a_bad_image_is_none_with_its_reason_between_good_ones() -> None:
    reward, _ = reward_and_backend()
    images = [uniform_image(1), None, "nowhere.png", uniform_image(2)]
    first, none, missing, last = reward(prompts=[PROMPT] * 4, images=images)
    assert first.score is not None and last.score is not None
    assert none.score is None and "image" in none.reason
    assert missing.score is None and "no such file" in missing.reason


def test_tensors_are_images_too() -> None:
    torch = pytest.importorskip("torch")
    reward, backend = reward_and_backend()
    tensors = torch.stack([torch.full((3, 8, 8), n / 255) for n in (10, 20)])
    from_tensors = reward(prompts=[PROMPT] * 2, images=tensors)
    from_arrays = reward(prompts=[PROMPT] * 2, images=np.stack([uniform_image(10), uniform_image(20)]))
    assert len(backend.requests) == 2
    assert [result.score for result in from_tensors] == [result.score for result in from_arrays]
    (not_finite,) = reward(prompts=[PROMPT], images=[torch.full((3, 8, 8), torch.nan)])
    assert not_finite.score is None and "NaN" in not_finite.reason


def test_lists_of_different_lengths_are_refused() -> None:
    reward, _ = reward_and_backend()
    too_few, too_many = ((uniform_image(n) for n in range(count)) for count in (1, 3))
    for images in ([uniform_image(1)], too_few, too_many):
        with pytest.raises(InputError, match="as many as prompts"):
            reward(prompts=[PROMPT, PROMPT], images=images)
    with pytest.raises(InputError, match="as many as prompts"):
        reward(prompts=[PROMPT], images=[uniform_image(1)], metadata=[{}, {}])
    with pytest.raises(InputError, match="list"):
        reward(prompts=PROMPT, images=[uniform_image(1)])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"weights": {"beauty": 1}}, "weights"),
        ({"weights": {"score": -1}}, "weights"),
        ({"weights": {"score": float("nan")}}, "weights"),
        ({"weights": {}}, "weights"),
        ({"elements": "some"}, "elements"),
        ({"pairwise": True, "weights": {"score": 1}}, "pairwise"),
        ({"depth": "deep"}, "depth"),
        ({"batch": 0}, "batch"),
        ({"cache": -1}, "cache"),
    ],
)
def test_bad_arguments_are_rejected_before_a_model_is_loaded(options: dict, field: str) -> None:
    with pytest.raises(InputError) as caught:
        Reward(Judge(), **options)
    assert caught.value.field == field


def test_pairwise_scores_compare_the_images_of_one_prompt() -> None:
    reward, _ = reward_and_backend(pairwise=True)
    prompts = [PROMPT, PROMPT, PROMPT, "a green ring"]
    results = reward(prompts=prompts, images=[uniform_image(n) for n in range(4)])
    total = sum(result.score for result in results[:3])
    assert total == pytest.approx(1.5), "the probabilities of a pair sum to 1"
    by_pairs = sorted(range(3), key=lambda n: results[n].score)
    by_score = sorted(range(3), key=lambda n: results[n].parts["score"])
    assert by_pairs[0] == by_score[0] or by_pairs[-1] == by_score[-1]
    assert results[3].score is None and "no other image" in results[3].reason


def test_awaiting_gives_what_calling_gives() -> None:
    reward, _ = reward_and_backend()
    images = [uniform_image(1), uniform_image(2)]
    awaited = asyncio.run(reward.acall(prompts=[PROMPT] * 2, images=images))
    assert awaited == reward(prompts=[PROMPT] * 2, images=images)


def broken_reply(random: Random) -> object:
    """A reply that cannot be read, as of a model that has gone wrong."""
    valid = '{"elements":{"red circle":true},"degradation":"none","alignment":5,"structure":5,"score":5}'
    bad_scores = ["0", "6", "1e999", "null", "[]"]
    kinds = [
        lambda: valid[: random.randrange(len(valid))],
        lambda: valid.replace("5", "NaN"),
        lambda: valid.replace('"score":5', f'"score":{random.choice(bad_scores)}'),
        lambda: "I cannot judge this picture.",
        lambda: "\x00" * random.randrange(9),
        lambda: "[" * 5000,
        lambda: ReplyError("reply: no answer in 120 s"),
    ]
    return random.choice(kinds)()


def test_a_thousand_broken_replies_are_a_thousand_missing_scores_with_reasons(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A constant or NaN after a parse failure would spoil the training without a sign."""
    random = Random(0)
    reward = Reward(Judge(backend=Scripted([broken_reply(random) for _ in range(1000)])))
    images = (np.full((4, 4, 3), (n % 256, n // 256, 0), dtype=np.uint8) for n in range(1000))
    with caplog.at_level(logging.WARNING, "judge.reward"):
        results = reward(prompts=[PROMPT] * 1000, images=images)
    assert all(result.score is None and result.reason and not result.parts for result in results)
    assert (reward.requested, reward.unscored) == (1000, 1000)
    assert "1000 of 1000 unscored" in caplog.text


def test_a_failed_image_is_judged_again() -> None:
    """A full server, or an image that was too large for a moment, must not stay without a score."""
    backend = RandomBackend(1)
    fails = iter([True, True, False])
    original = backend.choose

    def choose(requests):
        if next(fails):
            raise BackendError("out of memory")
        return original(requests)

    backend.choose = choose
    reward = Reward(Judge(backend=backend))
    (first,) = reward(prompts=[PROMPT], images=[uniform_image(1)])
    (second,) = reward(prompts=[PROMPT], images=[uniform_image(1)])
    (third,) = reward(prompts=[PROMPT], images=[uniform_image(1)])
    assert first.score is None and "out of memory" in first.reason
    assert second.score is None and third.score is not None


def test_the_embedded_judge_scores_an_image_the_same_in_any_batch() -> None:
    from judge.scenes import draw_scene

    scenes = [draw_scene(seed) for seed in range(4)]
    prompts, images = [scene.sample.prompt for scene in scenes], [scene.image for scene in scenes]
    judge = Judge()
    together = Reward(judge)(prompts=prompts, images=images)
    alone = [
        Reward(judge)(prompts=[prompt], images=[image])[0]
        for prompt, image in zip(prompts, images, strict=True)
    ]
    assert [r.score for r in together] == pytest.approx([r.score for r in alone], abs=1e-4)
