"""Image files for a student: what is written, and from which images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from finetune.photos.student_images import write_student_images


def test_images_for_a_student_come_from_rated_pristine_and_extra_images(
    tmp_path: Path, photo: np.ndarray
) -> None:
    rated, pristine = tmp_path / "data/clive_train", tmp_path / "data/bsds500"
    names = [f"{n}.png" for n in range(8)]
    for path in [*(rated / "images" / name for name in names), pristine / "a.png", tmp_path / "extra.png"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
    (rated / "labels.csv").write_text(
        "image,mos_0_100,std\n" + "".join(f"{name},{10 * n},5\n" for n, name in enumerate(names))
    )
    done: list[int] = []
    write_student_images(
        tmp_path / "out",
        tmp_path / "data",
        photos=4,
        crops=1,
        scenes=2,
        seed=1,
        tick=done.append,
        extra=([tmp_path / "extra.png"], 3),
    )
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    held = [json.loads(line) for line in (tmp_path / "out/held/rows.jsonl").read_text().splitlines()]
    opinions = [row["score"] for row in rows if "score" in row]
    assert len(opinions) + len(held) == len(names) and opinions and held
    assert len(rows) == 2 * len(opinions) + 4 + 3  # rated, their crops, pristine, extra
    sizes = []
    for row in rows[2 * len(opinions) :]:
        with Image.open(tmp_path / "out" / row["image"]) as image:
            sizes.append(image.size)
    assert sizes[0] == photo.shape[1::-1] and sizes[1] != photo.shape[1::-1]  # distorted, cropped
    assert done[-1] == len(rows) + len(held) + 2
