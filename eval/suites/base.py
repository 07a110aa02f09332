"""What every suite is: a reader of labelled samples, a measure of verdicts, a scorer of organisers' files.

Reading is lazy and deterministic: the same folder yields the same items in the same order, ids are unique.
An `Item` is a `LabelledSample` with what people said about it on the set's own scale (`Truth`); what a judge
is shown is `Item.asked()`, which has no labels. Missing files are one `InputError` that says which, how many
and where the set is officially obtained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from eval.metrics.agreement import Measure
from judge.errors import InputError
from judge.types import Depth, LabelledSample, Labels, Sample, Verdict

Kind = Literal["image", "video"]
_ENDINGS = tuple(
    ".png .jpg .jpeg .jpe .webp .bmp .gif .tif .tiff .ppm .avif .mp4 .avi .mov .mkv .webm .m4v .yuv".split()
)
SHOWN = 5
"""How many names of missing things an error shows."""


class Truth(Labels):
    """`Labels` and what they cannot say: opinions on the set's own scale, shares of annotators, choices."""

    mos: float | None = None
    """The main human score on the set's own scale, greater is better; see `Suite.scale`."""
    spread: float | None = None
    """Standard deviation of the opinions behind `mos`, where the set has it."""
    mos_by: dict[str, float] = {}
    """Human scores by dimension, on the set's own scale; the main one is among them."""
    shares: dict[str, float | None] = {}
    """Element as the set names it -> share of annotators who see it, 0..1; None where not labelled."""
    places: dict[str, float] = {}
    """Comparison -> place in it, 1 is best, equal places are a human tie."""
    annotations: list[list[Any]] = []
    """Regions as each annotator drew them, in the set's own words."""
    area: Any = None
    """Ground-truth regions: a callable without arguments that gives a (H, W) mask; None where unknown."""


class Item(LabelledSample):
    """One row of a suite."""

    labels: Truth = Truth()
    video: Path | None = None
    """The video to judge, in place of `image`."""
    split: str = ""
    """The part of the set it belongs to, where the label file says so."""
    generator: str = ""
    """The model or camera that made it; empty when the set does not say."""
    group: str = ""
    """What it is compared within: a prompt, a scene, a source video; empty when there is no such thing."""

    @property
    def file(self) -> str:
        """The picture or video it is about."""
        return str(self.image if self.video is None else self.video)

    def asked(self) -> Sample:
        """What a judge is shown: no labels, only the elements asked for."""
        names = [e.name for e in self.labels.elements]
        return Sample(
            id=self.id,
            image=self.image,
            video=self.video,
            prompt=self.prompt,
            elements=names or self.elements,
            reference=self.reference,
        )


class Row(NamedTuple):
    """An item with the verdict on it."""

    sample: Item
    verdict: Verdict | Mapping[str, Any]
    """A `Verdict`, or one read from JSON."""


Measures = dict[str, Measure]
Read = Callable[..., Iterator[Item]]
"""`read(data, split=None, *, media=True, **options)`: `media=False` does not ask for the pictures."""


@dataclass(frozen=True)
class Submission:
    """What a challenge wants to be sent."""

    files: Callable[..., dict[str, bytes]]
    """(rows, **options) -> file name within the archive -> content; the rows are complete and in order."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What `files` takes besides, with its help: fields of readme.txt."""


@dataclass(frozen=True)
class Suite:
    """One benchmark."""

    name: str
    title: str
    source: str
    """Where the set is officially obtained."""
    read: Read
    """Items of a folder (or file), lazily; raises `InputError` on missing labels or media."""
    measure: Callable[[Iterable[Row]], Measures]
    """Verdicts against the labels by the official rule; unscored verdicts are counted, not guessed."""
    score: Callable[[Path, Path], Measures] | None = None
    """(predictions, truth) in the organisers' own layout; None where the suite has no such files."""
    rubric: str = "default"
    """Name of the rubric that asks what the set labels."""
    kind: Kind = "image"
    depth: Depth = "verdict"
    """`score` where numbers suffice; `verdict` where regions are measured."""
    predicts: str = ""
    """Dimension of the verdict that answers the main human score; empty: the overall score."""
    scale: tuple[float, float] | None = None
    """Ends of the human scale of `Truth.mos`, worst and best; None when it is open."""
    splits: tuple[str, ...] = ()
    """Names `read` takes as `split`, where the set has any."""
    submission: Submission | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Further keywords of `read` with their help; all take text."""


# ------------------------------------------------------------------------------------------ reading rows


def verdict_of(row: Row) -> Verdict:
    """The verdict of a row as a model, whichever form it came in."""
    verdict = row.verdict
    return verdict if isinstance(verdict, Verdict) else Verdict.model_validate(verdict)


def answer_of(row: Row, dimension: str = "") -> float | None:
    """The judge's number for one dimension (the overall score where it has no such dimension), or None."""
    verdict = row.verdict
    if isinstance(verdict, Verdict):
        found = verdict.dimensions.get(dimension)
        return verdict.score if found is None else found.score
    dimensions = verdict.get("dimensions") or {}
    value = dimensions[dimension]["score"] if dimension in dimensions else verdict.get("score")
    return None if value is None else float(value)


