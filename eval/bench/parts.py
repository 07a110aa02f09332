"""Each part of the bench from its options to its numbers: judges are opened, pictures drawn, bars shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.bench.tables import progress


def scenes(
    seed: int, count: int | None, rows: Path | None, model: str, adapter: str | None, batch: int
) -> dict[str, Any]:
    """Drawn scenes, or those of `rows` (all of them, when `count` is None)."""
    from eval.bench.accuracy import scenes as part
    from judge.scenes.fresh import draw_scenes

    found = part.read_scenes(rows, count) if rows else draw_scenes(count or 500, seed)
    judge = open_judge(model, adapter)
    with progress("scenes", 2 * len(found)) as tick:
        result = part.run(judge, found, batch=batch, tick=tick)
    return {**result, **({"rows": str(rows)} if rows else {"seed": seed}), **named(model, adapter)}


def forms(seed: int, count: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """Random form shapes on pictures of drawn scenes."""
    from eval.bench.accuracy import forms as part
    from judge.rubrics.rubric import Rubric

    backend = open_judge(model, adapter).backend
    pictures = [model_picture(scene.sample.image, backend.size) for scene in drawn(8, seed)]
    result = part.run(backend, Rubric.load("default"), pictures, count, seed, batch=batch)
    return {**result, **named(model, adapter)}


def elements(labels: Path | None) -> dict[str, Any]:
    """The splitter against EvalMuse's lists."""
    from eval.bench.accuracy import elements as part
    from judge.elements.atomic import words
    from judge.elements.splitting import split

    if labels is None or not labels.is_file():
        where = "no file was given" if labels is None else f"{labels} is not there"
        return {"skipped": f"{where}; give --labels FILE, EvalMuse-40K's prompt_t2i.json"}
    read = part.read_labels(labels)
    finer = part.run(read, lambda prompt: list(words(prompt)))
    finer.pop("notes")
    return part.run(read, split) | {f"words_{name}": value for name, value in finer.items()}


def draw(seed: int, count: int, processes: int) -> dict[str, Any]:
    """Speed of the generator."""
    from eval.bench.speed import draw as part

    return part.run(count, seed, processes)


def suites(seed: int) -> dict[str, Any]:
    """Speed of reading label files and scoring predictions."""
    from eval.bench.speed import suites as part

    return part.run(seed)


