"""Each trainer's adapter against that trainer's own package, or the protocol that it published."""

from __future__ import annotations

import asyncio
import base64
import inspect
import io
import json
import math
import pickle

import numpy as np
import pytest
import torch
from filler import Filler
from PIL import Image
from starlette.testclient import TestClient
from tiny import tokenizer

from judge import InputError, Judge
from judge.backends import torchvision_compat as _torchvision
from judge.backends.scripted import Scripted
from judge.reward import Reward, flow_grpo, openrlhf, verl
from judge.reward.diffusers import ScoreCallback
from judge.reward.servers import run
from judge.reward.trl import async_reward_func, reward_func, text_of

_torchvision.mend()  # before trl and diffusers are imported
PROMPTS = ["a red circle", "a red circle", "a blue square"]
PIXELS = np.stack([np.full((8, 8, 3), n * 50, dtype=np.uint8) for n in range(3)])


def reward(seed: int = 1) -> Reward:
    return Reward(Judge(backend=Filler(seed)))


def broken(times: int = 50) -> Reward:
    return Reward(Judge(backend=Scripted(["no JSON"] * times)))


def scored() -> list[float]:
    return [result.score for result in reward()(prompts=PROMPTS, images=list(PIXELS))]


def drawn(text: str) -> np.ndarray | None:
    """A stand-in for a renderer: the text's length is the picture."""
    return np.full((8, 8, 3), len(text) % 256, dtype=np.uint8) if text else None


# ------------------------------------------------------------------------------------------------- TRL


def test_trl_reads_the_picture_columns_and_logs_the_parts() -> None:
    metrics: dict[str, float] = {}
    extra: dict[str, list] = {}
    given = {"completion_ids": None, "log_metric": metrics.__setitem__, "log_extra": extra.__setitem__}
    images = [[Image.fromarray(pixels)] for pixels in PIXELS]
    completions = ["x"] * 3
    assert reward_func(reward())(PROMPTS, completions, images=images, **given) == scored()
    assert reward_func(reward())(PROMPTS, completions, image=list(PIXELS), **given) == scored()
    assert {"judge/score", "judge/alignment", "judge/structure", "judge/unscored"} <= set(metrics)
    assert not extra


def test_trl_takes_none_for_what_was_not_scored_and_tells_why() -> None:
    metrics: dict[str, float] = {}
    extra: dict[str, list] = {}
    given = {"log_metric": metrics.__setitem__, "log_extra": extra.__setitem__}
    told = reward_func(broken(), render=drawn)(PROMPTS, ["a", "", "b"], **given)
    assert told == [None] * 3
    assert metrics == {"judge/unscored": 3.0}, "a mean of nothing would be NaN"
    assert len(extra["judge_unscored"]) == 3 and all(extra["judge_unscored"])


def test_trl_chats_and_columns_of_the_pictures_own_prompt() -> None:
    asked = [{"type": "image"}, {"type": "text", "text": "a red circle"}]
    chat = [{"role": "system", "content": "draw"}, {"role": "user", "content": asked}]
    assert text_of(chat) == "a red circle"
    judged = reward()
    told = reward_func(judged, render=drawn, prompt="caption")
    told(["svg:"], [[{"role": "assistant", "content": "abc"}]], caption=["a red circle"])
    assert "a red circle" in str(judged.judge.backend.asks[0].messages)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["GRPO", "RLOO"])
