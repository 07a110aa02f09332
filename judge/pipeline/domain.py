"""Three tests of whether a sample is outside the domain that the embedded judge was trained on.

The tests change no number; they add notes to the verdict's provenance. In addition, `visible_prompt` hides
sentences of the prompt from the embedded judge if it knows less than half of their words. Such sentences,
including instructions to the judge, could only change its numbers without a reason.

1. Words: the prompt or an element contains words that are not among the words of its training
   (`judge/assets/nano/judge.json`, key `words`). Numbers, articles and relations are not counted.
2. Image: it has the many colours and fine gradations of a photograph. The image is reduced to 224 x 224
   pixels and denoised by a median filter. It is photographic if less than `FLAT_COLOR_SHARE` of it has one of
   its ten most common colours (4 bits per channel) and less than `FLAT_STEP_SHARE` of the neighbouring 4 x 4
   blocks are nearly equal. Measured: this holds for 2 % of drawn scenes, degraded ones included, and for 80 %
   of photographs and of images of large generators.
3. Rubric: it is not one of the rubrics of its training (`judge.json`, keys `rubrics` and `adapters`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from judge.elements.element_list import ElementList, list_elements
from judge.elements.splitters.choice import TunedSplitter

if TYPE_CHECKING:
    from judge.rubrics.rubric import Rubric

ASSETS = Path(str(files("judge"))) / "assets" / "nano"
"""Folder of the embedded judge's weights."""
FLAT_COLOR_SHARE = 0.6
FLAT_STEP_SHARE = 0.6

MIN_KNOWN_SHARE = 0.5
"""Share of a sentence's words, common words aside, that the embedded judge must know to be shown the
sentence."""
_WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_COMMON_WORDS = frozenset(
    "a an the of and or with on in at to is are one two three four no there background picture image drawing "
    "illustration scene showing please draw photo left right above below under over front side".split()
)


@cache
def training_words() -> frozenset[str]:
    """Return the words of the embedded judge's training in lower case; empty if the asset has no list."""
    words = _read_model_file().get("words", [])
    return frozenset(part for word in words for part in str(word).lower().split())


@cache
def _training_rubric_hashes() -> frozenset[str]:
    """Return the hashes of the package's rubrics that the embedded judge was trained on."""
    from judge.rubrics.rubric import Rubric

    return frozenset(Rubric.load(name).hash for name in _read_model_file().get("rubrics", ()))


def _read_model_file() -> dict[str, Any]:
    """Return the content of the embedded judge's `judge.json`; empty if it cannot be read."""
    try:
        content: dict[str, Any] = json.loads((ASSETS / "judge.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def is_trained_wording(text: str) -> bool:
    """Return whether the embedded judge was trained on every word of a text."""
    known = training_words()
    return bool(known) and not find_unknown_words(text, (), known)


def list_for_tuned_model(prompt: str, negative_prompt: str = "") -> ElementList:
    """List the elements of a prompt as the pipeline does for a model that was tuned on a rubric."""
    return list_elements(prompt, negative_prompt, split=TunedSplitter("auto", is_trained_wording))


def is_trained_rubric(rubric: Rubric) -> bool:
    """Return whether the embedded judge was trained on a rubric."""
    return rubric.hash in _training_rubric_hashes()


def rubric_notes(rubric: Rubric) -> list[str]:
    """Return a note for a rubric that the embedded judge was not trained on, else an empty list."""
    if is_trained_rubric(rubric):
        return []
    return [
        f"outside the embedded judge's domain: it was not trained on rubric {rubric.name}; "
        "its answer has the right form, its numbers mean little"
    ]


def sample_notes(prompt: str, elements: Sequence[str], image: Image.Image) -> list[str]:
    """Return a note for each way in which a sample is outside the embedded judge's training.

    Args:
        prompt: the prompt.
        elements: the elements to check.
        image: RGB of any size.
    """
    notes = []
    unknown = find_unknown_words(prompt, elements, training_words())
    if unknown:
        listed = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        notes.append(f"outside the embedded judge's domain: it was not trained on the words {listed}")
    if is_photographic(image):
        notes.append(
            "outside the embedded judge's domain: the picture is not like the scenes it was trained on"
        )
    return notes


def visible_prompt(prompt: str, known: Collection[str] | None = None) -> tuple[str, list[str]]:
    """Remove the sentences of a prompt that the embedded judge is not shown.

    Args:
        prompt: any text.
        known: words that the judge knows; default: those of its training.

    Returns:
        The prompt as the embedded judge sees it, and the removed sentences. A prompt of which every sentence
        would be removed is returned unchanged.
    """
    known = training_words() if known is None else known
    sentences = [sentence for sentence in _SENTENCE_END.split(prompt) if sentence.strip()]
    visible = [sentence for sentence in sentences if _known_share(sentence, known) >= MIN_KNOWN_SHARE]
    if not visible or len(visible) == len(sentences):
        return prompt, []
    return " ".join(visible), [sentence for sentence in sentences if sentence not in visible]


def _known_share(sentence: str, known: Collection[str]) -> float:
    words = [word for word in _WORD.findall(sentence.lower()) if word not in _COMMON_WORDS]
    return sum(_is_known(word, known) for word in words) / len(words) if words else 0.0


def find_unknown_words(prompt: str, elements: Sequence[str], known: Collection[str]) -> list[str]:
    """Return the words of the prompt and the elements that are not known and not the plural of a known word.

    Args:
        prompt: any text.
        elements: any texts.
        known: words in lower case; if there are none, nothing is unknown.
    """
    if not known:
        return []
    words = _WORD.findall(" ".join([prompt, *elements]).lower())
    return [word for word in dict.fromkeys(words) if not _is_known(word, known)]


def names_known_object(name: str) -> bool:
    """Return whether the embedded judge was trained on all words of a statement, and one names an object."""
    from judge.scenes.vocabulary import OBJECT_KINDS

    words = _WORD.findall(name.lower())
    has_object = any(
        word in (*OBJECT_KINDS, "background") or word.rstrip("s") in OBJECT_KINDS for word in words
    )
    return has_object and not find_unknown_words("", [name], training_words())


def is_photographic(image: Image.Image) -> bool:
    """Return the result of the image test in the module's docstring; `image` is RGB of any size."""
    import cv2

    # OpenCV's median is equal to Pillow's bit for bit, and a hundred times faster; Pillow's takes longer than
    # the model itself.
    resized = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))
    denoised = Image.fromarray(cv2.medianBlur(resized, 5))
    colors = np.asarray(denoised.resize((112, 112), Image.Resampling.BOX)).astype(np.uint16) >> 4
    codes = (colors[..., 0] << 8 | colors[..., 1] << 4 | colors[..., 2]).ravel()
    counts = np.bincount(codes, minlength=4096)
    if np.partition(counts, -10)[-10:].sum() >= FLAT_COLOR_SHARE * counts.sum():
        return False
    blocks = np.asarray(denoised.resize((56, 56), Image.Resampling.BOX)).astype(np.int16).transpose(2, 0, 1)
    steps = [np.abs(np.diff(blocks, axis=axis)).max(axis=0).ravel() for axis in (1, 2)]
    return bool((np.concatenate(steps) < 5).mean() < FLAT_STEP_SHARE)


def _is_known(word: str, known: Collection[str]) -> bool:
    stems = [word, word.removesuffix("s"), word.removesuffix("es")]
    stems += [word.removesuffix("ies") + "y"] if word.endswith("ies") else []
    return any(stem in known or stem in _COMMON_WORDS for stem in stems)
