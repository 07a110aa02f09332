"""The agent: after the first look it asks again where it is in doubt, and where the picture has more detail
than the model was shown.

One case is one generator (`judged`). It yields rounds of questions and is sent the replies, so that whoever
has the model (a `Judge` with many cases, ...) can put the questions of all cases to it together. A case's
looks are spent in this order:

1. A dimension that is about a part of the picture (`part` in the rubric) is judged by that part alone: a
   general model is asked where it is, and is shown it. The first look's answer stands where it is not there,
   or is nearly all of the picture.
2. Elements whose probability lies inside `UNDECIDED` are asked again in parts of the picture (`VIEWS`), all
   such elements in one question; the new probability is the mean of the log-odds of all looks.
3. At depth `verdict`, a defect less sure than `SURE` is looked at closely; its confidence becomes the mean
   over both looks, and under a half it is dropped.
4. At depth `verdict`: overlapping tiles of what the model's own view of the picture has lost, as small as
   the budget allows. What is found in one, and not cut off by its edge, and what the first look has found
   is looked for at the same place in the windows of `AGAIN`, each of another size and place: real damage
   stays where it is, what an unusual cut suggests does not. The confidence is the mean over all looks, one
   that misses it counting 0; a finding that was missed stays if it reaches `SURE` all the same.

Two findings are one when they overlap by `SAME` (intersection over union) or `INSIDE` of the smaller one
lies in the other; the surer one stays. As many stay as the rubric asks for, the surest first.

The score follows where the rubric has a rule: elements make alignment, and no other dimension is better
than in the worst part where something new was found. Where the looks have found otherwise than the first,
the explanation says so. The loop ends when nothing is in doubt, when the looks are spent, or when another
question would pass the deadline by the pace of those before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from judge.agent.questions import Question, Questions, structural, tiles, verb_at, window
from judge.errors import InputError, ReplyError
from judge.media import regions
from judge.pipeline.parsing import Answer, defects_of, explained_anew, located, rescored
from judge.types import Box, Defect, Element, Look, Verdict

if TYPE_CHECKING:
    from judge.backends.base import Reply
    from judge.pipeline.pipeline import Pipeline
    from judge.pipeline.prepared import PreparedSample
    from judge.rubrics.rubric import Scale

LOOKS = 0
"""Looks at one picture beside the first, unless more are asked for."""
USUAL = 2
"""Enough for elements and defects in doubt; most pictures need none of them."""
UNDECIDED = (0.2, 0.8)
"""Probabilities of an element that call for another look."""
VIEWS = (1.0, 0.9)
"""Elements are asked again in parts of these shares of the picture's sides, about its middle: on their own,
and a little larger. Smaller parts cut off what is asked for."""
SURE = 0.7
"""Confidence of a defect that needs no other look, and the mean one of a finding in a tile that a look has
missed: with those of `AGAIN`, one may, if the others are sure."""
CLOSE = 0.75
"""Share of the picture's sides in which an unsure defect is looked at again, or of a tile if that is less."""
AGAIN = ((0.9, 6.0, 0.16, -0.14), (0.7, 1.6, 0.0, 0.0), (0.8, 3.0, -0.15, 0.12))
"""Windows about a finding: least side, in sides of a tile and in sides of the finding, and how far to the
right and down, in its own sides. The first shows it among what is around it, where the part of a large
figure is seen to belong to it; the second closely; the third in between."""
TILED = 0.75
"""Share of the looks that are left which go into tiles; the others follow up what is found in them."""
ALL = 0.9
"""Share of the picture from which on a part is as good as all of it."""
AROUND = 0.05
"""What is shown around a part, in its own sides."""
SAME = 0.3
INSIDE = 0.7
EDGE = 0.02
"""A finding this near to a tile's edge, in sides of the tile, is cut off: a neighbour shows it whole."""
BY_RULE = "the score was computed by the rubric's rule after closer looks"
MOST = 1024
"""Looks that may be asked for."""

Told = tuple["Reply | ReplyError", float]
"""A reply, and the milliseconds it took."""
Rounds = Generator[list[Question], list[Told], Verdict]
Replies = Generator[list[Question], list[Told], list["Answer | None"]]


def check_looks(looks: int) -> int:
    """Raises `InputError`."""
    if isinstance(looks, bool) or not isinstance(looks, int) or not 0 <= looks <= MOST:
        raise InputError(
            "looks", looks, f"0 to {MOST}", f"{USUAL} is enough for doubts, 200 for a picture of 4K"
        )
    return looks


def check_deadline(seconds: float | None) -> float:
    """Seconds, infinite for None. Raises `InputError`."""
    if seconds is None:
        return math.inf
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InputError("deadline", seconds, "seconds above 0", "leave it out for none")
    return float(seconds)


