"""A distillation from its configuration to a folder.

OUT/student              the student, ready for `Judge(OUT/student, rubric=...)`
OUT/round1.jsonl, ...    the teacher's answer about each image
OUT/tuned, OUT/shown     the teacher's second round: a fine-tuning, and its images
OUT/views                the images as the student sees them
OUT/state.pt             the student in training; the same command resumes from it
OUT/run.json             configuration, size, operations, measures of teacher and student, their times
"""

from __future__ import annotations

import time
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from finetune.distill.config import Config
from finetune.distill.evaluation import evaluate_held_out
from finetune.distill.export import export_student
from finetune.distill.image_views import write_views
from finetune.distill.network import StudentNetwork, count_flops, count_parameters
from finetune.distill.preparation import PreparedDistillation, prepare
from finetune.distill.targets import TrainingTargets
from finetune.distill.teacher import label_with_teacher, tune_teacher
from finetune.distill.teacher_labels import TeacherLabel
from finetune.distill.training import train_student
from finetune.lora.losses import opinion_distribution
from finetune.run_folders import RUN_FILE, claim_folder, write_json
from judge.runtime.version import __version__

LOG_SECONDS = 30
"""Time between two lines about progress."""


def distill(config: Config, out: Path) -> dict[str, Any]:
    """Run a distillation.

    Args:
        config: the configuration.
        out: folder of the run.

    Returns:
        The content of `run.json`.

    Raises:
        InputError: something is unusable, or `out` holds another run.
        BackendError: the teacher cannot run.
    """
    prepared = prepare(config, partial(print, flush=True))
    claim_folder(config, out)
    network = StudentNetwork(config.network, prepared.blanks)
    operations = count_flops(network, config.network)
    patches_side = config.network.grid * config.network.patch
    print(f"{count_parameters(network) / 1e6:.2f} M parameters, {operations / 1e9:.3f} GFLOPs an image of "
          f"{config.network.whole} and {patches_side} pixels square", flush=True)  # fmt: skip
    rounds, tuned = _label_rounds(prepared, out)
    files = [sample.media_file for sample in prepared.samples]
    student = prepared.student_config
    progress = _ProgressPrinter("cut", len(files))
    views = write_views(out / "views", files, student, config.training.views, config.seed, progress)
    opinions = [None if o is None else opinion_distribution(o, None) for o in prepared.opinions]
    weights = [source.weight for source in prepared.sources]
    targets = TrainingTargets.build(rounds, opinions, prepared.blanks, prepared.labelled_regions(), weights)
    torch.manual_seed(config.seed)
    network = StudentNetwork(
        config.network,
        prepared.blanks,
        facts=targets.facts.shape[1],
        kinds=targets.kinds.shape[1],
        dropout=config.training.dropout,
    )
    training = train_student(config, network, views, targets, out)
    export_student(network, student, config.network, out / "student")
    result = {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "rubric": f"{prepared.rubric.name} {prepared.rubric.hash}",
        "pictures": len(files),
        "labelled": sum(opinion is not None for opinion in prepared.opinions),
        "rounds": len(rounds),
        "gflops": operations / 1e9,
        "parameters": count_parameters(network),  # the export removed the auxiliary heads
        **training,
        "held": [evaluate_held_out(config, n, out, tuned) for n in range(len(config.held))],
        "versions": {n: metadata.version(n) for n in ("torch", "onnx", "onnxruntime")}
        | {"judge": __version__},
    }
    write_json(out / RUN_FILE, result)
    return result


def _label_rounds(prepared: PreparedDistillation, out: Path) -> tuple[list[list[TeacherLabel]], Path | None]:
    """Let the teacher label the images, once or twice.

    Returns:
        The labels of each round, and the adapter of the second round. Images that are not in the second round
        have empty labels in it.
    """
    count = len(prepared.samples)
    rounds = [label_with_teacher(prepared, out / "round1.jsonl", None, _ProgressPrinter("round1:", count))]
    if not prepared.config.self_training:
        return rounds, None
    second = prepared.for_second_round()
    tuned = tune_teacher(second, [rounds[0][n] for n in prepared.second_round], out)
    progress = _ProgressPrinter("round2:", len(second.samples))
    labels = iter(label_with_teacher(second, out / "round2.jsonl", str(tuned), progress))
    in_second = set(prepared.second_round)
    rounds.append([next(labels) if n in in_second else TeacherLabel() for n in range(count)])
    return rounds, tuned


class _ProgressPrinter:
    """Prints the progress of a step every half minute.

    Args:
        step: name of the step.
        total: number of images.
    """

    def __init__(self, step: str, total: int) -> None:
        self.step, self.total, self.start = step, total, time.monotonic()
        self.last = self.start

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last > LOG_SECONDS or done == self.total:
            self.last = now
            print(f"{self.step} {done} of {self.total} images, {now - self.start:.0f} s", flush=True)
