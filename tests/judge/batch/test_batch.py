"""Rows in bulk: every row gets exactly one verdict, whatever the rows lie in and whoever dies meanwhile."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import tarfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from filler import Filler
from paths import ROOT, SUPPORT
from PIL import Image
from pyarrow import parquet
from small_suite import Steady
from typer.testing import CliRunner

from eval import cli as eval_cli
from eval.runs.merge import merge
from judge.backends.base import Reply, Request
from judge.batch import results, units
from judge.batch.ray_options import completed
from judge.batch.scoring import Here, score
from judge.batch.sources import Files, files
from judge.batch.units import WorkersLost
from judge.cli import app as cli
from judge.errors import InputError, JudgeError, ReplyError
from judge.judge import Judge
from judge.pipeline.rows import BadRow
from judge.types import Sample

BATCH = 4


class Mortal(Steady):
    """Kills its process over the first prompt with the word, once: `marker` says that it has."""

    def __init__(self, seconds: float = 0.0, word: str = "", marker: str = "") -> None:
        super().__init__(seconds)
        self.word, self.marker = word, marker

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        told = any(self.word in request.messages[0]["content"][1]["text"] for request in requests)
        if self.word and told and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().choose(requests)

    complete = choose


def judge_of(**options: Any) -> Judge:
    return Judge(backend=Mortal(**options))


def write_rows(folder: Path, count: int, name: str = "rows.jsonl") -> Path:
    """Rows on three pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(3):
        Image.new("RGB", (40, 30), (80 * n, 5, 5)).save(folder / f"{n}.png")
    rows = [{"id": f"row-{n}", "image": f"{n % 3}.png", "prompt": f"thing {n}"} for n in range(count)]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def plain(lines: list[str]) -> dict[str, Any]:
    """Verdicts by id, without what differs from run to run; a doubled id fails."""
    found: dict[str, Any] = {}
    for verdict in map(json.loads, lines):
        verdict["provenance"].pop("milliseconds")
        assert verdict["id"] not in found
        found[verdict["id"]] = verdict
    return found


def local(rows: Path, judge: Judge) -> dict[str, Any]:
    """What `judge score` without any of this gives."""
    from judge.pipeline.rows import read

    given = [row for row in read(rows) if isinstance(row, Sample)]
    return plain([verdict.model_dump_json() for verdict in judge.many(given, depth="score", batch=BATCH)])


def recorded(out: Path) -> dict[str, Any]:
    return plain(list(results.Recorded(str(out)).in_order()))


def here(judge: Judge) -> Here:
    return Here(judge, "score", BATCH)


ASKED: dict[str, Any] = {"shard": [1, 1], "batch": BATCH}


# -- Where rows come from ------------------------------------------------------------------------------


