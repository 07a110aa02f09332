"""One reward for every trainer: many pictures and their prompts in, numbers from 0 to 1 out.

    reward = Reward(Judge(), weights={"alignment": 1, "structure": 0.5})
    results = reward(prompts=prompts, images=images)

A picture that cannot be scored has `score=None` and a reason; it is never given a number, and it never ends
the call. What was scored is kept by content, so a picture that comes again costs nothing and scores the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from judge.errors import InputError
from judge.judge import Judge
from judge.media import arrays as pictures
from judge.pipeline.pipeline import compared
from judge.pipeline.validation import check_depth
from judge.reward.result import RewardResult, known_parts, parts_of
from judge.reward.spatial import RewardMap
from judge.runtime.thread_map import thread_map
from judge.types import Depth, Verdict

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("judge.reward")
ALONE = "pairwise: no other picture of this prompt was scored"


class Awaited:
    """What rewards share: `acall`, the call awaited."""

    def __call__(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]:
        raise NotImplementedError

    async def acall(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
    ) -> list[RewardResult]:
        """`__call__`, awaited: the event loop goes on while the model works in a thread."""
        return await asyncio.to_thread(self, prompts=prompts, images=images, metadata=metadata)


class Reward(Awaited):
    """A judge as a reward function. Safe to call from several threads, which then take turns.

    Args:
        judge: who judges; default: the embedded judge.
        weights: what the score is the weighted mean of, by part: `score` (the rubric's own overall score, and
            the default), any dimension of the rubric (`alignment`, `structure`, ...), any attribute that can
            be "none" (`degradation`: the probability that there is none) and, at verdict depth, `defects` (1
            minus the located damage). Parts without a weight are reported all the same.
        elements: how `alignment` is made of the elements: "mean", the expected share that is there, or "all",
            the probability that every one of them is; `score` then follows by the rubric's rule.
        pairwise: score a picture by the mean probability of beating the others of its prompt in the same
            call, as `Judge.compare` puts it, instead of by `weights`.
        depth: "score", one forward pass a batch; or "verdict", with defects and explanations.
        batch: pictures judged at once.
        cache: verdicts kept, the latest used; 0 for none.

    Raises:
        InputError: an argument is unusable.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        elements: Literal["mean", "all"] = "mean",
        pairwise: bool = False,
        depth: Depth = "score",
        batch: int = 16,
        cache: int = 100_000,
    ) -> None:
        self.judge = Judge() if judge is None else judge
        self.rubric, self.depth, self.batch = self.judge.rubric, check_depth(depth), batch
        if elements not in ("mean", "all"):
            raise InputError("elements", elements, "mean, all", "use one of them")
        if pairwise and (weights is not None or elements != "mean"):
            mend = "leave weights and elements out: pairs are compared by the overall score"
            raise InputError("pairwise", pairwise, "True on its own", mend)
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError("batch", batch, "1 or more", "16 is the usual one")
        if isinstance(cache, bool) or not isinstance(cache, int) or cache < 0:
            raise InputError("cache", cache, "0 or more", "give how many verdicts are kept")
        self.weights = check_weights(weights, known_parts(self.rubric, self.depth))
        self.elements, self.pairwise, self.cache = elements, pairwise, cache
        self.asked = self.unscored = 0
        """How many pictures this reward was asked about, and how many of them it could not score."""
        self._known: OrderedDict[str, Verdict] = OrderedDict()
        self._turn = threading.Lock()

    def __call__(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]:
        """Score pictures; one result each, in order.

        Args:
            prompts: the texts that the pictures were made from.
            images: one each, as `judge.media.arrays.load` takes them; (N, 3, H, W) tensors and (N, H, W,
                3) arrays are N of them. They are taken one by one: an iterator need not hold them all. None
                for one that was never made.
            metadata: a mapping or None each; `elements` in it are checked instead of those of the prompt.
            fresh: ask the model even where the answer is known.

        Raises:
            InputError: not as many of one as of the others.
            BackendError: the model cannot be loaded.
        """
        told = _listed(prompts)
        verdicts = self._verdicts(told, images, metadata, self.depth, fresh=fresh)
        results = [self._result(verdict) for verdict in verdicts]
        if self.pairwise:
            results = _against_each_other(told, results)
        self._count(results)
        return results

    def map(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
    ) -> list[RewardMap]:
        """Where the pictures are broken, as maps for dense advantages and masks for repair; asked at verdict
        depth whatever the depth of the scores. See `judge.reward.spatial`. Raises as `__call__`."""
        told = _listed(prompts)
        results = map(self._result, self._verdicts(told, images, metadata, "verdict"))
        return [RewardMap(result, prompt) for result, prompt in zip(results, told, strict=True)]

    def _verdicts(
        self,
        prompts: list[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None,
        depth: Depth,
        *,
        fresh: bool = False,
    ) -> list[Verdict]:
        with self._turn:
            asking = _Round(OrderedDict() if fresh else self._known, depth, self.judge)
            rows = _rows(prompts, images, metadata)
            for verdict in self.judge.many(asking.samples(rows, self.batch), depth=depth, batch=self.batch):
                asking.take(verdict)
            for key, verdict in asking.fresh.items():
                if verdict.status == "scored":  # what failed may succeed another time
                    self._known[key] = verdict
            while len(self._known) > self.cache:
                self._known.popitem(last=False)
        return asking.answers()

    def _result(self, verdict: Verdict) -> RewardResult:
        if verdict.score is None:
            return RewardResult(None, verdict.reason or "unscored", {}, verdict)
        parts = parts_of(verdict, self.rubric, self.elements)
        if missing := [name for name in self.weights if name not in parts]:
            return RewardResult(None, f"{missing[0]}: the judge gave no such part", parts, verdict)
        total = sum(self.weights.values())
        score = sum(weight * parts[name] for name, weight in self.weights.items()) / total
        return RewardResult(min(1.0, max(0.0, score)), "", parts, verdict)

    def _count(self, results: Sequence[RewardResult]) -> None:
        reasons = Counter(result.reason for result in results if result.score is None)
        self.asked += len(results)
        self.unscored += reasons.total()
        if reasons:
            most, times = reasons.most_common(1)[0]
            log.warning(
                "%d of %d unscored (%d of %d so far); %d times: %s",
                reasons.total(), len(results), self.unscored, self.asked, times, most,
            )  # fmt: skip


class _Round:
    """One call: which rows are new, which were known, and which come twice."""

    def __init__(self, known: OrderedDict[str, Verdict], depth: Depth, judge: Judge) -> None:
        self.known, self.depth, self.judge = known, depth, judge
        self.order: list[str | Verdict] = []
        self.found: dict[str, Verdict] = {}
        self.fresh: dict[str, Verdict] = {}
        self.waiting: OrderedDict[str, None] = OrderedDict()

    def samples(
        self, rows: Iterator[tuple[str, Any, Mapping[str, Any]]], ahead: int
    ) -> Iterator[dict[str, Any]]:
        """What the judge has to be asked, once for each content; pictures are decoded some way ahead."""
        for prompt, about, picture, key in thread_map(self._decoded, rows, ahead):
            elements, name = about.get("elements"), str(about.get("id", ""))
            if picture is None:
                self.order.append(self.judge.unscored(key, id=name, depth=self.depth))
                continue
            self.order.append(key)
            if key in self.found or key in self.waiting:
                continue
            if key in self.known:
                self.known.move_to_end(key)
                self.found[key] = self.known[key]
                continue
            self.waiting[key] = None
            yield {"id": name, "image": picture, "prompt": prompt, "elements": elements}

    def _decoded(
        self, row: tuple[str, Any, Mapping[str, Any]]
    ) -> tuple[str, Mapping[str, Any], Image.Image | None, str]:
        """A row's prompt and metadata, and its picture and key; or None and why there is none."""
        prompt, image, about = row
        try:
            picture = pictures.load(image).image
            return prompt, about, picture, _key(self.depth, prompt, about.get("elements"), picture)
        except (InputError, TypeError) as error:
            return prompt, about, None, str(error)

    def take(self, verdict: Verdict) -> None:
        key, _ = self.waiting.popitem(last=False)
        self.found[key] = self.fresh[key] = verdict

    def answers(self) -> list[Verdict]:
        return [one if isinstance(one, Verdict) else self.found[one] for one in self.order]


def _key(depth: Depth, prompt: str, elements: Any, picture: Any) -> str:
    told = json.dumps([depth, prompt, elements, picture.size])
    return hashlib.blake2b(told.encode() + picture.tobytes(), digest_size=16).hexdigest()


def _rows(
    prompts: list[str], images: Iterable[Any], metadata: Iterable[Mapping[str, Any] | None] | None
) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    for name, given in (("images", images), ("metadata", metadata)):
        if isinstance(given, str | bytes) or (given is not None and not isinstance(given, Iterable)):
            raise InputError(name, given, "a list, one for each prompt", "put even a single one in a list")
        counted = len(given) if isinstance(given, Sized) else len(prompts)
        if given is not None and counted != len(prompts):
            raise InputError(name, counted, f"{len(prompts)}, as many as prompts", "pair them one to one")
    return _paired(prompts, images, metadata)


def _paired(
    prompts: list[str], images: Iterable[Any], metadata: Iterable[Mapping[str, Any] | None] | None
) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    shown, told = iter(images), iter(metadata) if metadata is not None else None
    absent = object()
    for number, prompt in enumerate(prompts):
        image, about = next(shown, absent), next(told, absent) if told else None
        for name, given in (("images", image), ("metadata", about)):
            if given is absent:
                raise InputError(name, number, f"{len(prompts)}, as many as prompts", "pair them one to one")
        yield prompt, image, about if isinstance(about, Mapping) else {}
    for name, rest in (("images", shown), ("metadata", told)):
        if rest is not None and next(rest, absent) is not absent:
            raise InputError(name, "more", f"{len(prompts)}, as many as prompts", "pair them one to one")


def _listed(prompts: Iterable[str]) -> list[str]:
    if isinstance(prompts, str):
        raise InputError("prompts", prompts, "a list of texts", "put even a single one in a list")
    return list(prompts)


def check_weights(weights: Mapping[str, float] | None, known: Sequence[str]) -> dict[str, float]:
    """Weights of known parts; by default those of the overall score alone. Raises `InputError`."""
    if weights is None:
        return {"score": 1.0}
    for name, weight in weights.items():
        if name not in known:
            mend = "ask at depth='verdict' for defects" if name == "defects" else "weigh one of these"
            raise InputError("weights", name, ", ".join(known), mend)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise InputError("weights", weight, "finite numbers from 0", f"mend that of {name}")
    if not sum(weights.values()) > 0:
        raise InputError("weights", dict(weights), "at least one above 0", "weigh score with 1")
    return {name: float(weight) for name, weight in weights.items()}


def _against_each_other(prompts: Sequence[str], results: list[RewardResult]) -> list[RewardResult]:
    """Each score replaced by the mean probability of beating the other pictures of its prompt."""
    groups = defaultdict[str, list[int]](list)
    for index, (prompt, result) in enumerate(zip(prompts, results, strict=True)):
        if result.score is not None:
            groups[prompt].append(index)
    scored = list(results)
    for members in groups.values():
        for index in members:
            chances = [
                _beats(results[index].verdict, results[other].verdict) for other in members if other != index
            ]
            new = (fmean(chances), "") if chances else (None, ALONE)
            scored[index] = replace(results[index], score=new[0], reason=new[1])
    return scored


def _beats(a: Verdict | None, b: Verdict | None) -> float:
    assert a is not None and b is not None, "scored results hold their verdicts"
    chance = compared(a, b).probability
    assert chance is not None, "both are scored"
    return chance
