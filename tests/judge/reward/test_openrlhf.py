"""The OpenRLHF adapter: the server's answers and the requests that it rejects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rewards import PROMPTS, make_reward, render
from starlette.testclient import TestClient

from judge.reward import openrlhf


def test_the_server_answers_with_rewards_scores_and_logs() -> None:
    client = TestClient(openrlhf.app(make_reward(), render))
    queries = [f"{prompt}{'x' * n}" for n, prompt in enumerate(PROMPTS)]
    labels = ["", json.dumps({"elements": ["a hat"]}), "4"]
    body = {"query": queries, "prompts": PROMPTS, "labels": labels}
    answer = client.post("/get_reward", json=body).json()
    assert len(answer["rewards"]) == 3 and answer["rewards"] == answer["scores"]
    assert answer["extra_logs"]["unscored"] == [1.0, 0.0, 0.0], "an empty completion has no image"
    assert all(len(values) == 3 for values in answer["extra_logs"].values())


@pytest.mark.parametrize("body", [{}, {"query": ["a"], "prompts": []}, {"query": [1], "prompts": [2]}, []])
def test_requests_that_do_not_pair_are_rejected(body: Any) -> None:
    response = TestClient(openrlhf.app(make_reward(), render)).post("/get_reward", json=body)
    assert response.status_code == 400 and "body" in response.json()["error"]
