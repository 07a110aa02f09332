"""The Flow-GRPO adapter: the scoring function, and the server with its limits on pickles."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from random_backend import RandomBackend
from rewards import IMAGES, PROMPTS, encode_png, expected_scores, make_reward
from starlette.testclient import TestClient

from judge import InputError, Judge
from judge.reward import Reward, flow_grpo
from judge.reward.servers import run_server

THIS_MACHINE, OTHER_MACHINE = ("127.0.0.1", 4000), ("10.0.0.8", 4000)


def test_both_layouts_of_images_give_the_same_scores() -> None:
    scores, details = flow_grpo.reward_fn(make_reward())(IMAGES, PROMPTS, [{}] * 3)
    floats = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255
    assert scores == flow_grpo.reward_fn(make_reward())(floats, PROMPTS, [{}] * 3)[0] == expected_scores()
    assert details["unscored"] == {} and "alignment" in details["parts"]


def test_a_missing_score_is_replaced_by_a_neutral_number() -> None:
    images = [IMAGES[0], None, IMAGES[2]]
    scores, details = flow_grpo.reward_fn(make_reward())(images, PROMPTS, [{}] * 3)
    assert scores[1] == scores[0] and list(details["unscored"]) == [1]


def test_the_server_answers_json() -> None:
    client = TestClient(flow_grpo.app(make_reward()))
    images = [base64.b64encode(encode_png(pixels)).decode() for pixels in IMAGES]
    response = client.post("/", json={"images": images, "prompts": PROMPTS})
    assert response.json()["outputs"] == pytest.approx(expected_scores())
    assert client.post("/", json={"images": images}).status_code == 400
    nested = client.post("/", content=b"[" * 9999, headers={"content-type": "application/json"})
    assert nested.status_code == 400


def test_a_path_in_a_request_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode_png(IMAGES[0]))
    backend = RandomBackend(1)
    client = TestClient(flow_grpo.app(Reward(Judge(backend=backend))))
    client.post("/", json={"images": [str(path)], "prompts": ["a red circle"]})
    assert not backend.requests


class PrintsWhenUnpickled:
    def __reduce__(self):
        return print, ("run",)


def test_pickles_need_an_option_must_come_from_this_machine_and_never_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The body is that of Flow-GRPO's own clients: bytes of JPEG files, prompts split by numpy."""
    body = pickle.dumps({"images": [encode_png(p) for p in IMAGES], "prompts": np.array_split(PROMPTS, 1)[0]})
    json_only = TestClient(flow_grpo.app(make_reward()), client=THIS_MACHINE)
    assert json_only.post("/", content=body).status_code == 400
    remote = TestClient(flow_grpo.app(make_reward(), pickled=True), client=OTHER_MACHINE)
    assert remote.post("/", content=body).status_code == 400
    local = TestClient(flow_grpo.app(make_reward(), pickled=True), client=THIS_MACHINE)
    response = local.post("/", content=body)
    assert pickle.loads(response.content)["outputs"] == pytest.approx(expected_scores())
    evil = pickle.dumps({"images": [PrintsWhenUnpickled()], "prompts": ["x"]})
    assert local.post("/", content=evil).status_code == 400
    assert "run" not in capsys.readouterr().out
    with pytest.raises(InputError, match="127.0.0.1"):
        run_server(None, "0.0.0.0", 1, loopback_only=True)
