"""Fixtures of the command line's tests: a scripted model behind every command, and a few images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from random_backend import RandomBackend

from judge.cli import judges
from judge.judge import Judge


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace the model of all commands by a scripted backend; set another one under the key "backend"."""
    replacement: dict[str, Any] = {"backend": RandomBackend()}

    def open_judge(
        model: str,
        adapter: str | None,
        backend: str,
        rubric: str,
        base_url: str | None,
        max_elements: int = 24,
    ) -> Judge:
        Judge(model, adapter=adapter, backend=backend, rubric=rubric, base_url=base_url)  # checks the options
        return Judge(backend=replacement["backend"], rubric=rubric, max_elements=max_elements)

    monkeypatch.setattr(judges, "open_judge", open_judge)
    return replacement


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Paths of three small images in the test's folder."""
    paths = [tmp_path / f"{name}.png" for name in ("one", "two", "three")]
    for path in paths:
        Image.new("RGB", (40, 30), "teal").save(path)
    return [str(path) for path in paths]
