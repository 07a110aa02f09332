"""RichHF-18K: scores, heat maps of artifacts and misalignment, and misaligned words of generated images.

Labels: `train.tfrecord`, `dev.tfrecord`, `test.tfrecord` with `filename, aesthetics_score, artifact_score,
misalignment_score, overall_score` (0..1, greater is better), `artifact_map, misalignment_map` (encoded 512 x
512 pictures, 0..255) and `prompt_misalignment_label` ("0 1 ...", 0 is misaligned; the prompt's tokens are
split at `, . ? ! " : ;` and spaces). Images and prompts come from Pick-a-Pic: images lie below the folder
under their `filename`, prompts in `prompts.csv` with the columns `filename,prompt`, which the labels do not
hold. Layout checked against the readers in google-research/google-research, richhf_18k.

A run is measured by SRCC and PLCC of the four scores, by mean squared error and correlation of the heat maps
(0..1; the judge's boxes drawn filled), by regions (a pixel of the truth counts from half of its map's
maximum on, a rule of ours), and by F1 of misaligned words: those of elements that the judge calls absent.
Predictions of `score`: lines `filename,score`, against the overall score.
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

from eval.metrics.agreement import f1_of, mean, plcc, srcc
from eval.suites import opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of, verdict_of
from eval.suites.opinions import Rule
from eval.suites.readers import files
from eval.suites.readers.tfrecord import examples
from eval.suites.tally import Regions, defect_mask
from judge.errors import InputError
from judge.types import Verdict

SOURCE = "https://github.com/google-research-datasets/richhf-18k"
FILES = {split: (f"{split}.tfrecord",) for split in ("train", "dev", "test")}
SCORES = {"aesthetics": "", "artifact": "structure", "misalignment": "alignment", "overall": ""}
"""Human score -> dimension of the verdict that answers it."""
_CUTS = re.compile("[" + re.escape(',.?!":; ') + "]")


def tokens(prompt: str) -> list[str]:
    """The words of a prompt as the set counts them."""
    return [word for word in _CUTS.split(prompt) if word]


def labels(path: Path) -> Iterator[Item]:
    """Examples of one file, with the prompts beside it."""
    prompts = _prompts(path.with_name("prompts.csv"))
    for at, example in enumerate(examples(path, "truth"), 1):
        yield _item(example, f"{path.name} record {at}", prompts)


def _prompts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["filename"]: row["prompt"] for _, row in files.table(path, ["filename", "prompt"], "truth")}


def _item(example: dict[str, list[Any]], where: str, prompts: dict[str, str]) -> Item:
    try:
        name = example["filename"][0].decode("utf-8")
        scores = {k: files.number(example[f"{k}_score"][0], where, k) for k in SCORES}
        words = example.get("prompt_misalignment_label") or [b""]
        flags = [int(flag) for flag in words[0].decode("ascii").split()]
        maps = {k: bytes(example[k][0]) for k in ("artifact_map", "misalignment_map") if example.get(k)}
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(where, str(error), "an example of RichHF-18K", "get the file again") from None
    prompt = prompts.get(name, "")
    if prompt and len(tokens(prompt)) != len(flags):
        raise InputError(f"{where}: prompt", prompt, f"a prompt of {len(flags)} words", "mend prompts.csv")
    truth = Truth(
        mos=scores["overall"],
        mos_by=scores,
        annotations=[flags],
        area=partial(_area, maps, where) if maps else None,
    )
    return Item(id=name, image=name, prompt=prompt, labels=truth)


def _area(maps: dict[str, bytes], where: str, name: str = "artifact_map") -> NDArray[np.bool_]:
    """Where the map is at least half of its maximum."""
    heat = heat_map(maps, where, name)
    return np.asarray(heat >= heat.max() / 2) if heat.max() > 0 else np.zeros(heat.shape, dtype=bool)


def heat_map(maps: dict[str, bytes], where: str, name: str) -> NDArray[np.float64]:
    """One map as 0..1."""
    from PIL import Image

    if name not in maps:
        return np.zeros((512, 512))
    try:
        with Image.open(io.BytesIO(maps[name])) as picture:
            return np.asarray(picture.convert("L"), dtype=np.float64) / 255
    except (OSError, ValueError, Image.DecompressionBombError):
        raise InputError(f"{where}: {name}", len(maps[name]), "an encoded picture", "get it again") from None


def measure(rows: Iterable[Row]) -> Measures:
    """A run, all four kinds of label."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in SCORES}
    regions, heats, words = Regions(), Heats(), []
    unscored = total = 0
    for row in rows:
        verdict, truth, total = verdict_of(row), row.sample.labels, total + 1
        unscored += verdict.score is None
        for name, dimension in SCORES.items():
            answer = answer_of(row, dimension)
            if answer is not None and name in truth.mos_by:
                pairs[name].append((answer, truth.mos_by[name]))
        if truth.area is not None:
            regions.add_row(row)
            heats.add(verdict, truth.area.args[0], row.sample.id)
        if row.sample.prompt and truth.annotations:
            words.append(word_counts(verdict, row.sample.prompt, truth.annotations[0]))
    found: Measures = {}
    for name in ("overall", *(n for n in SCORES if n != "overall")):
        x, y = [p for p, _ in pairs[name]], [t for _, t in pairs[name]]
        end = "" if name == "overall" else f"_{name}"
        found |= {f"srcc{end}": srcc(x, y, interval=True), f"plcc{end}": plcc(x, y, interval=True)}
    f1, precision, recall = f1_of(np.array(words, dtype=np.int64).reshape(-1, 4), "word", interval=True)
    found |= {f"region_{name}": value for name, value in regions.measures().items()} | heats.measures()
    found |= {"word_f1": f1, "word_precision": precision, "word_recall": recall}
    return found | opinions.unscored_of(unscored, total)


