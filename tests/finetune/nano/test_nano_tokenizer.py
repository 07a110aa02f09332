"""The tokenizer of the embedded judge: single tokens for words and coordinates, and any text."""

from __future__ import annotations

import pytest

from finetune.nano import tasks
from finetune.nano.tokenizer import build_tokenizer
from judge.scenes import vocabulary


def test_words_and_coordinates_are_single_tokens(tokenizer):
    numbers = ["0", "10", "500", "1000", "1", "5"]
    for word in [*vocabulary.OBJECT_KINDS, *vocabulary.COLORS, *numbers, "true", "false"]:
        assert len(tokenizer.encode(word)) == 1


def test_a_vocabulary_that_is_too_small_is_refused(scene_facts):
    with pytest.raises(ValueError, match="raise it"):
        build_tokenizer(tasks.tokenizer_corpus(scene_facts), 300)


def test_any_text_is_decoded_as_it_was_encoded(tokenizer):
    text = "Größe 12.5 % — 猫 on a mat\n\t{}"
    assert tokenizer.decode(tokenizer.encode(text)) == text
