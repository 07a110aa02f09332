"""`Reward`: the reward for every trainer. Images and their prompts in, numbers from 0 to 1 out.

    reward = Reward(Judge(), weights={"alignment": 1, "structure": 0.5})
    results = reward(prompts=prompts, images=images)

An image that cannot be scored gets `score=None` and a reason. It never gets a number and never ends the call.
Verdicts are cached by content, so an image that comes again costs nothing and gets the same score.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from judge.elements.splitters.registry import SPLITTER_NAMES
from judge.errors import InputError, UnscoredBatchError
from judge.judge import Judge
from judge.media.tensors import load_image_or_tensor
from judge.pipeline.comparison import compare_pointwise
from judge.pipeline.validation import check_depth, check_max_elements, check_out_of_domain
from judge.reward.result import RewardResult, part_names, reward_parts
from judge.reward.rows import Missing, Row, read_prompts, read_rows
from judge.reward.spatial import RewardMap
from judge.runtime.thread_map import thread_map
from judge.types import Depth, OutOfDomain, Verdict

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("judge.reward")

NO_OTHER_IMAGE = "pairwise: no other image of this prompt was scored"
"""Reason of a missing score with `pairwise=True`."""


class BaseReward:
    """Base of the rewards: adds `acall`, the call as a coroutine, and `score`, as ImageReward has it."""

    def __call__(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]:
        """Score images; see `Reward.__call__`."""
        raise NotImplementedError

    async def acall(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
    ) -> list[RewardResult]:
        """Score images as `__call__` does, in a thread, so that the event loop is not blocked.

        Args:
            prompts: as in `__call__`.
            images: as in `__call__`.
            metadata: as in `__call__`.
        """
        return await asyncio.to_thread(self, prompts=prompts, images=images, metadata=metadata)

    def score(self, prompt: Any, image: Any) -> float | list[float]:
        """Score images of one prompt by the interface of ImageReward's models.

        Args:
            prompt: as one of the `prompts` of `__call__`.
            image: one image, or a list or batch of them.

        Returns:
            The score of an image, 0 to 1, or a list of scores. In a list, an image without a score has NaN;
            the reason is logged.

        Raises:
            UnscoredBatchError: nothing was scored.
        """
        is_batch = isinstance(image, list | tuple) or len(getattr(image, "shape", ())) == 4
        images = image if is_batch else [image]
        results = self(prompts=[prompt] * len(images), images=images)
        scores = [math.nan if result.score is None else result.score for result in results]
        if results and all(map(math.isnan, scores)):
            raise UnscoredBatchError(f"reward: none of {len(results)} images was scored; {results[0].reason}")
        return scores if is_batch else scores[0]


class Reward(BaseReward):
    """A judge as a reward function. It may be called from several threads, which then take turns.

    Args:
        judge: the judge; default: the embedded judge.
        weights: weights of the parts whose weighted mean is the score. Parts are `score` (the rubric's
            overall score, and the default), any dimension of the rubric (`alignment`, `structure`, ...),
            any attribute with the label "none" (`degradation`: the probability that there is none) and, at
            depth "verdict", `defects` (1 minus the located damage). Parts without a weight are still
            reported.
        elements: how `alignment` follows from the elements. "mean" (default): the expected share that is
            present. "all": the probability that every element is present; `score` then follows by the
            rubric's rule.
        pairwise: score an image by its mean probability of beating the other images of its prompt in the
            same call, computed from the verdicts, instead of by `weights`.
        depth: "score" (default), one forward pass per batch; or "verdict", with defects and explanations.
        batch: images judged at once, 1 or more.
        max_elements: elements taken from a prompt at most; default: as the judge.
        out_of_domain: "abstain": no score outside what the judge was trained or calibrated for; "score": one
            that means little; default: as the judge.
        cache: number of verdicts to keep, the most recently used; 0 for none.

    Raises:
        InputError: an argument is unusable.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        elements: Literal["mean", "all", "rules", "grammar", "words", "model"] = "mean",
        pairwise: bool = False,
        depth: Depth = "score",
        batch: int = 16,
        cache: int = 100_000,
        max_elements: int | None = None,
        out_of_domain: OutOfDomain | None = None,
    ) -> None:
        self.judge = Judge() if judge is None else judge
        if not hasattr(self.judge, "rubric"):
            raise InputError("judge", judge, "a Judge", "pass Judge(MODEL)")
        if elements in SPLITTER_NAMES:
            self.judge, elements = self.judge.with_splitter(elements), "mean"
        self.rubric, self.depth, self.batch = self.judge.rubric, check_depth(depth), batch
        if elements not in ("mean", "all"):
            allowed = ", ".join(("mean", "all", *SPLITTER_NAMES))
            raise InputError("elements", elements, allowed, "use one of them")
        if pairwise and (weights is not None or elements != "mean"):
            mend = "leave weights and elements out: pairs are compared by the overall score"
            raise InputError("pairwise", pairwise, "True on its own", mend)
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError("batch", batch, "1 or more", "16 is the usual value")
        if isinstance(cache, bool) or not isinstance(cache, int) or cache < 0:
            raise InputError("cache", cache, "0 or more", "give the number of verdicts to keep")
        self.weights = check_weights(weights, part_names(self.rubric, self.depth))
        self._options: dict[str, Any] = (
            {} if max_elements is None else {"max_elements": check_max_elements(max_elements)}
        )
        if out_of_domain is not None:
            self._options["out_of_domain"] = check_out_of_domain(out_of_domain)
        self.elements: Literal["mean", "all"] = "all" if elements == "all" else "mean"
        self.pairwise, self.cache = pairwise, cache
        self.requested = 0
        """Number of images that this reward was called with."""
        self.unscored = 0
        """How many of them could not be scored."""
        self.abstained = 0
        """On how many of those the judge abstained."""
        self._cache: OrderedDict[str, Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
        fresh: bool = False,
    ) -> list[RewardResult]:
        """Score images. Returns one result per image, in order.

        Args:
            prompts: the texts that the images were made from, or chats, of which the last turn of the user
                counts; see `judge.tables.chat_turns`.
            images: one per prompt, in any form that `judge.media.tensors.load_image_or_tensor` takes, or a
                tensor (N, 3, H, W) or array (N, H, W, 3) with N images. They are taken one by one, so an
                iterator need not hold them all. None stands for an image that was not made.
            metadata: a mapping or None per prompt. The list `elements` in it replaces the elements of the
                prompt; the text `negative_prompt` says what the image must not show.
            fresh: ask the model even for images in the cache.

        Columns may be lists, numpy arrays, pyarrow or pandas columns, and hold their cells. A row that cannot
        be read gets the reason in place of a score. A call in which nothing was scored is logged as an error.

        Raises:
            InputError: prompts, images and metadata differ in number.
            BackendError: the model cannot be loaded.
        """
        prompt_list = self._read_prompts(prompts)
        verdicts = self._judge(prompt_list, images, metadata, self.depth, fresh=fresh)
        results = [self._to_result(verdict) for verdict in verdicts]
        if self.pairwise:
            results = _score_pairwise([str(prompt) for prompt in prompt_list], results)
        self._count(results)
        return results

    def map(
        self,
        *,
        prompts: Iterable[Any],
        images: Iterable[Any],
        metadata: Iterable[Any] | None = None,
    ) -> list[RewardMap]:
        """Return where the images are broken, as maps for dense advantages and masks for repair.

        The images are judged at depth "verdict", whatever `depth` the scores have. See
        `judge.reward.spatial`.

        Args:
            prompts: as in `__call__`.
            images: as in `__call__`.
            metadata: as in `__call__`.

        Raises:
            InputError: prompts, images and metadata differ in number.
            BackendError: the model cannot be loaded.
        """
        prompt_list = self._read_prompts(prompts)
        results = map(self._to_result, self._judge(prompt_list, images, metadata, "verdict"))
        texts = ["" if isinstance(prompt, Missing) else prompt for prompt in prompt_list]
        return [RewardMap(result, text) for result, text in zip(results, texts, strict=True)]

    def _read_prompts(self, prompts: Any) -> list[str | Missing]:
        return read_prompts(prompts, is_needed=self.rubric.needs_prompt)

    def _judge(
        self,
        prompts: Sequence[str | Missing],
        images: Iterable[Any],
        metadata: Iterable[Any] | None,
        depth: Depth,
        *,
        fresh: bool = False,
    ) -> list[Verdict]:
        """Return one verdict per image, from the cache where possible."""
        with self._lock:
            call = _Call(OrderedDict() if fresh else self._cache, depth, self.judge)
            rows = read_rows(prompts, images, metadata)
            samples = call.new_samples(rows, self.batch)
            for verdict in self.judge.many(samples, depth=depth, batch=self.batch, **self._options):
                call.add_verdict(verdict)
            for key, verdict in call.judged.items():
                if verdict.status == "scored" or verdict.abstained:  # what failed may succeed another time
                    self._cache[key] = verdict
            while len(self._cache) > self.cache:
                self._cache.popitem(last=False)
        return call.verdicts()

    def _to_result(self, verdict: Verdict) -> RewardResult:
        """Weigh the parts of a verdict."""
        if verdict.score is None:
            return RewardResult(None, verdict.reason or "unscored", {}, verdict)
        parts = reward_parts(verdict, self.rubric, self.elements)
        if missing := [name for name in self.weights if name not in parts]:
            return RewardResult(None, f"{missing[0]}: the judge gave no such part", parts, verdict)
        total = sum(self.weights.values())
        score = sum(weight * parts[name] for name, weight in self.weights.items()) / total
        return RewardResult(min(1.0, max(0.0, score)), "", parts, verdict)

    def _count(self, results: Sequence[RewardResult]) -> None:
        """Count the results, and log how many are unscored with the most frequent reason.

        A call without any score is an error: a trainer would learn nothing from it.
        """
        reasons = Counter(result.reason for result in results if result.score is None)
        self.requested += len(results)
        self.unscored += reasons.total()
        self.abstained += sum(result.abstained for result in results)
        if reasons:
            reason, times = reasons.most_common(1)[0]
            log.log(
                logging.ERROR if reasons.total() == len(results) > 1 else logging.WARNING,
                "%d of %d unscored (%d of %d so far); %d times: %s",
                reasons.total(), len(results), self.unscored, self.requested, times, reason,
            )  # fmt: skip


