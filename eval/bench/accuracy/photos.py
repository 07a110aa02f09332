"""Measure what a judge with the rubric `quality`, and the measured facts it uses, know about photographs.

Opinions: rank correlation with the mean opinions of the quarter of LIVE in the Wild that nothing was fitted
or trained on (`finetune.photos.image_jobs.is_held_out`), compared with the 36 features of BRISQUE (Mittal,
Moorthy & Bovik 2012) and support vector regression fitted on the other three quarters.

Distortions: Kodak's photographs, which nothing was fitted or trained on either, with every kind of
distortion at five strengths. Reported are rank correlations between the strength and the measured fact for
this kind of distortion: over all photographs, the same after saving as JPEG (`as_jpeg`), and the mean over
photographs (`within`); and between the strength and the judge's falling score, the mean over photographs
(`judge_within`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.metrics.correlation import plcc, srcc
from eval.metrics.metric_value import MetricValue
from eval.suites.photographs.live_itw import read_labels
from finetune.photos.estimators import opinions_without_held_out
from finetune.photos.image_jobs import is_held_out
from judge.errors import InputError
from judge.evidence.facts import measure_image
from judge.evidence.image_view import ImageView
from judge.evidence.planes import fit_gaussian_shape
from judge.scenes.distorted_photos import distort_whole_image, read_rgb_image
from judge.scenes.distortions import DISTORTIONS, kind_of_distortion, recompress
from judge.types import Depth

STRENGTHS = (0.1, 0.3, 0.5, 0.7, 0.9)
JPEG_QUALITY = 92
"""A usual quality of saved files."""

RatedFiles = list[tuple[str, float]]
"""Image files with their mean opinions."""


def measure_photos(
    judge: Any, data: Path, contents: int, batch: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """Measure correlations with opinions and with strengths of distortions.

    Args:
        judge: a judge with the rubric `quality`.
        data: folder with `clive_train` (LIVE in the Wild) and `kodak24`.
        contents: number of Kodak's photographs.
        batch: number of images that are judged together.
        tick: called after each image whose facts are measured.

    Raises:
        InputError: a data set is missing.
    """
    measures: dict[str, MetricValue] = {}
    training, held_out = read_opinions(data)
    photographs = [read_rgb_image(path) for path, _ in held_out]
    truth = np.array([mos for _, mos in held_out])
    gives_verdicts = not judge.pipeline.model_info.images_only  # a student answers only at depth `score`
    with opinions_without_held_out():
        predictions = {
            **({"judge": _score_images(judge, photographs, "verdict", batch)} if gives_verdicts else {}),
            "judge_score_depth": _score_images(judge, photographs, "score", batch),
            "seems_good": _measure_fact(photographs, "seems_good", tick),
            "brisque_svr": _predict_with_brisque(training, held_out),
        }
    for name, predicted in predictions.items():
        measures[f"{name}_srcc"] = srcc(predicted, truth, interval=True)
        measures[f"{name}_plcc"] = plcc(predicted, truth, interval=True)
    within, judge_within, as_jpeg = (dict[str, float | None]() for _ in range(3))
    for distortion, images in _distort_photographs(data, contents):
        fact = f"seems_{kind_of_distortion(distortion).replace(' ', '_')}"
        values, truth = _measure_fact(images, fact, tick), np.tile(STRENGTHS, contents)
        measures[f"{distortion}_srcc"] = srcc(values, truth, interval=True)
        compressed = (recompress(image, "JPEG", JPEG_QUALITY) for image in images)
        as_jpeg[distortion] = srcc(_measure_fact(compressed, fact, tick), truth).value
        within[distortion] = _mean_srcc_within(values)
        judge_within[distortion] = _mean_srcc_within(-_score_images(judge, images, "score", batch))
    return {
        **{name: measure.value for name, measure in measures.items()},
        "as_jpeg": as_jpeg,
        "within": within,
        "judge_within": judge_within,
        "interval_95": {
            name: [m.interval.low, m.interval.high] for name, m in measures.items() if m.interval
        },
        "photographs": len(held_out),
        "fitted_on": len(training),
        "contents": contents,
    }


def read_opinions(data: Path) -> tuple[RatedFiles, RatedFiles]:
    """Read the image files of `clive_train` with their mean opinions.

    Returns:
        The files that models were trained on, and the held-out files.

    Raises:
        InputError: the data set is not in the folder.
    """
    folder = data / "clive_train"
    if not (folder / "labels.csv").is_file():
        raise InputError("data", str(data), "a folder with clive_train/labels.csv", "name its parent folder")
    parts: tuple[RatedFiles, RatedFiles] = [], []
    for item in read_labels(folder / "labels.csv"):
        if item.labels.mos is not None:
            path = str(folder / "images" / str(item.image))
            parts[is_held_out(str(item.image))].append((path, item.labels.mos))
    return parts


def _measure_fact(images: Iterable[Any], fact: str, tick: Callable[[], None]) -> NDArray[np.float64]:
    values = []
    for pixels in images:
        tick()
        values.append(measure_image(Image.fromarray(pixels), [fact])[fact])
    return np.array(values)


def _score_images(judge: Any, images: Iterable[Any], depth: Depth, batch: int) -> NDArray[np.float64]:
    verdicts = judge.many(({"image": image} for image in images), depth=depth, batch=batch)
    return np.array([np.nan if verdict.score is None else verdict.score for verdict in verdicts])


def _mean_srcc_within(values: NDArray[np.float64]) -> float:
    """Return the mean over photographs of the rank correlation with the strengths."""
    rows = values.reshape(-1, len(STRENGTHS))
    return float(np.mean([srcc(row, np.array(STRENGTHS)).value or 0.0 for row in rows]))


def _distort_photographs(data: Path, contents: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield each distortion with its images: all strengths of the first photograph, then of the next."""
    files = sorted((data / "kodak24").glob("*.png"))[:contents]
    if len(files) < contents:
        raise InputError("data", str(data), f"a folder with {contents} images in kodak24", "name another one")
    photographs = [read_rgb_image(str(path)) for path in files]
    for distortion in DISTORTIONS:
        images = [
            distort_whole_image(photo, distortion, strength, seed=n)[0]
            for n, photo in enumerate(photographs)
            for strength in STRENGTHS
        ]
        yield distortion, images


