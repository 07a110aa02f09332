"""Create the judges that the commands use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from judge.judge import Judge


def open_judge(
    model: str,
    adapter: str | None,
    backend: str,
    rubric: str,
    base_url: str | None,
    seed: int,
    elements: str = "auto",
) -> Judge:
    """Create the judge that the options ask for; its model is not loaded yet.

    Tests replace this function to use a scripted judge.
    """
    import os

    from judge.judge import Judge

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    options = {} if elements == "auto" else {"elements": elements}
    return Judge(
        model, adapter=adapter, backend=backend, rubric=rubric, base_url=base_url, seed=seed, **options
    )


def other_backends(judge: Judge) -> dict[str, Callable[[], Judge]]:
    """Return functions that create the same judge on other backends, by backend name.

    The only other backend is vLLM, if it is installed and the judge runs on transformers.
    """
    from importlib.util import find_spec

    from judge.judge import Judge

    if judge.backend.name != "transformers" or find_spec("vllm") is None:
        return {}
    return {"vllm": lambda: Judge(judge.model, adapter=judge.adapter, backend="vllm", rubric=judge.rubric)}