def png(color: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, count: int = 5) -> Path:
    with tarfile.open(path, "w") as tar:
        for n in range(count):
            for name, data in ((f"a/{n:03}.png", png()), (f"a/{n:03}.json", b'{"prompt": "thing %d"}' % n)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def all_rows(source: Files) -> list[Any]:
    return [row for piece in range(len(source.pieces)) for row in source.read(piece)]


def test_rows_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    jsonl = write_rows(tmp_path / "jsonl", 5)
    (tmp_path / "rows.csv").write_text("id,image,prompt\n1,jsonl/0.png,thing 0\n2,jsonl/1.png,thing 1\n")
    table = {"id": ["1", "2"], "image": [{"bytes": png(), "path": "x"}] * 2, "prompt": ["thing 0", "thing 1"]}
    parquet.write_table(pyarrow.table({**table, "label": [1, 2]}), tmp_path / "rows.parquet")
    pictures = tmp_path / "pictures"
    (pictures / "b").mkdir(parents=True)
    for name in ("1.png", "b/0.png"):
        (pictures / name).write_bytes(png())
    (pictures / "1.txt").write_text("thing 0\n")
    expected = {jsonl: 5, tmp_path / "rows.csv": 2, tmp_path / "rows.parquet": 2,
                write_tar(tmp_path / "rows.tar"): 5, pictures: 2}  # fmt: skip
    for path, count in expected.items():
        source = files(str(path))
        rows = all_rows(source)
        assert len(rows) == count == source.count(), path
        assert all(isinstance(row, Sample) for row in rows) and rows[0].prompt == "thing 0"
        verdicts = list(Judge(backend=Filler(), rubric="quality").many(rows))
        assert all(verdict.status == "scored" for verdict in verdicts), path
    assert [row.id for row in all_rows(files(str(pictures)))] == ["1.png", "b/0.png"]
    assert [row.id for row in all_rows(files(str(tmp_path / "rows.tar")))][:2] == ["a/000", "a/001"]


def test_several_files_are_read_by_folder_or_pattern(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write_rows(tmp_path, 3, name)
    assert len(all_rows(files(str(tmp_path)))) == 6
    assert len(all_rows(files(str(tmp_path / "b*.jsonl")))) == 3


def test_rows_and_their_pictures_are_fetched_from_other_file_systems(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/set/rows.jsonl", b'{"id": "1", "image": "i.png", "prompt": "p"}\n'
                b'{"id": "2", "image": "none.png", "prompt": "p"}\n')  # fmt: skip
    memory.pipe("/set/i.png", png())
    done = score(files("memory://set/rows.jsonl"), "memory://out", here(judge_of()), ASKED)
    assert (done.done, done.unscored) == (2, 1)
    found = plain(list(results.Recorded("memory://out").in_order()))
    assert found["1"]["status"] == "scored" and "none.png" in found["2"]["reason"]


def test_a_bad_shard_and_bad_rows_are_unscored_and_never_silent(tmp_path: Path) -> None:
    place = tmp_path / "set"
    write_rows(place, 6, "a.jsonl")
    (place / "a.jsonl").write_text((place / "a.jsonl").read_text() + "{broken\n\n[1]\n")
    whole = write_tar(place / "b.tar", 40).read_bytes()
    (place / "b.tar").write_bytes(whole[: len(whole) // 2 + 100])
    (place / "c.parquet").write_bytes(b"PAR1 no")
    (place / "1.png").write_bytes(b"no picture")
    done = score(files(str(place)), str(tmp_path / "out"), here(judge_of()), ASKED)
    lines = [json.loads(line) for line in results.Recorded(str(tmp_path / "out")).in_order()]
    bad = [line for line in lines if line["status"] == "unscored"]
    assert len(lines) == done.done and done.unscored == len(bad) == 2 + 2 + 1 + 1
    reasons = " ".join(line["reason"] for line in bad)
    for part in ("line 7", "row 8", "b.tar cannot be read from row", "c.parquet cannot be read from row 1"):
        assert part in reasons
    assert sum("a/" in line["id"] for line in lines) >= 15  # what came before the damage is judged


@pytest.mark.parametrize(("place", "said"), [("no/such.jsonl", "nothing"), ("rows.xml", "jsonl"),
                                             ("nowhere://x/rows.jsonl", "nowhere")])  # fmt: skip
def test_sources_that_are_none_are_one_error(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "rows.xml").write_text("<rows/>")
    with pytest.raises(InputError, match=said):
        files(place if "://" in place else str(tmp_path / place))


# -- Results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", results.FORMATS)
def test_a_run_that_was_broken_off_goes_on_and_judges_every_row_once(
    tmp_path: Path, layout: results.Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "ROWS", 20)
    rows, out = write_rows(tmp_path, 150), str(tmp_path / "out")

    def stop(tally: Any) -> None:
        if tally.done >= 90:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(files(str(rows)), out, here(judge_of()), ASKED, layout=layout, tick=stop)
    with pytest.raises(InputError, match="not complete"):
        results.Recorded(out)
    (lost,) = sorted(Path(out).glob(f"part-*.{layout}"))[:1]
    lost.unlink()  # a part that is gone is judged again
    done = score(files(str(rows)), out, here(judge_of()), ASKED, layout=layout)
    assert 0 < done.before < done.done == 150
    assert recorded(Path(out)) == local(rows, judge_of())
    assert score(files(str(rows)), out, here(judge_of()), ASKED).before == 150


def test_rows_may_be_added_but_not_changed(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path, 30), str(tmp_path / "out")
    score(files(str(rows)), out, here(judge_of()), ASKED | {"sizes": [1]})
    write_rows(tmp_path, 50)
    done = score(files(str(rows)), out, here(judge_of()), ASKED | {"sizes": [2]})
    assert (done.before, done.done) == (30, 50) and len(recorded(Path(out))) == 50
    rows.write_text(rows.read_text().replace("row-7", "another"))
    with pytest.raises(InputError, match="changed"):
        score(files(str(rows)), out, here(judge_of()), ASKED | {"sizes": [3]})
    with pytest.raises(InputError, match="batch was 4 and is now 5"):
        score(files(str(rows)), out, here(judge_of()), ASKED | {"batch": 5})


def test_a_full_disk_is_one_error_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "ROWS", 20)
    rows, out = write_rows(tmp_path, 100), tmp_path / "out"

    def fill_up(tally: Any) -> None:
        if tally.done == 48:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(InputError, match="out: .*File too large"):
            score(files(str(rows)), str(out), here(judge_of()), ASKED, tick=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    score(files(str(rows)), str(out), here(judge_of()), ASKED)
    assert recorded(out) == local(rows, judge_of())


def test_a_unit_that_comes_twice_is_taken_once() -> None:
    covered = units.Coverage()
    assert covered.add(units.Place(0, 10, 5, "")) and covered.add(units.Place(0, 0, 10, ""))
    assert not covered.add(units.Place(0, 10, 5, "")) and not covered.add(units.Place(0, 14, 2, ""))
    covered.ends = {0: 20}
    assert covered.missing(2) == ["rows 16 to 20 of piece 1", "the end of piece 2"]
    assert covered.add(units.Place(0, 15, 5, "")) and covered.missing(1) == []


def test_what_was_lost_with_its_workers_is_handed_out_again(tmp_path: Path) -> None:
    rows, rounds = write_rows(tmp_path, 60), list[int]()
    here = Here(judge_of(), "score", BATCH)

    def frail(source: Any, done: Any) -> Iterator[Any]:
        rounds.append(sum(place.count for places in done.values() for place in places))
        for number, one in enumerate(here(source, done)):
            if number == 1 and len(rounds) < 3:
                raise WorkersLost("a node went")
            yield one

    tally = score(files(str(rows)), str(tmp_path / "out"), frail, ASKED)
    assert tally.done == 60 and len(rounds) == 3 and rounds == sorted(set(rounds))
    assert recorded(tmp_path / "out") == local(rows, judge_of())


def test_workers_that_are_always_lost_are_one_error_and_what_is_judged_stays(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path, 60), tmp_path / "out"
    here = Here(judge_of(), "score", BATCH)

    def frail(source: Any, done: Any) -> Iterator[Any]:
        if not done:
            yield next(iter(here(source, done)))
        raise WorkersLost("a node went")

    with pytest.raises(WorkersLost, match="the same command goes on .a node went."):
        score(files(str(rows)), str(out), frail, ASKED)
    assert score(files(str(rows)), str(out), here, ASKED).done == 60
    assert recorded(out) == local(rows, judge_of())


def test_batches_hold_at_most_so_many_pixels() -> None:
    judge = Judge(backend=Filler(size=None))
    rows = [Sample(image=png_of(side), prompt="p") for side in (100, 100, 100, 200, 10, 10)]
    groups = units.by_pixels(judge, rows, 3, 20_000)
    assert [len(group) for group in groups] == [2, 1, 1, 2]


def png_of(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


# -- Shards --------------------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_judge", lambda *_: judge_of())


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


def test_shards_joined_are_the_run_in_one_piece(tmp_path: Path, scripted: None) -> None:
    rows, outs = write_rows(tmp_path, 49), [tmp_path / f"out-{i}" for i in (1, 2, 3)]
    common = ("score", rows, "--depth", "score", "--batch", BATCH)
    for i, out in enumerate(outs, 1):
        done = run(*common, "--out", out, "--shard", f"{i}/3")
        assert done.exit_code == 0, done.output
    joined = tmp_path / "all.jsonl"
    merged = CliRunner().invoke(eval_cli.app, ["merge", *map(str, outs[::-1]), "--out", str(joined)])
    assert merged.exit_code == 0, merged.output
    lines = joined.read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"row-{n}" for n in range(49)]
    assert plain(lines) == local(rows, judge_of())
    for wrong, said in ((outs[:2], "all 3 shards"), ([outs[0], *outs], "given twice")):
        with pytest.raises(InputError, match=said):
            merge(wrong, tmp_path / "wrong.jsonl")
    next(outs[1].glob("part-*.jsonl")).unlink()
    with pytest.raises(InputError, match="missing are rows 1 to"):
        merge(outs, tmp_path / "wrong.jsonl")
    assert not list(tmp_path.glob("*wrong*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--shard", "3/2"], "1 <= i"), (["--shard", "x"], "i/n"), (["--shard", "1/2", "--ray"], "none with"),
     (["--ray", "local:no"], "extra argument"), (["--batch", "0", "--shard", "1/2"], "batch")],
)  # fmt: skip
def test_bad_options_are_exit_code_two(tmp_path: Path, scripted: None, options: list[str], said: str) -> None:
    done = run("score", write_rows(tmp_path, 2), "--out", tmp_path / "out", *options)
    assert done.exit_code == 2 and said in done.output and not (tmp_path / "out").exists()


def test_ray_needs_no_address() -> None:
    assert completed(["rows", "--ray"]) == ["rows", "--ray", "auto"]
    assert completed(["--ray", "rows.jsonl", "--out", "x"]) == ["--ray", "auto", "rows.jsonl", "--out", "x"]
    assert completed(["--ray", "--out", "x"]) == ["--ray", "auto", "--out", "x"]
    for address in ("head:6379", "ray://head:10001", "local"):
        assert completed(["--ray", address]) == ["--ray", address]


def test_readers_of_lists_and_of_streams_agree(tmp_path: Path) -> None:
    from judge.pipeline.rows import read

    path = write_rows(tmp_path, 3)
    path.write_text(path.read_text() + '\n{"id": 7}\nnot json\n')
    listed, streamed = read(path), all_rows(files(str(path)))
    assert listed == streamed and sum(isinstance(row, BadRow) for row in listed) == 2


# -- Ray -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes on this machine, with this process as its driver."""
    ray = pytest.importorskip("ray")
    kept = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_raylet_start_wait_time_s")}
    paths = [Path(__file__).parent, SUPPORT, ROOT]
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, paths), kept["PYTHONPATH"] or ""])
    os.environ["RAY_raylet_start_wait_time_s"] = "180"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 200_000_000, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=node)
    started.address_of_head = started.address
    try:
        ray.init(started.address, log_to_driver=False, logging_level="ERROR")
        yield started, node
    finally:
        ray.shutdown()
        started.shutdown()
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture
def second(nodes: Any) -> Iterator[Any]:
    """The second node, there anew for every test."""
    started, node = nodes
    added = started.add_node(**{k: v for k, v in node.items() if k != "include_dashboard"})
    started.wait_for_nodes()
    yield added
    if added in started.list_all_nodes():
        started.remove_node(added)


