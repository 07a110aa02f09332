"""Drawn clips: the same seed gives the same files, and the labels follow the faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.suites import load_suite
from judge.media.video import FRAMES_SHOWN, load_video
from judge.scenes.clips import ClipFacts, Fault
from judge.scenes.dataset import write_clips


def test_the_same_seed_writes_the_same_clips_with_exact_labels(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert list(write_clips(tmp_path / name, 3, 5, workers=1)) == [1, 2, 3]
    rows = [json.loads(line) for line in (tmp_path / "a/rows.jsonl").read_text().splitlines()]
    assert (tmp_path / "a/rows.jsonl").read_bytes() == (tmp_path / "b/rows.jsonl").read_bytes()
    for row in rows:
        path = tmp_path / "a" / row["video"]
        assert path.read_bytes() == (tmp_path / "b" / row["video"]).read_bytes()
        assert len(load_video(path).frames) >= FRAMES_SHOWN
        dimensions = row["labels"]["dimensions"]
        share = (dimensions["alignment"] - 1) / 4
        assert row["labels"]["score"] == pytest.approx(1 + share * (dimensions["quality"] - 1))


def test_a_more_severe_fault_costs_more_in_its_own_dimension_only() -> None:
    mild, strong = (ClipFacts(None, [Fault("blur", s)], 24, 30) for s in (0.1, 0.9))
    assert mild.remaining_quality("blur") > strong.remaining_quality("blur")
    assert mild.remaining_quality("flicker") == 5.0


def test_the_suite_scenes_reads_rows_of_clips(tmp_path: Path) -> None:
    list(write_clips(tmp_path, 2, 7, workers=1))
    items = list(load_suite("scenes").read(tmp_path))
    assert [item.video.is_file() for item in items] == [True, True]
    assert items[0].to_sample().video == items[0].video and items[0].to_sample().image is None
    assert items[0].labels.mos == items[0].labels.score
