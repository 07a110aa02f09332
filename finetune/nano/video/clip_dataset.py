"""A dataset of drawn clips: their facts, what was measured in them, and the features of their frames.

    python -m finetune.nano clips OUT --count 2400 --pictures 150 --seed 5

Clips take the path of a verdict (`finetune.nano.video.measured_clips`). The vision tower is not trained here,
so each frame is encoded once. Encoding takes longer than all the rest, so only the first `--pictures` clips
are encoded. Each of the others is paired with the frames of an encoded clip, which its statements are about.
The quality of a clip is to be read from what was measured in it.

The command writes OUT/NNNN.pkl, each a list of `EncodedClip`. A part that exists is not written again. A
dataset is read on the machine that wrote it. Never load the files from another source: they are pickles.
"""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.nano.batched_forward import BatchedForward
from finetune.nano.network import CELLS, IMAGE_PIXELS
from finetune.nano.video.measured_clips import MeasuredClip, draw_measured_clip
from judge.backends.video_inputs import prepare_video, video_placeholder
from judge.runtime.process_pool import create_process_pool
from judge.scenes.clips import ClipFacts
from judge.scenes.dataset import drawing_seeds

PART_SIZE = 50
"""Clips in a file."""
LOG_SECONDS = 30
"""Time between two lines about progress."""


@dataclass
class EncodedClip:
    """One clip of the dataset."""

    facts: ClipFacts
    measured: dict[str, float]
    """Facts of `judge.evidence.motion`, by name."""
    placeholder: str
    """Text that stands for the video in the prompt; empty if the frames are not encoded."""
    tokens: Tensor | None
    """(frames, IMAGE_TOKENS, width) bfloat16; None if the frames are not encoded."""
    deepstack: list[Tensor]
    """Deepstack features, each of the shape of `tokens`."""


def write_clip_dataset(
    out: Path, base: Path, *, count: int, encoded: int, seed: int, workers: int = 2
) -> None:
    """Draw clips and write them to a folder.

    Args:
        out: folder to write.
        base: model folder of the base, whose vision tower encodes the frames.
        count: number of clips.
        encoded: number of clips, the first ones, whose frames are encoded.
        seed: the same seed gives the same clips.
        workers: processes that draw.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    out.mkdir(parents=True, exist_ok=True)
    processor = AutoProcessor.from_pretrained(base)
    forward = BatchedForward(AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32), 0)
    jobs = [(clip_seed, n < encoded) for n, clip_seed in enumerate(drawing_seeds(seed, count))]
    last_log = time.monotonic()
    with create_process_pool(workers) as pool:
        for start in range(0, count, PART_SIZE):
            path = out / f"{start // PART_SIZE:04d}.pkl"
            if path.exists():
                continue
            drawn = pool.map(_draw_clip, jobs[start : start + PART_SIZE], chunksize=5)
            part = [_encode_clip(forward, processor, clip) for clip in drawn]
            partial_file = path.with_suffix(".part")
            partial_file.write_bytes(pickle.dumps(part))
            partial_file.rename(path)
            if time.monotonic() - last_log > LOG_SECONDS:
                last_log = time.monotonic()
                print(f"{start + PART_SIZE} of {count} clips", flush=True)


def _draw_clip(job: tuple[int, bool]) -> MeasuredClip:
    seed, keep_frames = job
    # The measures hardly depend on the length of a clip, and shorter ones are drawn faster.
    frames = None if keep_frames else Random(seed).randint(14, 24)
    return draw_measured_clip(seed, frames=frames, keep_frames=keep_frames)


@torch.inference_mode()
def _encode_clip(forward: BatchedForward, processor: Any, clip: MeasuredClip) -> EncodedClip:
    if clip.video is None:
        return EncodedClip(clip.facts, clip.measured, "", None, [])
    frames = torch.from_numpy(np.stack([np.asarray(frame) for frame in clip.video.frames]))
    features = forward.encode_images(frames)
    grid = torch.tensor([len(frames), 2 * CELLS, 2 * CELLS])
    placeholder = video_placeholder(prepare_video(clip.video, processor, IMAGE_PIXELS), grid, processor)
    deepstack = [level.bfloat16() for level in features.deepstack]
    return EncodedClip(clip.facts, clip.measured, placeholder, features.tokens.bfloat16(), deepstack)


def draw_frames(r: Random, clip: EncodedClip, max_frames: int | None = None) -> EncodedClip:
    """Return the clip with a random subset of its frames, so that answers do not depend on their number.

    Args:
        r: random generator.
        clip: an encoded clip.
        max_frames: most frames; default: all.

    Raises:
        ValueError: the clip is not encoded.
    """
    if clip.tokens is None:
        raise ValueError("the frames of this clip are not encoded")
    limit = min(max_frames or 99, len(clip.tokens))
    chosen = sorted(r.sample(range(len(clip.tokens)), r.randint(1, limit)))
    frames = re.findall(r".*?<\|vision_end\|>", clip.placeholder)
    return replace(
        clip,
        placeholder="".join(frames[n] for n in chosen),
        tokens=clip.tokens[chosen],
        deepstack=[level[chosen] for level in clip.deepstack],
    )


def read_clip_datasets(folders: Sequence[Path]) -> list[EncodedClip]:
    """Read all clips of some datasets."""
    return [
        clip
        for folder in folders
        for path in sorted(folder.glob("*.pkl"))
        for clip in pickle.loads(path.read_bytes())
    ]
