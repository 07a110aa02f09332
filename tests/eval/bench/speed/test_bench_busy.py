"""The engine of a gateway with and without busy processes."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from typer.testing import CliRunner

from eval.bench.__main__ import app


def test_busy_processes_run_only_in_their_rounds() -> None:
    children: list[subprocess.Popen[bytes]] = []

    class RecordingPopen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options)
            if "while True: pass" in command:
                children.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", RecordingPopen)
        arguments = ["busy", "--count", "2", "--rounds", "1", "--processes", "1", "--json"]
        result = CliRunner().invoke(app, arguments)
    printed = json.loads(result.stdout)
    assert printed["verdicts"] == 2 and printed["busy_processes"] == 1
    assert printed["busy_over_quiet"] == pytest.approx(printed["seconds_busy"] / printed["seconds_quiet"])
    assert len(children) == 1 and children[0].returncode is not None
