"""Ask for boxes as a model family writes them, and give them back in the relative coordinates of the rubrics.

Rubrics ask for boxes in 0 to 1000 of the image's sides (`judge.rubrics.form_nodes.Box`). A backend knows what
its model writes (`judge.backends.models.boxes`) and translates: the form, the description of a box in the
instructions, the boxes in the answers of worked examples, and the reply.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from judge.backends.base import Reply, Request, VideoInput
from judge.backends.models.boxes import BoxConvention, Size, read_box, write_box
from judge.errors import InputError, ReplyError
from judge.media.regions import RELATIVE_RANGE
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import BOX_CORNERS, Box, Node, Object, Repeat, canonical_json
from judge.rubrics.templates import BOX_TEXT, WHOLE_BOX

if TYPE_CHECKING:
    from PIL.Image import Image

RELATIVE_SIZE = (RELATIVE_RANGE, RELATIVE_RANGE)
"""An image of this size has relative coordinates as its pixels."""
DECIMALS = 3
"""Decimals of the relative coordinates that name the labels of a translated corner."""


def check_convention(boxes: str | None, default: BoxConvention) -> BoxConvention:
    """Return the convention that an option names.

    Args:
        boxes: the option; None for the default.
        default: what is known of the model.

    Raises:
        InputError: there is no such convention.
    """
    if boxes is None:
        return default
    try:
        return BoxConvention(boxes)
    except ValueError:
        allowed = ", ".join(convention.value for convention in BoxConvention)
        raise InputError("boxes", boxes, allowed, "leave it out for the model's own") from None


@dataclass(frozen=True)
class BoxTranslator:
    """Translates between the boxes of rubrics and those of a model.

    Args:
        convention: what the model writes.
        resized: returns the size of an image, or of the frames of a video, as the model sees it. It may raise
            `ValueError` for one that the model cannot take.
    """

    convention: BoxConvention
    resized: Callable[[Image | VideoInput], Size]

    def run(
        self,
        requests: Sequence[Request],
        answer: Callable[[list[Request]], list[Reply | ReplyError]],
    ) -> list[Reply | ReplyError]:
        """Answer requests of rubrics by a function that answers requests with the model's boxes.

        Args:
            requests: the requests.
            answer: returns a reply for each of its requests, in order.
        """
        translated: list[Request | ReplyError] = []
        for request in requests:
            try:
                translated.append(self.request(request))
            except ReplyError as error:
                translated.append(error)
        replies = iter(answer([one for one in translated if isinstance(one, Request)]))
        return [
            self.reply(next(replies), request) if isinstance(one, Request) else one
            for request, one in zip(requests, translated, strict=True)
        ]

    def request(self, request: Request) -> Request:
        """Return a request that asks for boxes as the model writes them.

        Args:
            request: a request of a rubric. It is returned itself if there is nothing to translate.

        Raises:
            ReplyError: the form asks for a box, but the request shows no image.
        """
        if self.convention is BoxConvention.JUDGE_GRID or not has_boxes(request.form):
            return request
        return replace(
            request,
            form=self.form(request.form, self.frame(request)),
            messages=list(self._messages(request)),
        )

    def frame(self, request: Request) -> Size:
        """Return the size, as the model sees it, of the image that the boxes of a request are about.

        It is that of the last image or video: a reference and worked examples stand before it.
        """
        media = _list_media(request)
        if not media and self.convention is BoxConvention.RESIZED_PIXELS_XYXY:
            raise ReplyError("images: none given, and the form asks for a box in pixels of one")
        return self._frame_of(media[-1]) if media else RELATIVE_SIZE

    def _frame_of(self, shown: Image | VideoInput) -> Size:
        """Return the size of an image as the model sees it; `RELATIVE_SIZE` if boxes do not depend on it."""
        if self.convention is not BoxConvention.RESIZED_PIXELS_XYXY:
            return RELATIVE_SIZE
        try:
            return self.resized(shown)
        except ValueError:  # the model cannot take it: the backend says why when it is shown
            return shown.size if not isinstance(shown, VideoInput) else shown.frames[0].size

    def form(self, form: Form, frame: Size) -> Form:
        """Return the form with the model's boxes.

        Args:
            form: the form of a rubric.
            frame: size of the image as the model sees it.
        """
        width, height = self.convention.limits(frame)
        step, y_first = self.convention.step, self.convention.is_y_first
        return replace(
            form,
            root=form.root.map_boxes(
                lambda box: replace(box, grid=step, width=width, height=height, y_first=y_first)
            ),
        )

    def reply(self, reply: Reply | ReplyError, request: Request) -> Reply | ReplyError:
        """Translate a reply back to relative coordinates.

        Args:
            reply: the reply to `self.request(request)`.
            request: the request of the rubric.

        Returns:
            The reply with boxes in 0 to 1000, and the labels of their corners likewise; a `ReplyError` if it
            does not fit the form.
        """
        is_same = self.convention in (BoxConvention.JUDGE_GRID, BoxConvention.RELATIVE_1000_XYXY)
        if is_same or isinstance(reply, ReplyError) or not has_boxes(request.form):
            return reply
        frame, form = self.frame(request), request.form.without(reply.missing)
        try:
            values = self.form(form, frame).parse(reply.text)
        except ReplyError as error:
            return error
        text = canonical_json(_map_values(form.root, values, lambda box: self._read(box, frame)))
        width, height = self.convention.limits(frame)
        probabilities = dict(reply.probabilities)
        for path in _corner_paths(form.root, values, ""):
            if path in probabilities:
                side = width if path.rpartition(".")[2].startswith("x") else height
                probabilities[path] = _rescale_labels(probabilities[path], side)
        return replace(reply, text=text, probabilities=probabilities)

    def values(self, form: Form, values: dict[str, Any], frame: Size) -> dict[str, Any]:
        """Translate the values of a rubric's form to those of the model's form.

        Args:
            form: the form of the rubric.
            values: its values, as `Form.render` takes them.
            frame: size of the image as the model sees it.
        """
        if self.convention is BoxConvention.JUDGE_GRID or not has_boxes(form):
            return values
        translated: dict[str, Any] = _map_values(form.root, values, lambda box: self._write(box, frame))
        return translated

    def _read(self, box: Sequence[float], frame: Size) -> list[int]:
        """Return relative coordinates, 0 to 1000, of a box of the model."""
        found = read_box(box, self.convention, RELATIVE_SIZE, frame)
        return list(write_box(found, BoxConvention.RELATIVE_1000_XYXY, RELATIVE_SIZE, RELATIVE_SIZE))

    def _write(self, box: Sequence[float], frame: Size) -> list[int]:
        """Return the model's numbers for relative coordinates."""
        x1, y1, x2, y2 = box
        return list(write_box((x1, y1, x2, y2), self.convention, RELATIVE_SIZE, frame))

    def _messages(self, request: Request) -> Iterator[dict[str, Any]]:
        """Yield the messages with the model's boxes in instructions and in the answers of examples."""
        media, frame = iter(_list_media(request)), RELATIVE_SIZE
        for message in request.messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for part in parts:
                if part["type"] != "text" and (shown := next(media, None)) is not None:
                    frame = self._frame_of(shown)
            if message["role"] == "assistant":
                parts = [self._example_answer(part, request.form, frame) for part in parts]
            elif message["role"] == "user":
                parts = self._instructions(parts, frame)
            yield {**message, "content": parts}

    def _example_answer(self, part: dict[str, Any], form: Form, frame: Size) -> dict[str, Any]:
        try:
            values = json.loads(part.get("text", ""))
        except ValueError:
            return part
        translated = _map_values(form.root, values, lambda box: self._write(box, frame))
        return {**part, "text": canonical_json(translated)}

    def _instructions(self, parts: Sequence[dict[str, Any]], frame: Size) -> list[dict[str, Any]]:
        """Describe the model's boxes where the last text describes those of rubrics, or else behind it.

        The description stands behind the prompt and the elements, so only the last occurrence is ours.
        """
        texts = [index for index, part in enumerate(parts) if part["type"] == "text"]
        if not texts:
            return list(parts)
        description = describe_boxes(self.convention, frame)
        text = parts[texts[-1]]["text"]
        if BOX_TEXT in text:
            before, _, after = text.rpartition(BOX_TEXT)
            whole = canonical_json(self._write((0, 0, *RELATIVE_SIZE), frame)).replace(",", ", ")
            text = before + description + after.replace(WHOLE_BOX, whole)
        elif description != BOX_TEXT:
            text = f"{text}\n\nEvery box is {description}."
        changed = list(parts)
        changed[texts[-1]] = {**parts[texts[-1]], "text": text}
        return changed


