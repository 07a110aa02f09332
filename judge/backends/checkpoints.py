"""Where a model's parts lie: a checkpoint by name, or a folder laid out as the embedded judge is.

FOLDER/judge.json      {"domain", "brief", "size", "phrases", "adapters"}
FOLDER/base/           the checkpoint
FOLDER/adapter/        LoRA adapter for every rubric without one of its own; may be absent
FOLDER/NAME/           one for a rubric: "adapters" maps the rubric's name to NAME
FOLDER/NAME/judge.json {"domain", "phrases"} of that adapter, both optional
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from judge.backends.base import AdapterInfo
from judge.errors import BackendError

EMBEDDED = Path(str(files("judge"))) / "assets" / "nano"


@dataclass(frozen=True)
class Adapter:
    """One LoRA adapter and what is said of it."""

    place: str | Path
    """Its folder, or its name on the hub."""
    name: str
    """What provenance calls it."""
    domain: str = ""
    phrases: Sequence[str] = ()


@dataclass(frozen=True)
class Folder:
    """A model's parts and what is known of it without loading it."""

    source: str
    """The checkpoint: a folder or a name on the hub."""
    adapter: Adapter | None
    """For every rubric without one of its own."""
    own: Mapping[str, Adapter] = field(default_factory=dict)
    """Rubric -> the adapter that was trained for it."""
    domain: str = ""
    brief: bool = False
    size: int | None = None
    phrases: Sequence[str] = ()

    @classmethod
    def of(cls, model: str | Path, adapter: str | Path | None = None) -> Self:
        """Read what a model's name stands for. An adapter of the caller's serves every rubric.

        Raises:
            BackendError: the embedded judge is meant and this installation holds none, or an adapter that
                `judge.json` names is not there.
        """
        folder = EMBEDDED if model == "embedded" else Path(model)
        given = None if adapter is None else Adapter(adapter, _shown(adapter, folder))
        if not (folder / "judge.json").is_file():
            if model == "embedded":
                raise BackendError("embedded: this installation holds no weights; name a model instead")
            return cls(str(model), given)
        card = _card(folder)
        if given is None and (folder / "adapter").is_dir():
            given = _described(folder / "adapter")
        own = {} if adapter is not None else {r: folder / n for r, n in card.get("adapters", {}).items()}
        if absent := [place for place in own.values() if not place.is_dir()]:
            raise BackendError(f"{model}: judge.json names the adapter {absent[0].name}, which is not there")
        return cls(
            source=str(folder / "base"),
            adapter=given,
            own={rubric: _described(place) for rubric, place in own.items()},
            domain=card.get("domain", ""),
            brief=card.get("brief", False),
            size=card.get("size"),
            phrases=card.get("phrases", ()),
        )

    @property
    def places(self) -> list[str | Path]:
        """Every adapter's place, the general one first."""
        return [a.place for a in (self.adapter, *self.own.values()) if a is not None]

    @property
    def tunings(self) -> dict[str, AdapterInfo]:
        """What the model says of itself under the rubrics that it has adapters for."""
        return {rubric: AdapterInfo(own.name, own.domain or self.domain) for rubric, own in self.own.items()}


def _described(place: Path) -> Adapter:
    card = _card(place) if (place / "judge.json").is_file() else {}
    return Adapter(place, place.name, card.get("domain", ""), card.get("phrases", ()))


def _card(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "judge.json").read_text("utf-8")))


def _shown(adapter: str | Path, folder: Path) -> str:
    path = Path(adapter)
    return path.name if path.parent == folder else str(adapter)
