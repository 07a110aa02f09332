"""The options of each backend, read from its signature: names, types, and values given as text.

Options are the keyword arguments of the backend's class. The backend `vllm` also takes every field of
`vllm.EngineArgs`. A new keyword argument of a backend is an option without any change here.
"""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import (
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

from judge.backends import student
from judge.errors import InputError

BACKEND_CLASSES = {
    "transformers": "judge.backends.transformers.backend:Transformers",
    "vllm": "judge.backends.vllm.backend:VLLM",
    "openai": "judge.backends.openai.backend:OpenAI",
    "onnxruntime": "judge.backends.student:Student",
}
"""Name of a backend -> module and class. A student always runs on `onnxruntime`."""
OWN_ARGUMENTS = frozenset({"self", "model", "folder", "adapter", "base_url"})
"""Arguments of the classes that are not options: `judge.backends.load` passes them by themselves."""
ENGINE_ARGUMENTS = frozenset({"model", "revision", "dtype", "enable_lora"})
"""Fields of `vllm.EngineArgs` that are no engine options: the backend sets them."""
_NO_JSON = object()
"""In place of the value of a text that is no JSON."""


@dataclass(frozen=True)
class Option:
    """One option of a backend."""

    name: str
    annotation: Any
    """Type of the value; `Any` if it cannot be resolved."""
    default: Any = None

    def parse(self, text: str) -> Any:
        """Parse a value by the type of the option.

        Args:
            text: the value as it is written in a command or a URL. Lists and tables are written as JSON;
                `none` is None where that is allowed.

        Raises:
            InputError: the text is no value of that type.
        """
        parsed = _read_json("null" if text.strip().lower() == "none" else text)
        adapter = _type_adapter(self.annotation)
        if adapter is None:
            return text if parsed is _NO_JSON else parsed
        if parsed is not _NO_JSON and not isinstance(parsed, dict | list):
            try:
                # Strict: a revision of digits only is no number.
                return adapter.validate_python(parsed, strict=True)
            except ValidationError:
                pass
        return self._validate(adapter, parsed if isinstance(parsed, dict | list) else text)

    def check(self, value: Any) -> Any:
        """Return a value that is not text if it fits the type of the option; raise `InputError` otherwise."""
        adapter = _type_adapter(self.annotation)
        if adapter is None:
            return value
        return self._validate(adapter, value)

    def _validate(self, adapter: TypeAdapter[Any], value: Any) -> Any:
        try:
            checked = adapter.validate_python(value)
        except ValidationError as error:
            allowed = describe_type(self.annotation)
            mend = "use one of them" if ", " in allowed else error.errors()[0]["msg"]
            raise InputError(self.name, value, allowed, mend) from None
        # The engine builds the objects of its configuration itself.
        return value if isinstance(value, dict | list) else checked


COMMON_OPTIONS = {
    "max_pixels": Option("max_pixels", int),
    "max_defects": Option("max_defects", int | None),
    "seed": Option("seed", int, 0),
}
"""Arguments of `judge.Judge` that commands take as options, whatever the backend."""


@dataclass(frozen=True)
class OptionSet:
    """The options that can be given for one backend."""

    backend: str
    """Name of the backend, for messages."""
    known: Mapping[str, Option]
    """Name -> option, without those of the engine."""
    has_engine: bool = False
    """Whether the fields of `vllm.EngineArgs` are options too."""

    @classmethod
    def of_backend(cls, backend: str, model: str = "", *, common: bool = False) -> OptionSet:
        """Return the options of a backend.

        Args:
            backend: `auto`, `transformers`, `vllm` or `openai`.
            model: decides what `auto` is: the folder of a student runs on onnxruntime.
            common: include `COMMON_OPTIONS`.
        """
        if backend != "openai" and model and student.find_student(model) is not None:
            backend = "onnxruntime"
        backend = "transformers" if backend == "auto" else backend
        module, _, name = BACKEND_CLASSES[backend].partition(":")
        known = signature_options(getattr(import_module(module), name))
        return cls(backend, known | (COMMON_OPTIONS if common else {}), backend == "vllm")

    def without(self, *names: str) -> OptionSet:
        """Return the options without some of them."""
        return replace(self, known={name: o for name, o in self.known.items() if name not in names})

    def find(self, name: str) -> Option:
        """Return an option by its name.

        Raises:
            InputError: there is none. The message names the nearest ones and lists all.
        """
        if name in self.known:
            return self.known[name]
        engine = engine_options() if self.has_engine else {}
        if name in engine:
            return engine[name]
        if self.has_engine and not engine:
            return Option(name, Any)  # without vLLM the backend itself says what is missing
        names = sorted(self.known)
        nearest = get_close_matches(name, [*names, *engine], n=3, cutoff=0.6)
        allowed = ", ".join(names) or f"none with {self.backend}"
        if engine:
            allowed += f", and {len(engine)} fields of vllm.EngineArgs"
        mend = f"{self.backend} has no such option: leave it out"
        raise InputError(
            "option", name, allowed, f"did you mean {' or '.join(nearest)}?" if nearest else mend
        )

    def check_names(self, names: Iterable[str]) -> None:
        """Raise `InputError` for the first name that is no option; see `find`."""
        for name in names:
            self.find(name)

    def parse(self, texts: Iterable[str], file: str | Path | None = None) -> dict[str, Any]:
        """Parse options that are given as text, and those of a file.

        Args:
            texts: `NAME=VALUE` each. They replace those of the file.
            file: a TOML file, see `read_file`.

        Returns:
            Name -> value of the option's type.

        Raises:
            InputError: a text has another form, is given twice, names no option, or its value has another
                type; or the file is not usable.
        """
        given: dict[str, Any] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            name = name.strip()
            if not equals or not name:
                raise InputError("option", text, "NAME=VALUE", "for example dtype=bfloat16")
            if name in given:
                raise InputError("option", text, "each name once", f"{name} is given twice: leave one out")
            given[name] = self.find(name).parse(value)
        return (self.read_file(file) if file is not None else {}) | given

    def read_file(self, path: str | Path) -> dict[str, Any]:
        """Read options from a TOML file: `name = value` lines, by themselves or in a table `options`.

        Raises:
            InputError: the file is not readable TOML, names no option, or a value has another type.
        """
        try:
            raw = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("options", str(path), "a readable TOML file", f"correct it: {error}") from None
        table = raw.get("options")
        return self.check(table if set(raw) == {"options"} and isinstance(table, dict) else raw)

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values that are not text; raise `InputError` for an unknown name or another type."""
        return {name: self.find(name).check(value) for name, value in values.items()}


def signature_options(backend_class: type) -> dict[str, Option]:
    """Return the keyword arguments of a class as options by name."""
    initializer = backend_class.__init__  # type: ignore[misc]  # the class itself is asked, not an instance
    hints = _type_hints(initializer)
    return {
        parameter.name: Option(parameter.name, hints.get(parameter.name, Any), parameter.default)
        for parameter in inspect.signature(initializer).parameters.values()
        if parameter.name not in OWN_ARGUMENTS and parameter.kind is not parameter.VAR_KEYWORD
    }


@cache
def engine_options() -> dict[str, Option]:
    """Return the fields of `vllm.EngineArgs` as options; empty if vLLM is not installed."""
    from judge.backends.vllm.engine import startup_environment

    try:
        with startup_environment(None):
            from vllm import EngineArgs
    except ImportError:
        return {}
    hints = _type_hints(EngineArgs)
    return {
        field.name: Option(field.name, hints.get(field.name, Any))
        for field in fields(EngineArgs)
        if field.name not in ENGINE_ARGUMENTS
    }


def describe_type(annotation: Any) -> str:
    """Return a type in words, for messages."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    if annotation in words:
        return words[annotation]
    if literals := [value for value in get_args(annotation) if isinstance(value, str | int)]:
        return ", ".join(map(str, literals))
    members = [member for member in get_args(annotation) if isinstance(member, type) and member in words]
    if members and len(members) == len(get_args(annotation)):
        return " or ".join(words[member] for member in members)
    name = getattr(annotation, "__name__", None) if not get_args(annotation) else None
    return name or str(annotation).replace("typing.", "").replace("collections.abc.", "")


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return _NO_JSON


def _type_hints(target: Any) -> dict[str, Any]:
    """Return the types of a function's parameters or a class's fields; those that resolve, one by one."""
    try:
        return get_type_hints(target)
    except (NameError, TypeError, AttributeError):
        pass
    namespace = getattr(target, "__globals__", None) or vars(inspect.getmodule(target) or object())
    resolved = {}
    for name, annotation in inspect.get_annotations(target).items():
        try:
            resolved[name] = eval(annotation, dict(namespace)) if isinstance(annotation, str) else annotation
        except Exception:  # names that are imported for type checkers only
            continue
    return resolved


@cache
def _type_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Return a validator of a type; None if every value is accepted."""
    if annotation is Any:
        return None
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError as error:
        if isinstance(error, PydanticSchemaGenerationError):
            return None
    try:
        return TypeAdapter(annotation)  # types with a configuration of their own
    except PydanticUserError:
        return None
