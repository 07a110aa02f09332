"""Every kind of model family is fine-tuned, with boxes as the family writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from real_vocabulary import tiny_checkpoint
from training_data import tiny_config

from finetune.lora.base_model import check_base, load_trainable_model
from finetune.lora.config import LossConfig
from finetune.lora.encoding import RowEncoder
from finetune.lora.evaluation import TrainingBackend
from finetune.lora.run import train_adapter
from finetune.lora.targets import load_target_sets
from judge.backends.transformers.backend import Transformers

pytestmark = pytest.mark.training


@pytest.mark.parametrize("family", ["qwen3_5", "qwen3_vl_moe"])
def test_a_family_with_a_state_or_experts_learns_in_two_steps(
    folder: Path, tmp_path: Path, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny_checkpoint(tmp_path / "base", family)
    changes = {"model.base": base, "training.batch": 2, "data.0.limit": 2, "held.limit": 1}
    config = tiny_config(folder, **changes, **{"held.depth": "score"})
    summary = train_adapter(config, tmp_path / "run")
    assert summary["steps"] == 2
    assert summary["base"]["family"] == family
    assert ("the experts are not trained" in capsys.readouterr().out) is (family == "qwen3_vl_moe")
    adapter = tmp_path / "run" / "adapter"
    assert Transformers(base, adapter=adapter).adapter == str(adapter)


def test_targets_are_boxes_in_pixels_for_a_family_that_writes_pixels(folder: Path) -> None:
    """The box 6, 6, 30, 40 of an image of 64 x 48."""
    config = tiny_config(folder, **{"model.base": folder / "qwen2_5_vl"})
    base = check_base(config.model)
    backend = TrainingBackend(*load_trainable_model(base, config.model, config.lora), base)
    encoder = RowEncoder(backend, LossConfig(), max_pixels=10**6)
    [target_set] = load_target_sets(config.data)
    target = next(target for target in target_set.targets if target.boxes)
    row = encoder.encode(target, target_set.rubric, "verdict")
    answer = backend.tokenizer.decode(row.ids[-row.answer_length :])
    frame = backend.box_translator.resized(Image.new("RGB", (64, 48)))
    x, y = frame[0] / 64, frame[1] / 48
    expected = ",".join(str(round(n)) for n in (6 * x, 6 * y, 30 * x, 40 * y))
    assert f'"box":[{expected}]' in answer