@dataclass
class Budget:
    """What may be spent on one case beyond its first look."""

    looks: int = LOOKS
    until: float = math.inf
    """When the last look must be done, by `clock`."""
    clock: Callable[[], float] = time.perf_counter
    pace: float = 0.0
    """Seconds that a question took at most, on average over its round."""

    def afford(self, wanted: int) -> int:
        """For how many of so many questions there are looks and time."""
        left = self.until - self.clock()
        timely = wanted if math.isinf(left) or not self.pace else int(left / self.pace)
        return max(0, min(wanted, self.looks, timely)) if left > 0 else 0

    def note(self, milliseconds: float) -> None:
        self.pace = max(self.pace, milliseconds / 1000)


def judged(pipeline: Pipeline, case: PreparedSample, budget: Budget) -> Rounds:
    """Judge one case; see the module's docstring.

    Yields:
        Rounds of questions, the first of them the case's own. Must be sent their replies, in order.

    Returns:
        The verdict; `trace` holds the looks after the first, its milliseconds are those of all of them.
    """
    whole = (0.0, 0.0, float(case.size[0]), float(case.size[1]))
    [(reply, milliseconds)] = yield [Question(verb_at(case.depth), case.request, whole, "")]
    verdict = pipeline.unscaled(case, reply, milliseconds)
    if verdict.status == "unscored" or case.original is None or not budget.looks:
        return pipeline.scaled(verdict)
    budget.note(milliseconds)
    closer = _Closer(pipeline, case, verdict, budget)
    yield from closer.check_parts(whole)
    yield from closer.check_elements(whole)
    if case.depth == "verdict" and structural(pipeline.rubric) is not None:
        yield from closer.check_defects(whole)
        yield from closer.search()
    return pipeline.scaled(closer.concluded())


def in_step(programs: Sequence[Rounds], put: Callable[[list[Question]], list[Told]]) -> list[Verdict]:
    """Run cases side by side: the questions of a round go out together, whichever case they belong to."""
    verdicts: dict[int, Verdict] = {}
    rounds = {index: next(program) for index, program in enumerate(programs)}
    while rounds:
        told = iter(put([question for questions in rounds.values() for question in questions]))
        for index, questions in list(rounds.items()):
            then = sent(programs[index], [next(told) for _ in questions])
            if isinstance(then, Verdict):
                verdicts[index] = then
                del rounds[index]
            else:
                rounds[index] = then
    return [verdicts[index] for index in range(len(programs))]


def sent(program: Rounds, told: list[Told]) -> list[Question] | Verdict:
    """Hand a case the replies to its questions; returns the next ones, or its verdict."""
    try:
        return program.send(told)
    except StopIteration as done:
        verdict: Verdict = done.value
        return verdict


class _Finding:
    """One defect in several looks."""

    def __init__(self, defect: Defect) -> None:
        self.last, self.confidences, self.misses = defect, [defect.confidence], 0
        self.scales: dict[str, list[float]] = {}
        """Dimensions' distributions where it was last seen."""

    def seen(self, again: Defect, scales: dict[str, list[float]]) -> None:
        self.last, self.scales = again, scales
        self.confidences.append(again.confidence)

    def mean(self, to_come: int = 0) -> float:
        """Its confidence over all looks, a miss counting 0, if so many more will be sure of it."""
        return (sum(self.confidences) + to_come) / (len(self.confidences) + self.misses + to_come)

    def may_stay(self, to_come: int) -> bool:
        """Whether no look has missed it, or it can still be sure on the whole."""
        return not self.misses or self.mean(to_come) >= SURE

    def averaged(self) -> Defect:
        """By all looks at it: the last one's words and box, the mean confidence."""
        return self.last.model_copy(update={"confidence": self.mean()})


