"""Benchmarks: read the data of each from its makers' own files, and compute its official numbers.

    load_suite("agiqa-3k").read(folder)              # labelled samples
    load_suite("agiqa-3k").evaluate(judged_samples)  # metrics of (sample, verdict) pairs
    load_suite("agiqa-3k").score_files(pred, truth)  # metrics of files in the organisers' layout

One file is one benchmark. Its module docstring says where the data comes from, which files are read, and how
the official numbers are computed. The benchmarks are in packages by the data they hold:

    `generated_images`: AI-generated images with human scores, labelled elements or regions of defects.
    `photographs`: photographs with human scores; restored faces.
    `preferences`: which of several images of one prompt people prefer.
    `videos`: generated and user-generated video with human scores.
    `own_data`: scenes of this project's renderer, and data of your own.

Two packages hold no benchmark:

    `shared`: the types of a suite, and the code that several benchmarks use.
    `readers`: file formats, such as CSV, Parquet and TFRecord.

To add a benchmark:

1. Write `PACKAGE/NAME.py`. Its docstring names the benchmark, its source, the files it reads and their
   layout, the official numbers and caveats.
2. Write `read_labels(path)`, which yields a `SuiteSample` per row of a label file.
3. Define `SUITE`: with `build_mos_suite` when there is one human score per image or video (see
   `videos/thqa.py`), with `build_preference_suite` when people prefer one of several images (see
   `preferences/hpdv3.py`), or else as a `Suite` with functions of its own (see
   `generated_images/genai_bench.py`).
4. Add the name to `MODULES` below. A module is imported when its suite is requested.
5. Add a small copy of the files to `tests/support/layouts.py`; the tests of all suites then cover it.

Imports from below: `eval.metrics` and `judge`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from judge.errors import InputError

if TYPE_CHECKING:
    from eval.suites.shared.suite import Suite

MODULES = {
    "evalmuse-alignment": "generated_images.evalmuse_alignment",
    "evalmuse-structure": "generated_images.evalmuse_structure",
    "qeval-image": "generated_images.qeval_image",
    "qeval-video": "videos.qeval_video",
    "finevd": "videos.finevd",
    "thqa": "videos.thqa",
    "adth": "videos.adth",
    "t2vqa-db": "videos.t2vqa_db",
    "aigiqa-20k": "generated_images.aigiqa_20k",
    "agiqa-1k": "generated_images.agiqa_1k",
    "agiqa-3k": "generated_images.agiqa_3k",
    "aigciqa2023": "generated_images.aigciqa2023",
    "richhf-18k": "generated_images.richhf_18k",
    "sdg-30k": "generated_images.sdg_30k",
    "genai-bench": "generated_images.genai_bench",
    "hpdv2": "preferences.hpdv2",
    "hpdv3": "preferences.hpdv3",
    "imagereward": "preferences.imagereward",
    "pick-a-pic": "preferences.pick_a_pic",
    "piq23": "photographs.piq23",
    "vquala-face": "photographs.vquala_face",
    "uhd-iqa": "photographs.uhd_iqa",
    "kvq": "videos.kvq",
    "live-itw": "photographs.live_itw",
    "video-sr": "videos.video_sr",
    "face-restoration": "photographs.face_restoration",
    "scenes": "own_data.scenes",
    "folder": "own_data.folder",
}
"""Name of a suite -> its module below this package."""


class _SuiteRegistry(Mapping[str, "Suite"]):
    """Suites by name. `in`, `len` and iteration import no suite."""

    def __getitem__(self, name: str) -> Suite:
        suite: Suite = import_module(f"eval.suites.{MODULES[name]}").SUITE
        return suite

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)

    def __contains__(self, name: object) -> bool:
        return name in MODULES


SUITES: Mapping[str, Suite] = _SuiteRegistry()


def load_suite(name: str) -> Suite:
    """Return the suite of a name, importing its module.

    Raises:
        InputError: there is no such suite; the error suggests the closest name.
    """
    if name in SUITES:
        return SUITES[name]
    close = get_close_matches(name.lower().replace("_", "-"), list(SUITES), 1, 0.5)
    mend = f"did you mean {close[0]}?" if close else "take one of these"
    raise InputError("suite", name, ", ".join(SUITES), mend)
