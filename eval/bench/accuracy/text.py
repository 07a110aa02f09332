"""Whether writing is judged right: drawn images with known texts under the rubric `text`.

An image is decided right if its text elements are present where the text is as wanted, and absent where a
character is changed, missing or doubled, or where there is no writing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from eval.bench.accuracy.drawn_text import DrawnText
from eval.metrics.averages import mean
from eval.metrics.bootstrap import wilson_interval
from judge.types import Verdict

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_LISTED_ERRORS = 20
GROUPS: dict[str, Callable[[DrawnText], str]] = {
    "script": lambda drawn: drawn.script,
    "fault": lambda drawn: drawn.fault or "as wanted",
    "height": lambda drawn: "none" if not drawn.shown else "under 40" if drawn.height < 40 else "40 and more",
    "angle": lambda drawn: "level" if not drawn.angle else "turned",
}
"""Ways to divide the images."""


def find_backgrounds(data: Path) -> list[Path]:
    """Return the photographs of Kodak and BSDS500 in a folder of data sets; empty without them."""
    folders = [data / name for name in ("kodak24", "bsds500")]
    files = (path for folder in folders if folder.is_dir() for path in folder.rglob("*"))
    return sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)


def measure_text(
    judge: Any, images: Iterable[DrawnText], *, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Measure how often the writing is decided right.

    Args:
        judge: a `judge.Judge` with a rubric that reads.
        images: the drawn images.
        tick: called after each image.

    Returns:
        `accuracy` over all images, and by script, fault, height and angle; `score_right` and `score_wrong`,
        the mean scores of images with and without a fault; `unscored`; `errors`, some of the images that were
        decided wrong; `interval_95` by the same names; `notes`.
    """
    drawn_images, verdicts = list[DrawnText](), list[Verdict]()
    for drawn in images:
        verdicts.append(judge(drawn.image, prompt=drawn.prompt))
        drawn_images.append(drawn)
        # The pixels are not needed any more, and many images do not fit into memory.
        drawn.image.close()
        tick()
    correct = [_is_correct(*pair) for pair in zip(drawn_images, verdicts, strict=True)]
    result: dict[str, Any] = {"count": len(correct)}
    intervals: dict[str, list[float]] = {}
    _add_accuracy(result, intervals, "accuracy", correct)
    for name, group in GROUPS.items():
        labels = [group(drawn) for drawn in drawn_images]
        for label in sorted(set(labels)):
            own = [ok for ok, other in zip(correct, labels, strict=True) if other == label]
            _add_accuracy(result, intervals, f"{name}.{label}", own)
    for name, has_fault in (("score_right", False), ("score_wrong", True)):
        pairs = zip(drawn_images, verdicts, strict=True)
        scores = [v.score for d, v in pairs if bool(d.fault) == has_fault and v.score is not None]
        result[name] = mean(scores).value
    result["unscored"] = sum(verdict.status == "unscored" for verdict in verdicts)
    result["errors"] = _list_errors(drawn_images, verdicts, correct)
    result["interval_95"] = intervals
    result["notes"] = (
        {} if _has_chinese(drawn_images) else {"script": "no font with Chinese characters: Latin alone"}
    )
    return result


def _is_correct(drawn: DrawnText, verdict: Verdict) -> bool:
    texts = [element.present for element in verdict.elements if element.kind == "text"]
    return bool(texts) and all(texts) == (not drawn.fault)


def _add_accuracy(
    result: dict[str, Any], intervals: dict[str, list[float]], name: str, correct: Sequence[bool]
) -> None:
    low, high = wilson_interval(sum(correct), len(correct))
    result[name], intervals[name] = sum(correct) / len(correct), [low, high]


def _has_chinese(images: Sequence[DrawnText]) -> bool:
    return Counter(drawn.script for drawn in images).keys() != {"latin"}


def _list_errors(
    images: Sequence[DrawnText], verdicts: Sequence[Verdict], correct: Sequence[bool]
) -> list[dict[str, Any]]:
    errors: list[dict[str, Any]] = []
    for number, (drawn, verdict, ok) in enumerate(zip(images, verdicts, correct, strict=True)):
        if not ok and len(errors) < MAX_LISTED_ERRORS:
            read = [line.text for line in verdict.texts]
            about = {"font": drawn.font, "angle": drawn.angle, "height": drawn.height}
            errors.append(
                {"image": number, "wanted": drawn.wanted, "shown": drawn.shown, "read": read} | about
            )
    return errors
