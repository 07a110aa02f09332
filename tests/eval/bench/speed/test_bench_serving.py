"""The comparison of systems that serve verdicts."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from eval.bench.speed.serving import GROUPS, make_table, measure_serving
from eval.bench.speed.systems.base import SystemUnavailableError, TimedRun, with_unique_images
from eval.bench.speed.systems.child_process import ChildProcessGroup
from judge.types import Sample


class FakeGroup:
    """A group whose systems answer at fixed rates; `outlines` fails in its first timed run."""

    def __init__(self, **rates: float) -> None:
        self.rates, self.run_ids, self.run_counts = rates, list[int](), dict.fromkeys(rates, 0)

    def start(self) -> dict[str, dict[str, Any]]:
        if not self.rates:
            raise SystemUnavailableError("nothing is installed")
        return {name: {"batch": 4} for name in self.rates}

    def run(self, name: str, depth: str, run_id: int, count: int) -> TimedRun:
        self.run_ids.append(run_id)
        self.run_counts[name] += 1
        if name == "bare_forward" and depth == "verdict":
            raise SystemUnavailableError("more than one pass")
        if name == "outlines" and self.run_counts[name] > 2:
            raise RuntimeError("it broke")
        seconds = count / self.rates[name] * (2 if depth == "verdict" else 1)
        latencies = [0.1] * count if name == "gateway" else []
        return TimedRun(seconds, count, count - 1, latencies, errors=1)

    def stop(self) -> None:
        self.rates = {}


def test_the_result_has_rates_and_ratios_and_reasons_of_systems_that_cannot_run() -> None:
    local = FakeGroup(generate=10.0, walker=60.0, outlines=5.0, bare_forward=75.0)
    vllm, gateway = FakeGroup(), FakeGroup(gateway=20.0)
    groups = {
        ("generate", "walker", "outlines", "bare_forward"): local,
        ("vllm",): vllm,
        ("gateway",): gateway,
    }
    result = measure_serving(groups, 40, rounds=2)
    assert result["walker"]["scores_per_s"] == pytest.approx(60)
    assert result["walker"]["verdicts_per_s"] == pytest.approx(30)
    assert result["walker"]["usable_scores"] == pytest.approx(39 / 40)
    assert result["bare_forward"]["verdicts_per_s"] is None
    assert result["ratios"]["walker_to_generate_scores"] == pytest.approx(6)
    assert result["ratios"]["walker_to_bare_forward_scores"] == pytest.approx(0.8)
    assert "it broke" in result["outlines"]["cannot_run"]
    assert result["vllm"] == {"cannot_run": "nothing is installed"}
    assert result["ratios"]["vllm_to_vllm_raw_scores"] is None
    assert (result["gateway"]["score_p99_s"], result["gateway"]["score_error_rate"]) == (0.1, 1 / 40)
    assert len(set(local.run_ids)) == len(local.run_ids), "no run has the images of another"
    assert local.rates == gateway.rates == {}, "all groups are stopped"
    json.dumps(result, allow_nan=False)
    console = Console(width=160, file=StringIO())
    console.print(make_table({"part": "serving", **result}))
    assert "nothing is installed" in console.file.getvalue()


def create_walker_group(rate: float) -> FakeGroup:
    return FakeGroup(walker=rate)


def exit_process() -> FakeGroup:
    os._exit(3)


def test_a_group_in_a_child_process_answers_and_the_end_of_its_process_is_an_error() -> None:
    group = ChildProcessGroup(create_walker_group, 8.0)
    try:
        assert group.start() == {"walker": {"batch": 4}}
        assert group.run("walker", "score", 1, 4) == TimedRun(0.5, 4, 3, [], 1)
        with pytest.raises(RuntimeError, match="KeyError"):
            group.run("nobody", "score", 2, 4)
    finally:
        group.stop()
    ended = ChildProcessGroup(exit_process)
    with pytest.raises(SystemUnavailableError, match="exit code 3"):
        ended.start()
    ended.stop()


def test_the_images_of_each_run_differ_in_one_corner() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    (first,), (second,) = (with_unique_images([Sample(image=pixels)], run_id) for run_id in (258, 3))
    assert first.image[0, 0].tolist() == [2, 1, 0]
    assert (first.image[1:] == pixels[1:]).all() and not pixels.any()
    assert (first.image != second.image).any()


@pytest.mark.slow
def test_the_real_libraries_are_compared(tmp_path: Path) -> None:
    pytest.importorskip("outlines")
    from tiny import write_judge_folder

    from eval.bench.speed.systems.local import NAMES, LocalGroup

    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    samples = [
        Sample(id=str(i), image=image, prompt="a red circle", elements=["circle"])
        for i, image in enumerate(images)
    ]
    model = str(write_judge_folder(tmp_path))
    result = measure_serving({NAMES: LocalGroup(model, None, samples, 2)}, 3, rounds=1)
    assert set(NAMES) == set(GROUPS["local"]) <= set(result)
    for name in NAMES:
        assert "cannot_run" not in result[name], result[name]
        assert result[name]["scores_per_s"] > 0
    assert result["walker"]["usable_verdicts"] == result["walker"]["usable_scores"] == 1
    assert all(result["ratios"][key] > 0 for key in result["asked"] if key.startswith("walker"))
