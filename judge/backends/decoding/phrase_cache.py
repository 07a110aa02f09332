"""Predict free text from phrases that a model often writes, to decode several tokens in one pass."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Sequence


class PhraseCache:
    """A table of which token followed which one or two tokens.

    Predictions only save forward passes: the text is always the model's own choice. Nothing is kept from one
    form to the next, because a text that is fed in different portions differs in the last digits of its
    numbers.

    Args:
        phrases: token sequences that the model is known to write.
    """

    def __init__(self, phrases: Iterable[Sequence[int]] = ()) -> None:
        self._next_token: ChainMap[tuple[int, ...], int] = ChainMap({})
        for phrase in phrases:
            self.add(phrase)

    def child(self) -> PhraseCache:
        """Return a cache with the same phrases, to which phrases can be added without changing this one."""
        child = PhraseCache()
        child._next_token = self._next_token.new_child()
        return child

    def add(self, phrase: Sequence[int]) -> None:
        """Add a token sequence to the table."""
        for last, token in zip(phrase, phrase[1:], strict=False):
            self._next_token[(last,)] = token
        for before, last, token in zip(phrase, phrase[1:], phrase[2:], strict=False):
            self._next_token[before, last] = token

    def predict(self, written: Sequence[int], max_tokens: int) -> list[int]:
        """Predict the tokens that follow a text.

        Args:
            written: the tokens of the text so far.
            max_tokens: greatest number of tokens to predict.

        Returns:
            The predicted tokens; empty if the table has no continuation.
        """
        context, predicted = tuple(written[-2:]), list[int]()
        while context and len(predicted) < max_tokens:
            token = self._next_token.get(context, self._next_token.get(context[-1:]))
            if token is None:
                break
            predicted.append(token)
            context = (context[-1], token)
        return predicted
