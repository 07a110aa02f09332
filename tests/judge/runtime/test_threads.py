"""How many threads a process uses, and how they wait in a process that is dedicated to a judge."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from serving import gateway

from judge.runtime import threads
from judge.runtime.threads import (
    MAX_THREADS,
    SMALL_STEP_MULTIPLICATIONS,
    SPIN_COUNT,
    dedicate_process,
    default_thread_count,
    limit_threads,
)
from judge.serve.engine.ipc import BackendSpec


@pytest.fixture
def three_threads() -> Iterator[None]:
    """Let torch use three threads on every machine."""
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(usual)


@pytest.fixture
def dedicated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dedicate this process to a judge until the test ends."""
    monkeypatch.setattr(threads, "_is_dedicated", True)


def test_a_small_step_uses_one_thread_and_a_large_one_uses_all(three_threads: None, dedicated: None) -> None:
    with limit_threads(SMALL_STEP_MULTIPLICATIONS - 1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with limit_threads(SMALL_STEP_MULTIPLICATIONS):
        assert torch.get_num_threads() == 3


def test_the_number_of_threads_is_restored_after_a_failed_step(three_threads: None, dedicated: None) -> None:
    with pytest.raises(ValueError), limit_threads(1):
        raise ValueError
    assert torch.get_num_threads() == 3


def test_a_process_that_is_not_dedicated_keeps_its_threads(three_threads: None) -> None:
    with limit_threads(1):
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("variables", "spin_count"),
    [({}, SPIN_COUNT), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_variables_of_the_user_about_waiting_are_kept(
    monkeypatch: pytest.MonkeyPatch, dedicated: None, variables: dict[str, str], spin_count: str | None
) -> None:
    environment = dict(variables)
    monkeypatch.setattr(os, "environ", environment)
    dedicate_process()
    assert environment.get("GOMP_SPINCOUNT") == spin_count


def test_the_command_line_and_the_engine_dedicate_their_processes() -> None:
    command_line = "from judge.cli import app as cli; cli.app = lambda **_: None; cli.main()"
    assert settings_after(command_line) == f"True {SPIN_COUNT}"
    with gateway(BackendSpec("thread_settings:create_backend")) as running:
        assert running.verdict().json()["provenance"]["backend_version"] == f"True {SPIN_COUNT}"


def settings_after(code: str) -> str:
    """Return the thread settings of a new process after it has run some code."""
    code += "\nfrom thread_settings import create_backend; print(create_backend().version)"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("value", "count"), [("1", 1), ("3", 3), ("4096", MAX_THREADS)])
def test_the_variable_of_openmp_sets_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, value: str, count: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert default_thread_count() == count


@pytest.mark.parametrize("value", ["", "0", "4,2", "many"])
def test_other_values_of_the_variable_are_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert 1 <= default_thread_count() <= MAX_THREADS
