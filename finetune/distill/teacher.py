"""The teacher: created from the configuration, used to label samples, and tuned for the second round."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from eval.suites.shared.samples import SuiteSample
from finetune.distill.config import Config, SelfTrainingConfig, TeacherConfig
from finetune.distill.preparation import PreparedDistillation
from finetune.distill.teacher_labels import TeacherLabel, label_samples
from finetune.lora.config import AdapterConfig, DataConfig, LossConfig, ModelConfig, TrainingConfig
from finetune.lora.config import Config as LoraRunConfig
from finetune.run_folders import RUN_FILE
from judge.backends.checkpoints import Checkpoint
from judge.backends.options import OptionSet
from judge.judge import Judge
from judge.pipeline.validation import check_backend
from judge.rubrics.rubric import Rubric


def create_teacher(config: Config, rubric: Rubric, adapter: str | None) -> Judge:
    """Create the teacher.

    Args:
        config: the configuration.
        rubric: the rubric.
        adapter: adapter of the second round; None: as configured.
    """
    teacher = config.teacher
    return Judge(
        teacher.model,
        adapter=adapter or teacher.adapter,
        backend=teacher.backend,
        base_url=teacher.base_url,
        rubric=rubric,
        calibration=False,
        out_of_domain="score",  # the data of a distillation is the choice of whoever runs it
        **_teacher_options(teacher),
    )


def _teacher_options(teacher: TeacherConfig) -> dict[str, Any]:
    """Return the options of the teacher; raise `InputError` if its backend has no such option."""
    if not teacher.options:
        return {}
    known = OptionSet.of_backend(check_backend(teacher.backend, teacher.base_url), teacher.model, common=True)
    return known.check(teacher.options)


def label_with_teacher(
    prepared: PreparedDistillation, out: Path, adapter: str | None, tick: Callable[[int], None]
) -> list[TeacherLabel]:
    """Let the teacher label all samples of a distillation; see `label_samples`.

    Args:
        prepared: the distillation.
        out: file of the labels.
        adapter: adapter of the second round; None: as configured.
        tick: called with the number of samples done.
    """
    judge, batch = create_teacher(prepared.config, prepared.rubric, adapter), prepared.config.teacher.batch
    with estimates_of(prepared.config):
        return label_samples(judge, prepared.samples, prepared.blanks, out, batch, tick)


def estimates_of(config: Config) -> AbstractContextManager[None]:
    """Return the context in which the teacher judges: which of the two models estimates opinions."""
    from finetune.photos.estimators import opinions_without_held_out

    return opinions_without_held_out() if config.teacher.without_held_out else nullcontext()


def tune_teacher(prepared: PreparedDistillation, labels: Sequence[TeacherLabel], out: Path) -> Path:
    """Train the teacher's adapter on people's scores and on the teacher's own.

    Args:
        prepared: the samples of the second round.
        labels: the teacher's answers in the first round.
        out: folder of the distillation; the training is in OUT/tuned.

    Returns:
        Folder of the adapter.
    """
    from finetune.lora.run import train_adapter

    config = prepared.config
    self_training = config.self_training
    if self_training is None:
        raise ValueError("self_training is not configured")
    folder, adapter = out / "tuned", out / "tuned" / "adapter"
    if (folder / RUN_FILE).is_file():
        return adapter
    run_config = LoraRunConfig(
        name=f"{config.name}-tuned",
        seed=config.seed,
        model=ModelConfig(base=config.teacher.model, adapter=_teacher_adapter(config, prepared.rubric)),
        lora=AdapterConfig(),
        data=_write_tuning_data(prepared, self_training, labels, out / "shown"),
        losses=LossConfig(),
        training=TrainingConfig(
            steps=self_training.steps,
            batch=self_training.batch,
            learning_rate=self_training.learning_rate,
        ),
    )
    train_adapter(run_config, folder)
    return adapter


def _write_tuning_data(
    prepared: PreparedDistillation,
    self_training: SelfTrainingConfig,
    labels: Sequence[TeacherLabel],
    folder: Path,
) -> list[DataConfig]:
    """Write the data of the second round in the format of the suite `folder`; return its sources."""
    config = prepared.config
    links = _link_images(prepared.samples, folder)
    own = [{"image": links[n], "score": label.score} for n, label in enumerate(labels) if label.probabilities]
    rng = np.random.default_rng(config.seed)
    own = [own[n] for n in sorted(rng.permutation(len(own))[: self_training.limit])]
    human = [
        {"image": links[n], "score": opinion}
        for n, opinion in enumerate(prepared.opinions)
        if opinion is not None
    ]
    sources = []
    for name, rows, weight in (("own", own, 1.0), ("human", human, self_training.labelled)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        sources.append(
            DataConfig(
                suite="folder",
                path=path,
                rubric=config.rubric,
                scale=(1, 5),
                weight=weight,
                explain=False,
                depths=("score",),
            )
        )
    return sources


def _link_images(samples: Sequence[SuiteSample], folder: Path) -> list[str]:
    """Link all images into one folder, as the suite `folder` requires; return the names of the links."""
    folder.mkdir(exist_ok=True)
    names = [f"{n:06}{Path(sample.media_file).suffix}" for n, sample in enumerate(samples)]
    for name, sample in zip(names, samples, strict=True):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path(sample.media_file).resolve())
    return names


def _teacher_adapter(config: Config, rubric: Rubric) -> str | None:
    """Return the adapter that the teacher uses for the rubric."""
    checkpoint = Checkpoint.resolve(config.teacher.model, config.teacher.adapter)
    adapter = checkpoint.rubric_adapters.get(rubric.name, checkpoint.adapter)
    return None if adapter is None else str(adapter.path)
