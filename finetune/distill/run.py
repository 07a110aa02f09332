"""A distillation from its configuration to a folder.

OUT/student              the student, ready for `Judge(OUT/student, rubric=...)`
OUT/round1.jsonl, ...    what the teacher said of every picture
OUT/tuned, OUT/shown     the teacher's second round, a fine-tuning of its own, and what it is shown
OUT/views                pictures as the student sees them
OUT/state.pt             the student in training; the same command goes on from there
OUT/run.json             configuration, size, operations, measures of teacher and student, their times
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.metrics.agreement import srcc
from eval.suites import suite as suite_of
from eval.suites.base import Item, Row
from eval.suites.evalmuse_structure import picture_shape
from finetune.distill import labels as teacher
from finetune.distill import pictures
from finetune.distill.config import Config, Data
from finetune.distill.network import StudentNetwork, example, flops, parameters
from finetune.distill.train import Lessons, Mark, teach
from finetune.lora.losses import opinion_shares
from finetune.lora.targets import read
from finetune.run_folders import RUN, claim, write_json
from judge.backends.checkpoints import Folder
from judge.backends.student import NETWORK, PLAN, Plan, blanks_of
from judge.errors import InputError
from judge.evidence.motion import FACTS as MOVING
from judge.judge import Judge
from judge.media.regions import scale
from judge.rubrics.rubric import Rubric
from judge.runtime.version import __version__

CLOSE = 1e-4
"""The exported network's probabilities are no further than this from those of the trained one."""


@dataclass(frozen=True)
class Prepared:
    """A distillation whose inputs were all read and found usable."""

    config: Config
    rubric: Rubric
    items: list[Item]
    opinions: list[float | None]
    """What people said of each, 1 to 5."""
    sources: list[Data]
    """Where each comes from."""

    @property
    def blanks(self) -> dict[str, list[str]]:
        return blanks_of(self.rubric.form(()).at_depth("score"))

    @property
    def twice(self) -> list[int]:
        """Those that the teacher's second round is about."""
        return [n for n, source in enumerate(self.sources) if source.rounds == 2]

    def again(self) -> Prepared:
        """The same with these alone."""
        chosen = self.twice
        return replace(
            self,
            items=[self.items[n] for n in chosen],
            opinions=[self.opinions[n] for n in chosen],
            sources=[self.sources[n] for n in chosen],
        )

    def marked(self) -> list[list[Mark] | None]:
        """The regions of every picture whose source has any."""
        having = {id(s) for s, i in zip(self.sources, self.items, strict=True) if i.labels.defects}
        return [
            _marks(item) if id(source) in having else None
            for source, item in zip(self.sources, self.items, strict=True)
        ]

    @property
    def plan(self) -> Plan:
        shape, config = self.config.network, self.config
        return Plan(
            rubric=self.rubric.name,
            blanks=self.blanks,
            whole=shape.whole,
            grid=shape.grid,
            patch=shape.patch,
            domain=config.domain,
            teacher=config.teacher.model,
        )


def prepare(config: Config) -> Prepared:
    """Read rubric and data.

    Raises:
        InputError: the rubric asks for what no picture alone answers, or the data is unusable.
    """
    rubric = Rubric.load(config.rubric)
    for what, asked in (
        ("elements of a prompt", rubric.elements),
        ("a reference picture", rubric.reference == "required"),
        ("a video", any(name in MOVING for name in rubric.facts)),
    ):
        if asked:
            mend = (
                f"{rubric.name} asks for {what}, and a student sees a picture only: take quality, for example"
            )
            raise InputError("rubric", config.rubric, "a rubric about pictures alone", mend)
    items, opinions, sources = list[Item](), list[float | None](), list[Data]()
    for n, source in enumerate(config.data):
        suite, found = read(source, f"data.{n}")
        if suite.kind != "image" or any(item.video is not None for item in found):
            raise InputError(f"data.{n}.suite", source.suite, "pictures", "a student sees no videos")
        items += found
        sources += [source] * len(found)
        opinions += [_opinion(source, item, f"data.{n}") for item in found]
    held = {item.file for source in config.held for item in read(source, "held")[1]}
    if both := [item.id for item in items if item.file in held]:
        mend = "split the data, or use skip and limit"
        raise InputError("held", f"{len(both)} pictures, {both[0]} first", "pictures not learnt from", mend)
    if config.self_training:
        again = (opinion for opinion, source in zip(opinions, sources, strict=True) if source.rounds == 2)
        if all(opinion is None for opinion in again):
            mend = "its rows have no scores of people's: leave self_training out"
            raise InputError("self_training", "on", "data with labelled rows", mend)
        if config.teacher.backend not in ("auto", "transformers") or config.teacher.base_url:
            mend = "its weights must be here to be tuned: leave self_training out"
            raise InputError("self_training", "on", "a teacher on transformers", mend)
    return Prepared(config, rubric, items, opinions, sources)