def _predict_with_brisque(training: RatedFiles, held_out: RatedFiles) -> NDArray[np.float64]:
    """Fit epsilon-SVR on BRISQUE's features and return its predictions for the held-out photographs."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVR

    x_train, x_test = (
        np.array([brisque_features(path) for path, _ in files]) for files in (training, held_out)
    )
    model = make_pipeline(MinMaxScaler((-1, 1)), SVR(C=64, gamma=0.05, epsilon=2))
    model.fit(x_train, [mos for _, mos in training])
    return np.asarray(model.predict(x_test))


def brisque_features(path: str) -> NDArray[np.float64]:
    """Return the 36 features of an image file: 18 at each of two scales."""
    view = ImageView(read_rgb_image(path))
    features: list[float] = []
    for scale in (1, 2):
        m = view.mscn(scale)
        features += [fit_gaussian_shape(m), float(m.var())]
        for pair in (m[:, 1:] * m[:, :-1], m[1:] * m[:-1], m[1:, 1:] * m[:-1, :-1], m[1:, :-1] * m[:-1, 1:]):
            features += _fit_asymmetric_gaussian(pair)
    return np.array(features)


def _fit_asymmetric_gaussian(values: NDArray[np.float32]) -> list[float]:
    """Fit an asymmetric generalised Gaussian (Lasmar et al. 2009).

    Returns:
        Its shape, its mean, and its left and right variance.
    """
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
