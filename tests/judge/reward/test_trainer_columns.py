"""What trainers pass in their columns: each adapter reads it, or has a row without a score and a reason."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from rewards import IMAGES, encode_png, make_reward, render, unscored_reward
from starlette.testclient import TestClient

from judge.errors import InputError, UnscoredBatchError
from judge.reward import Ensemble, RewardResult, flow_grpo, openrlhf
from judge.reward.neutral import MAX_UNSCORED_RUN, NeutralScores
from judge.reward.result import RewardLike
from judge.reward.trl import async_reward_func, reward_func
from judge.reward.verl import compute_score_of

PROMPTS = ["a red circle", "a blue square", "a green ring"]
ELEMENTS = ["a hat", "a dog"]
CALL = "call"
Scores = list[Any]
"""Of each row the number, or None with its reason: what the protocol of the trainer says."""


def call_reward(reward: RewardLike, prompts: Any, images: Any, elements: Any) -> Scores:
    metadata = [{"elements": cell} for cell in elements]
    return [r.reason or r.score for r in reward(prompts=prompts, images=images, metadata=metadata)]


def call_trl(reward: RewardLike, prompts: Any, images: Any, elements: Any) -> Scores:
    extra: dict[str, list[str]] = {}
    columns = {"image": images, "elements": elements, "log_extra": extra.__setitem__}
    scores = reward_func(reward)(prompts, ["x"] * 3, completion_ids=None, **columns)
    reasons = extra.get("judge_unscored", [""] * 3)
    assert [score is None for score in scores] == [bool(reason) for reason in reasons]
    return [reason or score for score, reason in zip(scores, reasons, strict=True)]


def call_trl_async(reward: RewardLike, prompts: Any, images: Any, elements: Any) -> Scores:
    extra: dict[str, list[str]] = {}
    columns = {"image": images, "elements": elements, "log_extra": extra.__setitem__}
    scores = asyncio.run(async_reward_func(reward)(prompts, ["x"] * 3, **columns))
    return [reason or s for s, reason in zip(scores, extra.get("judge_unscored", [""] * 3), strict=True)]


def call_verl(reward: RewardLike, prompts: Any, images: Any, elements: Any) -> Scores:
    compute_score = compute_score_of(reward)

    async def score_all() -> list[dict[str, Any]]:
        rows = zip(prompts, images, elements, strict=True)
        return await asyncio.gather(
            *(
                compute_score("x", image, "", {"prompt": prompt, "elements": cell})
                for prompt, image, cell in rows
            )
        )

    scores = asyncio.run(score_all())
    assert all(isinstance(score["score"], float) for score in scores)
    assert [score["unscored"] for score in scores] == [int(bool(score["reason"])) for score in scores]
    return [score["reason"] or score["score"] for score in scores]


def call_flow_grpo(reward: RewardLike, prompts: Any, images: Any, elements: Any) -> Scores:
    scores, details = flow_grpo.reward_fn(reward)(images, prompts, [{"elements": cell} for cell in elements])
    return [details["unscored"].get(n, score) for n, score in enumerate(scores)]


def call_ensemble(reward: RewardLike, prompts: Any, images: Any, elements: Any) -> Scores:
    both = Ensemble({"a": reward, "b": reward})  # type: ignore[dict-item]
    return [
        score if isinstance(score, float) else str(score)
        for score in call_reward(both, prompts, images, elements)
    ]


CALLS = [call_reward, call_trl, call_trl_async, call_verl, call_flow_grpo, call_ensemble]
Call = Callable[[RewardLike, Any, Any, Any], Scores]


def in_a_cell(value: Any) -> np.ndarray:
    cell = np.empty((), dtype=object)
    cell[()] = value
    return cell


def column_of(values: list[Any]) -> np.ndarray:
    """An array of objects, one in each cell."""
    column = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        column[index] = value
    return column


def chats(texts: list[str]) -> list[Any]:
    return [
        [
            {"role": "system", "content": "Draw."},
            {"role": "user", "content": [{"type": "text", "text": text}]},
        ]
        for text in texts
    ]


COLUMNS: dict[str, tuple[Any, Any, Any]] = {
    "numpy": (np.array(PROMPTS), IMAGES, column_of([np.array(ELEMENTS, dtype=object)] * 3)),
    "numpy bytes": (
        np.array(PROMPTS).astype("S"),
        column_of(list(IMAGES)),
        np.array([ELEMENTS] * 3).astype("S"),
    ),
    "pyarrow": (pa.array(PROMPTS), pa.array([encode_png(p) for p in IMAGES]), pa.array([ELEMENTS] * 3)),
    "pandas": (pd.Series(PROMPTS), pd.Series(list(IMAGES)), pd.Series([tuple(ELEMENTS)] * 3)),
    "chats": (chats(PROMPTS), tuple(IMAGES), [json.dumps(ELEMENTS)] * 3),
    "chats as arrays": (column_of(chats(PROMPTS)), list(IMAGES), [[[name] for name in ELEMENTS]] * 3),
    "chats as JSON": ([json.dumps(chat) for chat in chats(PROMPTS)], list(IMAGES), ["; ".join(ELEMENTS)] * 3),
    "cells": (
        [in_a_cell(prompt) for prompt in PROMPTS],
        [in_a_cell(pixels) for pixels in IMAGES],
        [in_a_cell(ELEMENTS)] * 3,
    ),
    "tensors": (
        tuple(PROMPTS),
        torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255,
        [pa.scalar(ELEMENTS)] * 3,
    ),
}


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("call", CALLS)
def test_a_column_of_any_library_is_read_like_a_list(call: Call, columns: str) -> None:
    expected = call(make_reward(), PROMPTS, list(IMAGES), [ELEMENTS] * 3)
    assert all(isinstance(score, float) for score in expected) and len(set(expected)) == 3
    assert call(make_reward(), *COLUMNS[columns]) == expected


BAD_PROMPTS: dict[str, Any] = {
    "no content": [{"role": "user", "content": None}],
    "content left out": [{"role": "user"}],
    "system only": [{"role": "system", "content": "Draw."}],
    "tool last": [{"role": "user", "content": None}, {"role": "tool", "content": "42"}],
    "NaN": float("nan"),
    "NA": pd.NA,
    "number": np.int64(3),
}


@pytest.mark.parametrize("prompt", BAD_PROMPTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_prompt_without_text_is_a_row_with_a_reason(call: Call, prompt: str) -> None:
    scores = call(make_reward(), [PROMPTS[0], BAD_PROMPTS[prompt], PROMPTS[2]], list(IMAGES), [None] * 3)
    assert isinstance(scores[0], float) and isinstance(scores[2], float)
    assert isinstance(scores[1], str) and "prompt" in scores[1]


BAD_ELEMENTS: dict[str, Any] = {
    "numbers": [1, 2],
    "a None": ["a hat", None],
    "half JSON": '["a hat"',
    "mapping": {"a": 1},
}


@pytest.mark.parametrize("elements", BAD_ELEMENTS)
@pytest.mark.parametrize("call", CALLS)
def test_elements_that_cannot_be_read_are_a_row_with_a_reason(call: Call, elements: str) -> None:
    scores = call(make_reward(), PROMPTS, list(IMAGES), [None, BAD_ELEMENTS[elements], ELEMENTS])
    assert isinstance(scores[0], float) and isinstance(scores[2], float)
    assert isinstance(scores[1], str) and "elements" in scores[1]


@pytest.mark.parametrize(
    "image", [FLOATS := torch.rand(3, 8, 8) * 2 - 1, FLOATS.numpy() * 200, None, "no.png", pd.NA]
)
@pytest.mark.parametrize("call", CALLS)
def test_an_image_that_cannot_be_read_is_a_row_with_a_reason(call: Call, image: Any) -> None:
    scores = call(make_reward(), PROMPTS, [IMAGES[0], image, IMAGES[2]], [None] * 3)
    assert isinstance(scores[0], float) and isinstance(scores[2], float)
    assert isinstance(scores[1], str) and "image" in scores[1]


# -- What a model wrote, rendered ---------------------------------------------------------------------------


def fragile(text: str) -> Any:
    if "bad" in text:
        raise ValueError("no\nvalid SVG")
    return render(text)


COMPLETIONS = [
    "<svg/>",
    "bad",
    "",
    [{"role": "assistant", "content": None}],
    [{"role": "assistant", "content": "<svg/>"}],
]


def test_a_render_that_fails_is_a_row_with_a_reason_in_trl() -> None:
    extra: dict[str, list[str]] = {}
    function = reward_func(make_reward(), render=fragile)
    scores = function([PROMPTS[0]] * 5, COMPLETIONS, log_extra=extra.__setitem__)
    assert [score is None for score in scores] == [False, True, True, True, False]
    reasons = extra["judge_unscored"]
    assert (
        "ValueError: no valid SVG" in reasons[1] and "no image" in reasons[2] and "completion" in reasons[3]
    )


def test_a_render_that_fails_is_a_row_with_a_reason_in_verl() -> None:
    compute_score = compute_score_of(make_reward(), render=fragile)

    async def score_all() -> list[dict[str, Any]]:
        return await asyncio.gather(
            *(compute_score(solution_str=text, ground_truth=PROMPTS[0]) for text in COMPLETIONS)
        )

    scores = asyncio.run(score_all())
    assert [score["unscored"] for score in scores] == [0, 1, 1, 1, 0]
    assert {score["score"] for score in scores[1:4]} == {scores[0]["score"]}, (
        "the mean of the others is neutral"
    )
    assert "no valid SVG" in scores[1]["reason"]


def test_a_render_that_fails_is_a_row_with_a_reason_in_openrlhf() -> None:
    client = TestClient(openrlhf.app(make_reward(), fragile))
    body = {"query": ["a cat<svg/>", "a catbad", None], "prompts": ["a cat", "a cat", chats(["a cat"])[0]]}
    answer = client.post("/get_reward", json=body).json()
    assert answer["extra_logs"]["unscored"] == [0.0, 1.0, 1.0]


def test_a_chat_without_text_is_a_row_in_the_reward_server_of_openrlhf() -> None:
    client = TestClient(openrlhf.app(make_reward(), render))
    prompts = ["a cat", [{"role": "user", "content": None}], None]
    labels = [json.dumps({"elements": "a hat; a dog"}), {"elements": [1]}, None]
    answer = client.post(
        "/get_reward", json={"query": ["x"] * 3, "prompts": prompts, "labels": labels}
    ).json()
    assert answer["extra_logs"]["unscored"] == [0.0, 1.0, 1.0]


def test_trl_names_the_columns_where_the_one_of_the_images_is_not_among_them() -> None:
    for options, field in ({}, "image"), ({"render": render, "prompt": "caption"}, "prompt"):
        with pytest.raises(InputError, match="pictures") as caught:
            reward_func(make_reward(), **options)(PROMPTS, ["x"] * 3, pictures=list(IMAGES), log_extra=None)
        assert caught.value.field == field


def test_a_row_without_a_score_has_the_same_entries_as_the_others() -> None:
    """verl and OpenRLHF make columns of them, and index each by the entries of the first."""
    compute_score = compute_score_of(make_reward(), render=fragile)

    async def score_in_turn() -> list[dict[str, Any]]:
        return [
            await compute_score(solution_str=text, ground_truth="a cat") for text in ("<svg/>", "bad", "<p/>")
        ]

    first, *others = asyncio.run(score_in_turn())
    assert "alignment" in first and all(set(other) == set(first) for other in others)
    client = TestClient(openrlhf.app(make_reward(), fragile))
    logs = [
        client.post("/get_reward", json={"query": [text], "prompts": ["a cat"]}).json()["extra_logs"]
        for text in ("<svg/>", "bad", "<p/>")
    ]
    assert set(logs[0]) == set(logs[1]) == set(logs[2]) and logs[1]["unscored"] == [1.0]


# -- Batches without any score ------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [call_verl, call_flow_grpo])
def test_a_batch_without_any_score_raises_where_the_trainer_takes_no_none(call: Call) -> None:
    with pytest.raises(UnscoredBatchError, match=r"none of 3 images could be scored.*not JSON"):
        call(unscored_reward(), PROMPTS, list(IMAGES), [None] * 3)


@pytest.mark.parametrize("cause", ["range", "prompts", "elements"])
@pytest.mark.parametrize("call", [call_verl, call_flow_grpo])
def test_a_good_batch_before_changes_nothing_about_that(call: Call, cause: str) -> None:
    reward = make_reward()
    call(reward, PROMPTS, list(IMAGES), [None] * 3)
    images = list(IMAGES.astype(np.float32) + 3) if cause == "range" else list(IMAGES)
    prompts = [BAD_PROMPTS["no content"]] * 3 if cause == "prompts" else PROMPTS
    with pytest.raises(UnscoredBatchError, match="none of 3 images"):
        call(reward, prompts, images, [[1] if cause == "elements" else None] * 3)


@pytest.mark.parametrize("call", [call_reward, call_trl, call_trl_async])
def test_a_batch_without_any_score_is_all_none_and_an_error_in_the_log_where_none_is_taken(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "judge.reward"):
        scores = call(unscored_reward(), PROMPTS, list(IMAGES), [None] * 3)
    assert all(isinstance(score, str) for score in scores)
    assert "3 of 3 unscored" in caplog.text


def test_the_servers_answer_a_batch_without_any_score_with_status_503() -> None:
    flow = TestClient(flow_grpo.app(unscored_reward()))
    images = [base64.b64encode(encode_png(pixels)).decode() for pixels in IMAGES]
    rlhf = TestClient(openrlhf.app(unscored_reward(), render))
    for response in (
        flow.post("/", json={"images": images, "prompts": PROMPTS}),
        rlhf.post("/get_reward", json={"query": ["x"] * 3, "prompts": PROMPTS}),
    ):
        assert response.status_code == 503 and "none of 3 images" in response.json()["error"]


def test_single_calls_without_a_score_end_in_an_error_after_a_while() -> None:
    """Verl asks for one sample at a time: a constant in each would not be seen in any one call."""
    neutral, unscored = NeutralScores(), [RewardResult(None, "broken")]
    assert neutral(["x"], [RewardResult(0.5)]) == [0.5]
    assert {neutral(["y"], unscored)[0] for _ in range(MAX_UNSCORED_RUN)} == {0.5}
    with pytest.raises(UnscoredBatchError, match="65 in a row"):
        neutral(["y"], unscored)
    assert neutral(["x"], [RewardResult(0.5)]) == [0.5]
    assert neutral(["y"], unscored) == [0.5]


def test_a_number_of_the_caller_stands_for_a_batch_with_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a young generator writes often has no image at all."""
    with caplog.at_level(logging.ERROR, "judge.reward"):
        scores, _ = flow_grpo.reward_fn(unscored_reward(), unscored=0.0)(IMAGES, PROMPTS)
        client = TestClient(openrlhf.app(unscored_reward(), render, unscored=0.0))
        answer = client.post("/get_reward", json={"query": ["x"] * 3, "prompts": PROMPTS}).json()
        compute_score = compute_score_of(make_reward(), render=fragile, unscored=0.0)
        score = asyncio.run(compute_score(solution_str="bad", ground_truth="a cat"))
    assert scores == answer["rewards"] == [0.0] * 3 and score["score"] == 0.0
    assert caplog.text.count("none of 3 images could be scored") == 2


