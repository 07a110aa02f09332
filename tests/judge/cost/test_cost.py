"""The cost estimate of `judge plan` agrees with real models of the same architecture."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from judge.cli import app as cli
from judge.cost.accelerators import Accelerator
from judge.cost.architecture import CONFIGS_FILE, Architecture, load_config
from judge.cost.estimate import CostEstimate, estimate_cost
from judge.cost.tokens import count_tokens
from judge.errors import InputError
from judge.types import Depth

H100 = Accelerator.parse("h100")
OFFLINE_CONFIGS = tomllib.loads(CONFIGS_FILE.read_text("utf-8"))
QWEN_8B = "Qwen/Qwen3-VL-8B-Instruct"
MIXTURE_OF_EXPERTS: dict[str, Any] = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "num_local_experts": 4,
    "head_dim": 16,
    "mlp_only_layers": [1],
    "vocab_size": 500,
    "moe_intermediate_size": 32,
}


def load_auto_model() -> Any:
    """Transformers' auto class, imported after torchvision has been made importable."""
    from judge.backends import torchvision_compat

    torchvision_compat.patch_imports()
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText


def model_without_weights(config: Any) -> Any:
    """Build the model of a config on the meta device: its parameters have shapes and no data."""
    import torch

    auto_model = load_auto_model()
    with torch.device("meta"):
        return auto_model.from_config(config)


def default_config(kind: str, **text: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(kind, text_config=text) if text else AutoConfig.for_model(kind)


@pytest.mark.parametrize("name", ["embedded", *OFFLINE_CONFIGS, "qwen2_vl", "qwen3_vl_moe"])
def test_parameter_count_matches_the_real_model(name: str) -> None:
    """Every other number of the estimate follows from this count."""
    if name in ("qwen2_vl", "qwen3_vl_moe"):
        config = default_config(name, **(MIXTURE_OF_EXPERTS if name == "qwen3_vl_moe" else {}))
    else:
        config = load_config(name)
    expected = sum(p.numel() for p in model_without_weights(config).parameters())
    assert Architecture.from_config(config).parameters == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    ("name", "published"), [("Qwen3.5-4B", 4.66e9), ("Qwen3.5-9B", 9.65e9), ("Qwen3.5-27B", 27.78e9)]
)
def test_sizes_of_qwen3_5_give_the_published_number_of_weights(name: str, published: float) -> None:
    """The hub counts the layer that predicts a second token (MTP), which neither library loads here.

    The numbers are those of the hub's API, as public repositories quote them.
    """
    config = load_config(f"Qwen/{name}")
    text = config.get_text_config()
    heads = 3 * text.num_attention_heads + 2 * text.num_key_value_heads  # queries, their gate and outputs
    per_input = heads * text.head_dim + 3 * text.intermediate_size + 2 * text.hidden_size
    weights = Architecture.from_config(config).parameters + text.hidden_size * per_input
    assert weights == pytest.approx(published, rel=1e-3)


def test_estimated_operations_match_those_counted_by_torch() -> None:
    """One forward pass of the embedded judge over an image and its request is counted while it runs."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    config = load_config("embedded")
    architecture = Architecture.from_config(config)
    tokens = count_tokens("embedded", architecture, (224, 224), "score")
    model = load_auto_model().from_config(config, attn_implementation="sdpa").eval()
    length = tokens.image + tokens.text + tokens.answer
    ids = torch.full((1, length), 40)
    ids[0, 1 : 1 + tokens.image] = config.image_token_id
    vision = {"pixel_values": torch.zeros(tokens.patches, 3 * 2 * 16 * 16),
              "image_grid_thw": torch.tensor([[1, 14, 14]]),
              "mm_token_type_ids": (ids == config.image_token_id).long()}  # fmt: skip
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=tokens.blanks, **vision)
    estimated = estimate_cost(architecture, tokens, H100, depth="score").prefill_flops
    # Torch also computes the half of causal attention that is masked afterwards.
    masked = 4 * architecture.layers * architecture.query_width * length * (length - 1) // 2
    assert counter.get_total_flops() == pytest.approx(estimated + masked, rel=0.02)


def test_image_tokens_follow_the_resizing_of_the_judge() -> None:
    architecture = Architecture.from_config(load_config(QWEN_8B))

    def image_tokens(width: int, height: int) -> int:
        return count_tokens(QWEN_8B, architecture, (width, height), "score").image

    assert image_tokens(1024, 1024) == 31 * 31  # scaled down to a megapixel first
    assert image_tokens(512, 256) == 16 * 8
    assert image_tokens(8000, 6000) <= 1_003_520 / 32**2 * 1.05


def test_larger_images_and_full_verdicts_cost_more() -> None:
    architecture = Architecture.from_config(load_config(QWEN_8B))

    def estimate(side: int, depth: Depth, images: int = 10**6) -> CostEstimate:
        tokens = count_tokens(QWEN_8B, architecture, (side, side), depth)
        return estimate_cost(architecture, tokens, H100, images=images, depth=depth)

    score, verdict = estimate(1024, "score"), estimate(1024, "verdict")
    assert score.decode_flops == 0 and verdict.decode_flops > 0 and score.gpu_hours < verdict.gpu_hours
    assert estimate(256, "score").gpu_hours < score.gpu_hours / 3
    assert score.gpu_hours * 1000 == pytest.approx(estimate(1024, "score", images=10**9).gpu_hours)


def test_a_model_larger_than_one_accelerator_is_spread_over_several() -> None:
    architecture = Architecture.from_config(load_config(QWEN_8B))
    tokens = count_tokens(QWEN_8B, architecture, (1024, 1024), "verdict")
    estimate = estimate_cost(architecture, tokens, Accelerator("small", 1e14, 1e12, 8e9), depth="verdict")
    assert estimate.cards == 3 and estimate.weights > 2 * 0.9 * 8e9
    assert estimate.weights + estimate.batch * estimate.cache <= 3 * 0.9 * 8e9


def run_plan(*options: str) -> Any:
    return CliRunner().invoke(cli.app, ["plan", *options])


def test_the_command_prints_a_table_and_json() -> None:
    result = run_plan("--images", "1e6", "--pixels", "1024x1024", "--depth", "score")
    assert result.exit_code == 0 and "GPU-hours" in result.stdout and "1,000,000" in result.stdout
    data = json.loads(run_plan("--images", "1e9", "--json").stdout)
    assert data["images"] == 10**9 and data["total"]["tokens"] > 10**11 and data["tokens"]["counted"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--card", "h1000", "did you mean"), ("--card", "1,2", "h100"), ("--card", "1,nan,2", "h100"),
     ("--pixels", "1024", "WIDTHxHEIGHT"), ("--pixels", "0x5", "WIDTHxHEIGHT"), ("--images", "1.5", "whole"),
     ("--images", "inf", "whole"), ("--efficiency", "0", "efficiency"),
     ("--model", "/no/such", "no such folder"), ("--rubric", "defualt", "did you mean")],
)  # fmt: skip
def test_bad_options_print_one_line(option: str, value: str, message: str) -> None:
    result = run_plan(option, value)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line


def test_a_config_of_another_family_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="Qwen3-VL"):
        Architecture.from_config(load_config(str(tmp_path)))
