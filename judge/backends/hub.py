"""Find a checkpoint or an adapter before a library loads it: a folder, or a name on the Hugging Face Hub.

Without this check, a name that cannot be had ends in minutes of retries by `huggingface_hub` and in an error
that names a file. Here one request of `PROBE_SECONDS` at most decides, and each failure is one error with
what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from judge.errors import ModelNotFoundError

PROBE_SECONDS = 5.0
"""Longest time in seconds of the request that asks whether the hub has a name."""
CHECKPOINT_FILE, ADAPTER_FILE = "config.json", "adapter_config.json"
BUILT_IN = ("embedded", "embedded-student")
"""Models of the package, among which a misspelt name is searched too."""
LOGIN = "accept its terms on its page, then run `hf auth login` or set HF_TOKEN"


@dataclass(frozen=True)
class Location:
    """Where the files of a checkpoint or an adapter are loaded from."""

    source: str
    """A folder, or a name on the hub that answers now."""
    commit: str | None = None
    """Commit of the folder, if it is one of the hub's cache."""


def locate(
    name: str | Path, revision: str | None = None, *, field: str = "model", file: str = CHECKPOINT_FILE
) -> Location:
    """Find a checkpoint or an adapter.

    Args:
        name: a folder, or a name on the hub.
        revision: revision on the hub.
        field: what errors call it.
        file: a file that it must have: `CHECKPOINT_FILE` or `ADAPTER_FILE`.

    Returns:
        The folder; the folder of the cache if the hub cannot be reached; else the name.

    Raises:
        ModelNotFoundError: there is no such folder, the hub has no such name or revision, it is gated, or it
            is not in the cache and the hub cannot be reached.
    """
    text = str(name)
    if Path(text).is_dir():
        _check_folder(Path(text), field, file)
        return Location(text)
    _check_name(text, field)
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _find_cached(text, revision, field, file, "HF_HUB_OFFLINE is set")
    problem = _probe(text, revision, field, file)
    return Location(text) if not problem else _find_cached(text, revision, field, file, problem)


def locate_adapter(name: str | Path, field: str = "adapter") -> Path:
    """Return the folder of an adapter; download it if it is a name on the hub.

    Args:
        name: a folder, or a name on the hub.
        field: what errors call it.

    Raises:
        ModelNotFoundError: as `locate`, or a file of the adapter cannot be downloaded.
    """
    location = locate(name, field=field, file=ADAPTER_FILE)
    folder = Path(location.source)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(str(name)))
        except Exception as error:  # the hub has its own exceptions, and those of its HTTP client
            mend = f"it cannot be downloaded ({_shorten(error)}): try again"
            raise ModelNotFoundError(field, str(name), "a folder or a name on the hub", mend) from error
    return folder


def list_cached(file: str = CHECKPOINT_FILE) -> list[str]:
    """Return the names of the repositories in the hub's cache that have a file, in alphabetical order."""
    from huggingface_hub import constants

    folders = Path(constants.HF_HUB_CACHE).glob("models--*")
    return sorted(
        folder.name.removeprefix("models--").replace("--", "/")
        for folder in folders
        if any(folder.glob(f"snapshots/*/{file}"))
    )


def _check_folder(folder: Path, field: str, file: str) -> None:
    """Raise `ModelNotFoundError` if a folder does not have the file of a checkpoint or an adapter."""
    if (folder / file).is_file():
        return
    other = {CHECKPOINT_FILE: ADAPTER_FILE, ADAPTER_FILE: CHECKPOINT_FILE}[file]
    kinds = {CHECKPOINT_FILE: "a checkpoint", ADAPTER_FILE: "a LoRA adapter"}
    mend = f"it has no {file}: check the path"
    if (folder / other).is_file():
        mend = (
            f"it has no {file}, it is {kinds[other]}: pass it as {'adapter' if field == 'model' else 'model'}"
        )
    raise ModelNotFoundError(field, str(folder), f"a folder with {kinds[file]}", mend)


