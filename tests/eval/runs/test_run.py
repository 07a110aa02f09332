"""A run loses nothing and judges nothing twice, however it ends, and goes on only as what it was."""

from __future__ import annotations

import json
import multiprocessing
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from small_suite import BATCH, FLAWED, SMALL, Steady, judge_in_child, write
from typer.testing import CliRunner

from eval import cli
from eval.runs import records as recording
from eval.runs.distributed import run_apart
from eval.runs.records import Recorded, recorded
from eval.runs.run import Plan, Tally, run
from eval.suites.base import Item, Row, Suite
from judge.backends.scripted import Scripted
from judge.batch.scoring import Here
from judge.errors import BackendError, InputError, JudgeError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric
from judge.types import Provenance, Sample, Verdict

ROWS = 40
PATIENCE = 120.0
"""Seconds after which a child that does nothing fails the test."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("small") / "data", ROWS)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small suite is known by its name."""
    monkeypatch.setattr(recording, "suite_called", lambda name: SMALL)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    judged(Plan(SMALL, data), out)
    return out


def steady() -> Judge:
    return Judge(backend=Steady())


def judged(plan: Plan, out: Path, judge: Any = None) -> Tally:
    return run(replace(plan, batch=BATCH), out, judge or steady())


def results(out: Path) -> list[dict[str, Any]]:
    """The verdicts of a run without what differs from time to time."""
    found = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for verdict in found:
        del verdict["provenance"]["milliseconds"]
    return found


def copied(source: Path, to: Path) -> Path:
    to.mkdir()
    for name in ("manifest.json", "results.jsonl"):
        (to / name).write_bytes((source / name).read_bytes())
    return to


# -- What is recorded ----------------------------------------------------------------------------------


def test_a_run_holds_one_verdict_a_row_in_order(whole: Path) -> None:
    assert [verdict["id"] for verdict in results(whole)] == [f"row-{n}" for n in range(ROWS)]
    for line in (whole / "results.jsonl").read_text().splitlines():
        Verdict.model_validate_json(line)


def test_a_bad_row_is_unscored_with_its_reason_and_does_not_end_the_run(whole: Path) -> None:
    bad = [verdict for verdict in results(whole) if verdict["status"] == "unscored"]
    assert [verdict["id"] for verdict in bad] == [f"row-{n}" for n in range(3, ROWS, FLAWED)]
    assert all("image" in verdict["reason"] for verdict in bad)


