"""How many threads a process uses, and how they wait in one that a judge has to itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from serving import gateway

from judge.runtime import threads
from judge.runtime.threads import MOST, SMALL, SPINS, own_process, threads_here, worth
from judge.serve.engine.ipc import Recipe


@pytest.fixture
def three() -> Iterator[None]:
    """torch uses three threads, whatever the machine has."""
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(usual)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the judge's own until the test ends."""
    monkeypatch.setattr(threads, "_own", True)


def test_a_small_step_takes_one_thread_and_a_large_one_all(three: None, own: None) -> None:
    with worth(SMALL - 1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with worth(SMALL):
        assert torch.get_num_threads() == 3


def test_all_threads_are_back_after_a_step_that_failed(three: None, own: None) -> None:
    with pytest.raises(ValueError), worth(1):
        raise ValueError
    assert torch.get_num_threads() == 3


def test_the_threads_of_others_are_left_alone(three: None) -> None:
    with worth(1):
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_what_the_environment_says_about_waiting_stands(
    monkeypatch: pytest.MonkeyPatch, own: None, given: dict[str, str], spins: str | None
) -> None:
    environment = dict(given)
    monkeypatch.setattr(os, "environ", environment)
    own_process()
    assert environment.get("GOMP_SPINCOUNT") == spins


def test_the_command_line_and_the_engine_are_processes_of_their_own() -> None:
    assert told("from judge.cli import app as cli; cli.app = lambda **_: None; cli.main()") == f"True {SPINS}"
    with gateway(Recipe("waiting:waiting")) as running:
        assert running.verdict().json()["provenance"]["backend_version"] == f"True {SPINS}"


def told(code: str) -> str:
    """What a fresh process says about itself after it has run this."""
    code += "\nfrom waiting import waiting; print(waiting().version)"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("told", "threads"), [("1", 1), ("3", 3), ("4096", MOST)])
def test_workers_that_share_a_machine_use_the_threads_they_were_given(
    monkeypatch: pytest.MonkeyPatch, told: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads_here() == threads


@pytest.mark.parametrize("told", ["", "0", "4,2", "many"])
def test_other_words_about_threads_are_passed_over(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert 1 <= threads_here() <= MOST
