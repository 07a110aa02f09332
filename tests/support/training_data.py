"""Tiny datasets in the format of some suites, and the shipped LoRA configurations for them."""

from __future__ import annotations

import json
from pathlib import Path

import clips
from PIL import Image

from finetune.lora.config import Config

FAMILIES = {
    "nano-scenes": "qwen3_vl", "nano-photos": "qwen3_vl", "qwen3-vl-8b-evalmuse": "qwen3_vl",
    "qwen2.5-vl-7b-structure": "qwen2_5_vl", "qwen3-vl-4b-video": "qwen3_vl",
}  # fmt: skip
"""Name of a configuration -> model family of its base."""


def write_image(path: Path, n: int) -> None:
    """Write a 64 x 48 image of one color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (20 * n % 256, 90, 255 - 20 * n % 256)).save(path)


def write_scenes(root: Path, count: int, **changes) -> Path:
    """Write data of the suite `scenes`; `changes` replace fields of all labels."""
    rows = []
    for n in range(count):
        write_image(root / f"images/{n}.png", n)
        defect = {"kind": "cut", "box": [6, 6, 30, 40], "severity": "moderate", "explanation": "it is cut"}
        labels = {
            "score": 1 + n % 5,
            "dimensions": {"structure": 5 - n % 5},
            "elements": [{"name": "a cat", "present": n % 2 == 0, "kind": "object"}],
            "defects": [defect] if n % 2 else [],
            "attributes": {"degradation": "blur", "severity": "slight"},
        } | changes
        rows.append({"id": str(n), "image": f"images/{n}.png", "prompt": "a cat", "labels": labels})
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def write_rated_photos(root: Path, count: int, mos: float | None = None) -> Path:
    """Write data of the suite `live-itw`; `mos` replaces all scores."""
    for n in range(count):
        write_image(root / f"{n}.png", n)
    rows = [f"{n}.png,{10 * n + 5 if mos is None else mos},15\n" for n in range(count)]
    (root / "labels.csv").write_text("image,mos_0_100,std\n" + "".join(rows))
    return root


def write_evalmuse(root: Path, count: int) -> Path:
    """Write data of the suite `evalmuse-alignment`, two images for each prompt."""
    rows = []
    for n in range(count):
        write_image(root / f"images/SD/{n}.png", n)
        rows.append({
            "prompt_id": str(n // 2), "prompt": "a cat on a mat", "img_path": f"SD/{n}.png",
            "total_score": [1 + n % 5, 2 + n % 4, 3],
            "element_score": {"cat (animal)": [1, 1, n % 2], "mat (object)": [0, 0, 0]},
        })  # fmt: skip
    (root / "train_list.json").write_text(json.dumps(rows))
    return root


def write_structure(root: Path, count: int) -> Path:
    """Write data of the suite `evalmuse-structure`."""
    rows = {}
    for n in range(count):
        write_image(root / f"images/p{n}.png", n)
        square = {"bbox_type": 1, "bbox": [{"x": 4, "y": 4}, {"x": 40, "y": 30}]}
        rows[f"p{n}"] = {"prompt_en": "a hand", "mos": 1 + n % 4, "bbox_info": [[square], []]}
    (root / "train_info.json").write_text(json.dumps(rows))
    return root


def write_videos(root: Path, count: int) -> Path:
    """Write data of the suite `t2vqa-db`."""
    root.mkdir()
    for n in range(count):
        (root / f"{n}.mp4").write_bytes(clips.encode_clip(clips.make_frames(6, seed=n)))
    (root / "info.txt").write_text("".join(f"{n}.mp4|a square moves|{10 * n + 9}\n" for n in range(count)))
    return root


def tiny_config(folder: Path, name: str = "nano-scenes", data: str = "scenes", **overrides) -> Config:
    """Load a shipped configuration for tiny data, a tiny base and two steps.

    Args:
        folder: folder with the data and the bases.
        name: name of the configuration, a key of `FAMILIES`.
        data: folder of the data in `folder`.
        **overrides: further fields to change.
    """
    short = {
        "data.0.path": folder / data, "held.path": folder / data, "held.limit": 3, "data.0.skip": 3,
        "held.every": 2, "held.before": "false", "model.base": folder / FAMILIES[name], "training.steps": 2,
        "training.batch": 4, "training.accumulate": 1, "training.workers": 0,
    }  # fmt: skip
    if name == "nano-photos":
        short["model.adapter"] = folder / "adapter"
    short |= overrides
    return Config.load(name, [f"{key}={value}" for key, value in short.items()])
