"""The faster layers compute what the library's layers compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from form_requests import assert_equal_replies, build_request, check_filled

from judge.backends.base import Request
from judge.backends.transformers import fast_layers
from judge.backends.transformers.backend import Transformers

Checkpoints = dict[tuple[str, bool], Path]


def both_backends(checkpoints: Checkpoints, family: str) -> tuple[Transformers, Transformers]:
    """Two backends of one checkpoint: with the faster layers, and without."""
    path = checkpoints[family, True]
    return Transformers(path), Transformers(path, fast_layers=False)


def unresized_requests(backend: Transformers) -> list[Request]:
    side = 2 * backend.processor.image_processor.patch_size * backend.tokenizer.merge_size
    return [build_request(seed, size=(side, side)) for seed in range(2)]


def test_fast_layers_give_the_replies_of_the_library(checkpoints: Checkpoints) -> None:
    for family in tiny.FAMILIES:
        fast, original = both_backends(checkpoints, family)
        requests = unresized_requests(fast)
        assert_equal_replies(check_filled(fast.complete(requests)), check_filled(original.complete(requests)))


@pytest.fixture
def onednn_shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Use oneDNN for every product; returns the shapes of the weights that it was called with."""
    import torch

    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    shapes: list[tuple[int, ...]] = []
    original = fast_layers._onednn_linear

    def record(states: Any, weight: Any, *rest: Any) -> Any:
        shapes.append(tuple(weight.shape))
        return original(states, weight, *rest)

    monkeypatch.setattr(fast_layers, "_onednn_linear", record)
    monkeypatch.setattr(fast_layers, "mkl_is_slow", lambda: True)
    monkeypatch.setattr(fast_layers, "MIN_ONEDNN_MULTIPLICATIONS", 0)
    return shapes


def test_products_of_onednn_give_the_replies_of_the_library(
    checkpoints: Checkpoints, onednn_shapes: list[tuple[int, ...]]
) -> None:
    for family in tiny.FAMILIES:
        onednn_shapes.clear()
        fast, original = both_backends(checkpoints, family)
        requests = unresized_requests(fast)
        expected = check_filled(original.complete(requests))
        assert not onednn_shapes
        assert_equal_replies(check_filled(fast.complete(requests)), expected)
        vision, text = fast._model.model.visual, fast._model.model.language_model
        for weight in (
            vision.patch_embed.proj.weight.flatten(1),
            vision.blocks[0].attn.qkv.weight,
            text.layers[0].mlp.down_proj.weight,
        ):
            assert tuple(weight.shape) in onednn_shapes


def test_products_of_onednn_have_the_gradient_of_the_library(onednn_shapes: list[tuple[int, ...]]) -> None:
    import torch

    torch.manual_seed(0)
    linear, gradient = torch.nn.Linear(24, 16).requires_grad_(False), torch.randn(5, 3, 16)
    results = []
    for is_fast in (False, True):
        if is_fast:
            fast_layers._replace_linear(linear)
        states = torch.linspace(-1, 1, 5 * 3 * 24).reshape(5, 3, 24).requires_grad_(True)
        output = linear(states)
        output.backward(gradient)
        results.append((output.detach(), states.grad))
    assert onednn_shapes == [(16, 24), (24, 16)]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_trainable_weights_are_left_to_torch(onednn_shapes: list[tuple[int, ...]]) -> None:
    import torch

    linear = torch.nn.Linear(24, 16)
    fast_layers._replace_linear(linear)
    linear(torch.ones(5, 24)).sum().backward()
    assert linear.weight.grad is not None and not onednn_shapes