class _Call:
    """One call of a reward: finds out which images are new, which are cached, and which occur twice."""

    def __init__(self, cache: OrderedDict[str, Verdict], depth: Depth, judge: Judge) -> None:
        self.cache, self.depth, self.judge = cache, depth, judge
        self.judged: dict[str, Verdict] = {}
        """Verdicts of this call by content key."""
        self._order: list[str | Verdict] = []
        """For each image its content key, or the verdict on one that cannot be read."""
        self._known: dict[str, Verdict] = {}
        """Verdicts by content key, those from the cache included."""
        self._pending: OrderedDict[str, None] = OrderedDict()
        """Content keys of the images that the judge has not answered yet, in order."""

    def new_samples(self, rows: Iterator[Row], ahead: int) -> Iterator[dict[str, Any]]:
        """Yield the samples that the judge must be asked about, each content once.

        Args:
            rows: the rows of the call.
            ahead: images that are decoded in advance, in threads.
        """
        for row, image, key in thread_map(self._decode, rows, ahead):
            if image is None:
                self._order.append(self.judge.unscored(key, id=row.id, depth=self.depth))
                continue
            self._order.append(key)
            if key in self._known or key in self._pending:
                continue
            if key in self.cache:
                self.cache.move_to_end(key)
                self._known[key] = self.cache[key]
                continue
            self._pending[key] = None
            yield {"id": row.id, "image": image, "prompt": row.prompt, **row.texts}

    def _decode(self, row: Row) -> tuple[Row, Image.Image | None, str]:
        """Decode the image of a row.

        Returns:
            The row, its image and its content key; or None as image and the reason in place of the key.
        """
        if row.problem:
            return row, None, row.problem
        try:
            image = load_image_or_tensor(row.image).image
            return row, image, _content_key(self.depth, row, image)
        except (InputError, TypeError) as error:
            return row, None, str(error)

    def add_verdict(self, verdict: Verdict) -> None:
        """Take the verdict on the oldest sample that has none yet."""
        key, _ = self._pending.popitem(last=False)
        self._known[key] = self.judged[key] = verdict

    def verdicts(self) -> list[Verdict]:
        """Return one verdict per image, in order."""
        return [entry if isinstance(entry, Verdict) else self._known[entry] for entry in self._order]


