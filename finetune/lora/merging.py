"""Merges an adapter into its base: one checkpoint for vLLM, or for programs without adapters.

    judge finetune merge --base Qwen/Qwen3-VL-8B-Instruct --adapter RUN/adapter --out merged

If the base has the layout of the embedded judge (`judge.json` and `base/`), so has the result, and
`Judge("merged")` uses the same prompts. Any other base gives a plain checkpoint, with the `training.json` of
the adapter, by which it is asked as the adapter was trained. Weights are merged in
float32 and stored in the requested type. In float32 the numbers are those of the base with the adapter, to
about 1e-5.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from finetune.lora.base_model import check_base
from finetune.lora.config import ModelConfig
from judge.backends.adapter_training import AdapterTraining
from judge.backends.checkpoints import EMBEDDED
from judge.errors import BackendError, InputError

DTYPES = ("auto", "float32", "bfloat16", "float16")


def merge_adapter(
    base: str, adapter: str, out: Path, *, revision: str | None = None, dtype: str = "auto"
) -> Path:
    """Write the merged checkpoint.

    Args:
        base: embedded, a checkpoint, or a folder in the layout of the embedded judge.
        adapter: folder of the adapter; `embedded` for the shipped one.
        out: a folder that does not exist yet. It is created when all files are written.
        revision: hub revision of the base.
        dtype: type of the stored weights; auto: as in the base.

    Returns:
        The folder with the checkpoint's `config.json`.

    Raises:
        InputError: the base is no Qwen-VL, the adapter was made for another base, or `out` exists.
        BackendError: the weights cannot be loaded.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if out.exists():
        raise InputError("out", str(out), "a folder that does not exist yet", "name another")
    if dtype not in DTYPES:
        raise InputError("dtype", dtype, ", ".join(DTYPES), "auto keeps the base's")
    info = check_base(ModelConfig(base=base, adapter=adapter, revision=revision))
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(
            info.source, revision=revision, dtype=torch.float32
        )
        processor = AutoProcessor.from_pretrained(info.source, revision=revision)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackendError(f"{base}: cannot be loaded ({' '.join(str(error).split())[:300]})") from error
    merged = PeftModel.from_pretrained(model, str(info.adapter)).merge_and_unload()
    base_dtype = info.config.get_text_config().dtype or torch.float32
    merged = merged.to(base_dtype if dtype == "auto" else getattr(torch, dtype))
    partial_folder = out.with_name(f".{out.name}.part")
    shutil.rmtree(partial_folder, ignore_errors=True)
    judge_file = (EMBEDDED if base == "embedded" else Path(base)) / "judge.json"
    inner = "base" if judge_file.is_file() else ""
    (partial_folder / inner).mkdir(parents=True)
    merged.save_pretrained(partial_folder / inner)
    processor.save_pretrained(partial_folder / inner)
    if (training := AdapterTraining.read(Path(str(info.adapter)))) is not None:
        training.write(partial_folder / inner)
    if inner:
        settings = json.loads(judge_file.read_text("utf-8"))
        settings.pop("adapters", None)  # they are adapters of the base before the merge
        (partial_folder / "judge.json").write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
    partial_folder.rename(out)
    return out / inner
