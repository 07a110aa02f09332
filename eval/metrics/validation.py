"""Checks on the inputs of metrics, and grouping of rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from judge.errors import InputError

Floats = NDArray[np.float64]


def check_pairs(predicted: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    """Return predictions and truth as float64 arrays of shape (rows,).

    Raises:
        InputError: the shapes differ, or a value is not finite.
    """
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError("predicted", x.shape, f"one number per truth, {y.shape}", "pair both sides first")
    for name, side in (("predicted", x), ("truth", y)):
        if not np.isfinite(side).all():
            row = int(np.flatnonzero(~np.isfinite(side))[0])
            raise InputError(f"{name}[{row}]", side[row], "finite numbers", "leave unscored rows out")
    return x, y


def group_rows(groups: Sequence[Hashable], count: int) -> list[NDArray[np.intp]]:
    """Return the row indices of each group, groups in order of first appearance.

    Args:
        groups: group of each row.
        count: number of rows there must be.

    Raises:
        InputError: there is not one group per row.
    """
    if len(groups) != count:
        raise InputError("groups", len(groups), f"one per prediction, {count}", "pair all sides first")
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.array(indices) for indices in rows.values()]


def is_constant(values: Floats) -> bool:
    """Return whether all values are equal up to rounding: a correlation of such values would be noise."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))