def describe_boxes(convention: BoxConvention, frame: Size) -> str:
    """Describe in words how a box is written.

    Args:
        convention: the convention to describe.
        frame: size of the image as the model sees it.
    """
    width, height = frame
    match convention:
        case BoxConvention.RESIZED_PIXELS_XYXY:
            end = f"[{width}, {height}] (right, bottom)"
            return f"[x1, y1, x2, y2], whole pixels from [0, 0] (left, top) to {end}"
        case BoxConvention.RELATIVE_1000_YXYX:
            return "[ymin, xmin, ymax, xmax], whole numbers from 0 (top, left) to 1000 (bottom, right)"
    return BOX_TEXT


def has_boxes(form: Form) -> bool:
    """Return whether a form asks for a box anywhere."""
    return _contains_box(form.root)


def _contains_box(node: Node) -> bool:
    match node:
        case Box():
            return True
        case Object():
            return any(_contains_box(member) for _, member in node.members)
        case Repeat():
            return _contains_box(node.item)
    return False


def _map_values(node: Node, value: Any, convert: Callable[[Any], Any]) -> Any:
    """Return the value of a node with every box in it converted; what does not fit the node stays."""
    match node:
        case Box() if isinstance(value, Sequence) and len(value) == len(BOX_CORNERS):
            return convert(value)
        case Object() if isinstance(value, dict):
            members = dict(node.members)
            return {
                key: _map_values(members[key], one, convert) if key in members else one
                for key, one in value.items()
            }
        case Repeat() if isinstance(value, list):
            return [_map_values(node.item, one, convert) for one in value]
    return value


