"""A fine-tuning from its configuration to a folder.

OUT/adapter          the best adapter, ready for `Judge(..., adapter=...)` and for vLLM, with `training.json`,
                     which says what it was trained on (`judge.backends.adapter_training`)
OUT/run.json         configuration, versions, measures before and after, history
OUT/curves.png       losses and held-out measure
OUT/runs             the same for TensorBoard
OUT/checkpoint-N     the last and the best state; the same command resumes from them

All errors in a configuration, its data and its base are found before weights are loaded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune.lora.base_model import BaseInfo, check_base, load_trainable_model, trainable_parameters
from finetune.lora.config import Config, ModelConfig
from finetune.lora.evaluation import HeldOutEvaluation, TrainingBackend
from finetune.lora.memory import PassShape, estimate_memory, free_memory
from finetune.lora.processes import join_processes
from finetune.lora.targets import TargetSet, load_target_sets
from finetune.run_folders import RUN_FILE, claim_folder, package_versions, write_json
from judge.backends.adapter_training import (
    AdapterTraining,
    backend_boxes,
    backend_tokenization,
    describe_base,
    describe_rubrics,
)
from judge.errors import InputError
from judge.rubrics.rubric import Rubric
from judge.runtime.version import __version__

BASELINE_FILE = "before.json"
"""Measures before the first step."""


@dataclass(frozen=True)
class PreparedRun:
    """A fine-tuning whose inputs were read and are usable."""

    config: Config
    base: BaseInfo
    target_sets: list[TargetSet]
    evaluation: HeldOutEvaluation | None


def prepare(config: Config, report: Callable[[str], None] = lambda line: None) -> PreparedRun:
    """Check the base, and read all data and labels.

    Args:
        config: the configuration.
        report: called with lines about the data.

    Raises:
        InputError: something is unusable; see `base_model`, `targets` and `evaluation`.
    """
    base = check_base(config.model)
    target_sets = load_target_sets(config.data, report)
    evaluation = HeldOutEvaluation(config.held, report) if config.held else None
    if evaluation is not None:
        check_no_overlap(target_sets, evaluation)
        report(f"held out: {len(evaluation.samples)} rows of {evaluation.suite.name}")
    return PreparedRun(config, base, target_sets, evaluation)


def check_no_overlap(target_sets: Iterable[TargetSet], evaluation: HeldOutEvaluation) -> None:
    """Raise `InputError` if an image or video is both trained and measured on."""
    training_files = {target.sample.media_file for target_set in target_sets for target in target_set.targets}
    both = [sample.id for sample in evaluation.samples if sample.media_file in training_files]
    if both:
        mend = "split the data, or use skip and limit"
        shown = f"{len(both)} of them, {both[0]} first"
        raise InputError("held.path", shown, "images or videos that are not trained on", mend)


def build_trainer(prepared: PreparedRun, out: Path) -> Any:
    """Load the model and create the trainer.

    Args:
        prepared: the run.
        out: its folder.
    """
    from transformers import PrinterCallback

    from finetune.lora.dataset import TrainingDataset
    from finetune.lora.encoding import RowEncoder
    from finetune.lora.trainer import JsonLogCallback, JudgeTrainer, TimeLimitCallback

    config, base = prepared.config, prepared.base
    model, processor = load_trainable_model(base, config.model, config.lora)
    backend = TrainingBackend(model, processor, base)
    encoder = RowEncoder(backend, config.losses, config.model.max_pixels)
    evaluator = None
    if prepared.evaluation is not None:
        evaluator = partial(prepared.evaluation, backend, config.model.max_pixels)
    trainer = JudgeTrainer(
        weights=config.losses,
        dataset=TrainingDataset(prepared.target_sets, encoder),
        evaluator=evaluator,
        model=model,
        args=_training_arguments(config, out),
        callbacks=[JsonLogCallback(), *_tensorboard_callbacks(out / "runs")],
    )
    trainer.remove_callback(PrinterCallback)  # `JsonLogCallback` prints the same, as JSON
    if config.training.minutes:
        trainer.add_callback(TimeLimitCallback(config.training.minutes))
    if config.held and config.held.patience:
        from transformers import EarlyStoppingCallback

        trainer.add_callback(EarlyStoppingCallback(config.held.patience))
    return trainer


def _tensorboard_callbacks(folder: Path) -> list[Any]:
    """Return a callback that logs for TensorBoard, if it is installed.

    The default callback of transformers writes into the working directory if anything is logged before
    training begins, as the first measures are.
    """
    if not find_spec("tensorboard"):
        return []
    from transformers.integrations.integration_utils import TensorBoardCallback

    callback = TensorBoardCallback()
    callback.logging_dir = str(folder)
    return [callback]


def _training_arguments(config: Config, out: Path) -> Any:
    import torch
    from transformers import TrainingArguments

    schedule, held_out, gpu = config.training, config.held, torch.cuda.is_available()
    every = held_out.every if held_out else 100
    return TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=schedule.batch,
        gradient_accumulation_steps=schedule.accumulate,
        num_train_epochs=schedule.epochs,
        max_steps=schedule.steps or -1,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=schedule.warmup,
        weight_decay=schedule.weight_decay,
        max_grad_norm=schedule.clip,
        gradient_checkpointing=schedule.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if schedule.checkpointing else None,
        bf16=gpu and config.model.dtype in ("auto", "bfloat16"),
        use_cpu=not gpu,
        dataloader_num_workers=schedule.workers,
        dataloader_pin_memory=gpu,
        remove_unused_columns=False,
        logging_steps=schedule.log_every,
        eval_strategy="steps" if held_out else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=held_out is not None,
        metric_for_best_model=f"eval_{held_out.metric}" if held_out else None,
        greater_is_better=held_out.greater if held_out else None,
        report_to=[],
        disable_tqdm=True,
        seed=config.seed,
    )


def train_adapter(config: Config, out: Path) -> dict[str, Any]:
    """Train an adapter.

    Args:
        config: the configuration.
        out: folder of the run.

    Returns:
        The content of `run.json`; empty in all processes but the first.

    Raises:
        InputError: something is unusable, or `out` holds another run.
        BackendError: the model cannot be loaded.
    """
    import torch
    from transformers.trainer_utils import get_last_checkpoint
    from transformers.utils import logging

    logging.disable_progress_bar()
    process, gpu = join_processes(), torch.cuda.is_available()
    is_first = process.is_main_process
    report: Callable[[str], None] = partial(print, flush=True) if is_first else lambda line: None
    prepared = prepare(config, report)
    if is_first:
        claim_folder(config, out)
    process.wait_for_everyone()
    for note in prepared.base.notes(config.model.bits):
        report(note)
    shape = PassShape(config.training.batch, config.training.checkpointing)
    estimate = estimate_memory(config.model, config.lora, shape, prepared.base, gpu=gpu)
    free = free_memory(gpu=gpu)
    report(f"{estimate}; {free / 2**30:.1f} GiB are free")
    if estimate.total > free:
        report("this may not fit: lower training.batch or model.max_pixels, or switch checkpointing on")
    trainer = build_trainer(prepared, out)
    checkpoint = get_last_checkpoint(str(out))
    start = time.monotonic()
    before = measure_baseline(trainer, config, out, is_resumed=checkpoint is not None)
    trainer.train(resume_from_checkpoint=checkpoint)
    if is_first:
        trainer.model.save_pretrained(out / "adapter")
        set_base_name(out / "adapter", config.model.base)
        rubrics = [target_set.rubric for target_set in prepared.target_sets]
        backend = trainer.dataset.encoder.backend
        describe_training(config.model, prepared.base, rubrics, backend).write(out / "adapter")
        summary = _summarize(prepared, trainer, before, time.monotonic() - start)
        _plot(trainer.state.log_history, config, out)
        write_json(out / RUN_FILE, summary)
        return summary
    return {}


def measure_baseline(trainer: Any, config: Config, out: Path, *, is_resumed: bool) -> dict[str, float]:
    """Measure before the first step, and write the result to the folder of the run.

    Args:
        trainer: the trainer.
        config: the configuration.
        out: folder of the run.
        is_resumed: read the file of the run instead of measuring.

    Returns:
        The measures by name; empty if the configuration does not ask for them.
    """
    baseline_file = out / BASELINE_FILE
    if not is_resumed and config.held and config.held.before:
        measures = _strip_prefix(trainer.evaluate())
        if trainer.is_world_process_zero():
            write_json(baseline_file, measures)
        return measures
    return dict(json.loads(baseline_file.read_text("utf-8"))) if baseline_file.is_file() else {}


def describe_training(
    config: ModelConfig, base: BaseInfo, rubrics: Sequence[Rubric], backend: TrainingBackend
) -> AdapterTraining:
    """Return what `training.json` says of a run: a judge that loads the adapter asks it in the same way.

    Args:
        config: the model that the run started from.
        base: the checked base.
        rubrics: what was trained.
        backend: the model in training.
    """
    return AdapterTraining(
        base=describe_base(config.base, base.weights, base.config),
        brief=base.brief,
        rubrics=describe_rubrics(rubrics),
        boxes=backend_boxes(backend),
        tokenization=backend_tokenization(backend),
        max_pixels=config.max_pixels if base.size is None else None,
        version=__version__,
    )


def set_base_name(adapter: Path, base: str) -> None:
    """Name the base in an adapter as the configuration does, not by a path of this machine."""
    path = adapter / "adapter_config.json"
    settings = json.loads(path.read_text("utf-8"))
    settings["base_model_name_or_path"] = base
    write_json(path, settings)


def _summarize(
    prepared: PreparedRun, trainer: Any, before: dict[str, float], seconds: float
) -> dict[str, Any]:
    """Return the content of `run.json`."""
    config, state = prepared.config, trainer.state
    best = _best_evaluation(state, config)
    target_sets = prepared.target_sets
    return {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "base": {"family": prepared.base.family, "source": config.model.base},
        "rows": {f"data.{n}": len(t.targets) for n, t in enumerate(target_sets)},
        "rubrics": sorted({f"{t.rubric.name} {t.rubric.hash}" for t in target_sets}),
        "held": len(prepared.evaluation.samples) if prepared.evaluation else 0,
        "trained_parameters": sum(p.numel() for p in trainable_parameters(trainer.model)),
        "steps": state.global_step,
        "epochs": round(state.epoch or 0.0, 3),
        "minutes": round(seconds / 60, 2),
        "before": before,
        "after": _strip_prefix(best),
        "best_step": best.get("step"),
        "versions": package_versions(),
        "history": state.log_history,
    }


def _best_evaluation(state: Any, config: Config) -> dict[str, Any]:
    held_out = config.held
    if held_out is None:
        return {}
    name = f"eval_{held_out.metric}"
    evaluations = [row for row in state.log_history if name in row and row["step"] > 0]
    sign = 1 if held_out.greater else -1
    return max(evaluations, key=lambda row: row[name] * sign, default={})


def _strip_prefix(metrics: dict[str, Any]) -> dict[str, float]:
    return {n.removeprefix("eval_"): v for n, v in metrics.items() if n.startswith("eval_")}


def _plot(history: list[dict[str, Any]], config: Config, out: Path) -> None:
    if find_spec("matplotlib"):
        from finetune.lora.curves import plot_curves

        plot_curves(history, config.held.metric if config.held else "", out / "curves.png")