@pytest.mark.slow
def test_a_fleet_gives_the_rows_of_a_local_run(nodes: Any, second: Any, tmp_path: Path) -> None:
    from judge.batch.ray_workers import Fleet

    rows, out = write_rows(tmp_path, 200), tmp_path / "out"
    fleet = Fleet(judge_of, "score", BATCH, cpus=0.5)
    done = score(files(str(rows)), str(out), fleet, ASKED)
    assert (done.done, done.unscored) == (200, 0)
    assert recorded(out) == local(rows, judge_of())


@pytest.mark.slow
def test_every_row_once_though_a_worker_dies_and_a_node_goes(nodes: Any, second: Any, tmp_path: Path) -> None:
    from judge.batch.ray_workers import Fleet

    started, _ = nodes
    rows, out, gone = write_rows(tmp_path, 400), tmp_path / "out", list[float]()

    def remove(tally: Any) -> None:
        if tally.done >= 150 and not gone:
            gone.append(time.monotonic())
            started.remove_node(second)

    make = partial(judge_of, seconds=0.01, word="thing 77", marker=str(tmp_path / "died"))
    fleet = Fleet(make, "score", BATCH, cpus=0.5, patience=20)
    done = score(files(str(rows)), str(out), fleet, ASKED, tick=remove)
    assert gone and (tmp_path / "died").exists() and done.done == 400
    assert recorded(out) == local(rows, judge_of())


