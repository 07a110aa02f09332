"""What `Judge("http://...")` does: the same calls as with a model of its own, asked of a gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from judge.errors import InputError, Late
from judge.pipeline.pipeline import name_of
from judge.pipeline.validation import check_depth, check_sample
from judge.remote.client import Client, unscored
from judge.rubrics.rubric import Rubric
from judge.runtime.thread_map import thread_map
from judge.types import Comparison, Depth, Sample, Verdict, Way

OF_ALL = ("key", "Host", "request", "rubric", "depth", "heat", "looks")
"""Fields that a server refuses in every row alike, which ends a run of many."""


class Remote:
    """The judge behind a gateway.

    Args:
        address: of `judge serve`.
        rubric: as loaded here; the server is asked for the one it has under the same name.
        decided: arguments that only a model of one's own takes, to be refused unless they are None.
        options: passed on to `judge.Client`.

    Raises:
        InputError: an argument is unusable.
    """

    def __init__(
        self, address: str, rubric: Rubric, decided: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        for name, value in decided.items():
            if value is not None:
                raise InputError(name, value, "none with a gateway", "its server decides: leave it out")
        known = ("api_key", "timeout", "retries", "headers")
        for name in options:
            if name not in known:
                raise InputError(name, options[name], f"of a gateway's options {', '.join(known)}", "drop it")
        self.rubric, self.client = rubric, Client(address, **options)

    def verdict(
        self,
        sample: Sample | Mapping[str, Any],
        depth: Depth,
        keep: bool = True,
        heat: bool = False,
        looks: int = 0,
    ) -> Verdict:
        """Raises `InputError` and `BackendError` as `Judge` does."""
        check_depth(depth)
        given = check_sample(sample)
        found = self.client.verdict(
            given.image,
            video=given.video,
            prompt=given.prompt,
            elements=given.elements,
            id=given.id,
            reference=given.reference,
            rubric=self.rubric.name,
            depth=depth,
            heat=heat,
            looks=looks,
        )
        if not keep:
            found._image = None
        return self._noted(found)

    def many(
        self,
        samples: Iterator[Sample | Mapping[str, Any]],
        depth: Depth,
        batch: int,
        heat: bool = False,
        looks: int = 0,
    ) -> Iterator[Verdict]:
        """One verdict per sample, in order, `batch` of them asked for at once."""
        judged = partial(self._verdict_or_reason, depth=depth, heat=heat, looks=looks)
        return thread_map(judged, samples, 2 * batch, batch)

    def _verdict_or_reason(
        self, given: Sample | Mapping[str, Any], *, depth: Depth, heat: bool, looks: int
    ) -> Verdict:
        try:
            return self.verdict(given, depth, keep=False, heat=heat, looks=looks)
        except (InputError, Late) as error:
            if isinstance(error, InputError) and error.field in OF_ALL:
                raise
            return self.unscored(str(error), id=name_of(given), depth=depth)

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        prompt: str,
        elements: Sequence[str] | None,
        reference: Any,
        depth: Depth,
        looks: int = 0,
        how: Way = "pointwise",
    ) -> Comparison:
        check_depth(depth)
        found = self.client.compare(
            a,
            b,
            prompt=prompt,
            elements=elements,
            reference=reference,
            rubric=self.rubric.name,
            depth=depth,
            looks=looks,
            how=how,
        )
        self._noted(found.a)
        self._noted(found.b)
        return found

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        return unscored(reason, id=id, rubric=self.rubric.name, rubric_hash=self.rubric.hash, depth=depth)

    def _noted(self, found: Verdict) -> Verdict:
        made = found.provenance
        if made.rubric_hash != self.rubric.hash:
            made.notes.append(f"the gateway's rubric {made.rubric} is not the one of this installation")
        return found
