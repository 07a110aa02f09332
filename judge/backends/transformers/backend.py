"""Runs a Qwen2-VL, Qwen2.5-VL or Qwen3-VL checkpoint in this process with Hugging Face transformers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from judge.backends import torchvision_compat as _torchvision
from judge.backends import video_inputs as film
from judge.backends.base import Rasters, Reply, Request, Target, TraceRequest
from judge.backends.checkpoints import Adapter, Folder
from judge.backends.decoding import walker
from judge.backends.decoding.tokens import PhraseCache, Wording
from judge.backends.transformers.fast_layers import quicken
from judge.errors import BackendError, InputError, ReplyError

ATTENTION = 1 << 26
"""Most attention cells (rows x longest prompt squared) of one prefill: 256 MiB of mask in float32."""
SLIMMEST = 200
"""Greatest ratio of an image's sides that Qwen-VL processors take."""


class Transformers:
    """A vision-language model in this process; see `judge.backends.base.Backend`.

    Args:
        model: `embedded`; a checkpoint by hub name or folder; or a folder laid out as the embedded judge is
            (`judge.backends.checkpoints`). Phrases are what it is known to write, which saves time. An adapter
            for one rubric gets a copy of the model of its own, loaded when the rubric is first asked.
        adapter: LoRA adapter to load on the checkpoint, hub name or folder; it then answers every rubric.
        revision: hub revision of the checkpoint.
        device: `auto` (a GPU if there is one), a torch device, or an accelerate device map
            (`balanced`, `sequential`, or a dict).
        dtype: `auto` (float32 on a CPU, else the checkpoint's own), or the name of a torch dtype.
        bits: 4 or 8 to quantise the language model with bitsandbytes; needs a GPU.
        brief: whether the model was tuned on the rubric; None: as `judge.json` says, else no.
        batch: most rows in one forward pass.
        quick: run some parts of the model by quicker code that computes the same; no: as transformers does.

    Raises:
        InputError: an argument is off its menu.
        BackendError: the checkpoint cannot be found or loaded.
    """

    name = "transformers"
    films = True

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
        batch: int = 16,
        quick: bool = True,
    ) -> None:
        if bits not in (None, 4, 8):
            raise InputError("bits", bits, "4, 8 or None", "leave it out to load the weights as they are")
        if batch < 1:
            raise InputError("batch", batch, "1 or more", "give the rows of one forward pass")
        self.version, self.batch, self.model = version("transformers"), batch, str(model)
        self._folder = folder = Folder.of(model, adapter)
        self.domain, self.size, self.tunings = folder.domain, folder.size, folder.tunings
        self.brief = folder.brief if brief is None else brief
        self.adapter = folder.adapter.name if folder.adapter else None

        def load(tuned: Adapter | None) -> tuple[Any, Any]:
            place = tuned.place if tuned else None
            model, processor = _load(folder.source, place, revision, device, dtype, bits)
            if quick:
                quicken(model)
            return model, processor

        self._model, self._processor = load(folder.adapter)
        self._tuned = lru_cache(maxsize=None)(lambda rubric: load(folder.own[rubric])[0])
        self.revision = _revision(folder.source, folder.places, self._model, revision)
        self.wording = Wording(self._processor)
        self._habits = PhraseCache(
            self.wording.plain(text)
            for phrases in (folder.phrases, *(own.phrases for own in folder.own.values()))
            for text in phrases
        )
        self._texts = lru_cache(maxsize=64)(self._text)

    def network(self, rubric: str) -> Any:
        """The torch model that answers a rubric, for those who need its gradient."""
        return self._tuned(rubric) if rubric in self.tunings else self._model

    @property
    def processor(self) -> Any:
        """The checkpoint's own processor."""
        return self._processor

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return self._run(requests, lambda request: walker.read(request.form, self.wording))

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return self._run(
            requests, lambda request: walker.fill(request.form, self.wording, self._grammar, self._habits)
        )

    def trace(self, requests: Sequence[TraceRequest]) -> list[Rasters | ReplyError]:
        """By gradient x input (Shrikumar et al. 2016) with the picture's mean patch for a baseline: a patch's
        relevance is |gradient . (patch - mean patch)|. One ask at a time, for the sake of memory."""
        return [self._traced(one) for one in requests]

    def _traced(self, one: TraceRequest) -> Rasters | ReplyError:
        import torch

        [row] = self._rows([one.request], lambda _: None)
        if isinstance(row, ReplyError):
            return row
        if row.pixels is None:
            return ReplyError("images: none, and videos are not traced")
        blanks = {blank for target in one.targets for blank in target}
        reading = walker.Reading.of(one.request.form, self.wording, one.values, blanks)
        row.chunk, model = reading.chunk, self.network(one.request.rubric).requires_grad_(False)
        row.pixels = pixels = row.pixels.detach().requires_grad_(True)
        try:
            wording = self.wording
            [logs] = walker.log_probabilities(model, [row], wording.image_token, wording.video_token)
            numbers = [_number(target, reading.shares(logs)) for target in one.targets]
            slopes = [torch.autograd.grad(number, pixels, retain_graph=True)[0] for number in numbers]
        except RuntimeError as error:  # out of memory is one
            raise BackendError(f"{self.model}: {' '.join(str(error).split())[:300]}") from error
        return [_relevance(slope, pixels.detach(), row.grid, self.wording.merge) for slope in slopes]

    def _run(
        self, requests: Sequence[Request], program: Callable[[Request], walker.Program]
    ) -> list[Reply | ReplyError]:
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(request.rubric if request.rubric in self.tunings else "", []).append(index)
        replies: dict[int, Reply | ReplyError] = {}
        for rubric, group in groups.items():
            model = self.network(rubric)
            for start in range(0, len(group), self.batch):
                some = group[start : start + self.batch]
                rows = self._rows([requests[index] for index in some], program)
                filled = iter(self._filled(model, [row for row in rows if isinstance(row, walker.Row)]))
                for index, row in zip(some, rows, strict=True):
                    replies[index] = next(filled) if isinstance(row, walker.Row) else row
        return [replies[index] for index in range(len(requests))]

    def _filled(self, model: Any, rows: Sequence[walker.Row]) -> list[Reply | ReplyError]:
        try:
            return [
                reply
                for part in _within_memory(rows)
                for reply in walker.run(model, part, self.wording.image_token, self.wording.video_token)
            ]
        except RuntimeError as error:  # out of memory is one
            raise BackendError(f"{self.model}: {' '.join(str(error).split())[:300]}") from error

    def _rows(
        self, requests: Sequence[Request], program: Callable[[Request], walker.Program | None]
    ) -> list[walker.Row | ReplyError]:
        """Encode prompts and pictures; a row that the model cannot take becomes a `ReplyError`."""
        faults = [_fault(request, self.size) or self._unfit(request) for request in requests]
        pictures = [
            picture
            for request, f in zip(requests, faults, strict=True)
            if not f
            for picture in request.images
        ]
        pixels, grid = self._patches(pictures)
        counts = grid.prod(dim=1).tolist() if pictures else []
        rows: list[walker.Row | ReplyError] = []
        image = patch = 0
        for request, fault in zip(requests, faults, strict=True):
            if fault:
                rows.append(ReplyError(fault))
                continue
            own = counts[image : image + len(request.images)]
            row = walker.Row(program(request), [])
            if own:
                row.pixels, row.grid = pixels[patch : patch + sum(own)], grid[image : image + len(own)]
            image, patch = image + len(own), patch + sum(own)
            try:
                films = self._films(row, request)
            except ReplyError as error:
                rows.append(error)
                continue
            row.prompt = self.wording.chat(request.messages, [n // self.wording.merge**2 for n in own], films)
            limit = self._model.config.get_text_config().max_position_embeddings
            long = f"prompt: {len(row.prompt)} tokens, the model reads {limit}; shorten it"
            rows.append(row if len(row.prompt) < limit else ReplyError(long))
        return rows

    def _films(self, row: walker.Row, request: Request) -> list[str]:
        """Give a row the patches of its videos; returns what stands for them in the prompt. Raises
        `ReplyError`."""
        if not request.films:
            return []
        reels = [film.reel(one, self._processor, self.size) for one in request.films]
        row.film, row.film_grid = film.patches(reels, self._processor)
        row.pace = [film.pace(reel, self._processor) for reel in reels]
        pairs = zip(reels, row.film_grid, strict=True)
        return [film.words(reel, grid, self._processor) for reel, grid in pairs]

    def _unfit(self, request: Request) -> str:
        """Why a picture has no size that the processor's pixel limit allows; empty when it has one."""
        if self.size is not None:
            return ""
        from qwen_vl_utils import smart_resize

        processor = self._processor.image_processor
        least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
        side = processor.patch_size * processor.merge_size
        for picture in request.images:
            if 0 in smart_resize(picture.height, picture.width, side, least, most):
                return f"image: {picture.width}x{picture.height} is too slim to be shown in {most} pixels"
        return ""

    def _patches(self, pictures: Sequence[Any]) -> tuple[Any, Any]:
        """Patches (patches, values) of all pictures and their grids (pictures, 3)."""
        if not pictures:
            return None, None
        processor = self._processor.image_processor
        if self.size is None:
            from qwen_vl_utils import process_vision_info

            least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
            limits = {"type": "image", "min_pixels": least, "max_pixels": most}
            chat = [{"role": "user", "content": [{**limits, "image": picture} for picture in pictures]}]
            pictures, _ = process_vision_info(chat, image_patch_size=processor.patch_size)
        encoded = processor(images=list(pictures), do_resize=False, return_tensors="pt")
        return encoded["pixel_values"], encoded["image_grid_thw"]

    def _grammar(self, max_chars: int) -> walker.Mask:
        """The grammar of one free text: no quote, backslash or control character; then the closing quote."""
        import llguidance.numpy

        matcher, told = self._texts(max_chars).deep_copy(), 0
        size = self._outlines.llg_tokenizer.vocab_size

        def mask(written: Sequence[int], logits: Any) -> Any:
            nonlocal told
            matcher.consume_tokens(list(written[told:]))
            told = len(written)
            # Most of what a model wants to write is allowed, and asking for one token is quick.
            best = int(logits.argmax())
            if best >= size or not matcher.validate_tokens([best]):
                allowed = llguidance.numpy.allocate_token_bitmask(1, size)
                llguidance.numpy.fill_next_token_bitmask(matcher, allowed)
                llguidance.numpy.apply_token_bitmask_inplace(logits, allowed)
            return logits

        return mask

    def _text(self, max_chars: int) -> Any:
        """A matcher of free text that has read nothing; compiled by outlines."""
        from llguidance import LLMatcher

        compiled = self._outlines.get_regex_logits_processor(rf'[^"\\\x00-\x1f]{{0,{max_chars}}}"')
        return LLMatcher(compiled.llg_tokenizer, compiled.grammar)

    @cached_property
    def _outlines(self) -> Any:
        import outlines
        from outlines.backends.llguidance import LLGuidanceBackend

        return LLGuidanceBackend(outlines.from_transformers(self._model, self._processor))


def _fault(request: Request, side: int | None) -> str:
    """Why the model cannot take this row's pictures; empty when it can."""
    parts = [part for m in request.messages if not isinstance(m["content"], str) for part in m["content"]]
    wanted = sum(part["type"] == "image" for part in parts)
    if wanted != len(request.images):
        return f"images: {len(request.images)} given, the messages show {wanted}"
    wanted = sum(part["type"] == "video" for part in parts)
    if wanted != len(request.films):
        return f"videos: {len(request.films)} given, the messages show {wanted}"
    for picture in request.images:
        if side and picture.size != (side, side):
            return f"image: {picture.width}x{picture.height}, the model sees {side}x{side}"
        if max(picture.size) > SLIMMEST * min(picture.size):
            return f"image: {picture.width}x{picture.height} is slimmer than {SLIMMEST}:1"
    return ""


def _number(target: Target, shares: dict[str, dict[str, Any]]) -> Any:
    return sum(
        weight * shares[blank][label] for blank, told in target.items() for label, weight in told.items()
    )


def _relevance(slope: Any, pixels: Any, grid: Any, merge: int) -> list[Any]:
    """(rows, columns) relevance of each picture's patches.

    Args:
        slope: gradient of a number (patches, values).
        pixels: the patches of all pictures (patches, values), by blocks of merge x merge.
        grid: (pictures, 3) their number in time, height and width.
        merge: patches along a block.
    """
    counts, found = grid.prod(dim=1).tolist(), []
    parts = zip(slope.split(counts), pixels.split(counts), grid.tolist(), strict=True)
    for slopes, patches, (_, rows, columns) in parts:
        moved = (slopes * (patches - patches.mean(dim=0))).sum(dim=1).abs().float()
        blocks = moved.reshape(rows // merge, columns // merge, merge, merge)
        found.append(blocks.permute(0, 2, 1, 3).reshape(rows, columns).numpy(force=True))
    return found


def _within_memory(rows: Sequence[walker.Row]) -> Iterator[list[walker.Row]]:
    """Split a batch so that no prefill's attention mask outgrows `ATTENTION`."""
    part: list[walker.Row] = []
    longest = 0
    for row in rows:
        longest = max(longest, len(row.prompt))
        if part and (len(part) + 1) * longest**2 > ATTENTION:
            yield part
            part, longest = [], len(row.prompt)
        part.append(row)
    if part:
        yield part


def _load(
    source: str,
    adapter: str | Path | None,
    revision: str | None,
    device: str | dict[str, Any],
    dtype: str,
    bits: int | None,
) -> tuple[Any, Any]:
    """The model in evaluation mode, adapter applied, and its processor."""
    import torch

    gpu = torch.cuda.is_available()
    if bits and not gpu:
        raise InputError("bits", bits, "None without a GPU", "leave it out, or run where CUDA is")
    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise InputError("dtype", dtype, "auto, float32, bfloat16 or float16", "name a torch dtype")
    if device == "auto":
        device = "auto" if gpu else "cpu"
    options: dict[str, Any] = {
        "dtype": "float32" if dtype == "auto" and device == "cpu" else dtype,
        "device_map": device,
        "attn_implementation": "sdpa",  # takes the mask of ragged rows; flash attention does not
    }
    _torchvision.mend()
    # peft imports bitsandbytes, which warns of a kernel that only its CPU quantisation would use.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import transformers

    library: Any = transformers
    if bits:
        options["quantization_config"] = library.BitsAndBytesConfig(
            load_in_4bit=bits == 4,
            load_in_8bit=bits == 8,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=["lm_head", "model.visual"],
        )
    try:
        with _no_bars():
            processor = library.AutoProcessor.from_pretrained(source, revision=revision)
            loader = library.AutoModelForImageTextToText
            model = loader.from_pretrained(source, revision=revision, **options).eval()
            if adapter is not None:
                model = _adapted(model, adapter, merge=not bits and model.dtype == torch.float32)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackendError(f"{source}: cannot be loaded ({' '.join(str(error).split())[:300]})") from error
    if not hasattr(model.model, "get_rope_index") or not hasattr(processor, "image_token_id"):
        raise BackendError(f"{source}: {type(model).__name__} is no Qwen2-VL, Qwen2.5-VL or Qwen3-VL")
    return model, processor


@contextmanager
def _no_bars() -> Iterator[None]:
    """Silence transformers' progress bars; those of downloads from the hub stay."""
    from transformers.utils import logging as module

    logging: Any = module
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _adapted(model: Any, adapter: str | Path, *, merge: bool) -> Any:
    """Apply a LoRA adapter: into the weights where that is exact, else beside them."""
    from peft import PeftModel

    tuned = PeftModel.from_pretrained(model, str(adapter)).eval()
    return tuned.merge_and_unload() if merge else tuned.get_base_model()


def _revision(source: str, adapters: Sequence[str | Path], model: Any, asked: str | None) -> str:
    """Hub commit of the checkpoint, or the first 16 hex digits of the SHA-256 of local weights."""
    if not Path(source).is_dir():
        return str(getattr(model.config, "_commit_hash", None) or asked or "")
    digest = hashlib.sha256()
    for folder in map(Path, (source, *adapters)):
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(path.name.encode())
            _sample(path, digest.update)
    return digest.hexdigest()[:16]


def _sample(path: Path, take: Callable[[bytes], None], block: int = 1 << 20, blocks: int = 256) -> None:
    """Feed a file: whole up to 256 MiB, else its size and 256 evenly spaced blocks of 1 MiB."""
    size = path.stat().st_size
    stride = max(block, size // blocks)
    take(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        for start in range(0, size, stride):
            file.seek(start)
            take(file.read(block))
