"""The files of a submission to a challenge: score lines, JSON lists and readme.txt.

Each builder takes the judged samples of a complete run, in the order of the benchmark, and returns the files
of the archive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from eval.suites.shared.samples import JudgedSample, get_predicted_score, parse_verdict
from eval.suites.shared.suite import Submission
from judge.errors import InputError
from judge.types import Provenance

README_OPTIONS = {
    "runtime": "seconds per image in readme.txt; default: the mean of the run",
    "cpu": "1 when the run used no GPU, else 0; default 1",
    "extra-data": "1 when data beyond the challenge's was trained on, else 0; default 0",
    "description": "text after `Other description`; default: model, rubric and version of the run",
}
"""Options of the challenges' readme.txt, with their help."""
MAX_TIMED = 1000
"""Number of verdicts from which readme.txt computes the mean runtime."""


def build_lines_submission(file: str, *, dimension: str = "", header: str = "") -> Submission:
    """Return a submission with one text file of `name,score` lines.

    Args:
        file: name of the file in the archive.
        dimension: dimension of the verdict to write; empty: the overall score.
        header: first line of the file; empty for none.
    """
    return Submission(partial(_build_lines, file=file, dimension=dimension, header=header))


def build_objects_submission(
    file: str, name_key: str, score_key: str, *, dimension: str = "", llm: bool = True, unit: str = "image"
) -> Submission:
    """Return a submission with a JSON list of `{name_key: name, score_key: number}` and a readme.txt.

    Args:
        file: name of the JSON file in the archive.
        name_key: key of the name.
        score_key: key of the score.
        dimension: dimension of the verdict to write; empty: the overall score.
        llm: whether readme.txt asks if a large language model is part of the method.
        unit: what readme.txt counts the runtime by, image or video.
    """
    options = {**README_OPTIONS, "llm": "1 when a large language model is part of it, else 0; default 1"}
    return Submission(
        partial(
            _build_objects,
            file=file,
            name_key=name_key,
            score_key=score_key,
            dimension=dimension,
            llm=llm,
            unit=unit,
        ),
        options if llm else README_OPTIONS,
    )


def require_score(judged: JudgedSample, dimension: str = "") -> float:
    """Return the predicted score of one sample.

    Raises:
        InputError: the verdict has none.
    """
    value = get_predicted_score(judged, dimension)
    if value is None:
        raise InputError(f"verdict {judged.sample.id}", None, "a score", "judge it again")
    return value


def build_readme(
    judged_samples: Sequence[JudgedSample], options: Mapping[str, str], *, llm: bool, unit: str = "image"
) -> bytes:
    """Build readme.txt as the NTIRE challenges ask for it.

    Args:
        judged_samples: the samples of the run; the mean runtime is taken from the first 1,000.
        options: values of `README_OPTIONS`, as keyword arguments spell them (`extra_data`).
        llm: whether to write the line on large language models.
        unit: what the runtime is counted by.

    Raises:
        InputError: a yes-or-no option is neither 0 nor 1.
    """
    verdicts = [parse_verdict(judged) for judged in judged_samples[:MAX_TIMED]]
    seconds = sum(v.provenance.milliseconds for v in verdicts) / 1000 / max(1, len(verdicts))
    options = {name.replace("_", "-"): value for name, value in options.items()}
    lines = [
        f"runtime per {unit} [s] : {options.get('runtime', f'{seconds:.3f}')}",
        f"CPU[1] / GPU[0] : {_parse_flag(options, 'cpu', '1')}",
        f"Extra Data [1] / No Extra Data [0] : {_parse_flag(options, 'extra-data', '0')}",
    ]
    if llm:
        lines.append(f"LLM[1] / Non-LLM[0] : {_parse_flag(options, 'llm', '1')}")
    description = options.get("description") or (_describe(verdicts[0].provenance) if verdicts else "")
    lines.append(f"Other description : {' '.join(description.split())}")
    return ("\n".join(lines) + "\n").encode()


def dump_json(value: Any) -> bytes:
    """Serialise to JSON as the organisers' scripts read it.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode()


def _describe(provenance: Provenance) -> str:
    adapter = f" with adapter {provenance.adapter}" if provenance.adapter else ""
    rubric = f"rubric {provenance.rubric} {provenance.rubric_hash}"
    return f"{provenance.model}{adapter}, {rubric}, judge {provenance.version}"


def _parse_flag(options: Mapping[str, str], name: str, default: str) -> str:
    value = options.get(name, default)
    if value not in ("0", "1"):
        raise InputError(name, value, "0 or 1", "give one of these")
    return value


def _build_lines(
    judged_samples: Sequence[JudgedSample], *, file: str, dimension: str, header: str, **_: str
) -> dict[str, bytes]:
    lines = [f"{judged.sample.id},{require_score(judged, dimension):.6f}" for judged in judged_samples]
    return {file: ("\n".join([*([header] if header else []), *lines]) + "\n").encode()}


def _build_objects(
    judged_samples: Sequence[JudgedSample],
    *,
    file: str,
    name_key: str,
    score_key: str,
    dimension: str,
    llm: bool,
    unit: str,
    **options: str,
) -> dict[str, bytes]:
    objects = [
        {name_key: judged.sample.id, score_key: round(require_score(judged, dimension), 6)}
        for judged in judged_samples
    ]
    readme = build_readme(judged_samples, options, llm=llm, unit=unit)
    return {file: dump_json(objects), "readme.txt": readme}
