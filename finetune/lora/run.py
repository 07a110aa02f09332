"""A fine-tuning from its configuration to a folder.

OUT/adapter          the best adapter, ready for `Judge(..., adapter=...)` and for vLLM
OUT/run.json         configuration, versions, measures before and after, the course
OUT/curves.png       loss and held-out measure
OUT/runs             the same for TensorBoard
OUT/checkpoint-N     the last and the best state; the same command goes on from there

Everything that can be wrong with a configuration, its data and its base is found before weights are loaded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune.lora import base as bases
from finetune.lora.config import Config
from finetune.lora.held import Examination, Live
from finetune.lora.memory import available, estimate
from finetune.lora.targets import School, schools
from finetune.run_folders import RUN, claim, write_json
from judge.errors import InputError
from judge.runtime.version import __version__

VERSIONS = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")


@dataclass(frozen=True)
class Prepared:
    """A fine-tuning whose inputs were all read and found usable."""

    config: Config
    base: bases.Checked
    schools: list[School]
    examination: Examination | None


def prepare(config: Config, tick: Any = lambda said: None) -> Prepared:
    """Check the base, read all data and labels.

    Raises:
        InputError: something is unusable; see `base`, `targets` and `held`.
    """
    base = bases.check(config.model)
    read = schools(config.data, tick)
    examination = Examination(config.held) if config.held else None
    if examination is not None:
        _check_apart(read, examination)
        tick(f"held out: {len(examination.items)} rows of {examination.suite.name}")
    return Prepared(config, base, read, examination)


def _check_apart(read: list[School], examination: Examination) -> None:
    """Raises `InputError` when a picture or video is both learnt from and measured on."""
    learnt = {target.item.file for school in read for target in school.targets}
    both = [item.id for item in examination.items if item.file in learnt]
    if both:
        mend = "split the data, or use skip and limit"
        shown = f"{len(both)} of them, {both[0]} first"
        raise InputError("held.path", shown, "pictures or videos that are not trained on", mend)


def build(prepared: Prepared, out: Path) -> Any:
    """Load the model and make the trainer."""
    from finetune.lora.rows import Visits, Writer
    from finetune.lora.trainer import Clock, JudgeTrainer, PrinterCallback, Said

    config, base = prepared.config, prepared.base
    model, processor = bases.load(base, config.model, config.lora)
    live = Live(model, processor, base)
    writer = Writer(live, config.losses, config.model.max_pixels)
    measuring = None
    if prepared.examination is not None:
        measuring = partial(prepared.examination, live, config.model.max_pixels)
    trainer = JudgeTrainer(
        weights=config.losses,
        visits=Visits(prepared.schools, writer),
        measuring=measuring,
        model=model,
        args=_arguments(config, out),
        callbacks=[Said(), *_board(out / "runs")],
    )
    trainer.remove_callback(PrinterCallback)  # `Said` prints the same, as JSON
    if config.training.minutes:
        trainer.add_callback(Clock(config.training.minutes))
    if config.held and config.held.patience:
        from transformers import EarlyStoppingCallback

        trainer.add_callback(EarlyStoppingCallback(config.held.patience))
    return trainer


def _board(folder: Path) -> list[Any]:
    """What logs for TensorBoard, where it is installed. Left to itself, transformers' callback writes into
    the working directory when anything is logged before training begins, as the measures before it are."""
    if not find_spec("tensorboard"):
        return []
    from transformers.integrations.integration_utils import TensorBoardCallback

    board = TensorBoardCallback()
    board.logging_dir = str(folder)
    return [board]


def _arguments(config: Config, out: Path) -> Any:
    import torch
    from transformers import TrainingArguments

    schedule, held, gpu = config.training, config.held, torch.cuda.is_available()
    every = held.every if held else 100
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
        eval_strategy="steps" if held else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=held is not None,
        metric_for_best_model=f"eval_{held.metric}" if held else None,
        greater_is_better=held.greater if held else None,
        report_to=[],
        disable_tqdm=True,
        seed=config.seed,
    )


def run(config: Config, out: Path) -> dict[str, Any]:
    """Train; returns what `run.json` holds.

    Raises:
        InputError: something is unusable, or OUT holds another run.
        BackendError: the model cannot be loaded.
    """
    import torch
    from accelerate import PartialState
    from transformers.trainer_utils import get_last_checkpoint
    from transformers.utils import logging

    logging.disable_progress_bar()
    gpu, first = torch.cuda.is_available(), PartialState().is_main_process
    say: Callable[[str], None] = partial(print, flush=True) if first else lambda said: None
    prepared = prepare(config, say)
    claim(config, out)
    need = estimate(config, prepared.base, gpu=gpu)
    free = available(gpu=gpu)
    say(f"{need}; {free / 2**30:.1f} GiB are free")
    if need.total > free:
        say("this may not fit: lower training.batch or model.max_pixels, or switch checkpointing on")
    trainer = build(prepared, out)
    latest = get_last_checkpoint(str(out))
    begun, before = time.monotonic(), _before(trainer, config, out, begun=latest is not None)
    trainer.train(resume_from_checkpoint=latest)
    if first:
        trainer.model.save_pretrained(out / "adapter")
        _mark(out / "adapter", prepared)
        told = _told(prepared, trainer, before, time.monotonic() - begun)
        _draw(trainer.state.log_history, config, out)
        write_json(out / RUN, told)
        return told
    return {}


def _before(trainer: Any, config: Config, out: Path, *, begun: bool) -> dict[str, float]:
    """The measures before the first step: taken now, or when the run was begun; empty where nobody asked."""
    known = out / "before.json"
    if not begun and config.held and config.held.before:
        measured = _plain(trainer.evaluate())
        if trainer.is_world_process_zero():
            write_json(known, measured)
        return measured
    return dict(json.loads(known.read_text("utf-8"))) if known.is_file() else {}


def _mark(adapter: Path, prepared: Prepared) -> None:
    """Name the base in the adapter as it was asked for, not as this machine's path."""
    path = adapter / "adapter_config.json"
    settings = json.loads(path.read_text("utf-8"))
    settings["base_model_name_or_path"] = prepared.config.model.base
    write_json(path, settings)


