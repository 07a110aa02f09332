"""RichHF-18K: scores, heat maps of artifacts and misalignment, and misaligned words of generated images.

Source: https://github.com/google-research-datasets/richhf-18k

Labels: `train.tfrecord`, `dev.tfrecord`, `test.tfrecord` with `filename, aesthetics_score, artifact_score,
misalignment_score, overall_score` (0..1, greater is better), `artifact_map, misalignment_map` (encoded images
of 512 x 512, 0..255) and `prompt_misalignment_label` ("0 1 ...", 0 is misaligned; the prompt's tokens are
split at `, . ? ! " : ;` and spaces). Images and prompts come from Pick-a-Pic, and the labels do not hold
them: images are stored below the folder under their `filename`, prompts in `prompts.csv` with the columns
`filename,prompt`. The layout was checked against the readers in google-research/google-research, richhf_18k.

Predictions: lines `filename,score`, compared with the overall score by SRCC, PLCC and KRCC.

Numbers of a run:

- SRCC and PLCC of the four scores.
- Mean squared error and correlation of the heat maps (0..1; the judge's boxes are drawn filled).
- F1 of regions; a pixel of the truth counts from half of its map's maximum on, which is a rule of this
  project.
- F1 of misaligned words: those of elements that the judge calls absent.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.averages import mean
from eval.metrics.classification import f1_from_counts
from eval.metrics.correlation import plcc, srcc
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.readers.tfrecord import read_tfrecord_examples
from eval.suites.shared.accumulators import RegionAccumulator, draw_defects
from eval.suites.shared.mos_benchmark import MosProtocol, score_mos_files
from eval.suites.shared.name_matching import check_names
from eval.suites.shared.reading import read_samples
from eval.suites.shared.samples import (
    GroundTruth,
    JudgedSample,
    SuiteSample,
    get_predicted_score,
    parse_verdict,
)
from eval.suites.shared.scoring import build_unscored_metric
from eval.suites.shared.suite import Metrics, Suite
from judge.errors import InputError
from judge.types import Verdict

SOURCE = "https://github.com/google-research-datasets/richhf-18k"
LABEL_FILES = {split: (f"{split}.tfrecord",) for split in ("train", "dev", "test")}
SCORES = {"aesthetics": "", "artifact": "structure", "misalignment": "alignment", "overall": ""}
"""Human score -> dimension of the verdict that predicts it."""
MAP_SIDE = 512
"""Side in pixels of the heat maps."""
_SEPARATORS = re.compile("[" + re.escape(',.?!":; ') + "]")


# ---------------------------------------------------------------------------------------------- labels


def split_words(prompt: str) -> list[str]:
    """Split a prompt into words as the set counts them."""
    return [word for word in _SEPARATORS.split(prompt) if word]


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read the examples of one file, and the prompts from `prompts.csv` in the same folder."""
    file, unknown, number = path.with_name("prompts.csv"), list[str](), 0
    prompts = _read_prompts(file)
    for number, example in enumerate(read_tfrecord_examples(path, "truth"), 1):
        sample = _build_sample(example, f"{path.name} record {number}", prompts)
        if sample.id not in prompts:
            unknown.append(sample.id)
        yield sample
    if prompts and number and len(unknown) == number:
        check_names(prompts, unknown, file, field="truth", what="a prompt", unit="images")


def _read_prompts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {
        row["filename"]: row["prompt"] for _, row in read_csv_table(path, ["filename", "prompt"], "truth")
    }


def _build_sample(example: dict[str, list[Any]], place: str, prompts: dict[str, str]) -> SuiteSample:
    try:
        name = example["filename"][0].decode("utf-8")
        scores = {key: parse_number(example[f"{key}_score"][0], place, key) for key in SCORES}
        words = example.get("prompt_misalignment_label") or [b""]
        flags = [int(flag) for flag in words[0].decode("ascii").split()]
        maps = {
            key: bytes(example[key][0]) for key in ("artifact_map", "misalignment_map") if example.get(key)
        }
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(place, str(error), "an example of RichHF-18K", "get the file again") from None
    prompt = prompts.get(name, "")
    if prompt and len(split_words(prompt)) != len(flags):
        raise InputError(f"{place}: prompt", prompt, f"a prompt of {len(flags)} words", "fix prompts.csv")
    labels = GroundTruth(
        mos=scores["overall"],
        mos_by_dimension=scores,
        annotations=[flags],
        load_mask=partial(_load_artifact_mask, maps, place) if maps else None,
    )
    return SuiteSample(id=name, image=name, prompt=prompt, labels=labels)


def _load_artifact_mask(maps: dict[str, bytes], place: str) -> NDArray[np.bool_]:
    """Return where the artifact map is at least half of its maximum."""
    heat = load_heat_map(maps, place, "artifact_map")
    return np.asarray(heat >= heat.max() / 2) if heat.max() > 0 else np.zeros(heat.shape, dtype=bool)


