"""`python -m eval.bench PART`: a table on the terminal; with `--json`, one JSON object on standard output.

    python -m eval.bench scenes --seed 7 --count 500 --json
    python -m eval.bench scenes --rows other/rows.jsonl
    python -m eval.bench all --labels prompt_t2i.json     # every part, into bench.json

Exit codes: 0 measured (or skipped, and said so), 1 a part of `all` failed, 2 unusable input.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from judge.errors import InputError, JudgeError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The numbers of this project, each by one command.",
)

Seed = Annotated[int, typer.Option(min=0, help="Seed of what is drawn; the same seed, the same pictures.")]
Count = Annotated[int, typer.Option(min=1, help="How many are drawn.")]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Model = Annotated[str, typer.Option(help="Model name or folder; `embedded` is the one in the package.")]
Adapter = Annotated[str | None, typer.Option(help="LoRA adapter to put on the model.")]
Batch = Annotated[int, typer.Option(min=1, help="Pictures judged at once.")]
LabelFile = Annotated[Path | None, typer.Option(help="EvalMuse-40K's prompt_t2i.json.")]
RowFile = Annotated[Path | None, typer.Option(help="JSONL of labelled samples, instead of drawn scenes.")]


# ------------------------------------------------------------------------------------------ the parts


def measure_scenes(
    seed: int, count: int | None, rows: Path | None, model: str, adapter: str | None, batch: int
) -> dict[str, Any]:
    """Drawn scenes, or those of `rows` (all of them, when `count` is None)."""
    from eval.bench import scenes as part

    found = part.read_scenes(rows, count) if rows else part.draw_scenes(count or 500, seed)
    judge = open_judge(model, adapter)
    with progress("scenes", 2 * len(found)) as tick:
        result = part.run(judge, found, batch=batch, tick=tick)
    return {**result, **({"rows": str(rows)} if rows else {"seed": seed}), **named(model, adapter)}


def measure_forms(seed: int, count: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """Random form shapes on pictures of drawn scenes."""
    from eval.bench import forms as part
    from judge.rubric import Rubric

    backend = open_judge(model, adapter).backend
    pictures = [model_picture(scene.sample.image, backend.size) for scene in drawn(8, seed)]
    result = part.run(backend, Rubric.load("default"), pictures, count, seed, batch=batch)
    return {**result, **named(model, adapter)}


def measure_elements(labels: Path | None) -> dict[str, Any]:
    """The splitter against EvalMuse's lists."""
    from eval.bench import elements as part
    from judge.atoms import words
    from judge.elements import split

    if labels is None or not labels.is_file():
        where = "no file was given" if labels is None else f"{labels} is not there"
        return {"skipped": f"{where}; give --labels FILE, EvalMuse-40K's prompt_t2i.json"}
    read = part.read_labels(labels)
    finer = part.run(read, lambda prompt: list(words(prompt)))
    finer.pop("notes")
    return part.run(read, split) | {f"words_{name}": value for name, value in finer.items()}


def measure_draw(seed: int, count: int, processes: int) -> dict[str, Any]:
    """Speed of the generator."""
    from eval.bench import draw as part

    return part.run(count, seed, processes)


def measure_suites(seed: int) -> dict[str, Any]:
    """Speed of reading label files and scoring predictions."""
    from eval.bench import suites as part

    return part.run(seed)


def measure_photos(
    data: Path, contents: int, model: str, adapter: str | None, batch: int
) -> dict[str, Any]:
    """The judge of photographs, and the estimators of measured facts."""
    from eval.bench import photos as part
    from finetune.photos.distortions import MAKERS

    judge = open_judge(model, adapter, "quality")
    with progress("photos", 105 + contents * len(MAKERS) * len(part.STRENGTHS)) as tick:
        return {**part.run(judge, data, contents, batch, tick), **named(model, adapter)}


def measure_student(
    data: Path, count: int, seed: int, rounds: int, models: Mapping[str, str], batch: int
) -> dict[str, Any]:
    """A student and its teacher, `models` by these names."""
    from eval.bench import student as part

    judges = {name: open_judge(model, None, "quality") for name, model in models.items()}
    with progress("student", 4 * (rounds + 1)) as tick:
        result = part.run(judges, data, count, seed, rounds=rounds, batch=batch, tick=tick)
    return {**result, "seed": seed, **models}


