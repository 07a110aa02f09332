"""What to do when the memory of a device runs out."""

from __future__ import annotations

import gc


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error of torch says that memory ran out, on a GPU or a CPU."""
    import torch

    out_of_memory: type[Exception] = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
    message = str(error).lower()
    return isinstance(error, out_of_memory) or any(
        text in message for text in ("out of memory", "can't allocate memory", "not enough memory")
    )


def release_memory() -> None:
    """Return memory that torch keeps for later to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
