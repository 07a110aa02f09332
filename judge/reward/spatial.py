"""Where a reward is lost: located defects as maps over the picture, over its latents, and as masks for
repair.

At pixel (y, x) the penalty is 1 - product over the defects there of (1 - confidence x severity), severity
being 0.25, 0.5 or 1 (`judge.reward.result`): 0 where nothing is wrong, 1 where a critical defect is certain.
Trainers with dense advantages take off what lies above the map's mean, so that the sum over the picture stays
that of the scalar advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from judge.errors import InputError
from judge.media.regions import box_mask
from judge.reward.result import RewardResult, cost
from judge.types import Defect, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

VAE = 8
"""Pixels of the picture along one of its latents, in the usual autoencoders."""
ORDER: dict[Severity, int] = {"critical": 0, "moderate": 1, "negligible": 2}


@dataclass(frozen=True)
class RewardMap:
    """The located side of one result."""

    result: RewardResult
    """Score and verdict of the picture as a whole."""
    prompt: str

    @property
    def reason(self) -> str:
        """Why there is no map; empty when there is one."""
        return self.result.reason

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None where the picture could not be read."""
        return self.result.verdict.size if self.result.verdict else None

    @property
    def defects(self) -> list[Defect]:
        """The defects, the most severe first."""
        found = self.result.verdict.defects if self.result.verdict else []
        return sorted(found, key=lambda defect: (ORDER[defect.severity], -defect.confidence))

    @cached_property
    def penalty(self) -> NDArray[np.float32] | None:
        """(H, W) in 0 (sound) to 1 (critical and certain); None where the picture was not scored."""
        if self.result.score is None or self.size is None:
            return None
        width, height = self.size
        sound = np.ones((height, width), dtype=np.float32)
        for defect in self.defects:
            sound[box_mask(defect.box, width, height)] *= 1 - cost(defect)
        return 1 - sound

    def resized(self, width: int, height: int) -> NDArray[np.float32] | None:
        """The penalty on another grid, (height, width): the mean over each of its cells."""
        if width < 1 or height < 1:
            raise InputError("size", (width, height), "at least 1 x 1", "give the grid of the latents")
        if self.penalty is None:
            return None
        from PIL import Image

        whole = Image.fromarray(self.penalty).resize((width, height), Image.Resampling.BOX)
        return np.asarray(whole, dtype=np.float32)

    def latent(self, factor: int = VAE) -> NDArray[np.float32] | None:
        """The penalty on the grid of a VAE's latents, (H / factor, W / factor)."""
        if factor < 1:
            raise InputError("factor", factor, "1 or more", "8 is the usual one")
        if self.size is None:
            return None
        return self.resized(max(1, self.size[0] // factor), max(1, self.size[1] // factor))

    def advantages(
        self, advantage: float, *, weight: float = 1.0, size: tuple[int, int] | None = None
    ) -> NDArray[np.float32] | None:
        """A scalar advantage spread over the picture: advantage - weight x (penalty - its mean).

        Args:
            advantage: of the whole picture, for example its distance from its group's mean.
            weight: how much the place counts; 0 gives the scalar everywhere.
            size: width and height of the grid; default: the picture's.

        Returns:
            (height, width), whose mean is the scalar; None where the picture was not scored.
        """
        penalty = self.penalty if size is None else self.resized(*size)
        return None if penalty is None else advantage - weight * (penalty - penalty.mean())

    def mask(self, *, grow: float = 0.1, least: float = 0.0) -> Image:
        """What to paint anew: an 8-bit mask of the picture's size, 255 inside defects.

        Args:
            grow: each box is widened by this share of its sides, half on either side: repair needs an edge.
            least: defects whose confidence x severity lies below are left alone.

        Raises:
            InputError: there is no picture to mask.
        """
        from PIL import Image

        if self.size is None:
            raise InputError("image", None, "a picture that could be read", self.reason or "judge it first")
        width, height = self.size
        inside = np.zeros((height, width), dtype=np.bool_)
        for defect in self.defects:
            if cost(defect) >= least:
                x1, y1, x2, y2 = defect.box
                dx, dy = (x2 - x1) * grow / 2, (y2 - y1) * grow / 2
                inside |= box_mask((x1 - dx, y1 - dy, x2 + dx, y2 + dy), width, height)
        return Image.fromarray(inside.astype(np.uint8) * 255)

    @property
    def instruction(self) -> str:
        """What a repair pass shall paint: the picture's prompt, and what was wrong with it."""
        faults = "; ".join(dict.fromkeys(defect.explanation or defect.kind for defect in self.defects))
        return f"{self.prompt}, intact (mend: {faults})" if faults else self.prompt

    def to_torch(self, size: tuple[int, int] | None = None) -> Any:
        """The penalty as a tensor (1, height, width), None as above."""
        import torch

        penalty = self.penalty if size is None else self.resized(*size)
        return None if penalty is None else torch.from_numpy(penalty)[None]
