"""What a judge under the rubric `quality`, and the estimators of `judge.evidence.facts` that it is told of, know of
photographs: people's opinions, strengths of distortions.

Opinions: the quarter of LIVE in the Wild that nothing was fitted or trained on
(`finetune.photos.pool.is_held_out`), beside the 36 features of BRISQUE (Mittal, Moorthy & Bovik 2012) and
support vector regression on the other three. Distortions: Kodak's photographs, of which the same holds, in
every way and five strengths; the correlation of the estimate of that kind with the strength, over all of them
at once, the same where each was saved as JPEG (`as_jpeg`), and as a mean over photographs (`within`); of the
judge's score as a mean over photographs, downwards (`judge_within`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.agreement import Measure, plcc, srcc
from eval.suites.live_itw import labels
from finetune.photos.pool import is_held_out
from judge.errors import InputError
from judge.evidence.facts import Measured
from judge.evidence.image import View, shape
from judge.scenes.distorted import read_rgb, whole
from judge.scenes.distortions import MAKERS, encoded, kind_of
from judge.types import Depth

STRENGTHS = (0.1, 0.3, 0.5, 0.7, 0.9)
JPEG = 92
"""Quality of a file that a picture is saved as without a second thought."""


def run(judge: Any, data: Path, contents: int, batch: int, tick: Callable[[], None]) -> dict[str, Any]:
    """Measure both.

    Args:
        judge: under the rubric `quality`.
        data: folder with `clive_train` (LIVE in the Wild) and `kodak24`.
        contents: how many of Kodak's photographs.
        batch: pictures judged at once.
        tick: called once a picture.

    Raises:
        InputError: a data set is not there.
    """
    found: dict[str, Measure] = {}
    known, held = opinions(data)
    photographs, truth = [read_rgb(path) for path, _ in held], np.array([mos for _, mos in held])
    words = not judge.pipeline.card.wordless  # a student answers at score depth alone
    opined = {
        **({"judge": _scores(judge, photographs, "verdict", batch)} if words else {}),
        "judge_score_depth": _scores(judge, photographs, "score", batch),
        "seems_good": _estimates(photographs, "seems_good", tick),
        "brisque_svr": _brisque(known, held),
    }
    for name, predicted in opined.items():
        found[f"{name}_srcc"] = srcc(predicted, truth, interval=True)
        found[f"{name}_plcc"] = plcc(predicted, truth, interval=True)
    within, judged, coded = (dict[str, float | None]() for _ in range(3))
    for maker, pictures in _distortions(data, contents):
        fact = f"seems_{kind_of(maker).replace(' ', '_')}"
        strengths, truth = _estimates(pictures, fact, tick), np.tile(STRENGTHS, contents)
        found[f"{maker}_srcc"] = srcc(strengths, truth, interval=True)
        files = (encoded(picture, "JPEG", JPEG) for picture in pictures)
        coded[maker] = srcc(_estimates(files, fact, tick), truth).value
        within[maker] = _within(strengths)
        judged[maker] = _within(-_scores(judge, pictures, "score", batch))
    return {
        **{name: measure.value for name, measure in found.items()},
        "as_jpeg": coded,
        "within": within,
        "judge_within": judged,
        "interval_95": {name: [m.interval.low, m.interval.high] for name, m in found.items() if m.interval},
        "photographs": len(held),
        "fitted_on": len(known),
        "contents": contents,
    }


Rated = list[tuple[str, float]]


def opinions(data: Path) -> tuple[Rated, Rated]:
    """Picture files of `clive_train` with mean opinions: those trained on, and those held out.

    Raises:
        InputError: the data set is not in the folder.
    """
    folder = data / "clive_train"
    if not (folder / "labels.csv").is_file():
        raise InputError(
            "data", str(data), "a folder with clive_train/labels.csv", "name the folder above it"
        )
    sides: tuple[Rated, Rated] = [], []
    for item in labels(folder / "labels.csv"):
        if item.labels.mos is not None:
            path = str(folder / "images" / str(item.image))
            sides[is_held_out(str(item.image))].append((path, item.labels.mos))
    return sides


def _estimates(pictures: Iterable[Any], fact: str, tick: Callable[[], None]) -> NDArray[np.float64]:
    found = []
    for pixels in pictures:
        tick()
        found.append(Measured.of(pixels).facts()[fact])
    return np.array(found)


def _scores(judge: Any, pictures: Iterable[Any], depth: Depth, batch: int) -> NDArray[np.float64]:
    verdicts = judge.many(({"image": picture} for picture in pictures), depth=depth, batch=batch)
    return np.array([np.nan if verdict.score is None else verdict.score for verdict in verdicts])


def _within(values: NDArray[np.float64]) -> float:
    """The mean over photographs of the correlation with the strengths."""
    rows = values.reshape(-1, len(STRENGTHS))
    return float(np.mean([srcc(row, np.array(STRENGTHS)).value or 0.0 for row in rows]))


def _distortions(data: Path, contents: int) -> Iterator[tuple[str, list[Any]]]:
    """Each way of distorting, and its pictures: contents by strengths."""
    files = sorted((data / "kodak24").glob("*.png"))[:contents]
    if len(files) < contents:
        raise InputError("data", str(data), f"a folder with {contents} pictures in kodak24", "name another")
    photographs = [read_rgb(str(path)) for path in files]
    for maker in MAKERS:
        pictures = [
            whole(photo, maker, strength, seed=n)[0]
            for n, photo in enumerate(photographs)
            for strength in STRENGTHS
        ]
        yield maker, pictures


def _brisque(known: Rated, held: Rated) -> NDArray[np.float64]:
    """Predictions of BRISQUE's features and epsilon-SVR for the held-out photographs."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVR

    features = [np.array([brisque_features(path) for path, _ in side]) for side in (known, held)]
    model = make_pipeline(MinMaxScaler((-1, 1)), SVR(C=64, gamma=0.05, epsilon=2))
    model.fit(features[0], [mos for _, mos in known])
    return np.asarray(model.predict(features[1]))


def brisque_features(path: str) -> NDArray[np.float64]:
    """The 36 features of a picture file: 18 at each of two scales."""
    view = View(read_rgb(path))
    found: list[float] = []
    for scale in (1, 2):
        m = view.normal(scale)
        found += [shape(m), float(m.var())]
        for pair in (m[:, 1:] * m[:, :-1], m[1:] * m[:-1], m[1:, 1:] * m[:-1, :-1], m[1:, :-1] * m[:-1, 1:]):
            found += _asymmetric(pair)
    return np.array(found)


def _asymmetric(values: NDArray[np.float32]) -> list[float]:
    """Shape, mean, left and right variance of an asymmetric generalised Gaussian (Lasmar et al. 2009)."""
    from scipy.special import gamma

    left = float((values[values < 0] ** 2).mean()) if (values < 0).any() else 1e-9
    right = float((values[values >= 0] ** 2).mean()) if (values >= 0).any() else 1e-9
    tilt = np.sqrt(left / right)
    ratio = float(np.abs(values).mean()) ** 2 / (float((values**2).mean()) + 1e-9)
    ratio *= (tilt**3 + 1) * (tilt + 1) / (tilt**2 + 1) ** 2
    shapes = np.arange(0.2, 10, 0.01)
    fitted = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    best = float(shapes[np.argmin(np.abs(fitted - ratio))])
    mean = (np.sqrt(right) - np.sqrt(left)) * gamma(2 / best) / np.sqrt(gamma(1 / best) * gamma(3 / best))
    return [best, float(mean), left, right]
