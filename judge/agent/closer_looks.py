"""Zoom-ins (closer looks): ask the model again about parts of the image.

The agent looks again where the first answer leaves doubt, and where the image has more detail than the model
was shown. The judging of one sample is a generator (`judge_with_looks`). It yields rounds of questions and is
sent the replies, so that the caller can send the questions of many samples to the model together. The looks
of a sample are spent in this order:

1. Dimensions about a part of the image (`part` in the rubric) are judged by that part alone. A general model
   is asked where the part is, and then sees the part alone. The first answer stays if the image has no such
   part, or if the part is nearly all of the image.
2. Elements whose probability lies inside `UNCERTAIN_PROBABILITIES` are asked for again in views of the image
   (`ELEMENT_VIEWS`), all such elements in one question. The new probability is the mean of the log-odds of
   all looks, reduced to that of an element it needs if that is lower.
3. At depth `verdict`, a defect with a confidence below `SURE_CONFIDENCE` is looked at closely. Its confidence
   becomes the mean of both looks; below 0.5 the defect is dropped.
4. At depth `verdict`, overlapping tiles cover the parts in which the model's view of the image has lost
   detail, as small as the budget allows. Defects in a tile that are not cut off by its edge, and the defects
   of the first look, are looked for again at the same place in the `FOLLOW_UP_WINDOWS`, each of another size
   and position. Real damage stays where it is; a defect that only an unusual crop suggests does not. The
   confidence is the mean over all looks, a miss counting 0. A defect that was missed remains only if its mean
   confidence still reaches `SURE_CONFIDENCE`.

Two defects are the same if their boxes have an IoU of at least `SAME_IOU`, or if `SAME_CONTAINMENT` of the
smaller box lies in the other; the one with the higher confidence remains. The verdict holds as many defects
as the rubric asks for, highest confidence first.

If the rubric has a rule for the score, the score follows: elements make alignment, and no other dimension is
better than in the worst part where a new defect was found. If the looks change the findings of the first
answer, the explanation says so. The loop ends when nothing is in doubt, when the looks are spent, or when
another question would pass the deadline, judged by the time of the questions so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from judge.agent.budget import Budget
from judge.agent.findings import (
    SURE_CONFIDENCE,
    TrackedDefect,
    find_match,
    is_cut_off,
    merge_defects,
)
from judge.agent.questions import Question, QuestionBuilder, keep_artifacts, verb_for_depth
from judge.agent.tiling import center_view, square_around, tile_lost_detail
from judge.elements.statements import cap_elements
from judge.errors import ReplyError
from judge.media.regions import box_area, clip_box, from_relative, shift_box
from judge.pipeline.explanations import explain_after_looks
from judge.pipeline.parsing import Answer, invert_if_unwanted, parse_defects, refine_box
from judge.pipeline.scoring import rescore
from judge.types import Box, Defect, Element, Look, Verdict

if TYPE_CHECKING:
    from judge.backends.base import Reply
    from judge.pipeline.pipeline import Pipeline
    from judge.pipeline.prepared_sample import PreparedSample
    from judge.rubrics.schema import ScoredDimension


class FollowUpWindow(NamedTuple):
    """Size and position of a window around a defect."""

    tile_share: float
    """Minimum side, as a multiple of a tile's side."""
    defect_factor: float
    """Minimum side, as a multiple of the defect's longer side."""
    shift_right: float
    """Shift to the right, as a share of the window's side."""
    shift_down: float
    """Shift downwards, as a share of the window's side."""


