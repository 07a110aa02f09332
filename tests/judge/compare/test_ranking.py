"""Comparing and ranking: both orders are asked, few matches are played, and the better one wins."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from filler import Filler
from PIL import Image
from serving import gateway
from typer.testing import CliRunner

from judge.backends.base import Reply, Request
from judge.cli import app as cli
from judge.compare.ranking import ALONE, Entrant, entrants, rank
from judge.compare.tournament import Tournament
from judge.errors import InputError
from judge.judge import Judge
from judge.remote.client import Client
from judge.rubrics.form import dumps
from judge.serve.engine.ipc import Recipe
from judge.types import Sample


def shade(value: int) -> Image.Image:
    return Image.new("L", (32, 32), value).convert("RGB")


class Bright(Filler):
    """Finds brighter pictures better; of two, leans to the one shown first by as much as is said."""

    def __init__(self, lean: float = 0.0, **options) -> None:
        super().__init__(**options)
        self.lean = lean

    def _fill(self, request: Request) -> Reply:
        light = [np.asarray(image).mean() / 255 for image in request.images]
        if "better" in dict(request.form.root.members):
            self.requests.append(request)
            first = min(1.0, max(0.0, 0.5 + (light[-2] - light[-1]) / 2 + self.lean))
            values = {"explanation": "lighter", "better": "first" if first > 0.5 else "second"}
            kept = {key: values[key] for key, _ in request.form.root.members}
            return Reply(dumps(kept), {"better": {"first": first, "second": 1 - first, "tie": 0.0}})
        reply = super()._fill(request)
        share = light[-1]
        told = {"1": 1 - share, "2": 0.0, "3": 0.0, "4": 0.0, "5": share}
        shares = {name: told for name in reply.probabilities if name == "score" or "dimensions" in name}
        return Reply(reply.text, reply.probabilities | shares)


def general(lean: float = 0.0) -> Judge:
    return Judge(backend=Bright(lean, brief=False), rubric="quality")


def tuned() -> Judge:
    return Judge(backend=Bright(), rubric="quality")


# -- Two pictures ----------------------------------------------------------------------------------------


def test_general_models_see_both_pictures_in_both_orders() -> None:
    judge = general()
    found = judge.compare(shade(200), shade(100))
    (first, second) = (request for request in judge.backend.requests if len(request.images) == 2)
    assert [image.getpixel((0, 0))[0] for image in first.images] == [200, 100]
    assert [image.getpixel((0, 0))[0] for image in second.images] == [100, 200]
    assert (found.preferred, found.how) == ("a", "pairwise")
    assert found.probability == pytest.approx(0.5 + 100 / 255 / 2)
    assert found.swap_disagreement == pytest.approx(0)
    assert found.explanation == "lighter" and found.a.score is not None


def test_a_lean_to_one_place_cancels_and_is_reported() -> None:
    found = general(lean=0.2).compare(shade(150), shade(140))
    assert found.probability == pytest.approx(0.5 + 10 / 255 / 2)
    assert found.swap_disagreement == pytest.approx(0.4)
    tie = general(lean=0.2).compare(shade(150), shade(150))
    assert (tie.preferred, tie.probability) == ("tie", pytest.approx(0.5))


def test_at_score_depth_only_the_side_is_asked() -> None:
    judge = general()
    judge.compare(shade(200), shade(100), depth="score")
    asked = [request for request in judge.backend.requests if len(request.images) == 2]
    assert [[key for key, _ in request.form.root.members] for request in asked] == [["better"]] * 2


def test_models_tuned_on_one_picture_compare_scores_and_have_no_order_to_swap() -> None:
    found = tuned().compare(shade(200), shade(100))
    assert (found.preferred, found.how, found.swap_disagreement) == ("a", "pointwise", 0)
    with pytest.raises(InputError, match="how.*pointwise"):
        tuned().compare(shade(1), shade(2), how="pairwise")
    with pytest.raises(InputError, match="how"):
        tuned().compare(shade(1), shade(2), how="sideways")


@pytest.mark.parametrize(
    ("brief", "how", "way"),
    [
        (False, "pairwise", "pairwise"),
        (False, "auto", "pairwise"),
        (False, "pointwise", "pointwise"),
        (True, "auto", "pointwise"),
    ],
)
def test_a_gateway_compares_as_its_model_does_in_process(brief: bool, how: Any, way: str) -> None:
    own = tuned() if brief else general(lean=0.2)
    with gateway(Recipe("test_ranking:Bright", {"lean": 0.2, "brief": brief})) as running:
        far = Client(running.url).compare(shade(200), shade(100), rubric="quality", how=how)
        same = own.compare(shade(200), shade(100), how=how)
        known = {"preferred", "probability", "how", "orders", "swap_disagreement", "explanation", "margin"}
        assert far.how == way
        assert far.model_dump(include=known) == same.model_dump(include=known)
        judged = Judge(running.url, rubric="quality")
        assert judged.compare(shade(200), shade(100)).how == "pointwise"  # unless pairs are asked for
        if brief:
            with pytest.raises(InputError, match="how.*pointwise"):
                judged.compare(shade(1), shade(2), how="pairwise")
        else:
            assert judged.compare(shade(1), shade(2), how="pairwise").how == "pairwise"


# -- Tournaments -----------------------------------------------------------------------------------------


def played(strengths: list[float], keys: list[str], seed: int, limit: int) -> Tournament:
    chance, tournament = Random(seed), Tournament([keys] * len(strengths), seed=seed)
    while tournament.played < limit and not tournament.settled:
        for match in tournament.next(4):
            odds = strengths[match.a] - strengths[match.b]
            tournament.tell(match, float(chance.random() < 1 / (1 + np.exp(-odds))))
    return tournament


def test_a_noisy_order_is_found_with_a_fifth_of_all_matches() -> None:
    true = [0.0, 4.0, 1.0, 5.0, 3.0, 2.0]
    for seed in range(5):
        tournament = played(true, [str(n) for n in range(40)], seed, 120)
        assert [s.number for s in tournament.standings()] == [3, 1, 4, 5, 2, 0]
        assert tournament.played <= tournament.pairs / 5 == 120


def test_settled_means_that_neighbours_are_certain_and_equals_stay_open() -> None:
    clear = played([0.0, 3.0], [str(n) for n in range(40)], 0, 40)
    assert clear.settled and clear.played < 40
    assert (clear.standings()[0].ahead or 0) >= 0.95
    assert clear.standings()[0].low > clear.standings()[1].high - 2
    equal = Tournament([[str(n) for n in range(40)]] * 2)
    for number, match in enumerate(equal.next(20)):
        equal.tell(match, float(number % 2))
    assert not equal.settled and equal.standings()[0].ahead == pytest.approx(0.5, abs=0.01)


def test_no_pair_meets_twice_over_the_same_thing() -> None:
    tournament = Tournament([["x", "y"], ["y", "z"], ["x", "y", "z"]])
    matches = tournament.next(99)
    assert len(matches) == len(set(matches)) == tournament.pairs == 5
    assert tournament.next() == [] and tournament.settled


# -- Rankings of a judge -----------------------------------------------------------------------------------


def folders(root: Path, shades: dict[str, int], count: int = 6) -> Path:
    for name, value in shades.items():
        (root / name).mkdir()
        for number in range(count):
            shade(value + number).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize("judge", [tuned(), general(lean=0.1)], ids=["pointwise", "pairwise"])
def test_generators_are_ranked_by_their_pictures(tmp_path: Path, judge: Judge) -> None:
    found = rank(judge, entrants(folders(tmp_path, {"dark": 20, "light": 220, "grey": 120})))
    assert [place.name for place in found.places] == ["light", "grey", "dark"]
    assert found.matches <= found.of == 18 and found.undecided == 0
    assert all(place.low < place.strength < place.high for place in found.places)


def test_each_picture_is_looked_at_once_by_a_pointwise_judge(tmp_path: Path) -> None:
    judge = tuned()
    found = rank(judge, entrants(folders(tmp_path, {"a": 10, "b": 60, "c": 110, "d": 160})), budget=30)
    assert found.looks == len(judge.backend.requests) <= 24


def test_pictures_of_a_folder_are_ranked_one_by_one(tmp_path: Path) -> None:
    for name, value in {"x": 90, "y": 30, "z": 210}.items():
        shade(value).save(tmp_path / f"{name}.png")
    (tmp_path / "x.txt").write_text("a cat", "utf-8")
    competitors = entrants(tmp_path, prompt="a dog")
    assert [one.samples[ALONE].prompt for one in competitors] == ["a cat", "a dog", "a dog"]
    found = rank(tuned(), competitors)
    assert [place.name for place in found.places] == ["z", "x", "y"] and found.settled


def test_rows_are_ranked_and_bad_pictures_are_told(tmp_path: Path) -> None:
    shade(10).save(tmp_path / "a.png")
    shade(200).save(tmp_path / "b.png")
    rows = [{"id": "a", "image": "a.png"}, {"id": "b", "image": "b.png"}, {"id": "c", "image": "c.png"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = rank(tuned(), entrants(tmp_path))
    assert [place.name for place in found.places if place.matches] == ["b", "a"]
    assert found.undecided == 2 and "c: " in found.reasons[0]


def test_what_cannot_be_ranked_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        entrants(tmp_path / "none")
    with pytest.raises(InputError, match="at least two"):
        entrants(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shade(1).save(tmp_path / name / f"only-{name}.png")
    with pytest.raises(InputError, match="same name"):
        entrants(tmp_path)
    alone = [Entrant(name, {ALONE: Sample(image=shade(1))}) for name in "ab"]
    for wrong in ({"budget": 0}, {"confidence": 1.0}, {"batch": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            rank(tuned(), alone, **wrong)


def test_the_command_prints_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path, {"dark": 20, "light": 220})
    monkeypatch.setattr(cli, "_judge", lambda *options: tuned())
    told = CliRunner().invoke(cli.app, ["rank", str(tmp_path), "--json"])
    assert told.exit_code == 0, told.stderr
    assert [place["name"] for place in json.loads(told.stdout)["places"]] == ["light", "dark"]
    assert "light" in CliRunner().invoke(cli.app, ["rank", str(tmp_path)]).stdout
    assert CliRunner().invoke(cli.app, ["rank", str(tmp_path / "none")]).exit_code == 2


@pytest.mark.slow
def test_the_embedded_judge_ranks_six_generators_with_a_fifth_of_all_matches() -> None:
    """Of 40 sound scenes each generator gets a known share wrong: it shows another one than was asked for."""
    from judge.scenes import draw

    chance, sound, seed = Random(4), [], 70_000
    while len(sound) < 41:
        scene, seed = draw(seed), seed + 1
        if (scene.sample.labels.score or 0) > 4.5 and len(scene.sample.labels.elements) > 1:
            sound.append(scene)
    scenes = [(scene, other.image, chance.random()) for scene, other in zip(sound, sound[1:], strict=False)]
    shares = {"d": 0.6, "a": 0.0, "f": 1.0, "c": 0.4, "b": 0.2, "e": 0.8}
    competitors = []
    for name, share in shares.items():
        samples = {}
        for number, (scene, other, luck) in enumerate(scenes):
            shown = other if luck < share else scene.image
            image = shown if isinstance(shown, Image.Image) else Image.fromarray(shown)
            asked = scene.sample
            samples[str(number)] = Sample(image=image, prompt=asked.prompt, elements=asked.elements)
        competitors.append(Entrant(name, samples))
    found = rank(Judge(), competitors)
    assert [place.name for place in found.places] == list("abcdef")
    assert found.of == 600 and found.matches <= 120
