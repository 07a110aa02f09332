"""Configurations as TOML files, checked before anything is loaded.

Paths are relative to where the command is given. Unknown names are errors, so a misspelt one never passes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ValidationError

from judge.errors import InputError
from judge.types import Model

CONFIGS = Path(__file__).parent / "configs"


class Configured(Model):
    """What a command is asked to do, read from a file."""

    named: ClassVar[Path] = CONFIGS
    """Folder of those that are known by name."""

    @classmethod
    def load(cls, source: str | Path, changes: Sequence[str] = ()) -> Self:
        """Read a configuration.

        Args:
            source: name (one of those in `named`) or path.
            changes: `key=value`, for example `data.0.path=/data/clive` or `training.batch=4`.

        Raises:
            InputError: no such file, not TOML, an unknown or unusable field.
        """
        path = _locate(source, cls.named)
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("config", str(path), "a readable TOML file", f"mend it: {error}") from None
        for change in changes:
            _change(raw, change)
        made = cls.of(raw, path.name)
        for part in made.with_rubrics():
            beside = path.parent / (part.rubric or "")
            if beside.is_file():
                part.rubric = str(beside.resolve())
        return made

    @classmethod
    def of(cls, raw: Mapping[str, Any], where: str = "config") -> Self:
        """Raises `InputError`."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join([where, *map(str, first["loc"])])
            mend = "mend the file"
            if first["type"] == "extra_forbidden":
                mend = _nearest(str(first["loc"][-1]), _owner(cls, first["loc"][:-1]))
            raise InputError(name, first.get("input"), first["msg"], mend) from None

    def with_rubrics(self) -> Iterable[Any]:
        """The parts whose `rubric` may be a file beside this one."""
        return ()


def _locate(source: str | Path, folder: Path) -> Path:
    named = folder / f"{source}.toml"
    if isinstance(source, str) and "/" not in source and named.is_file():
        return named
    if Path(source).is_file():
        return Path(source)
    known = sorted(path.stem for path in folder.glob("*.toml"))
    near = get_close_matches(str(source), known, n=1, cutoff=0.0)
    raise InputError(
        "config", str(source), f"{', '.join(known)}, or a .toml file", f"did you mean {near[0]!r}?"
    )


def _owner(made: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """The model of the table at a path."""
    for name in path:
        if isinstance(name, str) and name in made.model_fields:
            made = _model_in(made.model_fields[name].annotation) or made
    return made


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds: itself, one of several, or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _nearest(name: str, owner: type[BaseModel]) -> str:
    near = get_close_matches(name, list(owner.model_fields), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(owner.model_fields)}"


def _change(raw: dict[str, Any], change: str) -> None:
    """Put one `key=value` into the tables; the value is TOML, or else plain text."""
    key, given, text = change.partition("=")
    names = key.strip().split(".")
    if not given or not all(names):
        raise InputError("set", change, "key=value", "for example training.batch=4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text
    at: Any = raw
    try:
        for name in names[:-1]:
            at = at[int(name)] if isinstance(at, list) else at.setdefault(name, {})
        at[int(names[-1]) if isinstance(at, list) else names[-1]] = value
    except (ValueError, IndexError, AttributeError, TypeError):
        raise InputError("set", change, "a field of the configuration", "check its name") from None
