"""Settings and fixtures for all tests: no network, reproducible random tests, and a test image."""

from __future__ import annotations

import os
from pathlib import Path

# Set before any test imports a model library: tests use the files of the checkout and never download.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Cards that were kept on this machine would change what models are asked.
os.environ.setdefault("JUDGE_CARDS", "off")

import numpy as np
import pytest
from hypothesis import settings
from paths import SHARED
from PIL import Image

# A deadline for single examples would fail on a busy machine without a bug.
settings.register_profile("local", deadline=None)
# CI uses the same examples in every run, so a new failure comes from the change.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


TESTS = Path(__file__).parent
ENGINE_TESTS = (
    "eval/bench", "eval/examination/test_examined", "eval/interop/test_ecosystem.py",
    "eval/runs/test_distributed_runs.py", "eval/runs/test_local_runs.py", "eval/trust",
    "judge/agent/test_gateway_looks.py",
    "judge/backends/decoding/test_form_filling.py", "judge/backends/test_openai_vllm_server.py",
    "judge/backends/test_torchvision_compat.py", "judge/backends/test_transformers.py",
    "judge/backends/test_vllm",
    "judge/batch/test_ray_workers.py", "judge/cli/test_demo.py", "judge/explain/test_heatmap.py",
    "judge/pipeline/test_calibration.py", "judge/remote", "judge/serve/engine", "judge/serve/http",
    "judge/serve/page/test_page", "judge/serve/test_", "judge/test_embedded.py", "project/test_deploy.py",
    "project/test_docs.py", "project/test_examples.py", "project/test_package.py", "project/test_readme.py",
)  # fmt: skip
"""Paths of tests that start an engine, a gateway, a cluster, a browser or a build, or run models for long."""
TRAINING_TESTS = ("finetune", "judge/backends/test_student.py", "judge/reward")
"""Paths of tests that train something, or load the libraries of trainers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--quick`, which `make check` uses."""
    parser.addoption(
        "--quick", action="store_true", help="leave out tests that are slow, train, or need an engine"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let `--quick` deselect by markers, unless markers are given."""
    if config.getoption("quick") and not config.option.markexpr:
        config.option.markexpr = "not slow and not engine and not training"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they need, and skip those with the marker `gpu` if there is no accelerator.

    Files that take long run first, so that parallel workers end at about the same time.
    """
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        if path.startswith(ENGINE_TESTS):
            item.add_marker("engine")
        if path.startswith(TRAINING_TESTS):
            item.add_marker("training")
    items.sort(key=lambda item: not any(map(item.get_closest_marker, ("engine", "training", "slow"))))
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="no accelerator here"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of real label files and images that some checkouts have beside them."""
    if not SHARED.is_dir():
        pytest.skip("no shared data beside this checkout")
    return SHARED


@pytest.fixture
def noise_image() -> Image.Image:
    """64 x 48 RGB noise with a red and a blue corner; its detail takes many compressed bytes."""
    noise = np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    noise[:8, :8] = (255, 0, 0)
    noise[-8:, -8:] = (0, 0, 255)
    return Image.fromarray(noise)