def _content_key(depth: Depth, row: Row, image: Image.Image) -> str:
    """Digest of what a verdict depends on."""
    text = json.dumps([depth, row.prompt, dict(row.texts), image.size])
    return hashlib.blake2b(text.encode() + image.tobytes(), digest_size=16).hexdigest()


def check_weights(weights: Mapping[str, float] | None, names: Sequence[str]) -> dict[str, float]:
    """Return the weights, by default that of the overall score alone.

    Args:
        weights: part name -> weight, 0 or more.
        names: the parts that there are.

    Raises:
        InputError: a part is unknown, a weight unusable, or none is above 0.
    """
    if weights is None:
        return {"score": 1.0}
    for name, weight in weights.items():
        if name not in names:
            mend = "use depth='verdict' for defects" if name == "defects" else "use one of these"
            raise InputError("weights", name, ", ".join(names), mend)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise InputError("weights", weight, "finite numbers from 0", f"correct the weight of {name}")
    if not sum(weights.values()) > 0:
        raise InputError("weights", dict(weights), "at least one above 0", "give score the weight 1")
    return {name: float(weight) for name, weight in weights.items()}


def _score_pairwise(prompts: Sequence[str], results: list[RewardResult]) -> list[RewardResult]:
    """Replace each score by the mean probability of beating the other images of its prompt."""
    groups = defaultdict[str, list[int]](list)
    for index, (prompt, result) in enumerate(zip(prompts, results, strict=True)):
        if result.score is not None:
            groups[prompt].append(index)
    scored = list(results)
    for group in groups.values():
        for index in group:
            probabilities = [
                _win_probability(results[index].verdict, results[other].verdict)
                for other in group
                if other != index
            ]
            score = fmean(probabilities) if probabilities else None
            reason = "" if probabilities else NO_OTHER_IMAGE
            scored[index] = replace(results[index], score=score, reason=reason)
    return scored


def _win_probability(a: Verdict | None, b: Verdict | None) -> float:
    """Probability that the image of verdict a is better than that of verdict b."""
    assert a is not None and b is not None, "scored results hold their verdicts"
    probability = compare_pointwise(a, b).probability
    assert probability is not None, "both are scored"
    return probability
