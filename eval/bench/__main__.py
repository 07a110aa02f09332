"""The command line `python -m eval.bench PART`: print a table, or with `--json` one JSON object.

    python -m eval.bench scenes --seed 7 --count 500 --json
    python -m eval.bench scenes --rows other/rows.jsonl
    python -m eval.bench all --labels prompt_t2i.json     # many parts, into bench.json

Exit codes: 0 measured, or skipped with a reason; 1 a part of `all` failed; 2 unusable input.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.bench import parts
from eval.bench.output import exit_with_error, print_part, print_table, run_part, to_json, write_results
from judge.errors import InputError, JudgeError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure the numbers of this project, one command for each part.",
)

Seed = Annotated[int, typer.Option(min=0, help="Seed of the drawing; the same seed gives the same images.")]
Count = Annotated[int, typer.Option(min=1, help="Number of drawn scenes, forms or clips.")]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Model = Annotated[
    str, typer.Option(help="Name or folder of the model; `embedded` is the one in the package.")
]
Adapter = Annotated[str | None, typer.Option(help="Name or folder of a LoRA adapter.")]
Batch = Annotated[int, typer.Option(min=1, help="Number of images that are judged together.")]
LabelFile = Annotated[
    Path | None,
    typer.Option("--data", "--labels", help="EvalMuse-40K's prompt_t2i.json, or the folder with it."),
]
RowFile = Annotated[
    Path | None, typer.Option(help="JSONL file of labelled samples to use instead of drawn scenes.")
]


@app.command()
def scenes(
    seed: Seed = 0,
    count: Annotated[
        int | None, typer.Option(min=1, help="Number of scenes; default: 500 drawn ones, or all of --rows.")
    ] = None,
    rows: RowFile = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Measure the accuracy on drawn scenes with exact truth."""
    print_part("scenes", lambda: parts.scenes(seed, count, rows, model, adapter, batch), as_json)


