"""Adapters of one model for different rubrics: each rubric is answered by its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from judge import Judge
from judge.backends.checkpoints import Folder
from judge.backends.transformers.backend import Transformers
from judge.errors import BackendError


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with an adapter for all rubrics and one, with weights for the eyes, for `quality`."""
    folder = tiny.nano(tmp_path_factory.mktemp("several"))
    tiny.adapter(folder / "base", folder / "photos", seed=2, tower=True)
    card = json.loads((folder / "judge.json").read_text("utf-8")) | {"adapters": {"quality": "photos"}}
    (folder / "judge.json").write_text(json.dumps(card), "utf-8")
    (folder / "photos" / "judge.json").write_text(json.dumps({"domain": "photographs"}), "utf-8")
    return folder


def test_a_rubric_is_answered_by_the_adapter_that_was_trained_for_it(several: Path) -> None:
    picture = tiny_picture()
    chosen = Judge(backend=Transformers(several), rubric="quality")(picture, depth="score")
    named = Transformers(several / "base", adapter=several / "photos", brief=True)
    named.size = 64
    by_name = Judge(backend=named, rubric="quality")(picture, depth="score")
    assert chosen.distribution == pytest.approx(by_name.distribution, abs=1e-6)
    assert chosen.provenance.adapter == "photos"
    assert chosen.provenance.domain == "photographs"


def test_a_rubric_without_an_adapter_of_its_own_gets_the_general_one(several: Path, tmp_path: Path) -> None:
    picture = tiny_picture()
    found = Judge(backend=Transformers(several))(picture, prompt="a cat", depth="score")
    plain = tiny.nano(tmp_path)
    assert found.distribution == pytest.approx(
        Judge(backend=Transformers(plain))(picture, prompt="a cat", depth="score").distribution, abs=1e-6
    )
    assert (found.provenance.adapter, found.provenance.domain) == ("adapter", "noise")


def test_asks_of_several_rubrics_in_one_batch_come_back_in_order(several: Path) -> None:
    backend, picture = Transformers(several), tiny_picture()
    judges = [Judge(backend=backend), Judge(backend=backend, rubric="quality")]
    cases = [
        judge.pipeline.prepare({"image": picture, "prompt": "a cat"}, "score")
        for judge in (judges[0], judges[1], judges[0])
    ]
    mixed = backend.choose([case.request for case in cases])
    alone = [backend.choose([case.request])[0] for case in cases]
    for one, other in zip(mixed, alone, strict=True):
        assert one.probabilities["score"] == pytest.approx(other.probabilities["score"], abs=1e-5)


def test_an_adapter_of_the_callers_answers_every_rubric(several: Path) -> None:
    folder = Folder.of(several, adapter=several / "photos")
    assert folder.own == {} and folder.adapter is not None and folder.adapter.name == "photos"


def test_an_adapter_that_is_named_and_not_there_is_told_before_anything_loads(tmp_path: Path) -> None:
    (tmp_path / "judge.json").write_text(json.dumps({"adapters": {"quality": "gone"}}), "utf-8")
    with pytest.raises(BackendError, match="names the adapter gone"):
        Folder.of(tmp_path)


def tiny_picture():
    import numpy as np

    return np.random.default_rng(5).integers(0, 256, (80, 96, 3), dtype=np.uint8)
