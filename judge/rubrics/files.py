"""Rubrics as files: where they lie, how one is read, and what is wrong with it.

A rubric file is TOML, see `prompts/README.md`. Templates are looked for beside the file, then among the
package's own; pictures of examples beside the file. What is read becomes part of the rubric, and so of its
hash: afterwards no file is needed.
"""

from __future__ import annotations

import base64
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from judge.errors import MediaError, RubricError
from judge.rubrics.templates import prompts

Schema = TypeVar("Schema", bound=BaseModel)

TEMPLATES = {"full": "general.jinja", "brief": "brief.jinja"}
"""What a rubric file that names no templates gets."""
LARGEST = 4 << 20
"""Bytes of one picture of a worked example at most; it is sent with every question."""


def known() -> list[str]:
    """Names of the rubrics that come with the package, `default` first."""
    names = sorted(path.stem for path in (prompts() / "rubrics").glob("*.toml"))
    return sorted(names, key=lambda name: name != "default")


def read(source: str | Path, schema: type[Schema]) -> tuple[Schema, Path]:
    """Read a rubric file and validate it.

    Args:
        source: name of a rubric of the package, or a `.toml` file.
        schema: `judge.Rubric`, which calls this.

    Returns:
        The rubric and the file it was read from.

    Raises:
        RubricError: unknown name, unreadable or invalid file; names the place and the mend.
    """
    path = locate(source)
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RubricError("rubric", str(path), "a readable TOML file", f"mend it: {error}") from None
    try:
        rubric = schema.model_validate(_with_contents(raw, path))
    except ValidationError as error:
        raise _told(error, path, schema.model_json_schema()) from None
    except OSError as error:
        raise RubricError("rubric", str(path), "files that can be read", f"mend it: {error}") from None
    return rubric, path


def locate(source: str | Path) -> Path:
    """The file of a rubric. Raises `RubricError` for an unknown name."""
    named = prompts() / "rubrics" / f"{source}.toml"
    if isinstance(source, str) and "/" not in source and named.is_file():
        return named
    if Path(source).is_file():
        return Path(source)
    near = get_close_matches(str(source), known(), n=1, cutoff=0.0)
    mend = f"did you mean {near[0]!r}?" if near else "reinstall the package: its prompts are missing"
    raise RubricError("rubric", str(source), f"{', '.join(known())}, or a .toml file", mend)


def _with_contents(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The same rubric with the texts of its templates and the pictures of its examples in place of names."""
    templates = raw.get("templates", {})
    if isinstance(templates, dict):
        raw["templates"] = {
            kind: _template(path, name) if isinstance(name, str) else name
            for kind, name in {**TEMPLATES, **templates}.items()
        }
    examples = raw.get("examples", [])
    for number, example in enumerate(examples if isinstance(examples, list) else []):
        for key in ("image", "reference"):
            if isinstance(example, dict) and isinstance(example.get(key), str) and example[key]:
                example[key] = _picture(path, example[key], f"{path.name}.examples.{number}.{key}")
    return raw


def _template(rubric: Path, name: str) -> str:
    beside, own = rubric.parent / name, prompts() / name
    return (beside if beside.is_file() else own).read_text("utf-8").rstrip("\n")


def _picture(rubric: Path, name: str, where: str) -> str:
    from judge.media import image as media

    if name[:5].lower() == "data:":
        return name
    file = rubric.parent / name
    data = file.read_bytes()
    if len(data) > LARGEST:
        raise RubricError(where, name, f"at most {LARGEST >> 20} MiB", "reduce the picture")
    try:
        media.load(data)
    except MediaError as error:
        raise RubricError(where, name, "a picture", str(error)) from None
    return f"data:image/{file.suffix.lstrip('.').lower()};base64,{base64.b64encode(data).decode()}"


def _told(error: ValidationError, path: Path, schema: dict[str, Any]) -> RubricError:
    """The first fault as one line: the place in the file, what stands there, what may, and the mend."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    where = ".".join([path.name, *place])
    if first["type"] == "extra_forbidden":
        keys = _keys_at(place[:-1], schema)
        near = get_close_matches(place[-1], keys, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]!r}?" if near else "remove it"
        return RubricError(where, first.get("input"), f"the keys {', '.join(keys)}", mend)
    if first["type"] == "missing":
        return RubricError(where, None, "a value: the key is required", f"add {place[-1]} to the file")
    said = first["msg"].removeprefix("Value error, ")
    return RubricError(where, "the rubric" if not place else first.get("input"), said, "mend the file")


def _keys_at(place: list[str], schema: dict[str, Any]) -> list[str]:
    """The keys that the schema knows at a place such as `attributes`, `0`."""
    at: dict[str, Any] = schema
    for part in place:
        at = at.get("items", {}) if part.isdecimal() else at.get("properties", {}).get(part, {})
        for option in [at, *at.get("anyOf", [])]:
            if "$ref" in option:
                at = schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
    return sorted(at.get("properties", {}))
