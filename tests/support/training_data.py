"""Tiny data sets of each kind that fine-tuning reads, and shipped configurations over them."""

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


def picture(path: Path, n: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (20 * n % 256, 90, 255 - 20 * n % 256)).save(path)


def scenes(root: Path, count: int, **changes) -> Path:
    rows = []
    for n in range(count):
        picture(root / f"images/{n}.png", n)
        broken = [{"kind": "cut", "box": [6, 6, 30, 40], "severity": "moderate", "explanation": "it is cut"}]
        labels = {
            "score": 1 + n % 5,
            "dimensions": {"structure": 5 - n % 5},
            "elements": [{"name": "a cat", "present": n % 2 == 0, "kind": "object"}],
            "defects": broken if n % 2 else [],
            "attributes": {"degradation": "blur", "severity": "slight"},
        } | changes
        rows.append({"id": str(n), "image": f"images/{n}.png", "prompt": "a cat", "labels": labels})
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def photos(root: Path, count: int, mos: float | None = None) -> Path:
    for n in range(count):
        picture(root / f"{n}.png", n)
    rows = [f"{n}.png,{10 * n + 5 if mos is None else mos},15\n" for n in range(count)]
    (root / "labels.csv").write_text("image,mos_0_100,std\n" + "".join(rows))
    return root


def evalmuse(root: Path, count: int) -> Path:
    rows = []
    for n in range(count):
        picture(root / f"images/SD/{n}.png", n)
        rows.append({
            "prompt_id": str(n // 2), "prompt": "a cat on a mat", "img_path": f"SD/{n}.png",
            "total_score": [1 + n % 5, 2 + n % 4, 3],
            "element_score": {"cat (animal)": [1, 1, n % 2], "mat (object)": [0, 0, 0]},
        })  # fmt: skip
    (root / "train_list.json").write_text(json.dumps(rows))
    return root


def structure(root: Path, count: int) -> Path:
    rows = {}
    for n in range(count):
        picture(root / f"images/p{n}.png", n)
        square = {"bbox_type": 1, "bbox": [{"x": 4, "y": 4}, {"x": 40, "y": 30}]}
        rows[f"p{n}"] = {"prompt_en": "a hand", "mos": 1 + n % 4, "bbox_info": [[square], []]}
    (root / "train_info.json").write_text(json.dumps(rows))
    return root


def videos(root: Path, count: int) -> Path:
    root.mkdir()
    for n in range(count):
        (root / f"{n}.mp4").write_bytes(clips.film(clips.plain(6, seed=n)))
    (root / "info.txt").write_text("".join(f"{n}.mp4|a square moves|{10 * n + 9}\n" for n in range(count)))
    return root


def told(folder: Path, name: str = "nano-scenes", data: str = "scenes", **changes) -> Config:
    """A shipped configuration on tiny data and a tiny base."""
    family = FAMILIES[name]
    short = {
        "data.0.path": folder / data, "held.path": folder / data, "held.limit": 3, "data.0.skip": 3,
        "held.every": 2, "held.before": "false", "model.base": folder / family, "training.steps": 2,
        "training.batch": 4, "training.accumulate": 1, "training.workers": 0,
    }  # fmt: skip
    if name == "nano-photos":
        short["model.adapter"] = folder / "adapter"
    short |= changes
    return Config.load(name, [f"{key}={value}" for key, value in short.items()])
