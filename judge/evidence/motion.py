"""Facts about a video: how it moves, and what is wrong with the motion.

All facts are computed from the luminance of the decoded frames (`judge.media.video.Video.bursts`), so the
same file gives the same numbers for every model. Each fact is 0 to 1. A measured quantity x is converted to
log(1 + x / small) / log(1 + large / small) and cut at 1, which spreads small values out; `small` and `large`
are in `FACT_SCALES`. Shares and sharpness are used as they are.

Movement is dense optical flow (DIS, Kroeger et al. 2016) between neighbouring frames, reduced to `FLOW_SIDE`
pixels on the shorter side. It is read at edges only, because a flat area shows no movement. Lengths are
shares of the shorter side. Sharpness is the largest share of a local contrast that one step between pixels
takes: an ideal edge takes half of it between two neighbours, an edge that is blurred by a Gaussian of s
pixels takes 1 / (s sqrt(2 pi)), whatever the content.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from judge.media.video import Luma, Video

FLOW_SIDE = 112
EDGE_GRADIENT = 24.0
"""A pixel counts as an edge if its gradient exceeds this (grey levels per pixel)."""
MIN_CONTRAST = 32
"""Sharpness is measured where the darkest and the brightest pixel nearby differ by more grey levels."""
MAX_REPEAT_DIFFERENCE = 0.12
"""A frame repeats the previous one if their mean difference (grey levels) is at most this."""
MIN_MOVEMENT = 0.003
"""An edge counts as moving if it moves farther than this share of the shorter side."""
FloatArray = NDArray[np.float32]

FACT_SCALES = {
    "motion": (0.001, 0.1),
    "jitter": (0.0005, 0.04),
    "leaps": (0.5, 10.0),
    "flicker": (0.004, 0.25),
    "warping": (0.0005, 0.03),
    "unrest": (0.05, 2.0),
    "wobble": (0.02, 0.4),
}
"""Fact -> `small` and `large` of the module docstring."""
MOTION_FACTS = ("motion", "frozen", "leaps", "flicker", "jitter", "warping", "unrest", "crispness", "wobble")
"""Names of the facts:

- motion: median movement of edges from frame to frame
- frozen: share of frames that repeat the previous one, in a video whose other frames move
- leaps: how much farther than usual the image moves in one step, at worst; a gap in the times counts as well
- flicker: how much the brightness of a frame differs from the mean of its neighbours, typically
- jitter: how much the movement that all edges share changes from frame to frame, typically
- warping: how much the movement of moving edges changes beyond the shared movement, where it changes most
- unrest: the same where it changes as usual, as a share of the movement
- crispness: sharpness that all but the most blurred tenth of the frames reach
- wobble: how much sharper than that the sharpest tenth of the frames is
"""


def measure_motion(video: Video) -> dict[str, float]:
    """Measure a video.

    Returns:
        All `MOTION_FACTS` by name, each 0 to 1. For a single frame, all except crispness are 0.
    """
    runs = [_FrameRun([luma for _, luma in burst]) for burst in video.bursts]
    differences = np.concatenate([run.differences for run in runs])
    facts = dict.fromkeys(MOTION_FACTS, 0.0)
    sharpness = np.concatenate([run.sharpness for run in runs])
    low, high = np.percentile(sharpness, [10, 90])
    facts["crispness"] = float(low)
    if not len(differences):
        return facts
    is_repeat = differences <= MAX_REPEAT_DIFFERENCE
    facts["frozen"] = float(is_repeat.mean()) if not is_repeat.all() else 0.0
    movement = _median(np.concatenate([run.lengths for run in runs])[~is_repeat])
    facts["motion"] = _scale("motion", movement)
    facts["flicker"] = _scale("flicker", _typical(np.concatenate([run.flicker for run in runs])))
    facts["jitter"] = _scale("jitter", _typical(np.concatenate([run.shared_changes for run in runs])))
    facts["warping"] = _scale("warping", _median(np.concatenate([run.own_changes for run in runs])))
    facts["unrest"] = _scale("unrest", _median(np.concatenate([run.unrest for run in runs])))
    coarse = np.concatenate([run.coarse_differences for run in runs])
    facts["leaps"] = _scale("leaps", max(_largest_leap(coarse[~is_repeat]), _largest_gap(video)))
    facts["wobble"] = _scale("wobble", float(high - low))
    return facts


class _FrameRun:
    """Measurements of consecutive frames: arrays over frames, or over pairs of neighbours.

    Args:
        frames: luminance of each frame, (h, w).
    """

    def __init__(self, frames: Sequence[Luma]) -> None:
        import cv2

        self.sharpness = np.array([_measure_sharpness(frame) for frame in frames[::2]])
        small = [_reduce(frame) for frame in frames]
        # A long movement shows in an image without detail, where objects still overlap after it.
        coarse = [cv2.GaussianBlur(frame, (0, 0), FLOW_SIDE / 14).astype(np.float32) for frame in small]
        self.coarse_differences = np.array([float(np.abs(a - b).mean()) for a, b in _pairs(coarse)])
        self.differences = np.array([float(cv2.absdiff(a, b).mean()) for a, b in _pairs(frames)])
        light = np.array([max(1.0, float(frame.mean())) for frame in frames])
        self.flicker = np.abs(np.diff(light, 2)) / 2 / light[1:-1] if len(light) > 2 else np.zeros(0)
        self.lengths, self.shared_changes, self.own_changes, self.unrest = self._measure_movement(small)

    def _measure_movement(self, frames: list[Luma]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Measure the movement of edges.

        Pairs that repeat a frame are skipped, because the movement continues after them.

        Returns:
            The median movement in each pair; how much the shared movement changes from pair to pair; how much
            single edges change beyond that; and the latter as a share of the movement.
        """
        import cv2

        dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        dis.setFinestScale(0)  # coarser scales smooth away the movement of single objects
        side = min(frames[0].shape)
        lengths, shared_changes, own_changes, unrest = (list[float]() for _ in range(4))
        previous: FloatArray | None = None
        for n, (a, b) in enumerate(_pairs(frames)):
            edges = _find_edges(a)
            if self.differences[n] <= MAX_REPEAT_DIFFERENCE or not edges.any():
                lengths.append(0.0)
                continue
            flow: FloatArray = np.asarray(dis.calc(a, b, None), np.float32) / side
            speed = np.hypot(*flow[edges].T)
            lengths.append(float(np.median(speed)))
            if previous is not None:
                change = (flow - previous)[edges]
                shared = np.median(change, axis=0)
                shared_changes.append(float(np.hypot(*shared)))
                moving = speed > MIN_MOVEMENT
                if moving.sum() > 10:
                    own = np.hypot(*(change - shared)[moving].T)
                    own_changes.append(float(np.percentile(own, 85)))
                    unrest.append(float(np.median(own) / np.median(speed[moving])))
            previous = flow
        return _array(lengths), _array(shared_changes), _array(own_changes), _array(unrest)


