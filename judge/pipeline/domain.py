"""Whether a sample is inside the domain that the embedded judge was trained on. Outside it, it abstains.

It was trained on drawn scenes, described with few words. A number for anything else would mean nothing, so a
sample must pass three tests:

1. Rubric: it is one of the rubrics of its training (`judge/assets/nano/judge.json`, keys `rubrics` and
   `adapters`).
2. Words: every content word of the prompt and of the elements is among the words of its training (key
   `words`), and at least one is there. Function words, relations and the numbers one to four are not counted.
3. Image: the image, or a frame of the video, is like a drawn scene (`judge.evidence.drawings`).

The rubric `quality` needs no prompt and was trained on photographs as well, so it always passes.

`visible_prompt` hides sentences of the prompt from the embedded judge if it knows less than half of their
words. Such sentences, including instructions to the judge, could only change its numbers without a reason.
Their words are tested too, unless they say nothing about what the image shows (`content_sentences`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judge.elements.element_list import GIVEN, ElementList, list_elements, remove_repeated
from judge.elements.splitters.choice import TunedSplitter
from judge.elements.statements import Statement

if TYPE_CHECKING:
    from PIL import Image

    from judge.rubrics.rubric import Rubric

EMBEDDED = "embedded"
"""Name of the model whose domain this is."""

ASSETS = Path(str(files("judge"))) / "assets" / "nano"
"""Folder of the embedded judge's weights."""
MIN_KNOWN_SHARE = 0.5
"""Share of a sentence's words, common words aside, that the embedded judge must know to be shown the
sentence."""
OUTSIDE = "outside what the embedded judge was trained on"
"""Beginning of the reason of a verdict that abstains."""
WAY_OUT = (
    "Run with --model NAME, see `judge models`; for the technical quality alone use the rubric quality, for "
    "writing the rubric text"
)
"""End of that reason: what can be done."""
PHOTO_RUBRICS = ("quality",)
"""Rubrics that need no prompt and were trained on photographs too: nothing is outside their domain."""
MAX_LISTED_WORDS = 8
MAX_COUNT = 4
"""Largest number of objects that the embedded judge was trained to count."""
_CONTENT = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
"""A word, a number, or a mixture such as 3d."""
_FUNCTION_WORDS = frozenset(
    "this that these those it its they them their which who whose there here be been being am was were has "
    "have had do does can may each every both all some any another other others one's as by from for into "
    "onto so such also too then than but while where when very only just exactly single pair same no not "
    "between beside next near top bottom middle center centre corner upper lower horizontal "
    "i we you he she his her my your our me us him what how if else per via about placed located positioned "
    "shown seen drawn has made contains containing contain includes including depicts depicting shows show "
    "featuring features consists consisting colored coloured color colour colors colours shape shapes shaped "
    "object objects thing things figure figures image images pictures drawings photos simple style".split()
)
"""Words that name nothing that an image shows; they are not tested."""
_INSTRUCTION_WORDS = frozenset(
    "ignore disregard instruction im assistant json verdict endoftext override jailbreak".split()
)
"""Words of instructions to the judge."""
_ANSWER_WORDS = frozenset(
    "score scoring rate rating grade grading judge judging evaluate evaluation evaluator assess assessment "
    "reviewer rater answer respond response reply report element defect explanation flawless".split()
)
"""Words about a judge's answer, which prompts use too."""
_CLAIM_WORDS = frozenset(
    "system user prompt output return give assign say state present missing perfect correct best worst high "
    "highest low lowest maximum minimum previous above must test check checked note image picture person "
    "people human".split()
)
"""Words that stand beside them in instructions and claims."""
_ORDER = re.compile(
    r"\W*(?:please\s+)?(?:give|assign|rate|grade|answer|output|return|say|report|respond|reply|write|print)\b",
    re.IGNORECASE,
)
"""The beginning of a sentence that tells the judge what to answer."""
_ABOUT_IMAGE = re.compile(
    r"\W*(?:the|this|that)\s+(?:image|picture|photo|photograph|drawing|illustration|artwork)\s+"
    r"(?:is|was|has\s+been|(?:may|can|could|should|must|will|shall)\s+be)\s+(?:\w+ly\s+|not\s+|already\s+)?"
    r"(?:meant|intended|supposed|made|created|generated|rendered|produced|drawn|painted|seen|viewed|shown|"
    r"looked|used|published|printed|good|great|nice|fine|beautiful|perfect|flawless|excellent|bad|ugly)\b",
    re.IGNORECASE,
)
"""The beginning of a sentence about the image as a work, not about what it shows."""
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
    words = _WORD.findall(text.lower())
    return bool(known) and all(_is_known(word, known) for word in words)


def list_for_tuned_model(prompt: str, negative_prompt: str = "") -> ElementList:
    """List the elements of a prompt as the pipeline does for a model that was tuned on a rubric."""
    return list_elements(prompt, negative_prompt, split=TunedSplitter("auto", is_trained_wording))


def is_trained_rubric(rubric: Rubric) -> bool:
    """Return whether the embedded judge was trained on a rubric."""
    return rubric.hash in _training_rubric_hashes()