def _told(prepared: Prepared, trainer: Any, before: dict[str, float], seconds: float) -> dict[str, Any]:
    config, state = prepared.config, trainer.state
    best = _best(state, config)
    return {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "base": {"family": prepared.base.family, "source": config.model.base},
        "rows": {f"data.{n}": len(s.targets) for n, s in enumerate(prepared.schools)},
        "rubrics": sorted({f"{s.rubric.name} {s.rubric.hash}" for s in prepared.schools}),
        "held": len(prepared.examination.items) if prepared.examination else 0,
        "trained_parameters": sum(p.numel() for p in bases.trainable(trainer.model)),
        "steps": state.global_step,
        "epochs": round(state.epoch or 0.0, 3),
        "minutes": round(seconds / 60, 2),
        "before": before,
        "after": _plain(best),
        "best_step": best.get("step"),
        "versions": {"judge": __version__, **{n: metadata.version(n) for n in VERSIONS}},
        "history": state.log_history,
    }


def _best(state: Any, config: Config) -> dict[str, Any]:
    held = config.held
    if held is None:
        return {}
    name = f"eval_{held.metric}"
    taken = [row for row in state.log_history if name in row and row["step"] > 0]
    return max(taken, key=lambda row: row[name] * (1 if held.greater else -1), default={})


def _plain(metrics: dict[str, Any]) -> dict[str, float]:
    return {n.removeprefix("eval_"): v for n, v in metrics.items() if n.startswith("eval_")}


def _draw(history: list[dict[str, Any]], config: Config, out: Path) -> None:
    if find_spec("matplotlib"):
        from finetune.lora.curves import draw

        draw(history, config.held.metric if config.held else "", out / "curves.png")