@app.command()
def forms(
    seed: Seed = 0,
    count: Count = 500,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Measure how many random forms are filled validly."""
    print_part("forms", lambda: parts.forms(seed, count, model, adapter, batch), as_json)


@app.command()
def elements(data: LabelFile = None, as_json: Json = False) -> None:
    """Measure F1 of the elements that each splitter reads from prompts, against lists made by people."""
    print_part("elements", lambda: parts.elements(data), as_json)


@app.command()
def domain(
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of scenes, and of clips.")] = 500,
    data: Annotated[
        Path | None, typer.Option(help="Folder with one folder of other images for each source.")
    ] = None,
    model: Model = "embedded",
    as_json: Json = False,
) -> None:
    """Measure how often the judge abstains: on fresh scenes and clips, and on images of other sources."""
    print_part("domain", lambda: parts.domain(seed, count, data, model), as_json)


@app.command()
def plain(
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of drawings in each of two palettes.")] = 100,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Measure how often sound flat drawings of another program are judged sound."""
    print_part("plain", lambda: parts.plain(seed, count, model, adapter, batch), as_json)


@app.command()
def draw(
    seed: Seed = 0,
    count: Count = 1000,
    processes: Annotated[int, typer.Option(min=1, help="Number of processes that draw.")] = 2,
    as_json: Json = False,
) -> None:
    """Measure the scenes drawn per second."""
    print_part("draw", lambda: parts.draw(seed, count, processes), as_json)


@app.command()
def suites(seed: Seed = 0, as_json: Json = False) -> None:
    """Measure the seconds to read a label file of 23,820 rows and to score 100,000 predictions."""
    print_part("suites", lambda: parts.suites(seed), as_json)


@app.command()
def photos(
    data: Annotated[Path, typer.Option(help="Folder with clive_train (LIVE in the Wild) and kodak24.")],
    contents: Annotated[int, typer.Option(min=2, max=24, help="Number of Kodak's photographs.")] = 24,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Measure correlations on photographs with opinions and with strengths of distortions."""
    print_part("photos", lambda: parts.photos(data, contents, model, adapter, batch), as_json)


@app.command()
def text(
    data: Annotated[
        Path | None, typer.Option(help="Folder with photographs: kodak24, bsds500. Default: drawn scenes.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of drawn images.")] = 200,
    seed: Seed = 0,
    fonts: Annotated[
        list[Path] | None, typer.Option(help="Folder of fonts beside those of the system; may be repeated.")
    ] = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Measure how often drawn writing is decided right: as wanted, misspelt, or missing."""
    print_part("text", lambda: parts.text(seed, count, data, fonts or [], model, adapter), as_json)


@app.command()
def student(
    data: Annotated[Path, typer.Option(help="Folder with clive_train (LIVE in the Wild).")],
    count: Annotated[int, typer.Option(min=2, help="Number of drawn scenes.")] = 300,
    seed: Seed = 12,
    rounds: Annotated[int, typer.Option(min=1, help="How often both models are timed.")] = 3,
    model: Annotated[str, typer.Option(help="Name or folder of the student.")] = "embedded-student",
    teacher: Annotated[str, typer.Option(help="Name or folder of its teacher.")] = "embedded",
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Compare a student of `quality` with its teacher: correlations and milliseconds per image."""
    models = {"student": model, "teacher": teacher}
    print_part("student", lambda: parts.student(data, count, seed, rounds, models, batch), as_json)


@app.command()
def backend(
    seed: Seed = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is timed.")] = 5,
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Measure seconds per verdict and score, and compare a score with one forward pass of the model."""
    print_part("backend", lambda: parts.backend(seed, rounds, model, adapter), as_json)


@app.command(name="real-size")
def real_size(
    seed: Seed = 0,
    rows: Annotated[int, typer.Option(min=1, help="Number of images that are scored together.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is timed.")] = 1,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the random language model.")] = 14,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder of a checkpoint to measure instead of a random one.")
    ] = None,
    rubric: Annotated[str, typer.Option(help="Name of the rubric, or a .toml file.")] = "default",
    as_json: Json = False,
) -> None:
    """Measure a random Qwen3-VL of real size: scores against bare passes, time outside the model."""
    print_part("real-size", lambda: parts.real_size(seed, rows, rounds, layers, checkpoint, rubric), as_json)


@app.command()
def serving(
    seed: Seed = 0,
    count: Count = 256,
    rounds: Annotated[int, typer.Option(min=1, help="How often each engine runs at each depth.")] = 3,
    model: Model = "embedded",
    adapter: Adapter = None,
    batch: Batch = 16,
    clients: Annotated[int, typer.Option(min=1, help="Number of concurrent clients of the gateway.")] = 64,
    gateway: Annotated[str, typer.Option(help="Backend behind the gateway.")] = "vllm",
    only: Annotated[
        list[str] | None, typer.Option(help="local, vllm or gateway; may be repeated. Default: all three.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare verdicts and scores per second with generate, outlines, plain vLLM and a forward pass."""
    options = {"batch": batch, "clients": clients, "gateway": gateway, "only": only}
    print_part("serving", lambda: parts.serving(seed, count, rounds, model, adapter, options), as_json)


@app.command()
def busy(
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of verdicts in each round.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds without and with busy processes.")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Number of busy processes.")] = 2,
    backend: Annotated[str, typer.Option(help="Backend of the engine.")] = "transformers",
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Measure the verdicts of a gateway's engine while other processes keep the processors busy."""
    print_part("busy", lambda: parts.busy(seed, count, rounds, processes, model, adapter, backend), as_json)


@app.command()
def reward(
    seed: Seed = 0,
    looped: Annotated[int, typer.Option(min=1, help="Number of verdicts that are made one by one.")] = 100,
    dtype: Annotated[str, typer.Option(help="The torch dtype that the reward computes with.")] = "auto",
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Compare `judge.reward.Reward` on 1,000 images with verdicts in a loop, and measure its memory."""
    print_part("reward", lambda: parts.reward(seed, looped, model, adapter, dtype), as_json)


@app.command()
def looks(
    seed: Seed = 0,
    count: Annotated[
        int, typer.Option(min=1, help="Number of 4K images, each drawn with and without a defect.")
    ] = 20,
    scenes: Annotated[
        int, typer.Option(min=1, help="Number of usual scenes, for undecided elements.")
    ] = 1000,
    max_looks: Annotated[
        int, typer.Option("--looks", min=1, help="Largest number of zoom-ins (closer looks) for a 4K image.")
    ] = 200,
    model: Model = "embedded",
    adapter: Adapter = None,
    as_json: Json = False,
) -> None:
    """Compare judging with and without closer looks: small defects in 4K images, and undecided elements."""
    print_part("looks", lambda: parts.looks(seed, count, scenes, max_looks, model, adapter), as_json)


@app.command()
def scale(
    rows: Annotated[
        int, typer.Option(min=1000, help="Rows that are judged by a stand-in for the model.")
    ] = 1_000_000,
    paused: Annotated[
        int, typer.Option(min=400, help="Rows that are judged by a stand-in that takes 5 ms a row.")
    ] = 4000,
    scenes: Annotated[int, typer.Option(min=200, help="Scenes that are judged by the embedded judge.")] = 480,
    as_json: Json = False,
) -> None:
    """Measure CPU time and memory of rows in bulk on Ray, and the gain of a second worker."""
    print_part("scale", lambda: parts.scale(rows, paused, scenes), as_json)


@app.command()
def nodes(
    count: Annotated[int, typer.Option(min=96, help="Number of scenes.")] = 1000, as_json: Json = False
) -> None:
    """Compare a run on two Ray nodes that loses a worker and a node with a run in one process."""
    print_part("nodes", lambda: parts.nodes(count), as_json)


@app.command()
def parity(
    seed: Seed = 0,
    count: Count = 200,
    served: Annotated[
        int | None, typer.Option(min=0, help="Scenes that are also judged by a vLLM server; default: all.")
    ] = None,
    batch: Batch = 32,
    adapter: Adapter = None,
    rubric: Annotated[str, typer.Option(help="default, quality or a .toml file.")] = "default",
    as_json: Json = False,
) -> None:
    """Compare the verdicts of transformers, vLLM in process and a vLLM server."""
    print_part("parity", lambda: parts.parity(seed, count, served, batch, adapter, rubric), as_json)


@app.command()
def shifted(
    seed: Seed = 1,
    count: Count = 300,
    rows: Annotated[
        int, typer.Option(min=200, help="Number of scenes that the adapter is trained on.")
    ] = 1560,
    adapter: Annotated[str | None, typer.Option(help="Measure this adapter instead of training one.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to keep the training in; default: a temporary one.")
    ] = None,
    batch: Batch = 16,
    as_json: Json = False,
) -> None:
    """Measure before and after LoRA training on a rubric with a new kind of defect and a harsher scale."""
    print_part("shifted", lambda: parts.shifted(seed, count, rows, adapter, out, batch), as_json)


@app.command()
def plan(
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is timed.")] = 3,
    as_json: Json = False,
) -> None:
    """Compare operations and seconds of the embedded judge with the estimate of `judge plan`."""
    print_part("plan", lambda: parts.plan(rounds), as_json)


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
    """Measure the seconds for 30 full-HD frames, and the accuracy on drawn clips."""
    print_part("video", lambda: parts.video(seed, count, rounds, model, adapter, batch), as_json)


@app.command()
def tokens(
    seed: Seed = 0,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 640,
    only: Annotated[
        list[str] | None,
        typer.Option(help="transformers, vllm or served; may be repeated. Default: all three."),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder of the taught model; it is taught if the folder is empty.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Teach a tiny model of real vocabulary to answer with stated rates, and compare what backends read."""
    print_part("tokens", lambda: parts.tokens(seed, steps, only or [], keep), as_json)


@app.command()
def fuzz(
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of damaged inputs of each kind.")] = 300,
    first: Annotated[int, typer.Option(min=0, help="Number of the first input, to try one again.")] = 0,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="images, videos, tables or requests; may be repeated. Default: all four."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Try damaged images, videos, tables and requests: each is read or refused, in bounded time and memory.

    Exits with 1 if one crashed, gave a warning, or took too much time or memory.
    """
    result: dict[str, Any] = {}

    def measure() -> dict[str, Any]:
        result.update(parts.fuzz(seed, count, first, kind or []))
        return result

    print_part("fuzz", measure, as_json)
    raise typer.Exit(1 if result["crashed"] else 0)


@app.command()
def load(
    clients: Annotated[int, typer.Option(min=1, help="Number of clients.")] = 50,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time during which they begin requests.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Send requests from many clients to a gateway over a stand-in for the model.

    Exits with 1 if one failed.
    """
    result: dict[str, Any] = {}

    def measure() -> dict[str, Any]:
        result.update(parts.load(clients, seconds))
        return result

    print_part("load", measure, as_json)
    raise typer.Exit(1 if result["failed"] else 0)


@app.command(name="all")
def all_parts(
    seed: Seed = 0,
    count: Count = 500,
    labels: LabelFile = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("bench.json"),
    as_json: Json = False,
) -> None:
    """Measure many parts and write one JSON object per part to bench.json.

    A part that fails does not stop the others.
    """
    measurements: dict[str, Callable[[], dict[str, Any]]] = {
        "draw": lambda: parts.draw(seed, 2 * count, 2),
        "elements": lambda: parts.elements(labels),
        "suites": lambda: parts.suites(seed),
        "backend": lambda: parts.backend(seed, 5, model, adapter),
        "forms": lambda: parts.forms(seed, count, model, adapter, 16),
        "scenes": lambda: parts.scenes(seed, count, None, model, adapter, 16),
        "busy": lambda: parts.busy(seed, 8, 3, 2, model, adapter, "transformers"),
        "reward": lambda: parts.reward(seed, 100, model, adapter, "auto"),
        "video": lambda: parts.video(seed, min(count, 200), 5, model, adapter, 8),
        "serving": lambda: parts.serving(seed, min(count, 256), 3, model, adapter, {}),
    }
    if not out.parent.is_dir():
        exit_with_error(
            InputError("out", str(out), "a file in a folder that exists", "create the folder first")
        )
    results: dict[str, dict[str, Any]] = {}
    for name, measure in measurements.items():
        try:
            results[name] = run_part(name, measure)
        except JudgeError as error:
            results[name] = {"part": name, "error": str(error)}
        except Exception as error:  # a bug in one part must not cost the results of the others
            traceback.print_exc()
            results[name] = {"part": name, "error": f"{type(error).__name__}: {error}"}
        write_results(out, results)
        if not as_json:
            print_table(results[name])
    if as_json:
        print(to_json(results))
    raise typer.Exit(1 if any("error" in result for result in results.values()) else 0)


if __name__ == "__main__":
    app()
