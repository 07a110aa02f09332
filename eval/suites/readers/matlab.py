"""Read arrays of MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judge.errors import InputError


def read_matlab_array(path: Path, variable: str) -> list[Any]:
    """Return the values of one variable, flattened in MATLAB's (column-major) order.

    Args:
        path: a MATLAB file up to version 7.
        variable: name of the variable.

    Returns:
        Numbers, or text for cells that hold text.

    Raises:
        InputError: the file does not exist, is not a MATLAB file up to version 7, or lacks the variable.
    """
    import numpy as np
    from scipy.io import loadmat

    try:
        variables = loadmat(str(path), variable_names=[variable])
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            "truth", str(path), "a MATLAB file up to version 7", f"{reason}: save it again"
        ) from None
    if variable not in variables:
        raise InputError(
            "truth", str(path), f"a MATLAB file with the variable {variable}", "take the released file"
        )
    flat = np.asarray(variables[variable]).ravel(order="F")
    return [str(value.ravel()[0]) if isinstance(value, np.ndarray) else value.item() for value in flat]