class _Closer:
    """The looks at one picture after the first."""

    def __init__(self, pipeline: Pipeline, case: PreparedSample, verdict: Verdict, budget: Budget) -> None:
        self.pipeline, self.case, self.verdict, self.budget = pipeline, case, verdict, budget
        self.questions = Questions(pipeline, case)
        self.elements, self.defects = list(verdict.elements), list(verdict.defects)
        self.floors: list[dict[str, list[float]]] = []
        """Dimensions' distributions in the parts where something new was found."""
        self.apart: dict[str, list[float]] = {}
        """Dimensions' distributions by a look at their own part."""
        self.trace: list[Look] = []

    def check_parts(self, whole: Box) -> Replies:
        """Look at the parts that dimensions are about, each by itself."""
        dimensions: dict[str, list[Scale]] = {}
        for dimension in self.pipeline.rubric.dimensions:
            if dimension.part and not self.pipeline.card.brief:
                dimensions.setdefault(dimension.part, []).append(dimension)
        answers = yield from self._look([self.questions.where(part) for part in dimensions])
        found = {
            part: box
            for part, answer in zip(dimensions, answers, strict=True)
            if answer and answer.found() >= 0.5 and (box := self._box(answer, whole))
        }
        asked = [self.questions.apart(part, dimensions[part], box) for part, box in found.items()]
        for answer in (yield from self._look(asked)):
            if answer:
                self.apart |= answer.scales(self.pipeline.rubric)
        return answers

    def _box(self, answer: Answer, whole: Box) -> Box | None:
        """Where a part was found, with a little around it; None for nearly all of the picture."""
        box = regions.from_relative(located(answer, "box", answer.values["box"]), *self.case.size)
        if regions.area(box) >= ALL * regions.area(whole):
            return None
        x, y = AROUND * (box[2] - box[0]), AROUND * (box[3] - box[1])
        x1, y1, x2, y2 = regions.clip((box[0] - x, box[1] - y, box[2] + x, box[3] + y), *self.case.size)
        return float(math.floor(x1)), float(math.floor(y1)), float(math.ceil(x2)), float(math.ceil(y2))

    def check_elements(self, whole: Box) -> Replies:
        """Ask again for elements in doubt, all of them in each view."""
        low, high = UNDECIDED
        doubtful = [n for n, element in enumerate(self.elements) if low < element.probability < high]
        if not doubtful:
            return []
        names = [self.elements[n].name for n in doubtful]
        views = [_middle(whole, share) for share in VIEWS]
        answers = yield from self._look([self.questions.elements(names, view) for view in views])
        for at, n in enumerate(doubtful):
            seen = [answer.present(at, answer.values["elements"][names[at]]) for answer in answers if answer]
            self.elements[n] = _weighed(self.elements[n], seen)
        return answers

    def check_defects(self, whole: Box) -> Replies:
        """Look closely at defects that the first look was not sure of."""
        doubtful = [n for n, d in enumerate(self.defects) if d.confidence < SURE and d.family == "artifact"]
        side = CLOSE * min(whole[2], whole[3])
        parts = [window(self.defects[n].box, side, self.case.size) for n in doubtful]
        answers = yield from self._look([self.questions.damage(part) for part in parts])
        for n, part, answer in zip(doubtful, parts, answers, strict=True):
            if answer is None:
                continue
            old = self.defects[n]
            found = _at(old.box, self._found(answer, part))
            confidence = (old.confidence + (found.confidence if found else 0.0)) / 2
            self.defects[n] = old.model_copy(update={"confidence": confidence})
        self.defects = [d for d in self.defects if d.confidence >= 0.5]
        return answers

    def search(self) -> Replies:
        """Go through what the model's view has lost, and follow up what is found there."""
        picture = self.questions.picture
        room = int(self.budget.afford(self.budget.looks) * TILED)
        parts = tiles(picture, self.questions.seen(), self.questions.side, room)
        answers = yield from self._look([self.questions.damage(part) for part in parts])
        side = max((part[2] - part[0] for part in parts), default=0.0)
        found = [
            defect
            for part, answer in zip(parts, answers, strict=True)
            if answer
            for defect in self._found(answer, part)
            if not _cut_off(defect.box, part, self.case.size)
        ]
        if parts:
            # What was named at a size at which so much is lost has to be seen closely as well.
            sure = [d for d in self.defects if d.family == "artifact"]
            self.defects = [d for d in self.defects if d.family != "artifact"]
            findings = [_Finding(defect) for defect in _fused([*sure, *found])]
            for done, (share, about, right, down) in enumerate(AGAIN, 1):
                yield from self._follow(findings, share * side, about, (right, down))
                findings = [one for one in findings if one.may_stay(len(AGAIN) - done)]
            self.defects += [one.averaged() for one in findings]
            self.floors += [one.scales for one in findings]
        return answers

    def _follow(
        self, findings: Sequence[_Finding], side: float, about: float, off: tuple[float, float]
    ) -> Replies:
        """Look at each finding once more."""
        parts = []
        for one in findings:
            x1, y1, x2, y2 = box = one.last.box
            own = max(side, about * (x2 - x1), about * (y2 - y1))
            parts.append(window(regions.shifted(box, off[0] * own, off[1] * own), own, self.case.size))
        answers = yield from self._look([self.questions.damage(part) for part in parts])
        for one, part, answer in zip(findings, parts, answers, strict=True):
            again = _at(one.last.box, self._found(answer, part)) if answer else None
            if answer and again:
                one.seen(again, answer.scales(self.pipeline.rubric))
            else:
                one.misses += 1
        return answers

    def _look(self, wanted: list[Question]) -> Replies:
        """Put as many of the questions as there is budget for; None for the others and for bad replies."""
        asked = wanted[: self.budget.afford(len(wanted))]
        if not asked:
            return [None] * len(wanted)
        told = yield asked
        self.budget.looks -= len(asked)
        self.budget.note(sum(milliseconds for _, milliseconds in told) / len(told))
        answers = [_read(question, reply) for question, (reply, _) in zip(asked, told, strict=True)]
        for question, (reply, milliseconds), answer in zip(asked, told, answers, strict=True):
            said = _said(answer) if answer else f"unreadable: {reply}"
            self.trace.append(
                Look(region=question.region, question=question.text, answer=said, milliseconds=milliseconds)
            )
        return [*answers, *[None] * (len(wanted) - len(asked))]

    def _found(self, answer: Answer, part: Box) -> list[Defect]:
        """The artifacts that a look at a part has found, in pixels of the whole."""
        size = (round(part[2] - part[0]), round(part[3] - part[1]))
        found = defects_of(answer, self.pipeline.rubric, size)
        return [
            defect.model_copy(update={"box": regions.shifted(defect.box, part[0], part[1])})
            for defect in found
            if defect.family == "artifact"
        ]

    def concluded(self) -> Verdict:
        """The verdict after all looks."""
        if not self.trace:
            return self.verdict
        limit = self.pipeline.max_defects
        if limit is None:
            limit = self.pipeline.rubric.defects.max if self.pipeline.rubric.defects else 0
        changed = {
            "elements": self.elements,
            "defects": _fused(self.defects)[:limit],
            "trace": self.trace,
            **rescored(self.verdict, self.elements, self.floors, self.pipeline.rubric, self.apart),
        }
        made = self.verdict.provenance
        notes = [*made.notes, *([BY_RULE] if "score" in changed else [])]
        spent = made.milliseconds + sum(look.milliseconds for look in self.trace)
        changed["provenance"] = made.model_copy(update={"milliseconds": spent, "notes": notes})
        after = self.verdict.model_copy(update=changed)
        after.explanation = explained_anew(self.verdict, after, self.pipeline.rubric, self.case.facts)
        return after


