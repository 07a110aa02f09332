"""A reinforcement from its configuration to a folder.

OUT/adapter          the best adapter by the held-out measure, ready for `Judge(..., adapter=...)` and vLLM
OUT/run.json         configuration, versions, measures before and after, history
OUT/measures.md      held-out measures before and after, those that no reward is about apart
OUT/curves.png       rewards, drift and held-out measure
OUT/log.jsonl        the log
OUT/state.pt         the last state; the same command goes on from it

All errors in a configuration, its data and its base are found before weights are loaded.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune.lora.base_model import BaseInfo, check_base
from finetune.lora.evaluation import HeldOutEvaluation, TrainingBackend
from finetune.lora.memory import PassShape, estimate_memory, free_memory
from finetune.lora.processes import join_processes
from finetune.lora.run import check_no_overlap, describe_training, set_base_name
from finetune.rl.config import Config
from finetune.rl.examples import ExampleStream
from finetune.run_folders import RUN_FILE, claim_folder, package_versions, write_json

PROMPT_TOKENS = 384
"""Assumed text tokens of a prompt."""
NEW_TOKENS = 128
"""Assumed tokens of an answer that no other answer of its group shares."""
DECISIONS = 48
"""Assumed decisions of an answer."""
REWARDED = {
    "elements": ("element", "accuracy", "precision", "recall", "f1"),
    "boxes": ("box_",),
    "counts": ("image_accuracy",),
    "kinds": ("kind", "type"),
    "severities": ("severity", "importance"),
    "scores": ("srcc", "plcc", "final"),
    "ranks": ("srcc", "plcc", "final"),
}
"""Reward -> beginnings of the names of the measures that it is about."""
SCORE_DEPTH = "score_depth/"
"""Beginning of the names of measures at depth `score`, which is never trained."""
OF_DEFECTS = ("box_", "region_", "image_accuracy")
"""Beginnings of the names of measures about defects. Depth `score` lists none, so there they say nothing."""


@dataclass(frozen=True)
class PreparedRun:
    """A reinforcement whose inputs were read and are usable."""

    config: Config
    base: BaseInfo
    stream: ExampleStream
    evaluation: HeldOutEvaluation | None
    score_evaluation: HeldOutEvaluation | None
    """The same samples at depth `score`."""

    def measure(self, backend: TrainingBackend) -> dict[str, float]:
        """Measure the model in training on the held-out samples."""
        found: dict[str, float] = {}
        for evaluation, prefix in ((self.evaluation, ""), (self.score_evaluation, SCORE_DEPTH)):
            if evaluation is not None:
                measures = evaluation(backend, self.config.model.max_pixels)
                found |= {
                    f"{prefix}{name}": value
                    for name, value in measures.items()
                    if not (prefix and name.startswith(OF_DEFECTS))
                }
        return found


def prepare(config: Config, report: Callable[[str], None] = lambda line: None) -> PreparedRun:
    """Check the base, and read all data and labels.

    Args:
        config: the configuration.
        report: called with lines about the data, the base and the memory.

    Raises:
        InputError: something is unusable.
    """
    base = check_base(config.model)
    stream = ExampleStream(config, report)
    evaluation = HeldOutEvaluation(config.held, report) if config.held else None
    at_score = None
    if evaluation is not None and evaluation.depth == "verdict" and config.held and config.held.score_depth:
        at_score = HeldOutEvaluation(config.held.model_copy(update={"depth": "score"}))
    if evaluation is not None:
        check_no_overlap(stream.target_sets, evaluation)
        report(f"held out: {len(evaluation.samples)} rows of {evaluation.suite.name}")
    for note in base.notes(config.model.bits):
        report(note)
    _report_memory(config, base, report)
    return PreparedRun(config, base, stream, evaluation, at_score)


def _report_memory(config: Config, base: BaseInfo, report: Callable[[str], None]) -> None:
    import torch

    gpu, schedule, policy = torch.cuda.is_available(), config.training, config.policy
    answers = policy.group * (NEW_TOKENS + config.model.thinking)
    read = policy.group * (DECISIONS + config.model.thinking)
    shape = PassShape(schedule.batch, schedule.checkpointing, PROMPT_TOKENS + answers, read)
    estimate = estimate_memory(config.model, config.lora, shape, base, gpu=gpu)
    free = free_memory(gpu=gpu)
    report(f"{estimate}; {free / 2**30:.1f} GiB are free")
    if estimate.total > free:
        mend = "lower training.batch, policy.group or model.max_pixels, or switch checkpointing on"
        report(f"this may not fit: {mend}")


def build_trainer(prepared: PreparedRun, out: Path, process: tuple[int, int] = (0, 1)) -> Any:
    """Load the model and create the trainer.

    Args:
        prepared: the run.
        out: its folder.
        process: index of this process, and the number of processes.

    Raises:
        BackendError: the model cannot be loaded.
        InputError: `lora.targets` match no layer, or the model is to think and cannot.
    """
    import torch

    from finetune.lora.base_model import load_trainable_model
    from finetune.rl.trainer import RlTrainer

    config, base = prepared.config, prepared.base
    torch.manual_seed(config.seed)  # all processes begin with the same adapter
    model, processor = load_trainable_model(base, config.model, config.lora)
    if torch.cuda.is_available() and not config.model.bits:
        model.to(torch.cuda.current_device())
    backend = TrainingBackend(model, processor, base, thinking=config.model.thinking)
    evaluator = None
    if prepared.evaluation is not None:
        evaluator = partial(prepared.measure, backend)
    return RlTrainer(config, model, backend, prepared.stream, out, evaluator, process)


def train_policy(config: Config, out: Path) -> dict[str, Any]:
    """Train an adapter by reinforcement.

    Args:
        config: the configuration.
        out: folder of the run.

    Returns:
        The content of `run.json`; empty in all processes but the first.

    Raises:
        InputError: something is unusable, or `out` holds another run.
        BackendError: the model cannot be loaded.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    process = join_processes()
    is_first = process.is_main_process
    report: Callable[[str], None] = partial(print, flush=True) if is_first else lambda line: None
    prepared = prepare(config, report)
    if is_first:
        claim_folder(config, out)
    process.wait_for_everyone()
    trainer = build_trainer(prepared, out, (process.process_index, process.num_processes))
    trainer.resume()
    progress = trainer.train()
    if not is_first:
        return {}
    _write_adapter(prepared, trainer, out)
    summary = summarize(prepared, trainer)
    (out / "measures.md").write_text(measures_table(summary["before"], summary["after"], config), "utf-8")
    if find_spec("matplotlib"):
        from finetune.rl.curves import plot_curves

        plot_curves(progress.history, config.held.metric if config.held else "", out / "curves.png")
    write_json(out / RUN_FILE, summary)
    return summary


