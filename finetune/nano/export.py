"""From a training's folders to the files of the embedded judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from finetune.nano.network import PIXELS
from finetune.nano.pretrain import tokenizer_files
from judge.agent.questions import LOOK
from judge.errors import InputError
from judge.rubrics.files import known
from judge.scenes import vocabulary
from judge.scenes.scene import sentence

DOMAIN = (
    "scenes drawn by this package: plain shapes and simple figures, their colours, counts and places, "
    "backgrounds, local damage and whole-picture degradations; anything else is outside its training"
)
WORDS = (
    *vocabulary.KINDS,
    *map(vocabulary.plural, vocabulary.KINDS),
    *vocabulary.COLORS,
    *vocabulary.BACKGROUNDS,
)
PHRASES = (
    *(sentence(kind, "cat", "tail") for kind in vocabulary.DEFECTS if kind != "fused"),
    "the cat and the cat are fused",
    *(f"{n} of {m} elements are there; no damage" for n in range(8) for m in (n, n + 1) if m),
    *(f"{level} {kind}" for level in vocabulary.SEVERITIES[1:] for kind in vocabulary.DEGRADATIONS[1:]),
)
"""What its explanations are like: guesses that save a backend rounds."""


def ship(base: Path, adapter: Path, out: Path) -> None:
    """Write OUT/base (bfloat16 safetensors, tokenizer, processor), OUT/adapter and OUT/judge.json.

    The adapter stays float32: it is small, and was trained on the base as bfloat16 holds it.
    """
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16)
    for part in ("base", "adapter"):
        shutil.rmtree(out / part, ignore_errors=True)
        (out / part).mkdir(parents=True)
    model.save_pretrained(out / "base")
    tokenizer_files(base, out / "base")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, out / "adapter" / name)
    _without_paths(out / "adapter" / "adapter_config.json")
    card = {"domain": DOMAIN, "brief": True, "size": PIXELS}
    card |= {"rubrics": ["default"], "words": sorted(set(WORDS))}
    card["phrases"] = PHRASES
    _write(out / "judge.json", card)


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
DOMAINS = {
    "quality": QUALITY_DOMAIN,
    "video": VIDEO_DOMAIN,
    LOOK.format("default"): LOOK_DOMAIN,
}


def ship_beside(adapter: Path, out: Path, rubric: Literal["quality", "video", "default-look"]) -> None:
    """Put an adapter for one rubric, or for closer looks, beside a shipped judge, OUT/RUBRIC, and name it in
    the judge's card. It is stored in float16, whose eleven bits lose nothing that shows, at half the size.

    Raises:
        InputError: `adapter` is none, or `out` holds no judge.
    """
    if not (adapter / "adapter_model.safetensors").is_file():
        mend = "train one first"
        raise InputError("adapter", str(adapter), "a folder with adapter_model.safetensors", mend)
    if not (out / "judge.json").is_file():
        mend = "ship the base and its adapter first"
        raise InputError("out", str(out), "a folder with judge.json", mend)
    place = out / rubric
    place.mkdir(exist_ok=True)
    shutil.copyfile(adapter / "adapter_config.json", place / "adapter_config.json")
    weights = load_file(adapter / "adapter_model.safetensors")
    halves = {name: weight.half() for name, weight in weights.items()}
    save_file(halves, place / "adapter_model.safetensors", metadata={"format": "pt"})
    _without_paths(place / "adapter_config.json")
    _write(place / "judge.json", {"domain": DOMAINS[rubric]})
    card = json.loads((out / "judge.json").read_text("utf-8"))
    card["adapters"] = {**card.get("adapters", {}), rubric: rubric}
    card["rubrics"] = [name for name in known() if name in (*card["rubrics"], rubric)]
    _write(out / "judge.json", card)


def _write(path: Path, card: dict[str, Any]) -> None:
    path.write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def _without_paths(config: Path) -> None:
    """An adapter's configuration names the folder its base was loaded from: of no use elsewhere."""
    settings = json.loads(config.read_text("utf-8"))
    settings["base_model_name_or_path"] = "../base"
    config.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", "utf-8")