def _read(question: Question, reply: Reply | ReplyError) -> Answer | None:
    """A reply against its form; None where it cannot be used, which costs a look and no verdict."""
    if isinstance(reply, ReplyError):
        return None
    try:
        answer = Answer(question.request.form, reply)
        _said(answer)
    except ReplyError:
        return None
    return answer


def _said(answer: Answer) -> str:
    """What a look has told, for the trace. Raises `ReplyError` for numbers that are none."""
    if "box" in answer.values:
        return f"there {answer.found():.2f}, {answer.values['box']}"
    if "elements" in answer.values:
        written = answer.values["elements"].values()
        return "; ".join(f"{answer.present(n, value):.2f}" for n, value in enumerate(written))
    if "defects" not in answer.values:
        return "; ".join(f"{name} {value}" for name, value in answer.values.items())
    items = answer.values["defects"]
    opened = [answer.opened(n) for n in range(len(items))]
    return "; ".join(f"{item['kind']} {p:.2f}" for item, p in zip(items, opened, strict=True)) or "nothing"


def _weighed(element: Element, seen: Sequence[float]) -> Element:
    """An element by the mean of the log-odds of all looks."""
    odds = [
        math.log(p / (1 - p)) for p in (min(max(p, 1e-6), 1 - 1e-6) for p in (element.probability, *seen))
    ]
    chance = 1 / (1 + math.exp(-sum(odds) / len(odds)))
    return Element(name=element.name, present=chance >= 0.5, probability=chance)


def _middle(whole: Box, share: float) -> Box:
    x, y = (side * (1 - share) / 2 for side in whole[2:])
    return float(round(x)), float(round(y)), float(round(whole[2] - x)), float(round(whole[3] - y))


def _one(a: Box, b: Box) -> bool:
    """Whether two boxes are taken for one finding."""
    smaller = min(regions.area(a), regions.area(b))
    return regions.iou(a, b) >= SAME or (smaller > 0 and regions.common(a, b) >= INSIDE * smaller)


def _fused(defects: Sequence[Defect]) -> list[Defect]:
    """The defects, the surest first, each finding once."""
    kept: list[Defect] = []
    for defect in sorted(defects, key=lambda d: -d.confidence):
        if not any(d.family == defect.family and _one(d.box, defect.box) for d in kept):
            kept.append(defect)
    return kept


def _at(box: Box, found: Sequence[Defect]) -> Defect | None:
    """The finding that overlaps a box best, by `SAME` at least."""
    best = max(found, key=lambda d: regions.iou(d.box, box), default=None)
    return best if best and regions.iou(best.box, box) >= SAME else None


def _cut_off(box: Box, part: Box, size: tuple[int, int]) -> bool:
    """Whether a finding touches an edge of its tile that is no edge of the picture."""
    near = EDGE * (part[2] - part[0])
    low = any(part[n] > 0 and box[n] - part[n] <= near for n in (0, 1))
    return low or any(part[n] < size[n - 2] and part[n] - box[n] <= near for n in (2, 3))
