"""A judge behind a gateway: what `Judge` does when its model is the address of a `judge serve`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from judge.elements.element_list import MAX_LISTED_ELEMENTS
from judge.errors import DeadlineError, InputError
from judge.pipeline.validation import check_depth, check_sample, get_sample_id
from judge.remote.client import Client
from judge.remote.payloads import unscored
from judge.rubrics.rubric import Rubric
from judge.runtime.thread_map import thread_map
from judge.types import Comparison, ComparisonMethod, Depth, OutOfDomain, Sample, Verdict

CLIENT_OPTIONS = ("api_key", "timeout", "retries", "headers")
"""Options of `Judge` that are passed on to the client."""
SHARED_FIELDS = ("key", "Host", "request", "rubric", "depth", "heat", "looks", "max_elements",
                 "out_of_domain")  # fmt: skip
"""Fields that the server rejects for every row alike; an error in one of them ends a run of many rows."""


class RemoteJudge:
    """The judge behind a gateway.

    Args:
        address: of `judge serve`.
        rubric: as loaded here. The server uses its own rubric of the same name; a difference is noted.
        server_options: arguments of `Judge` that the server decides. Each must be None.
        options: passed on to `judge.Client`.
        max_elements: elements taken from a prompt, at most; sent with each request.
        out_of_domain: as in `Judge`; sent with each request.

    Raises:
        InputError: an argument is unusable.
    """

    def __init__(
        self,
        address: str,
        rubric: Rubric,
        server_options: Mapping[str, Any],
        options: Mapping[str, Any],
        max_elements: int = MAX_LISTED_ELEMENTS,
        out_of_domain: OutOfDomain = "abstain",
    ) -> None:
        for name, value in server_options.items():
            if value is not None:
                raise InputError(name, value, "none with a gateway", "the server decides it: leave it out")
        for name in options:
            if name not in CLIENT_OPTIONS:
                allowed = f"the options of a gateway: {', '.join(CLIENT_OPTIONS)}"
                raise InputError(name, options[name], allowed, "leave it out")
        self.rubric, self.client = rubric, Client(address, **options)
        self.max_elements, self.out_of_domain = max_elements, out_of_domain

    def verdict(
        self,
        sample: Sample | Mapping[str, Any],
        depth: Depth,
        keep_image: bool = True,
        heat: bool = False,
        looks: int = 0,
        max_elements: int | None = None,
        out_of_domain: OutOfDomain | None = None,
    ) -> Verdict:
        """Judge one sample.

        Args:
            sample: the sample or its fields.
            depth: as in `Judge`.
            keep_image: keep the image in the verdict, for its overlay.
            heat: as in `Judge`.
            looks: zoom-ins (closer looks) at most.
            max_elements: elements taken from the prompt, at most; default: as for the judge.
            out_of_domain: as in `Judge`; default: as for the judge.

        Raises:
            InputError: an argument is unusable.
            BackendError: the server cannot be reached or cannot answer.
        """
        check_depth(depth)
        checked = check_sample(sample)
        verdict = self.client.verdict(
            checked.image,
            video=checked.video,
            prompt=checked.prompt,
            negative_prompt=checked.negative_prompt,
            elements=checked.elements,
            max_elements=self.max_elements if max_elements is None else max_elements,
            id=checked.id,
            reference=checked.reference,
            rubric=self.rubric.name,
            depth=depth,
            heat=heat,
            looks=looks,
            out_of_domain=self.out_of_domain if out_of_domain is None else out_of_domain,
        )
        if not keep_image:
            verdict._image = None
        return self._note_rubric(verdict)

    def many(
        self,
        samples: Iterator[Sample | Mapping[str, Any]],
        depth: Depth,
        batch: int,
        heat: bool = False,
        looks: int = 0,
        max_elements: int | None = None,
        out_of_domain: OutOfDomain | None = None,
    ) -> Iterator[Verdict]:
        """Judge samples, `batch` requests at a time. Yields one verdict per sample, in order.

        Args:
            samples: samples or mappings of their fields.
            depth: as in `Judge`.
            batch: requests sent at once.
            heat: as in `Judge`.
            looks: zoom-ins (closer looks) per sample at most.
            max_elements: elements taken from a prompt, at most; default: as for the judge.
            out_of_domain: as in `Judge`; default: as for the judge.

        Raises:
            InputError: the server rejects an argument that all samples share.
            BackendError: the server cannot be reached or cannot answer.
        """
        judge_one = partial(
            self._verdict_or_unscored,
            depth=depth,
            heat=heat,
            looks=looks,
            max_elements=max_elements,
            out_of_domain=out_of_domain,
        )
        return thread_map(judge_one, samples, 2 * batch, batch)

    def _verdict_or_unscored(
        self, sample: Sample | Mapping[str, Any], *, depth: Depth, **options: Any
    ) -> Verdict:
        """Judge one sample; an error that concerns only this sample gives an unscored verdict."""
        try:
            return self.verdict(sample, depth, keep_image=False, **options)
        except (InputError, DeadlineError) as error:
            if isinstance(error, InputError) and error.field in SHARED_FIELDS:
                raise
            return self.unscored(str(error), id=get_sample_id(sample), depth=depth)

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        prompt: str,
        negative_prompt: str,
        elements: Sequence[str] | None,
        reference: Any,
        depth: Depth,
        looks: int = 0,
        how: ComparisonMethod = "pointwise",
        out_of_domain: OutOfDomain | None = None,
    ) -> Comparison:
        """Compare two images. Arguments and errors are those of `Judge.compare`."""
        check_depth(depth)
        comparison = self.client.compare(
            a,
            b,
            prompt=prompt,
            negative_prompt=negative_prompt,
            elements=elements,
            max_elements=self.max_elements,
            reference=reference,
            rubric=self.rubric.name,
            depth=depth,
            looks=looks,
            how=how,
            out_of_domain=self.out_of_domain if out_of_domain is None else out_of_domain,
        )
        self._note_rubric(comparison.a)
        self._note_rubric(comparison.b)
        return comparison

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """Return a verdict without numbers, for a sample that could not be sent."""
        return unscored(reason, id=id, rubric=self.rubric.name, rubric_hash=self.rubric.hash, depth=depth)

    def _note_rubric(self, verdict: Verdict) -> Verdict:
        """Add a note to a verdict if the server's rubric differs from the one loaded here."""
        provenance = verdict.provenance
        if provenance.rubric_hash not in (self.rubric.hash, self.rubric.for_general_models().hash):
            provenance.notes.append(
                f"the gateway's rubric {provenance.rubric} is not the one of this installation"
            )
        return verdict
