"""Fills forms with a model, many rows at once.

Each row is a coroutine (`fill`, `read`) that knows nothing of the others: it follows its form's walk, yields
a `Chunk` of tokens to feed and is sent what it asked to read. `Walker` runs the coroutines of a batch in
rounds. In a round every row feeds what it has, literals and all, as one left-padded chunk; rows are ragged,
so the slots that a row does not use are holes that its attention mask leaves out, and every token carries
its own rope position. A row's numbers therefore do not depend on the batch it is in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Generator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from judge.backends.base import Reply
from judge.backends.decoding.tokens import TIP, Growth, Menu, PhraseCache, Wording
from judge.errors import InputError, ReplyError
from judge.rubrics.form import Branch, Choice, Form, Literal, Text
from judge.runtime import threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

READS = 256
"""Most positions whose whole vocabulary (V float32 each) is held at once."""
NARROW = 8
"""A label tree of more inner tokens is read in two rounds: the first tokens, then what they promise."""
LEAST = 1e-5
"""A branch of such a tree is not read on when its first token has less than this share of the probability of
all labels that were read; the labels on it share what that token has evenly."""
GUESSES = 8
"""Most tokens of free text that are guessed ahead in one round."""
STEP = 8
"""Prompts are fed in widths of multiples of this: libraries keep a kernel for each shape they have met."""
Mask = Callable[[Sequence[int], Any], Any]
"""One text blank's grammar: the tokens written so far and logits (V,) -> logits whose greatest is allowed."""


@dataclass
class Chunk(Growth):
    """What a row feeds in a round, and what it wants to read there."""

    edges: list[tuple[int, int]] = field(default_factory=list)
    """(token of this chunk, a token that may follow it): the log-probability of each is read."""
    logits: int = 0
    """Read instead the logits of the whole vocabulary after this many of the chunk's last tokens."""
    dropped: list[int] = field(default_factory=list)
    """Tokens of the row's previous chunk on branches that were not taken."""


Program = Generator[Chunk, Any, Reply]
"""A row: yields chunks and is sent (edges,) log-probabilities, or (`logits`, V) logits, in float32."""


def fill(form: Form, wording: Wording, grammar: Callable[[int], Mask], habits: PhraseCache) -> Program:
    """Fill a form from left to right, the likeliest label at each choice, argmax in free text."""
    walk, pen, reply, habits = form.walk(), _Pen(wording), Reply(""), habits.own()
    try:
        piece = next(walk)
        while True:
            match piece:
                case Literal(text):
                    pen.pending += wording.plain(text)
                    answer, written = "", text
                case Text():
                    answer = yield from pen.write(piece, grammar(piece.max_chars), habits)
                    written = f'{answer}"'
                case _:
                    chances = yield from pen.choose(piece)
                    reply.probabilities[piece.name] = _report(piece, chances)
                    answer = written = piece.labels[int(chances.argmax())]
            reply.text += written
            piece = walk.send(answer)
    except StopIteration:
        return reply