def _array(values: list[float]) -> FloatArray:
    return np.array(values, np.float32)


def _pairs(frames: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(frames, frames[1:], strict=False))


def _reduce(frame: Luma) -> Luma:
    """Reduce a frame to `FLOW_SIDE` pixels on the shorter side."""
    import cv2

    scale = min(1.0, FLOW_SIDE / min(frame.shape))
    size = max(8, round(frame.shape[1] * scale)), max(8, round(frame.shape[0] * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _find_edges(frame: Luma) -> NDArray[np.bool_]:
    import cv2

    dx, dy = cv2.Sobel(frame, cv2.CV_16S, 1, 0), cv2.Sobel(frame, cv2.CV_16S, 0, 1)
    return np.asarray(np.abs(dx).astype(np.float32) + np.abs(dy) > 4 * EDGE_GRADIENT)


def _measure_sharpness(frame: Luma) -> float:
    """Return the sharpness of a frame, 0 to 1; 1 also if there is too little contrast to measure it."""
    import cv2

    window = np.ones((13, 13), np.uint8)
    contrast = cv2.subtract(cv2.dilate(frame, window), cv2.erode(frame, window))
    gx, gy = (cv2.Sobel(frame, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    has_contrast = contrast > MIN_CONTRAST
    if has_contrast.sum() < 50:
        return 1.0
    steps = cv2.magnitude(gx, gy)[has_contrast] / contrast[has_contrast]
    return min(1.0, 2 * float(np.percentile(steps, 93)))


def _scale(name: str, value: float) -> float:
    """Convert a measured quantity to 0 to 1 on the scale of a fact."""
    small, large = FACT_SCALES[name]
    return min(1.0, math.log1p(max(0.0, value) / small) / math.log1p(large / small))


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _typical(values: FloatArray) -> float:
    """Return the 67th percentile: single leaps do not count, a fault that comes and goes does."""
    return float(np.percentile(values, 67)) if len(values) else 0.0


def _largest_leap(differences: FloatArray) -> float:
    """Return how many times the usual difference between neighbours the largest one is, minus 1."""
    usual = _median(differences)
    return float(differences.max()) / usual - 1 if len(differences) > 2 and usual > 0 else 0.0


def _largest_gap(video: Video) -> float:
    """Return how many frames are missing between two times of the file, at worst."""
    steps = np.concatenate([np.diff([time for time, _ in burst]) for burst in video.bursts])
    return float(steps.max()) / video.frame_interval - 1 if len(steps) else 0.0
