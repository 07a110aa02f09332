"""Build the prompt of a request, as vLLM's engine takes it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from judge.backends.base import Request
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.image_inputs import find_input_error, resize_images
from judge.backends.video_inputs import PreparedVideo, prepare_video, video_placeholder
from judge.errors import ReplyError


def build_prompt(
    request: Request, tokenizer: ChatTokenizer, size: int | None, max_length: int
) -> tuple[list[int], dict[str, Any]]:
    """Encode a chat, with its images and videos as the engine takes them.

    vLLM keeps what it computed for the beginning of a prompt, block by block, and the features of an image by
    its id. A chat has this order: text of the template, the image, text of the rubric with what is asked
    about this image, the answer. So the blanks of one answer share everything before them, and all requests
    about one image (other prompts, other rubrics, a group of a reward) share the image.

    Args:
        request: the request.
        tokenizer: the model's.
        size: side in pixels of the square that the model sees; None for any shape.
        max_length: greatest number of tokens that the engine takes.

    Returns:
        Token ids with one token for each image and video, and the other members of the engine's prompt.

    Raises:
        ReplyError: the model cannot take the request.
    """
    processor = tokenizer.processor
    image_processor = processor.image_processor
    if fault := find_input_error(request, size, image_processor):
        raise ReplyError(fault)
    images = list(resize_images(request.images, size, image_processor))
    side = image_processor.patch_size * image_processor.merge_size
    counts = [image.width // side * (image.height // side) for image in images]
    videos = [prepare_video(video, processor, size) for video in request.videos]
    # The engine expands the video tokens itself, to the same number: here they are only counted.
    marks = [processor.video_token] * len(videos)
    tokens = tokenizer.encode_chat(request.messages, [1] * len(images), marks)
    video_counts = [_count_video_tokens(video, tokenizer) for video in videos]
    length = len(tokens) + sum(counts) - len(counts) + sum(video_counts) - len(videos)
    if length >= max_length:
        raise ReplyError(f"prompt: {length} tokens, the model reads {max_length}; shorten it")
    return tokens, _multimodal_inputs(images, videos)


def _multimodal_inputs(images: list[Any], videos: list[PreparedVideo]) -> dict[str, Any]:
    data, ids = dict[str, Any](), dict[str, list[str]]()
    if images:
        data["image"], ids["image"] = images, list(map(_image_id, images))
    if videos:
        data["video"] = [(video.frames, video.metadata) for video in videos]
        ids["video"] = list(map(_video_id, videos))
    if not data:
        return {}
    options = {"do_resize": False}
    return {"multi_modal_data": data, "multi_modal_uuids": ids, "mm_processor_kwargs": options}


def _count_video_tokens(video: PreparedVideo, tokenizer: ChatTokenizer) -> int:
    """Return the number of tokens of a video in the prompt."""
    video_processor = tokenizer.processor.video_processor
    count, height, width, _ = video.frames.shape
    patch = video_processor.patch_size
    grid = np.array([count // video_processor.temporal_patch_size, height // patch, width // patch])
    return len(tokenizer.encode_template(video_placeholder(video, grid, tokenizer.processor)))


def _video_id(video: PreparedVideo) -> str:
    digest = hashlib.blake2b(video.frames.tobytes(), digest_size=16)
    digest.update(f"{video.frames.shape} {video.metadata['frames_indices']}".encode())
    return digest.hexdigest()


def _image_id(image: Any) -> str:
    digest = hashlib.blake2b(image.tobytes(), digest_size=16)
    digest.update(f"{image.mode} {image.size}".encode())
    return digest.hexdigest()
