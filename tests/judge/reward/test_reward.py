"""The reward core: numbers from 0 to 1, None with a reason where there is none, and nothing asked twice."""

from __future__ import annotations

import asyncio
import logging
import math
from random import Random

import numpy as np
import pytest
from filler import Filler

from judge import InputError, Judge
from judge.backends.scripted import Scripted
from judge.errors import BackendError, ReplyError
from judge.reward import Reward

PROMPT = "a red circle and a blue square"


def flat(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, dtype=np.uint8)


def filled(**options) -> tuple[Reward, Filler]:
    backend = Filler(3)
    return Reward(Judge(backend=backend), **options), backend


def test_scores_lie_between_0_and_1_and_parts_stand_beside_them() -> None:
    reward, _ = filled()
    results = reward(prompts=[PROMPT] * 12, images=[flat(n) for n in range(12)])
    assert all(0 <= result.score <= 1 and result.reason == "" for result in results)
    assert len({result.score for result in results}) == 12, "scores must not clump"
    assert set(results[0].parts) == {"score", "alignment", "structure", "degradation"}


def test_the_score_is_the_weighted_mean_of_its_parts() -> None:
    reward, _ = filled(weights={"alignment": 1, "structure": 0.5})
    (result,) = reward(prompts=[PROMPT], images=[flat(1)])
    parts = result.parts
    assert result.score == pytest.approx((parts["alignment"] + 0.5 * parts["structure"]) / 1.5)


def test_all_elements_must_be_there_at_once_when_all_are_asked_for() -> None:
    mean, _ = filled(weights={"alignment": 1})
    every, _ = filled(weights={"alignment": 1}, elements="all")
    (some,), (whole,) = (r(prompts=[PROMPT], images=[flat(1)]) for r in (mean, every))
    chances = [element.probability for element in some.verdict.elements]
    assert some.score == pytest.approx(sum(chances) / len(chances))
    assert whole.score == pytest.approx(math.prod(chances))
    floor = mean.rubric.score.floor
    assert whole.parts["score"] == pytest.approx(
        whole.parts["alignment"] * (floor + (1 - floor) * whole.parts["structure"])
    )


def test_defects_are_a_part_at_verdict_depth_only() -> None:
    reward, _ = filled(depth="verdict", weights={"score": 1, "defects": 1})
    (result,) = reward(prompts=[PROMPT], images=[flat(1)])
    assert 0 <= result.parts["defects"] <= 1
    with pytest.raises(InputError, match="depth='verdict'"):
        filled(weights={"defects": 1})


def test_the_same_content_is_asked_once_and_scores_the_same() -> None:
    """A generator repeats itself, and so does a group of generations."""
    reward, backend = filled()
    images = [flat(1), flat(2), flat(1), flat(1)]
    first = reward(prompts=[PROMPT] * 4, images=images)
    assert len(backend.asks) == 2
    assert first[0].score == first[2].score == first[3].score != first[1].score
    again = reward(prompts=[PROMPT] * 2, images=[flat(2), flat(1)])
    assert len(backend.asks) == 2
    assert [r.score for r in again] == [first[1].score, first[0].score]


def test_another_prompt_other_elements_or_one_other_pixel_is_other_content() -> None:
    reward, backend = filled()
    other = flat(1)
    other[0, 0, 0] = 2
    images = [flat(1), flat(1), other, flat(1)]
    metadata = [None, None, None, {"elements": ["a hat"]}]
    results = reward(prompts=[PROMPT, "a green ring", PROMPT, PROMPT], images=images, metadata=metadata)
    assert len(backend.asks) == 4
    assert [element.name for element in results[3].verdict.elements] == ["a hat"]


def test_the_cache_forgets_the_oldest() -> None:
    reward, backend = filled(cache=1)
    for value in (1, 2, 2, 1):
        reward(prompts=[PROMPT], images=[flat(value)])
    assert len(backend.asks) == 3


def test_a_bad_picture_is_none_with_its_reason_between_good_ones() -> None:
    reward, _ = filled()
    images = [flat(1), None, "nowhere.png", flat(2)]
    good, none, missing, other = reward(prompts=[PROMPT] * 4, images=images)
    assert good.score is not None and other.score is not None
    assert none.score is None and "image" in none.reason
    assert missing.score is None and "no such file" in missing.reason


def test_tensors_are_pictures_too() -> None:
    torch = pytest.importorskip("torch")
    reward, backend = filled()
    batch = torch.stack([torch.full((3, 8, 8), n / 255) for n in (10, 20)])
    results = reward(prompts=[PROMPT] * 2, images=batch)
    same = reward(prompts=[PROMPT] * 2, images=np.stack([flat(10), flat(20)]))
    assert len(backend.asks) == 2 and [r.score for r in results] == [r.score for r in same]
    (broken,) = reward(prompts=[PROMPT], images=[torch.full((3, 8, 8), torch.nan)])
    assert broken.score is None and "NaN" in broken.reason


