"""Read the writing in an image: what is written where, line by line, by RapidOCR.

The models (PP-OCRv6, Chinese, English, Japanese and digits) lie inside the package `rapidocr` and are run by
onnxruntime; nothing is downloaded. `pip install "judge[ocr]"` installs it.

Lines are searched in the image at several sizes: large letters are found in a small copy, small letters in a
large one. Each line found is cut out of the original, turned upright and recognised. Where sizes disagree,
the lines with more characters that are surely read are kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.errors import BackendError
from judge.evidence.text_order import sort_lines
from judge.runtime.threads import default_thread_count
from judge.types import TextLine

HOW_TO_INSTALL = 'pip install "judge[ocr]"'
MODEL_FILES = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
"""Stage of RapidOCR -> file in the folder `models` of the package."""

SEARCH_SIDES = (480, 960)
"""Longer sides, in pixels, of the copies in which lines are searched."""
LARGE_SIDES = (1600, 2400)
"""The same for images that are at least `LARGE_IMAGE` times as large as the copy before."""
LARGE_IMAGE = 1.7
MAX_LINES = 300
"""Lines that are recognised in one copy, at most."""
CUT_SIDE = 4000
"""A larger image is reduced to this side before lines are cut out of it."""
VERTICAL_RATIO = 1.5
"""A box that is this much higher than wide holds vertical writing, or writing turned by 90 degrees."""
FLIP_CONFIDENCE = 0.9
"""Below it a line is read upside down as well."""
MIN_CONFIDENCE = 0.5
"""Lines with a lower confidence are left out."""
MIN_GLYPH_CONFIDENCE = 0.9
"""The same for a single character: round and square things are read as one."""
MAX_GLYPH_SHARE = 0.25
"""A single character that covers a larger share of the image is a thing, not writing."""
SURE_CONFIDENCE = 0.85
"""A character with this confidence speaks neither for nor against a line, where two sizes disagree."""
REPEATED_SHARE = 0.4
"""Lines of two sizes are about the same writing if they share this part of the smaller one."""

Pixels = NDArray[np.uint8]
"""(H, W, 3), blue, green, red, as OpenCV has them."""

_lock = threading.Lock()


def is_available() -> bool:
    """Return whether the package that reads is installed."""
    return find_spec("rapidocr") is not None


def read_text_lines(image: Image.Image) -> list[TextLine]:
    """Read the writing in an image.

    Args:
        image: of any size.

    Returns:
        The lines in reading order, with boxes in pixels of the image. The same image gives the same lines.

    Raises:
        BackendError: the package `rapidocr` is not installed, or its models cannot be loaded.
    """
    reduced = image.convert("RGB")
    if max(image.size) > CUT_SIDE:
        reduced.thumbnail((CUT_SIDE, CUT_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    pixels = np.ascontiguousarray(np.asarray(reduced)[:, :, ::-1])
    scale = np.array([image.width / reduced.width, image.height / reduced.height])
    lines: list[TextLine] = []
    with _lock:  # RapidOCR keeps the options of its last call
        for side in _search_sides(max(reduced.size)):
            found = [_read_line(pixels, corners, scale) for corners in _find_lines(pixels, side)]
            lines = _merge(lines, [line for line in found if line and _is_writing(line, image.size)])
    return sort_lines(lines)


def _search_sides(side: int) -> list[int]:
    """Return the longer sides of the copies in which lines are searched, for the longer side of an image."""
    sides = list(SEARCH_SIDES)
    sides += [large for large in LARGE_SIDES if side >= LARGE_IMAGE * sides[-1]]
    return sides


def _find_lines(pixels: Pixels, side: int) -> list[NDArray[np.float64]]:
    """Return the corners, (4, 2), of each line that is found in a copy with a longer side."""
    import cv2

    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    size = (max(32, round(width * factor)), max(32, round(height * factor)))
    copy = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    boxes = _load_reader()(copy, use_det=True, use_cls=False, use_rec=False).boxes
    if boxes is None:
        return []
    scale = np.array([width / size[0], height / size[1]])
    return [np.asarray(corners, np.float64) * scale for corners in boxes]


def _read_line(pixels: Pixels, corners: NDArray[np.float64], scale: NDArray[np.float64]) -> TextLine | None:
    """Recognise one line; None if there is nothing to read.

    Args:
        pixels: the image.
        corners: (4, 2), in its pixels.
        scale: from its pixels to those of the original, x and y.
    """
    cut = _cut_out(pixels, corners)
    if cut is None:
        return None
    if cut.shape[0] >= VERTICAL_RATIO * cut.shape[1]:
        views = [np.rot90(cut), np.rot90(cut, 3), _lay_down(cut)]
        text, confidence = max(map(_recognise, views), key=_weight)
    else:
        text, confidence = _recognise(cut)
        if confidence < FLIP_CONFIDENCE:
            flipped = _recognise(np.rot90(cut, 2))
            text, confidence = max((text, confidence), flipped, key=_weight)
    points = corners * scale
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return TextLine(
        text=" ".join(text.split()),
        box=(round(float(x1), 1), round(float(y1), 1), round(float(x2), 1), round(float(y2), 1)),
        polygon=[(round(float(x), 1), round(float(y), 1)) for x, y in points],
        confidence=min(1.0, max(0.0, round(confidence, 4))),
    )


def _cut_out(pixels: Pixels, corners: NDArray[np.float64]) -> Pixels | None:
    """Return a line, turned level; None if it is too thin."""
    import cv2

    width = round(
        float(max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3])))
    )
    height = round(
        float(max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2])))
    )
    if width < 3 or height < 3:
        return None
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    transform = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    cut = cv2.warpPerspective(
        pixels, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cut, np.uint8)


def _lay_down(cut: Pixels) -> Pixels:
    """Return upright characters that stand below each other, side by side."""
    height, width = cut.shape[:2]
    count = max(1, round(height / width))
    edges = np.linspace(0, height, count + 1).round().astype(int)
    side = int(np.diff(edges).min())
    return np.concatenate([cut[top : top + side] for top in edges[:-1]], axis=1)


def _recognise(cut: Pixels) -> tuple[str, float]:
    """Return what stands in a cut-out line, and the mean confidence of its characters."""
    result = _load_reader()(np.ascontiguousarray(cut), use_det=False, use_cls=False, use_rec=True)
    return (str(result.txts[0]), float(result.scores[0])) if result.txts else ("", 0.0)


def _weight(result: tuple[str, float]) -> float:
    """Return how many characters are read with what confidence beyond the least; for views of one line."""
    text, confidence = result
    return len(text.replace(" ", "")) * (confidence - MIN_CONFIDENCE)


def _merge(first: Sequence[TextLine], second: Sequence[TextLine]) -> list[TextLine]:
    """Join the lines of two sizes; where they are about the same writing, the surer ones stay."""
    merged, left = list[TextLine](), list(first)
    pending = list(second)
    while left or pending:
        group: tuple[list[TextLine], list[TextLine]] = ([left.pop(0)], []) if left else ([], [pending.pop(0)])
        grows = True
        while grows:  # lines that are joined by those of the other size, until no more are
            more = [line for line in pending if any(_are_same(line, other) for other in group[0])]
            pending = [line for line in pending if line not in more]
            group[1].extend(more)
            others = [line for line in left if any(_are_same(line, other) for other in group[1])]
            left = [line for line in left if line not in others]
            group[0].extend(others)
            grows = bool(more or others)
        one, other = group
        merged += one if not other or (one and _sureness(one) >= _sureness(other)) else other
    return merged


def _sureness(lines: Sequence[TextLine]) -> float:
    return sum(len(line.text.replace(" ", "")) * (line.confidence - SURE_CONFIDENCE) for line in lines)


def _are_same(a: TextLine, b: TextLine) -> bool:
    """Return whether two lines are about the same writing."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    areas = [(line.box[2] - line.box[0]) * (line.box[3] - line.box[1]) for line in (a, b)]
    return max(0.0, width) * max(0.0, height) > REPEATED_SHARE * min(areas)


