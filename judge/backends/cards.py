"""The card of an examined model: what `judge examine` found, and the settings that follow from it.

    CARDS/NAME-HASH.json    `ModelCard`, found by the model, its adapter and server, and its revision

CARDS is `cards/` in $JUDGE_HOME, else in $XDG_CACHE_HOME/judge, else in ~/.cache/judge. `judge.Judge` reads
a card before it loads the model and applies its settings where the caller gave none. `Judge(card=False)` and
the environment variable JUDGE_CARDS=off switch that off.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from judge.backends.checkpoints import Checkpoint, weights_revision
from judge.backends.options import OptionSet
from judge.backends.student import find_student, student_revision
from judge.errors import BackendError, InputError
from judge.types import ComparisonMethod, StrictModel

FORMAT_VERSION = 1
SWITCH = "JUDGE_CARDS"
"""Environment variable; `off` stops all judges from reading cards."""
Fitness = Literal["fit", "fit with settings", "unfit"]
"""Result of an examination."""
Level = Literal["ok", "caution", "setting", "fault"]
"""ok: as it should be; caution: a weakness to know about; setting: a weakness that a setting removes; fault:
a reason not to use the model."""


class Measure(StrictModel):
    """One number of an examination."""

    value: float | None
    """None if it is undefined; `note` says why."""
    low: float | None = None
    """Lower end of the 95 % interval; None without one."""
    high: float | None = None
    count: int = 0
    """Number of images, elements, boxes or pairs behind it."""
    note: str = ""


class Finding(StrictModel):
    """What one measure means."""

    name: str
    """What was examined, for example `elements`."""
    level: Level
    text: str
    """In words, with the numbers."""


class CardSettings(StrictModel):
    """Settings that the model should be used with; None: as it comes."""

    boxes: str | None = None
    """Option `boxes` of the backend: the name of a `judge.backends.models.BoxConvention`."""
    batch: int | None = None
    """Option `batch` of the backend: rows in one forward pass."""
    thinking: int | None = None
    """Option `thinking` of the backend: tokens of a thought."""
    compare: ComparisonMethod | None = None
    """How `Judge.compare` compares with `how="auto"`."""

    def chosen(self) -> dict[str, Any]:
        """Return the settings that are not None, by name."""
        return self.model_dump(exclude_none=True)


class ModelCard(StrictModel):
    """The result of one examination."""

    format: int = FORMAT_VERSION
    model: str
    """As the caller named it."""
    revision: str = ""
    """As in `judge.types.Provenance`; empty if the backend knows none."""
    adapter: str | None = None
    """Name or folder of the adapter, as the caller named it."""
    base_url: str | None = None
    """Address of the server; None in process."""
    backend: str = ""
    backend_version: str = ""
    options: dict[str, Any] = {}
    """Options of the backend that the model was examined with."""
    rubric: str = "default"
    rubric_hash: str = ""
    version: str
    """Version of this package."""
    date: str
    """Day of the examination, ISO 8601."""
    count: int
    """Number of scenes."""
    seed: int
    verdict: Fitness
    settings: CardSettings = CardSettings()
    findings: list[Finding] = []
    measures: dict[str, Measure] = {}

    @property
    def reasons(self) -> list[str]:
        """Why the model is not simply fit, worst first."""
        order = ("fault", "setting", "caution")
        found = sorted((f for f in self.findings if f.level in order), key=lambda f: order.index(f.level))
        return [f"{finding.name}: {finding.text}" for finding in found]


@dataclass(frozen=True)
class AppliedCard:
    """The settings of a card that a judge uses."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Options for the backend."""
    compare: ComparisonMethod | None = None
    text: str = ""
    """The card and its settings, for provenance."""


def cards_folder() -> Path:
    """Return the folder of all cards; it need not exist."""
    if home := os.environ.get("JUDGE_HOME"):
        return Path(home).expanduser() / "cards"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "judge" / "cards"


def card_path(model: str, adapter: str | None, base_url: str | None, revision: str) -> Path:
    """Return the file of a card; it need not exist.

    Args:
        model: name on the hub, or folder. A folder is the same however its path is written.
        adapter: name or folder of the adapter.
        base_url: address of the server that has the model.
        revision: of the weights.
    """
    digest = hashlib.sha256("\0".join([_identity(model, adapter, base_url), revision]).encode())
    return cards_folder() / f"{_stem(model, adapter, base_url)}-{digest.hexdigest()[:12]}.json"


