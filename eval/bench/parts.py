"""The parts of the bench: each function takes the options of its command and returns the numbers.

The functions create the judges, draw the images and show the progress. The measurements are in
`eval.bench.accuracy` and `eval.bench.speed`; they are imported when a part runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.bench.output import progress_bar
from judge.errors import InputError


def scenes(
    seed: int, count: int | None, rows: Path | None, model: str, adapter: str | None, batch: int
) -> dict[str, Any]:
    """Accuracy on scenes.

    Args:
        seed: seed of drawn scenes.
        count: number of scenes; None: 500 drawn ones, or all of `rows`.
        rows: JSONL file of labelled samples to use instead of drawn scenes.
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
        batch: number of images that are judged together.
    """
    from eval.bench.accuracy.labelled_rows import read_scenes
    from eval.bench.accuracy.scenes import measure_scenes
    from judge.scenes.held_out import draw_held_out_scenes

    labelled = read_scenes(rows, count) if rows else draw_held_out_scenes(count or 500, seed)
    judge = open_judge(model, adapter)
    with progress_bar("scenes", 2 * len(labelled)) as tick:
        result = measure_scenes(judge, labelled, batch=batch, tick=tick)
    return {**result, **({"rows": str(rows)} if rows else {"seed": seed}), **describe_model(model, adapter)}


def forms(seed: int, count: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """Validity of random forms, filled for images of drawn scenes."""
    from eval.bench.accuracy.forms import measure_forms
    from judge.rubrics.rubric import Rubric

    backend = open_judge(model, adapter).backend
    images = [resize_for_model(scene.sample.image, backend.size) for scene in draw_scenes(8, seed)]
    result = measure_forms(backend, Rubric.load("default"), images, count, seed, batch=batch)
    return {**result, **describe_model(model, adapter)}


def elements(data: Path | None) -> dict[str, Any]:
    """F1 of the elements that each splitter reads from prompts, against the lists of EvalMuse-40K.

    Args:
        data: EvalMuse-40K's `prompt_t2i.json`, or the folder with it.
    """
    from eval.bench.accuracy.elements import find_label_file, measure_splitters, read_labels
    from judge.elements.grammar.pipeline import is_available
    from judge.elements.splitters.registry import HOW_TO_INSTALL, SPLITTERS, default_splitter

    labels = find_label_file(data) if data else None
    if labels is None or not labels.is_file():
        reason = "no file was given" if data is None else f"{data} does not exist, or has no prompt_t2i.json"
        return {"skipped": f"{reason}; give --labels or --data, the file prompt_t2i.json of EvalMuse-40K"}
    splitters = {name: s for name, s in SPLITTERS.items() if name != "grammar" or is_available()}
    result = measure_splitters(read_labels(labels), splitters, default_splitter().name)
    if not is_available():
        result["notes"]["default"] = f"grammar was not measured: {HOW_TO_INSTALL}"
    return result


def domain(seed: int, count: int, data: Path | None, model: str) -> dict[str, Any]:
    """Abstention rates of the embedded judge, on drawings and on other images.

    Args:
        seed: seed of the drawings.
        count: number of scenes, and of clips.
        data: folder with one folder for each source of other images.
        model: name of the model.
    """
    from eval.bench.accuracy.domain import measure_domain

    judges = {rubric: open_judge(model, None, rubric) for rubric in ("default", "video")}
    with progress_bar("domain", 2 * count) as tick:
        return {
            **measure_domain(judges, count, seed, data, tick),
            "seed": seed,
            **describe_model(model, None),
        }


def plain(seed: int, count: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """Verdicts on sound flat drawings of another program.

    Args:
        seed: seed of the drawings.
        count: number of drawings of each palette.
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
        batch: number of images that are judged together.
    """
    from eval.bench.accuracy.plain_drawings import PALETTES, measure_plain_drawings

    with progress_bar("plain", len(PALETTES) * count) as tick:
        result = measure_plain_drawings(open_judge(model, adapter), count, seed, batch, tick)
    return {**result, "seed": seed, **describe_model(model, adapter)}


def draw(seed: int, count: int, processes: int) -> dict[str, Any]:
    """Scenes drawn per second."""
    from eval.bench.speed.draw import measure_drawing

    return measure_drawing(count, seed, processes)


def suites(seed: int) -> dict[str, Any]:
    """Speed of reading label files and scoring predictions."""
    from eval.bench.speed.suites import measure_suites

    return measure_suites(seed)


def fuzz(seed: int, count: int, first: int, kinds: Sequence[str]) -> dict[str, Any]:
    """What becomes of damaged inputs.

    Args:
        seed: seed of the damage.
        count: number of inputs of each kind.
        first: number of the first input.
        kinds: kinds of inputs; empty: all.
    """
    from eval.bench.fuzzing.run import fuzz as try_all
    from eval.bench.fuzzing.targets import TARGETS

    kinds = kinds or list(TARGETS)
    with progress_bar("fuzz", count * len(kinds)) as tick:
        return try_all(kinds, first, count, seed, tick)


def load(clients: int, seconds: float) -> dict[str, Any]:
    """What many clients at once get of a gateway."""
    from eval.bench.speed.load import measure_load

    return measure_load(clients, seconds)


def photos(data: Path, contents: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """Accuracy on photographs, of the judge and of the measured facts."""
    from eval.bench.accuracy.photos import STRENGTHS, measure_photos
    from judge.scenes.distortions import DISTORTIONS

    judge = open_judge(model, adapter, "quality")
    with progress_bar("photos", 105 + 2 * contents * len(DISTORTIONS) * len(STRENGTHS)) as tick:
        return {**measure_photos(judge, data, contents, batch, tick), **describe_model(model, adapter)}


def text(
    seed: int, count: int, data: Path | None, fonts: Sequence[Path], model: str, adapter: str | None
) -> dict[str, Any]:
    """Accuracy on drawn writing.

    Args:
        seed: seed of the images.
        count: number of images.
        data: folder with photographs (`kodak24`, `bsds500`) to write on; without it, drawn scenes.
        fonts: folders of fonts beside those of the system.
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
    """
    from eval.bench.accuracy.drawn_text import FONT_FOLDERS, draw_texts, find_fonts
    from eval.bench.accuracy.text import find_backgrounds, measure_text
    from judge.evidence.text import HOW_TO_INSTALL, is_available

    if not is_available():
        return {"skipped": f"the package rapidocr is not installed: {HOW_TO_INSTALL}"}
    latin, chinese = find_fonts([*FONT_FOLDERS, *fonts])
    if not latin:
        return {"skipped": "no font was found; give --fonts, a folder of .ttf or .otf files"}
    backgrounds = find_backgrounds(data) if data else []
    judge = open_judge(model, adapter, "text")
    with progress_bar("text", count) as tick:
        result = measure_text(judge, draw_texts(count, seed, latin, chinese, backgrounds), tick=tick)
    sources = {"fonts": len(latin) + len(chinese), "backgrounds": len(backgrounds)}
    return {**result, **sources, "seed": seed, **describe_model(model, adapter)}


def student(
    data: Path, count: int, seed: int, rounds: int, models: Mapping[str, str], batch: int
) -> dict[str, Any]:
    """Accuracy and speed of a student and its teacher.

    Args:
        data: folder with `clive_train` (LIVE in the Wild).
        count: number of drawn scenes.
        seed: seed of the scenes.
        rounds: how often both are timed.
        models: names or folders of the models `student` and `teacher`.
        batch: number of images that are judged together.
    """
    from eval.bench.accuracy.student import measure_student

    judges = {name: open_judge(model, None, "quality") for name, model in models.items()}
    with progress_bar("student", 4 * (rounds + 1)) as tick:
        result = measure_student(judges, data, count, seed, rounds=rounds, batch=batch, tick=tick)
    return {**result, "seed": seed, **models}


def backend(seed: int, rounds: int, model: str, adapter: str | None) -> dict[str, Any]:
    """Seconds of the judge, and of a forward pass alone."""
    from eval.bench.speed.backend import measure_backend

    judge = open_judge(model, adapter)
    samples = [scene.unlabelled_sample() for scene in draw_scenes(16, seed)]
    list(judge.many(samples[:1]))  # load the model
    return {**measure_backend(judge, samples, judge.backend, rounds=rounds), **describe_model(model, adapter)}


def real_size(
    seed: int, rows: int, rounds: int, layers: int, checkpoint: Path | None, rubric: str
) -> dict[str, Any]:
    """Seconds and memory of the judge around a model of real size.

    Args:
        seed: seed of the weights and the scenes.
        rows: number of images that are scored together.
        rounds: how often each call is timed.
        layers: layers of the language model.
        checkpoint: folder with a checkpoint to measure; None: a random one, in a temporary folder.
        rubric: name or file of the rubric.
    """
    import tempfile

    from eval.bench.speed.real_size import HIDDEN, SIDE, measure_real_size
    from eval.bench.tokens.checkpoints import tiny_checkpoint
    from judge.judge import Judge
    from judge.scenes.scene import draw_scene
    from judge.types import Sample

    with tempfile.TemporaryDirectory() as folder:
        if checkpoint is None:
            checkpoint = tiny_checkpoint(
                Path(folder), "qwen3_vl", layers=layers, hidden=HIDDEN, seed=seed, side=SIDE, scale=2.0
            )
        judge = Judge(str(checkpoint), rubric=rubric, card=False)
        scenes = [draw_scene(seed + number, SIDE) for number in range(rows)]
        samples = [s.sample.model_copy(update={"image": s.image, "id": str(n)}) for n, s in enumerate(scenes)]
        unlabelled = [Sample(**sample.model_dump(exclude={"labels"})) for sample in samples]
        network = judge.backend.network(rubric)  # type: ignore[attr-defined]  # of transformers
        result = measure_real_size(judge, unlabelled, network, judge.backend, rounds=rounds)
    return {**result, "rubric": rubric, "rows": rows, "rounds": rounds, "seed": seed}


def serving(
    seed: int, count: int, rounds: int, model: str, adapter: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Verdicts and scores per second, of this package and of the libraries it is built on."""
    from eval.bench.speed.serving import create_groups, measure_serving

    groups = create_groups(model, adapter, seed, count, **options)
    run_count = sum(map(len, groups)) * 2 * (rounds + 1)
    with progress_bar("serving", run_count) as tick:
        result = measure_serving(groups, count, rounds=rounds, tick=tick)
    return {**result, "seed": seed, **describe_model(model, adapter)}