def test_the_manifest_says_what_was_asked_of_which_model(whole: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["suite"] == "small" and manifest["seed"] == 0 and manifest["depth"] == "verdict"
    assert manifest["rubric"] == {"name": "default", "hash": Rubric.load("default").hash}
    assert manifest["loaded"]["model"] == "filler" and manifest["loaded"]["backend"] == "filler"
    assert manifest["versions"]["judge"] and manifest["data"]["fingerprint"]


def test_the_judge_sees_no_label(data: Path, tmp_path: Path) -> None:
    seen: list[Sample] = []

    class Peeking(Judge):
        def many(self, samples: Iterable[Any], **options: Any) -> Iterator[Verdict]:
            return super().many((seen.append(sample) or sample for sample in samples), **options)  # type: ignore[func-returns-value]

    run(Plan(SMALL, data, limit=3), tmp_path / "run", Peeking(backend=Steady()))
    assert [type(sample) for sample in seen] == [Sample] * 3
    assert seen[0].elements == ["thing 0", "colour 0"]


# -- Being killed --------------------------------------------------------------------------------------


def test_killed_twenty_times_and_resumed_gives_the_same_rows(data: Path, whole: Path, tmp_path: Path) -> None:
    out, random, kills = tmp_path / "run", Random(5), 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_suite"])
    while kills < 20:
        child = context.Process(target=judge_in_child, args=(data, out, 0.004))
        child.start()
        wait_for(lambda: size(out) > 0, child)
        goal = size(out) + random.randrange(1, 9000)
        wait_for(lambda goal=goal: size(out) >= goal, child)
        time.sleep(random.random() * 0.01)
        if not child.is_alive():
            child.join()
            if kills < 20:  # it had come to its end: the next one starts over with half of the lines
                shorten(out, random)
            continue
        child.kill()
        child.join()
        kills += 1
    tally = judged(Plan(SMALL, data), out)
    assert tally.total == tally.done == ROWS
    assert results(out) == results(whole)


def size(out: Path) -> int:
    path = out / "results.jsonl"
    return path.stat().st_size if path.exists() else 0


def wait_for(done: Any, child: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not done() and child.is_alive():
        assert time.monotonic() < end, "the child does nothing"
        time.sleep(0.001)


def shorten(out: Path, random: Random) -> None:
    content = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(content[: random.randrange(len(content) // 2)])


def test_cut_off_at_any_byte_it_goes_on_with_the_same_rows(data: Path, whole: Path, tmp_path: Path) -> None:
    content = (whole / "results.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    out = copied(whole, tmp_path / "run")
    ends = [len(content) - len(lines[-1]) + n for n in range(-3, len(lines[-1]) + 1, 61)]
    within = [sum(map(len, lines[:n])) + 99 for n in range(1, ROWS, 3)]
    for end in [0, 1, *within, *ends, len(content) - 2, len(content) - 1]:
        (out / "results.jsonl").write_bytes(content[:end])
        backend = Steady()
        tally = judged(Plan(SMALL, data), out, Judge(backend=backend))
        assert results(out) == results(whole)
        start = tally.before - tally.before % BATCH  # the batch it ended in is seen once more, as a whole
        assert len(backend.asks) == (0 if tally.before == ROWS else ROWS - start - unreadable(start))


def test_rows_one_at_a_time_are_asked_once(data: Path, tmp_path: Path) -> None:
    out, first, second = tmp_path / "run", Steady(), Steady()
    run(Plan(SMALL, data, batch=1), out, Judge(backend=first))
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    (out / "results.jsonl").write_bytes(b"".join(lines[:17]) + lines[17][:50])
    run(Plan(SMALL, data, batch=1), out, Judge(backend=second))
    assert len(second.asks) == ROWS - 17 - unreadable(17)
    assert (out / "results.jsonl").read_bytes().count(b"\n") == ROWS


def unreadable(start: int) -> int:
    return sum(n % FLAWED == 3 for n in range(start, ROWS))


def test_a_last_line_that_only_lacks_its_end_is_kept(data: Path, whole: Path, tmp_path: Path) -> None:
    out = copied(whole, tmp_path / "run")
    content = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(content[:-1])
    tally = judged(Plan(SMALL, data), out)
    assert tally.before == ROWS and tally.repaired
    assert (out / "results.jsonl").read_bytes() == content


def test_zeros_that_a_power_cut_left_at_the_end_are_cut_off(data: Path, whole: Path, tmp_path: Path) -> None:
    out = copied(whole, tmp_path / "run")
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    (out / "results.jsonl").write_bytes(b"".join(lines[:-1]) + b"\0" * 700 + b"\n")
    assert judged(Plan(SMALL, data), out).before == ROWS - 1
    assert results(out) == results(whole)


def test_a_damaged_line_in_the_middle_is_told_and_nothing_is_overwritten(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = copied(whole, tmp_path / "run")
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:4], b"{oops}\n", *lines[5:]])
    (out / "results.jsonl").write_bytes(damaged)
    with pytest.raises(InputError, match="results.jsonl line 5"):
        judged(Plan(SMALL, data), out)
    assert (out / "results.jsonl").read_bytes() == damaged


def test_a_run_that_is_complete_loads_no_model(data: Path, whole: Path) -> None:
    class Absent(Judge):
        @property
        def backend(self) -> Any:
            raise BackendError("no such model")

    assert judged(Plan(SMALL, data), whole, Absent(backend=Steady())).done == ROWS


# -- One process, one plan -----------------------------------------------------------------------------


def test_two_processes_on_one_run_refuse_and_a_killed_one_leaves_no_lock(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=judge_in_child, args=(data, out, 5.0))
    child.start()
    try:
        wait_for(lambda: (out / "manifest.json").exists(), child)
        with pytest.raises(InputError, match=f"process {child.pid} is writing it"):
            judged(Plan(SMALL, data), out)
    finally:
        child.kill()
        child.join()
    assert judged(Plan(SMALL, data), out).done == ROWS


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda plan: replace(plan, limit=7), "limit was nothing and is now 7"),
        (lambda plan: replace(plan, shard=(1, 2)), "shard was 1/1 and is now 1/2"),
        (lambda plan: replace(plan, depth="score"), "depth was verdict and is now score"),
    ],
)
def test_another_plan_in_the_same_folder_is_refused_by_name(
    data: Path, whole: Path, changed: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        judged(changed(Plan(SMALL, data)), whole)


def test_another_judge_in_the_same_folder_is_refused_by_name(data: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seed was 0 and is now 3"):
        judged(Plan(SMALL, data), whole, Judge(backend=Steady(), seed=3))
    with pytest.raises(InputError, match="rubric.name was default and is now quality"):
        judged(Plan(SMALL, data), whole, Judge(backend=Steady(), rubric="quality"))
    with pytest.raises(InputError, match="batch was 5 and is now 6"):
        run(Plan(SMALL, data, batch=6), whole, steady())
    with pytest.raises(InputError, match="model was embedded and is now other"):
        judged(Plan(SMALL, data), whole, Judge("other", backend=Steady()))
    # What only the loaded model knows of itself is compared as soon as it is loaded.
    out = copied(whole, tmp_path / "run")
    (out / "results.jsonl").write_text("")
    newer = Steady()
    newer.revision = "abc"
    with pytest.raises(InputError, match="loaded.revision was .* and is now abc"):
        judged(Plan(SMALL, data), out, Judge(backend=newer))


def test_changed_data_is_refused(whole: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "data", ROWS, seed=1)
    with pytest.raises(InputError, match="data.fingerprint was"):
        judged(Plan(SMALL, other), whole)


def test_the_same_data_in_another_place_is_the_same_data(data: Path, whole: Path, tmp_path: Path) -> None:
    moved = write(tmp_path / "moved", ROWS)
    assert judged(Plan(SMALL, moved), whole).done == ROWS


def test_a_folder_with_other_files_is_no_run(data: Path) -> None:
    with pytest.raises(InputError, match="other files"):
        run(Plan(SMALL, data), data, steady())


def test_a_model_that_fails_every_row_alike_stops_the_run_and_is_judged_again(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    away = [BackendError("connection refused")] * 400
    with pytest.raises(JudgeError, match="connection refused"):
        run(Plan(readable(data), data), out, Judge(backend=Scripted(away)), stop_alike=10)
    assert size(out) == 0
    kept = run(Plan(readable(data), data), out, Judge(backend=Scripted(away)), stop_alike=None)
    assert kept.unscored == kept.total


# -- Workers elsewhere ---------------------------------------------------------------------------------


def apart(plan: Plan, out: Path, judging: Any = None) -> Tally:
    return run_apart(replace(plan, batch=BATCH), out, steady(), judging or Here(steady(), plan.depth, BATCH))


def test_workers_elsewhere_leave_what_one_process_leaves(data: Path, whole: Path, tmp_path: Path) -> None:
    tally = apart(Plan(SMALL, data), tmp_path / "run")
    assert (tally.done, tally.total) == (ROWS, ROWS)
    assert results(tmp_path / "run") == results(whole)
    there, here = (json.loads((out / "manifest.json").read_text()) for out in (tmp_path / "run", whole))
    assert {**there, "begun": ""} == {**here, "begun": ""}
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in whole.iterdir()}
    assert apart(Plan(SMALL, data), tmp_path / "run").before == ROWS, "done is done"


def test_workers_that_stop_are_gone_on_with(data: Path, whole: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def until(units: int) -> Any:
        def judging(source: Any, done: Any) -> Iterator[Any]:
            for n, one in enumerate(Here(steady(), "verdict", BATCH)(source, done)):
                if n == units:
                    raise KeyboardInterrupt
                asked.extend(json.loads(line)["id"] for line in one.lines)
                yield one

        return judging

    for units in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            apart(Plan(SMALL, data), tmp_path / "run", until(units))
    apart(Plan(SMALL, data), tmp_path / "run", until(1000))
    assert results(tmp_path / "run") == results(whole)
    assert len(asked) == len(set(asked)) == ROWS


def test_a_run_is_gone_on_with_as_it_was_begun(data: Path, whole: Path, tmp_path: Path) -> None:
    def nothing(source: Any, done: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apart(Plan(SMALL, data), tmp_path / "far", nothing)
    with pytest.raises(InputError, match="begun with --ray"):
        judged(Plan(SMALL, data), tmp_path / "far")
    begun = copied(whole, tmp_path / "near")
    shorten(begun, Random(0))
    with pytest.raises(InputError, match="begun without --ray"):
        apart(Plan(SMALL, data), begun)


def readable(data: Path) -> Suite:
    def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[Item]:
        return (item for n, item in enumerate(SMALL.read(data, media=media)) if n % FLAWED != 3)

    return replace(SMALL, read=read)


# -- Shards and reading back ---------------------------------------------------------------------------


def test_shards_together_are_the_whole_run(data: Path, whole: Path, tmp_path: Path) -> None:
    folders = [tmp_path / f"part-{i}" for i in (1, 2, 3)]
    for i, folder in enumerate(folders, 1):
        judged(Plan(SMALL, data, shard=(i, 3)), folder)
    (merged,) = recorded([folders[2], folders[0], folders[1]])
    rows = list(merged.judged())
    assert [row.sample.id for row in rows] == [f"row-{n}" for n in range(ROWS)]
    assert [row.verdict["score"] for row in rows] == [verdict["score"] for verdict in results(whole)]
    assert sum(len(results(folder)) for folder in folders) == ROWS
    with pytest.raises(InputError, match="2 of 3"):
        recorded([folders[0], folders[2]])
    with pytest.raises(InputError, match="twice"):
        recorded([folders[0], folders[0], folders[1], folders[2]])


def test_rows_that_are_not_judged_yet_come_without_a_verdict(data: Path, whole: Path, tmp_path: Path) -> None:
    out = copied(whole, tmp_path / "run")
    content = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(b"".join(content.splitlines(keepends=True)[:5]) + content[:33])
    (merged,) = recorded([out])
    rows = list(merged.rows())
    assert [isinstance(row, Row) for row in rows] == [n < 5 for n in range(ROWS)]


def test_reading_a_run_over_other_data_is_refused(whole: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "data", ROWS)
    rows = json.loads((other / "labels.json").read_text())
    (other / "labels.json").write_text(json.dumps([rows[1], rows[0], *rows[2:]]))
    with pytest.raises(InputError, match="line 1"):
        list(recorded([whole], other)[0].rows())


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        recorded([tmp_path / "nothing"])
    with pytest.raises(InputError, match="manifest.json"):
        recorded([tmp_path])


# -- Memory --------------------------------------------------------------------------------------------


class Quick:
    """A judge that takes no time; only what the run itself keeps is left to be measured."""

    model, adapter, seed, rubric, backend = "quick", None, 0, Rubric.load("default"), Steady()
    max_defects, max_pixels = None, 1

    def many(self, samples: Iterable[Sample], **_: Any) -> Iterator[Verdict]:
        made = Provenance(model="quick", backend="none", rubric="default", rubric_hash="0",
                          depth="verdict", version="0", milliseconds=0)  # fmt: skip
        for sample in samples:
            yield Verdict(id=sample.id, status="scored", score=3, distribution=[0, 0, 1, 0, 0],
                          explanation="x" * 500, provenance=made)  # fmt: skip


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[Item]:
            return (Item(id=str(n), prompt="a cat") for n in range(count))

        plan, out = Plan(replace(SMALL, read=read), tmp_path), tmp_path / str(count)
        tracemalloc.start()
        try:
            run(plan, out, Quick())
            run(plan, out, Quick())  # the way of a resumed run
            merged = Recorded((out,), json.loads((out / "manifest.json").read_text()), plan.suite, tmp_path)
            assert sum(1 for _ in merged.rows()) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # what is loaded once
    few, many = peak(200), peak(4000)
    assert many < few + 200_000, f"{few} bytes for 200 rows, {many} for 4000"


# -- The command ---------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    import eval.suites

    monkeypatch.setattr(eval.suites, "suite", lambda name: SMALL)
    monkeypatch.setattr(cli, "open_judge", lambda *options: steady())
    return lambda *arguments: CliRunner().invoke(cli.app, [str(a) for a in arguments])


def test_the_command_judges_and_goes_on(command: Any, data: Path, whole: Path, tmp_path: Path) -> None:
    arguments = ("run", "small", "--data", data, "--out", tmp_path / "run", "--batch", BATCH)
    first = command(*arguments)
    assert first.exit_code == 0, first.output
    assert f"{ROWS} rows, {ROWS - unreadable(0)} scored, {unreadable(0)} unscored" in first.stderr
    assert results(tmp_path / "run") == results(whole)
    again = command(*arguments)
    assert again.exit_code == 0 and f"{ROWS} of them by earlier calls" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--shard", "3/2"), "shard"),
        (("--shard", "half"), "i/n"),
        (("--limit", "0"), "limit"),
        (("--option", "x=1"), "option"),
        (("--option", "x"), "NAME=VALUE"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_two(
    command: Any, data: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = command("run", "small", "--data", data, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and said in line


def test_progress_in_a_log_names_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 110.0, 140.0])
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(clock))
    tick = cli.lines_of_progress(Path("run"))
    for done in (20, 30, 60):
        tick(Tally(total=180, before=20, done=done, unscored=2))
    assert capsys.readouterr().err == "run: 60 of 180 rows, 1.0 rows/s, 2 min left, 2 unscored\n"