def keep_card(card: ModelCard) -> Path:
    """Write a card into the folder of cards and return its file.

    Raises:
        InputError: the file cannot be written.
    """
    path = card_path(card.model, card.adapter, card.base_url, card.revision)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(card.model_dump_json(indent=2) + "\n", "utf-8")
        part.replace(path)
    except OSError as error:
        mend = f"{error.strerror or error}; set JUDGE_HOME to another folder"
        raise InputError("card", str(path), "a file that can be written", mend) from None
    return path


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        InputError: the file is no card of this format.
    """
    try:
        card = ModelCard.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        mend = f"{reason}; examine the model again, or delete the file"
        raise InputError("card", str(path), "a card written by `judge examine`", mend) from None
    if card.format != FORMAT_VERSION:
        raise InputError("card", str(path), f"format {FORMAT_VERSION}", "examine the model again")
    return card


def find_card(
    model: str, adapter: str | None, base_url: str | None, revision: str | None = None
) -> ModelCard | None:
    """Return the card of a model, if it was examined with the weights that would be loaded now.

    Args:
        model: name on the hub, or folder.
        adapter: name or folder of the adapter.
        base_url: address of the server that has the model.
        revision: hub revision that the caller asks for.

    Raises:
        InputError: the card is not readable.
    """
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "false", "no"):
        return None
    # The weights are hashed only if the model has a card at all.
    if not any(cards_folder().glob(f"{_stem(model, adapter, base_url)}-*.json")):
        return None
    path = card_path(model, adapter, base_url, _find_revision(model, adapter, base_url, revision))
    return read_card(path) if path.is_file() else None


def resolve_card(
    card: bool | str | Path | ModelCard,
    backend: str,
    model: str,
    adapter: str | None,
    base_url: str | None,
    options: Mapping[str, Any],
) -> AppliedCard:
    """Return the settings that a judge is to use: of a card, of the kept card of the model, or none.

    Args:
        card: argument of `judge.Judge`.
        backend: name of the backend, `auto` included.
        model: name on the hub, or folder.
        adapter: name or folder of the adapter.
        base_url: address of the server.
        options: options that the caller gave; they win.

    Raises:
        InputError: the card is not readable.
    """
    if card is False:
        return AppliedCard()
    if isinstance(card, ModelCard):
        found: ModelCard | None = card
    elif card is True:
        found = find_card(model, adapter, base_url, options.get("revision"))
    else:
        found = read_card(Path(card))
    if found is None:
        return AppliedCard()
    return apply_card(found, options, accepted_options(backend, model))


def accepted_options(backend: str, model: str) -> set[str]:
    """Return the names of the options that a backend takes."""
    return set(OptionSet.of_backend(backend, model).known)


def apply_card(card: ModelCard, options: Mapping[str, Any], accepted: set[str]) -> AppliedCard:
    """Return the settings of a card that a judge is to use.

    Args:
        card: of the model.
        options: options that the caller gave; they win.
        accepted: names of the options that the backend takes.
    """
    chosen = card.settings.chosen()
    compare = chosen.pop("compare", None)
    used = {name: value for name, value in chosen.items() if name in accepted and name not in options}
    shown = [f"{name}={value}" for name, value in used.items()] + ([f"compare={compare}"] if compare else [])
    if not shown:
        return AppliedCard()
    text = f"card of {card.date} ({card.verdict}): {', '.join(shown)}; card=False or {SWITCH}=off ignores it"
    return AppliedCard(used, compare, text)


def _identity(model: str, adapter: str | None, base_url: str | None) -> str:
    parts = (_resolve(model), _resolve(adapter) if adapter else "", (base_url or "").rstrip("/").lower())
    return "\0".join(parts)


def _resolve(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _stem(model: str, adapter: str | None, base_url: str | None) -> str:
    """Return the part of a card's file name that all revisions of a model share."""
    readable = (
        re.sub(r"[^A-Za-z0-9._]+", "-", model.rstrip("/").rsplit("/", 1)[-1])[:60].strip("-.") or "model"
    )
    return f"{readable}-{hashlib.sha256(_identity(model, adapter, base_url).encode()).hexdigest()[:8]}"


def _find_revision(model: str, adapter: str | None, base_url: str | None, requested: str | None) -> str:
    """Return the revision that a backend will report, without loading the model; empty if unknown."""
    if base_url is not None:
        return ""
    if (folder := find_student(model)) is not None:
        return student_revision(folder)
    try:
        checkpoint = Checkpoint.resolve(model, adapter)
    except BackendError:
        return ""
    commit = None if Path(checkpoint.source).is_dir() else _cached_commit(checkpoint.source, requested)
    return weights_revision(checkpoint.source, checkpoint.adapter_paths, commit, requested)


def _cached_commit(name: str, revision: str | None) -> str | None:
    """Return the commit of a checkpoint in the cache of the hub; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        file = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(file).parent.name if isinstance(file, str) else None