def _is_writing(line: TextLine, size: tuple[int, int]) -> bool:
    x1, y1, x2, y2 = line.box
    is_glyph = len(line.text) == 1
    if not any(character.isalnum() for character in line.text) or x2 - x1 < 2 or y2 - y1 < 2:
        return False
    if is_glyph and (x2 - x1) * (y2 - y1) > MAX_GLYPH_SHARE * size[0] * size[1]:
        return False
    return line.confidence >= (MIN_GLYPH_CONFIDENCE if is_glyph else MIN_CONFIDENCE)


@cache
def _load_reader() -> Any:
    """Load the models, once in a process.

    Raises:
        BackendError: the package is not installed, or a model is missing.
    """
    try:
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        # With a path, RapidOCR loads that file; without one, it may look for another in the network.
        paths = {f"{stage}.model_path": str(folder / name) for stage, name in MODEL_FILES.items()}
        options = {
            "Global.log_level": "critical",
            "Global.text_score": 0.0,
            "Global.use_preprocess_img": False,
            "Global.use_vertical_padding": False,
            "Det.limit_type": "max",  # the size of the copy is the size to search
            "Det.limit_side_len": max(LARGE_SIDES),
            "Det.use_dilation": False,
            "Det.max_candidates": MAX_LINES,
            "EngineConfig.onnxruntime.intra_op_num_threads": default_thread_count(),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        return rapidocr.RapidOCR(params={**options, **paths})
    except ImportError as error:
        raise BackendError(f"reading text needs the package rapidocr ({error}): {HOW_TO_INSTALL}") from error
    except (OSError, ValueError) as error:
        raise BackendError(f"the models of rapidocr cannot be loaded ({error}): {HOW_TO_INSTALL}") from error