# ---------------------------------------------------------------------------------------- what is missing


def missing(what: str, absent: Sequence[object], total: int, data: Path, source: str) -> InputError:
    """The one error for files that are not there: which, how many of how many, and where to get them."""
    return InputError(
        "data",
        str(data),
        f"a folder with all {what} of the set; {len(absent)} of {total} are missing: {some(absent)}",
        f"get the set at {source}",
    )


def some(names: Sequence[object], separator: str = ", ") -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return separator.join(str(name) for name in names[:SHOWN]) + more


def label_file(data: Path, names: Sequence[str], source: str) -> Path:
    """The label file: `data` itself when it is a file, else the first of `names` below the folder.

    Raises:
        InputError: none of them is there.
    """
    if data.is_file():
        return data
    if not data.exists():
        raise InputError("data", str(data), "a folder or label file that exists", f"get the set at {source}")
    for name in names:
        for place in (data / name, *sorted(data.glob(f"*/{name}")), *sorted(data.glob(f"*/*/{name}"))):
            if place.is_file():
                return place
    raise InputError(
        "data",
        str(data),
        f"a folder with the set's labels; 1 file is missing: {' or '.join(names)}",
        f"get the set at {source}",
    )


class Media:
    """The pictures or videos below a folder, found by the name that the label file gives them.

    A name is looked for as a path below the folder, then below its `images`, `videos` and the like, then
    anywhere below it by the longest common end of the path; a name without an ending (`.png`) is also found
    with one. Two equally good finds are no find.
    """

    def __init__(self, root: Path) -> None:
        self.root = root if root.is_dir() else root.parent
        self._index: dict[str, list[str]] | None = None

    def find(self, name: str) -> Path | None:
        """The file called so, or None."""
        name = name.replace("\\", "/").lstrip("/")
        if name.startswith("./"):
            name = name[2:]
        if not name or ".." in name.split("/"):
            return None
        for folder in ("", "images", "Images", "image", "videos", "img"):
            path = self.root / folder / name
            if path.is_file():
                return path
        return self._search(name)

    def _search(self, name: str) -> Path | None:
        if self._index is None:
            self._index = {}
            for folder, _, files in _walk(self.root):
                for file in files:
                    path = f"{folder}/{file}" if folder else file
                    for key in {file, file.rpartition(".")[0]} - {""}:
                        self._index.setdefault(key, []).append(path)
        parts = name.split("/")
        found = [path for path in self._index.get(parts[-1], []) if path.lower().endswith(_ENDINGS)]
        agreeing = [(_common_end(parts[:-1], path.split("/")[:-1]), path) for path in found]
        best = max((n for n, _ in agreeing), default=0)
        winners = [path for n, path in agreeing if n == best]
        return self.root / winners[0] if len(winners) == 1 else None


def pictures(root: Path) -> list[Path]:
    """All still pictures below a folder, in order of their paths."""
    still = _ENDINGS[: _ENDINGS.index(".mp4")]
    return [
        root / folder / file
        for folder, _, files in _walk(root)
        for file in files
        if file.lower().endswith(still) and not file.startswith(".")
    ]


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    import os

    for folder, folders, files in os.walk(root):
        folders.sort()
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        yield "" if below == "." else below, folders, sorted(files)


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    count = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        count += 1
    return count


def with_media(
    items: Callable[[], Iterable[Item]], data: Path, source: str, *, kind: Kind = "image", media: bool = True
) -> Iterator[Item]:
    """The items with the paths of their media; one error, before the first item, when any is missing.

    Args:
        items: makes them anew, with the set's own name of the picture or video in `image` or `video`; called
            twice, so that nobody holds them all.
        data: the set's folder (or label file).
        source: where the set is officially obtained.
        kind: which field holds the name.
        media: False leaves the names as they are and looks for no file.
    """
    if not media:
        yield from items()
        return
    files = Media(data)
    names = [str(getattr(item, kind)) for item in items()]
    paths = {name: files.find(name) for name in dict.fromkeys(names)}
    absent = [name for name, path in paths.items() if path is None]
    if absent:
        raise missing(f"{kind}s", absent, len(paths), data, source)
    for item in items():
        path = paths[str(getattr(item, kind))]
        yield item.model_copy(update={kind: str(path) if kind == "image" else path})


def unique(items: Iterable[Item], where: Path) -> Iterator[Item]:
    """The items as they come; an id that comes twice is an error."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InputError(str(where), item.id, "each name once", "remove the doubled row")
        seen.add(item.id)
        yield item
