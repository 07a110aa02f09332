"""Measure how often the embedded judge abstains: on drawings, where it should not, and on other images.

Drawings are fresh scenes and clips of `judge.scenes` with their own prompts and elements, so all tests of
`judge.pipeline.domain` apply. Other images are those of folders, one for each source. Their prompt has only
words of the training, so the test of the image alone decides. Sources that the detector was fitted on are
marked, and are left out of the total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from eval.metrics.bootstrap import wilson_interval
from judge.errors import InputError
from judge.evidence.drawings import fitted_sources
from judge.media.decoding import VIDEO_SUFFIXES
from judge.scenes.clips import draw_clip
from judge.scenes.held_out import draw_held_out_scenes, held_out_seeds
from judge.types import Sample

KNOWN_PROMPT = "a red circle"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
CLIP_FRAMES = 12


def measure_domain(
    judges: dict[str, Any], count: int, seed: int, data: Path | None, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Measure the abstention rates. No model is asked.

    Args:
        judges: the embedded judge with the rubrics `default` and `video`, by rubric.
        count: number of scenes, and of clips.
        seed: of the drawings.
        data: folder with one folder for each source of other images; None: only drawings are measured.
        tick: called after each sample.

    Returns:
        `drawings` and `others`, each with `count`, `abstained`, `rate` and its 95 % `interval` (Wilson), and
        `sources` with the same numbers of each.
    """
    scenes = [scene.unlabelled_sample() for scene in draw_held_out_scenes(count, seed)]
    clips = (_clip_sample(clip_seed) for clip_seed in held_out_seeds(count, seed))
    drawings = {
        "scenes": _count_abstained(judges, scenes, tick),
        "clips": _count_abstained(judges, clips, tick),
    }
    result: dict[str, Any] = {"drawings": _summarise(drawings, ())}
    if data is not None:
        others = {
            folder.name: _count_abstained(judges, files, tick) for folder, files in find_sources(data).items()
        }
        result["others"] = _summarise(others, fitted_sources())
    return result


def find_sources(data: Path) -> dict[Path, list[Sample]]:
    """Return the images and videos below each folder of a folder.

    Raises:
        InputError: there are none.
    """
    found = {}
    for folder in sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []:
        samples = [
            Sample(
                **{"video" if path.suffix.lower() in VIDEO_SUFFIXES else "image": path}, prompt=KNOWN_PROMPT
            )
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
        ]
        if samples:
            found[folder] = samples
    if not found:
        raise InputError("data", str(data), "a folder with a folder of images for each source", "name it")
    return found


def _clip_sample(seed: int) -> Sample:
    clip = draw_clip(seed, frames=CLIP_FRAMES)
    return Sample(video=list(clip.frames), prompt=clip.sample.prompt)


def _count_abstained(
    judges: dict[str, Any], samples: Iterable[Sample], tick: Callable[[], None]
) -> tuple[int, int]:
    """Return the number of readable samples, and of those on which the judge abstains."""
    total = abstained = 0
    for sample in samples:
        judge = judges["default" if sample.video is None else "video"]
        try:
            prepared = judge.pipeline.prepare(sample, "score", keep_for_overlay=False)
        except InputError:
            continue
        total, abstained = total + 1, abstained + bool(prepared.abstain_reason)
        tick()
    return total, abstained


def _summarise(counts: dict[str, tuple[int, int]], fitted: Sequence[str]) -> dict[str, Any]:
    fresh = [pair for name, pair in counts.items() if name not in fitted]
    total = (sum(pair[0] for pair in fresh), sum(pair[1] for pair in fresh))
    sources = {
        name: {**_rate(*pair), **({"fitted": True} if name in fitted else {})}
        for name, pair in counts.items()
    }
    return {**_rate(*total), "sources": sources}


def _rate(count: int, abstained: int) -> dict[str, Any]:
    """Return the rate with its interval."""
    if not count:
        return {"count": 0, "abstained": 0, "rate": None, "interval": None}
    interval = list(wilson_interval(abstained, count))
    return {"count": count, "abstained": abstained, "rate": abstained / count, "interval": interval}