def busy(
    seed: int, count: int, rounds: int, processes: int, model: str, adapter: str | None, backend: str
) -> dict[str, Any]:
    """Seconds of a gateway's engine while other processes are busy."""
    from eval.bench.speed.busy import measure_busy

    samples = [scene.unlabelled_sample() for scene in draw_scenes(count, seed)]
    with progress_bar("busy", 2 * count * rounds) as tick:
        result = measure_busy(samples, processes, rounds, model, adapter, backend, tick)
    return {**result, "seed": seed, **describe_model(model, adapter)}


def reward(seed: int, looped: int, model: str, adapter: str | None, dtype: str) -> dict[str, Any]:
    """Speed and memory of the reward."""
    from eval.bench.speed.reward import measure_reward

    return {**measure_reward(seed, looped, model, adapter, dtype), **describe_model(model, adapter)}


def looks(seed: int, count: int, scenes: int, looks: int, model: str, adapter: str | None) -> dict[str, Any]:
    """Accuracy with closer looks: small defects in large images, and undecided elements of usual scenes."""
    from eval.bench.accuracy.looks import measure_looks

    # The embedded judge would abstain: the prompts of large scenes have words that it does not know.
    judge = open_judge(model, adapter, out_of_domain="score")
    with progress_bar("looks", 2 * count + scenes) as tick:
        result = measure_looks(judge, count, scenes, seed, looks, tick)
    return {**result, "seed": seed, **describe_model(model, adapter)}


