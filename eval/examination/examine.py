"""Examine a model: draw the cases, ask, measure, and write the card."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from eval.examination.answers import Abilities, Tick, collect_answers, count_questions
from eval.examination.box_conventions import fit_conventions, shown_size, used_convention
from eval.examination.cases import GENERAL_SIDE, Cases, check_count, draw_cases
from eval.examination.measures import build_box_cases, compute_measures
from eval.examination.rules import apply_rules
from judge.backends.cards import Finding, Measure, ModelCard, accepted_options
from judge.backends.student import find_student
from judge.errors import BackendError
from judge.pipeline.validation import is_address
from judge.runtime.version import __version__

if TYPE_CHECKING:
    from judge.judge import Judge
    from judge.types import Provenance

STUDENT_RUBRIC = "quality"


@dataclass(frozen=True)
class Candidate:
    """The model to examine, and how it was asked for."""

    judge: Judge
    """Opened without a card: a card must not decide its own examination."""
    model: str
    adapter: str | None = None
    base_url: str | None = None
    backend: str = "auto"
    """Name of the backend, as the caller gave it."""
    options: dict[str, Any] | None = None
    """Options of the backend."""


@dataclass(frozen=True)
class Examination:
    """A prepared examination: the model is loaded and the cases are drawn, nothing was asked yet."""

    candidate: Candidate
    cases: Cases
    abilities: Abilities
    loading_seconds: float

    @property
    def questions(self) -> int:
        """Number of images that will be judged."""
        return sum(count_questions(self.cases, self.abilities).values())


def default_rubric(model: str) -> str:
    """Return the rubric that a model is examined with: students know one only."""
    return STUDENT_RUBRIC if not is_address(model) and find_student(model) is not None else "default"


def prepare_examination(candidate: Candidate, count: int, seed: int) -> Examination:
    """Load the model and draw the cases for its input size.

    Args:
        candidate: the model.
        count: number of scenes.
        seed: of everything that is drawn.

    Raises:
        InputError: an argument is not usable.
        BackendError: the model cannot be loaded or reached.
    """
    check_count(count)  # before a model is loaded
    start = time.perf_counter()
    abilities = Abilities.of_judge(candidate.judge)
    seconds = time.perf_counter() - start
    is_remote = is_address(candidate.judge.model)
    side = GENERAL_SIDE if is_remote else candidate.judge.pipeline.model_info.size or GENERAL_SIDE
    return Examination(candidate, draw_cases(count, seed, side), abilities, seconds)


def run_examination(examination: Examination, tick: Tick = lambda: None) -> ModelCard:
    """Ask everything and return the card.

    Args:
        examination: as prepared.
        tick: called after each image, `Examination.questions` times.

    Raises:
        BackendError: the model cannot be run at all.
    """
    candidate, cases = examination.candidate, examination.cases
    answers = collect_answers(candidate.judge, cases, examination.abilities, tick)
    answers.loading_seconds = examination.loading_seconds
    backend = None if is_address(candidate.judge.model) else candidate.judge.backend
    shown = shown_size(backend, cases.samples[0].image)
    box_cases = build_box_cases(cases, answers, used_convention(backend), shown)
    fit = fit_conventions(box_cases)
    measures = compute_measures(cases, answers, box_cases, fit)
    thinks = bool((candidate.options or {}).get("thinking"))
    result = apply_rules(measures, fit, _accepted(candidate), answers.errors, thinks=thinks)
    provenance = answers.main[0].provenance
    return ModelCard(
        **_identity(candidate, provenance),
        count=len(cases.scenes),
        seed=cases.seed,
        verdict=result.verdict,
        settings=result.settings,
        findings=[_loading_finding(examination), *result.findings],
        measures=measures,
    )


def failed_card(candidate: Candidate, count: int, seed: int, error: BackendError) -> ModelCard:
    """Return the card of a model that could not be loaded or run."""
    return ModelCard(
        model=candidate.model,
        adapter=candidate.adapter,
        base_url=candidate.base_url,
        backend=candidate.backend,
        options=_plain_options(candidate),
        rubric=candidate.judge.rubric.name,
        rubric_hash=candidate.judge.rubric.hash,
        version=__version__,
        date=date.today().isoformat(),
        count=count,
        seed=seed,
        verdict="unfit",
        findings=[Finding(name="loading", level="fault", text=str(error))],
        measures={"loading_seconds": Measure(value=None, note="it does not load")},
    )


def _identity(candidate: Candidate, provenance: Provenance) -> dict[str, Any]:
    return {
        "model": candidate.model,
        "revision": provenance.revision,
        "adapter": candidate.adapter,
        "base_url": candidate.base_url,
        "backend": provenance.backend,
        "backend_version": provenance.backend_version,
        "options": _plain_options(candidate),
        "rubric": provenance.rubric,
        "rubric_hash": provenance.rubric_hash,
        "version": __version__,
        "date": date.today().isoformat(),
    }


def _plain_options(candidate: Candidate) -> dict[str, Any]:
    """Return the options of the backend without secrets, as JSON can hold them."""
    options = {k: v for k, v in (candidate.options or {}).items() if k not in ("api_key", "headers", "extra")}
    return {k: v if isinstance(v, str | int | float | bool | None) else str(v) for k, v in options.items()}


def _loading_finding(examination: Examination) -> Finding:
    return Finding(name="loading", level="ok", text=f"in {examination.loading_seconds:.1f} s")


def _accepted(candidate: Candidate) -> set[str]:
    """Return the names of the options that the backend takes: a setting must be one of them."""
    judge = candidate.judge
    if is_address(judge.model):
        return set()
    if judge.backend.name in ("transformers", "vllm", "openai", "onnxruntime"):
        return accepted_options(judge.backend.name, candidate.model)
    return {"boxes", "batch"}  # a backend of the caller: it decides what to do with them
