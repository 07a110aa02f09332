"""Teach the nano the technical quality of photographs: a second adapter, for the rubric `quality`.

    judge finetune photos train distorted scenes opinions --held held --out runs/quality --minutes 8

LoRA on the language layers only, as for judging scenes: the vision tower stays, so what it sees of each
picture is worked out once, and training is many times as fast. What 224 x 224 pixels hide is told by measured
facts.

The loss is the answers' cross-entropy, scores as soft labels (two neighbours), and 1 - Pearson's correlation
of the expected scores within each source of pictures, which is what ranking pictures needs (PLCC loss: Li et
al. 2020, "Norm-in-Norm", its first form).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.nano.adapt import lora
from finetune.nano.batches import GRADED, Texts, Writer
from finetune.nano.losses import Answers, tallies
from finetune.nano.network import Seen, Trunk
from finetune.nano.trainer import Settings, Team, join, train
from finetune.photos.estimates import apart
from finetune.photos.pool import Example, Pool
from finetune.photos.questions import ask
from judge.evidence.facts import Measured
from judge.rubrics.rubric import Rubric

SHARES = {"distorted": 0.55, "scene": 0.15, "opinion": 0.3}
"""Of a batch, by source; those that no pool has are left out."""
RANKED = 0.5
"""Weight of the correlation's loss."""


@dataclass
class Batch(Texts):
    """Questions about some pictures, and what the tower sees of these."""

    pictures: Tensor
    """(B, 1 + deepstacks, IMAGE_TOKENS, width)."""
    sources: Tensor
    """(B,) index into SHARES."""

    @property
    def seen(self) -> Seen:
        tokens, *deep = self.pictures.unbind(1)
        return Seen(tokens[:, :0], tokens, deep)


@dataclass
class Shelf:
    """A pool with what the vision tower sees of its pictures."""

    rows: list[Example]
    facts: list[dict[str, float]]
    """What is told of each; of a photograph that an estimator was fitted on, what the others make of it."""
    seen: Tensor

    @classmethod
    def of(cls, folder: Path, trunk: Trunk, base: Path, *, fitted: bool = True) -> Shelf:
        """Open a pool; the first call runs the base's tower over it and keeps what it sees beside it.

        Args:
            folder: of the pool.
            trunk: of the base.
            base: its folder.
            fitted: the estimators were fitted on the opinions of this pool.
        """
        pool = Pool(folder)
        weights = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()[:8]
        cache = folder / f"seen-{weights}.pt"
        if not cache.is_file():
            parts = []
            with torch.inference_mode():
                for start in range(0, len(pool.rows), 32):
                    seen = trunk.see(torch.from_numpy(np.array(pool.images[start : start + 32])))
                    parts.append(torch.stack([seen.tokens, *seen.deep], 1).half())
            draft = cache.with_suffix(".part")
            torch.save(torch.cat(parts), draft)
            draft.rename(cache)
        seen = torch.load(cache, weights_only=True, mmap=True)
        facts = [Measured(np.array(row)).facts() for row in pool.measured]
        if fitted and {row.source for row in pool.rows} == {"opinion"}:
            for told, good in zip(facts, apart(pool), strict=True):
                told["seems_good"] = float(good)
        return cls(pool.rows, facts, seen)


class Visits:
    """An endless stream of batches over some shelves, each source with its share."""

    def __init__(
        self, shelves: Sequence[Shelf], writer: Writer, *, size: int, longest: int, seed: int
    ) -> None:
        self.writer, self.size, self.longest, self.seed = writer, size, longest, seed
        self.progress = 0.0
        """Set by the trainer, and not used here."""
        self.rubric = Rubric.load("quality")
        where = [(shelf, i) for shelf in shelves for i in range(len(shelf.rows))]
        self.by_source = {
            source: [(shelf, i) for shelf, i in where if shelf.rows[i].source == source] for source in SHARES
        }

    def __iter__(self) -> Iterator[Batch]:
        r = Random(self.seed)
        sources = [source for source, found in self.by_source.items() if found]
        shares = [SHARES[source] for source in sources]
        while True:
            chosen = [r.choice(self.by_source[s]) for s in r.choices(sources, shares, k=self.size)]
            yield self.batch(chosen, r)

    def batch(self, chosen: Sequence[tuple[Shelf, int]], r: Random) -> Batch:
        """These pictures, each with one question at either depth."""
        rows = []
        for shelf, i in chosen:
            asked = [
                ask(r, self.rubric, shelf.rows[i], shelf.facts[i], score_only=depth)
                for depth in (False, True)
            ]
            rows.append(self.writer.row(asked, None, self.longest))
        sources = list(SHARES)
        return Batch(
            **self.writer.texts(rows),
            pictures=torch.stack([shelf.seen[i] for shelf, i in chosen]).float(),
            sources=torch.tensor([sources.index(shelf.rows[i].source) for shelf, i in chosen]),
        )


@dataclass
class Pass:
    """One forward pass."""

    loss: Tensor
    hits: Tensor
    tags: Tensor
    scores: Tensor
    """(n,) expectations at the score blanks of both depths, row by row."""
    truth: Tensor
    sources: Tensor


