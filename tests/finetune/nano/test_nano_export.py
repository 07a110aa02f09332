"""Export of adapters, and the whole training chain at a small size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from paths import ROOT
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from finetune.nano.export import export_adapter, export_rubric_adapter
from judge.errors import InputError


def test_an_exported_adapter_is_half_precision_and_named_in_judge_json(tmp_path: Path) -> None:
    adapter, out = tmp_path / "adapter", tmp_path / "out"
    adapter.mkdir()
    out.mkdir()
    weights = {"x.lora_A.weight": torch.randn(4, 8), "x.lora_B.weight": torch.randn(8, 4)}
    save_file(weights, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path)}))
    with pytest.raises(InputError, match=r"judge\.json"):
        export_rubric_adapter(adapter, out, "default-look")
    (out / "judge.json").write_text(json.dumps({"rubrics": ["default"]}))
    export_rubric_adapter(adapter, out, "default-look")
    stored = load_file(out / "default-look/adapter_model.safetensors")
    assert all(weight.dtype == torch.float16 for weight in stored.values())
    for name, weight in weights.items():
        assert torch.allclose(stored[name].float(), weight, rtol=1e-3, atol=1e-6)
    config = json.loads((out / "default-look/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../base"
    export_adapter(adapter, out)
    assert load_file(out / "adapter/adapter_model.safetensors").keys() == weights.keys()
    info = json.loads((out / "judge.json").read_text())
    assert info["adapters"] == {"default-look": "default-look"} and info["rubrics"] == ["default"]


@pytest.mark.timeout(1200)  # minutes on busy cores without bfloat16 instructions
@pytest.mark.slow
def test_the_small_chain_names_colors_better_than_a_constant_answer(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "finetune.nano", "smoke", str(tmp_path)],
        capture_output=True, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["color"] > result["color_constant"] + 0.1
    with safe_open(tmp_path / "nano/base/model.safetensors", "pt") as weights:
        assert all(weights.get_tensor(name).isfinite().all() for name in weights.keys())  # noqa: SIM118
    assert (tmp_path / "nano/adapter/adapter_model.safetensors").stat().st_size < 4e6