def load_heat_map(maps: dict[str, bytes], place: str, name: str) -> NDArray[np.float64]:
    """Decode one heat map.

    Args:
        maps: encoded images by name.
        place: the record, for errors.
        name: `artifact_map` or `misalignment_map`.

    Returns:
        Values 0..1 of shape (height, width); zeros where the record has no such map.

    Raises:
        InputError: the map cannot be decoded.
    """
    from PIL import Image

    if name not in maps:
        return np.zeros((MAP_SIDE, MAP_SIDE))
    try:
        with Image.open(io.BytesIO(maps[name])) as image:
            return np.asarray(image.convert("L"), dtype=np.float64) / 255
    except (OSError, ValueError, Image.DecompressionBombError):
        raise InputError(f"{place}: {name}", len(maps[name]), "an encoded image", "get it again") from None


# ---------------------------------------------------------------------------------------------- metrics


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare verdicts with all four kinds of label."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in SCORES}
    regions, heat_maps, word_counts = RegionAccumulator(), HeatMapAccumulator(), []
    unscored = total = 0
    for judged in judged_samples:
        verdict, labels, total = parse_verdict(judged), judged.sample.labels, total + 1
        unscored += verdict.score is None
        for name, dimension in SCORES.items():
            predicted = get_predicted_score(judged, dimension)
            if predicted is not None and name in labels.mos_by_dimension:
                pairs[name].append((predicted, labels.mos_by_dimension[name]))
        if labels.load_mask is not None:
            regions.add_judged(judged)
            encoded_maps = labels.load_mask.args[0]  # `load_mask` is a partial function of the encoded maps.
            heat_maps.add(verdict, encoded_maps, judged.sample.id)
        if judged.sample.prompt and labels.annotations:
            word_counts.append(count_words(verdict, judged.sample.prompt, labels.annotations[0]))
    metrics: Metrics = {}
    for name in ("overall", *(name for name in SCORES if name != "overall")):
        x, y = [p for p, _ in pairs[name]], [t for _, t in pairs[name]]
        suffix = "" if name == "overall" else f"_{name}"
        metrics |= {f"srcc{suffix}": srcc(x, y, interval=True), f"plcc{suffix}": plcc(x, y, interval=True)}
    table = np.array(word_counts, dtype=np.int64).reshape(-1, 4)
    f1, precision, recall = f1_from_counts(table, "word", interval=True)
    metrics |= {f"region_{name}": value for name, value in regions.metrics().items()} | heat_maps.metrics()
    metrics |= {"word_f1": f1, "word_precision": precision, "word_recall": recall}
    return metrics | build_unscored_metric(unscored, total)


class HeatMapAccumulator:
    """Errors and correlations of heat maps, by family of defects."""

    def __init__(self) -> None:
        self.errors: dict[str, list[float]] = {"artifact": [], "misalignment": []}
        self.correlations: dict[str, list[float]] = {"artifact": [], "misalignment": []}

    def add(self, verdict: Verdict, maps: dict[str, bytes], place: str) -> None:
        """Add both maps of one image.

        Args:
            verdict: its boxes are drawn filled.
            maps: the true maps, as encoded images.
            place: name of the sample, for errors.
        """
        for family in self.errors:
            truth = load_heat_map(maps, place, f"{family}_map")
            drawn = draw_defects(verdict, (truth.shape[0], truth.shape[1]), family).astype(np.float64)
            self.errors[family].append(float(np.square(drawn - truth).mean()))
            if truth.std() > 0:
                covariance = float(((drawn - drawn.mean()) * (truth - truth.mean())).mean())
                correlation = covariance / (drawn.std() * truth.std()) if drawn.std() else 0.0
                self.correlations[family].append(correlation)

    def metrics(self) -> Metrics:
        """Return means over images.

        Correlations are taken where the truth has any heat, and are 0 where the judge drew nothing.
        """
        return {
            **{f"{family}_map_mse": mean(v, interval=True) for family, v in self.errors.items()},
            **{f"{family}_map_cc": mean(v, interval=True) for family, v in self.correlations.items()},
        }


def count_words(verdict: Verdict, prompt: str, flags: list[int]) -> tuple[int, int, int, int]:
    """Count the misaligned words of one prompt: those of elements that are absent and of no present one.

    Args:
        verdict: the verdict on the image.
        prompt: the prompt.
        flags: one per word of the prompt; 0 is misaligned.

    Returns:
        Predicted words that are misaligned, predicted words, misaligned words that are predicted (the same
        number), misaligned words; as `f1_from_counts` takes them.
    """
    absent = {word.lower() for e in verdict.elements if not e.present for word in split_words(e.name)}
    present = {word.lower() for e in verdict.elements if e.present for word in split_words(e.name)}
    predicted = [word.lower() in absent - present for word in split_words(prompt)]
    truth = [flag == 0 for flag in flags]
    hits = sum(p and t for p, t in zip(predicted, truth, strict=True))
    return hits, sum(predicted), hits, sum(truth)


SUITE = Suite(
    name="richhf-18k",
    title="RichHF-18K (rich feedback on generated images)",
    source=SOURCE,
    read=partial(
        read_samples, read_labels=read_labels, label_files=LABEL_FILES, default_split="test", source=SOURCE
    ),
    evaluate=evaluate,
    score_files=partial(
        score_mos_files,
        read_labels=read_labels,
        read_predictions=read_score_lines,
        protocol=MosProtocol(weights={}),
    ),
    mos_range=(0.0, 1.0),
    splits=tuple(LABEL_FILES),
    default_split="test",
)
