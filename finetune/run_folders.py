"""The folder of a run. The same command resumes the run in it; another run is refused."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from judge.errors import InputError
from judge.runtime.version import __version__
from judge.types import StrictModel

RUN_FILE = "run.json"
"""Results of a run. It is written last."""
CONFIG_FILE = "config.json"
"""Configuration of a run. It is written first."""
VERSIONED_PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
"""Packages whose versions are written to `RUN_FILE`."""


def package_versions() -> dict[str, str]:
    """Return the versions of this package and of those that train; one that is not installed is left out."""
    versions = {"judge": __version__}
    for name in VERSIONED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # bitsandbytes is only for quantized weights
            continue
    return versions


def claim_folder(config: StrictModel, out: Path) -> None:
    """Create the folder of a run and write its configuration, or check that the folder belongs to the run.

    Raises:
        InputError: the folder holds another run or a finished one, or cannot be written.
    """
    settings = config.model_dump(mode="json")
    config_file = out / CONFIG_FILE
    if (out / RUN_FILE).is_file():
        raise InputError("out", str(out), "a new folder", "a run has ended there: name another")
    if config_file.is_file():
        earlier = json.loads(config_file.read_text("utf-8"))
        changed = [name for name in settings if settings[name] != earlier.get(name)]
        if changed:
            mend = f"{', '.join(changed)} changed: resume with the first settings, or name another folder"
            raise InputError("out", str(out), "the folder of the same run", mend)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("out", str(out), "a folder that can be written", error.strerror or "") from None
    write_json(config_file, settings)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    partial_file = path.with_name(f".{path.name}.part")
    partial_file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", "utf-8")
    partial_file.replace(path)
