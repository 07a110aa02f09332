"""Decide which of two images is better, from two verdicts or from two replies about both images.

Pairwise, both images are shown together, in both orders: models prefer one position, so each pair is asked
for twice. The preference is the mean of the two probabilities that image a is better. Their difference is the
swap disagreement: 0 for a model that judges the images, 1 for a model that judges the positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.pipeline.parsing import Answer
from judge.pipeline.validation import replace_surrogates
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Object, Text
from judge.rubrics.schema import LANGUAGE_INSTRUCTIONS
from judge.rubrics.templates import load_template
from judge.types import Comparison, Depth, Verdict

if TYPE_CHECKING:
    from judge.pipeline.prepared_sample import PreparedSample
    from judge.rubrics.rubric import Rubric

PREFERENCE_LABELS = ("first", "second", "tie")
DEFAULT_REASON_CHARS = 160
"""Maximum length of the reason if the rubric asks for no explanation of a single image."""
TIE_MARGIN = 0.02
"""Mean probabilities this close to 0.5 are a tie."""
MIN_SCORE_MARGIN = 1e-6
"""Scores that differ by less are a tie."""


@dataclass(frozen=True)
class Preference:
    """The preference in two replies, one for each order."""

    orders: tuple[float, float]
    """Probability that image a is better when a is first and when b is first; a tie counts half."""
    explanation: str
    is_exact: bool
    """Whether the probabilities are the model's own."""

    @property
    def probability(self) -> float:
        """Mean probability that image a is better."""
        return sum(self.orders) / 2

    @property
    def disagreement(self) -> float:
        """Difference of the two orders, 0..1."""
        return abs(self.orders[0] - self.orders[1])


def build_preference_form(rubric: Rubric, depth: Depth) -> Form:
    """Return the form of a comparison: at depth `verdict` a reason, then the label of the better image."""
    reason = Text("explanation", rubric.explanation or DEFAULT_REASON_CHARS)
    better = Choice("better", PREFERENCE_LABELS, quoted=True)
    return Form(Object((("explanation", reason), ("better", better)))).at_depth(depth)


def build_pairwise_requests(rubric: Rubric, a: PreparedSample, b: PreparedSample) -> list[Request]:
    """Build the two requests of a comparison: a first, then b first.

    Args:
        rubric: its instructions decide which image is better.
        a: the first sample.
        b: the second sample, with the same prompt and prepared for the same model.
    """
    depth, form = a.depth, build_preference_form(rubric, a.depth)
    assert a.model_image is not None and b.model_image is not None
    references = [a.model_reference] if a.model_reference is not None else []
    text = load_template("pairwise").render(
        rubric=rubric, prompt=a.prompt, depth=depth, reference=bool(references)
    )
    if LANGUAGE_INSTRUCTIONS[rubric.language] and depth == "verdict":
        text += f"\n\n{LANGUAGE_INSTRUCTIONS[rubric.language]}"
    image_parts: list[dict[str, Any]] = [{"type": "image"} for _ in range(2 + len(references))]
    messages = [{"role": "user", "content": [*image_parts, {"type": "text", "text": text}]}]
    return [
        Request(
            images=[*references, *images],
            messages=messages,
            form=form,
            rubric=rubric.name,
            seed=a.request.seed,
        )
        for images in ((a.model_image, b.model_image), (b.model_image, a.model_image))
    ]


def parse_preference(form: Form, replies: Sequence[Reply | ReplyError]) -> Preference:
    """Parse the replies to the requests of `build_pairwise_requests`.

    Raises:
        ReplyError: one of the replies is not usable. One order alone would not be a comparison.
    """
    probabilities, explanations, is_exact = [], [], True
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
        answer = Answer(form, reply)
        shares = answer.probabilities("better", PREFERENCE_LABELS, answer.values["better"])
        probabilities.append(shares["first"] + shares["tie"] / 2)
        explanations.append(answer.values.get("explanation", ""))
        is_exact = is_exact and answer.is_exact and answer.is_complete
    return Preference((probabilities[0], 1 - probabilities[1]), explanations[0], is_exact)


def compare_pairwise(a: Verdict, b: Verdict, form: Form, replies: Sequence[Reply | ReplyError]) -> Comparison:
    """Compare two images by two replies about both of them, one for each order.

    Args:
        a: verdict on the first image.
        b: verdict on the second image.
        form: the form of the replies.
        replies: the replies to `build_pairwise_requests`.

    Returns:
        The comparison; without a preference, but with a reason, if a reply is not usable.
    """
    try:
        preference = parse_preference(form, replies)
    except ReplyError as error:
        reason = replace_surrogates(str(error))
        return Comparison(preferred=None, probability=None, how="pairwise", reason=reason, a=a, b=b)
    probability = preference.probability
    notes = [note for reply in replies if isinstance(reply, Reply) for note in reply.notes]
    a.provenance.notes += [note for note in dict.fromkeys(notes) if note not in a.provenance.notes]
    if not preference.is_exact:
        a.provenance.notes.append("the comparison's probabilities are estimates or written labels")
    is_tie = abs(probability - 0.5) <= TIE_MARGIN
    return Comparison(
        preferred="tie" if is_tie else "a" if probability > 0.5 else "b",
        probability=probability,
        how="pairwise",
        orders=preference.orders,
        swap_disagreement=preference.disagreement,
        explanation=replace_surrogates(preference.explanation),
        margin=None if a.score is None or b.score is None else a.score - b.score,
        a=a,
        b=b,
    )


def compare_pointwise(a: Verdict, b: Verdict) -> Comparison:
    """Compare two images by the scores of their verdicts.

    The probability that a is better is computed from the two distributions, taken as independent; equal
    labels count half.

    Args:
        a: verdict on the first image.
        b: verdict on the second image.

    Returns:
        The comparison; without a preference, but with a reason, if one of the verdicts is unscored.
    """
    if a.score is None or b.score is None or a.distribution is None or b.distribution is None:
        reasons = [
            f"{name}: {verdict.reason}" for name, verdict in (("a", a), ("b", b)) if verdict.score is None
        ]
        return Comparison(preferred=None, probability=None, reason="; ".join(reasons), a=a, b=b)
    better = equal = 0.0
    for i, p in enumerate(a.distribution):
        better += p * sum(b.distribution[:i])
        equal += p * b.distribution[i]
    margin = a.score - b.score
    preferred = "tie" if abs(margin) < MIN_SCORE_MARGIN else "a" if margin > 0 else "b"
    probability = min(1.0, max(0.0, better + equal / 2))
    return Comparison(
        preferred=preferred, probability=probability, swap_disagreement=0.0, margin=margin, a=a, b=b
    )
