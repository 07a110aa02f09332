"""An adapter merged into its base: one checkpoint for vLLM, or for anyone who knows no adapters.

    judge finetune merge --base Qwen/Qwen3-VL-8B-Instruct --adapter RUN/adapter --out merged

A base laid out as the embedded judge is (`judge.json` beside `base/`) gives such a folder again, so that
`Judge("merged")` still knows how to ask; any other gives a plain checkpoint. Merged in float32 and stored in
the asked type: in float32 the numbers are those of the adapter beside the base, to about 1e-5.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from finetune.lora import base as bases
from finetune.lora.config import Base
from judge.backends.checkpoints import EMBEDDED
from judge.errors import BackendError, InputError

DTYPES = ("auto", "float32", "bfloat16", "float16")


def merge(base: str, adapter: str, out: Path, *, revision: str | None = None, dtype: str = "auto") -> Path:
    """Write the merged checkpoint; returns the folder with its `config.json`.

    Args:
        base: embedded, a checkpoint, or a folder laid out as the embedded judge is.
        adapter: the adapter's folder, `embedded` for the shipped one.
        out: a folder that does not exist yet; it appears when all is written.
        revision: hub revision of the base.
        dtype: of the stored weights; auto: as the base has them.

    Raises:
        InputError: the base is no Qwen-VL, the adapter was made for another, or `out` exists.
        BackendError: the weights cannot be loaded.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if out.exists():
        raise InputError("out", str(out), "a folder that does not exist yet", "name another")
    if dtype not in DTYPES:
        raise InputError("dtype", dtype, ", ".join(DTYPES), "auto keeps the base's")
    checked = bases.check(Base(base=base, adapter=adapter, revision=revision))
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(
            checked.source, revision=revision, dtype=torch.float32
        )
        processor = AutoProcessor.from_pretrained(checked.source, revision=revision)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackendError(f"{base}: cannot be loaded ({' '.join(str(error).split())[:300]})") from error
    merged = PeftModel.from_pretrained(model, str(checked.adapter)).merge_and_unload()
    stored = checked.config.get_text_config().dtype or torch.float32
    merged = merged.to(stored if dtype == "auto" else getattr(torch, dtype))
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    card = (EMBEDDED if base == "embedded" else Path(base)) / "judge.json"
    inner = "base" if card.is_file() else ""
    (draft / inner).mkdir(parents=True)
    merged.save_pretrained(draft / inner)
    processor.save_pretrained(draft / inner)
    if inner:
        told = json.loads(card.read_text("utf-8"))
        told.pop("adapters", None)  # they are adapters of the base as it was
        (draft / "judge.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    draft.rename(out)
    return out / inner
