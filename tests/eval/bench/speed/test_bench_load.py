"""Many clients at a gateway: every answer is counted, and none fails."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from eval.bench.__main__ import app


def test_clients_get_scores_and_verdicts_or_are_asked_to_wait() -> None:
    result = CliRunner().invoke(app, ["load", "--clients", "12", "--seconds", "1", "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["failed"] == 0 and set(printed["answers"]) <= {"200", "429"}
    assert printed["answers"]["200"] >= 12 / 2
    assert 0 < printed["seconds_median"] <= printed["seconds_p99"]
