"""Run a Qwen2-VL, Qwen2.5-VL or Qwen3-VL checkpoint in this process with Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from judge.backends.base import RelevanceMaps, Reply, Request, TraceRequest
from judge.backends.box_forms import BoxTranslator, check_convention
from judge.backends.checkpoints import Adapter, Checkpoint
from judge.backends.decoding.batch import log_probabilities, run_rows
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.choice_reading import ChoiceReader, read_choices
from judge.backends.decoding.form_filling import fill_form
from judge.backends.decoding.forward_input import Row
from judge.backends.decoding.natural import filling
from judge.backends.decoding.natural.filling import FormProgram, check_choices_only, resolve_tokens
from judge.backends.decoding.natural.steps import DRAFT_TOKENS_ON_CPU, MAX_DRAFT_TOKENS, run_form
from judge.backends.decoding.natural.vocabulary import Vocabulary
from judge.backends.decoding.phrase_cache import PhraseCache
from judge.backends.decoding.program import RowProgram
from judge.backends.decoding.recurrent_batch import is_recurrent
from judge.backends.image_inputs import find_input_error, resize_images
from judge.backends.models.families import family_boxes, find_family
from judge.backends.torchvision_compat import patch_imports
from judge.backends.transformers.fast_layers import replace_slow_layers
from judge.backends.transformers.loading import load_model
from judge.backends.transformers.memory import is_out_of_memory, release_memory
from judge.backends.transformers.text_grammar import TextGrammar
from judge.backends.transformers.thought import think_first
from judge.backends.transformers.tracing import patch_relevance, target_value
from judge.backends.video_inputs import (
    encode_videos,
    prepare_video,
    seconds_per_patch,
    shown_size,
    video_placeholder,
)
from judge.errors import BackendError, InputError, ReplyError
from judge.rubrics.form import Form

MAX_ATTENTION_CELLS = 1 << 26
"""Greatest number of attention cells (rows x longest prompt squared) of one prefill: 256 MiB of mask in
float32."""


class Transformers:
    """A vision-language model in this process; see `judge.backends.base.Backend`.

    Args:
        model: `embedded`; a checkpoint by folder or hub name; or a folder with the layout of the embedded
            judge (`judge.backends.checkpoints`). An adapter for one rubric gets its own copy of the model,
            loaded at the first request with that rubric.
        adapter: LoRA adapter to load on the checkpoint, a folder or a hub name. It then answers every rubric.
        revision: hub revision of the checkpoint.
        device: `auto` (a GPU if there is one), a torch device, or an accelerate device map (`balanced`,
            `sequential`, or a dict).
        dtype: `auto` (float32 on a CPU, else the checkpoint's own), or the name of a torch dtype.
        bits: 4 or 8 to quantize the language model with bitsandbytes; needs a GPU. It does not reach the
            experts of a mixture of experts, and verdicts say so.
        brief: whether the model was fine-tuned on the brief template. None: as `training.json` of the adapter
            or `judge.json` of the model say, else False.
        tokens: `pieces` or `natural`, see `judge.backends.checkpoints.Checkpoint.tokens`. `auto`: as
            `training.json` or `judge.json` say, else `natural`.
        layout: white space of the JSON that a model with natural tokens writes: `compact`, `spaced` or
            `pretty`; `auto`: for each request, the one that the model finds likeliest at the beginning of its
            answer.
        batch: greatest number of rows in one forward pass. It is halved once if memory runs out.
        boxes: how the model writes boxes, a value of `judge.backends.models.boxes.BoxConvention` (`relative`,
            `pixels`, `relative-yxyx` or `grid`). None: as its family does, or as this project's training
            does for a model that was trained by it.
        thinking: greatest number of tokens that the model thinks before each form; 0 for no thought. Only for
            models whose chat template opens a thought. Heat maps and gradients are those without a thought.
        fast_layers: replace some layers of the model by faster code with the same results
            (`judge.backends.transformers.fast_layers`).
        check_training: ask the model as its adapter was trained, by its `training.json`, and refuse another
            base, brief template or rubric. False: do not read the file.

    Raises:
        InputError: an argument is not usable.
        BackendError: the checkpoint cannot be found or loaded.
    """

    name = "transformers"
    takes_video = True
    notes: tuple[str, ...] = ()
    """What readers of its verdicts should know."""
    reads_ahead = True
    """Whether forms in natural tokens are read ahead (`judge.backends.decoding.natural.drafts`). The numbers
    are the same without, up to rounding."""
    _has_halved = False
    """Whether the batch was halved because memory ran out."""

    def __init__(
        self,
        model: str | Path = "embedded",
        adapter: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | dict[str, Any] = "auto",
        dtype: str = "auto",
        bits: int | None = None,
        brief: bool | None = None,
        tokens: str = "auto",
        layout: str = "auto",
        batch: int = 16,
        boxes: str | None = None,
        thinking: int = 0,
        fast_layers: bool = True,
        check_training: bool = True,
    ) -> None:
        if bits not in (None, 4, 8):
            raise InputError("bits", bits, "4, 8 or None", "leave it out to load the weights as they are")
        if batch < 1:
            raise InputError("batch", batch, "1 or more", "pass the number of rows of one forward pass")
        self.version, self.batch, self.model = version("transformers"), batch, str(model)
        checkpoint = Checkpoint.resolve(model, adapter).locate(revision, check_training=check_training)
        self.domain, self.size, self.adapters = checkpoint.domain, checkpoint.size, checkpoint.adapters
        self.brief, self.training = checkpoint.resolve_brief(brief), checkpoint.training
        is_tuned = self.brief or checkpoint.training is not None
        self.tokens, self.layouts = resolve_tokens(tokens, layout, checkpoint.tokens, is_tuned)
        self.adapter = checkpoint.adapter.name if checkpoint.adapter else None

        if self.training is not None:
            patch_imports()
            checkpoint.check_base(revision)
            self.training.check_conventions(boxes or self.training.boxes, self.tokens)

        def load(adapter: Adapter | None) -> tuple[Any, Any]:
            path = adapter.path if adapter else None
            model, processor = load_model(
                checkpoint.source, path, revision, device, dtype, bits, is_cached=bool(checkpoint.commit)
            )
            if fast_layers:
                replace_slow_layers(model)
            return model, processor

        loaded, processor = load(checkpoint.adapter)
        self.boxes = check_convention(boxes or checkpoint.boxes, family_boxes(loaded.config))
        family = find_family(loaded.config)
        if bits and family is not None and family.has_experts:
            self.notes = (f"bits={bits} does not reach the experts, whose weights are no linear layers",)
        self._rubric_model = lru_cache(maxsize=None)(
            lambda rubric: load(checkpoint.rubric_adapters[rubric])[0]
        )
        commit = getattr(loaded.config, "_commit_hash", None)
        self.revision = checkpoint.identify_weights(commit, revision)
        self._set_model(loaded, processor, checkpoint.all_phrases, thinking)

    @property
    def box_translator(self) -> BoxTranslator:
        """Translates between the boxes of rubrics and those of the model."""
        return BoxTranslator(self.boxes, lambda shown: shown_size(shown, self._processor, self.size))

    def _set_model(self, model: Any, processor: Any, phrases: Iterable[str], thinking: int = 0) -> None:
        """Use a loaded model.

        Args:
            model: a Qwen-VL of transformers, in evaluation mode.
            processor: the model's.
            phrases: texts that the model often writes. They save forward passes.
            thinking: greatest number of tokens of a thought before each form.
        """
        self._model, self._processor = model, processor
        self.tokenizer = ChatTokenizer(processor, thinking)
        self.vocabulary = Vocabulary(self.tokenizer) if self.tokens == "natural" else None
        """The tokens of a model that gets text as its tokenizer writes it; None for one trained on pieces."""
        self.phrases = PhraseCache(map(self.tokenizer.encode_text, phrases))
        self.text_grammar = TextGrammar(model, processor)

    def network(self, rubric: str) -> Any:
        """Return the torch model that answers a rubric, for callers who need its gradients."""
        return self._rubric_model(rubric) if rubric in self.adapters else self._model

    @property
    def processor(self) -> Any:
        """The processor of the checkpoint."""
        return self._processor

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Read the label probabilities of all blanks in one pass; see `Backend.choose`."""
        if self.vocabulary is not None and not self.brief:
            return self.complete([check_choices_only(request) for request in requests])
        return self._run(
            requests, lambda request: read_choices(request.form, self.tokenizer, self.vocabulary)
        )

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Fill whole forms; see `Backend.complete`."""
        return self.box_translator.run(requests, lambda translated: self._run(translated, self._fill))

    def _fill(self, request: Request) -> RowProgram:
        """Return the program that fills a form whose boxes are those of the model."""
        if self.vocabulary is None:
            return fill_form(request.form, self.tokenizer, self.text_grammar.text_mask, self.phrases)
        program = filling.fill_form(request.form, self.vocabulary, self.layouts)
        return self._run_form(program, self.vocabulary)

    def _run_form(self, program: FormProgram, vocabulary: Vocabulary) -> RowProgram:
        draft_tokens = MAX_DRAFT_TOKENS if self._model.device.type != "cpu" else DRAFT_TOKENS_ON_CPU
        if not self.reads_ahead or is_recurrent(self._model):
            draft_tokens = 0  # each branch of a recurrent model is a pass of its own: a draft saves none
        return run_form(
            program, vocabulary, self.text_grammar.text_mask, self.phrases, draft_tokens=draft_tokens
        )

    def trace(self, requests: Sequence[TraceRequest]) -> list[RelevanceMaps | ReplyError]:
        """Compute the relevance of each image patch for each target; see `Tracer.trace`.

        It uses the method of `judge.backends.transformers.tracing`, on one request at a time to save memory.
        """
        return [self._trace_one(request) for request in requests]

    def _trace_one(self, traced: TraceRequest) -> RelevanceMaps | ReplyError:
        import torch

        try:
            traced = self._translate_trace(traced)
        except ReplyError as error:
            return error
        [row] = self._build_rows([traced.request], lambda _: None, thinks=False)
        if isinstance(row, ReplyError):
            return row
        if row.pixels is None:
            return ReplyError("images: none, and videos are not traced")
        blanks = {blank for target in traced.targets for blank in target}
        tokenizer = self.tokenizer
        filled = self.fill_context(traced.request, traced.values)
        if isinstance(filled, ReplyError):
            return filled
        reader = ChoiceReader.for_form(filled[0], tokenizer, filled[1], blanks, self.vocabulary)
        row.step, model = reader.step, self.network(traced.request.rubric).requires_grad_(False)
        row.pixels = pixels = row.pixels.detach().requires_grad_(True)
        try:
            [scores] = log_probabilities(model, [row], tokenizer.image_token, tokenizer.video_token)
            values = [target_value(target, reader.probabilities(scores)) for target in traced.targets]
            gradients = [torch.autograd.grad(value, pixels, retain_graph=True)[0] for value in values]
        except RuntimeError as error:  # also raised when memory runs out
            raise BackendError(f"{self.model}: {' '.join(str(error).split())[:300]}") from error
        return [patch_relevance(g, pixels.detach(), row.grid, tokenizer.merge_size) for g in gradients]

    def _translate_trace(self, traced: TraceRequest) -> TraceRequest:
        """Return the request with the boxes of the model."""
        translator = self.box_translator
        request = translator.request(traced.request)
        if request is traced.request or traced.values is None:
            return replace(traced, request=request)
        values = translator.values(traced.request.form, traced.values, translator.frame(traced.request))
        return replace(traced, request=request, values=values)

    def fill_context(
        self, request: Request, values: dict[str, Any] | None
    ) -> tuple[Form, dict[str, Any] | None] | ReplyError:
        """Return a form and values to read it behind in one pass, as this backend reads it otherwise.

        Args:
            request: the request.
            values: values of the form; None: those that `choose` reads each blank behind.

        Returns:
            The form in the layout of the model, and the values; None for the first label in each blank.
        """
        if self.vocabulary is None or self.brief:
            return request.form, values
        if values is None:
            (reply,) = self.choose([request])
            if isinstance(reply, ReplyError):
                return reply
            values = request.form.parse(reply.text)
        if len(self.layouts) == 1:
            return request.form.in_layout(self.layouts[0]), values
        (chosen,) = self._run([request], self._read_layout)
        if isinstance(chosen, ReplyError):
            return chosen
        return request.form.in_layout(self.layouts[int(chosen.text)]), values

    def _read_layout(self, request: Request) -> RowProgram:
        assert self.vocabulary is not None
        program = filling.read_layout(request.form, self.vocabulary, self.layouts)
        return self._run_form(program, self.vocabulary)

    def _run(
        self, requests: Sequence[Request], program: Callable[[Request], RowProgram]
    ) -> list[Reply | ReplyError]:
        """Run the requests of each rubric on its model, `batch` rows at a time."""
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(request.rubric if request.rubric in self.adapters else "", []).append(index)
        if self.tokenizer.thinking:
            fill, program = program, lambda request: think_first(self.tokenizer, fill(request))
        replies: dict[int, Reply | ReplyError] = {}
        for rubric, group in groups.items():
            model = self.network(rubric)
            waiting = list(group)
            while waiting:
                indexes, waiting = waiting[: self.batch], waiting[self.batch :]
                own = [requests[index] for index in indexes]
                replies |= zip(indexes, self._run_batch(model, own, program), strict=True)
        return [replies[index] for index in range(len(requests))]

    def _run_batch(
        self, model: Any, requests: Sequence[Request], program: Callable[[Request], RowProgram]
    ) -> list[Reply | ReplyError]:
        """Run the requests of one batch. If memory runs out, halve the batch, once for this backend."""
        try:
            return self._run_rows(model, self._build_rows(requests, program))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            if not is_out_of_memory(error):
                raise BackendError(f"{self.model}: {reason}") from error
            if self._has_halved or len(requests) == 1:
                rows = f"{len(requests)} row{'s' * (len(requests) > 1)}"
                mend = f"out of memory with {rows} in a batch; lower batch or max_pixels"
                raise BackendError(f"{self.model}: {mend} ({reason})") from error
        # Outside the handler, whose traceback would keep the tensors of the failed batch.
        self._has_halved, self.batch = True, -(-len(requests) // 2)
        release_memory()
        parts = requests[: self.batch], requests[self.batch :]
        return [reply for part in parts for reply in self._run_batch(model, part, program)]

    def _run_rows(self, model: Any, rows: Sequence[Row | ReplyError]) -> list[Reply | ReplyError]:
        results = (
            reply
            for part in _split_by_memory([row for row in rows if isinstance(row, Row)])
            for reply in run_rows(model, part, self.tokenizer.image_token, self.tokenizer.video_token)
        )
        return [next(results) if isinstance(row, Row) else row for row in rows]

    def _build_rows(
        self,
        requests: Sequence[Request],
        program: Callable[[Request], RowProgram | None],
        *,
        thinks: bool = True,
    ) -> list[Row | ReplyError]:
        """Encode prompts, images and videos.

        Args:
            requests: the requests.
            program: returns the program of a request's row.
            thinks: whether a model that is to think does so in these rows.

        Returns:
            A row for each request; a `ReplyError` for a request that the model cannot take.
        """
        image_processor = self._processor.image_processor
        faults = [find_input_error(request, self.size, image_processor) for request in requests]
        valid = [request for request, fault in zip(requests, faults, strict=True) if not fault]
        pixels, grid = self._encode_images([image for request in valid for image in request.images])
        counts = [] if grid is None else grid.prod(dim=1).tolist()
        rows: list[Row | ReplyError] = []
        image = patch = 0
        for request, fault in zip(requests, faults, strict=True):
            if fault:
                rows.append(ReplyError(fault))
                continue
            own = counts[image : image + len(request.images)]
            row = Row(program(request), [])
            if own:
                row.pixels, row.grid = pixels[patch : patch + sum(own)], grid[image : image + len(own)]
            image, patch = image + len(own), patch + sum(own)
            try:
                self._set_prompt(row, request, own, thinks)
            except ReplyError as error:
                rows.append(error)
                continue
            rows.append(row)
        return rows

    def _set_prompt(self, row: Row, request: Request, patch_counts: Sequence[int], thinks: bool) -> None:
        """Encode the chat of a row.

        Args:
            row: the row to set.
            request: its request.
            patch_counts: number of patches of each image.
            thinks: as for `_build_rows`.

        Raises:
            ReplyError: a video does not fit the processor's limits, or the prompt is too long.
        """
        videos = self._encode_videos(row, request)
        image_tokens = [count // self.tokenizer.merge_size**2 for count in patch_counts]
        row.prompt = self.tokenizer.encode_chat(request.messages, image_tokens, videos, thinks=thinks)
        limit = self._model.config.get_text_config().max_position_embeddings
        if len(row.prompt) + self.tokenizer.thinking >= limit:
            raise ReplyError(f"prompt: {len(row.prompt)} tokens, the model reads {limit}; shorten it")

    def _encode_videos(self, row: Row, request: Request) -> list[str]:
        """Set the video patches of a row; returns the text in place of each video in the prompt."""
        if not request.videos:
            return []
        videos = [prepare_video(video, self._processor, self.size) for video in request.videos]
        row.video_pixels, row.video_grid = encode_videos(videos, self._processor)
        row.seconds_per_patch = [seconds_per_patch(video, self._processor) for video in videos]
        pairs = zip(videos, row.video_grid, strict=True)
        return [video_placeholder(video, grid, self._processor) for video, grid in pairs]

    def _encode_images(self, images: Sequence[Any]) -> tuple[Any, Any]:
        """Return the patches (patches, values) of images and their grids (images, 3); None without images."""
        if not images:
            return None, None
        processor = self._processor.image_processor
        resized = resize_images(images, self.size, processor)
        encoded = processor(images=list(resized), do_resize=False, return_tensors="pt")
        return encoded["pixel_values"], encoded["image_grid_thw"]


def _split_by_memory(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Split a batch so that the attention mask of no prefill exceeds `MAX_ATTENTION_CELLS`."""
    part: list[Row] = []
    longest = 0
    for row in rows:
        longest = max(longest, len(row.prompt))
        if part and (len(part) + 1) * longest**2 > MAX_ATTENTION_CELLS:
            yield part
            part, longest = [], len(row.prompt)
        part.append(row)
    if part:
        yield part
