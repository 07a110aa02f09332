"""Measured facts of a video: how it moves, and what about that is wrong.

All are computed from the luminance of the decoded frames (`judge.media.video.Video.bursts`), so the same file gives
the same numbers whatever model looks at it. Each lies in 0..1: a measured quantity x in its unit is written
as log(1 + x / small) / log(1 + large / small), cut at 1, which spreads small values out; `small` and `large`
are in `SCALES`. Shares and sharpness are taken as they are.

Movement is dense optical flow (DIS, Kroeger et al. 2016) between neighbouring frames reduced to `FLOW` pixels
on the shorter side, read at edges only, as flat ground says nothing. Lengths are shares of the shorter side.
Sharpness is the greatest share of a local contrast that one pixel's step takes: an ideal edge takes half of
it between two neighbours, one blurred by a Gaussian of s pixels 1 / (s sqrt(2 pi)), whatever is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from judge.media.video import Luma, Video

FLOW = 112
EDGE = 24.0
"""Gradient (grey levels a pixel) from which a pixel counts as an edge."""
CONTRAST = 32
"""Grey levels between the darkest and the brightest pixel nearby from which there is an edge to judge."""
STILL = 0.12
"""Mean difference (grey levels) up to which a frame repeats the one before it."""
MOVING = 0.003
"""Length of a movement from which an edge counts as moving."""
Field = NDArray[np.float32]

SCALES = {
    "motion": (0.001, 0.1),
    "jitter": (0.0005, 0.04),
    "leaps": (0.5, 10.0),
    "flicker": (0.004, 0.25),
    "warping": (0.0005, 0.03),
    "unrest": (0.05, 2.0),
    "wobble": (0.02, 0.4),
}
FACTS = ("motion", "frozen", "leaps", "flicker", "jitter", "warping", "unrest", "crispness", "wobble")
"""Names of the facts:

