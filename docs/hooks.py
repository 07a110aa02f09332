"""Pages whose content is read from the code when the site is built: commands, HTTP API, benchmarks.

MkDocs calls `on_page_markdown` for every page. A page asks for generated content by a line such as
`<!-- generate: cli -->`, or with an argument, `<!-- generate: suite thqa -->`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

MARK = re.compile(r"^<!-- generate: (\w+)(?: ([\w-]+))? -->$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each mark by what it asks for. Raises `KeyError` for an unknown one."""
    return MARK.sub(lambda match: GENERATORS[match[1]](*filter(None, [match[2]])), markdown)


def cli() -> str:
    """Every command of `judge` with its arguments and options, from the Typer apps themselves."""
    lines: list[str] = []
    for path, command in commands().items():
        context = command.make_context(path, [], resilient_parsing=True)
        lines += [f"## `{path}`", "", _text(command.help), ""]
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        lines += ["```text", usage, "```", ""]
        rows = [
            _parameter(one)
            for one in command.params
            if one.name != "help" and not getattr(one, "hidden", False)
        ]
        if rows:
            lines += ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def commands() -> dict[str, Any]:
    """Each command that does something, by the words that call it; groups are followed to their commands."""
    import typer.main

    from eval.cli.app import app as eval_app
    from finetune.cli import app as finetune_app
    from judge.cli.app import app

    groups = {"eval": eval_app, "finetune": finetune_app}
    found: dict[str, Any] = {}

    def add(command: Any, path: str) -> None:
        children = getattr(command, "commands", None)
        if not children:
            found[path] = command
        for name, child in (children or {}).items():
            group = groups.get(name) if path == "judge" else None
            add(typer.main.get_command(group) if group else child, f"{path} {name}")

    add(typer.main.get_command(app), "judge")
    return found


def _parameter(one: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    if one.param_type_name == "argument":
        names = f"`{(one.metavar or one.name).strip('[]').upper()}`"
    default = (
        "required"
        if one.required
        else ""
        if one.default in (None, False, "", (), [])
        else f"`{_plain(one.default)}`"
    )
    return f"| {names} | {default} | {_text(getattr(one, 'help', '') or '')} |"


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


def _text(text: str | None) -> str:
    """Help text as one line of Markdown that a table cell can hold."""
    return " ".join((text or "").replace("|", "\\|").replace("<", "&lt;").split())


def http() -> str:
    """Routes and schemas of the gateway, from its own OpenAPI description."""
    description = openapi()
    lines: list[str] = []
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            lines += [f"### `{method.upper()} {path}`", ""]
            lines += [_text(route.get("description") or route.get("summary", "")), ""]
            bodies = route.get("requestBody", {}).get("content", {})
            for kind, body in bodies.items():
                lines += [f"Body as `{kind}`:", "", *_fields(body.get("schema", {}))]
            lines += ["| status | meaning |", "|---|---|"]
            for status, answer in route["responses"].items():
                lines += [f"| {status} | {_text(answer['description'])} |"]
            lines += [""]
    lines += ["## Schemas", ""]
    for name, schema in sorted(description["components"]["schemas"].items()):
        if "properties" in schema:
            lines += [f"### {name}", "", _text(schema.get("description", "")), "", *_fields(schema)]
    return "\n".join(lines)


def _fields(schema: dict[str, Any]) -> list[str]:
    """A table of an object's fields."""
    if "$ref" in schema:
        return [_type(schema), ""]
    required = schema.get("required", ())
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field, one in schema.get("properties", {}).items():
        given = one.get("default")
        default = "required" if field in required else "" if given in (None, "") else f"`{given!r}`"
        lines += [f"| `{field}` | {_type(one)} | {default} | {_text(one.get('description', ''))} |"]
    return [*lines, ""]


def openapi() -> dict[str, Any]:
    """The OpenAPI description of a gateway that is never started."""
    from judge.serve.http.app import build_description

    return build_description()


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kinds = schema.get("type", "any")
    return " or ".join(f"`{kind}`" for kind in (kinds if isinstance(kinds, list) else [kinds]))


def suites() -> str:
    """All benchmarks: a table with a link to the page of each."""
    from eval.suites import SUITES

    lines = ["| name | kind | what | officially obtained at |", "|---|---|---|---|"]
    for name, suite in SUITES.items():
        where = f"<{suite.source}>" if suite.source.startswith("http") else suite.source
        lines += [f"| [`{name}`](suites/{name}.md) | {suite.kind} | {suite.title} | {where} |"]
    return "\n".join(lines)


def suite(name: str) -> str:
    """What the module of a benchmark says about its files and numbers, and its settings."""
    from eval.suites import MODULES, load_suite

    own = load_suite(name)
    text = inspect.cleandoc(importlib.import_module(f"eval.suites.{MODULES[name]}").__doc__ or "")
    rows = {
        "splits": ", ".join(f"`{split}`" for split in own.splits),
        "default split": f"`{own.default_split}`" if own.default_split else "",
        "rubric and depth of a run": f"`{own.rubric}`, `{own.depth}`",
        "options of `run`": "; ".join(f"`{key}`: {_text(said)}" for key, said in own.options.items()),
        "options of `score`": "; ".join(f"`{key}`: {_text(said)}" for key, said in own.score_options.items()),
        "options of `submit`": ", ".join(
            f"`{key}`" for key in (own.submission.options if own.submission else ())
        ),
    }
    table = [f"| {key} | {value} |" for key, value in rows.items() if value]
    return "\n".join([text, "", "| setting | value |", "|---|---|", *table])


GENERATORS = {"cli": cli, "http": http, "suite": suite, "suites": suites}
