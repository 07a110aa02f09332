"""The reward compared with verdicts in a loop."""

from __future__ import annotations

from pathlib import Path

from eval.bench.speed.reward import measure_images, measure_reward
from judge.scenes import write_scenes


def test_the_reward_is_timed_and_compared_with_verdicts_and_with_the_default_dtype(tmp_path: Path) -> None:
    for _ in write_scenes(tmp_path, 8, 3):
        pass
    result = measure_reward(3, 4, "embedded", None, counts=(4, 8))
    assert result["unscored"] == 0 and result["pictures"] == 8 and result["batch_over_loop"] > 0
    assert 0 < result["peak_mb_4"] < result["peak_mb_8"] + 100
    assert not any(name.startswith("score_off") for name in result)
    in_bfloat16 = measure_images(str(tmp_path), 8, 8, "embedded", None, "bfloat16")
    assert in_bfloat16["unscored"] == 0
    assert 0 < in_bfloat16["score_off_mean"] <= in_bfloat16["score_off_most"] < 0.05
