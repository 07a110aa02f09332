"""The budget of closer looks: a number of looks, and a deadline."""

from __future__ import annotations

from typing import Any

import pytest
from patch_finder import PatchFinder, draw_wall

from judge.agent.budget import Budget
from judge.errors import InputError
from judge.judge import Judge


def test_no_question_is_affordable_that_would_pass_the_deadline() -> None:
    now = 0.0
    budget = Budget(looks=100, deadline=10.0, clock=lambda: now)
    assert budget.count_affordable(50) == 50, "no time was measured yet"
    budget.record_time(500.0)
    assert budget.count_affordable(50) == 20
    now = 9.9
    assert budget.count_affordable(50) == 0


@pytest.mark.parametrize(("looks", "deadline"), [(-1, None), (1025, None), (True, None), (2, 0), (2, -1.0)])
def test_an_invalid_limit_is_an_error(looks: Any, deadline: Any) -> None:
    judge = Judge(backend=PatchFinder())
    with pytest.raises(InputError, match=r"looks|deadline"):
        judge(draw_wall(), prompt="a plain wall", looks=looks, deadline=deadline)
