"""Configurations as TOML files. They are checked before anything is loaded.

Paths in a configuration are relative to the working directory. Unknown names are errors, so that a misspelled
field is never ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ValidationError

from judge.errors import InputError
from judge.types import StrictModel

CONFIG_DIR = Path(__file__).parent / "configs"
"""Folder of the configurations that come with the package."""
DEFAULT_MAX_DAMAGED_SHARE = 0.05
"""Largest share of the rows of a source whose images or videos cannot be read; such rows are skipped."""


class TomlConfig(StrictModel):
    """Base class of the configuration of a command."""

    config_dir: ClassVar[Path] = CONFIG_DIR
    """Folder of the configurations that are known by name."""

    @classmethod
    def load(cls, source: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read a configuration.

        Args:
            source: name of a file in `config_dir`, or path of a TOML file.
            overrides: `key=value`, for example `data.0.path=/data/clive` or `training.batch=4`.

        Raises:
            InputError: the file does not exist or is not TOML, or a field is unknown or unusable.
        """
        path = _find_file(source, cls.config_dir)
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("config", str(path), "a readable TOML file", f"fix it: {error}") from None
        for override in overrides:
            _apply_override(raw, override)
        config = cls.from_dict(raw, path.name)
        for section in config.sections_with_rubric():
            rubric_file = path.parent / (section.rubric or "")
            if rubric_file.is_file():
                section.rubric = str(rubric_file.resolve())
        return config

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], name: str = "config") -> Self:
        """Check a configuration that was read already.

        Args:
            raw: the tables.
            name: what errors call the configuration.

        Raises:
            InputError: a field is unknown or unusable.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join([name, *map(str, first["loc"])])
            mend = "correct the file"
            if first["type"] == "extra_forbidden":
                mend = _suggest_field(str(first["loc"][-1]), _section_at(cls, first["loc"][:-1]))
            raise InputError(field, first.get("input"), first["msg"], mend) from None

    def sections_with_rubric(self) -> Iterable[Any]:
        """Return the sections whose `rubric` may be a file in the folder of the configuration."""
        return ()


def _find_file(source: str | Path, folder: Path) -> Path:
    named = folder / f"{source}.toml"
    if isinstance(source, str) and "/" not in source and named.is_file():
        return named
    if Path(source).is_file():
        return Path(source)
    known = sorted(path.stem for path in folder.glob("*.toml"))
    nearest = get_close_matches(str(source), known, n=1, cutoff=0.0)
    raise InputError(
        "config", str(source), f"{', '.join(known)}, or a .toml file", f"did you mean {nearest[0]!r}?"
    )


def _section_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """Return the model of the table at a path."""
    for name in path:
        if isinstance(name, str) and name in model.model_fields:
            model = _model_in(model.model_fields[name].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field holds: itself, one of several, or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _suggest_field(name: str, section: type[BaseModel]) -> str:
    nearest = get_close_matches(name, list(section.model_fields), n=1, cutoff=0.5)
    return f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(section.model_fields)}"


def _apply_override(raw: dict[str, Any], override: str) -> None:
    """Set one `key=value` in the tables. The value is parsed as TOML, or else taken as text."""
    key, equals_sign, text = override.partition("=")
    names = key.strip().split(".")
    if not equals_sign or not all(names):
        raise InputError("set", override, "key=value", "for example training.batch=4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text
    table: Any = raw
    try:
        for name in names[:-1]:
            table = table[int(name)] if isinstance(table, list) else table.setdefault(name, {})
        table[int(names[-1]) if isinstance(table, list) else names[-1]] = value
    except (ValueError, IndexError, AttributeError, TypeError):
        raise InputError("set", override, "a field of the configuration", "check its name") from None
