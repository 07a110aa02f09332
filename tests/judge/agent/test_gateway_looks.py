"""Closer looks behind a gateway: the same as in one's own process, within the operator's limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from patch_finder import PatchFinder, draw_wall
from serving import gateway

from judge.errors import InputError
from judge.judge import Judge
from judge.serve.engine.ipc import BackendSpec

PROMPT = "a plain wall"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a gateway that allows up to 400 looks in a request."""
    with gateway(BackendSpec("patch_finder:PatchFinder"), looks=400) as running:
        yield running.url


def test_a_gateway_takes_the_same_looks_as_a_judge_in_this_process(address: str) -> None:
    sample: dict[str, Any] = {"prompt": PROMPT, "elements": []}
    local = Judge(backend=PatchFinder())(draw_wall(), **sample, looks=400)
    remote = Judge(address)(draw_wall(), **sample, looks=400)
    assert remote.trace and remote.defects == local.defects and remote.score == local.score
    assert [(look.region, look.question, look.answer) for look in remote.trace] == [
        (look.region, look.question, look.answer) for look in local.trace
    ]
    assert remote.provenance.milliseconds >= max(look.milliseconds for look in remote.trace)
    assert not Judge(address)(draw_wall(), **sample).trace


def test_a_judge_at_an_address_uses_its_own_number_of_looks(address: str) -> None:
    judge = Judge(address, looks=30)
    sample = {"image": draw_wall(), "prompt": PROMPT, "elements": []}
    verdicts = [judge(**sample), *judge.many([sample, sample])]
    comparison = judge.compare(draw_wall(), draw_wall(None), prompt=PROMPT, elements=[])
    assert all(0 < len(verdict.trace) <= 30 for verdict in (*verdicts, comparison.a, comparison.b))


def test_a_gateway_takes_no_more_looks_than_its_operator_allows(address: str) -> None:
    judge, sample = Judge(address), {"image": draw_wall(), "prompt": PROMPT}
    for call in (
        lambda: judge(**sample, looks=401),
        lambda: list(judge.many([sample], looks=401)),  # the same for every row, so the run ends
        lambda: Judge(address, looks=401).compare(draw_wall(), draw_wall(), prompt=PROMPT),
    ):
        with pytest.raises(InputError, match="0 to 400 with this gateway") as caught:
            call()
        assert caught.value.field == "looks"


def test_a_deadline_for_looks_is_an_error_with_a_gateway(address: str) -> None:
    with pytest.raises(InputError, match="none with a gateway"):
        Judge(address)(draw_wall(), prompt=PROMPT, looks=3, deadline=5)
