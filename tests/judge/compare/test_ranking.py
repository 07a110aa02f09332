"""Rankings by a judge: images and generators from folders and rows, and the `judge rank` command."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from brightness import general_judge, grey_image, tuned_judge
from PIL import Image
from typer.testing import CliRunner

from judge.cli import app as cli
from judge.compare.competitors import SINGLE_IMAGE, Competitor, load_competitors
from judge.compare.ranking import rank
from judge.errors import InputError
from judge.judge import Judge
from judge.types import Sample


def write_folders(root: Path, brightness: dict[str, int], count: int = 6) -> Path:
    """Write one folder of images per generator, each of about the given brightness."""
    for name, value in brightness.items():
        (root / name).mkdir()
        for number in range(count):
            grey_image(value + number).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize("judge", [tuned_judge(), general_judge(bias=0.1)], ids=["pointwise", "pairwise"])
def test_generators_are_ranked_by_their_images(tmp_path: Path, judge: Judge) -> None:
    folders = write_folders(tmp_path, {"dark": 20, "light": 220, "grey": 120})
    ranking = rank(judge, load_competitors(folders))
    assert [place.name for place in ranking.places] == ["light", "grey", "dark"]
    assert ranking.matches <= ranking.of == 18 and ranking.undecided == 0
    assert all(place.low < place.strength < place.high for place in ranking.places)


def test_a_pointwise_judge_judges_each_image_once(tmp_path: Path) -> None:
    judge = tuned_judge()
    folders = write_folders(tmp_path, {"a": 10, "b": 60, "c": 110, "d": 160})
    ranking = rank(judge, load_competitors(folders), budget=30)
    assert ranking.looks == len(judge.backend.requests) <= 24


def test_each_image_of_a_folder_is_a_competitor(tmp_path: Path) -> None:
    for name, value in {"x": 90, "y": 30, "z": 210}.items():
        grey_image(value).save(tmp_path / f"{name}.png")
    (tmp_path / "x.txt").write_text("a cat", "utf-8")
    competitors = load_competitors(tmp_path, prompt="a dog")
    prompts = [competitor.samples[SINGLE_IMAGE].prompt for competitor in competitors]
    assert prompts == ["a cat", "a dog", "a dog"]
    ranking = rank(tuned_judge(), competitors)
    assert [place.name for place in ranking.places] == ["z", "x", "y"] and ranking.settled


def test_rows_are_ranked_and_missing_images_are_reported(tmp_path: Path) -> None:
    grey_image(10).save(tmp_path / "a.png")
    grey_image(200).save(tmp_path / "b.png")
    rows = [{"id": "a", "image": "a.png"}, {"id": "b", "image": "b.png"}, {"id": "c", "image": "c.png"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    ranking = rank(tuned_judge(), load_competitors(tmp_path))
    assert [place.name for place in ranking.places if place.matches] == ["b", "a"]
    assert ranking.undecided == 2 and "c: " in ranking.reasons[0]


def test_data_that_cannot_be_ranked_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        load_competitors(tmp_path / "none")
    with pytest.raises(InputError, match="at least two"):
        load_competitors(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        grey_image(1).save(tmp_path / name / f"only-{name}.png")
    with pytest.raises(InputError, match="same name"):
        load_competitors(tmp_path)


@pytest.mark.parametrize("option", [{"budget": 0}, {"confidence": 1.0}, {"batch": 0}])
def test_unusable_options_are_named(option: dict[str, float]) -> None:
    competitors = [Competitor(name, {SINGLE_IMAGE: Sample(image=grey_image(1))}) for name in "ab"]
    with pytest.raises(InputError, match=next(iter(option))):
        rank(tuned_judge(), competitors, **option)


def test_the_command_prints_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"dark": 20, "light": 220})
    monkeypatch.setattr("judge.cli.judges.open_judge", lambda *options: tuned_judge())
    result = CliRunner().invoke(cli.app, ["rank", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.stderr
    assert [place["name"] for place in json.loads(result.stdout)["places"]] == ["light", "dark"]
    assert "light" in CliRunner().invoke(cli.app, ["rank", str(tmp_path)]).stdout
    assert CliRunner().invoke(cli.app, ["rank", str(tmp_path / "none")]).exit_code == 2


@pytest.mark.slow
def test_the_embedded_judge_ranks_six_generators_with_a_fifth_of_all_matches() -> None:
    """Each generator draws a known share of 40 sound scenes wrong: it shows another scene than requested."""
    from judge.scenes import draw_scene

    random, sound, seed = Random(4), [], 70_000
    while len(sound) < 41:
        scene, seed = draw_scene(seed), seed + 1
        if (scene.sample.labels.score or 0) > 4.5 and len(scene.sample.labels.elements) > 1:
            sound.append(scene)
    scenes = [(scene, other.image, random.random()) for scene, other in zip(sound, sound[1:], strict=False)]
    wrong_shares = {"d": 0.6, "a": 0.0, "f": 1.0, "c": 0.4, "b": 0.2, "e": 0.8}
    competitors = []
    for name, wrong_share in wrong_shares.items():
        samples = {}
        for number, (scene, other_image, threshold) in enumerate(scenes):
            drawn = other_image if threshold < wrong_share else scene.image
            image = drawn if isinstance(drawn, Image.Image) else Image.fromarray(drawn)
            sample = scene.sample
            samples[str(number)] = Sample(image=image, prompt=sample.prompt, elements=sample.elements)
        competitors.append(Competitor(name, samples))
    ranking = rank(Judge(), competitors)
    assert [place.name for place in ranking.places] == list("abcdef")
    assert ranking.of == 600 and ranking.matches <= 120