UNCERTAIN_PROBABILITIES = (0.2, 0.8)
"""An element whose probability lies between these is looked at again."""
ELEMENT_VIEWS = (1.0, 0.9)
"""Centred views in which elements are asked again, as shares of the image's sides: the elements on their own,
and a little larger. Smaller views would cut off what is asked for."""
DEFECT_WINDOW_SHARE = 0.75
"""Side of the window in which an unsure defect is looked at again, as a share of the image's shorter side."""
FOLLOW_UP_WINDOWS = (
    FollowUpWindow(0.9, 6.0, 0.16, -0.14),
    FollowUpWindow(0.7, 1.6, 0.0, 0.0),
    FollowUpWindow(0.8, 3.0, -0.15, 0.12),
)
"""Windows in which a defect is looked for again. The first shows its surroundings, so that a part of a large
figure can be recognised as such; the second shows it closely; the third lies between them."""
TILE_BUDGET_SHARE = 0.75
"""Share of the remaining looks that go into tiles; the others follow up the defects found in them."""
WHOLE_IMAGE_SHARE = 0.9
"""Share of the image's area from which a part counts as the whole image."""
PART_MARGIN = 0.05
"""Margin shown around a part, as a share of its sides."""
RULE_SCORE_NOTE = "the score was computed by the rubric's rule after closer looks"

TimedReply = tuple["Reply | ReplyError", float]
"""A reply, and the milliseconds it took."""
VerdictSteps = Generator[list[Question], list[TimedReply], Verdict]
"""Yields rounds of questions, is sent the replies, returns the verdict."""
AnswerSteps = Generator[list[Question], list[TimedReply], list["Answer | None"]]
"""Yields rounds of questions, is sent the replies, returns the answers; None for an unusable reply."""


def judge_with_looks(pipeline: Pipeline, prepared: PreparedSample, budget: Budget) -> VerdictSteps:
    """Judge one sample with closer looks; see the module's docstring.

    A sample that the model is not asked about (`Pipeline.answer_without_model`) yields no questions.

    Args:
        pipeline: the pipeline of the model and the rubric.
        prepared: the sample, with its original image if `budget` has looks.
        budget: what the closer looks may spend; it is updated.

    Yields:
        Rounds of questions, the first of them the sample's own and, if there is one, that about what must be
        absent. The generator must be sent the replies, in
        order.

    Returns:
        The verdict; `trace` holds the looks after the first, `milliseconds` is the time of all of them.
    """
    answered = pipeline.answer_without_model(prepared)
    if answered is not None:
        return answered
    whole = (0.0, 0.0, float(prepared.size[0]), float(prepared.size[1]))
    first_question = Question(verb_for_depth(prepared.depth), prepared.request, whole, "")
    questions = [first_question]
    if prepared.absent_request is not None:
        questions.append(Question("choose", prepared.absent_request, whole, ""))
    replies = yield questions
    milliseconds = sum(time for _, time in replies)
    verdict = pipeline.build_verdict(
        prepared, replies[0][0], milliseconds, *(reply for reply, _ in replies[1:])
    )
    if verdict.status == "unscored" or prepared.original is None or not budget.looks:
        return pipeline.apply_calibration(verdict)
    budget.record_time(milliseconds)
    looks = _CloserLooks(pipeline, prepared, verdict, budget)
    yield from looks.check_parts(whole)
    yield from looks.check_elements(whole)
    if prepared.depth == "verdict" and keep_artifacts(pipeline.asked_rubric) is not None:
        yield from looks.check_defects(whole)
        yield from looks.search_tiles()
    return pipeline.apply_calibration(looks.build_verdict())


def run_in_rounds(
    sample_steps: Sequence[VerdictSteps], answer: Callable[[list[Question]], list[TimedReply]]
) -> list[Verdict]:
    """Judge samples together: the questions of all samples in a round are answered in one call.

    Args:
        sample_steps: one `judge_with_looks` generator for each sample.
        answer: returns the replies to questions, in order.

    Returns:
        One verdict for each sample, in order.
    """
    verdicts: dict[int, Verdict] = {}
    pending: dict[int, list[Question]] = {}
    for index, steps in enumerate(sample_steps):
        start = first_questions(steps)
        if isinstance(start, Verdict):
            verdicts[index] = start
        else:
            pending[index] = start
    while pending:
        replies = iter(answer([question for questions in pending.values() for question in questions]))
        for index, questions in list(pending.items()):
            result = send_replies(sample_steps[index], [next(replies) for _ in questions])
            if isinstance(result, Verdict):
                verdicts[index] = result
                del pending[index]
            else:
                pending[index] = result
    return [verdicts[index] for index in range(len(sample_steps))]