@dataclass
class _Pen:
    """Where a row that is being filled stands."""

    wording: Wording
    pending: list[int] = field(default_factory=list)
    """Tokens decided but not yet fed."""
    dropped: list[int] = field(default_factory=list)
    """Tokens of the last chunk that were fed only to be compared."""

    def choose(self, blank: Choice | Branch) -> Generator[Chunk, Any, Any]:
        """Feed what is pending and the labels' tree, and take the likeliest; returns all probabilities."""
        menu = self.wording.menu(blank.labels, _then(blank))
        chunk = Chunk(dropped=self.dropped)
        tip = chunk.chain(self.pending, TIP)
        if len(menu.tokens) > NARROW:
            scores, placed = yield from self._explore(menu, chunk, tip, blank.name)
        else:
            start, chunk.edges = chunk.graft(menu, tip)
            scores = _finite((yield chunk), blank.name)
            placed = {node: start + node for node in range(len(menu.tokens))}
        chances = menu.probabilities(scores)
        chosen = int(chances.argmax())
        self.dropped = [place for node, place in placed.items() if node not in menu.fed[chosen]]
        self.pending = list(menu.rest[chosen])
        return chances

    def _explore(
        self, menu: Menu, chunk: Chunk, tip: int, blank: str
    ) -> Generator[Chunk, Any, tuple[Any, dict[int, int]]]:
        """Read the labels' first tokens after the chunk, then the branches worth it in a chunk of their own.

        Returns:
            The scores of all edges, and where in that second chunk each inner token lies.
        """
        chunk.edges = [(tip, menu.edges[edge][1]) for edge in menu.trunk]
        scores = menu.even.copy()
        scores[menu.trunk] = first = _finite((yield chunk), blank)
        self.dropped = []
        least = float(np.logaddexp.reduce(first))
        while True:
            branches = Chunk(dropped=self.dropped)
            nodes = menu.promising(first, least + math.log(LEAST))
            placed = branches.graft_some(menu, nodes)
            if placed:
                read = [edge for edge, (node, _) in enumerate(menu.edges) if node in placed]
                branches.edges = [(placed[menu.edges[edge][0]], menu.edges[edge][1]) for edge in read]
                scores[read] = _finite((yield branches), blank)
            # A first token may be likely and yet lead to no label: then the others count for more.
            least = menu.known(scores, nodes)
            if len(menu.promising(first, least + math.log(LEAST))) <= len(nodes):
                return scores, placed
            self.dropped = list(placed.values())

    def write(self, blank: Text, mask: Mask, habits: PhraseCache) -> Generator[Chunk, Any, str]:
        """Write free text up to its closing quote, which is left pending. What habits say is fed ahead as a
        guess, and kept as far as the model says the same."""
        written: list[int] = []
        while not written or self._goes_on(written[-1]):
            guess = list(takewhile(self._goes_on, habits.guess(written, GUESSES)))
            chunk = Chunk(logits=1 + len(guess), dropped=self.dropped)
            chunk.chain([*self.pending, *guess], TIP)
            rows = iter(_finite((yield chunk), blank.name))
            self.dropped = []
            for ahead, logits in enumerate(rows):
                token = int(mask(written, logits).argmax())
                written.append(token)
                if guess[ahead : ahead + 1] != [token]:
                    break
            fed = len(chunk.tokens) - len(guess) + ahead
            self.pending, self.dropped = [token], list(range(fed, len(chunk.tokens)))
        habits.learn(written)
        return self.wording.decode(written)[:-1]

    def _goes_on(self, token: int) -> bool:
        return not self.wording.spelt(token).endswith('"')


