"""Find, load and run an installed English pipeline of spaCy.

Any installed pipeline package for English is used, whatever its name: spaCy's own ("en_core_web_lg"), copies
of
it under other names, and pipelines of other people, if they have a tagger and a dependency parser. spaCy is
imported when the first prompt is split.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from judge.errors import BackendError

log = logging.getLogger("judge.elements")

SIZES = ("lg", "md", "sm")
"""Sizes of pipelines in their names, best first; others come last ("trf" takes seconds without a GPU)."""
_OFFICIAL = re.compile(r"en_core_web_(?:trf|lg|md|sm)")
_UNUSED = ["ner", "textcat", "entity_linker", "senter", "entity_ruler"]
"""Components that cost time and are not read."""
_LOCK = threading.Lock()


@cache
def installed_pipelines() -> tuple[str, ...]:
    """Return the names of the installed English pipelines, best first; none without spaCy.

    Packages are found by their entry point `spacy_models` and by their names ("en_..."). The larger come
    first;
    of one size, the pipeline of spaCy's makers.
    """
    if find_spec("spacy") is None:
        return ()
    names = {point.name for point in metadata.entry_points(group="spacy_models")}
    names |= {
        name
        for distribution in metadata.distributions()
        if (name := (distribution.metadata["Name"] or "").lower().replace("-", "_")).startswith("en_")
        and find_spec(name) is not None
    }
    return tuple(sorted(filter(_is_usable, names), key=_rank))


def is_available() -> bool:
    """Return whether prompts can be split by grammar: spaCy and an English pipeline are installed."""
    return bool(installed_pipelines())


def pipeline_version() -> str:
    """Return the pipeline that is used and its version, for example "en_core_web_sm 3.8.0"; empty if none."""
    names = installed_pipelines()
    return f"{names[0]} {_read_description(names[0]).get('version', '')}".strip() if names else ""


def parse_texts(texts: Iterable[str]) -> list[Any]:
    """Parse texts together.

    Args:
        texts: segments of prompts.

    Returns:
        One `spacy.tokens.Doc` for each text, with tags, dependencies and lemmas, of the text in lower case;
        the
        text itself is `doc.user_data["text"]`.
    """
    # Capitals would make the parser take ordinary nouns for names ("Crab finds shell, Wide shot").
    lowered = [(_lower(text), text) for text in texts]
    with _LOCK:  # a pipeline grows its vocabulary while it runs
        parsed = list(_load_pipeline().pipe(lowered, as_tuples=True, batch_size=64))
    for doc, text in parsed:
        doc.user_data["text"] = text
    return [doc for doc, _ in parsed]


def _lower(text: str) -> str:
    """Return a text in lower case with the same offsets."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


@cache
def _load_pipeline() -> Any:
    """Load the best pipeline that loads.

    Raises:
        BackendError: none does.
    """
    import spacy

    reasons = []
    for name in installed_pipelines():
        try:
            return _keep_words(spacy.load(name, exclude=_UNUSED))
        except (OSError, ImportError, ValueError) as error:
            reasons.append(f"{name}: {error}")
            log.warning("the spaCy pipeline %s was not loaded: %s", name, error)
    raise BackendError("no English pipeline of spaCy can be loaded; " + "; ".join(reasons))


def _keep_words(pipeline: Any) -> Any:
    """Make words with hyphens ("award-winning") and numbers with letters ("4k") one token."""
    from spacy.util import compile_infix_regex

    infixes = [pattern for pattern in pipeline.Defaults.infixes if "-|–" not in pattern]
    pipeline.tokenizer.infix_finditer = compile_infix_regex(infixes).finditer
    pipeline.tokenizer.token_match = re.compile(r"\d+[a-z]+").fullmatch
    return pipeline


def _is_usable(name: str) -> bool:
    """Return whether a pipeline is for English, has tags and dependencies, and fits the installed spaCy."""
    description = _read_description(name)
    components = set(description.get("components", description.get("pipeline", ())))
    return description.get("lang") == "en" and "parser" in components and _fits_spacy(description)


def _fits_spacy(description: dict[str, Any]) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        allowed = SpecifierSet(description.get("spacy_version", ""))
    except InvalidSpecifier:
        return False
    return allowed.contains(metadata.version("spacy"), prereleases=True)


def _read_description(name: str) -> dict[str, Any]:
    """Return the pipeline's `meta.json`; empty if it cannot be read. The package is not imported."""
    try:
        spec = find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for file in (Path(folder) / "meta.json", *Path(folder).glob("*/meta.json")):
                if file.is_file():
                    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                    return content
    except (OSError, ValueError, ImportError):
        pass
    return {}


def _rank(name: str) -> tuple[int, bool, str]:
    size = next(
        (at for at, size in enumerate(SIZES) if re.search(rf"(?:^|_){size}(?:_|$)", name)), len(SIZES)
    )
    return size, not _OFFICIAL.fullmatch(name), name