def first_questions(steps: VerdictSteps) -> list[Question] | Verdict:
    """Start the judging of a sample; return its first questions, or its verdict if the model is not asked."""
    try:
        return next(steps)
    except StopIteration as finished:
        verdict: Verdict = finished.value
        return verdict


def send_replies(steps: VerdictSteps, replies: list[TimedReply]) -> list[Question] | Verdict:
    """Send the replies to a sample's questions; return its next questions, or its verdict."""
    try:
        return steps.send(replies)
    except StopIteration as finished:
        verdict: Verdict = finished.value
        return verdict


class _CloserLooks:
    """The looks at one image after the first."""

    def __init__(
        self, pipeline: Pipeline, prepared: PreparedSample, verdict: Verdict, budget: Budget
    ) -> None:
        self.pipeline, self.prepared, self.verdict, self.budget = pipeline, prepared, verdict, budget
        self.questions = QuestionBuilder(pipeline, prepared)
        self.elements, self.defects = list(verdict.elements), list(verdict.defects)
        self.broken_parts: list[dict[str, list[float]]] = []
        """Distributions of the dimensions in the parts where a new defect was found."""
        self.part_distributions: dict[str, list[float]] = {}
        """Distributions of dimensions by a look at the part they are about."""
        self.trace: list[Look] = []

    def check_parts(self, whole: Box) -> AnswerSteps:
        """Find the parts that dimensions are about and rate each by itself."""
        dimensions: dict[str, list[ScoredDimension]] = {}
        for dimension in self.pipeline.asked_rubric.dimensions:
            if dimension.part and not self.pipeline.model_info.brief:
                dimensions.setdefault(dimension.part, []).append(dimension)
        answers = yield from self._ask([self.questions.locate_part(part) for part in dimensions])
        boxes = {
            part: box
            for part, answer in zip(dimensions, answers, strict=True)
            if answer and answer.part_probability() >= 0.5 and (box := self._part_box(answer, whole))
        }
        questions = [self.questions.rate_part(part, dimensions[part], box) for part, box in boxes.items()]
        for answer in (yield from self._ask(questions)):
            if answer:
                self.part_distributions |= answer.dimension_distributions(self.pipeline.asked_rubric)
        return answers

    def _part_box(self, answer: Answer, whole: Box) -> Box | None:
        """Return where a part was found, with a margin; None if it is nearly all of the image."""
        size = self.prepared.size
        box = from_relative(refine_box(answer, "box", answer.values["box"]), *size)
        if box_area(box) >= WHOLE_IMAGE_SHARE * box_area(whole):
            return None
        x, y = PART_MARGIN * (box[2] - box[0]), PART_MARGIN * (box[3] - box[1])
        x1, y1, x2, y2 = clip_box((box[0] - x, box[1] - y, box[2] + x, box[3] + y), *size)
        return float(math.floor(x1)), float(math.floor(y1)), float(math.ceil(x2)), float(math.ceil(y2))

    def check_elements(self, whole: Box) -> AnswerSteps:
        """Ask again for elements in doubt, all of them in each view."""
        low, high = UNCERTAIN_PROBABILITIES
        uncertain = [n for n, element in enumerate(self.elements) if low < element.probability < high]
        if not uncertain:
            return []
        names = [self.elements[n].name for n in uncertain]
        views = [center_view(whole, share) for share in ELEMENT_VIEWS]
        answers = yield from self._ask([self.questions.check_elements(names, view) for view in views])
        for index, n in enumerate(uncertain):
            expected = self.elements[n].expected
            probabilities = [
                invert_if_unwanted(
                    expected, answer.element_probability(index, answer.values["elements"][names[index]])
                )
                for answer in answers
                if answer
            ]
            self.elements[n] = _combine_log_odds(self.elements[n], probabilities)
        self.elements = cap_elements(self.elements)
        return answers

    def check_defects(self, whole: Box) -> AnswerSteps:
        """Look closely at artifacts of which the first look was not sure."""
        uncertain = [
            n
            for n, defect in enumerate(self.defects)
            if defect.confidence < SURE_CONFIDENCE and defect.family == "artifact"
        ]
        side = DEFECT_WINDOW_SHARE * min(whole[2], whole[3])
        windows = [square_around(self.defects[n].box, side, self.prepared.size) for n in uncertain]
        answers = yield from self._ask([self.questions.find_defects(window) for window in windows])
        for n, window, answer in zip(uncertain, windows, answers, strict=True):
            if answer is None:
                continue
            defect = self.defects[n]
            match = find_match(defect.box, self._parse_artifacts(answer, window))
            confidence = (defect.confidence + (match.confidence if match else 0.0)) / 2
            self.defects[n] = defect.model_copy(update={"confidence": confidence})
        self.defects = [defect for defect in self.defects if defect.confidence >= 0.5]
        return answers

    def search_tiles(self) -> AnswerSteps:
        """Look for artifacts in tiles where the model's view has lost detail, and follow them up."""
        max_tiles = int(self.budget.count_affordable(self.budget.looks) * TILE_BUDGET_SHARE)
        tiles = tile_lost_detail(
            self.questions.image, self.questions.model_view(), self.questions.full_detail_side, max_tiles
        )
        answers = yield from self._ask([self.questions.find_defects(tile) for tile in tiles])
        tile_side = max((tile[2] - tile[0] for tile in tiles), default=0.0)
        found = [
            defect
            for tile, answer in zip(tiles, answers, strict=True)
            if answer
            for defect in self._parse_artifacts(answer, tile)
            if not is_cut_off(defect.box, tile, self.prepared.size)
        ]
        if tiles:
            # The first look saw the image with lost detail, so its artifacts must be confirmed too.
            first = [defect for defect in self.defects if defect.family == "artifact"]
            self.defects = [defect for defect in self.defects if defect.family != "artifact"]
            tracked = [TrackedDefect(defect) for defect in merge_defects([*first, *found])]
            for done, window in enumerate(FOLLOW_UP_WINDOWS, 1):
                yield from self._follow_up(tracked, window, tile_side)
                remaining = len(FOLLOW_UP_WINDOWS) - done
                tracked = [defect for defect in tracked if defect.can_remain(remaining)]
            self.defects += [defect.to_defect() for defect in tracked]
            self.broken_parts += [defect.distributions for defect in tracked]
        return answers

    def _follow_up(
        self, tracked: Sequence[TrackedDefect], window: FollowUpWindow, tile_side: float
    ) -> AnswerSteps:
        """Look for each tracked defect once more."""
        regions = []
        for defect in tracked:
            x1, y1, x2, y2 = box = defect.latest.box
            factor = window.defect_factor
            side = max(window.tile_share * tile_side, factor * (x2 - x1), factor * (y2 - y1))
            shifted = shift_box(box, window.shift_right * side, window.shift_down * side)
            regions.append(square_around(shifted, side, self.prepared.size))
        answers = yield from self._ask([self.questions.find_defects(region) for region in regions])
        for defect, region, answer in zip(tracked, regions, answers, strict=True):
            artifacts = self._parse_artifacts(answer, region) if answer else []
            match = find_match(defect.latest.box, artifacts)
            if answer and match:
                defect.add_sighting(match, answer.dimension_distributions(self.pipeline.asked_rubric))
            else:
                defect.add_miss()
        return answers

    def _ask(self, wanted: list[Question]) -> AnswerSteps:
        """Ask as many of the questions as the budget allows; the others, and bad replies, give None."""
        questions = wanted[: self.budget.count_affordable(len(wanted))]
        if not questions:
            return [None] * len(wanted)
        replies = yield questions
        self.budget.looks -= len(questions)
        self.budget.record_time(sum(milliseconds for _, milliseconds in replies) / len(replies))
        answers = []
        for question, (reply, milliseconds) in zip(questions, replies, strict=True):
            answer = _parse_answer(question, reply)
            answers.append(answer)
            summary = _summarise_answer(answer) if answer else f"unreadable: {reply}"
            look = Look(
                region=question.region, question=question.text, answer=summary, milliseconds=milliseconds
            )
            self.trace.append(look)
        return [*answers, *[None] * (len(wanted) - len(questions))]

    def _parse_artifacts(self, answer: Answer, region: Box) -> list[Defect]:
        """Return the artifacts found in a region, in pixels of the whole image."""
        size = (round(region[2] - region[0]), round(region[3] - region[1]))
        return [
            defect.model_copy(update={"box": shift_box(defect.box, region[0], region[1])})
            for defect in parse_defects(answer, self.pipeline.asked_rubric, size)
            if defect.family == "artifact"
        ]

    def build_verdict(self) -> Verdict:
        """Build the verdict after all looks."""
        if not self.trace:
            return self.verdict
        rubric, limit = self.pipeline.asked_rubric, self.pipeline.max_defects
        if limit is None:
            limit = rubric.defects.max if rubric.defects else 0
        changes = {
            "elements": self.elements,
            "defects": merge_defects(self.defects)[:limit],
            "trace": self.trace,
            **rescore(self.verdict, self.elements, self.broken_parts, rubric, self.part_distributions),
        }
        provenance = self.verdict.provenance
        notes = [*provenance.notes, *([RULE_SCORE_NOTE] if "score" in changes else [])]
        milliseconds = provenance.milliseconds + sum(look.milliseconds for look in self.trace)
        changes["provenance"] = provenance.model_copy(update={"milliseconds": milliseconds, "notes": notes})
        verdict = self.verdict.model_copy(update=changes)
        verdict.explanation = explain_after_looks(self.verdict, verdict, rubric, self.prepared.facts)
        return verdict


