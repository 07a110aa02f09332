"""`judge plan`: what it says on paper must be what models of those sizes do."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from judge import cost as plan
from judge.cli import app as cli
from judge.cost import Accelerator, Sizes, config_of, cost, tokens_of
from judge.errors import InputError

H100 = Accelerator.named("h100")
KNOWN = tomllib.loads((plan.ASSETS / "sizes.toml").read_text("utf-8"))
EXPERTS: dict[str, Any] = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "num_local_experts": 4,
    "head_dim": 16,
    "mlp_only_layers": [1],
    "vocab_size": 500,
    "moe_intermediate_size": 32,
}


def without_weights(config: Any) -> Any:
    """The model of a config, its parameters shapes only."""
    import torch

    from judge.backends import torchvision_compat as _torchvision

    _torchvision.mend()
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


def made(kind: str, **text: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(kind, text_config=text) if text else AutoConfig.for_model(kind)


@pytest.mark.parametrize("name", ["embedded", *KNOWN, "qwen2_vl", "qwen3_vl_moe"])
def test_weights_are_counted_as_the_model_has_them(name: str) -> None:
    """A count that is off is off in every number that follows from it."""
    if name in ("qwen2_vl", "qwen3_vl_moe"):
        config = made(name, **(EXPERTS if name == "qwen3_vl_moe" else {}))
    else:
        config = config_of(name)
    truth = sum(p.numel() for p in without_weights(config).parameters())
    assert Sizes.of(config).parameters == pytest.approx(truth, rel=0.005)


def test_operations_are_those_that_torch_counts() -> None:
    """One pass of the embedded judge over a picture and its question, counted while it runs."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from judge.backends import torchvision_compat as _torchvision

    _torchvision.mend()
    from transformers import AutoModelForImageTextToText

    config = config_of("embedded")
    sizes = Sizes.of(config)
    tokens = tokens_of("embedded", sizes, (224, 224), "score")
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa").eval()
    length = tokens.image + tokens.text + tokens.answer
    ids = torch.full((1, length), 40)
    ids[0, 1 : 1 + tokens.image] = config.image_token_id
    vision = {"pixel_values": torch.zeros(tokens.patches, 3 * 2 * 16 * 16),
              "image_grid_thw": torch.tensor([[1, 14, 14]]),
              "mm_token_type_ids": (ids == config.image_token_id).long()}  # fmt: skip
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=tokens.blanks, **vision)
    paper = cost(sizes, tokens, H100, depth="score").prefill_flops
    # Torch computes the half of causal attention that is then masked.
    masked = 4 * sizes.layers * sizes.heads_width * length * (length - 1) // 2
    assert counter.get_total_flops() == pytest.approx(paper + masked, rel=0.02)


def test_the_picture_is_seen_as_the_judge_shows_it() -> None:
    sizes = Sizes.of(config_of("Qwen/Qwen3-VL-8B-Instruct"))

    def seen(width: int, height: int) -> int:
        return tokens_of("Qwen/Qwen3-VL-8B-Instruct", sizes, (width, height), "score").image

    assert seen(1024, 1024) == 31 * 31  # reduced to a megapixel first
    assert seen(512, 256) == 16 * 8
    assert seen(8000, 6000) <= 1_003_520 / 32**2 * 1.05


def test_more_work_costs_more() -> None:
    sizes = Sizes.of(config_of("Qwen/Qwen3-VL-8B-Instruct"))
    model = "Qwen/Qwen3-VL-8B-Instruct"
    quick, full = (cost(sizes, tokens_of(model, sizes, (1024, 1024), depth), H100, images=10**6, depth=depth)
                   for depth in ("score", "verdict"))  # fmt: skip
    assert quick.decode_flops == 0 and full.decode_flops > 0 and quick.gpu_hours < full.gpu_hours
    small = cost(sizes, tokens_of(model, sizes, (256, 256), "score"), H100, images=10**6, depth="score")
    assert small.gpu_hours < quick.gpu_hours / 3
    assert quick.gpu_hours * 1000 == pytest.approx(
        cost(sizes, quick.tokens, H100, images=10**9, depth="score").gpu_hours
    )


def test_a_model_too_large_for_a_card_is_spread_over_several() -> None:
    sizes = Sizes.of(config_of("Qwen/Qwen3-VL-8B-Instruct"))
    tokens = tokens_of("Qwen/Qwen3-VL-8B-Instruct", sizes, (1024, 1024), "verdict")
    found = cost(sizes, tokens, Accelerator("small", 1e14, 1e12, 8e9), depth="verdict")
    assert found.cards == 3 and found.weights > 2 * 0.9 * 8e9
    assert found.weights + found.batch * found.cache <= 3 * 0.9 * 8e9


def run(*options: str) -> Any:
    return CliRunner().invoke(cli.app, ["plan", *options])


def test_the_command_prints_a_table_and_json() -> None:
    told = run("--images", "1e6", "--pixels", "1024x1024", "--depth", "score")
    assert told.exit_code == 0 and "GPU-hours" in told.stdout and "1,000,000" in told.stdout
    found = json.loads(run("--images", "1e9", "--json").stdout)
    assert found["images"] == 10**9 and found["total"]["tokens"] > 10**11 and found["tokens"]["counted"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--card", "h1000", "did you mean"), ("--card", "1,2", "h100"), ("--card", "1,nan,2", "h100"),
     ("--pixels", "1024", "WIDTHxHEIGHT"), ("--pixels", "0x5", "WIDTHxHEIGHT"), ("--images", "1.5", "whole"),
     ("--images", "inf", "whole"), ("--efficiency", "0", "efficiency"), ("--model", "/no/such", "config"),
     ("--rubric", "defualt", "did you mean")],
)  # fmt: skip
def test_bad_options_are_one_line(option: str, value: str, said: str) -> None:
    done = run(option, value)
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and said in line


def test_a_config_of_another_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="Qwen3-VL"):
        Sizes.of(config_of(str(tmp_path)))
