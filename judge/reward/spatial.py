"""Where a reward is lost: located defects as maps over the image or its latents, and as masks for repair.

At pixel (y, x) the penalty is 1 - product over the defects there of (1 - confidence x severity), with
severity 0.25, 0.5 or 1 (`judge.reward.result`). It is 0 where nothing is wrong and 1 where a critical
defect is certain. Trainers with dense advantages subtract what is above the map's mean, so that the sum
over the image remains that of the scalar advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from judge.errors import InputError
from judge.media.regions import box_to_mask
from judge.reward.result import RewardResult, defect_cost
from judge.types import Defect, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

VAE_FACTOR = 8
"""Image pixels along one latent of the usual autoencoders."""
SEVERITY_ORDER: dict[Severity, int] = {"critical": 0, "moderate": 1, "negligible": 2}


@dataclass(frozen=True)
class RewardMap:
    """One result with its defects as maps and masks."""

    result: RewardResult
    """Score and verdict of the whole image."""
    prompt: str
    """The text that the image was made from."""

    @property
    def reason(self) -> str:
        """Why there is no map; empty if there is one."""
        return self.result.reason

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None if the image could not be read."""
        return self.result.verdict.size if self.result.verdict else None

    @property
    def defects(self) -> list[Defect]:
        """The defects, the most severe first."""
        defects = self.result.verdict.defects if self.result.verdict else []
        return sorted(defects, key=lambda defect: (SEVERITY_ORDER[defect.severity], -defect.confidence))

    @cached_property
    def penalty(self) -> NDArray[np.float32] | None:
        """Penalty map (H, W), 0 (sound) to 1 (critical and certain); None if the image was not scored."""
        if self.result.score is None or self.size is None:
            return None
        width, height = self.size
        soundness = np.ones((height, width), dtype=np.float32)
        for defect in self.defects:
            soundness[box_to_mask(defect.box, width, height)] *= 1 - defect_cost(defect)
        return 1 - soundness

    def resized(self, width: int, height: int) -> NDArray[np.float32] | None:
        """Return the penalty on another grid, as the mean over each of its cells.

        Args:
            width: columns of the grid, 1 or more.
            height: rows of the grid, 1 or more.

        Returns:
            (height, width); None if the image was not scored.

        Raises:
            InputError: the grid has no cells.
        """
        if width < 1 or height < 1:
            raise InputError("size", (width, height), "at least 1 x 1", "give the grid of the latents")
        if self.penalty is None:
            return None
        from PIL import Image

        resized = Image.fromarray(self.penalty).resize((width, height), Image.Resampling.BOX)
        return np.asarray(resized, dtype=np.float32)

    def latent(self, factor: int = VAE_FACTOR) -> NDArray[np.float32] | None:
        """Return the penalty on the grid of a VAE's latents.

        Args:
            factor: image pixels along one latent, 1 or more.

        Returns:
            (H / factor, W / factor); None if the image was not scored.

        Raises:
            InputError: the factor is below 1.
        """
        if factor < 1:
            raise InputError("factor", factor, "1 or more", "8 is the usual value")
        if self.size is None:
            return None
        return self.resized(max(1, self.size[0] // factor), max(1, self.size[1] // factor))

    def advantages(
        self, advantage: float, *, weight: float = 1.0, size: tuple[int, int] | None = None
    ) -> NDArray[np.float32] | None:
        """Spread a scalar advantage over the image: advantage - weight x (penalty - mean penalty).

        Args:
            advantage: of the whole image, for example its distance from its group's mean.
            weight: how much the location counts; 0 gives the scalar everywhere.
            size: width and height of the grid; default: those of the image.

        Returns:
            (height, width), with the scalar as its mean; None if the image was not scored.
        """
        penalty = self.penalty if size is None else self.resized(*size)
        return None if penalty is None else advantage - weight * (penalty - penalty.mean())

    def mask(self, *, grow: float = 0.1, least: float = 0.0) -> Image:
        """Return a mask of what to repaint: 8-bit, of the image's size, 255 inside defects.

        Args:
            grow: each box is widened by this share of its sides, half on either side, since a repair needs
                a margin.
            least: defects with a lower confidence x severity are left out.

        Raises:
            InputError: the image could not be read.
        """
        from PIL import Image

        if self.size is None:
            raise InputError("image", None, "an image that can be read", self.reason or "judge it first")
        width, height = self.size
        is_masked = np.zeros((height, width), dtype=np.bool_)
        for defect in self.defects:
            if defect_cost(defect) >= least:
                x1, y1, x2, y2 = defect.box
                dx, dy = (x2 - x1) * grow / 2, (y2 - y1) * grow / 2
                is_masked |= box_to_mask((x1 - dx, y1 - dy, x2 + dx, y2 + dy), width, height)
        return Image.fromarray(is_masked.astype(np.uint8) * 255)

    @property
    def instruction(self) -> str:
        """Prompt for a repair pass: the image's prompt, and what is wrong with the image."""
        faults = "; ".join(dict.fromkeys(defect.explanation or defect.kind for defect in self.defects))
        return f"{self.prompt}, intact (mend: {faults})" if faults else self.prompt

    def to_torch(self, size: tuple[int, int] | None = None) -> Any:
        """Return the penalty as a tensor.

        Args:
            size: width and height of the grid; default: those of the image.

        Returns:
            (1, height, width); None if the image was not scored.
        """
        import torch

        penalty = self.penalty if size is None else self.resized(*size)
        return None if penalty is None else torch.from_numpy(penalty)[None]