def _marks(item: Item) -> list[Mark]:
    height, width = picture_shape(Path(item.file))
    return [
        (defect.kind, scale(defect.box, 1 / width, 1 / height))
        for defect in item.labels.defects
        if defect.family == "artifact"
    ]


def _opinion(source: Data, item: Item, where: str) -> float | None:
    """What people said of a picture, on 1 to 5."""
    if source.score:
        if source.score not in item.labels.dimensions:
            known = ", ".join(item.labels.dimensions) or "none"
            raise InputError(f"{where}.score", source.score, known, f"{item.id} has no such dimension")
        return item.labels.dimensions[source.score]
    if item.labels.mos is None:
        return None
    scale = source.scale or suite_of(source.suite).scale
    if scale is None:
        raise InputError(
            f"{where}.scale", None, "worst and best of its scores", "give both, [0, 100] perhaps"
        )
    score = 1 + 4 * (item.labels.mos - scale[0]) / (scale[1] - scale[0])
    if not 1 - 1e-6 <= score <= 5 + 1e-6:
        shown = f"{item.labels.mos:g} of {item.id}"
        raise InputError(f"{where}.scale", shown, f"{scale[0]:g} to {scale[1]:g}", "mend scale or label")
    return score


def run(config: Config, out: Path) -> dict[str, Any]:
    """Distil; returns what `run.json` holds.

    Raises:
        InputError: something is unusable, or OUT holds another run.
        BackendError: the teacher cannot be run.
    """
    prepared = prepare(config)
    claim(config, out)
    size = example(config.network)
    network = StudentNetwork(config.network, prepared.blanks)
    operations = flops(network, config.network)
    print(f"{parameters(network) / 1e6:.2f} M parameters, {operations / 1e9:.3f} GFLOPs a picture of "
          f"{config.network.whole} and {size[1].shape[1]} pixels square", flush=True)  # fmt: skip
    rounds, tuned = [_labels(prepared, out / "round1.jsonl", None)], None
    if config.self_training:
        tuned = _tuned(prepared.again(), [rounds[0][n] for n in prepared.twice], out)
        second = iter(_labels(prepared.again(), out / "round2.jsonl", str(tuned)))
        twice = set(prepared.twice)
        rounds.append([next(second) if n in twice else teacher.Label() for n in range(len(prepared.items))])
    files, plan = [item.file for item in prepared.items], prepared.plan
    say = Said("cut", len(files))
    views = pictures.build(out / "views", files, plan, config.training.views, config.seed, say)
    shares = [None if o is None else opinion_shares(o, None) for o in prepared.opinions]
    weights = [source.weight for source in prepared.sources]
    lessons = Lessons.of(rounds, shares, prepared.blanks, prepared.marked(), weights)
    torch.manual_seed(config.seed)
    network = StudentNetwork(
        config.network,
        prepared.blanks,
        facts=lessons.facts.shape[1],
        kinds=lessons.kinds.shape[1],
        dropout=config.training.dropout,
    )
    course = teach(config, network, views, lessons, out)
    export(network, plan, config, out / "student")
    told = {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "rubric": f"{prepared.rubric.name} {prepared.rubric.hash}",
        "pictures": len(files),
        "labelled": sum(opinion is not None for opinion in prepared.opinions),
        "rounds": len(rounds),
        "gflops": operations / 1e9,
        "parameters": parameters(network),  # what was learnt beside is left out by now
        **course,
        "held": [_measured(config, n, out, tuned) for n in range(len(config.held))],
        "versions": {n: metadata.version(n) for n in ("torch", "onnx", "onnxruntime")}
        | {"judge": __version__},
    }
    write_json(out / RUN, told)
    return told