def scale(rows: int, paused: int, scenes: int) -> dict[str, Any]:
    """CPU time and memory of rows in bulk on Ray, and the gain of a second worker."""
    from eval.bench.speed.scale import measure_scale

    with temporary_folder("scale", rows) as (folder, set_done):
        return measure_scale(folder, rows, paused, scenes, set_done)


def nodes(count: int) -> dict[str, Any]:
    """A cluster that loses a worker and a node, compared with one process."""
    from eval.bench.speed.nodes import measure_nodes

    with temporary_folder("nodes", count) as (folder, set_done):
        return measure_nodes(folder, count, set_done)


def tokens(seed: int, steps: int, only: Sequence[str], keep: Path | None) -> dict[str, Any]:
    """What backends read of a model with the vocabulary of Qwen that was taught to answer with stated rates.

    Args:
        seed: seed of the weights and of the answers.
        steps: steps of training.
        only: backends to read it on; empty for all.
        keep: folder of the taught checkpoint, which is taught if it does not exist; None for a temporary one.
    """
    import tempfile
    import time

    from eval.bench.tokens.reading import BACKENDS, measure_tokens
    from eval.bench.tokens.teaching import CONDITIONS, teach

    if unknown := [name for name in only if name not in BACKENDS]:
        raise InputError("only", unknown[0], ", ".join(BACKENDS), "name some of these")
    backends = only or BACKENDS
    with tempfile.TemporaryDirectory() as temporary, progress_bar("tokens", 1 + len(backends)) as tick:
        folder, start = keep or Path(temporary) / "taught", time.perf_counter()
        if not (folder / "config.json").is_file():
            teach(folder, steps=steps, seed=seed)
        seconds = time.perf_counter() - start
        tick()
        result = measure_tokens(folder, CONDITIONS, backends, tick)
    return {**result, "teaching_seconds": seconds, "seed": seed, "steps": steps}


