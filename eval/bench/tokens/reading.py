"""Read a taught model on every backend and compare what is read with what was taught."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.bench.tokens.own_rates import TaughtModel
from eval.bench.tokens.teaching import BOXES, DEFECT_COUNT, RATES, TEXTS, Condition
from judge.backends.base import Backend, Reply
from judge.errors import BackendError, ReplyError

BACKENDS = ("transformers", "vllm", "served")
"""`served` is a vLLM server behind the backend `openai`."""
LIMITS = {
    "largest_error": 0.05,
    "mean_score_error": 0.05,
    "defects_error": 0.07,
    "largest_reading_error": 0.01,
}
"""Greatest differences that pass: of a probability from the rate that was taught, of the mean score and of
the mean number of defects from those that were taught, and of a probability from the model's own rate."""
MEAN_SCORE = sum(int(label) * rate for label, rate in RATES["score"].items())


@contextmanager
def open_backend(name: str, folder: Path) -> Iterator[Backend]:
    """Open a checkpoint on one of `BACKENDS`."""
    if name == "transformers":
        from judge.backends.transformers.backend import Transformers

        yield Transformers(folder)
    elif name == "vllm":
        from judge.backends.vllm.backend import VLLM

        with VLLM(folder, threads=1, max_model_len=2048) as backend:
            yield backend
    else:
        from eval.bench.vllm_server import run_vllm_server
        from judge.backends.openai.backend import OpenAI

        with run_vllm_server(folder, threads=1) as url:
            served = OpenAI(url, "model", timeout=600)
            try:
                yield served
            finally:
                served.close()


def read_conditions(
    backend: Backend, conditions: Sequence[Condition], taught: TaughtModel | None = None
) -> dict[Condition, dict[str, Any]]:
    """Read a taught model under each condition; returns what `compare` gives.

    Args:
        backend: the model.
        conditions: what it was taught.
        taught: the same checkpoint, to compare with its own rates.
    """
    found = {}
    for condition in conditions:
        verb = backend.complete if condition.depth == "verdict" else backend.choose
        (reply,) = verb([condition.request()])
        if isinstance(reply, ReplyError):
            raise BackendError(f"{condition}: {reply}")
        found[condition] = compare(reply, condition, taught)
    return found


def compare(reply: Reply, condition: Condition, taught: TaughtModel | None = None) -> dict[str, Any]:
    """Compare a reply with what was taught.

    Args:
        reply: the reply of a taught model.
        condition: the condition that it was given under.
        taught: the same checkpoint, to compare with its own rates.

    Returns:
        `errors`: path of a blank -> largest difference of a label's probability from its rate, and of the box
        (its first corner, which tells the two taught boxes apart); `reading_errors`: the same for the rates
        of the model itself, empty without it; `defects` and `mean_score` as read; `texts_are_taught`;
        `layout_is_taught`; `exact`; `label_mass`, the least.
    """
    errors = {
        blank: _difference(read, rates)
        for blank, read in reply.probabilities.items()
        if (rates := taught_rates(blank)) is not None
    }
    values = json.loads(reply.text)
    own = {} if taught is None else taught.own_rates(condition, values)
    reading_errors = {blank: _difference(reply.probabilities[blank], rates) for blank, rates in own.items()}
    texts = [defect["explanation"] for defect in values.get("defects", ())]
    texts += [values["explanation"]] if "explanation" in values else []
    opens = [reply.probabilities.get(f"defects.{n}.open", {}).get("open", 0.0) for n in range(3)]
    defects, reached = 0.0, 1.0
    for n, share in enumerate(opens):
        # A list that was closed was not read further: what follows is taken from what was taught.
        known = f"defects.{n}.open" in reply.probabilities
        reached *= share if known else RATES[f"defects.{n}.open"]["open"]
        defects += reached
    form = condition.form()
    score = sum(int(label) * share for label, share in reply.probabilities["score"].items())
    mass = reply.label_mass
    return {
        "errors": errors,
        "reading_errors": reading_errors,
        "defects": defects if condition.depth == "verdict" else None,
        "mean_score": score,
        "texts_are_taught": set(texts) <= set(TEXTS),
        "layout_is_taught": reply.text == condition.render(form.parse(reply.text)),
        "exact": reply.exact,
        "label_mass": min(mass.values()) if mass else None,
    }


def _difference(read: Mapping[str, float], rates: Mapping[str, float]) -> float:
    """Return the largest difference of a label's probability."""
    return max(abs(read.get(label, 0.0) - rates.get(label, 0.0)) for label in {*read, *rates})


def taught_rates(blank: str) -> Mapping[str, float] | None:
    """Return the rates that were taught at a blank; None for a corner that the first one decides."""
    if blank in RATES:
        return RATES[blank]
    name = blank.rpartition(".")[2]
    if name == "x1":
        return {str(box[0]): RATES["box"][str(n)] for n, box in enumerate(BOXES)}
    return RATES.get(name)


def measure_tokens(
    folder: Path, conditions: Sequence[Condition], backends: Sequence[str], tick: Callable[[], object]
) -> dict[str, Any]:
    """Read a taught model on some backends.

    Args:
        folder: the taught checkpoint.
        conditions: what it was taught.
        backends: some of `BACKENDS`.
        tick: called after each backend.

    Returns:
        For each backend, layout and depth, the largest error of a rate and the blank where it is, the same
        for the rates of the model itself, and the other numbers of `compare`; and `passed`, whether all of
        them are within `LIMITS`, with texts and layout as taught and all numbers exact.
    """
    result: dict[str, Any] = {"taught_defects": DEFECT_COUNT, "taught_mean_score": MEAN_SCORE}
    passed, taught = True, TaughtModel(folder)
    for name in backends:
        with open_backend(name, folder) as backend:
            for condition, found in read_conditions(backend, conditions, taught).items():
                passed = passed and is_as_taught(found)
                errors, reading_errors = found.pop("errors"), found.pop("reading_errors")
                worst = max(errors, key=lambda blank: errors[blank])
                worst_reading = max(reading_errors, key=lambda blank: reading_errors[blank])
                result[f"{name}_{condition.layout}_{condition.depth}"] = {
                    "largest_error": errors[worst],
                    "at": worst,
                    "largest_reading_error": reading_errors[worst_reading],
                    "reading_at": worst_reading,
                    "blanks": len(errors),
                    **found,
                }
        tick()
    return {**result, "passed": passed, "limits": LIMITS}


def is_as_taught(found: Mapping[str, Any]) -> bool:
    """Return whether the numbers of `compare` are within `LIMITS`."""
    defects = found["defects"]
    return bool(
        max(found["errors"].values()) <= LIMITS["largest_error"]
        and max(found["reading_errors"].values(), default=0.0) <= LIMITS["largest_reading_error"]
        and abs(found["mean_score"] - MEAN_SCORE) <= LIMITS["mean_score_error"]
        and (defects is None or abs(defects - DEFECT_COUNT) <= LIMITS["defects_error"])
        and found["texts_are_taught"]
        and found["layout_is_taught"]
        and found["exact"]
    )