def forward(trunk: Trunk, batch: Batch, answers: Answers) -> Pass:
    """Answers' loss, and the expected scores."""
    h, _ = trunk.read(batch.ids, batch.seen, batch.positions, batch.mask())
    asked = batch.weights[:, 1:] > 0
    logits = trunk.head(h[:, :-1][asked])
    loss, hits = answers(logits, batch, asked)
    graded = batch.how[:, 1:][asked] == GRADED
    shares = logits[graded][:, answers.grade].float().softmax(-1)
    return Pass(
        loss,
        hits,
        batch.tags[:, 1:][asked],
        shares @ torch.arange(1.0, 6.0),
        batch.grades[:, 1:][asked][graded],
        batch.sources[:, None].expand_as(asked)[asked][graded],
    )


def ranked(run: Pass) -> Tensor:
    """Mean of 1 - correlation over the sources that have four scores or more in the batch."""
    losses = []
    for source in run.sources.unique():
        x, y = run.scores[run.sources == source], run.truth[run.sources == source]
        if len(x) >= 4 and y.std() > 0.05:
            x, y = x - x.mean(), y - y.mean()
            losses.append(1 - (x * y).sum() / (x.norm() * y.norm() + 1e-3))
    return torch.stack(losses).mean() if losses else run.loss * 0


def start(init: Path, rank: int, seed: int, adapter: Path | None) -> tuple[Any, Any, Any]:
    """The base, the same with a LoRA adapter (fresh, or one to go on from), and the tokenizer."""
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    torch.manual_seed(seed)
    base = AutoModelForImageTextToText.from_pretrained(init, dtype=torch.float32)
    if adapter is None:
        tuned = lora(base, rank)
    else:
        tuned = PeftModel.from_pretrained(base, str(adapter), is_trainable=True)
    return base, tuned, AutoTokenizer.from_pretrained(init)


def look(settings: Settings) -> None:
    """Run the vision tower once over every picture, before the workers start."""
    torch.set_num_threads(1)  # beside other work, two threads wait for each other at every operation
    base, _, tokenizer = start(settings.init, 1, 0, None)
    trunk = Trunk(base, Writer(tokenizer, ground=False).prefix)
    settings.out.mkdir(parents=True, exist_ok=True)
    for pool in (*settings.pools, settings.held):
        Shelf.of(pool, trunk, settings.init)


def teach(worker: int, workers: int, settings: Settings, rank: int, adapter: Path | None) -> None:
    """Train for `settings.minutes`; writes `settings.out/adapter`. `look` must have run."""
    join(worker, workers, settings.port)
    base, tuned, tokenizer = start(settings.init, rank, settings.seed, adapter)
    writer = Writer(tokenizer, ground=False)
    trunk, answers = Trunk(base, writer.prefix), Answers(tokenizer, base.config.text_config.vocab_size)
    shelves = [Shelf.of(pool, trunk, settings.init) for pool in settings.pools]
    visits = Visits(
        shelves,
        writer,
        size=settings.batch // workers,
        longest=settings.longest,
        seed=settings.seed * 100 + worker,
    )
    held = Shelf.of(settings.held, trunk, settings.init, fitted=False)
    team = Team([tuned], settings.lr, worker, workers, plain=True)

    def step(batch: Batch, progress: float) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
        run = forward(trunk, batch, answers)
        order = ranked(run)
        (run.loss + RANKED * order).backward()
        losses = {"loss": float(run.loss.detach()), "ranked": float(order.detach())}
        return losses, tallies(run.hits, run.tags)

    train(team, visits, settings, step, lambda: measure(trunk, visits, answers, held), warm=30)  # type: ignore[arg-type]
    if worker == 0:
        team.masters_into([tuned])
        tuned.save_pretrained(settings.out / "adapter")


@torch.inference_mode()
def measure(trunk: Trunk, visits: Visits, answers: Answers, held: Shelf) -> dict[str, float]:
    """Right tokens by tag on held-out pictures, with the answer so far given, and the correlation of scores
    at either depth."""
    from scipy.stats import spearmanr

    right: dict[str, list[int]] = {}
    scores, truth = list[Tensor](), list[Tensor]()
    r, everything = Random(5), [(held, i) for i in range(len(held.rows))]
    for k in range(0, len(everything), 32):
        run = forward(trunk, visits.batch(everything[k : k + 32], r), answers)
        for name, (hit, of) in tallies(run.hits, run.tags).items():
            total = right.setdefault(name, [0, 0])
            total[0], total[1] = total[0] + hit, total[1] + of
        scores.append(run.scores)
        truth.append(run.truth)
    found = {name: round(hit / of, 4) for name, (hit, of) in right.items()}
    both, true = torch.cat(scores), torch.cat(truth)
    for depth, name in ((0, "verdict"), (1, "score")):
        found[f"srcc at {name} depth"] = round(float(spearmanr(both[depth::2], true[depth::2])[0]), 4)
    return found