@contextmanager
def temporary_folder(name: str, total: int) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """Create a temporary folder and show a progress bar.

    Args:
        name: text before the bar.
        total: number of steps.

    Yields:
        The folder, and a function that is called with the number of steps that are done.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder, progress_bar(name, total) as tick:
        done = 0

        def set_done(now: int) -> None:
            nonlocal done
            for _ in range(now - done):
                tick()
            done = max(done, now)

        yield Path(folder), set_done


def parity(
    seed: int, count: int, served: int | None, batch: int, adapter: str | None, rubric: str
) -> dict[str, Any]:
    """Agreement of the backends with transformers, for the embedded judge or an adapter of its base.

    Args:
        seed: seed of the scenes.
        count: number of scenes.
        served: number of scenes that are also judged by a vLLM server; None: all.
        batch: number of images that are judged together.
        adapter: name or folder of a LoRA adapter.
        rubric: name or file of the rubric.
    """
    from functools import partial

    from eval.bench.accuracy.parity import measure_parity
    from eval.bench.vllm_server import judge_in_process, judge_on_server
    from judge.pipeline.domain import ASSETS

    samples = [scene.unlabelled_sample() for scene in draw_scenes(count, seed)]
    # A judge behind a server does not know that this model abstains, so none of them does.
    own = partial(judge_in_process, model="embedded", adapter=adapter)
    in_process = partial(own, rubric=rubric, out_of_domain="score")
    judges = [
        ("transformers", partial(in_process, "transformers"), count),
        ("vllm", partial(in_process, "vllm"), count),
    ]
    if adapter is None and rubric == "default":  # the server has only the package's own adapters
        served = count if served is None else min(served, count)
        judges.append(("vllm serve", partial(judge_on_server, ASSETS), served))
    judges = [judge for judge in judges if judge[2]]
    with progress_bar("parity", 2 * sum(number for _, _, number in judges)) as tick:
        result = measure_parity(judges, samples, batch=batch, tick=tick)
    return {**result, "seed": seed, **describe_model("embedded", adapter), "rubric": rubric}


def shifted(
    seed: int, count: int, rows: int, adapter: str | None, out: Path | None, batch: int
) -> dict[str, Any]:
    """Accuracy before and after LoRA training on a rubric that the embedded judge was not trained on.

    Args:
        seed: seed of the scenes that are judged.
        count: number of these scenes.
        rows: number of scenes that the adapter is trained on.
        adapter: an adapter to measure instead of training one.
        out: folder for the training; None: a temporary folder.
        batch: number of images that are judged together.
    """
    from tempfile import TemporaryDirectory

    from eval.bench.accuracy.shifted import draw_shifted_scenes, measure_shifted, train_adapter

    with TemporaryDirectory() as folder:
        trained: dict[str, Any] = {}
        if adapter is None:
            training_folder = out or Path(folder)
            trained = train_adapter(training_folder, rows, seed + 1)
            adapter = str(training_folder / "run" / "adapter")
        with progress_bar("shifted", 4 * count) as tick:
            result = measure_shifted([None, adapter], draw_shifted_scenes(count, seed), batch, tick)
    return {**result, **trained, "seed": seed}


def plan(rounds: int) -> dict[str, Any]:
    """Operations and seconds of the embedded judge, compared with `judge plan`."""
    from eval.bench.speed.plan import measure_plan

    return measure_plan(open_judge("embedded", None), rounds=rounds)


def video(seed: int, count: int, rounds: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """Seconds on full-HD frames, and accuracy on drawn clips."""
    from eval.bench.accuracy.video import measure_video

    judge = open_judge(model, adapter, "video")
    with progress_bar("video", 2 * rounds + 3 * count) as tick:
        result = measure_video(judge, count=count, seed=seed, rounds=rounds, batch=batch, tick=tick)
    return {**result, **describe_model(model, adapter)}


def open_judge(model: str, adapter: str | None, rubric: str = "default", **options: Any) -> Any:
    """Create a judge. Tests replace this function.

    Args:
        model: name or folder.
        adapter: folder of an adapter; None: the model's own.
        rubric: name or file.
        **options: further arguments of `Judge`.
    """
    from judge import Judge

    return Judge(model, adapter=adapter, rubric=rubric, **options)


def draw_scenes(count: int, seed: int) -> Any:
    """Draw scenes that no training set contains."""
    from judge.scenes.held_out import draw_held_out_scenes

    return draw_held_out_scenes(count, seed)


def resize_for_model(pixels: Any, side: int | None) -> Any:
    """Return an array as the image that the model gets, resized to its fixed side if it has one."""
    from judge.media.image import load_image, resize_to_fit

    return resize_to_fit(load_image(pixels), side=side)[0]


def describe_model(model: str, adapter: str | None) -> dict[str, Any]:
    """Return the keys of a result that name the model."""
    return {"model": model, "adapter": adapter}
