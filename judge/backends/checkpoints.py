"""Locate the parts of a model: a checkpoint by name, or a folder with the layout of the embedded judge.

FOLDER/judge.json      {"domain", "brief", "size", "phrases", "adapters", "boxes", "tokens"}
FOLDER/base/           the checkpoint
FOLDER/adapter/        LoRA adapter for every rubric without its own; optional
FOLDER/NAME/           LoRA adapter of one rubric: "adapters" maps the name of the rubric to NAME
FOLDER/NAME/judge.json {"domain", "phrases"} of that adapter; both optional
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from judge.backends.base import AdapterInfo
from judge.backends.models.boxes import BoxConvention
from judge.errors import BackendError

EMBEDDED = Path(str(files("judge"))) / "assets" / "nano"
"""Folder of the model that is part of the package."""


@dataclass(frozen=True)
class Adapter:
    """One LoRA adapter and its description."""

    path: str | Path
    """Folder of the adapter, or its name on the hub."""
    name: str
    """Name of the adapter in provenance."""
    domain: str = ""
    """What it was trained on, in words; empty when unknown."""
    phrases: Sequence[str] = ()
    """Texts that it often writes."""


@dataclass(frozen=True)
class Checkpoint:
    """The parts of a model and its description, known without loading it."""

    source: str
    """The base checkpoint: a folder or a name on the hub."""
    adapter: Adapter | None
    """The adapter for every rubric without its own."""
    rubric_adapters: Mapping[str, Adapter] = field(default_factory=dict)
    """Name of a rubric -> the adapter that was trained for it."""
    domain: str = ""
    """What the model was trained on, in words; empty when unknown."""
    brief: bool = False
    """True if the model takes the brief prompt template."""
    size: int | None = None
    """Side in pixels of the square image that the model sees; None for any shape."""
    phrases: Sequence[str] = ()
    """Texts that the model often writes."""
    boxes: str | None = None
    """How the model was trained to write boxes, a value of `judge.backends.models.boxes.BoxConvention`; None:
    as its family does."""
    tokens: str = "natural"
    """`pieces` if the model was trained on forms of which each literal and label is tokenized by itself, as
    the embedded judge was; `natural` if it gets text as its tokenizer writes it, as every other model."""

    @classmethod
    def resolve(cls, model: str | Path, adapter: str | Path | None = None) -> Self:
        """Find the parts of a model by its name.

        Args:
            model: `embedded`, a checkpoint folder, a folder with the layout of the embedded judge, or a name
                on the hub.
            adapter: LoRA adapter to use for every rubric, in place of the model's own adapters.

        Returns:
            The parts of the model.

        Raises:
            BackendError: `model` is `embedded` and the installation has no weights, or an adapter that
                `judge.json` names is missing.
        """
        folder = EMBEDDED if model == "embedded" else Path(model)
        general = None if adapter is None else Adapter(adapter, _adapter_name(adapter, folder))
        if not (folder / "judge.json").is_file():
            if model == "embedded":
                raise BackendError("embedded: this installation holds no weights; name a model instead")
            return cls(str(model), general, tokens=_base_tokens(folder))
        info = _read_info(folder)
        if general is None and (folder / "adapter").is_dir():
            general = _read_adapter(folder / "adapter")
        names = info.get("adapters", {}) if adapter is None else {}
        paths = {rubric: folder / name for rubric, name in names.items()}
        if missing := [path for path in paths.values() if not path.is_dir()]:
            raise BackendError(
                f"{model}: judge.json names the adapter {missing[0].name}, which does not exist"
            )
        return cls(
            source=str(folder / "base"),
            adapter=general,
            rubric_adapters={rubric: _read_adapter(path) for rubric, path in paths.items()},
            domain=info.get("domain", ""),
            brief=info.get("brief", False),
            size=info.get("size"),
            phrases=info.get("phrases", ()),
            boxes=info.get("boxes", BoxConvention.JUDGE_GRID.value),
            tokens=info.get("tokens", "pieces"),
        )

    @property
    def adapter_paths(self) -> list[str | Path]:
        """Path of every adapter, the general one first."""
        return [a.path for a in (self.adapter, *self.rubric_adapters.values()) if a is not None]

    @property
    def all_phrases(self) -> list[str]:
        """Texts that the model and its rubric adapters often write."""
        groups = (self.phrases, *(adapter.phrases for adapter in self.rubric_adapters.values()))
        return [text for phrases in groups for text in phrases]

    @property
    def adapters(self) -> dict[str, AdapterInfo]:
        """Name and domain of each rubric's own adapter, as `Backend.adapters`."""
        return {
            rubric: AdapterInfo(adapter.name, adapter.domain or self.domain)
            for rubric, adapter in self.rubric_adapters.items()
        }


def weights_revision(
    source: str, adapters: Sequence[str | Path], commit: str | None, requested: str | None
) -> str:
    """Identify the weights of a model.

    Args:
        source: the base checkpoint, a folder or a name on the hub.
        adapters: paths of its adapters.
        commit: hub commit that the library loaded, where it knows one.
        requested: revision that the caller asked for.

    Returns:
        The hub commit of the checkpoint, or the first 16 hexadecimal digits of the SHA-256 of local weights.
    """
    if not Path(source).is_dir():
        return str(commit or requested or "")
    digest = hashlib.sha256()
    for folder in map(Path, (source, *adapters)):
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(path.name.encode())
            _hash_file(path, digest.update)
    return digest.hexdigest()[:16]


def _hash_file(
    path: Path, update: Callable[[bytes], None], block: int = 1 << 20, max_blocks: int = 256
) -> None:
    """Feed the size and the content of a file to a hash; above 256 MiB, 256 evenly spaced blocks of 1 MiB."""
    size = path.stat().st_size
    stride = max(block, size // max_blocks)
    update(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        for start in range(0, size, stride):
            file.seek(start)
            update(file.read(block))


def _read_adapter(path: Path) -> Adapter:
    info = _read_info(path) if (path / "judge.json").is_file() else {}
    return Adapter(path, path.name, info.get("domain", ""), info.get("phrases", ()))


def _read_info(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "judge.json").read_text("utf-8")))


def _base_tokens(folder: Path) -> str:
    """Return the member `tokens` of a checkpoint that is the base of a folder with a `judge.json`."""
    is_base = folder.name == "base" and (folder.parent / "judge.json").is_file()
    return str(_read_info(folder.parent).get("tokens", "pieces")) if is_base else "natural"


def _adapter_name(adapter: str | Path, folder: Path) -> str:
    """Name of an adapter in provenance: short if it lies in the model's own folder."""
    path = Path(adapter)
    return path.name if path.parent == folder else str(adapter)
