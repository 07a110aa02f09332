"""A student: a small vision network distilled from a teacher's answers under one rubric, run by onnxruntime.

It sees images only. It gets no messages, no facts are measured for it, and it answers at depth `score`.
`judge finetune distill` makes one:

    FOLDER/student.json    `StudentConfig`
    FOLDER/student.onnx    whole (n, S, S, 3) uint8, patches (n, G * P, G * P, 3) uint8 and, if it uses them,
                           pretrained (n, features) float32 -> probabilities (n, labels of all blanks, one
                           blank after the other)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.backends.base import Reply, Request
from judge.errors import BackendError, InputError, ReplyError
from judge.evidence.pretrained import extract_batch
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Literal
from judge.runtime.thread_map import thread_map
from judge.types import StrictModel

EMBEDDED = "embedded-student"
"""Name of the student that is part of the package."""
CONFIG_FILE, NETWORK_FILE = "student.json", "student.onnx"
MAX_BATCH = 32
"""Greatest number of images in one run of the network; the memory between its layers grows with it."""

Pixels = NDArray[np.uint8]


class StudentConfig(StrictModel):
    """The description of a student, besides its weights."""

    rubric: str
    """Name of the rubric that it answers."""
    blanks: dict[str, list[str]]
    """Path of a blank -> its labels, in the order of the outputs."""
    whole: int
    """Side in pixels of the square that the whole image is resized to."""
    grid: int
    """Number of patches across and down."""
    patch: int
    """Side of a patch in pixels of the original image."""
    pretrained: int = 0
    """Side in pixels of the square that is resized for `judge.evidence.pretrained`; 0: it is not used."""
    domain: str = ""
    """What the student was trained on, in words."""
    teacher: str = ""
    """Model that it was distilled from."""

    def extract_patches(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        """Cut squares in full resolution from an even grid over the image, and put them side by side.

        These are the fragments of FAST-VQA (Wu et al. 2022). They overlap if the image is small.

        Args:
            image: (H, W, 3) uint8 RGB.
            rng: moves each square to a random place near its own, for training.

        Returns:
            (grid * patch, grid * patch, 3) uint8.
        """
        missing = [max(0, self.patch - side) for side in image.shape[:2]]
        if any(missing):
            image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), "edge")
        rows, columns = (self._grid_starts(side, rng) for side in image.shape[:2])
        return np.concatenate(
            [
                np.concatenate([image[y : y + self.patch, x : x + self.patch] for x in columns], axis=1)
                for y in rows
            ]
        )

    def _grid_starts(self, side: int, rng: np.random.Generator | None) -> list[int]:
        """Return the offset of each square along one side of an image."""
        last = side - self.patch
        step = last / max(1, self.grid - 1)
        shift = 0.0 if rng is None else rng.uniform(-0.5, 0.5, self.grid) * step
        return [round(v) for v in np.clip(np.arange(self.grid) * step + shift, 0, last)]

    def make_view(self, image: Image.Image) -> StudentView:
        """Return what the student sees of an image."""
        image = image.convert("RGB")
        return StudentView(
            _resize_to_square(image, self.whole),
            self.extract_patches(np.asarray(image)),
            _resize_to_square(image, self.pretrained) if self.pretrained else None,
        )

    def split_output(self, row: NDArray[np.float32]) -> dict[str, dict[str, float]]:
        """Split one row of the network's output into the probabilities of each blank.

        Args:
            row: (labels of all blanks,) output for one image.

        Returns:
            Path of a blank -> label -> probability, summing to 1.
        """
        outputs, probabilities = iter(row.astype(float).tolist()), {}
        for blank, labels in self.blanks.items():
            own = [next(outputs) for _ in labels]
            probabilities[blank] = {label: share / sum(own) for label, share in zip(labels, own, strict=True)}
        return probabilities


class StudentView(NamedTuple):
    """What a student sees of an image."""

    whole: Pixels
    """(S, S, 3) the whole image."""
    patches: Pixels
    """(G * P, G * P, 3) see `StudentConfig.extract_patches`."""
    pretrained: Pixels | None
    """(T, T, 3) the whole image for `judge.evidence.pretrained`; None: it is not used."""


def _resize_to_square(image: Image.Image, side: int) -> Pixels:
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0))


def student_revision(folder: Path) -> str:
    """Return the revision that a student from this folder reports, without loading it."""
    return _weights_hash((folder / NETWORK_FILE).read_bytes())


def _weights_hash(weights: bytes) -> str:
    return hashlib.sha256(weights).hexdigest()[:16]


class Student:
    """A student from its folder; see `judge.backends.base.Backend`.

    Args:
        folder: the output of `judge finetune distill`, or `embedded-student`.
        threads: threads of one run of the network; 0: as onnxruntime decides.

    Raises:
        BackendError: the folder or onnxruntime is not usable.
    """

    name = "onnxruntime"
    adapter: str | None = None
    brief = True
    size: int | None = None
    images_only = True

    def __init__(self, folder: str | Path = EMBEDDED, *, threads: int = 0) -> None:
        path = find_student(folder)
        if path is None:
            action = "`judge finetune distill` writes one"
            raise BackendError(f"{folder}: there is no student ({CONFIG_FILE} is missing): {action}")
        try:
            import onnxruntime
        except ImportError:
            action = "install onnxruntime"
            raise BackendError(
                f"{folder}: a student runs on onnxruntime, which is missing: {action}"
            ) from None
        try:
            self.config = StudentConfig.model_validate_json((path / CONFIG_FILE).read_text("utf-8"))
            weights = (path / NETWORK_FILE).read_bytes()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            # The threads would spin for a while after each run, but the threads that decode the next images
            # need the cores.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._session: Any = onnxruntime.InferenceSession(
                weights, options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # the exceptions of onnxruntime have no common class
            raise BackendError(f"{folder}: no usable student: {' '.join(str(error).split())[:200]}") from None
        self.version = metadata.version("onnxruntime")
        self.model = EMBEDDED if str(folder) == EMBEDDED else str(folder)
        self.revision = _weights_hash(weights)
        self.domain, self.teacher = self.config.domain, self.config.teacher

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Answer forms of the student's rubric; see `Backend.choose`.

        Raises:
            InputError: a form is another one.
        """
        for request in requests:
            self._check_form(request.form)
        return [
            reply
            for n in range(0, len(requests), MAX_BATCH)
            for reply in self._run_batch(requests[n : n + MAX_BATCH])
        ]

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Raise `InputError`, because a student writes no text."""
        raise InputError("depth", "verdict", "score", "a student writes no text: use depth score")

    def _run_batch(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        images = [request.images[0] for request in requests]
        views = list(thread_map(self.config.make_view, images, len(requests)))
        inputs: dict[str, NDArray[Any]] = {
            "whole": np.stack([view.whole for view in views]),
            "patches": np.stack([view.patches for view in views]),
        }
        if self.config.pretrained:
            squares = [view.pretrained for view in views if view.pretrained is not None]
            inputs["pretrained"] = extract_batch(np.stack(squares))
        [outputs] = self._session.run(None, inputs)
        rows = [self.config.split_output(row) for row in outputs]
        return [
            Reply(render_best_labels(request.form, row), row)
            for request, row in zip(requests, rows, strict=True)
        ]

    def _check_form(self, form: Form) -> None:
        if choice_labels(form) != self.config.blanks:
            action = "a student answers the rubric that it was distilled for, at depth score"
            raise InputError("rubric", "another rubric", self.config.rubric, action)


def find_student(model: str | Path) -> Path | None:
    """Return the folder of a student, or None if the name of a model is not that of a student."""
    folder = Path(str(files("judge"))) / "assets" / "student" if str(model) == EMBEDDED else Path(model)
    return folder if (folder / CONFIG_FILE).is_file() else None


def choice_labels(form: Form) -> dict[str, list[str]]:
    """Return the choices of a form of depth `score`: path of the blank -> labels."""
    return {part.name: list(part.labels) for part in form.parts if isinstance(part, Choice)}


def render_best_labels(form: Form, probabilities: Mapping[str, Mapping[str, float]]) -> str:
    """Render a form with the most likely label in each blank.

    Args:
        form: a form of depth `score`.
        probabilities: path of a blank -> label -> probability.

    Returns:
        The JSON text.
    """
    walk, text = form.walk(), ""
    piece = next(walk)
    while True:
        if isinstance(piece, Literal):
            text, label = text + piece.text, ""
        else:
            label = max(probabilities[piece.name].items(), key=itemgetter(1))[0]
            text += label
        try:
            piece = walk.send(label)
        except StopIteration:
            return text