def test_a_real_trl_trainer_trains_on_it_and_goes_on_past_what_is_not_scored(tmp_path, trainer: str) -> None:
    import trl
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer(False)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), pad_token_id=0, eos_token_id=2, **shape))
    options = getattr(trl, f"{trainer}Config")(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=4,
        max_completion_length=6,
        beta=0.0, use_cpu=True, bf16=False, gradient_checkpointing=False, logging_steps=1,
        save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    funcs = [
        reward_func(reward(), render=drawn, name="sync"),
        async_reward_func(reward(2), render=drawn, name="awaited"),
        reward_func(broken(), render=drawn, name="broken"),
    ]
    run = getattr(trl, f"{trainer}Trainer")(
        model=model, reward_funcs=funcs, args=options, processing_class=words,
        train_dataset=Dataset.from_list([{"prompt": "a red circle"}] * 8),
    )  # fmt: skip
    before = model.lm_head.weight.detach().clone()
    run.train()
    logged = [row for row in run.state.log_history if "reward" in row]
    assert len(logged) == 2 and all(math.isfinite(row["reward"]) for row in logged)
    assert {"sync/alignment", "awaited/structure", "broken/unscored"} <= set(logged[0])
    assert all(row["broken/unscored"] == 4 for row in logged)
    assert not torch.equal(before, model.lm_head.weight)


# ------------------------------------------------------------------------------------------- Flow-GRPO


def test_flow_grpo_takes_both_layouts_of_pictures() -> None:
    scores, details = flow_grpo.reward_fn(reward())(PIXELS, PROMPTS, [{}] * 3)
    floats = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255
    assert scores == flow_grpo.reward_fn(reward())(floats, PROMPTS, [{}] * 3)[0] == scored()
    assert details["unscored"] == {} and "alignment" in details["parts"]


def test_flow_grpo_gets_a_neutral_number_for_what_was_not_scored() -> None:
    scores, details = flow_grpo.reward_fn(reward())([PIXELS[0], None, PIXELS[2]], PROMPTS, [{}] * 3)
    assert scores[1] == scores[0] and list(details["unscored"]) == [1]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_flow_grpo_server_answers_json() -> None:
    client = TestClient(flow_grpo.app(reward()))
    images = [base64.b64encode(png(pixels)).decode() for pixels in PIXELS]
    answer = client.post("/", json={"images": images, "prompts": PROMPTS})
    assert answer.json()["outputs"] == pytest.approx(scored())
    assert client.post("/", json={"images": images}).status_code == 400
    assert (
        client.post("/", content=b"[" * 9999, headers={"content-type": "application/json"}).status_code == 400
    )


def test_paths_sent_to_the_server_read_nothing(tmp_path) -> None:
    place = tmp_path / "secret.png"
    place.write_bytes(png(PIXELS[0]))
    backend = Filler(1)
    client = TestClient(flow_grpo.app(Reward(Judge(backend=backend))))
    client.post("/", json={"images": [str(place)], "prompts": ["a red circle"]})
    assert not backend.asks


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_pickles_are_taken_only_where_asked_for_only_from_here_and_never_run(capsys) -> None:
    """The body is what Flow-GRPO's own clients post: bytes of JPEG files, prompts split by numpy."""
    body = pickle.dumps({"images": [png(p) for p in PIXELS], "prompts": np.array_split(PROMPTS, 1)[0]})
    here = ("127.0.0.1", 4000)
    closed = TestClient(flow_grpo.app(reward()), client=here)
    assert closed.post("/", content=body).status_code == 400
    away = TestClient(flow_grpo.app(reward(), pickled=True), client=("10.0.0.8", 4000))
    assert away.post("/", content=body).status_code == 400
    opened = TestClient(flow_grpo.app(reward(), pickled=True), client=here)
    answer = opened.post("/", content=body)
    assert pickle.loads(answer.content)["outputs"] == pytest.approx(scored())
    assert opened.post("/", content=pickle.dumps({"images": [Evil()], "prompts": ["x"]})).status_code == 400
    assert "run" not in capsys.readouterr().out
    with pytest.raises(InputError, match="127.0.0.1"):
        run(None, "0.0.0.0", 1, closed=True)


# ------------------------------------------------------------------------------------- verl, verl-omni


def test_verl_omni_samples_that_come_together_are_scored_together() -> None:
    judged = reward()
    compute = verl.compute_score_of(judged)
    assert inspect.iscoroutinefunction(compute) and inspect.iscoroutinefunction(verl.compute_score_image)

    async def all_of_them() -> list[dict]:
        return await asyncio.gather(
            *(
                compute(
                    data_source="x", ground_truth=prompt,
                    solution_image=torch.from_numpy(pixels).permute(2, 0, 1),
                    extra_info={"num_turns": None}, reward_router_address="", sampling_params={},
                )
                for prompt, pixels in zip(PROMPTS, PIXELS, strict=True)
            )
        )  # fmt: skip

    told = asyncio.run(all_of_them())
    assert [one["score"] for one in told] == scored()
    assert all(one["unscored"] == 0 and "alignment" in one for one in told)
    assert len(judged.judge.backend.asks) == 3


def test_verl_texts_are_rendered_and_the_prompt_comes_from_extra_info() -> None:
    compute = verl.compute_score_of(reward(), render=drawn)
    asked = {"data_source": "x", "solution_str": "abc", "ground_truth": ""}
    assert 0 <= asyncio.run(compute(**asked, extra_info={"prompt": "a red circle"}))["score"] <= 1
    with pytest.raises(InputError, match="prompt"):
        asyncio.run(compute(**asked, extra_info={}))


def test_verl_is_told_a_number_and_that_it_is_none() -> None:
    fixed = verl.compute_score_of(broken(), unscored=-1.0)
    told = asyncio.run(fixed(solution_image=PIXELS[0], ground_truth="a red circle"))
    assert told["score"] == -1.0 and told["unscored"] == 1 and "not JSON" in told["reason"]


# --------------------------------------------------------------------------------------------- OpenRLHF


def test_openrlhf_gets_rewards_scores_and_logs() -> None:
    client = TestClient(openrlhf.app(reward(), drawn))
    queries = [f"{prompt}{'x' * n}" for n, prompt in enumerate(PROMPTS)]
    labels = ["", json.dumps({"elements": ["a hat"]}), "4"]
    told = client.post("/get_reward", json={"query": queries, "prompts": PROMPTS, "labels": labels}).json()
    assert len(told["rewards"]) == 3 and told["rewards"] == told["scores"]
    assert told["extra_logs"]["unscored"] == [1.0, 0.0, 0.0], "nothing was written, so nothing was drawn"
    assert all(len(values) == 3 for values in told["extra_logs"].values())


@pytest.mark.parametrize("body", [{}, {"query": ["a"], "prompts": []}, {"query": [1], "prompts": [2]}, []])
def test_openrlhf_bodies_that_do_not_pair_are_refused(body) -> None:
    answer = TestClient(openrlhf.app(reward(), drawn)).post("/get_reward", json=body)
    assert answer.status_code == 400 and "body" in answer.json()["error"]


# -------------------------------------------------------------------------------------------- diffusers


def parts():
    """The pieces of a Stable Diffusion pipeline, tiny and random."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    return {
        "vae": AutoencoderKL(
            latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, **blocks,
        ),
        "scheduler": DDIMScheduler(steps_offset=1, clip_sample=False),
        "text_encoder": None, "tokenizer": None, "safety_checker": None, "feature_extractor": None,
    }, lambda channels: UNet2DConditionModel(
        sample_size=8, in_channels=channels, cross_attention_dim=8, attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **blocks,
    )  # fmt: skip


EMBEDDED = {"prompt_embeds": torch.zeros(1, 4, 8), "guidance_scale": 1.0}


def test_a_diffusers_pipeline_is_scored_while_it_runs() -> None:
    from diffusers import StableDiffusionPipeline

    pieces, unet = parts()
    pipe = StableDiffusionPipeline(**pieces, unet=unet(4), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    watch = ScoreCallback(reward(), prompts=["a red circle"], every=2)
    options = {"height": 16, "width": 16, "num_inference_steps": 3, "num_images_per_prompt": 2}
    pipe(**EMBEDDED, **options, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=["latents"])
    assert [scored.step for scored in watch.history] == [1, 2], "every second step, and the last"
    assert all(len(s.results) == 2 and all(r.score is not None for r in s.results) for s in watch.history)


def test_a_picture_is_repaired_by_a_real_inpainting_pipeline_and_kept_only_if_better() -> None:
    from diffusers import StableDiffusionInpaintPipeline

    from examples.repair import repair

    pieces, unet = parts()
    pipe = StableDiffusionInpaintPipeline(**pieces, unet=unet(9), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    torn = {"kind": "cut", "box": [0, 0, 500, 500], "severity": "critical", "explanation": "it is cut"}
    marks = {"elements": {"red circle": True}, "degradation": "none", "alignment": 5, "structure": 3}
    replies = [
        {**marks, "defects": [torn] * count, "score": score, "explanation": ""}
        for count, score in ((1, 2), (1, 1), (0, 5))
    ]
    done = repair(
        pipe, PIXELS[1], prompt="a red circle", reward=Reward(Judge(backend=Scripted(replies))), rounds=3,
        **EMBEDDED, height=16, width=16, num_inference_steps=2, strength=1.0,
    )  # fmt: skip
    assert done.scores == [0.25, 0.0, 1.0], "worse was thrown away, better was kept, sound was left alone"
    assert done.instructions[0] == "a red circle, intact (mend: it is cut)"
    changed = np.abs(np.asarray(done.image).astype(int) - PIXELS[1]).max(axis=2) > 0
    assert changed[:4, :4].any() and not changed[5:, 5:].any()
