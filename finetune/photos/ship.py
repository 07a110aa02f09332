"""From a training's folder to the embedded judge's second adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from judge.errors import InputError

DOMAIN = (
    "the technical quality of photographs: blur, noise, compression, banding, enlargement, exposure, contrast and "
    "color, learnt on distorted photographs and on mean opinions about 285 of LIVE in the Wild; and of scenes drawn "
    "by this package"
)


def ship(adapter: Path, out: Path, name: str) -> None:
    """Write OUT/NAME and name it in OUT/judge.json for the rubric `quality`.

    Raises:
        InputError: `adapter` is none, or `out` holds no judge.
    """
    weights, card = adapter / "adapter_model.safetensors", out / "judge.json"
    if not weights.is_file():
        raise InputError("adapter", str(adapter), "a folder with adapter_model.safetensors", "train one first")
    if not card.is_file():
        raise InputError("out", str(out), "a folder with judge.json", "ship the base and its adapter first")
    place = out / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(weights, place / weights.name)
    settings = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    settings["base_model_name_or_path"] = "../base"
    for path, value in ((place / "adapter_config.json", settings), (place / "judge.json", {"domain": DOMAIN})):
        path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", "utf-8")
    told = json.loads(card.read_text("utf-8"))
    told["adapters"] = {**told.get("adapters", {}), "quality": name}
    card.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