@dataclass
class Reading:
    """A form some of whose choices are read in one chunk."""

    chunk: Chunk = field(default_factory=Chunk)
    blanks: list[tuple[Choice | Branch, Menu, slice]] = field(default_factory=list)
    """Each blank that is read, its labels' tree, and where its edges stand among the chunk's."""
    pieces: list[str | Choice | Branch] = field(default_factory=list)
    """The form in order: text that is fixed or given, and blanks that are read."""

    @classmethod
    def of(
        cls,
        form: Form,
        wording: Wording,
        values: dict[str, Any] | None = None,
        wanted: Container[str] | None = None,
    ) -> Reading:
        """Lay a form out.

        Args:
            form: what is read.
            wording: the model's.
            values: what stands in the blanks, as in `Form.render`; default: each one's first label.
            wanted: paths of the blanks to read; default: all of them.

        Raises:
            InputError: a form with other blanks than choices, and no values.
            ReplyError: values that do not fit the form.
        """
        reading, walk, tip = cls(), form.walk(), TIP
        answers = iter(()) if values is None else form.answers(values)
        try:
            piece = next(walk)
            while True:
                if isinstance(piece, Literal):
                    tip, told = reading._say([piece.text], wording, tip), ""
                elif values is None and not isinstance(piece, Choice):
                    raise InputError("form", piece.name, "choice blanks", 'use form.at_depth("score")')
                elif isinstance(piece, Text):
                    told = next(answers)
                    tip = reading._say([told, '"'], wording, tip)
                else:
                    told = piece.labels[0] if values is None else next(answers)
                    if wanted is None or piece.name in wanted:
                        tip = reading._ask(piece, told, wording, tip)
                    else:
                        tip = reading._say([told], wording, tip)
                piece = walk.send(told)
        except StopIteration:
            return reading

    def _say(self, texts: Sequence[str], wording: Wording, tip: int) -> int:
        for text in texts:
            tip = self.chunk.chain(wording.plain(text), tip)
            self.pieces.append(text)
        return tip

    def _ask(self, blank: Choice | Branch, told: str, wording: Wording, tip: int) -> int:
        menu, chunk, at = wording.menu(blank.labels, _then(blank)), self.chunk, blank.labels.index(told)
        start, edges = chunk.graft(menu, tip)
        self.blanks.append((blank, menu, slice(len(chunk.edges), len(chunk.edges) + len(edges))))
        chunk.edges += edges
        self.pieces.append(blank)
        return chunk.chain(menu.rest[at], start + menu.fed[at][-1] if menu.fed[at] else tip)

    def shares(self, logs: Any) -> dict[str, dict[str, Any]]:
        """Path of a blank -> label -> probability, as tensors with the gradient of `logs` (edges,)."""
        found = {}
        for blank, menu, part in self.blanks:
            steps = torch.cat([logs[part], logs.new_zeros(1)])[torch.from_numpy(menu.paths)]
            found[blank.name] = dict(zip(blank.reported, steps.sum(dim=1).softmax(dim=0), strict=True))
        return found


def read(form: Form, wording: Wording) -> Program:
    """Read every choice of a form in one chunk."""
    reading = Reading.of(form, wording)
    scores = _finite((yield reading.chunk), "reply")
    reply, likeliest = Reply(""), {}
    for blank, menu, part in reading.blanks:
        chances = menu.probabilities(scores[part])
        reply.probabilities[blank.name] = _report(blank, chances)
        likeliest[blank.name] = blank.labels[int(chances.argmax())]
    pieces = reading.pieces
    reply.text = "".join(piece if isinstance(piece, str) else likeliest[piece.name] for piece in pieces)
    return reply


def _then(blank: Choice | Branch) -> str:
    return blank.then if isinstance(blank, Choice) else ""


def _report(blank: Choice | Branch, chances: Any) -> dict[str, float]:
    return dict(zip(blank.reported, chances.tolist(), strict=True))


def _finite(scores: Any, blank: str) -> Any:
    if np.isnan(scores).any():
        raise ReplyError(f"{blank}: the model answered NaN")
    return scores


@dataclass(kw_only=True)
class Sight:
    """What a chat shows, as the model takes it."""

    pixels: Any = None
    """(patches, values) patches of the row's images; None without images."""
    grid: Any = None
    """(images, 3) how many patches each image has in time, height and width; None without images."""
    film: Any = None
    """(patches, values) patches of the row's videos; None without videos."""
    film_grid: Any = None
    """(videos, 3) as `grid`; None without videos."""
    pace: list[float] = field(default_factory=list)
    """Of each video, the seconds between its patches in time."""


@dataclass
class Row(Sight):
    """One form being filled."""

    program: Program | None
    """None for a row that is only read, by `log_probabilities`."""
    prompt: list[int]
    """Tokens before the answer, image tokens included."""
    chunk: Chunk = field(default_factory=Chunk)
    """What the row feeds next."""
    position: int = 0
    """Rope position of the next token."""
    reply: Reply | ReplyError | None = None

    def advance(self, answer: Any) -> int:
        """Hand the program what it asked for; returns how many tokens the chunk just read had."""
        assert self.program is not None
        fed = len(self.chunk.tokens)
        try:
            self.chunk = self.program.send(answer)
            self.position += fed - len(self.chunk.dropped)
        except StopIteration as done:
            self.reply = done.value
        except ReplyError as error:
            self.reply = error
        return fed


