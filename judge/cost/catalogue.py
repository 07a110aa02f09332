"""The checkpoints that are recommended, with their memory and speed on one machine.

The table is `assets/models.toml`; memory and speed come from the estimate of `judge plan` (`estimate`), for
images of 1024 x 1024 pixels with six elements. `judge models` prints it, `judge doctor` names one row of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

from judge.backends.student import EMBEDDED as STUDENT
from judge.backends.student import find_student
from judge.cost.accelerators import Accelerator
from judge.cost.architecture import ASSETS, Architecture, load_config
from judge.cost.estimate import BYTES_PER_NUMBER, USABLE_MEMORY, CostEstimate, estimate_cost
from judge.cost.machine import Machine
from judge.cost.tokens import count_tokens
from judge.types import Depth

MODELS_FILE = ASSETS / "models.toml"
IMAGE_SIZE = (1024, 1024)
"""Width and height in pixels of the images that memory and speed are estimated for."""
EFFICIENCY = 0.4
"""Share of the machine's speed that is reached, as by default in `judge plan`."""
QUANTIZED_BYTES = 0.56
"""Bytes of a weight in 4 bits: half a byte, and a scale of 32 bits for each block of 64 weights (QLoRA,
Dettmers et al. 2023, without double quantization)."""
MIN_IMAGES_PER_SECOND = 0.2
"""A slower model is not recommended for a machine: one image takes longer than five seconds."""


@dataclass(frozen=True)
class CatalogueEntry:
    """One recommended checkpoint on one machine."""

    name: str
    """As `Judge` takes it."""
    what: str
    """What it is for, in words."""
    license: str
    source: str
    """Where its sizes and its licence were read."""
    general: bool
    """False for the models of this package, which know drawn scenes only."""
    parameters: int | None
    """Number of weights; None for a student."""
    weights: int
    """Bytes of the weights as they are loaded here."""
    memory: int
    """Bytes of the weights and of one image's keys and values."""
    images_per_second: float | None
    """At depth `score`, estimated; None if it does not fit, or for a student, which has no estimate."""
    verdicts_per_second: float | None
    """At depth `verdict`, estimated; None as above."""
    cards: int
    """Accelerators that one copy needs."""
    bits: int | None
    """4 if it fits only with quantized weights, else None."""
    fits: bool
    """Whether this machine can hold it, quantized if `bits` says so."""
    command: str
    """The command that runs it here; empty if it does not fit."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def list_models(machine: Machine) -> list[CatalogueEntry]:
    """Return every recommended checkpoint with its memory and speed on a machine."""
    known = tomllib.loads(MODELS_FILE.read_text("utf-8"))
    return [
        _student_entry(name, fields, machine) if name == STUDENT else _build_entry(name, fields, machine)
        for name, fields in known.items()
    ]


def recommend(entries: list[CatalogueEntry]) -> CatalogueEntry | None:
    """Return the general model that suits the machine: the largest that fits as it is and is fast enough.

    Of two models that need about the same memory, the earlier one in the table wins, since newer families
    stand first. Returns None if no general model fits at `MIN_IMAGES_PER_SECOND`.
    """
    suitable = [
        entry
        for entry in entries
        if entry.general
        and entry.fits
        and entry.bits is None
        and (entry.images_per_second or 0) >= MIN_IMAGES_PER_SECOND
    ]
    best: CatalogueEntry | None = None
    for entry in suitable:
        if best is None or entry.weights > 1.2 * best.weights:
            best = entry
    return best


def _build_entry(name: str, fields: Mapping[str, Any], machine: Machine) -> CatalogueEntry:
    architecture = Architecture.from_config(load_config(name))
    size = machine.bytes_per_number
    accelerator = machine.accelerator
    verdict = _estimate(name, architecture, "verdict", accelerator, size)
    fits, bits, weights = verdict.cards <= machine.count, None, verdict.weights
    # Experts are no linear layers of their own in transformers, so bitsandbytes does not reach them.
    is_dense = architecture.layer_weights == architecture.active_weights
    if not fits and machine.has_gpu and is_dense:
        quantized = _quantized_bytes(architecture)
        if quantized + verdict.cache <= USABLE_MEMORY * accelerator.memory * machine.count:
            fits, bits, weights = True, 4, quantized
            # Quantized weights are multiplied as bfloat16: the speed is that of one copy that fits.
            accelerator = replace(accelerator, memory=verdict.cards * accelerator.memory)
            verdict = _estimate(name, architecture, "verdict", accelerator, size)
    score = _estimate(name, architecture, "score", accelerator, size)
    return CatalogueEntry(
        name=name,
        what=fields["what"],
        license=fields["license"],
        source=fields["source"],
        general=fields.get("general", True),
        parameters=architecture.parameters,
        weights=weights,
        memory=weights + verdict.cache,
        images_per_second=1 / score.seconds if fits else None,
        verdicts_per_second=1 / verdict.seconds if fits else None,
        cards=verdict.cards,
        bits=bits,
        fits=fits,
        command=_command(name, machine, bits) if fits else "",
    )


def _estimate(
    name: str, architecture: Architecture, depth: Depth, accelerator: Accelerator, size: float
) -> CostEstimate:
    tokens = count_tokens(name, architecture, IMAGE_SIZE, depth)
    return estimate_cost(
        architecture, tokens, accelerator, depth=depth, efficiency=EFFICIENCY, bytes_per_number=size
    )


def _quantized_bytes(architecture: Architecture) -> int:
    """Return the bytes of the weights in 4 bits: bitsandbytes leaves vision and vocabulary as they are."""
    layers = architecture.layer_weights
    return int(layers * QUANTIZED_BYTES + (architecture.parameters - layers) * BYTES_PER_NUMBER)


def _student_entry(name: str, fields: Mapping[str, Any], machine: Machine) -> CatalogueEntry:
    """Return the row of the embedded student, of which only the size of its file is known."""
    folder = find_student(name)
    size = sum(file.stat().st_size for file in folder.glob("*.onnx")) if folder else 0
    return CatalogueEntry(
        name=name,
        what=fields["what"],
        license=fields["license"],
        source=fields["source"],
        general=fields.get("general", True),
        parameters=None,
        weights=size,
        memory=size,
        images_per_second=None,
        verdicts_per_second=None,
        cards=1,
        bits=None,
        fits=folder is not None and size <= USABLE_MEMORY * machine.accelerator.memory,
        command=f"judge score rows.jsonl --out out.jsonl --depth score --rubric quality --model {name}",
    )


def _command(name: str, machine: Machine, bits: int | None) -> str:
    model = "" if name == "embedded" else f" --model {name}"
    backend = " --backend vllm" if machine.has_gpu and bits is None and _has_vllm() and model else ""
    option = f" --option bits={bits}" if bits else ""
    return f'judge verdict image.png --prompt "a cat"{model}{backend}{option}'


def _has_vllm() -> bool:
    try:
        return bool(metadata.version("vllm"))
    except metadata.PackageNotFoundError:
        return False