# -- The server of Flow-GRPO, and metadata ------------------------------------------------------------------


def test_no_cell_of_a_request_is_read_as_a_path(tmp_path: Any) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode_png(IMAGES[0]))
    client = TestClient(flow_grpo.app(make_reward()))
    good = base64.b64encode(encode_png(IMAGES[1])).decode()
    for hidden in (str(path), {"path": str(path)}, {"image": str(path)}, {"bytes": str(path)}, [str(path)]):
        reward = make_reward()
        client = TestClient(flow_grpo.app(reward))
        response = client.post("/", json={"images": [good, hidden], "prompts": PROMPTS[:2]})
        assert response.status_code == 200 and len(reward.judge.backend.requests) == 1


def test_metadata_that_is_no_list_of_rows_is_said_to_be_unused(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "judge.reward"):
        flow_grpo.reward_fn(make_reward())(IMAGES, PROMPTS, [{"elements": ELEMENTS}])
        flow_grpo.reward_fn(make_reward())(IMAGES, PROMPTS, {})
    assert caplog.text.count("metadata: not used") == 1


def test_metadata_of_a_row_that_is_no_mapping_is_a_reason() -> None:
    results = make_reward()(
        prompts=PROMPTS, images=list(IMAGES), metadata=['{"elements": "a; b"}', 5, np.nan]
    )
    assert [bool(result.reason) for result in results] == [False, True, False]
    assert "metadata" in results[1].reason


