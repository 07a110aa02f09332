"""A batch run gives every row exactly one verdict, also after interruptions and lost workers."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_rows import (
    SETTINGS,
    judge_directly,
    local_worker,
    png,
    read_verdicts,
    write_rows,
)
from random_backend import RandomBackend

from judge.batch import writer
from judge.batch.chunks import RowRange
from judge.batch.coverage import Coverage
from judge.batch.errors import WorkersLost
from judge.batch.file_source import open_source
from judge.batch.judging import group_by_pixels
from judge.batch.output_folder import FORMATS, Format
from judge.batch.reader import ResultsReader
from judge.batch.scoring import BatchProgress, score_rows
from judge.errors import InputError
from judge.judge import Judge
from judge.types import Sample


def score_locally(rows: Path, out: Path, settings: dict[str, Any] | None = None, **options: Any) -> Any:
    """Judge a file of rows in this process."""
    return score_rows(open_source(str(rows)), str(out), local_worker(), settings or SETTINGS, **options)


@pytest.mark.parametrize("layout", FORMATS)
def test_an_interrupted_run_resumes_and_judges_every_row_once(
    tmp_path: Path, layout: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_PART_ROWS", 20)
    rows, out = write_rows(tmp_path, 150), tmp_path / "out"

    def interrupt(progress: BatchProgress) -> None:
        if progress.done >= 90:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_locally(rows, out, layout=layout, tick=interrupt)
    with pytest.raises(InputError, match="not complete"):
        ResultsReader(str(out))
    (first_part,) = sorted(out.glob(f"part-*.{layout}"))[:1]
    first_part.unlink()  # the rows of a part that is missing are judged again
    progress = score_locally(rows, out, layout=layout)
    assert 0 < progress.before < progress.done == 150
    assert read_verdicts(out) == judge_directly(rows)
    assert score_locally(rows, out).before == 150


def test_rows_may_be_added_but_not_changed(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path, 30), tmp_path / "out"
    score_locally(rows, out, SETTINGS | {"sizes": [1]})
    write_rows(tmp_path, 50)
    progress = score_locally(rows, out, SETTINGS | {"sizes": [2]})
    assert (progress.before, progress.done) == (30, 50) and len(read_verdicts(out)) == 50
    rows.write_text(rows.read_text().replace("row-7", "another"))
    with pytest.raises(InputError, match="changed"):
        score_locally(rows, out, SETTINGS | {"sizes": [3]})
    with pytest.raises(InputError, match="batch was 4 and is now 5"):
        score_locally(rows, out, SETTINGS | {"batch": 5})


def test_a_full_disk_is_one_error_and_written_verdicts_remain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_PART_ROWS", 20)
    rows, out = write_rows(tmp_path, 100), tmp_path / "out"

    def fill_disk(progress: BatchProgress) -> None:
        if progress.done == 48:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(InputError, match="out: .*File too large"):
            score_locally(rows, out, tick=fill_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "no temporary file remains"
    score_locally(rows, out)
    assert read_verdicts(out) == judge_directly(rows)


def test_a_chunk_that_arrives_twice_is_counted_once() -> None:
    coverage = Coverage()
    assert coverage.add(RowRange(0, 10, 5, "")) and coverage.add(RowRange(0, 0, 10, ""))
    assert not coverage.add(RowRange(0, 10, 5, "")) and not coverage.add(RowRange(0, 14, 2, ""))
    coverage.piece_lengths = {0: 20}
    assert coverage.describe_missing(2) == ["rows 16 to 20 of piece 1", "the end of piece 2"]
    assert coverage.add(RowRange(0, 15, 5, "")) and coverage.describe_missing(1) == []


def test_chunks_lost_with_their_workers_are_handed_out_again(tmp_path: Path) -> None:
    rows, rows_done = write_rows(tmp_path, 60), list[int]()
    worker = local_worker()

    def unreliable(source: Any, done: Any) -> Iterator[Any]:
        rows_done.append(sum(row_range.count for ranges in done.values() for row_range in ranges))
        for number, result in enumerate(worker(source, done)):
            if number == 1 and len(rows_done) < 3:
                raise WorkersLost("a node was lost")
            yield result

    progress = score_rows(open_source(str(rows)), str(tmp_path / "out"), unreliable, SETTINGS)
    assert progress.done == 60 and len(rows_done) == 3 and rows_done == sorted(set(rows_done))
    assert read_verdicts(tmp_path / "out") == judge_directly(rows)


def test_workers_that_are_always_lost_are_one_error_and_verdicts_remain(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path, 60), tmp_path / "out"
    worker = local_worker()

    def always_lost(source: Any, done: Any) -> Iterator[Any]:
        if not done:
            yield next(iter(worker(source, done)))
        raise WorkersLost("a node was lost")

    with pytest.raises(WorkersLost, match="run the same command to resume .a node was lost."):
        score_rows(open_source(str(rows)), str(out), always_lost, SETTINGS)
    assert score_locally(rows, out).done == 60
    assert read_verdicts(out) == judge_directly(rows)


def test_groups_have_at_most_the_given_pixels() -> None:
    judge = Judge(backend=RandomBackend(size=None))
    sides = (100, 100, 100, 200, 10, 10)
    samples = [Sample(image=png(width=side, height=side), prompt="p") for side in sides]
    groups = group_by_pixels(judge, samples, 3, 20_000)
    assert [len(group) for group in groups] == [2, 1, 1, 2]
