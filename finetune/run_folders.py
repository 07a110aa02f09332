"""The folder of a run: taken once, gone on with by the same command, refused to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from judge.errors import InputError
from judge.types import Model

RUN = "run.json"
"""What a run writes last."""
ASKED = "config.json"


def claim(config: Model, out: Path) -> None:
    """Take the folder; raises `InputError` when it holds another run, or a finished one."""
    asked = config.model_dump(mode="json")
    known = out / ASKED
    if (out / RUN).is_file():
        raise InputError("out", str(out), "a new folder", "a run has ended there: name another")
    if known.is_file():
        then = json.loads(known.read_text("utf-8"))
        differ = [name for name in asked if asked[name] != then.get(name)]
        if differ:
            mend = f"{', '.join(differ)} changed: go on as it was begun, or name another folder"
            raise InputError("out", str(out), "the folder of the same run", mend)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("out", str(out), "a folder that can be written", error.strerror or "") from None
    write_json(known, asked)


def write_json(path: Path, value: Any) -> None:
    """Write a file as a whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", "utf-8")
    draft.replace(path)