def measure_backend(seed: int, rounds: int, model: str, adapter: str | None) -> dict[str, Any]:
    """Speed of the judge."""
    from eval.bench import backend as part

    judge = open_judge(model, adapter)
    samples = [scene.asked() for scene in drawn(16, seed)]
    list(judge.many(samples[:1]))  # loads the model
    return {**part.run(judge, samples, judge.backend, rounds=rounds), **named(model, adapter)}


def measure_serving(
    seed: int, count: int, rounds: int, model: str, adapter: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Verdicts and scores a second, of this package and of what it is built on."""
    from eval.bench import serving as part

    teams = part.teams(model, adapter, seed, count, **options)
    laps = sum(map(len, teams)) * 2 * (rounds + 1)
    with progress("serving", laps) as tick:
        result = part.run(teams, count, rounds=rounds, tick=tick)
    return {**result, "seed": seed, **named(model, adapter)}


def measure_reward(seed: int, looped: int, model: str, adapter: str | None) -> dict[str, Any]:
    """Speed and memory of the reward."""
    from eval.bench import reward as part

    return {**part.run(seed, looped, model, adapter), **named(model, adapter)}


def measure_looks(
    seed: int, count: int, scenes: int, looks: int, model: str, adapter: str | None
) -> dict[str, Any]:
    """Large pictures with one small defect, and doubtful elements of usual scenes."""
    from eval.bench import looks as part

    judge = open_judge(model, adapter)
    with progress("looks", 2 * count + scenes) as tick:
        result = part.run(judge, count, scenes, seed, looks, tick)
    return {**result, "seed": seed, **named(model, adapter)}


def measure_scale(rows: int, paused: int, scenes: int) -> dict[str, Any]:
    """What rows in bulk cost, and what a second worker gives."""
    from eval.bench import scale as part

    with counted("scale", rows) as (folder, told):
        return part.run(folder, rows, paused, scenes, told)


def measure_nodes(count: int) -> dict[str, Any]:
    """A cluster that loses a worker and a node, against one process."""
    from eval.bench import nodes as part

    with counted("nodes", count) as (folder, told):
        return part.run(folder, count, told)


@contextmanager
def counted(name: str, total: int) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A folder for as long as the part runs, and a bar that is told how many are done."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, progress(name, total) as tick:
        done = 0

        def told(now: int) -> None:
            nonlocal done
            for _ in range(now - done):
                tick()
            done = max(done, now)

        yield Path(folder), told


def measure_parity(
    seed: int, count: int, asked: int | None, batch: int, adapter: str | None, rubric: str
) -> dict[str, Any]:
    """The embedded judge, or an adapter of its base, on every backend, beside the one on transformers."""
    from functools import partial

    from eval.bench import parity as part
    from judge.domain import ASSETS

    samples = [scene.asked() for scene in drawn(count, seed)]
    own = partial(part.in_process, model="embedded", adapter=adapter, rubric=rubric)
    contenders = [
        ("transformers", partial(own, "transformers"), count),
        ("vllm", partial(own, "vllm"), count),
    ]
    if adapter is None and rubric == "default":  # the server has the package's own adapters
        asked = count if asked is None else min(asked, count)
        contenders.append(("vllm serve", partial(part.behind_server, ASSETS), asked))
    contenders = [contender for contender in contenders if contender[2]]
    with progress("parity", 2 * sum(number for _, _, number in contenders)) as tick:
        result = part.run(contenders, samples, batch=batch, tick=tick)
    return {**result, "seed": seed, **named("embedded", adapter), "rubric": rubric}


def measure_shifted(
    seed: int, count: int, rows: int, adapter: str | None, out: Path | None, batch: int
) -> dict[str, Any]:
    """LoRA on a rubric that the embedded judge never saw."""
    from tempfile import TemporaryDirectory

    from eval.bench import shifted as part

    with TemporaryDirectory() as folder:
        trained: dict[str, Any] = {}
        if adapter is None:
            where = out or Path(folder)
            trained = part.train(where, rows, seed + 1)
            adapter = str(where / "run" / "adapter")
        with progress("shifted", 4 * count) as tick:
            found = part.measure([None, adapter], part.draw_scenes(count, seed), batch, tick)
    return {**found, **trained, "seed": seed}


def measure_plan(rounds: int) -> dict[str, Any]:
    """`judge plan` beside the embedded judge as it runs."""
    from eval.bench import plan as part

    return part.run(open_judge("embedded", None), rounds=rounds)


def measure_video(
    seed: int, count: int, rounds: int, model: str, adapter: str | None, batch: int
) -> dict[str, Any]:
    """Seconds on full-HD frames, and accuracy on fresh clips."""
    from eval.bench import video as part

    judge = open_judge(model, adapter, "video")
    with progress("video", 2 * rounds + 3 * count) as tick:
        result = part.run(judge, count=count, seed=seed, rounds=rounds, batch=batch, tick=tick)
    return {**result, **named(model, adapter)}


def open_judge(model: str, adapter: str | None, rubric: str = "default") -> Any:
    from judge import Judge

    return Judge(model, adapter=adapter, rubric=rubric)


def drawn(count: int, seed: int) -> Any:
    from eval.bench.scenes import draw_scenes

    return draw_scenes(count, seed)


def model_picture(pixels: Any, side: int | None) -> Any:
    """An array as the picture the model sees, squashed to its fixed side where it has one."""
    from judge import media

    return media.fit(media.load(pixels), side=side)[0]


def named(model: str, adapter: str | None) -> dict[str, Any]:
    return {"model": model, "adapter": adapter}


# --------------------------------------------------------------------------------------- the commands


@app.command()
def scenes(
    seed: Seed = 0,
    count: Annotated[
        int | None, typer.Option(min=1, help="How many scenes; default 500 drawn, or all of --rows.")
    ] = None,
    rows: RowFile = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Accuracy on fresh scenes with exact truth."""
    show("scenes", lambda: measure_scenes(seed, count, rows, model, adapter, batch), as_json)


@app.command()
def forms(
    seed: Seed = 0,
    count: Count = 500,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Random form shapes: how many are filled validly."""
    show("forms", lambda: measure_forms(seed, count, model, adapter, batch), as_json)


@app.command()
def elements(labels: LabelFile = None, as_json: Json = False) -> None:
    """Precision and recall of the elements read from prompts."""
    show("elements", lambda: measure_elements(labels), as_json)


@app.command()
def draw(
    seed: Seed = 0,
    count: Count = 1000,
    processes: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    as_json: Json = False,
) -> None:
    """Scenes drawn per second."""
    show("draw", lambda: measure_draw(seed, count, processes), as_json)


@app.command()
def suites(seed: Seed = 0, as_json: Json = False) -> None:
    """Seconds to read a label file of 23,820 rows, and to score 100,000 predictions."""
    show("suites", lambda: measure_suites(seed), as_json)


@app.command()
def photos(
    data: Annotated[Path, typer.Option(help="Folder with clive_train (LIVE in the Wild) and kodak24.")],
    contents: Annotated[int, typer.Option(min=2, max=24, help="How many of Kodak's photographs.")] = 24,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Opinions and strengths of distortions by the judge and by measured facts, beside BRISQUE and SVR."""
    show("photos", lambda: measure_photos(data, contents, model, adapter, batch), as_json)


@app.command()
def student(
    data: Annotated[Path, typer.Option(help="Folder with clive_train (LIVE in the Wild).")],
    count: Annotated[int, typer.Option(min=2, help="How many scenes are drawn.")] = 300,
    seed: Seed = 12,
    rounds: Annotated[int, typer.Option(min=1, help="How often both are timed on everything.")] = 3,
    model: Annotated[str, typer.Option(help="The student, by name or folder.")] = "embedded-student",
    teacher: Annotated[str, typer.Option(help="Model name or folder of its teacher.")] = "embedded",
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """A student of `quality` beside its teacher: ranking of held-out photographs and scenes, and time."""
    models = {"student": model, "teacher": teacher}
    show("student", lambda: measure_student(data, count, seed, rounds, models, batch), as_json)


@app.command()
def backend(
    seed: Seed = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is timed.")] = 5,
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Seconds a verdict and a score, and the score's cost beside one bare forward pass."""
    show("backend", lambda: measure_backend(seed, rounds, model, adapter), as_json)


@app.command()
def serving(
    seed: Seed = 0,
    count: Count = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Laps of each contender at each depth.")] = 3,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    clients: Annotated[int, typer.Option(min=1, help="Clients of the gateway, at once.")] = 64,
    gateway: Annotated[str, typer.Option(help="Backend behind the gateway.")] = "vllm",
    only: Annotated[
        list[str] | None, typer.Option(help="local, vllm or gateway; may be repeated. Default: all three.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verdicts and scores a second, beside generate, outlines, plain vLLM and the bare forward pass."""
    options = {"batch": batch, "clients": clients, "gateway": gateway, "only": only}
    show("serving", lambda: measure_serving(seed, count, rounds, model, adapter, options), as_json)


@app.command()
def reward(
    seed: Seed = 0,
    looped: Annotated[int, typer.Option(min=1, help="Verdicts asked one by one.")] = 100,
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """1,000 pictures scored by `judge.reward.Reward` beside verdicts in a loop, and the memory that takes."""
    show("reward", lambda: measure_reward(seed, looped, model, adapter), as_json)


@app.command()
def looks(
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=1, help="How many 4K pictures, each broken and whole.")] = 20,
    scenes: Annotated[int, typer.Option(min=1, help="Usual scenes, for doubtful elements.")] = 1000,
    most: Annotated[int, typer.Option("--looks", min=1, help="Closer looks at a 4K picture at most.")] = 200,
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Small defects in 4K pictures, and doubtful elements, with closer looks and without."""
    show("looks", lambda: measure_looks(seed, count, scenes, most, model, adapter), as_json)


@app.command()
def scale(
    rows: Annotated[int, typer.Option(min=1000, help="Rows through the stand-in.")] = 1_000_000,
    paused: Annotated[int, typer.Option(min=400, help="Rows of the stand-in that takes 5 ms each.")] = 4000,
    scenes: Annotated[int, typer.Option(min=200, help="Scenes through the embedded judge.")] = 480,
    as_json: Json = False,
) -> None:
    """CPU time and memory of rows in bulk on Ray, beside the judging; what a second worker gives."""
    show("scale", lambda: measure_scale(rows, paused, scenes), as_json)


@app.command()
def nodes(count: Annotated[int, typer.Option(min=96, help="Scenes.")] = 1000, as_json: Json = False) -> None:
    """The embedded judge on two nodes of Ray, a worker and a node of which are lost, against one process."""
    show("nodes", lambda: measure_nodes(count), as_json)


@app.command()
def parity(
    seed: Seed = 0,
    count: Count = 200,
    served: Annotated[
        int | None, typer.Option(min=0, help="Scenes that a vLLM server is asked, too; default: all.")
    ] = None,
    batch: Batch = 32,
    adapter: Adapter = None,
    rubric: Annotated[str, typer.Option(help="default, quality, or a .toml file.")] = "default",
    as_json: Json = False,
) -> None:
    """The same verdict from transformers, vLLM in process, and a vLLM server?"""
    show("parity", lambda: measure_parity(seed, count, served, batch, adapter, rubric), as_json)


@app.command()
def shifted(
    seed: Seed = 1,
    count: Count = 300,
    rows: Annotated[int, typer.Option(min=200, help="Scenes that the adapter learns from.")] = 1560,
    adapter: Annotated[str | None, typer.Option(help="Measure this adapter instead of training one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to keep the training in.")] = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Before and after LoRA on a rubric with a new kind of defect and a harsher scale."""
    show("shifted", lambda: measure_shifted(seed, count, rows, adapter, out, batch), as_json)


@app.command()
def plan(
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is timed.")] = 3,
    as_json: Json = False,
) -> None:
    """Operations and seconds of the embedded judge, beside what `judge plan` says."""
    show("plan", lambda: measure_plan(rounds), as_json)


@app.command()
def video(
    seed: Seed = 0,
    count: Count = 200,
    rounds: Annotated[int, typer.Option(min=1, help="How often each depth is timed.")] = 5,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 8,
    as_json: Json = False,
) -> None:
    """Seconds to judge 30 full-HD frames, decoding included; ranking of fresh clips and kinds of faults."""
    show("video", lambda: measure_video(seed, count, rounds, model, adapter, batch), as_json)


@app.command(name="all")
def every(
    seed: Seed = 0,
    count: Count = 500,
    labels: LabelFile = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    out: Annotated[Path, typer.Option(help="Where the numbers go.")] = Path("bench.json"),
    as_json: Json = False,
) -> None:
    """Every part; one JSON object per part in bench.json. A part that fails does not stop the others."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "draw": lambda: measure_draw(seed, 2 * count, 2),
        "elements": lambda: measure_elements(labels),
        "suites": lambda: measure_suites(seed),
        "backend": lambda: measure_backend(seed, 5, model, adapter),
        "forms": lambda: measure_forms(seed, count, model, adapter, 16),
        "scenes": lambda: measure_scenes(seed, count, None, model, adapter, 16),
        "reward": lambda: measure_reward(seed, 100, model, adapter),
        "video": lambda: measure_video(seed, min(count, 200), 5, model, adapter, 8),
        "serving": lambda: measure_serving(seed, min(count, 256), 3, model, adapter, {}),
    }
    if not out.parent.is_dir():
        fail(InputError("out", str(out), "a file in a folder that exists", "make the folder first"))
    results: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        try:
            results[name] = measured(name, part)
        except JudgeError as error:
            results[name] = {"part": name, "error": str(error)}
        except Exception as error:  # a bug in one part must not cost the hours of the others
            traceback.print_exc()
            results[name] = {"part": name, "error": f"{type(error).__name__}: {error}"}
        write(out, results)
        if not as_json:
            table(results[name])
    if as_json:
        print(dumps(results))
    raise typer.Exit(1 if any("error" in result for result in results.values()) else 0)


# ---------------------------------------------------------------------------------------- the showing


def measured(name: str, part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    # What libraries print must not mix with the one JSON object.
    with redirect_stdout(sys.stderr):
        return {"part": name, **part()}


def show(name: str, part: Callable[[], dict[str, Any]], as_json: bool) -> None:
    try:
        result = measured(name, part)
    except JudgeError as error:
        fail(error)
    if as_json:
        print(dumps(result))
    else:
        table(result)


def fail(error: JudgeError) -> None:
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(2)


def dumps(result: dict[str, Any]) -> str:
    """JSON text; a NaN that slipped through is an error here rather than a file nobody can read."""
    return json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)


def write(out: Path, results: dict[str, dict[str, Any]]) -> None:
    """Whole or not at all: a reader never meets half a file."""
    fresh = out.with_name(out.name + ".part")
    fresh.write_text(dumps(results) + "\n", encoding="utf-8")
    fresh.replace(out)


def table(result: dict[str, Any]) -> None:
    """One part as a table: name, value, 95 % interval, what must be said about it."""
    from rich.console import Console
    from rich.table import Table

    if "ratios" in result:
        from eval.bench import serving as part

        return Console().print(part.table(result))
    grid = Table(title=result["part"], title_justify="left", show_edge=False)
    intervals, notes = result.get("interval_95", {}), result.get("notes", {})
    for column in ("", "value", "95 % interval", "note"):
        grid.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for name, value in lines(result):
        low, high = intervals.get(name, (None, None))
        span = "" if low is None else f"{low:.3f} .. {high:.3f}"
        grid.add_row(name, shown(value), span, notes.get(name, ""))
    Console().print(grid)


def lines(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in result.items():
        if not prefix and name in ("part", "interval_95", "notes"):
            continue
        if isinstance(value, dict):
            yield from lines(value, f"{prefix}{name}.")
        elif value not in ([], {}):
            yield prefix + name, value


def shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error that goes away when done; silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)


if __name__ == "__main__":
    app()
