"""Find, read and validate rubric files.

A rubric file is TOML, see `prompts/README.md`. Templates are searched in the folder of the file and then
among those of the package; images of worked examples are searched in the folder of the file. Their contents
become part of the rubric, and so of its hash: once the rubric is loaded, no file is needed.
"""

from __future__ import annotations

import base64
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from judge.errors import MediaError, RubricError
from judge.rubrics.templates import prompts_folder

Schema = TypeVar("Schema", bound=BaseModel)

DEFAULT_TEMPLATES = {"full": "general.jinja", "brief": "brief.jinja"}
"""Templates of a rubric file that names none."""
GENERAL_TEMPLATE = "zero_shot.jinja"
"""Template for general models of a rubric file that names no full template."""
MAX_EXAMPLE_BYTES = 4 << 20
"""Maximum size of one image of a worked example; it is sent with every request."""


def list_rubric_names() -> list[str]:
    """Return the names of the rubrics in the package: `default`, then the others in alphabetical order."""
    names = sorted(path.stem for path in (prompts_folder() / "rubrics").glob("*.toml"))
    return sorted(names, key=lambda name: name != "default")


def load_rubric_file(source: str | Path, schema: type[Schema]) -> tuple[Schema, Path]:
    """Read a rubric file and validate it.

    Args:
        source: name of a rubric in the package, or path of a `.toml` file.
        schema: the model to validate with; `judge.Rubric` passes itself.

    Returns:
        The rubric and the path of its file.

    Raises:
        RubricError: the name is unknown, or the file cannot be read or is not valid. The message names the
            position in the file and how to correct it.
    """
    path = find_rubric_file(source)
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RubricError("rubric", str(path), "a readable TOML file", f"correct it: {error}") from None
    try:
        rubric = schema.model_validate(_inline_files(raw, path))
    except ValidationError as error:
        raise _to_rubric_error(error, path, schema.model_json_schema()) from None
    except OSError as error:
        raise RubricError("rubric", str(path), "files that can be read", f"correct it: {error}") from None
    return rubric, path


def find_rubric_file(source: str | Path) -> Path:
    """Return the path of a rubric file.

    Args:
        source: name of a rubric in the package, or path of a `.toml` file.

    Raises:
        RubricError: there is no such rubric and no such file.
    """
    packaged = prompts_folder() / "rubrics" / f"{source}.toml"
    if isinstance(source, str) and "/" not in source and packaged.is_file():
        return packaged
    if Path(source).is_file():
        return Path(source)
    names = list_rubric_names()
    nearest = get_close_matches(str(source), names, n=1, cutoff=0.0)
    mend = f"did you mean {nearest[0]!r}?" if nearest else "reinstall the package: its prompts are missing"
    raise RubricError("rubric", str(source), f"{', '.join(names)}, or a .toml file", mend)


def _inline_files(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Replace the file names of templates and example images by the contents of the files."""
    templates, general = raw.get("templates", {}), raw.get("general", {})
    if isinstance(templates, dict) and isinstance(general, dict):
        # A file with a template of its own is asked by that one, as it says nothing else.
        default = {} if "full" in templates else {"template": GENERAL_TEMPLATE}
        raw["general"] = default | general
        if isinstance(name := raw["general"].get("template"), str) and name:
            raw["general"]["template"] = _read_template(path, name)
        raw["templates"] = {
            kind: _read_template(path, name) if isinstance(name, str) else name
            for kind, name in {**DEFAULT_TEMPLATES, **templates}.items()
        }
    examples = raw.get("examples", [])
    for number, example in enumerate(examples if isinstance(examples, list) else []):
        for key in ("image", "reference"):
            if isinstance(example, dict) and isinstance(example.get(key), str) and example[key]:
                example[key] = _read_image(path, example[key], f"{path.name}.examples.{number}.{key}")
    return raw


def _read_template(rubric_path: Path, name: str) -> str:
    own, packaged = rubric_path.parent / name, prompts_folder() / name
    return (own if own.is_file() else packaged).read_text("utf-8").rstrip("\n")


def _read_image(rubric_path: Path, name: str, field: str) -> str:
    """Read an image as a `data:` URL; `field` is its position in the rubric file, for errors."""
    from judge.media.image import load_image

    if name[:5].lower() == "data:":
        return name
    file = rubric_path.parent / name
    data = file.read_bytes()
    if len(data) > MAX_EXAMPLE_BYTES:
        raise RubricError(field, name, f"at most {MAX_EXAMPLE_BYTES >> 20} MiB", "reduce the image")
    try:
        load_image(data)
    except MediaError as error:
        raise RubricError(field, name, "an image", str(error)) from None
    return f"data:image/{file.suffix.lstrip('.').lower()};base64,{base64.b64encode(data).decode()}"


def _to_rubric_error(error: ValidationError, path: Path, schema: dict[str, Any]) -> RubricError:
    """Convert the first validation error to one line with its position in the file and a correction."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    field = ".".join([path.name, *location])
    if first["type"] == "extra_forbidden":
        keys = _allowed_keys(location[:-1], schema)
        nearest = get_close_matches(location[-1], keys, n=1, cutoff=0.5)
        mend = f"did you mean {nearest[0]!r}?" if nearest else "remove it"
        return RubricError(field, first.get("input"), f"the keys {', '.join(keys)}", mend)
    if first["type"] == "missing":
        return RubricError(field, None, "a value: the key is required", f"add {location[-1]} to the file")
    allowed = first["msg"].removeprefix("Value error, ")
    value = first.get("input") if location else "the rubric"
    return RubricError(field, value, allowed, "correct the file")


def _allowed_keys(location: list[str], schema: dict[str, Any]) -> list[str]:
    """Return the keys that the JSON schema allows at a location such as `attributes`, `0`."""
    node: dict[str, Any] = schema
    for part in location:
        node = node.get("items", {}) if part.isdecimal() else node.get("properties", {}).get(part, {})
        for option in [node, *node.get("anyOf", [])]:
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
    return sorted(node.get("properties", {}))