@torch.inference_mode()
def run(model: Any, rows: Sequence[Row], image_token: int, video_token: int) -> list[Reply | ReplyError]:
    """Fill every row; one whose program raises `ReplyError` gets that in its place.

    Args:
        model: a Qwen2-VL, Qwen2.5-VL or Qwen3-VL for conditional generation, in evaluation mode.
        rows: programs that have not started.
        image_token: the model's image token.
        video_token: the model's video token.
    """
    for row in rows:
        row.advance(None)
    live = [row for row in rows if row.reply is None]
    if live:
        batch = _Batch(model, live)
        batch.prefill(image_token, video_token)
        while batch.rows:
            batch.step()
    return [row.reply for row in rows if row.reply is not None]


def log_probabilities(model: Any, rows: Sequence[Row], image_token: int, video_token: int) -> list[Any]:
    """What `run` reads of each row's first chunk, one tensor (edges,) a row, and with a gradient where the
    rows' pixels have one. Rows hold their chunks and no program."""
    batch = _Batch(model, list(rows), cached=False)
    chunks, feed, vision = batch.prompted(image_token, video_token)
    hidden, head = batch.hidden(feed, vision), model.get_output_embeddings()
    found = []
    for states, chunk in zip(hidden, chunks, strict=True):
        nodes, tokens = torch.tensor(chunk.edges, device=hidden.device).T
        logits = head(states[len(states) - len(chunk.tokens) + nodes])
        logits = logits if logits.dtype == torch.float64 else logits.float()
        found.append(logits.log_softmax(dim=1).gather(1, tokens[:, None])[:, 0])
    return found


def sights(rows: Sequence[Sight]) -> dict[str, Any]:
    """The model's arguments for what the rows show: patches and grids of their images and of their videos;
    neither where there are none."""
    given = {
        "pixel_values": [row.pixels for row in rows],
        "image_grid_thw": [row.grid for row in rows],
        "pixel_values_videos": [row.film for row in rows],
        "video_grid_thw": [row.film_grid for row in rows],
    }
    shown = {name: [part for part in parts if part is not None] for name, parts in given.items()}
    return {name: torch.cat(parts) for name, parts in shown.items() if parts}


