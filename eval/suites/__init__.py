"""The benchmarks by name. A suite's module is imported when the suite is asked for.

suite("agiqa-3k").read(folder)          # labelled samples
suite("agiqa-3k").measure(rows)         # (sample, verdict) -> measures
suite("agiqa-3k").score(pred, truth)    # files in the organisers' layout
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from judge.errors import InputError

if TYPE_CHECKING:
    from eval.suites.base import Suite

_MODULES = {
    "evalmuse-alignment": "evalmuse_alignment",
    "evalmuse-structure": "evalmuse_structure",
    "qeval-image": "qeval_image",
    "qeval-video": "qeval_video",
    "finevd": "finevd",
    "thqa": "thqa",
    "adth": "adth",
    "t2vqa-db": "t2vqa_db",
    "aigiqa-20k": "aigiqa_20k",
    "agiqa-1k": "agiqa_1k",
    "agiqa-3k": "agiqa_3k",
    "aigciqa2023": "aigciqa2023",
    "richhf-18k": "richhf_18k",
    "sdg-30k": "sdg_30k",
    "genai-bench": "genai_bench",
    "hpdv2": "hpdv2",
    "hpdv3": "hpdv3",
    "imagereward": "imagereward",
    "pick-a-pic": "pick_a_pic",
    "piq23": "piq23",
    "vquala-face": "vquala_face",
    "uhd-iqa": "uhd_iqa",
    "kvq": "kvq",
    "live-itw": "live_itw",
    "video-sr": "video_sr",
    "face-restoration": "face_restoration",
    "scenes": "scenes",
    "folder": "folder",
}


class _Suites(Mapping[str, "Suite"]):
    """Names to suites; `in`, `len` and iteration import nothing."""

    def __getitem__(self, name: str) -> Suite:
        found: Suite = import_module(f"eval.suites.{_MODULES[name]}").SUITE
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)

    def __contains__(self, name: object) -> bool:
        return name in _MODULES


SUITES: Mapping[str, Suite] = _Suites()


def suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        InputError: there is none; the error names the nearest.
    """
    if name in SUITES:
        return SUITES[name]
    from difflib import get_close_matches

    near = get_close_matches(name.lower().replace("_", "-"), list(SUITES), 1, 0.5)
    mend = f"did you mean {near[0]}?" if near else "take one of these"
    raise InputError("suite", name, ", ".join(SUITES), mend)