def _corner_paths(node: Node, value: Any, path: str) -> Iterator[str]:
    """Yield the paths of the corner blanks that a value fills."""
    match node:
        case Box():
            yield from (f"{path}{node.name}.{corner}" for corner in BOX_CORNERS)
        case Object():
            for key, member in node.members:
                yield from _corner_paths(member, value[key], path)
        case Repeat():
            for index, item in enumerate(value):
                yield from _corner_paths(node.item, item, f"{path}{node.name}.{index}.")


def _rescale_labels(probabilities: Mapping[str, float], side: int) -> dict[str, float]:
    """Rename the labels of a corner from 0..side to 0..1000."""
    return {
        f"{round(int(label) * RELATIVE_RANGE / side, DECIMALS):g}": share
        for label, share in probabilities.items()
    }


def _list_media(request: Request) -> list[Image | VideoInput]:
    """Return the images and videos of a request in the order of the messages' parts."""
    images, videos = iter(request.images), iter(request.videos)
    media: list[Image | VideoInput] = []
    for message in request.messages:
        for part in message["content"] if not isinstance(message["content"], str) else ():
            if part["type"] == "image" and (image := next(images, None)) is not None:
                media.append(image)
            elif part["type"] == "video" and (video := next(videos, None)) is not None:
                media.append(video)
    return media
