"""The clients that trainers bring, against our servers and functions over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests
import torch
from PIL import Image
from random_backend import RandomBackend
from real_clients import import_alone, running_app
from rewards import IMAGES, PROMPTS, make_reward, render

import judge.reward.verl as verl_plugin
from judge import Judge
from judge.reward import Reward, flow_grpo, openrlhf

QUALITY = "quality"


def post_pickle(url: str, images: Any, **fields: Any) -> Any:
    """Post as `flow_grpo/rewards.py` does in `unifiedreward_score_remote` and `deqa_score_remote`.

    Float tensors (N, 3, H, W) in 0..1 become arrays (N, H, W, 3), each image the bytes of a JPEG file, and
    the dict is pickled; `requests` sends it without a content type. Source: github.com/yifan123/flow_grpo,
    54809b5.
    """
    if isinstance(images, torch.Tensor):
        images = (images * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        images = images.transpose(0, 2, 3, 1)
    files = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="JPEG")
        files.append(buffer.getvalue())
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, data=pickle.dumps({"images": files, **fields}), timeout=120)
    return pickle.loads(response.content) if response.ok else response


@pytest.mark.parametrize("as_tensor", [False, True])
def test_flow_grpo_posts_images_and_prompts_and_gets_a_number_for_each(as_tensor: bool) -> None:
    images = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255 if as_tensor else IMAGES
    with running_app(flow_grpo.app(make_reward(), pickled=True)) as url:
        outputs = []
        for batch, prompts in zip(np.array_split(images, 2), np.array_split(PROMPTS, 2), strict=True):
            outputs += post_pickle(url, batch, prompts=prompts)["outputs"]
    weighted = [0.5 * score for score in outputs]  # as `multi_score` uses them
    assert len(weighted) == 3 and all(0 <= score <= 0.5 for score in weighted)


def test_a_client_of_flow_grpo_that_sends_images_only_is_judged_under_a_rubric_without_prompts() -> None:
    reward = Reward(Judge(backend=RandomBackend(1), rubric=QUALITY))
    with running_app(flow_grpo.app(reward, pickled=True)) as url:
        assert len(post_pickle(url, IMAGES)["outputs"]) == 3
    with running_app(flow_grpo.app(make_reward(), pickled=True)) as url:
        refused = post_pickle(url, IMAGES)
    assert refused.status_code == 400 and "prompts" in refused.json()["error"]


def test_flow_grpo_over_json_as_the_docs_say() -> None:
    files = [base64.b64encode(_png(pixels)).decode() for pixels in IMAGES]
    with running_app(flow_grpo.app(make_reward())) as url:
        response = requests.post(url, json={"images": files, "prompts": PROMPTS}, timeout=60)
    assert len(response.json()["outputs"]) == 3


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def agent() -> Any:
    """OpenRLHF's own module that asks a remote reward model."""
    return import_alone("openrlhf.utils.agent")


def test_openrlhf_asks_for_each_rollout_and_reads_reward_score_and_logs(agent: Any) -> None:
    """The tokenizer and the engine are stand-ins; request and reading of the answer are OpenRLHF's."""

    def tokenize(text: str, **_: Any) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.tensor([[ord(letter) for letter in text]])}

    class Tokenizer:
        __call__ = staticmethod(tokenize)

        def decode(self, tokens: list[int], **_: Any) -> str:
            return "".join(map(chr, tokens))

    class Engine:
        async def generate(self, tokens: list[int], *_: Any, **__: Any) -> Any:
            output = SimpleNamespace(token_ids=[ord("x")] * len(tokens), finish_reason="stop", logprobs=None)
            return SimpleNamespace(outputs=[output])

    async def roll_out(url: str) -> list[dict[str, Any]]:
        executor = agent.SingleTurnAgentExecutor(f"{url}{openrlhf.PATH}")
        sampling = SimpleNamespace(max_tokens=64, logprobs=None)
        rollouts = [
            executor.execute(prompt, label, sampling, 4096, Tokenizer(), Engine())
            for prompt, label in zip(PROMPTS, ["", None, '{"elements": ["a hat"]}'], strict=True)
        ]
        return await asyncio.gather(*rollouts)

    with running_app(openrlhf.app(make_reward(), render)) as url:
        rollouts = asyncio.run(roll_out(url))
    for rollout in rollouts:
        # Experience makers index the first, as one query is sent at a time.
        assert 0 <= rollout["reward"][0] <= 1 and rollout["scores"] == rollout["reward"]
        assert rollout["extra_logs"]["unscored"] == [0.0] and "alignment" in rollout["extra_logs"]
        assert torch.tensor(rollout["reward"]).shape == (1,)


