"""Damaged inputs: a small seeded run of each kind, and how the bench counts what goes wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.bench.__main__ import app
from eval.bench.fuzzing import mutations, originals, targets
from eval.bench.fuzzing.run import summarise, try_inputs, try_one
from judge.errors import InputError


@pytest.mark.parametrize(
    ("kind", "count"), [("images", 300), ("videos", 20), ("tables", 300), ("requests", 40)]
)
def test_damaged_inputs_are_read_or_refused(kind: str, count: int) -> None:
    with targets.TARGETS[kind].open() as attempt:
        attempts = [try_one(attempt, kind, number, seed=1) for number in range(count)]
    result = summarise(attempts)
    assert result["crashed"] == 0, result["first_crash"]
    assert result["ok"] > 0 and result["refused"] > 0


@pytest.mark.parametrize("kind", ["images", "videos"])
def test_the_originals_are_all_read(kind: str) -> None:
    from judge.media.image import load_image
    from judge.media.video import load_video

    for data in getattr(originals, kind)():
        assert (load_image if kind == "images" else load_video)(data).width in (16, 32, 40, 48, 56, 64)


def test_the_same_seed_gives_the_same_damage() -> None:
    sample = originals.images()[0]
    first, again, other = (
        mutations.damage_bytes(sample, np.random.default_rng((seed, 7)), originals.images())
        for seed in (1, 1, 2)
    )
    assert first == again != other and first != sample


@contextmanager
def open_faulty() -> Iterator[Any]:
    """Inputs that go wrong in every way, by their number."""
    numbers = iter(range(100))

    def attempt(_: Any) -> bool:
        match next(numbers):
            case 1:
                raise InputError("image", "", "an image", "send one")
            case 2:
                raise IndexError("list index out of range")
            case 3:
                warnings.warn("invalid value encountered in cast", RuntimeWarning, stacklevel=1)
            case 4:
                assert np.ones(64 << 20, np.uint8).all()
            case 5:
                end = time.process_time() + 0.4
                while time.process_time() < end:
                    pass
        return True

    yield attempt


def test_errors_warnings_time_and_memory_are_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(targets.TARGETS, "images", targets.Target(open_faulty, seconds=0.3, mebibytes=32))
    with targets.TARGETS["images"].open() as attempt:
        attempts = [try_one(attempt, "images", number, 0) for number in range(6)]
    assert [one.outcome for one in attempts] == ["ok", "refused", *["crashed"] * 4]
    result = summarise(attempts)
    assert (result["ok"], result["refused"], result["crashed"]) == (1, 1, 4)
    assert result["first_crash"]["input"] == 2 and "IndexError" in result["first_crash"]["error"]
    assert result["slowest"]["input"] == 5 and result["largest"]["input"] == 4
    assert "RuntimeWarning" in attempts[3].error and "MiB" in attempts[4].error


@contextmanager
def open_deadly() -> Iterator[Any]:
    """An input that ends its process, then one that hangs it."""

    def attempt(rng: np.random.Generator) -> bool:
        drawn = int(rng.integers(4))
        if drawn == 0:
            os._exit(11)
        if drawn == 1:
            time.sleep(60)
        return True

    yield attempt


def test_an_input_that_ends_or_hangs_its_process_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(targets.TARGETS, "images", targets.Target(open_deadly, seconds=0.1, mebibytes=32))
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: fork)
    attempts = list(try_inputs("images", range(8), seed=17))
    assert [one.number for one in attempts] == list(range(8))
    reasons = {one.error[:17] for one in attempts if one.outcome == "crashed"}
    assert reasons == {"its process ended", "it took more than"}
    assert any(one.outcome == "ok" for one in attempts)


def test_the_command_prints_counts_and_refuses_unknown_kinds() -> None:
    result = CliRunner().invoke(app, ["fuzz", "--count", "5", "--kind", "tables", "--seed", "3", "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["crashed"] == 0 and printed["tables"]["ok"] + printed["tables"]["refused"] == 5
    assert CliRunner().invoke(app, ["fuzz", "--kind", "sounds"]).exit_code == 2
