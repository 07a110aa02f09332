"""Rubric files that users write: an error is one line that names the position in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_rubric import WORKED_EXAMPLE, write_example_rubric
from paths import ROOT

from judge.errors import RubricError
from judge.rubrics.rubric import Rubric


def write_default_rubric(folder: Path, old: str, new: str) -> Path:
    """Write the default rubric to a folder with one text replaced."""
    text = (ROOT / "prompts" / "rubrics" / "default.toml").read_text("utf-8")
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new), "utf-8")
    return path


def test_an_unknown_name_is_an_error_with_the_known_names_and_the_nearest() -> None:
    with pytest.raises(RubricError, match=r"default, .*quality.*did you mean 'quality'\?"):
        Rubric.load("qualty")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("elements = true", "element = true", "element"),
        ('"noise", "jpeg"', '"noise", "noise"', "given twice"),
        ('name = "alignment"', 'name = "score"', "given twice, or reserved"),
        ('factors = ["alignment", "structure"]', 'factors = ["alignment"]', "two dimensions"),
        ('factors = ["alignment", "structure"]', 'factors = ["alignment", "beauty"]', "'beauty'"),
        ('"smeared"', '"smea\\"red"', "kinds"),
        ("max = 3", "max = -3", "defects.max"),
        ('full = "default.jinja"', 'full = "defalt.jinja"', "defalt.jinja"),
        ("max = 3", "max = ", "TOML"),
    ],
)
def test_an_error_in_the_default_rubric_is_one_line_with_the_field(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(RubricError, match=message) as caught:
        Rubric.load(write_default_rubric(tmp_path, old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("explanation = 160", "explanations = 160", r"icons.toml.explanations.*did you mean 'explanation'\?"),
        ("labels = [", "lables = [", r"attributes.0.*labels"),
        ('language = "en"', 'language = "fr"', r"icons.toml.language.*'en' or 'zh'"),
        ('reference = "none"', 'reference = "maybe"', r"icons.toml.reference"),
        ('name = "example"\n', "\n", r"icons.toml.name.*required"),
        ('anchors = ["misleading", ', "anchors = [", r"4 given; give one for each"),
        ("clarity = 2", "clearness = 2", r"'clearness', which is not a dimension"),
        ('image = "icon.png"', 'image = "none.png"', r"none.png"),
        ('image = "icon.png"', 'image = "icons.toml"', r"examples.0.image.*an image"),
        ('style = "flat"', 'style = "round"', r"examples.0: answer: style: 'round' is not one of"),
        ("clarity = 4\n", "\n", r"examples.0: answer: reply: 'clarity' is missing"),
        ("box = [100, 200, 300, 400]", "box = [101, 200, 300, 400]", r"examples.0: answer"),
        ("[score] ", '[templates]\nfull = "mine.jinja"\n\n[score] ', r"icons.toml.templates.full.*line 1"),
    ],
)  # fmt: skip
def test_an_error_in_a_users_rubric_is_one_line_with_the_position(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "mine.jinja").write_text("{% if %}", "utf-8")
    with pytest.raises(RubricError, match=message) as caught:
        Rubric.load(write_example_rubric(tmp_path, (old, new), more=WORKED_EXAMPLE))
    assert "\n" not in str(caught.value)


def test_a_part_of_a_dimension_that_the_rule_does_not_merge_is_an_error(tmp_path: Path) -> None:
    add_part = ('description = "how surely', 'part = "the glyph"\ndescription = "how surely')
    assert Rubric.load(write_example_rubric(tmp_path, add_part)).dimensions[0].part == "the glyph"
    with pytest.raises(RubricError, match="'clarity' has a part, but score.mean does not merge it"):
        Rubric.load(write_example_rubric(tmp_path, add_part, ("clarity = 2\n", "\n")))


@pytest.mark.parametrize("template", ["{{ promt }}", "{{ prompt.x.y }}", "{{ 1 / 0 }}"])
def test_a_template_that_cannot_be_rendered_is_an_error_of_the_file(tmp_path: Path, template: str) -> None:
    (tmp_path / "mine.jinja").write_text(template, "utf-8")
    edit = ("[score] ", '[templates]\nbrief = "mine.jinja"\n\n[score] ')
    with pytest.raises(RubricError, match="icons.toml.templates.brief"):
        Rubric.load(write_example_rubric(tmp_path, edit))


def test_a_template_in_the_folder_of_the_rubric_is_preferred(tmp_path: Path) -> None:
    (tmp_path / "brief.jinja").write_text("Judge it. {{ prompt }}", "utf-8")
    rubric = Rubric.load(write_default_rubric(tmp_path, 'version = "1"', 'version = "1"'))
    assert rubric.templates.brief == "Judge it. {{ prompt }}"
    assert rubric.hash != Rubric.load("default").hash


def test_the_hash_depends_on_the_content(tmp_path: Path) -> None:
    default = Rubric.load("default")
    assert Rubric.load("default").hash == default.hash != Rubric.load("quality").hash
    assert Rubric.load(write_default_rubric(tmp_path, "max = 3", "max = 4")).hash != default.hash
