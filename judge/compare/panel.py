"""Several judges that answer as one: models, adapters or rubrics, weighted, with their disagreement.

    panel = Panel([Judge(), Judge("Qwen/Qwen3-VL-8B-Instruct")], weights=[1, 3])
    verdict = panel("image.png", prompt="a red circle")
    print(verdict.score, verdict.disagreement)

`judge.compare.aggregation` says how the verdicts are merged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from judge.compare.aggregation import fit_weights, merge_comparisons, merge_verdicts
from judge.errors import InputError
from judge.pipeline.validation import check_depth, check_sample
from judge.types import Comparison, ComparisonMethod, ComparisonOption, Depth, LabelledSample, Sample, Verdict

if TYPE_CHECKING:
    from judge.judge import Judge

MIN_LABELLED = 8
"""Labelled samples that weights are fitted to, at least."""


class Panel:
    """A panel of judges. It has the calls of `Judge` and can be used in its place.

    Args:
        judges: at least one; each loads its model when it is first used.
        weights: one per judge, 0 or more, not all 0; default: equal weights. `calibrated` fits them.

    Raises:
        InputError: there is no judge, or the weights are unusable.
    """

    def __init__(self, judges: Sequence[Judge], *, weights: Sequence[float] | None = None) -> None:
        numbers = [1.0] * len(judges) if weights is None else [float(weight) for weight in weights]
        if not judges:
            raise InputError("judges", 0, "at least one judge", "give some")
        total = sum(numbers)
        are_usable = all(math.isfinite(weight) and weight >= 0 for weight in numbers) and total > 0
        if len(numbers) != len(judges) or not are_usable:
            allowed = f"{len(judges)} numbers of 0 or more, not all 0"
            raise InputError("weights", numbers, allowed, "correct them")
        self.judges = list(judges)
        self.weights = [weight / total for weight in numbers]
        """Shares of the judges; they sum to 1."""
        self._rotations = [0] * len(judges)
        """For each judge, by how many places the elements are rotated before it is asked."""

    @classmethod
    def consistent(cls, judge: Judge, times: int = 3) -> Panel:
        """Make a panel that asks one judge several times (self-consistency).

        Each time it uses another seed and another order of the elements. What differs between the answers
        depends on chance or order, not on the image. A backend that decides by argmax (all backends in this
        process do) gives the same answer each time if there are no elements.

        Args:
            judge: the judge to ask.
            times: how often, 1 or more.
        """
        if times < 1:
            raise InputError("times", times, "1 or more", "3 is the usual number")
        panel = cls([judge.reseeded(judge.seed + number) for number in range(times)])
        panel._rotations = list(range(times))
        return panel

    def calibrated(self, samples: Iterable[LabelledSample], *, depth: Depth = "score") -> Panel:
        """Make a panel of the same judges with weights fitted to the scores that people gave.

        The weights minimise the squared error of the mean score, are 0 or more and sum to 1 (stacked
        regressions, Breiman 1996). Samples that a judge cannot score are left out.

        Args:
            samples: with labels; those without a score are left out.
            depth: "score" or "verdict", at which the samples are judged.

        Raises:
            InputError: fewer than eight samples with a score are left.
        """
        rows = [sample for sample in samples if sample.labels.score is not None]
        columns = [[verdict.score for verdict in judge.many(rows, depth=depth)] for judge in self.judges]
        complete = [n for n in range(len(rows)) if all(column[n] is not None for column in columns)]
        if len(complete) < MIN_LABELLED:
            mend = "label more, or give the weights yourself"
            raise InputError(
                "samples", len(complete), f"at least {MIN_LABELLED} that every judge scores", mend
            )
        labels = [cast(float, rows[n].labels.score) for n in complete]
        scores = [[cast(float, column[n]) for column in columns] for n in complete]
        panel = Panel(self.judges, weights=fit_weights(scores, labels))
        panel._rotations = self._rotations
        return panel

    def __call__(
        self,
        image: Any,
        *,
        prompt: str = "",
        negative_prompt: str = "",
        elements: Sequence[str] | str | None = None,
        id: str = "",
        reference: Any = None,
        depth: Depth = "verdict",
    ) -> Verdict:
        """Judge one image. Arguments and errors are those of `Judge.__call__`."""
        fields = {"id": id, "image": image, "prompt": prompt, "elements": elements, "reference": reference}
        fields["negative_prompt"] = negative_prompt
        verdicts = []
        for judge, rotation in zip(self.judges, self._rotations, strict=True):
            sample = _rotate_elements(check_sample(fields), rotation, judge)
            verdicts.append(
                judge(
                    sample.image,
                    prompt=sample.prompt,
                    negative_prompt=sample.negative_prompt,
                    elements=sample.elements,
                    id=sample.id,
                    reference=sample.reference,
                    depth=depth,
                )
            )
        return self._merge(verdicts, depth)

    def many(
        self, samples: Iterable[Sample | Mapping[str, Any]], *, depth: Depth = "verdict", batch: int = 16
    ) -> Iterator[Verdict]:
        """Judge samples in batches, each by all judges. Yields one verdict per sample, in order.

        Args:
            samples: samples or mappings of their fields, as in `Judge.many`.
            depth: "score" or "verdict".
            batch: samples per batch, 1 or more.

        Raises:
            InputError: `depth` or `batch` is unusable.
        """
        check_depth(depth)
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError("batch", batch, "1 or more", "16 is the usual value")
        return self._many(iter(samples), depth, batch)

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        prompt: str = "",
        negative_prompt: str = "",
        elements: Sequence[str] | str | None = None,
        reference: Any = None,
        depth: Depth = "verdict",
        how: ComparisonOption = "auto",
    ) -> Comparison:
        """Compare two images of one prompt; probabilities and disagreements are weighted means.

        Arguments and errors are those of `Judge.compare`.
        """
        shared: dict[str, Any] = {"prompt": prompt, "elements": elements, "reference": reference}
        shared["negative_prompt"] = negative_prompt
        comparisons = [judge.compare(a, b, depth=depth, how=how, **shared) for judge in self.judges]
        first = self._merge([comparison.a for comparison in comparisons], depth)
        second = self._merge([comparison.b for comparison in comparisons], depth)
        return merge_comparisons(comparisons, self.weights, first, second)

    def way(self, how: ComparisonOption = "auto") -> ComparisonMethod:
        """Return how images are compared: "pairwise" as soon as one judge compares pairwise."""
        return "pairwise" if any(judge.way(how) == "pairwise" for judge in self.judges) else "pointwise"

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """Return a verdict without numbers, for a sample that could not be put to the panel."""
        return self._merge([judge.unscored(reason, id=id, depth=depth) for judge in self.judges], depth)

    def _many(
        self, samples: Iterator[Sample | Mapping[str, Any]], depth: Depth, batch: int
    ) -> Iterator[Verdict]:
        """Yield the merged verdicts of `many`, batch by batch."""
        while group := list(islice(samples, batch)):
            columns = [
                judge.many(
                    [_rotate_if_valid(sample, rotation, judge) for sample in group], depth=depth, batch=batch
                )
                for judge, rotation in zip(self.judges, self._rotations, strict=True)
            ]
            for verdicts in zip(*columns, strict=True):
                yield self._merge(list(verdicts), depth)

    def _merge(self, verdicts: Sequence[Verdict], depth: Depth) -> Verdict:
        """Merge the verdicts of all judges about one sample."""
        finds_defects = [judge.rubric.defects is not None for judge in self.judges]
        return merge_verdicts(verdicts, self.weights, depth, finds_defects)


def _rotate_elements(sample: Sample, places: int, judge: Judge) -> Sample:
    """Return the sample with its elements, or those that the judge takes from its prompt, rotated."""
    if not places:
        return sample
    elements, changes = sample.elements, dict[str, Any]()
    if not isinstance(elements, list):
        statements = judge.listed_elements(sample)
        elements = [statement.name for statement in statements if statement.expected]
        # With elements of its own, only the negative prompt says what must be absent.
        changes["negative_prompt"] = "\n".join(s.name for s in statements if not s.expected)
    first = places % len(elements) if elements else 0
    return sample.model_copy(update={"elements": [*elements[first:], *elements[:first]], **changes})


def _rotate_if_valid(
    sample: Sample | Mapping[str, Any], places: int, judge: Judge
) -> Sample | Mapping[str, Any]:
    """Rotate the elements of a sample; an invalid one is returned as it is, and the judge says why."""
    try:
        return _rotate_elements(check_sample(sample), places, judge)
    except InputError:
        return sample