def _check_name(name: str, field: str) -> None:
    """Raise `ModelNotFoundError` if a name that is no folder can be no name on the hub either."""
    import huggingface_hub.utils
    from huggingface_hub.errors import HFValidationError

    utilities: Any = huggingface_hub.utils
    path = Path(name).expanduser()
    if path.is_file():
        mend = "this is a file: name its folder"
        raise ModelNotFoundError(field, name, "a folder or a name on the hub", mend)
    is_path = name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1
    # The first part of OWNER/NAME is no folder here, unless a path was meant.
    is_path = is_path or ("/" in name and path.parent.is_dir())
    try:
        utilities.validate_repo_id(name)
    except HFValidationError:
        is_path = True
    if not is_path:
        return
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    nearest = get_close_matches(path.name, siblings, n=1)
    mend = f"did you mean {str(path.parent / nearest[0])!r}?" if nearest else "check the path"
    allowed = "a folder that exists, or OWNER/NAME on the hub"
    raise ModelNotFoundError(field, name, allowed, f"there is no such folder: {mend}")


def _probe(name: str, revision: str | None, field: str, file: str) -> str:
    """Ask the hub for a file of a repository.

    Returns:
        Why the hub cannot be reached; empty if the repository has the file.

    Raises:
        ModelNotFoundError: the hub has no such name, revision or file, or does not give it to this user.
    """
    from huggingface_hub import errors as hub
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    allowed = "a folder that exists, or a name that the hub has"
    try:
        get_hf_file_metadata(hf_hub_url(name, file, revision=revision), timeout=PROBE_SECONDS)
    except hub.GatedRepoError:
        raise ModelNotFoundError(field, name, "a checkpoint that this user may read", LOGIN) from None
    except hub.RevisionNotFoundError:
        mend = f"{name} has no such revision: leave it out for the newest"
        raise ModelNotFoundError("revision", revision, "a branch, tag or commit of it", mend) from None
    except hub.EntryNotFoundError:
        raise ModelNotFoundError(field, name, f"one with {file}", f"it has no {file}: name another") from None
    except (hub.RepositoryNotFoundError, hub.HFValidationError):
        mend = f"there is none, or it is private (`hf auth login`){_suggestion(name, file)}"
        raise ModelNotFoundError(field, name, allowed, mend) from None
    except Exception as error:  # the classes of the HTTP client differ between versions of the hub's library
        return f"the hub cannot be reached ({_shorten(error)})"
    return ""


def _find_cached(name: str, revision: str | None, field: str, file: str, problem: str) -> Location:
    """Return the folder of a repository in the hub's cache.

    Raises:
        ModelNotFoundError: it is not there.
    """
    from huggingface_hub import try_to_load_from_cache

    found: Any = try_to_load_from_cache(name, file, revision=revision)
    if isinstance(found, str):
        folder = Path(found).parent
        return Location(str(folder), folder.name)
    allowed = "a folder that exists, or a name in the cache of the hub"
    mend = f"{problem}{_suggestion(name, file)}; download it where there is a network (`hf download {name}`)"
    if problem.startswith("HF_HUB_OFFLINE"):
        mend += ", or unset HF_HUB_OFFLINE"
    value = f"{name} at {revision}" if revision else name
    raise ModelNotFoundError(field, value, allowed, mend)


def _suggestion(name: str, file: str) -> str:
    """Return what else may have been meant, as the end of a sentence."""
    cached = list_cached(file)
    nearest = _close_names(name, [*cached, *(BUILT_IN if file == CHECKPOINT_FILE else ())])
    if nearest:
        return f"; did you mean {' or '.join(map(repr, nearest))}?"
    return f"; the cache has {', '.join(cached[:5])}" if cached else "; the cache is empty"


def _close_names(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names that are like a name, whatever their case and owner."""
    spelt = {candidate.lower(): candidate for candidate in known}
    short = {candidate.rpartition("/")[2].lower(): candidate for candidate in known}
    matches = get_close_matches(name.lower(), spelt, n=3, cutoff=0.7)
    found = [spelt[match] for match in matches]
    found += [short[m] for m in get_close_matches(name.rpartition("/")[2].lower(), short, n=3, cutoff=0.8)]
    return list(dict.fromkeys(found))[:3]


def _shorten(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