class _Batch:
    """The rows still running and their key-value cache; slot t counts for row b where `kept[b, t]`."""

    def __init__(self, model: Any, rows: list[Row], *, cached: bool = True) -> None:
        from transformers import DynamicCache

        self.model, self.rows = model, rows
        self.cache: Any = DynamicCache(config=model.config.get_text_config()) if cached else None
        self.kept: NDArray[np.bool_] = np.zeros((len(rows), 0), dtype=bool)
        self.weights = _weights(model.config.get_text_config())

    def prefill(self, image_token: int, video_token: int) -> None:
        """Feed the prompts with their images and videos and, in the same pass, each row's first chunk."""
        chunks, feed, vision = self.prompted(image_token, video_token)
        self._forward(feed, chunks, vision)

    def prompted(self, image_token: int, video_token: int) -> tuple[list[Chunk], _Feed, dict[str, Any]]:
        """Prompts and first chunks as the model takes them, and the pictures and videos."""
        chunks = [_prefixed(row.prompt, row.chunk) for row in self.rows]
        feed = _Feed.of(chunks, self.kept, [0] * len(chunks))
        dtype = self.model.dtype
        vision = {
            name: given.to(self.model.device, dtype if given.is_floating_point() else None)
            for name, given in sights(self.rows).items()
        }
        self._place_prompts(feed, vision, image_token, video_token)
        return chunks, feed, vision

    def step(self) -> None:
        """Feed each row's chunk and hand it what it asked for."""
        chunks = [row.chunk for row in self.rows]
        feed = _Feed.of(chunks, self.kept, [row.position for row in self.rows])
        with threads.worth(feed.tokens.size * self.weights):
            self._forward(feed, chunks, {})

    def _place_prompts(self, feed: _Feed, vision: dict[str, Any], image_token: int, video_token: int) -> None:
        """Give the prompts the model's own 3-D rope positions and move what follows them along."""
        prompts = np.zeros_like(feed.tokens)
        for index, row in enumerate(self.rows):
            start = feed.tokens.shape[1] - len(row.prompt) - len(row.chunk.tokens)
            prompts[index, start : start + len(row.prompt)] = 1
        tokens = torch.from_numpy(feed.tokens)
        grids = {name: grid.cpu() for name, grid in vision.items() if name.endswith("_grid_thw")}
        pace = [seconds for row in self.rows for seconds in row.pace]
        rope, _ = self.model.model.get_rope_index(
            input_ids=tokens,
            mm_token_type_ids=(tokens == image_token).int() + 2 * (tokens == video_token).int(),
            second_per_grid_ts=torch.tensor(pace) if pace else None,
            attention_mask=torch.from_numpy(prompts),
            **grids,
        )
        where = prompts.astype(bool)
        for index, row in enumerate(self.rows):
            own = rope[:, index, where[index]].numpy()
            row.position += int(own.max()) + 1
            feed.positions[:, index] += row.position - len(row.prompt)
            feed.positions[:, index, where[index]] = own

    def hidden(self, feed: _Feed, vision: dict[str, Any]) -> Any:
        """Last hidden states (B, n, H)."""
        device = self.model.device
        blocked = torch.from_numpy(~feed.seen).to(device)
        mask = torch.zeros(blocked.shape, dtype=self.model.dtype, device=device)
        return self.model.model(
            input_ids=torch.from_numpy(feed.tokens).to(device),
            position_ids=torch.from_numpy(feed.positions).to(device),
            attention_mask=mask.masked_fill_(blocked, torch.finfo(mask.dtype).min)[:, None],
            past_key_values=self.cache,
            use_cache=self.cache is not None,
            **vision,
        ).last_hidden_state

    def _forward(self, feed: _Feed, chunks: list[Chunk], vision: dict[str, Any]) -> None:
        hidden = self.hidden(feed, vision)
        self.kept = feed.kept
        answers = _answers(self.model.get_output_embeddings(), hidden, chunks)
        for index, (row, answer) in enumerate(zip(self.rows, answers, strict=True)):
            fed = row.advance(answer)
            self.kept[index, [node - fed for node in row.chunk.dropped]] = False
        self._tidy()

    def _tidy(self) -> None:
        """Let go of rows that are done, and of holes once they outnumber what is kept."""
        live = [index for index, row in enumerate(self.rows) if row.reply is None]
        if len(live) < len(self.rows):
            self.rows, self.kept = [self.rows[index] for index in live], self.kept[live]
            if not live:
                return
            self.cache.batch_select_indices(torch.tensor(live))
        longest = int(self.kept.sum(axis=1).max())
        if self.kept.shape[1] > 2 * longest:
            slots = np.argsort(self.kept, axis=1, kind="stable")[:, -longest:]  # kept ones last, in order
            self.kept = np.take_along_axis(self.kept, slots, axis=1)
            rows = torch.arange(len(slots))[:, None]
            for layer in self.cache.layers:  # (B, heads, T, width)
                layer.keys = layer.keys.transpose(1, 2)[rows, slots].transpose(1, 2)
                layer.values = layer.values.transpose(1, 2)[rows, slots].transpose(1, 2)


def _weights(text: Any) -> int:
    """Weights of a language model that a token is multiplied by, but for the last ones, about."""
    return int(
        text.num_hidden_layers * text.hidden_size * (4 * text.hidden_size + 3 * text.intermediate_size)
    )


