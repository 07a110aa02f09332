"""Create the judges that the commands use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.cli.options import parse_options
from judge.errors import InputError

if TYPE_CHECKING:
    from judge.judge import Judge


def open_judge(
    model: str,
    adapter: str | None,
    backend: str,
    rubric: str,
    base_url: str | None,
    seed: int,
    **options: Any,
) -> Judge:
    """Create the judge that the options ask for; its model is not loaded yet.

    Tests replace this function to use a scripted judge.

    Args:
        model: value of `--model`.
        adapter: value of `--adapter`.
        backend: value of `--backend`.
        rubric: value of `--rubric`.
        base_url: value of `--base-url`.
        seed: value of `--seed`.
        options: what `split_options` returned for the judge.
    """
    import os

    from judge.judge import Judge

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return Judge(
        model, adapter=adapter, backend=backend, rubric=rubric, base_url=base_url, seed=seed, **options
    )


def split_options(
    texts: Sequence[str] | None,
    file: Path | None,
    suite_options: Collection[str],
    model: str,
    backend: str,
    base_url: str | None,
) -> tuple[dict[str, str], dict[str, Any]]:
    """Divide `--option` between the suite and the judge.

    Args:
        texts: values of `--option`; those that the suite has are the suite's.
        file: value of `--options`: options of the judge.
        suite_options: names of the suite's options.
        model: value of `--model`.
        backend: value of `--backend`.
        base_url: value of `--base-url`.

    Returns:
        The options of the suite as text, and those of the judge by their types.

    Raises:
        InputError: neither has an option of a name, or a value has another type.
    """
    given = parse_options(texts)
    of_suite = {name: value for name, value in given.items() if name in suite_options}
    others = [f"{name}={value}" for name, value in given.items() if name not in suite_options]
    if not others and file is None:
        return of_suite, {}
    from judge.backends.options import OptionSet
    from judge.pipeline.validation import check_backend

    known = OptionSet.of_backend(check_backend(backend, base_url), model, common=True)
    known = known.without("seed")  # it has an option of its own
    try:
        return of_suite, known.parse(others, file)
    except InputError as error:
        if error.field != "option" or not suite_options:
            raise
        allowed = f"of the suite {', '.join(suite_options)}; of the judge {error.allowed}"
        raise InputError("option", error.value, allowed, error.mend) from None


def other_backends(judge: Judge) -> dict[str, Callable[[], Judge]]:
    """Return functions that create the same judge on other backends, by backend name.

    The only other backend is vLLM, if it is installed and the judge runs on transformers.
    """
    from importlib.util import find_spec

    from judge.judge import Judge

    if judge.backend.name != "transformers" or find_spec("vllm") is None:
        return {}
    return {"vllm": lambda: Judge(judge.model, adapter=judge.adapter, backend="vllm", rubric=judge.rubric)}
