"""The grammar of free text in a form, as a mask on logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.backends.decoding.natural.texts import ending_tree
from judge.backends.decoding.program import TextMask


class TextGrammar:
    """Restrict free text to characters that are valid in the form.

    A text holds no quote, backslash or control character, has a limited length, and ends with the closing
    quote.

    Args:
        model: the transformers model.
        processor: the model's.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self._matcher = lru_cache(maxsize=64)(self._compile)

    def text_mask(self, max_chars: int, beginning: bytes = b"", endings: tuple[bytes, ...] = ()) -> TextMask:
        """Return the mask of one text.

        Args:
            max_chars: greatest number of characters, without the closing quote.
            beginning: what stands before the text and is written with it.
            endings: what may follow after the closing quote; the token that holds the quote may hold a
                beginning of one of them.

        Returns:
            A function that takes the tokens of the text so far and the logits (V,) of the next token. It
            returns the logits, with minus infinity for tokens that are not allowed if the best one is not.
        """
        import llguidance.numpy

        matcher, consumed = self._matcher(max_chars, beginning, endings).deep_copy(), 0
        size = self._outlines.llg_tokenizer.vocab_size

        def mask(written: Sequence[int], logits: Any) -> Any:
            nonlocal consumed
            matcher.consume_tokens(list(written[consumed:]))
            consumed = len(written)
            # Most tokens that a model wants to write are allowed, and checking one token is fast.
            best = int(logits.argmax())
            if best >= size or not matcher.validate_tokens([best]):
                allowed = llguidance.numpy.allocate_token_bitmask(1, size)
                llguidance.numpy.fill_next_token_bitmask(matcher, allowed)
                llguidance.numpy.apply_token_bitmask_inplace(logits, allowed)
            return logits

        return mask

    def allowed_tokens(
        self, max_chars: int, beginning: bytes = b"", endings: tuple[bytes, ...] = ()
    ) -> Callable[[Sequence[int]], NDArray[np.bool_]]:
        """Return the tokens that one text allows, for sampling.

        Args:
            max_chars: as for `text_mask`.
            beginning: as for `text_mask`.
            endings: as for `text_mask`.

        Returns:
            A function from the tokens of the text so far to (V,) whether each token may follow.
        """
        import llguidance.numpy

        matcher, consumed = self._matcher(max_chars, beginning, endings).deep_copy(), 0
        size = self._outlines.llg_tokenizer.vocab_size
        bits = llguidance.numpy.allocate_token_bitmask(1, size)

        def allowed(written: Sequence[int]) -> NDArray[np.bool_]:
            nonlocal consumed
            matcher.consume_tokens(list(written[consumed:]))
            consumed = len(written)
            llguidance.numpy.fill_next_token_bitmask(matcher, bits)
            own = np.unpackbits(bits.view(np.uint8).reshape(-1), bitorder="little", count=size)
            found: NDArray[np.bool_] = own.astype(bool)
            return found

        return allowed

    def _compile(self, max_chars: int, beginning: bytes, endings: tuple[bytes, ...]) -> Any:
        """Compile the grammar with outlines; returns a matcher that has read nothing."""
        from llguidance import LLMatcher

        before, after = _escape(beginning.decode("utf-8", "ignore")), _expression(ending_tree(endings))
        pattern = rf'{before}[^"\\\x00-\x1f]{{0,{max_chars}}}"{after}'
        compiled = self._outlines.get_regex_logits_processor(pattern)
        return LLMatcher(compiled.llg_tokenizer, compiled.grammar)

    @cached_property
    def _outlines(self) -> Any:
        import outlines
        from outlines.backends.llguidance import LLGuidanceBackend

        return LLGuidanceBackend(outlines.from_transformers(self._model, self._processor))


def _expression(tree: dict[str, Any]) -> str:
    branches = [_escape(character) + _expression(below) for character, below in tree.items()]
    return f"(?:{'|'.join(branches)})?" if branches else ""


def _escape(text: str) -> str:
    return "".join(
        character
        if character.isalnum()
        else f"\\x{ord(character):02x}"
        if ord(character) < 256
        else character
        for character in text
    )
