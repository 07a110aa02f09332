"""Decide which of two images is better, from two verdicts or from two replies about both images."""

from __future__ import annotations

from collections.abc import Sequence

from judge.backends.base import Reply
from judge.errors import ReplyError
from judge.pipeline.pairwise import TIE_MARGIN, parse_preference
from judge.pipeline.validation import replace_surrogates
from judge.rubrics.form import Form
from judge.types import Comparison, Verdict

MIN_SCORE_MARGIN = 1e-6
"""Scores that differ by less are a tie."""


def compare_pairwise(a: Verdict, b: Verdict, form: Form, replies: Sequence[Reply | ReplyError]) -> Comparison:
    """Compare two images by two replies about both of them, one for each order.

    Args:
        a: verdict on the first image.
        b: verdict on the second image.
        form: the form of the replies.
        replies: the replies to `judge.pipeline.pairwise.build_pairwise_requests`.

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