def test_openrlhf_with_two_servers_gets_every_reward_in_order(agent: Any) -> None:
    async def ask(urls: list[str]) -> list[Any]:
        executor = agent.SingleTurnAgentExecutor([f"{url}{openrlhf.PATH}" for url in urls])
        queries = [f"{prompt}{'x' * (n + 1)}" for n, prompt in enumerate(PROMPTS)]
        return await executor._fetch_rewards_via_http(queries, PROMPTS, [None] * 3)

    with (
        running_app(openrlhf.app(make_reward(), render)) as first,
        running_app(openrlhf.app(make_reward(), render)) as second,
    ):
        answers = asyncio.run(ask([first, second]))
    assert [len(answer["rewards"]) for answer in answers] == [2, 1]


@pytest.fixture(scope="module")
def load_manager() -> Any:
    """verl's own function that loads a reward function by its configuration, and its reward manager."""
    import_alone(
        "verl.experimental.reward_loop.reward_manager.naive",
        {"transformers": {"AutoTokenizer": object}},
        verl={"DataProto": object},
        verl__utils={},
        verl__experimental__reward_loop__reward_manager={"register": lambda _: lambda manager: manager},
    )
    loader = import_alone("verl.trainer.ppo.reward")
    manager = import_alone("verl.experimental.reward_loop.reward_manager.naive").NaiveRewardManager

    def load(path: Path, name: str) -> Any:
        config = SimpleNamespace(
            reward={"custom_reward_function": {"path": str(path), "name": name, "reward_kwargs": {}}}
        )
        tokenizer = SimpleNamespace(decode=lambda tokens, **_: "".join(map(chr, tokens.tolist())))
        return manager(config, tokenizer, loader.get_custom_reward_fn(config))

    return load


class Batch(list):
    """What the reward manager reads of a `DataProto`: items by number, slices."""

    def __getitem__(self, at: Any) -> Any:
        return Batch(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)


def sample(text: str, **extra: Any) -> Batch:
    """One sample as verl's data sets hold it: tokens, and columns of the parquet row."""
    response = torch.tensor([ord(letter) for letter in text])
    columns = {
        "data_source": "drawings",
        "reward_model": {"ground_truth": "a red circle", "style": "rule"},
        "extra_info": {"index": 3, **extra},
    }
    batch = {"responses": response, "attention_mask": torch.ones(len(response) + 4, dtype=torch.int64)}
    return Batch([SimpleNamespace(batch=batch, non_tensor_batch=columns)])


PLUGIN = """
from rewards import make_reward, render
from judge.reward.verl import compute_score_of

compute_score = compute_score_of(make_reward(), render=render)
"""


def test_verl_loads_a_module_with_a_judge_and_awaits_it(load_manager: Any, tmp_path: Path) -> None:
    path = tmp_path / "reward.py"
    path.write_text(PLUGIN)

    async def run() -> list[Any]:
        manager = load_manager(path, "compute_score")
        assert manager.is_async_reward_score
        samples = [sample("abc"), sample("abcd", elements=["a hat"]), sample("")]
        return await asyncio.gather(*map(manager.run_single, samples))

    scored, other, unscored = asyncio.run(run())
    assert 0 <= scored["reward_score"] <= 1 and scored["reward_extra_info"]["unscored"] == 0
    assert other["reward_extra_info"]["reason"] == ""
    # verl logs every entry of the dict, so that all samples need the same ones.
    assert unscored["reward_extra_info"]["unscored"] == 1 and unscored["reward_extra_info"]["reason"]
    assert isinstance(unscored["reward_score"], float)


def test_verl_loads_the_function_of_the_embedded_judge_by_its_file(load_manager: Any) -> None:
    async def run() -> Any:
        manager = load_manager(Path(verl_plugin.__file__), "compute_score_image")
        assert manager.is_async_reward_score
        data = sample("abc")
        with pytest.raises(Exception, match="render"):
            await manager.run_single(data)

    asyncio.run(run())
