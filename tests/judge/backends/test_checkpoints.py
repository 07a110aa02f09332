"""A model may have an adapter for each rubric: each rubric is answered by its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from judge import Judge
from judge.backends.checkpoints import Checkpoint
from judge.backends.transformers.backend import Transformers
from judge.errors import BackendError

IMAGE = np.random.default_rng(5).integers(0, 256, (80, 96, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a general adapter, and one for `quality` that also changes the vision tower."""
    folder = tiny.write_judge_folder(tmp_path_factory.mktemp("model"))
    tiny.write_adapter(folder / "base", folder / "photos", seed=2, vision=True)
    info = json.loads((folder / "judge.json").read_text("utf-8")) | {"adapters": {"quality": "photos"}}
    (folder / "judge.json").write_text(json.dumps(info), "utf-8")
    (folder / "photos" / "judge.json").write_text(json.dumps({"domain": "photographs"}), "utf-8")
    return folder


def test_a_rubric_is_answered_by_its_own_adapter(model: Path) -> None:
    selected = Judge(backend=Transformers(model), rubric="quality")(IMAGE, depth="score")
    named = Transformers(model / "base", adapter=model / "photos", brief=True)
    named.size = 64
    expected = Judge(backend=named, rubric="quality")(IMAGE, depth="score")
    assert selected.distribution == pytest.approx(expected.distribution, abs=1e-6)
    assert selected.provenance.adapter == "photos"
    assert selected.provenance.domain == "photographs"


def test_a_rubric_without_its_own_adapter_is_answered_by_the_general_one(model: Path, tmp_path: Path) -> None:
    verdict = Judge(backend=Transformers(model))(IMAGE, prompt="a cat", depth="score")
    plain = Transformers(tiny.write_judge_folder(tmp_path))
    expected = Judge(backend=plain)(IMAGE, prompt="a cat", depth="score")
    assert verdict.distribution == pytest.approx(expected.distribution, abs=1e-6)
    assert (verdict.provenance.adapter, verdict.provenance.domain) == ("adapter", "noise")


def test_requests_of_several_rubrics_in_one_batch_are_answered_in_order(model: Path) -> None:
    backend = Transformers(model)
    judges = [Judge(backend=backend), Judge(backend=backend, rubric="quality")]
    requests = [
        judge.pipeline.prepare({"image": IMAGE, "prompt": "a cat"}, "score").request
        for judge in (judges[0], judges[1], judges[0])
    ]
    batched = backend.choose(requests)
    alone = [backend.choose([request])[0] for request in requests]
    for one, other in zip(batched, alone, strict=True):
        assert one.probabilities["score"] == pytest.approx(other.probabilities["score"], abs=1e-5)


def test_an_adapter_of_the_caller_answers_every_rubric(model: Path) -> None:
    checkpoint = Checkpoint.resolve(model, adapter=model / "photos")
    assert checkpoint.rubric_adapters == {}
    assert checkpoint.adapter is not None and checkpoint.adapter.name == "photos"


def test_a_missing_adapter_is_reported_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "judge.json").write_text(json.dumps({"adapters": {"quality": "gone"}}), "utf-8")
    with pytest.raises(BackendError, match="names the adapter gone"):
        Checkpoint.resolve(tmp_path)