def find_outside(
    rubric: Rubric,
    prompt: str,
    hidden: Sequence[str],
    elements: Sequence[str],
    images: Sequence[Image.Image],
) -> str:
    """Return why a sample is outside the domain of the embedded judge, and what to do; empty if it is inside.

    Args:
        rubric: the rubric.
        prompt: the prompt as the embedded judge is shown it; empty if the rubric needs none.
        hidden: the sentences of the prompt that it is not shown.
        elements: the elements to check.
        images: the image, or frames of the video, RGB of any size.
    """
    from judge.evidence.drawings import is_drawing

    is_trained = is_trained_rubric(rubric)
    if is_trained and rubric.name in PHOTO_RUBRICS:
        return ""
    reasons = [] if is_trained else [f"rubric {rubric.name}"]
    content = [prompt, *content_sentences(hidden), *elements]
    unknown = find_unknown_words(content, training_words())
    if unknown:
        listed = ", ".join(unknown[:MAX_LISTED_WORDS]) + (", ..." if unknown[MAX_LISTED_WORDS:] else "")
        reasons.append(f"the words {listed}" if unknown[1:] else f"the word {listed}")
    elif prompt and not any(names_something_known(text) for text in content):
        reasons.append("a prompt without any word that it knows")
    if not is_drawing(images):
        reasons.append("images that are no plain drawings, such as photographs and those of image generators")
    return f"{OUTSIDE}: {'; '.join(reasons)}. {WAY_OUT}" if reasons else ""


def rubrics_for_any_image() -> dict[str, tuple[str, str]]:
    """Return the rubrics that the embedded judge answers about any image -> what it does, and about what."""
    from judge.evidence import text

    rubrics = {"quality": ("Judge its technical quality", "blur, noise, compression, exposure, colours")}
    if text.is_available():
        details = "what is written where, against what the prompt quotes"
        rubrics["text"] = ("Read its writing", details)
    return rubrics


def without_way_out(reason: str) -> str:
    """Return the reason of an abstention without what can be done about it."""
    return reason.replace(f". {WAY_OUT}", "")


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


def content_sentences(hidden: Sequence[str]) -> list[str]:
    """Return the hidden sentences that say what the image shows.

    The others are instructions to the judge, claims about its answer, and statements about the image as a
    work.

    An instruction has one of `_INSTRUCTION_WORDS`, or it begins as an order or has one of `_ANSWER_WORDS` and
    has another of these, one of `_CLAIM_WORDS` or a number. Beside an instruction, the first of these is
    enough, because a splitter may have cut it into several sentences.
    """
    counts = [_count_answer_words(sentence) for sentence in hidden]
    needed = 1 if any(count > 1 for count in counts) else 2
    rest = [sentence for sentence, count in zip(hidden, counts, strict=True) if count < needed]
    return [sentence for sentence in rest if not _ABOUT_IMAGE.match(sentence)]


def _count_answer_words(sentence: str) -> int:
    """Count the words that speak of judging; one of `_INSTRUCTION_WORDS` counts two."""
    words = {stem for word in _WORD.findall(sentence.lower()) for stem in _stems(word)}
    if words & _INSTRUCTION_WORDS:
        return 2
    has_number = any(character.isdecimal() for character in sentence)
    count = len(words & _ANSWER_WORDS) or bool(_ORDER.match(sentence))
    return count + len(words & _CLAIM_WORDS) + has_number if count else 0


def without_hidden(listed: ElementList, visible: str, hidden: Sequence[str]) -> ElementList:
    """Leave out the elements that a splitter took from sentences that the embedded judge is not shown.

    Args:
        listed: the elements of a prompt; those that the caller gave are all kept.
        visible: the prompt as the embedded judge is shown it.
        hidden: the sentences of the prompt that it is not shown.
    """
    if not hidden or listed.splitter == GIVEN:
        return listed
    seen, unseen = (set(re.findall(r"\w+", text.lower())) for text in (visible, " ".join(hidden)))

    def is_shown(statement: Statement) -> bool:
        words = set(re.findall(r"\w+", statement.name.lower()))
        return words <= seen or not words <= seen | unseen

    return replace(listed, statements=remove_repeated(filter(is_shown, listed.statements)))


def find_unknown_words(texts: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the content words of the texts that are not known and not the plural of a known word.

    Args:
        texts: any texts. Numbers above four are words that are not known.
        known: words in lower case; if there are none, nothing is unknown.
    """
    if not known:
        return []
    words = _CONTENT.findall(" ".join(texts).lower().replace("\u2019", "'"))
    return [word for word in dict.fromkeys(words) if not _is_content_known(word, known)]


def names_something_known(text: str) -> bool:
    """Return whether a text has a content word of the embedded judge's training."""
    known = training_words()
    return any(stem in known for word in _WORD.findall(text.lower()) for stem in _stems(word))


def names_known_object(name: str) -> bool:
    """Return whether the embedded judge was trained on all words of a statement, and one names an object."""
    from judge.scenes.vocabulary import OBJECT_KINDS

    words = _WORD.findall(name.lower())
    has_object = any(
        word in (*OBJECT_KINDS, "background") or word.rstrip("s") in OBJECT_KINDS for word in words
    )
    return has_object and is_trained_wording(name)


def _stems(word: str) -> list[str]:
    """Return a word, and what it is the plural of."""
    stems = [word, word.removesuffix("s"), word.removesuffix("es")]
    return [*stems, word.removesuffix("ies") + "y"] if word.endswith("ies") else stems


def _is_known(word: str, known: Collection[str]) -> bool:
    return any(stem in known or stem in _COMMON_WORDS for stem in _stems(word))


def _is_content_known(word: str, known: Collection[str]) -> bool:
    """Return whether a word is known or carries no content; a compound, if all of its parts are."""
    if word.isdecimal():
        return 1 <= int(word) <= MAX_COUNT
    parts = re.split(r"[-']", word.removesuffix("'s"))
    return all(part in _FUNCTION_WORDS or _is_known(part, known) for part in parts)