def test_what_is_not_paired_one_to_one_is_refused() -> None:
    reward, _ = filled()
    for images in ([flat(1)], (flat(n) for n in range(1)), (flat(n) for n in range(3))):
        with pytest.raises(InputError, match="as many as prompts"):
            reward(prompts=[PROMPT, PROMPT], images=images)
    with pytest.raises(InputError, match="as many as prompts"):
        reward(prompts=[PROMPT], images=[flat(1)], metadata=[{}, {}])
    with pytest.raises(InputError, match="list"):
        reward(prompts=PROMPT, images=[flat(1)])


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
def test_bad_arguments_are_told_before_a_model_is_loaded(options: dict, field: str) -> None:
    with pytest.raises(InputError) as told:
        Reward(Judge(), **options)
    assert told.value.field == field


def test_pairs_are_compared_within_a_prompt() -> None:
    reward, _ = filled(pairwise=True)
    prompts = [PROMPT, PROMPT, PROMPT, "a green ring"]
    results = reward(prompts=prompts, images=[flat(n) for n in range(4)])
    assert sum(result.score for result in results[:3]) == pytest.approx(1.5), "chances of pairs sum to 1"
    by_chance = sorted(range(3), key=lambda n: results[n].score)
    by_score = sorted(range(3), key=lambda n: results[n].parts["score"])
    assert by_chance[0] == by_score[0] or by_chance[-1] == by_score[-1]
    assert results[3].score is None and "no other picture" in results[3].reason


def test_awaiting_gives_what_calling_gives() -> None:
    reward, _ = filled()
    images = [flat(1), flat(2)]
    awaited = asyncio.run(reward.acall(prompts=[PROMPT] * 2, images=images))
    assert awaited == reward(prompts=[PROMPT] * 2, images=images)


def broken(r: Random) -> object:
    """One reply of a model that has lost its way."""
    whole = '{"elements":{"red circle":true},"degradation":"none","alignment":5,"structure":5,"score":5}'
    ways = [
        lambda: whole[: r.randrange(len(whole))],
        lambda: whole.replace("5", "NaN"),
        lambda: whole.replace('"score":5', f'"score":{r.choice(["0", "6", "1e999", "null", "[]"])}'),
        lambda: "I cannot judge this picture.",
        lambda: "\x00" * r.randrange(9),
        lambda: "[" * 5000,
        lambda: ReplyError("reply: no answer in 120 s"),
    ]
    return r.choice(ways)()


def test_a_thousand_broken_replies_are_a_thousand_nones_with_reasons(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After a parse failure other rewards turn constant or NaN, and training goes wrong unseen."""
    r = Random(0)
    reward = Reward(Judge(backend=Scripted([broken(r) for _ in range(1000)])))
    images = (np.full((4, 4, 3), (n % 256, n // 256, 0), dtype=np.uint8) for n in range(1000))
    with caplog.at_level(logging.WARNING, "judge.reward"):
        results = reward(prompts=[PROMPT] * 1000, images=images)
    assert all(result.score is None and result.reason and not result.parts for result in results)
    assert (reward.asked, reward.unscored) == (1000, 1000)
    assert "1000 of 1000 unscored" in caplog.text


def test_what_failed_is_asked_again() -> None:
    """A full server or a row too large for a moment must not be None for ever."""
    backend = Filler(1)
    fails = iter([True, True, False])
    complete = backend.choose

    def choose(asks):
        if next(fails):
            raise BackendError("out of memory")
        return complete(asks)

    backend.choose = choose
    reward = Reward(Judge(backend=backend))
    (first,) = reward(prompts=[PROMPT], images=[flat(1)])
    (second,) = reward(prompts=[PROMPT], images=[flat(1)])
    (third,) = reward(prompts=[PROMPT], images=[flat(1)])
    assert first.score is None and "out of memory" in first.reason
    assert second.score is None and third.score is not None


def test_the_embedded_judge_scores_the_same_in_any_company() -> None:
    from judge.scenes import draw

    scenes = [draw(seed) for seed in range(4)]
    prompts, images = [s.sample.prompt for s in scenes], [s.image for s in scenes]
    judge = Judge()
    together = Reward(judge)(prompts=prompts, images=images)
    alone = [Reward(judge)(prompts=[p], images=[i])[0] for p, i in zip(prompts, images, strict=True)]
    assert [r.score for r in together] == pytest.approx([r.score for r in alone], abs=1e-4)