class Heats:
    """Errors and correlations of heat maps."""

    def __init__(self) -> None:
        self.errors: dict[str, list[float]] = {"artifact": [], "misalignment": []}
        self.correlations: dict[str, list[float]] = {"artifact": [], "misalignment": []}

    def add(self, verdict: Verdict, maps: dict[str, bytes], where: str) -> None:
        """Both maps of one picture."""
        for family in self.errors:
            true = heat_map(maps, where, f"{family}_map")
            drawn = defect_mask(verdict, (true.shape[0], true.shape[1]), family).astype(np.float64)
            self.errors[family].append(float(np.square(drawn - true).mean()))
            if true.std() > 0:
                both = float(((drawn - drawn.mean()) * (true - true.mean())).mean())
                self.correlations[family].append(both / (drawn.std() * true.std()) if drawn.std() else 0.0)

    def measures(self) -> Measures:
        """Means over pictures; correlations where the truth has any heat, 0 where the judge drew nothing."""
        return {
            **{f"{f}_map_mse": mean(v, interval=True) for f, v in self.errors.items()},
            **{f"{f}_map_cc": mean(v, interval=True) for f, v in self.correlations.items()},
        }


def word_counts(verdict: Verdict, prompt: str, flags: list[int]) -> tuple[int, int, int, int]:
    """Misaligned words of one prompt: found and true, found, found and true, true."""
    absent = {word.lower() for e in verdict.elements if not e.present for word in tokens(e.name)}
    present = {word.lower() for e in verdict.elements if e.present for word in tokens(e.name)}
    said = [word.lower() in absent - present for word in tokens(prompt)]
    true = [flag == 0 for flag in flags]
    hits = sum(a and b for a, b in zip(said, true, strict=True))
    return hits, sum(said), hits, sum(true)


SUITE = Suite(
    name="richhf-18k",
    title="RichHF-18K (rich feedback on generated images)",
    source=SOURCE,
    read=partial(opinions.read, labels=labels, files=FILES, default="test", source=SOURCE),
    measure=measure,
    score=partial(opinions.scored, labels=labels, predictions=files.scored_lines, rule=Rule(weights={})),
    scale=(0.0, 1.0),
    splits=tuple(FILES),
)
