"""Arrays out of MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judge.errors import InputError


def array(path: Path, key: str) -> list[Any]:
    """The values of one variable, flattened in MATLAB's order; cells of text become text.

    Raises:
        InputError: no such file, not a MATLAB file up to version 7, or it has no such variable.
    """
    import numpy as np
    from scipy.io import loadmat

    try:
        found = loadmat(str(path), variable_names=[key])
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            "truth", str(path), "a MATLAB file up to version 7", f"{reason}: save it again"
        ) from None
    if key not in found:
        raise InputError(
            "truth", str(path), f"a MATLAB file with the variable {key}", "take the released file"
        )
    flat = np.asarray(found[key]).ravel(order="F")
    return [str(value.ravel()[0]) if isinstance(value, np.ndarray) else value.item() for value in flat]
