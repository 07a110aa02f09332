"""Videos are encoded as by the official processors."""

from __future__ import annotations

import numpy as np
from form_requests import build_request, check_filled, noise_video, video_request

from judge.backends.base import Reply, Request, VideoInput
from judge.backends.transformers.backend import Transformers
from judge.errors import ReplyError
from judge.rubrics.schema import SCORE_LABELS


def library_probabilities(backend: Transformers, video: VideoInput) -> np.ndarray:
    """Probabilities of the score labels by the official processor and model alone."""
    import torch
    from transformers.video_utils import VideoMetadata

    processor, model = backend.processor, backend._model
    frames = [*video.frames, video.frames[-1]]  # an even number, as the processors make it
    pixels = torch.from_numpy(np.stack([np.asarray(frame) for frame in frames])).permute(0, 3, 1, 2)
    metadata = VideoMetadata(
        total_num_frames=2500, fps=1000.0, frames_indices=[100, 500, 1300, 1400, 2000, 2000], duration=2.5
    )
    messages = video_request(video).messages
    chat = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(
        text=[chat + '{"score":'],
        videos=[pixels],
        videos_kwargs={
            "video_metadata": [metadata],
            "do_sample_frames": False,
            "do_resize": False,
            "cap_pixels_per_frame": False,
        },
        return_tensors="pt",
    )
    arguments = {key: inputs[key] for key in inputs if key not in ("attention_mask", "video_metadata")}
    with torch.inference_mode():
        last = model(**arguments).logits[0, -1].log_softmax(-1)
    tokens = [backend.tokenizer.encode_text(label)[0] for label in SCORE_LABELS]
    return torch.softmax(last[tokens], 0).numpy()


def test_a_video_is_read_as_by_the_library(pieces_backend: Transformers) -> None:
    """Prompt tokens, patches and rope positions are those of the library, also at uneven times."""
    backend = pieces_backend
    side = 2 * backend.processor.image_processor.patch_size * backend.tokenizer.merge_size
    video = noise_video(3, side=side)
    (reply,) = check_filled(backend.choose([video_request(video)]))
    found = list(reply.probabilities["score"].values())
    assert np.allclose(found, library_probabilities(backend, video), atol=1e-4)


def test_videos_and_images_in_one_batch_do_not_affect_each_other(qwen3: Transformers) -> None:
    requests = [
        video_request(noise_video(1)),
        build_request(5, depth="score"),
        video_request(noise_video(9, 2)),
    ]
    together = check_filled(qwen3.choose(requests))
    alone = [check_filled(qwen3.choose([request]))[0] for request in requests]
    for a, b in zip(together, alone, strict=True):
        for blank, probabilities in a.probabilities.items():
            assert np.allclose(list(probabilities.values()), list(b.probabilities[blank].values()), atol=1e-4)


def test_a_video_without_a_part_in_the_messages_fails_only_its_row(qwen3: Transformers) -> None:
    good = build_request(1, depth="score")
    bad = Request(good.images, good.messages, good.form, videos=[noise_video(1)])
    replies = qwen3.choose([bad, good])
    assert isinstance(replies[0], ReplyError) and "videos: 1 given" in str(replies[0])
    assert isinstance(replies[1], Reply)
