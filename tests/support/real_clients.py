"""Packages of others that tests are held against, kept apart from this environment: `make` says why."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn

CLIENTS = Path(sys.prefix) / "clients"
"""Folder of the packages, without what they depend on."""


def import_alone(
    name: str, stand_ins: dict[str, dict[str, Any]] | None = None, **attributes: dict[str, Any]
) -> ModuleType:
    """Import one module of such a package, without running the `__init__` of the packages around it.

    Those import much that the module itself does not need, in other versions than ours.

    Args:
        name: dotted name of the module.
        stand_ins: module that takes long to import -> what stands for it while this module is imported, for
            names that occur in annotations only.
        **attributes: name of a package around it, with "__" for dots -> what the module imports from it.
    """
    if not CLIENTS.joinpath(*name.split(".")).with_suffix(".py").is_file():
        pytest.skip(f"{name} is not in {CLIENTS}: run make")
    if str(CLIENTS) not in sys.path:
        sys.path.append(str(CLIENTS))
    packages = {".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 1)}
    for package in sorted(packages | {key.replace("__", ".") for key in attributes}):
        if package not in sys.modules:
            module = ModuleType(package)
            module.__path__ = [str(CLIENTS.joinpath(*package.split(".")))]
            sys.modules[package] = module
    for key, values in attributes.items():
        vars(sys.modules[key.replace("__", ".")]).update(values)
    absent = {key: values for key, values in (stand_ins or {}).items() if key not in sys.modules}
    for key, values in absent.items():
        sys.modules[key] = ModuleType(key)
        vars(sys.modules[key]).update(values)
    try:
        return importlib.import_module(name)
    finally:
        for key in absent:
            del sys.modules[key]


@contextmanager
def running_app(app: Any) -> Iterator[str]:
    """Run an ASGI app on a free port of this machine, and yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive(), "the server did not start"
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
