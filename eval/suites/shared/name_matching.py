"""Why names do not match: what is given, what is wanted, and which change would make them equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from eval.suites.shared.media_files import VIDEO_SUFFIXES
from judge.errors import InputError
from judge.media.image_formats import IMAGE_SUFFIXES

MAX_LISTED = 5
"""Number of names that an error lists."""
MAX_COMPARED = 20_000
"""Number of names on either side that are compared."""


def shorten_list(names: Sequence[object], separator: str = ", ") -> str:
    """Return the first few names as text, and how many more there are."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return separator.join(str(name) for name in names[:MAX_LISTED]) + more


def check_names(
    given: Mapping[str, object] | Iterable[str],
    wanted: Iterable[str],
    path: Path,
    *,
    field: str = "pred",
    what: str = "a prediction",
    unit: str = "names",
) -> None:
    """Check that each wanted name is given; further names are fine.

    Args:
        given: names in the file.
        wanted: names of the labels.
        path: the file, for the error.
        field: what the caller calls the file.
        what: what the file must have for each name.
        unit: what the names are names of.

    Raises:
        InputError: names are missing. It lists some of them, some of the unused names in the file, and says
            which change of these would match.
    """
    own, total = dict.fromkeys(given), dict.fromkeys(wanted)
    absent = [name for name in total if name not in own]
    if not absent:
        return
    unused = [name for name in own if name not in total]
    expected = f"{what} for each of the {len(total)} {unit}; {len(absent)} are missing: "
    expected += shorten_list(absent)
    if unused:
        expected += f"; the file has {shorten_list(unused)}"
    mend = suggest_change(unused, absent, total)
    raise InputError(
        field, str(path), expected, mend or "add them, or score against the labels of the same split"
    )


def suggest_change(given: Sequence[str], absent: Sequence[str], wanted: Iterable[str] = ()) -> str:
    """Return the change of given names that makes them wanted ones, in words; empty where none does.

    Names are compared without index column, folder, suffix, zeros in front, and case. The change is named
    when it serves at least half of the absent names, or of the given ones.

    Args:
        given: names without a counterpart.
        absent: wanted names without a counterpart.
        wanted: all wanted names; names that end alike cannot be told apart by their ends.
    """
    given, absent = given[:MAX_COMPARED], absent[:MAX_COMPARED]
    by_key: dict[str, list[str]] = {}
    for name in dict.fromkeys([*absent, *wanted]):
        by_key.setdefault(_key(name), []).append(name)
    pairs: list[tuple[str, str]] = []
    doubled: dict[str, list[str]] = {}
    for name in given:
        found = next((by_key[key] for key in _keys(name) if key in by_key), [])
        same_folder = [other for other in found if _split(other)[0] == _split(name)[0]]
        if len(found) > 1 and len(same_folder) != 1:
            doubled[name] = found
        elif found:
            pairs.append((name, (same_folder or found)[0]))
    if 2 * len(pairs) >= min(len(absent), len(given)) and pairs:
        return _describe(pairs)
    if doubled:
        name, found = next(iter(doubled.items()))
        return f"{len(found)} names end like {name}, {shorten_list(found)}: give the folder too"
    return ""


def _describe(pairs: Sequence[tuple[str, str]]) -> str:
    """Return in words what turns the first name of most pairs into the second."""
    steps: list[str] = []
    for kind in (_describe_column, _describe_slashes, _describe_folder, _describe_suffix, _describe_stem):
        texts = Counter(kind(name, other) for name, other in pairs)
        text, count = texts.most_common(1)[0]
        if kind is _describe_folder and len(texts) > 1 and count < len(pairs) and text:
            text = "give each name its folder"
        if text:
            steps.append(text)
    name, other = pairs[0]
    return f"{' and '.join(steps) or 'write the names as in the labels'}, so that {name} becomes {other}"


def _describe_column(name: str, other: str) -> str:
    return "drop the first column" if "," in name and "," not in other else ""


def _describe_slashes(name: str, other: str) -> str:
    return "write / for \\" if "\\" in name and "\\" not in other else ""


def _describe_folder(name: str, other: str) -> str:
    folder, wanted = _split(name)[0], _split(other)[0]
    if folder == wanted:
        return ""
    if not wanted:
        return f"drop the folder {folder}/"
    if not folder:
        return f"prefix {wanted}/"
    if wanted.endswith(f"/{folder}"):
        return f"prefix {wanted.removesuffix(folder)}"
    if folder.endswith(f"/{wanted}"):
        return f"drop the folder {folder.removesuffix('/' + wanted)}/"
    return f"write {wanted}/ for {folder}/"


def _describe_suffix(name: str, other: str) -> str:
    suffix, wanted = _split(name)[2], _split(other)[2]
    if suffix == wanted:
        return ""
    if not wanted:
        return f"drop {suffix}"
    return f"write {wanted} for {suffix}" if suffix else f"add {wanted}"


def _describe_stem(name: str, other: str) -> str:
    stem, wanted = _split(name)[1], _split(other)[1]
    if stem == wanted:
        return ""
    return "mind upper and lower case" if stem.lower() == wanted.lower() else "mind zeros before numbers"


def _split(name: str) -> tuple[str, str, str]:
    """Return folder, stem and suffix of a name, without index column and quotes."""
    name = _clean(name)
    folder, _, base = name.rpartition("/")
    stem, dot, suffix = base.rpartition(".")
    if dot and f".{suffix}".lower() in IMAGE_SUFFIXES + VIDEO_SUFFIXES:
        return folder, stem, f".{suffix}"
    return folder, base, ""


def _clean(name: str) -> str:
    name = name.strip().strip("\"'").replace("\\", "/").removeprefix("./")
    index, comma, rest = name.partition(",")
    return rest.strip().strip("\"'") if comma and index.strip().isdigit() and rest.strip() else name


def _key(name: str) -> str:
    stem = _split(name)[1].lower()
    return stem.lstrip("0") or "0" if stem.isdigit() else stem


def _keys(name: str) -> list[str]:
    """Return the keys by which a given name may be meant."""
    return [_key(name), name.strip().lower()]