@pytest.mark.parametrize("call", [call_reward, call_trl, call_ensemble, call_flow_grpo])
def test_a_bright_image_in_a_batch_of_another_range_is_not_scored(call: Call) -> None:
    bright = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 510 + 0.5
    batch = torch.stack([bright[0], bright[1], bright[2] * 2 - 2])
    if call is call_flow_grpo:
        with pytest.raises(UnscoredBatchError, match=r"-1\.\.1"):
            call(make_reward(), PROMPTS, batch, [None] * 3)
        return
    scores = call(make_reward(), PROMPTS, batch, [None] * 3)
    assert all(isinstance(score, str) and "-1..1" in score or score == "None" for score in scores)


def test_metadata_may_be_a_table() -> None:
    rows = [{"elements": ELEMENTS, "id": n} for n in range(3)]
    for table in (rows, pd.DataFrame(rows), pa.Table.from_pylist(rows)):
        results = make_reward()(prompts=PROMPTS, images=list(IMAGES), metadata=table)
        assert [result.verdict.id for result in results] == ["0", "1", "2"]
        assert {element.name for result in results for element in result.verdict.elements} == set(ELEMENTS)


# -- The interface of ImageReward ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "images",
    [list(IMAGES), tuple(IMAGES), IMAGES, torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255],
    ids=["list", "tuple", "array", "tensor"],
)
def test_images_of_a_prompt_are_scored_as_imagereward_does(images: Any) -> None:
    reward = make_reward()
    scores = reward.score("a red circle", images)
    assert scores == [r.score for r in make_reward()(prompts=["a red circle"] * 3, images=list(IMAGES))]
    assert reward.score(np.array("a red circle"), IMAGES[0]) == scores[0]


def test_a_missing_score_is_nan_in_a_list_and_an_error_alone() -> None:
    scores = make_reward().score("a red circle", [IMAGES[0], "no.png", IMAGES[1] * 1.5])
    assert [np.isnan(score) for score in scores] == [False, True, True]
    for prompt, images in (("a red circle", "no.png"), ([{"role": "user", "content": None}], list(IMAGES))):
        with pytest.raises(UnscoredBatchError, match=r"image|prompt"):
            make_reward().score(prompt, images)
