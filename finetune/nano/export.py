"""Writes the files of the embedded judge (judge/assets/nano) from the folders of its trainings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from finetune.nano.network import IMAGE_PIXELS, copy_processor_files
from judge.agent.questions import LOOK_ADAPTER_NAME
from judge.errors import InputError
from judge.rubrics.files import list_rubric_names
from judge.scenes import vocabulary
from judge.scenes.drawing.defects import describe_defect

DOMAIN = (
    "scenes drawn by this package: plain shapes and simple figures, their colours, counts and places, "
    "backgrounds, local damage and whole-picture degradations; anything else is outside its training"
)
WORDS = (
    *vocabulary.OBJECT_KINDS,
    *map(vocabulary.pluralize, vocabulary.OBJECT_KINDS),
    *vocabulary.COLORS,
    *vocabulary.BACKGROUNDS,
)
PHRASES = (
    *(describe_defect(kind, "cat", "tail") for kind in vocabulary.DEFECT_KINDS if kind != "fused"),
    "the cat and the cat are fused",
    *(f"{n} of {m} elements are there; no damage" for n in range(8) for m in (n, n + 1) if m),
    *(f"{level} {kind}" for level in vocabulary.SEVERITIES[1:] for kind in vocabulary.DEGRADATIONS[1:]),
)
"""Typical explanations of the judge. A backend proposes them as guesses and saves forward passes."""

VIDEO_DOMAIN = (
    "clips drawn by this package: its scenes in motion, with flicker, jitter, frozen and dropped frames, "
    "morphing objects and blur; quality is read from what is measured in the frames; anything else is "
    "outside its training"
)
QUALITY_DOMAIN = (
    "the technical quality of photographs: blur, noise, compression, banding, enlargement, exposure, contrast"
    " and color, learnt on distorted photographs and on mean opinions about 285 of LIVE in the Wild; and of "
    "scenes drawn by this package"
)
LOOK_DOMAIN = "parts of large scenes drawn by this package, with one small defect or none"
ADAPTER_DOMAINS = {
    "quality": QUALITY_DOMAIN,
    "video": VIDEO_DOMAIN,
    LOOK_ADAPTER_NAME.format("default"): LOOK_DOMAIN,
}
"""Name of an adapter for one rubric, or for closer looks -> what it was trained on."""


def export_judge(base: Path, adapter: Path, out: Path) -> None:
    """Write OUT/base (bfloat16 safetensors, tokenizer, processor), OUT/adapter and OUT/judge.json.

    Args:
        base: folder of the pre-trained model.
        adapter: folder of the judging adapter.
        out: folder to write.
    """
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16)
    shutil.rmtree(out / "base", ignore_errors=True)
    (out / "base").mkdir(parents=True)
    model.save_pretrained(out / "base")
    copy_processor_files(base, out / "base")
    _write_adapter(adapter, out / "adapter")
    info = {"domain": DOMAIN, "brief": True, "size": IMAGE_PIXELS}
    info |= {"rubrics": ["default"], "words": sorted(set(WORDS))}
    info["phrases"] = PHRASES
    _write_json(out / "judge.json", info)


def export_adapter(adapter: Path, out: Path) -> None:
    """Replace the adapter of an exported judge by another one of the same base, OUT/adapter.

    Args:
        adapter: folder of the adapter.
        out: folder of the judge.

    Raises:
        InputError: `adapter` is no adapter, or `out` holds no judge.
    """
    _check_export(adapter, out)
    _write_adapter(adapter, out / "adapter")


def export_rubric_adapter(
    adapter: Path, out: Path, rubric: Literal["quality", "video", "default-look"]
) -> None:
    """Add an adapter for one rubric, or for closer looks, to an exported judge.

    The adapter is written to OUT/RUBRIC and named in OUT/judge.json.

    Args:
        adapter: folder of the adapter.
        out: folder of the judge.
        rubric: name of the rubric, or RUBRIC-look for closer looks.

    Raises:
        InputError: `adapter` is no adapter, or `out` holds no judge.
    """
    _check_export(adapter, out)
    folder = out / rubric
    _write_adapter(adapter, folder)
    _write_json(folder / "judge.json", {"domain": ADAPTER_DOMAINS[rubric]})
    info = json.loads((out / "judge.json").read_text("utf-8"))
    info["adapters"] = {**info.get("adapters", {}), rubric: rubric}
    info["rubrics"] = [name for name in list_rubric_names() if name in (*info["rubrics"], rubric)]
    _write_json(out / "judge.json", info)


def _check_export(adapter: Path, out: Path) -> None:
    if not (adapter / "adapter_model.safetensors").is_file():
        mend = "train one first"
        raise InputError("adapter", str(adapter), "a folder with adapter_model.safetensors", mend)
    if not (out / "judge.json").is_file():
        mend = "export the base and its adapter first, with `ship`"
        raise InputError("out", str(out), "a folder with judge.json", mend)


def _write_adapter(adapter: Path, folder: Path) -> None:
    """Write an adapter in float16, which halves its size without a visible loss (eleven bits)."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(adapter / "adapter_config.json", folder / "adapter_config.json")
    weights = load_file(adapter / "adapter_model.safetensors")
    halves = {name: weight.half() for name, weight in weights.items()}
    save_file(halves, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    _set_base_path(folder / "adapter_config.json")


def _write_json(path: Path, info: dict[str, Any]) -> None:
    path.write_text(json.dumps(info, indent=1) + "\n", "utf-8")


def _set_base_path(config: Path) -> None:
    """Replace the folder that an adapter's base was loaded from, which other machines do not have."""
    settings = json.loads(config.read_text("utf-8"))
    settings["base_model_name_or_path"] = "../base"
    config.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", "utf-8")