class Said:
    """Says how far a step has come, every half minute."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.begun = what, total, time.monotonic()
        self.last = self.begun

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last > 30 or done == self.total:
            self.last = now
            print(f"{self.what} {done} of {self.total} pictures, {now - self.begun:.0f} s", flush=True)


def _judge(config: Config, rubric: Rubric, adapter: str | None) -> Judge:
    wanted = config.teacher
    return Judge(
        wanted.model,
        adapter=adapter or wanted.adapter,
        backend=wanted.backend,
        base_url=wanted.base_url,
        rubric=rubric,
        calibration=False,
    )


def _labels(prepared: Prepared, path: Path, adapter: str | None) -> list[teacher.Label]:
    config = prepared.config
    judge, say = _judge(config, prepared.rubric, adapter), Said(f"{path.stem}:", len(prepared.items))
    return teacher.labels(judge, prepared.items, prepared.blanks, path, config.teacher.batch, say)


def _tuned(prepared: Prepared, said: Sequence[teacher.Label], out: Path) -> Path:
    """The teacher's adapter after a round on what people said and on what it said itself."""
    from finetune.lora.config import Adapter, Base, Losses, Training
    from finetune.lora.config import Config as AdapterInfo
    from finetune.lora.config import Data as Rows
    from finetune.lora.run import run as tune

    wanted, config = prepared.config.self_training, prepared.config
    if wanted is None:
        raise ValueError("no self-training is asked for")
    folder, done = out / "tuned", out / "tuned" / "adapter"
    if (folder / RUN).is_file():
        return done
    shown = _linked(prepared.items, out / "shown")
    own = [{"image": shown[n], "score": label.score} for n, label in enumerate(said) if label.told]
    chance = np.random.default_rng(config.seed)
    own = [own[n] for n in sorted(chance.permutation(len(own))[: wanted.limit])]
    human = [
        {"image": shown[n], "score": opinion}
        for n, opinion in enumerate(prepared.opinions)
        if opinion is not None
    ]
    sources = []
    for name, rows, weight in (("own", own, 1.0), ("human", human, wanted.labelled)):
        path = out / "shown" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        sources.append(
            Rows(
                suite="folder", path=path, rubric=config.rubric, scale=(1, 5), weight=weight, explain=False,
                depths=("score",),
            )
        )  # fmt: skip
    tune(
        AdapterInfo(
            name=f"{config.name}-tuned",
            seed=config.seed,
            model=Base(base=config.teacher.model, adapter=_adapter(config, prepared.rubric)),
            lora=Adapter(),
            data=sources,
            losses=Losses(),
            training=Training(steps=wanted.steps, batch=wanted.batch, learning_rate=wanted.learning_rate),
        ),
        folder,
    )
    return done


def _linked(items: Sequence[Item], folder: Path) -> list[str]:
    """Links to all pictures in one folder, as a table of the suite `folder` wants them; their names."""
    folder.mkdir(exist_ok=True)
    names = [f"{n:06}{Path(item.file).suffix}" for n, item in enumerate(items)]
    for name, item in zip(names, items, strict=True):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path(item.file).resolve())
    return names


def _adapter(config: Config, rubric: Rubric) -> str | None:
    """The adapter that the teacher answers this rubric with."""
    folder = Folder.of(config.teacher.model, config.teacher.adapter)
    answers = folder.own.get(rubric.name, folder.adapter)
    return None if answers is None else str(answers.place)


def export(network: StudentNetwork, plan: Plan, config: Config, out: Path) -> None:
    """Write the student's folder, and check that onnxruntime gives what torch gives.

    Raises:
        RuntimeError: it does not.
    """
    import onnxruntime

    network = network.without_beside()
    out.mkdir(parents=True, exist_ok=True)
    chance = torch.Generator().manual_seed(0)
    shown = tuple(
        torch.randint(0, 256, part.shape, dtype=torch.uint8, generator=chance)
        for part in example(config.network, 3)
    )
    draft = out / f".{NETWORK}.part"
    batch = torch.export.Dim("pictures")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        torch.onnx.export(
            network, shown, str(draft), input_names=["whole", "patches"], output_names=["probabilities"],
            dynamic_shapes=({0: batch}, {0: batch}), dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(draft.read_bytes(), providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"whole": shown[0].numpy(), "patches": shown[1].numpy()})
    with torch.no_grad():
        apart = float(np.abs(found - network(*shown).numpy()).max())
    if apart > CLOSE:
        raise RuntimeError(f"the exported student is {apart:.1e} off in its probabilities")
    (out / PLAN).write_text(plan.model_dump_json(indent=1) + "\n", "utf-8")
    draft.replace(out / NETWORK)


def _measured(config: Config, at: int, out: Path, tuned: Path | None) -> dict[str, Any]:
    """Teacher and student on held-out samples: against people, against each other, and their times."""
    held, rubric = config.held[at], Rubric.load(config.rubric)
    suite, items = read(held, f"held.{at}")
    judges = {
        "teacher": _judge(config, rubric, None),
        "student": Judge(str(out / "student"), rubric=rubric, calibration=False),
    }
    if tuned is not None:
        judges["teacher_tuned"] = _judge(config, rubric, str(tuned))
    told: dict[str, Any] = {"path": str(held.path), "metric": held.metric, "pictures": len(items)}
    scores: dict[str, list[float]] = {}
    for name, judge in judges.items():
        asked = [item.asked() for item in items]
        list(judge.many(islice(asked, held.batch), depth="score", batch=held.batch))  # loads the model
        begun = time.perf_counter()
        verdicts = list(judge.many(asked, depth="score", batch=held.batch))
        told[f"{name}_ms"] = 1000 * (time.perf_counter() - begun) / len(items)
        measures = suite.measure([Row(item, verdict) for item, verdict in zip(items, verdicts, strict=True)])
        told[name] = measures[held.metric].value
        scores[name] = [np.nan if verdict.score is None else verdict.score for verdict in verdicts]
    told["agreement_srcc"] = srcc(np.array(scores["student"]), np.array(scores["teacher"])).value
    told["times"] = told["teacher_ms"] / told["student_ms"]
    return told