- motion: median length of the movement of edges from frame to frame
- frozen: share of frames that repeat the one before, where others move
- leaps: how much farther than usual the picture moves at once, at worst; a gap in the times counts as well
- flicker: how far the brightness of a frame lies off the mean of its neighbours, typically
- jitter: how far movement common to all edges changes from frame to frame, typically
- warping: how far the movement of what moves changes beyond what is common, where it does so most
- unrest: the same where it does so as usual, as a share of the movement's length
- crispness: sharpness of all but the tenth of the frames that is blurred most
- wobble: by how much the sharpest tenth of the frames is sharper than that
"""


def measure(video: Video) -> dict[str, float]:
    """The facts by name, each 0..1; of a single frame all but crispness are 0."""
    runs = [_Run([luma for _, luma in burst]) for burst in video.bursts]
    moved = np.concatenate([run.differences for run in runs])
    found = dict.fromkeys(FACTS, 0.0)
    sharp = np.concatenate([run.sharpness for run in runs])
    least, most = np.percentile(sharp, [10, 90])
    found["crispness"] = float(least)
    if not len(moved):
        return found
    still = moved <= STILL
    found["frozen"] = float(still.mean()) if not still.all() else 0.0
    found["motion"] = _scaled("motion", _median(np.concatenate([run.lengths for run in runs])[~still]))
    found["flicker"] = _scaled("flicker", _typical(np.concatenate([run.flicker for run in runs])))
    found["jitter"] = _scaled("jitter", _typical(np.concatenate([run.common for run in runs])))
    found["warping"] = _scaled("warping", _median(np.concatenate([run.own for run in runs])))
    found["unrest"] = _scaled("unrest", _median(np.concatenate([run.unrest for run in runs])))
    away = np.concatenate([run.away for run in runs])
    found["leaps"] = _scaled("leaps", max(_leap(away[~still]), _gap(video)))
    found["wobble"] = _scaled("wobble", float(most - least))
    return found


class _Run:
    """What is measured of frames in a row; arrays over frames, or over pairs of neighbours."""

    def __init__(self, frames: Sequence[Luma]) -> None:
        import cv2

        self.sharpness = np.array([_sharpness(frame) for frame in frames[::2]])
        small = [_reduced(frame) for frame in frames]
        # Far moves show in a picture without detail, where things still overlap after them.
        coarse = [cv2.GaussianBlur(frame, (0, 0), FLOW / 14).astype(np.float32) for frame in small]
        self.away = np.array([float(np.abs(a - b).mean()) for a, b in _pairs(coarse)])
        self.differences = np.array([float(cv2.absdiff(a, b).mean()) for a, b in _pairs(frames)])
        light = np.array([max(1.0, float(frame.mean())) for frame in frames])
        self.flicker = np.abs(np.diff(light, 2)) / 2 / light[1:-1] if len(light) > 2 else np.zeros(0)
        self.lengths, self.common, self.own, self.unrest = self._movement(small)

    def _movement(self, frames: list[Luma]) -> tuple[Field, Field, Field, Field]:
        """Length of the movement of edges for each pair; how far it changes from pair to pair in common,
        beyond that, and the latter as a share. Pairs that repeat a frame are passed over: movement goes on
        after them."""
        import cv2

        dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        dis.setFinestScale(0)  # coarser ones smooth away what single objects do
        side = min(frames[0].shape)
        lengths, common, own, unrest = list[float](), list[float](), list[float](), list[float]()
        before: Field | None = None
        for n, (a, b) in enumerate(_pairs(frames)):
            edges = _edges(a)
            if self.differences[n] <= STILL or not edges.any():
                lengths.append(0.0)
                continue
            flow: Field = np.asarray(dis.calc(a, b, None), np.float32) / side
            speed = np.hypot(*flow[edges].T)
            lengths.append(float(np.median(speed)))
            if before is not None:
                change = (flow - before)[edges]
                shared = np.median(change, axis=0)
                common.append(float(np.hypot(*shared)))
                moving = speed > MOVING
                if moving.sum() > 10:
                    beyond = np.hypot(*(change - shared)[moving].T)
                    own.append(float(np.percentile(beyond, 85)))
                    unrest.append(float(np.median(beyond) / np.median(speed[moving])))
            before = flow
        return _array(lengths), _array(common), _array(own), _array(unrest)


def _array(values: list[float]) -> Field:
    return np.array(values, np.float32)


def _pairs(frames: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(frames, frames[1:], strict=False))


def _reduced(frame: Luma) -> Luma:
    import cv2

    scale = min(1.0, FLOW / min(frame.shape))
    size = max(8, round(frame.shape[1] * scale)), max(8, round(frame.shape[0] * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _edges(frame: Luma) -> NDArray[np.bool_]:
    import cv2

    across, down = cv2.Sobel(frame, cv2.CV_16S, 1, 0), cv2.Sobel(frame, cv2.CV_16S, 0, 1)
    return np.asarray(np.abs(across).astype(np.float32) + np.abs(down) > 4 * EDGE)


def _sharpness(frame: Luma) -> float:
    """0 to 1; 1 as well where there is no contrast to be sharp."""
    import cv2

    around = np.ones((13, 13), np.uint8)
    contrast = cv2.subtract(cv2.dilate(frame, around), cv2.erode(frame, around))
    across, down = (cv2.Sobel(frame, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    telling = contrast > CONTRAST
    if telling.sum() < 50:
        return 1.0
    steps = cv2.magnitude(across, down)[telling] / contrast[telling]
    return min(1.0, 2 * float(np.percentile(steps, 93)))


def _scaled(name: str, value: float) -> float:
    small, large = SCALES[name]
    return min(1.0, math.log1p(max(0.0, value) / small) / math.log1p(large / small))


def _median(values: Field) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _typical(values: Field) -> float:
    """What two thirds of the values stay below: single leaps do not count, a fault that comes and goes
    does."""
    return float(np.percentile(values, 67)) if len(values) else 0.0


def _leap(moved: Field) -> float:
    """How many times the usual difference between neighbours the greatest one is, less one."""
    usual = _median(moved)
    return float(moved.max()) / usual - 1 if len(moved) > 2 and usual > 0 else 0.0


def _gap(video: Video) -> float:
    """How many frames are missing between two times of the file, at worst."""
    steps = np.concatenate([np.diff([time for time, _ in burst]) for burst in video.bursts])
    return float(steps.max()) / video.step - 1 if len(steps) else 0.0
