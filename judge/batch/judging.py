"""Judge the rows of one chunk."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from judge.batch.chunks import Chunk, ChunkResult
from judge.batch.sources import Row, Source
from judge.errors import InputError
from judge.pipeline.rows import BadRow
from judge.types import Sample


def judge_chunk(
    judge: Any, chunk: Chunk, source: Source, depth: Any, batch: int, pixels: int | None
) -> ChunkResult:
    """Judge a chunk.

    Args:
        judge: a `Judge`.
        chunk: the rows.
        source: where the rows are from; it fetches their images.
        depth: "score" or "verdict", as in `Judge`.
        batch: rows that the model is given at once, at most.
        pixels: pixels that the model is given at once, at most; None: no limit.

    Raises:
        BackendError: the model cannot be loaded.
    """
    if chunk.error or chunk.piece_length is not None:
        return ChunkResult(
            chunk.row_range, piece_length=chunk.piece_length, error=chunk.error, unused=chunk.unused
        )
    rows = [_fetch(row, source) for row in chunk.rows]
    samples = [row for row in rows if isinstance(row, Sample)]
    groups = [samples] if pixels is None else group_by_pixels(judge, samples, batch, pixels)
    verdicts = (verdict for group in groups for verdict in judge.many(group, depth=depth, batch=batch))
    lines, unscored, abstained = [], 0, 0
    for row in rows:
        if isinstance(row, BadRow):
            verdict = judge.unscored(row.reason, id=row.id, depth=depth)
        else:
            verdict = next(verdicts)
        unscored += verdict.status == "unscored"
        abstained += verdict.abstained
        lines.append(verdict.model_dump_json())
    return ChunkResult(chunk.row_range, lines, unscored, abstained)


def _fetch(row: Row, source: Source) -> Row:
    """Fetch the images of a row; one that cannot be fetched becomes a `BadRow`."""
    if isinstance(row, BadRow):
        return row
    try:
        return source.fetch(row)
    except InputError as error:
        return BadRow(row.id, str(error))


def group_by_pixels(judge: Any, samples: Iterable[Sample], batch: int, pixels: int) -> Iterator[list[Sample]]:
    """Group neighbouring samples so that a group has at most `batch` samples and `pixels` pixels.

    Args:
        judge: a `Judge`; its model's input size is what counts.
        samples: in order.
        batch: samples in a group at most.
        pixels: pixels in a group at most; one image alone may have more.
    """
    model, max_pixels = judge.pipeline.model_info, judge.max_pixels
    group, group_pixels = list[Sample](), 0
    for sample in samples:
        input_pixels = model.size**2 if model.size else min(max_pixels, _count_pixels(sample.image))
        if group and (len(group) == batch or group_pixels + input_pixels > pixels):
            yield group
            group, group_pixels = [], 0
        group.append(sample)
        group_pixels += input_pixels
    if group:
        yield group


def _count_pixels(image: Any) -> int:
    """Read width times height from an image's header; 0 for one that cannot be read, which no model sees."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as header:
                return int(header.width * header.height)
    except Exception:  # loading the image later reports what is wrong with it
        return 0
