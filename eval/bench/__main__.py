"""`python -m eval.bench PART`: a table on the terminal; with `--json`, one JSON object on standard output.

    python -m eval.bench scenes --seed 7 --count 500 --json
    python -m eval.bench scenes --rows other/rows.jsonl
    python -m eval.bench all --labels prompt_t2i.json     # every part, into bench.json

Exit codes: 0 measured (or skipped, and said so), 1 a part of `all` failed, 2 unusable input.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.bench import parts as measuring
from eval.bench.tables import dumps, fail, measured, show, table, write
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
    show("scenes", lambda: measuring.scenes(seed, count, rows, model, adapter, batch), as_json)


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
    show("forms", lambda: measuring.forms(seed, count, model, adapter, batch), as_json)


@app.command()
def elements(labels: LabelFile = None, as_json: Json = False) -> None:
    """Precision and recall of the elements read from prompts."""
    show("elements", lambda: measuring.elements(labels), as_json)


@app.command()
def draw(
    seed: Seed = 0,
    count: Count = 1000,
    processes: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    as_json: Json = False,
) -> None:
    """Scenes drawn per second."""
    show("draw", lambda: measuring.draw(seed, count, processes), as_json)


@app.command()
def suites(seed: Seed = 0, as_json: Json = False) -> None:
    """Seconds to read a label file of 23,820 rows, and to score 100,000 predictions."""
    show("suites", lambda: measuring.suites(seed), as_json)


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
    show("photos", lambda: measuring.photos(data, contents, model, adapter, batch), as_json)


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
    show("student", lambda: measuring.student(data, count, seed, rounds, models, batch), as_json)


@app.command()
def backend(
    seed: Seed = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is timed.")] = 5,
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Seconds a verdict and a score, and the score's cost beside one bare forward pass."""
    show("backend", lambda: measuring.backend(seed, rounds, model, adapter), as_json)


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
    show("serving", lambda: measuring.serving(seed, count, rounds, model, adapter, options), as_json)


@app.command()
def busy(
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=1, help="Verdicts in each round.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in quiet, and beside the others.")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Others, each of which fills a processor.")] = 2,
    backend: Annotated[str, typer.Option(help="Backend of the engine.")] = "transformers",
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Verdicts of a gateway's engine while other processes keep the processors busy."""
    show("busy", lambda: measuring.busy(seed, count, rounds, processes, model, adapter, backend), as_json)


@app.command()
def reward(
    seed: Seed = 0,
    looped: Annotated[int, typer.Option(min=1, help="Verdicts asked one by one.")] = 100,
    dtype: Annotated[str, typer.Option(help="What the reward calculates in: a torch dtype.")] = "auto",
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """1,000 pictures scored by `judge.reward.Reward` beside verdicts in a loop, and the memory that takes."""
    show("reward", lambda: measuring.reward(seed, looped, model, adapter, dtype), as_json)


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
    show("looks", lambda: measuring.looks(seed, count, scenes, most, model, adapter), as_json)


@app.command()
def scale(
    rows: Annotated[int, typer.Option(min=1000, help="Rows through the stand-in.")] = 1_000_000,
    paused: Annotated[int, typer.Option(min=400, help="Rows of the stand-in that takes 5 ms each.")] = 4000,
    scenes: Annotated[int, typer.Option(min=200, help="Scenes through the embedded judge.")] = 480,
    as_json: Json = False,
) -> None:
    """CPU time and memory of rows in bulk on Ray, beside the judging; what a second worker gives."""
    show("scale", lambda: measuring.scale(rows, paused, scenes), as_json)


@app.command()
def nodes(count: Annotated[int, typer.Option(min=96, help="Scenes.")] = 1000, as_json: Json = False) -> None:
    """The embedded judge on two nodes of Ray, a worker and a node of which are lost, against one process."""
    show("nodes", lambda: measuring.nodes(count), as_json)


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
    show("parity", lambda: measuring.parity(seed, count, served, batch, adapter, rubric), as_json)


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
    show("shifted", lambda: measuring.shifted(seed, count, rows, adapter, out, batch), as_json)


@app.command()
def plan(
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is timed.")] = 3,
    as_json: Json = False,
) -> None:
    """Operations and seconds of the embedded judge, beside what `judge plan` says."""
    show("plan", lambda: measuring.plan(rounds), as_json)


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
    show("video", lambda: measuring.video(seed, count, rounds, model, adapter, batch), as_json)


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
        "draw": lambda: measuring.draw(seed, 2 * count, 2),
        "elements": lambda: measuring.elements(labels),
        "suites": lambda: measuring.suites(seed),
        "backend": lambda: measuring.backend(seed, 5, model, adapter),
        "forms": lambda: measuring.forms(seed, count, model, adapter, 16),
        "scenes": lambda: measuring.scenes(seed, count, None, model, adapter, 16),
        "busy": lambda: measuring.busy(seed, 8, 3, 2, model, adapter, "transformers"),
        "reward": lambda: measuring.reward(seed, 100, model, adapter, "auto"),
        "video": lambda: measuring.video(seed, min(count, 200), 5, model, adapter, 8),
        "serving": lambda: measuring.serving(seed, min(count, 256), 3, model, adapter, {}),
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


if __name__ == "__main__":
    app()
