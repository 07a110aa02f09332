"""The bench of real size: scores against a bare pass over the same tokens, and time outside the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import write_checkpoint

from eval.bench import parts
from eval.bench.speed.backend import record_passes
from eval.bench.speed.real_size import BarePass, model_clock
from judge.judge import Judge
from judge.types import Sample


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"), number_tokens=True)


@pytest.fixture(scope="module")
def result(checkpoint: Path) -> dict[str, Any]:
    return parts.real_size(0, 2, 1, 1, checkpoint, "default")


def test_shares_and_rates_come_with_their_goals_and_a_profile(result: dict[str, Any]) -> None:
    assert result["vocabulary"] == 512 and result["rows"] == 2 and result["rubric"] == "default"
    assert 0 < result["verdict_outside_share"] < 1
    assert result["verdict_outside_seconds"] < result["verdict_seconds"]
    assert result["score_to_forward_rate"] == pytest.approx(
        result["forward_seconds"] / result["score_seconds"]
    )
    assert 1 <= result["foretold_score_passes"] <= result["score_passes"]
    assert 0 < result["mask_bytes"] <= result["mask_bytes_limit"]
    assert result["profile"] and all(0 <= row["share"] <= 1 for row in result["profile"])
    assert "goal" in result["notes"]["verdict_outside_share"]


def test_a_bare_pass_has_the_tokens_and_the_logits_of_the_judge(checkpoint: Path) -> None:
    judge = Judge(str(checkpoint), card=False)
    sample = Sample(image=Image.new("RGB", (64, 64), "red"), prompt="a red circle", elements=["red circle"])
    network = judge.backend.network("default")
    passes = record_passes(network, lambda: list(judge.many([sample], depth="score")))
    bare = BarePass(network, passes)
    assert bare.tokens == sum(p.kwargs["input_ids"].numel() for p in passes if "input_ids" in p.kwargs)
    assert bare.readouts > 3  # elements, attributes, dimensions and the score
    with model_clock(network) as measured:
        bare()
    assert measured.passes == 2 and measured.seconds > 0  # the body and the head
    assert not any(module._forward_pre_hooks for module in network.modules()), "no hook is left"
