"""Ask a judge about the cases of an examination, and keep what it answered and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eval.examination.box_conventions import askable_conventions
from eval.examination.cases import Cases, ObjectCase
from judge.agent.questions import QuestionBuilder
from judge.backends.models.boxes import BoxConvention
from judge.errors import BackendError, InputError, ReplyError
from judge.media.regions import from_relative
from judge.pipeline.parsing import Answer, refine_box
from judge.pipeline.validation import is_address
from judge.types import Box, Comparison, Depth, Sample, Verdict

if TYPE_CHECKING:
    from judge.backends.base import Backend
    from judge.judge import Judge

BATCH = 16
"""Images that are judged together; the measure of batches compares with one by one."""
ALONE = 6
"""Scenes that are also judged one by one."""
REVERSED = 24
"""Scenes whose elements are also asked in the opposite order, at most."""
Located = list[tuple[ObjectCase, Box | None]]
"""Objects with their boxes in pixels; None where the reply held no box."""
Tick = Callable[[], None]
"""Called after each answer."""


@dataclass
class Answers:
    """What a judge answered. An empty list: it was not asked, because the question does not apply to it."""

    verdicts: list[Verdict] = field(default_factory=list)
    """On the scenes, at depth `verdict`."""
    scores: list[Verdict] = field(default_factory=list)
    """On the scenes, at depth `score`."""
    alone: list[Verdict] = field(default_factory=list)
    """On the first scenes at depth `score`, one by one."""
    reversed: list[Verdict] = field(default_factory=list)
    """On `Cases.reversed_samples`, at depth `score`."""
    ladders: list[list[Verdict]] = field(default_factory=list)
    """On each ladder at depth `score`, by level."""
    comparisons: list[Comparison] = field(default_factory=list)
    """Of the pairs, shown together; empty if the model compares by scores."""
    objects: dict[BoxConvention, Located] = field(default_factory=dict)
    """Each object with the box in pixels that the model gave it, by the convention in which it was asked for.
    The first one is that which the judge uses for the model."""
    loading_seconds: float | None = None
    verdict_seconds: float | None = None
    """Seconds for each image at depth `verdict`, in batches."""
    score_seconds: float | None = None
    """Seconds for each image at depth `score`, in batches."""
    memory: int | None = None
    """Peak memory in bytes: of the GPU if the model is on one, else of this process; None for a server."""
    errors: list[str] = field(default_factory=list)
    """Questions that ended in an error, in words."""

    @property
    def main(self) -> list[Verdict]:
        """The verdicts on the scenes at the greatest depth that the model has."""
        return self.verdicts or self.scores


@dataclass(frozen=True)
class Abilities:
    """What can be asked of a judge."""

    writes: bool = True
    """Whether it has the depth `verdict`."""
    elements: bool = True
    """Whether its rubric asks for elements."""
    pairs: bool = True
    """Whether it is shown two images at once."""
    conventions: tuple[BoxConvention, ...] = ()
    """Box conventions in which it can be asked where an object is, the one that the judge uses first. None
    for tuned models, which answer their own forms only, and behind an address."""

    @classmethod
    def of_judge(cls, judge: Judge) -> Abilities:
        """Find out what can be asked. Loads the model.

        Raises:
            BackendError: the model cannot be loaded.
            InputError: an argument of the judge is not usable.
        """
        has_elements = judge.rubric.elements
        if is_address(judge.model):
            return cls(elements=has_elements, pairs=False)
        info = judge.pipeline.model_info
        if info.images_only:
            return cls(writes=False, elements=False, pairs=False)
        conventions = () if info.brief else askable_conventions(judge.backend)
        return cls(elements=has_elements, pairs=judge.way() == "pairwise", conventions=conventions)


def count_questions(cases: Cases, abilities: Abilities) -> dict[Depth, int]:
    """Return how many images are judged at each depth: what the examination costs."""
    score = len(cases.scenes) + min(ALONE, len(cases.scenes)) + sum(len(one.samples) for one in cases.ladders)
    score += len(cases.reversed_samples(REVERSED)) if abilities.elements else 0
    # A pair is judged twice by itself and twice together.
    score += 4 * len(cases.pairs) if abilities.pairs else 0
    verdict = len(cases.scenes) if abilities.writes else 0
    return {"score": score, "verdict": verdict + len(cases.objects) * len(abilities.conventions)}


def collect_answers(judge: Judge, cases: Cases, abilities: Abilities, tick: Tick = lambda: None) -> Answers:
    """Ask everything.

    Args:
        judge: the judge; its model is loaded.
        cases: the cases.
        abilities: of the judge.
        tick: called after each image, as often as `count_questions` says.
    """
    answers = Answers()
    samples = cases.samples
    warm: Depth = "verdict" if abilities.writes else "score"
    list(judge.many(samples[:1], depth=warm))
    if abilities.writes:
        answers.verdicts, answers.verdict_seconds = _judge_timed(judge, samples, "verdict", tick)
    answers.scores, answers.score_seconds = _judge_timed(judge, samples, "score", tick)
    answers.alone = _judge_all(judge, samples[:ALONE], "score", tick, batch=1)
    if abilities.elements:
        answers.reversed = _judge_all(judge, cases.reversed_samples(REVERSED), "score", tick)
    for ladder in cases.ladders:
        answers.ladders.append(_judge_all(judge, ladder.samples, "score", tick))
    if abilities.pairs:
        _compare_pairs(judge, cases, answers, tick)
    for convention in abilities.conventions:
        with _asking_in(judge.backend, convention):
            answers.objects[convention] = locate_objects(judge, cases.objects, answers.errors, tick)
    answers.memory = None if is_address(judge.model) else peak_memory(judge.backend)
    return answers


def locate_objects(
    judge: Judge, objects: Sequence[ObjectCase], errors: list[str], tick: Tick = lambda: None
) -> Located:
    """Ask where each object is.

    Args:
        judge: a judge in this process, or with a server behind `openai`.
        objects: the objects.
        errors: what failed is appended, in words.
        tick: called after each object.

    Returns:
        Each object with its box in pixels; None if the reply held none.
    """
    questions = []
    for case in objects:
        prepared = judge.pipeline.prepare(case.sample, "verdict", keep_for_looks=True)
        questions.append(QuestionBuilder(judge.pipeline, prepared).locate_part(case.name))
    located: Located = []
    for start in range(0, len(objects), BATCH):
        part = list(zip(objects, questions, strict=True))[start : start + BATCH]
        try:
            replies: Sequence[Any] = judge.backend.complete([question.request for _, question in part])
        except BackendError as error:
            errors.append(str(error))
            replies = [ReplyError(str(error))] * len(part)
        for (case, question), reply in zip(part, replies, strict=True):
            box = None
            try:
                if isinstance(reply, ReplyError):
                    raise reply
                answer = Answer(question.request.form, reply)
                written = refine_box(answer, "box", answer.values["box"])
                height, width = case.sample.image.shape[:2]
                box = from_relative(written, width, height)
            except ReplyError as error:
                errors.append(f"where is {case.name}: {error}")
            located.append((case, box))
            tick()
    return located


@contextmanager
def _asking_in(backend: Backend, convention: BoxConvention) -> Iterator[None]:
    """Ask a backend for boxes in a convention, for a while."""
    attributes, before = vars(backend), getattr(backend, "boxes", None)
    if before is not None:
        attributes["boxes"] = convention
    try:
        yield
    finally:
        if before is not None:
            attributes["boxes"] = before


def peak_memory(backend: Backend) -> int | None:
    """Return the peak memory in bytes of this process or its GPU; None if the model runs elsewhere."""
    if backend.name == "openai":
        return None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte


def _judge_timed(
    judge: Judge, samples: Sequence[Sample], depth: Depth, tick: Tick
) -> tuple[list[Verdict], float]:
    start = time.perf_counter()
    verdicts = _judge_all(judge, samples, depth, tick)
    return verdicts, (time.perf_counter() - start) / len(samples)


def _judge_all(
    judge: Judge, samples: Sequence[Sample], depth: Depth, tick: Tick, batch: int = BATCH
) -> list[Verdict]:
    verdicts = []
    for verdict in judge.many(samples, depth=depth, batch=batch):
        verdicts.append(verdict)
        tick()
    return verdicts


def _compare_pairs(judge: Judge, cases: Cases, answers: Answers, tick: Tick) -> None:
    """Compare each pair, the better image as `a` in every second one."""
    for number, pair in enumerate(cases.pairs):
        a, b = (pair.better, pair.worse) if number % 2 == 0 else (pair.worse, pair.better)
        try:
            comparison = judge.compare(
                a.image, b.image, prompt=a.prompt, elements=a.elements, depth="score", how="pairwise"
            )
            answers.comparisons.append(comparison)
        except (BackendError, InputError) as error:
            answers.errors.append(f"comparison: {error}")
        for _ in range(4):
            tick()