@dataclass
class _Feed:
    """One round's input: B rows of n tokens, right-aligned, on top of T cached slots."""

    tokens: NDArray[np.int64]
    """(B, n); 0 in holes."""
    positions: NDArray[np.int64]
    """(3, B, n) rope positions in time, height and width."""
    seen: NDArray[np.bool_]
    """(B, n, T + n) what each token attends to."""
    kept: NDArray[np.bool_]
    """(B, T + n) slots that hold a token."""

    @classmethod
    def of(cls, chunks: Sequence[Chunk], kept: NDArray[np.bool_], positions: Sequence[int]) -> _Feed:
        rows, past = kept.shape
        width = max(len(chunk.tokens) for chunk in chunks)
        width += 0 if past else -width % STEP
        tokens = np.zeros((rows, width), dtype=np.int64)
        depths = np.zeros((rows, width), dtype=np.int64)
        seen = np.zeros((rows, width, past + width), dtype=bool)
        slots = np.arange(width)
        seen[:, slots, past + slots] = True  # a hole that saw nothing would turn into NaN and spread
        now = np.zeros((rows, width), dtype=bool)
        for index, chunk in enumerate(chunks):
            start = width - len(chunk.tokens)
            tokens[index, start:] = chunk.tokens
            lineage, depth = _lineage(chunk.parents)
            depths[index, start:] = positions[index] + depth
            seen[index, start:, :past] = kept[index]
            seen[index, start:, past + start :] = lineage
            now[index, start:] = True
        return cls(tokens, np.repeat(depths[None], 3, axis=0), seen, np.concatenate([kept, now], axis=1))


def _lineage(parents: Sequence[int]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which tokens of a tree (m, m) each token follows, itself included, and how deep (m,) it lies."""
    count = len(parents)
    follows, depth = np.tri(count, dtype=bool), np.arange(count)
    forked = next((index for index, parent in enumerate(parents) if parent != index - 1), count)
    for index in range(forked, count):
        parent = parents[index]
        follows[index] = False if parent == TIP else follows[parent]
        follows[index, index] = True
        depth[index] = 0 if parent == TIP else depth[parent] + 1
    return follows, depth


def _prefixed(prompt: Sequence[int], chunk: Chunk) -> Chunk:
    """The chunk with the prompt before it."""
    shift = len(prompt)
    return Chunk(
        tokens=[*prompt, *chunk.tokens],
        parents=[*range(-1, shift - 1), *(shift - 1 if p == TIP else shift + p for p in chunk.parents)],
        edges=[(shift + node, token) for node, token in chunk.edges],
        logits=chunk.logits,
    )


def _answers(head: Any, hidden: Any, chunks: Sequence[Chunk]) -> list[Any]:
    """What each chunk asked to read, from the last hidden states (B, n, H): log-probabilities or logits."""
    width = hidden.shape[1]
    places: dict[tuple[int, int], int] = {}
    whole: dict[int, list[int]] = {}
    pairs: list[tuple[int, int]] = []
    for row, chunk in enumerate(chunks):
        start = width - len(chunk.tokens)
        pairs += [(places.setdefault((row, start + node), len(places)), token) for node, token in chunk.edges]
        for last in range(width - chunk.logits, width):
            whole.setdefault(row, []).append(places.setdefault((row, last), len(places)))
    states = hidden[tuple(torch.tensor(list(places)).T)]
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    scores = np.empty(len(edges), dtype=np.float32)
    logits: dict[int, list[Any]] = {}
    for start in range(0, len(places), READS):
        some = head(states[start : start + READS]).float()
        here = (start <= edges[:, 0]) & (edges[:, 0] < start + READS)
        place, token = torch.from_numpy(edges[here] - [start, 0]).T
        scores[here] = (some[place, token] - some.logsumexp(dim=1)[place]).cpu().numpy()
        for row, wanted in whole.items():
            if within := [place - start for place in wanted if start <= place < start + READS]:
                logits.setdefault(row, []).append(some[within].cpu().numpy())
    ends = np.cumsum([len(chunk.edges) for chunk in chunks])[:-1]
    return [
        np.concatenate(logits[row]) if row in logits else own
        for row, own in enumerate(np.split(scores, ends))
    ]
