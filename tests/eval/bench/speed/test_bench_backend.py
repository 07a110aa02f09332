"""Seconds of a judge, and of the forward pass alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

from eval.bench.speed.backend import measure_backend, record_passes
from judge.types import Sample


def test_the_forward_pass_is_replayed_with_the_tensors_of_the_judge() -> None:
    import torch

    class Body(torch.nn.Module):
        calls: list[tuple[int, object]] = []

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, *, x: torch.Tensor, past_key_values: object = None) -> torch.Tensor:
            self.calls.append((len(x), past_key_values))
            return self.layer(x)

    net = torch.nn.ModuleDict({"body": Body(), "head": torch.nn.Linear(3, 2)})

    class TorchJudge:
        def many(
            self, samples: Sequence[Sample], *, depth: str = "verdict", batch: int = 1
        ) -> Iterator[Sample]:
            net["head"](net["body"](x=torch.zeros(len(samples), 3), past_key_values="a cache"))
            yield from samples

    samples = [Sample(id=str(i)) for i in range(4)]
    result = measure_backend(TorchJudge(), samples, SimpleNamespace(net=net), batches=(1, 4), rounds=2)
    assert result["forward_passes_batch_4"] == 1
    for size in (1, 4):
        assert result[f"score_to_forward_batch_{size}"] > 0
        assert result[f"seconds_per_verdict_batch_{size}"] > 0
    assert set(net["body"].calls) == {(1, "a cache"), (4, "a cache"), (1, None), (4, None)}
    passes = record_passes(net, lambda: list(TorchJudge().many(samples)))
    assert [forward.module for forward in passes] == [net["body"], net["head"]], "only outermost modules"
    assert not any(module._forward_pre_hooks for module in net.modules()), "no hook is left"
    without_model = measure_backend(TorchJudge(), samples, object(), batches=(1,), rounds=1)
    assert without_model["seconds_per_forward_batch_1"] is None
    assert "no torch model" in without_model["notes"]["score_to_forward_batch_1"]