def photos(data: Path, contents: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """The judge of photographs, and the estimators of measured facts."""
    from eval.bench.accuracy import photos as part
    from judge.scenes.distortions import MAKERS

    judge = open_judge(model, adapter, "quality")
    with progress("photos", 105 + 2 * contents * len(MAKERS) * len(part.STRENGTHS)) as tick:
        return {**part.run(judge, data, contents, batch, tick), **named(model, adapter)}


def student(
    data: Path, count: int, seed: int, rounds: int, models: Mapping[str, str], batch: int
) -> dict[str, Any]:
    """A student and its teacher, `models` by these names."""
    from eval.bench.accuracy import student as part

    judges = {name: open_judge(model, None, "quality") for name, model in models.items()}
    with progress("student", 4 * (rounds + 1)) as tick:
        result = part.run(judges, data, count, seed, rounds=rounds, batch=batch, tick=tick)
    return {**result, "seed": seed, **models}


def backend(seed: int, rounds: int, model: str, adapter: str | None) -> dict[str, Any]:
    """Speed of the judge."""
    from eval.bench.speed import backend as part

    judge = open_judge(model, adapter)
    samples = [scene.asked() for scene in drawn(16, seed)]
    list(judge.many(samples[:1]))  # loads the model
    return {**part.run(judge, samples, judge.backend, rounds=rounds), **named(model, adapter)}


def serving(
    seed: int, count: int, rounds: int, model: str, adapter: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Verdicts and scores a second, of this package and of what it is built on."""
    from eval.bench.speed import serving as part

    teams = part.teams(model, adapter, seed, count, **options)
    laps = sum(map(len, teams)) * 2 * (rounds + 1)
    with progress("serving", laps) as tick:
        result = part.run(teams, count, rounds=rounds, tick=tick)
    return {**result, "seed": seed, **named(model, adapter)}


def busy(
    seed: int, count: int, rounds: int, processes: int, model: str, adapter: str | None, backend: str
) -> dict[str, Any]:
    """A gateway's engine beside other work."""
    from eval.bench.speed import busy as part

    samples = [scene.asked() for scene in drawn(count, seed)]
    with progress("busy", 2 * count * rounds) as tick:
        result = part.run(samples, processes, rounds, model, adapter, backend, tick)
    return {**result, "seed": seed, **named(model, adapter)}


def reward(seed: int, looped: int, model: str, adapter: str | None, dtype: str) -> dict[str, Any]:
    """Speed and memory of the reward."""
    from eval.bench.speed import reward as part

    return {**part.run(seed, looped, model, adapter, dtype), **named(model, adapter)}


def looks(seed: int, count: int, scenes: int, looks: int, model: str, adapter: str | None) -> dict[str, Any]:
    """Large pictures with one small defect, and doubtful elements of usual scenes."""
    from eval.bench.accuracy import looks as part

    judge = open_judge(model, adapter)
    with progress("looks", 2 * count + scenes) as tick:
        result = part.run(judge, count, scenes, seed, looks, tick)
    return {**result, "seed": seed, **named(model, adapter)}


def scale(rows: int, paused: int, scenes: int) -> dict[str, Any]:
    """What rows in bulk cost, and what a second worker gives."""
    from eval.bench.speed import scale as part

    with counted("scale", rows) as (folder, told):
        return part.run(folder, rows, paused, scenes, told)


def nodes(count: int) -> dict[str, Any]:
    """A cluster that loses a worker and a node, against one process."""
    from eval.bench.speed import nodes as part

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


def parity(
    seed: int, count: int, asked: int | None, batch: int, adapter: str | None, rubric: str
) -> dict[str, Any]:
    """The embedded judge, or an adapter of its base, on every backend, beside the one on transformers."""
    from functools import partial

    from eval.bench.accuracy import parity as part
    from judge.pipeline.domain import ASSETS

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


def shifted(
    seed: int, count: int, rows: int, adapter: str | None, out: Path | None, batch: int
) -> dict[str, Any]:
    """LoRA on a rubric that the embedded judge never saw."""
    from tempfile import TemporaryDirectory

    from eval.bench.accuracy import shifted as part

    with TemporaryDirectory() as folder:
        trained: dict[str, Any] = {}
        if adapter is None:
            where = out or Path(folder)
            trained = part.train(where, rows, seed + 1)
            adapter = str(where / "run" / "adapter")
        with progress("shifted", 4 * count) as tick:
            found = part.measure([None, adapter], part.draw_scenes(count, seed), batch, tick)
    return {**found, **trained, "seed": seed}


def plan(rounds: int) -> dict[str, Any]:
    """`judge plan` beside the embedded judge as it runs."""
    from eval.bench.speed import plan as part

    return part.run(open_judge("embedded", None), rounds=rounds)


def video(seed: int, count: int, rounds: int, model: str, adapter: str | None, batch: int) -> dict[str, Any]:
    """Seconds on full-HD frames, and accuracy on fresh clips."""
    from eval.bench.accuracy import video as part

    judge = open_judge(model, adapter, "video")
    with progress("video", 2 * rounds + 3 * count) as tick:
        result = part.run(judge, count=count, seed=seed, rounds=rounds, batch=batch, tick=tick)
    return {**result, **named(model, adapter)}


def open_judge(model: str, adapter: str | None, rubric: str = "default") -> Any:
    from judge import Judge

    return Judge(model, adapter=adapter, rubric=rubric)


def drawn(count: int, seed: int) -> Any:
    from judge.scenes.fresh import draw_scenes

    return draw_scenes(count, seed)


def model_picture(pixels: Any, side: int | None) -> Any:
    """An array as the picture the model sees, squashed to its fixed side where it has one."""
    from judge.media import image as media

    return media.fit(media.load(pixels), side=side)[0]


def named(model: str, adapter: str | None) -> dict[str, Any]:
    return {"model": model, "adapter": adapter}