def _write_adapter(prepared: PreparedRun, trainer: Any, out: Path) -> None:
    """Write the best adapter, or the last one if nothing was measured."""
    folder, best = out / "adapter", out / "best"
    if best.is_dir():
        shutil.copytree(best, folder, dirs_exist_ok=True)
    else:
        trainer.model.save_pretrained(folder)
    config = prepared.config.model
    set_base_name(folder, config.base)
    rubrics = prepared.stream.rubrics
    describe_training(config, prepared.base, rubrics, trainer.backend).write(folder)


def summarize(prepared: PreparedRun, trainer: Any) -> dict[str, Any]:
    """Return the content of `run.json`."""
    config, progress = prepared.config, trainer.progress
    measured = [row for row in progress.history if any(name.startswith("eval_") for name in row)]
    empty: dict[str, Any] = {}
    before = next((row for row in measured if row["step"] == 0), empty)
    after = next((row for row in measured if row["step"] == progress.best_step), empty)
    return {
        "name": config.name,
        "kind": "reinforcement",
        "config": config.model_dump(mode="json"),
        "base": {"family": prepared.base.family, "source": config.model.base},
        "rubrics": sorted({f"{rubric.name} {rubric.hash}" for rubric in prepared.stream.rubrics}),
        "held": len(prepared.evaluation.samples) if prepared.evaluation else 0,
        "trained_parameters": sum(parameter.numel() for parameter in trainer.parameters),
        "steps": progress.step,
        "samples": progress.step * config.training.images * config.policy.group * trainer.processes,
        "minutes": round(progress.seconds / 60, 2),
        "before": _measures(before),
        "after": _measures(after),
        "best_step": progress.best_step,
        "not_rewarded": sorted(n for n in _measures(after) if not is_rewarded(n, config)),
        "versions": package_versions(),
        "history": progress.history,
    }


def _measures(row: Mapping[str, Any]) -> dict[str, float]:
    return {n.removeprefix("eval_"): v for n, v in row.items() if n.startswith("eval_")}


def is_rewarded(measure: str, config: Config) -> bool:
    """Return whether a reward that is switched on is about a held-out measure."""
    weights = config.rewards.weights
    starts = [start for name, own in REWARDED.items() if weights[name] for start in own]
    return any(measure.startswith(start) for start in starts)


def measures_table(before: Mapping[str, float], after: Mapping[str, float], config: Config) -> str:
    """Write the held-out measures before and after as Markdown: those that are rewarded, then the others."""
    lines = []
    for title, wanted in (("Rewarded", True), ("Not rewarded", False)):
        names = [name for name in after if is_rewarded(name, config) is wanted]
        if names:
            lines += [f"| {title} | before | after |", "|---|---|---|"]
            lines += [f"| {n} | {before.get(n, math.nan):.4f} | {after[n]:.4f} |" for n in names]
            lines.append("")
    return "\n".join(lines) + "\n"
