"""The measurement of abstention rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.bench.accuracy.domain import find_sources, measure_domain
from judge.errors import InputError
from judge.judge import Judge


def test_both_rates_have_intervals_and_sources(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for source, count in (("noise", 3), ("bsds500", 1)):
        (tmp_path / source).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (90, 120, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / source / f"{number}.png")
    (tmp_path / "noise" / "broken.png").write_bytes(b"no image")
    judge, video_judge = Judge(), Judge(rubric="video")
    video_judge.__dict__["backend"] = judge.backend
    result = measure_domain({"default": judge, "video": video_judge}, 4, 3, tmp_path)
    assert result["drawings"]["count"] == 8 and set(result["drawings"]["sources"]) == {"scenes", "clips"}
    others = result["others"]
    assert (others["count"], others["abstained"], others["rate"]) == (3, 3, 1.0)
    assert others["sources"]["bsds500"]["fitted"] and "fitted" not in others["sources"]["noise"]
    low, high = others["interval"]
    assert 0.4 < low < 0.5 and high == pytest.approx(1.0)


def test_a_folder_without_sources_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data"):
        find_sources(tmp_path)
