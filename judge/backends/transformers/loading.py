"""Load a Qwen-VL checkpoint with its adapter and its processor."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from judge.backends.models.families import Family, check_family
from judge.backends.torchvision_compat import patch_imports
from judge.errors import BackendError, InputError


def load_model(
    source: str,
    adapter: str | Path | None,
    revision: str | None,
    device: str | dict[str, Any],
    dtype: str,
    bits: int | None,
) -> tuple[Any, Any]:
    """Load a model.

    Args:
        source: the base checkpoint, a folder or a name on the hub.
        adapter: LoRA adapter to apply, a folder or a name on the hub.
        revision: hub revision of the checkpoint.
        device: `auto`, a torch device, or an accelerate device map.
        dtype: `auto`, or the name of a torch dtype.
        bits: 4 or 8 to quantize the language model; None for the weights as they are.

    Returns:
        The model in evaluation mode with the adapter applied, and its processor.

    Raises:
        InputError: an argument is not usable.
        BackendError: the model cannot be loaded, or is of a family that is not known to be right here.
    """
    options = _loading_options(device, dtype, bits)
    patch_imports()
    # peft imports bitsandbytes, which warns about a kernel that only its CPU quantization would use.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import transformers

    library: Any = transformers
    try:
        with _without_progress_bars():
            config, _ = library.PreTrainedConfig.get_config_dict(source, revision=revision)
            family = check_family(config, source)
            if bits:
                options["quantization_config"] = _quantization_config(library, bits, family)
            processor = library.AutoProcessor.from_pretrained(source, revision=revision)
            loader = library.AutoModelForImageTextToText
            model = loader.from_pretrained(source, revision=revision, **options).eval()
            if adapter is not None:
                model = _apply_adapter(model, adapter, merge=not bits and _is_float32(model))
    except InputError as error:
        raise BackendError(f"{source}: cannot be loaded ({error})") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BackendError(f"{source}: cannot be loaded ({' '.join(str(error).split())[:300]})") from error
    return model, processor


def _loading_options(device: str | dict[str, Any], dtype: str, bits: int | None) -> dict[str, Any]:
    """Check the arguments and build the keyword arguments of `from_pretrained`."""
    import torch

    has_gpu = torch.cuda.is_available()
    if bits and not has_gpu:
        raise InputError("bits", bits, "None without a GPU", "leave it out, or run on a machine with CUDA")
    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise InputError(
            "dtype", dtype, "auto, float32, bfloat16 or float16", "pass the name of a torch dtype"
        )
    if device == "auto":
        device = "auto" if has_gpu else "cpu"
    return {
        "dtype": "float32" if dtype == "auto" and device == "cpu" else dtype,
        "device_map": device,
        # Flash attention does not take the attention mask of ragged rows.
        "attn_implementation": "sdpa",
    }


def _quantization_config(library: Any, bits: int, family: Family) -> Any:
    import torch

    return library.BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=list(family.unquantized_modules),
    )


def _is_float32(model: Any) -> bool:
    import torch

    return bool(model.dtype == torch.float32)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Silence the progress bars of transformers; those of downloads from the hub stay."""
    from transformers.utils import logging as module

    transformers_logging: Any = module
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()


def _apply_adapter(model: Any, adapter: str | Path, *, merge: bool) -> Any:
    """Apply a LoRA adapter: merged into the weights if that is exact, else as separate matrices."""
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model, str(adapter)).eval()
    return adapted.merge_and_unload() if merge else adapted.get_base_model()