@pytest.mark.slow
def test_the_embedded_judge_gives_each_row_once_though_a_worker_and_a_node_are_lost(
    nodes: Any, second: Any, tmp_path: Path
) -> None:
    from eval.bench.speed.nodes import compared

    started, _ = nodes
    found = compared(tmp_path, 400, lambda done: None, lambda: started.remove_node(second))
    assert found["each_row_once"] and found["rows"] == found["same_answers"] == 400
    assert found["killed_at"] < found["removed_at"] < 400
    assert found["largest_difference"] < 1e-4


@pytest.mark.slow
def test_a_benchmark_on_a_fleet_gives_the_run_of_one_process(nodes: Any, second: Any, tmp_path: Path) -> None:
    from eval.runs.distributed import run_apart
    from eval.runs.run import Plan, run
    from eval.suites import suite
    from judge.batch.ray_workers import Fleet

    write_rows(tmp_path / "data", 90)
    plan = Plan(suite("folder"), tmp_path / "data", depth="score", batch=BATCH)
    run(plan, tmp_path / "here", judge_of())
    fleet = Fleet(judge_of, "score", BATCH, cpus=0.5)
    run_apart(plan, tmp_path / "there", judge_of(), fleet)
    here, there = ((tmp_path / name / "results.jsonl").read_text().splitlines() for name in ("here", "there"))
    assert plain(there) == plain(here)
    assert [json.loads(line)["id"] for line in there] == [json.loads(line)["id"] for line in here]


@pytest.mark.slow
def test_a_fleet_tells_what_does_not_work_before_it_starts(nodes: Any, tmp_path: Path) -> None:
    from judge.batch.ray_workers import Fleet

    rows = files(str(write_rows(tmp_path, 4)))
    for options in ({"cpus": 64.0}, {"gpus": 1.0}, {"workers": 99}, {"workers": 0}, {"cpus": -1.0}):
        with pytest.raises(InputError):
            score(rows, str(tmp_path / "out"), Fleet(judge_of, "score", BATCH, **options), ASKED)
    with pytest.raises(JudgeError, match="no such place"):
        score(rows, str(tmp_path / "out"), Fleet(hopeless, "score", BATCH, cpus=0.5), ASKED)


def hopeless() -> Judge:
    raise JudgeError("weights: no such place")


def test_an_address_where_nobody_is_is_one_error() -> None:
    pytest.importorskip("ray")
    import ray

    from judge.runtime.ray_cluster import cluster

    if ray.is_initialized():
        pytest.skip("this process is a driver already")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(InputError, match="nobody answers"), cluster(address):
            pass
