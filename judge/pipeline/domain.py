"""Three plain tests that say when the embedded judge is asked about something it never learnt.

They change no number; they add notes to the verdict's provenance. One thing is kept from it (`told`):
sentences of the prompt of which it knows less than half of the words. Whatever they say, an instruction to
the judge included, could only move its numbers for no reason.

1. Words: the prompt or an element names something that is not among the words of its training
   (`judge/assets/nano/judge.json`, key `words`), counts, articles and relations aside.
2. Picture: it has the many colours and fine changes of a photograph. Reduced to 224 x 224 and freed of
   noise by a median, less than `FLAT_COLORS` of it has one of its ten commonest colours (4 bits a channel),
   and less than `FLAT_STEPS` of its neighbouring 4 x 4 blocks are nearly equal. Measured: 2 % of drawn
   scenes, degraded ones included, and 80 % of photographs and of pictures of large generators.
3. Rubric: it is none of those that it was trained on (`judge.json`, keys `rubrics` and `adapters`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from judge.rubrics.rubric import Rubric

ASSETS = Path(str(files("judge"))) / "assets" / "nano"
FLAT_COLORS = 0.6
FLAT_STEPS = 0.6

FAMILIAR = 0.5
"""Share of a sentence's words, articles and the like aside, that it must know to be shown the sentence."""
_WORDS = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*")
_SENTENCES = re.compile(r"(?<=[.!?;])\s+|\n+")
_COMMON = frozenset(
    "a an the of and or with on in at to is are one two three four no there background picture image drawing "
    "illustration scene showing please draw photo left right above below under over front side".split()
)


@cache
def words() -> frozenset[str]:
    """The words of the embedded judge's training, lower case; empty when the asset has no list."""
    try:
        listed = json.loads((ASSETS / "judge.json").read_text("utf-8")).get("words", [])
    except (OSError, ValueError):
        return frozenset()
    return frozenset(part for word in listed for part in str(word).lower().split())


@cache
def _trained() -> frozenset[str]:
    """Hashes of the rubrics that the embedded judge was trained on, as they come with the package."""
    from judge.rubrics.rubric import Rubric

    try:
        card = json.loads((ASSETS / "judge.json").read_text("utf-8"))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(Rubric.load(name).hash for name in card.get("rubrics", ()))


def of_rubric(rubric: Rubric) -> list[str]:
    """What must be said of a rubric that the embedded judge was not trained on; empty for one that it was."""
    if rubric.hash in _trained():
        return []
    return [
        f"outside the embedded judge's domain: it was not trained on rubric {rubric.name}; "
        "its answer has the right form, its numbers mean little"
    ]


def notes(prompt: str, elements: Sequence[str], image: Image.Image) -> list[str]:
    """What lies outside the embedded judge's training, in sentences; empty when nothing does."""
    found = []
    strange = unknown(prompt, elements, words())
    if strange:
        shown = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
        found.append(f"outside the embedded judge's domain: it never learnt {shown}")
    if is_photographic(image):
        found.append(
            "outside the embedded judge's domain: the picture is not like the scenes it was trained on"
        )
    return found


def told(prompt: str, known: Collection[str] | None = None) -> tuple[str, list[str]]:
    """The prompt as the embedded judge is shown it, and the sentences that were left out; a prompt that has
    no other sentences is shown as it is.

    Args:
        prompt: any text.
        known: words that it knows; default: those of its training.
    """
    known = words() if known is None else known
    sentences = [one for one in _SENTENCES.split(prompt) if one.strip()]
    kept = [one for one in sentences if _share(one, known) >= FAMILIAR]
    if not kept or len(kept) == len(sentences):
        return prompt, []
    return " ".join(kept), [one for one in sentences if one not in kept]


def _share(sentence: str, known: Collection[str]) -> float:
    found = [word for word in _WORDS.findall(sentence.lower()) if word not in _COMMON]
    return sum(_is_known(word, known) for word in found) / len(found) if found else 0.0


def unknown(prompt: str, elements: Sequence[str], known: Collection[str]) -> list[str]:
    """Words of the prompt and the elements that are not known, nor the plural of a known one."""
    if not known:
        return []
    found = _WORDS.findall(" ".join([prompt, *elements]).lower())
    return [word for word in dict.fromkeys(found) if not _is_known(word, known)]


def is_photographic(image: Image.Image) -> bool:
    """The picture test of this module's docstring; `image` is RGB of any size."""
    import cv2

    # Pillow's median is the same, bit for bit, in a hundred times the time: more than the model itself takes.
    seen = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))
    small = Image.fromarray(cv2.medianBlur(seen, 5))
    fine = np.asarray(small.resize((112, 112), Image.Resampling.BOX)).astype(np.uint16) >> 4
    counts = np.bincount((fine[..., 0] << 8 | fine[..., 1] << 4 | fine[..., 2]).ravel(), minlength=4096)
    if np.partition(counts, -10)[-10:].sum() >= FLAT_COLORS * counts.sum():
        return False
    planes = np.asarray(small.resize((56, 56), Image.Resampling.BOX)).astype(np.int16).transpose(2, 0, 1)
    steps = [np.abs(np.diff(planes, axis=axis)).max(axis=0).ravel() for axis in (1, 2)]
    return bool((np.concatenate(steps) < 5).mean() < FLAT_STEPS)


def _is_known(word: str, known: Collection[str]) -> bool:
    stems = [word, word.removesuffix("s"), word.removesuffix("es")]
    stems += [word.removesuffix("ies") + "y"] if word.endswith("ies") else []
    return any(stem in known or stem in _COMMON for stem in stems)