def _parse_answer(question: Question, reply: Reply | ReplyError) -> Answer | None:
    """Parse a reply; None if it is not usable, which costs a look but not the verdict."""
    if isinstance(reply, ReplyError):
        return None
    try:
        answer = Answer(question.request.form, reply)
        _summarise_answer(answer)
    except ReplyError:
        return None
    return answer


def _summarise_answer(answer: Answer) -> str:
    """Summarise an answer for the trace; raise `ReplyError` if its probabilities are not usable."""
    if "box" in answer.values:
        return f"there {answer.part_probability():.2f}, {answer.values['box']}"
    if "elements" in answer.values:
        values = answer.values["elements"].values()
        return "; ".join(f"{answer.element_probability(n, value):.2f}" for n, value in enumerate(values))
    if "defects" not in answer.values:
        return "; ".join(f"{name} {value}" for name, value in answer.values.items())
    items = answer.values["defects"]
    summaries = [f"{item['kind']} {answer.defect_probability(n):.2f}" for n, item in enumerate(items)]
    return "; ".join(summaries) or "nothing"


def _combine_log_odds(element: Element, probabilities: Sequence[float]) -> Element:
    """Return the element with the mean of the log-odds of all looks."""
    clipped = (min(max(p, 1e-6), 1 - 1e-6) for p in (element.probability, *probabilities))
    log_odds = [math.log(p / (1 - p)) for p in clipped]
    probability = 1 / (1 + math.exp(-sum(log_odds) / len(log_odds)))
    return element.model_copy(update={"present": probability >= 0.5, "probability": probability})
