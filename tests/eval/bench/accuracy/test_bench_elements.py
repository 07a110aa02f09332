"""Precision and recall of the elements read from prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.bench.accuracy.elements import measure_splitting, read_labels, split_words
from judge.errors import InputError


def test_names_are_compared_without_kind_article_and_case() -> None:
    assert split_words("The Red Circle (object-shape)") == ("red", "circle")
    assert split_words("@ (Other-writing&symbol)") == ()


def test_precision_and_recall_of_an_example_computed_by_hand() -> None:
    labels = [("a red cat and a dog", ["red cat (animal)", "dog (animal)"]), ("x", ["big house (object)"])]

    def split(prompt: str) -> list[str]:
        return {"x": ["house"]}.get(prompt, ["a red cat", "tree", "a red cat"])

    result = measure_splitting(labels, split)
    # exact: "red cat" of 3 predicted (a duplicate counts once) and 3 labelled; overlap: also "house".
    assert (result["precision"], result["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert result["overlap_precision"] == pytest.approx(2 / 3)
    assert result["overlap_recall"] == pytest.approx(2 / 3)
    assert result["count"] == 2


def test_a_label_file_of_another_format_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    for content in ("{", '{"a": 1}', '[{"prompt": "x"}]', "3"):
        file.write_text(content)
        with pytest.raises(InputError, match="labels"):
            read_labels(file)
