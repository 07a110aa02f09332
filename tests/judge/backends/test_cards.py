"""Cards of examined models are kept, found again by model and revision, and their settings are applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from random_backend import RandomBackend

from judge import backends
from judge.backends.cards import (
    CardSettings,
    Fitness,
    ModelCard,
    apply_card,
    cards_folder,
    find_card,
    keep_card,
    read_card,
    resolve_card,
)
from judge.errors import InputError
from judge.judge import Judge


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for cards, which are switched on."""
    monkeypatch.setenv("JUDGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("JUDGE_CARDS")
    return tmp_path / "home"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with a file of weights; nothing loads it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def build_card(model: str, settings: dict[str, Any], **fields: Any) -> ModelCard:
    verdict: Fitness = "fit with settings" if settings else "fit"
    defaults: dict[str, Any] = {
        "version": "1",
        "date": "2026-01-02",
        "count": 60,
        "seed": 0,
        "verdict": verdict,
    }
    return ModelCard(model=model, settings=CardSettings(**settings), **(defaults | fields))


def revision_of(folder: Path) -> str:
    from judge.backends.checkpoints import weights_revision

    return weights_revision(str(folder), (), None, None)


def load_recorded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the loading of models; returns the options of each call."""
    calls: list[dict[str, Any]] = []

    def load(name: str, model: str, **options: Any) -> RandomBackend:
        calls.append(options)
        return RandomBackend(brief=False, size=None)

    monkeypatch.setattr(backends, "load", load)
    return calls


def test_a_card_is_found_by_the_model_and_its_weights(checkpoint: Path) -> None:
    assert find_card(str(checkpoint), None, None) is None
    path = keep_card(build_card(str(checkpoint), {"batch": 1}, revision=revision_of(checkpoint)))
    assert path.parent == cards_folder() and read_card(path).settings.batch == 1
    found = find_card(f"{checkpoint}/", None, None)  # however the path is written
    assert found is not None and found.settings.chosen() == {"batch": 1}
    assert find_card(str(checkpoint), "an-adapter", None) is None
    assert find_card(str(checkpoint), None, "http://host/v1") is None
    (checkpoint / "model.safetensors").write_bytes(b"other weights")
    assert find_card(str(checkpoint), None, None) is None


def test_a_server_s_card_is_found_by_its_address_and_name() -> None:
    keep_card(build_card("judge", {"boxes": "pixels"}, base_url="http://host/v1/"))
    assert find_card("judge", None, "http://host/v1") is not None
    assert find_card("judge", None, "http://other/v1") is None


def test_settings_are_applied_and_named_in_provenance(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = load_recorded(monkeypatch)
    settings = {"boxes": "pixels", "batch": 1, "compare": "pointwise"}
    keep_card(build_card(str(checkpoint), settings, revision=revision_of(checkpoint)))
    judge = Judge(str(checkpoint))
    verdict = judge(Image.new("RGB", (32, 32)), prompt="a cat")
    assert calls[-1]["boxes"] == "pixels" and calls[-1]["batch"] == 1
    card = verdict.provenance.card
    for part in ("2026-01-02", "fit with settings", "boxes=pixels", "batch=1", "compare=pointwise"):
        assert part in card
    assert "card=False" in card and "JUDGE_CARDS=off" in card
    assert judge.way() == "pointwise" and judge.way("pairwise") == "pairwise"


def test_options_of_the_caller_win(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = load_recorded(monkeypatch)
    keep_card(build_card(str(checkpoint), {"boxes": "pixels", "batch": 1}, revision=revision_of(checkpoint)))
    judge = Judge(str(checkpoint), boxes="relative")
    verdict = judge(Image.new("RGB", (32, 32)), prompt="a cat")
    assert calls[-1]["boxes"] == "relative" and calls[-1]["batch"] == 1
    assert "boxes" not in verdict.provenance.card and "batch=1" in verdict.provenance.card


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_cards_can_be_switched_off(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    calls = load_recorded(monkeypatch)
    keep_card(build_card(str(checkpoint), {"batch": 1}, revision=revision_of(checkpoint)))
    if way == "environment":
        monkeypatch.setenv("JUDGE_CARDS", "off")
    judge = Judge(str(checkpoint), card=way != "argument")
    verdict = judge(Image.new("RGB", (32, 32)), prompt="a cat")
    assert "batch" not in calls[-1] and verdict.provenance.card == "" and judge.way() == "pairwise"


def test_a_card_can_be_given_as_a_file(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "card.json"
    file.write_text(build_card("another", {"boxes": "pixels"}).model_dump_json())
    applied = resolve_card(file, "transformers", str(checkpoint), None, None, {})
    assert dict(applied.options) == {"boxes": "pixels"}


def test_a_setting_that_the_backend_does_not_take_is_left_out() -> None:
    applied = apply_card(build_card("m", {"batch": 1}), {}, {"boxes"})
    assert not applied.options and applied.text == ""


def test_a_model_that_is_fit_as_it_comes_has_nothing_to_name() -> None:
    assert apply_card(build_card("m", {}), {}, {"boxes", "batch"}).text == ""


@pytest.mark.parametrize("text", ["", "{}", '{"model": 1}', "not json"])
def test_an_unreadable_card_is_one_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "card.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"card.json.*examine the model again"):
        Judge("some/model", card=str(file)).backend  # noqa: B018 - loading reads the card


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cards_folder() == tmp_path / "home" / "cards"
    monkeypatch.delenv("JUDGE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cards_folder() == tmp_path / "cache" / "judge" / "cards"
