"""What an adapter was trained on: `training.json`, which fine-tuning writes beside the adapter.

A backend that loads an adapter reads the file, asks the model as it was trained, and refuses an adapter that
was trained for another base, another form of the prompt, or other conventions. The pipeline refuses rubrics
that the adapter was not trained on. A merged checkpoint has the file too. Adapters without the file are taken
as before: nothing is known of them, so nothing is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from judge.errors import InputError
from judge.types import StrictModel

if TYPE_CHECKING:
    from judge.rubrics.rubric import Rubric

TRAINING_FILE = "training.json"
FORMAT_VERSION = 1
BOX_CONVENTION = "grid"
"""Boxes as this package trains them: relative to the image, 0 to 1000, in multiples of 10."""
Tokenization = Literal["pieces", "natural"]
TOKENIZATION: Tokenization = "pieces"
"""How this version tokenizes the form: each piece by itself."""
OVERRIDE = "or pass check_training=False to ask it otherwise"
SHAPE_FIELDS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


class TrainedRubric(StrictModel):
    """A rubric that an adapter was trained on."""

    name: str
    version: str = ""
    hash: str
    """`Rubric.hash`: of its questions, templates and examples."""


class BaseModelRecord(StrictModel):
    """The checkpoint that an adapter was trained on."""

    name: str
    """As the configuration named it: a name on the hub, or a folder."""
    revision: str = ""
    """Commit on the hub, or the hash of local weights (`judge.backends.checkpoints.weights_revision`)."""
    family: str = ""
    """`model_type` of its config."""
    shape: dict[str, int] = {}
    """`SHAPE_FIELDS` of its language model."""


class AdapterTraining(StrictModel):
    """The content of `training.json`."""

    format: Annotated[int, Field(ge=1)] = FORMAT_VERSION
    base: BaseModelRecord
    brief: bool
    """Whether it was trained on the brief template of the rubrics, or on the full one."""
    rubrics: Annotated[list[TrainedRubric], Field(min_length=1)]
    boxes: str = BOX_CONVENTION
    """Convention of the boxes in its answers; the values are those of the option `boxes`."""
    tokenization: Tokenization = TOKENIZATION
    """How the form was tokenized: each piece by itself, or as the tokenizer writes the whole."""
    max_pixels: int | None = None
    """Larger images were reduced to this many pixels. For the reader; nothing is refused."""
    version: str = ""
    """Version of this package that trained it."""

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the file of an adapter.

        Args:
            folder: folder of the adapter, or of a merged checkpoint.

        Returns:
            Its content; None if there is no such file.

        Raises:
            InputError: the file cannot be read or is not of this format.
        """
        path = folder / TRAINING_FILE
        if not path.is_file():
            return None
        try:
            return cls.model_validate_json(path.read_text("utf-8"))
        except OSError as error:
            raise InputError(
                "adapter", str(path), "a file that can be read", error.strerror or str(error)
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["training", *map(str, first["loc"])])
            mend = f"correct the file or use the version of judge that wrote it, {OVERRIDE}"
            raise InputError(field, str(path), first["msg"], mend) from None

    def write(self, folder: Path) -> Path:
        """Write the file into the folder of an adapter; returns its path."""
        path = folder / TRAINING_FILE
        path.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
        return path

    def resolve_brief(self, brief: bool | None) -> bool:
        """Return whether to use the brief template.

        Args:
            brief: as the caller wants it; None: as it was trained.

        Raises:
            InputError: the caller wants it otherwise.
        """
        if brief is not None and brief != self.brief:
            mend = f"the adapter was trained so: leave it out, {OVERRIDE}"
            raise InputError("brief", brief, str(self.brief), mend)
        return self.brief

    def check_base(self, name: str, revision: str, config: Any) -> None:
        """Check that a checkpoint is the one that the adapter was trained on.

        Args:
            name: name or folder of the checkpoint.
            revision: its commit, or the hash of its weights; empty if unknown.
            config: its config of transformers.

        Raises:
            InputError: it is another one, as far as can be told. Of two names on the hub the names count, of
                two folders the weights, of a name and a folder the family and the shape.
        """
        found, trained = describe_base(name, revision, config), self.base
        is_other = bool(trained.family) and trained.family != found.family
        is_other = is_other or (bool(trained.shape) and trained.shape != found.shape)
        both_local = _is_weights_hash(trained.revision) and _is_weights_hash(revision)
        is_other = is_other or (both_local and trained.revision != revision)
        both_named = _is_hub_name(trained.name) and _is_hub_name(name)
        is_other = is_other or (both_named and trained.name.lower() != name.lower())
        if is_other:
            allowed = f"{trained.name}, the base that the adapter was trained on"
            shape = ", ".join(f"{key} {value}" for key, value in found.shape.items())
            mend = f"this is {found.family} with {shape}: use the adapter's base, {OVERRIDE}"
            raise InputError("model", name, allowed, mend)

    def check_conventions(self, boxes: str, tokenization: str) -> None:
        """Check that a backend reads answers in the conventions of the training.

        Args:
            boxes: its convention of boxes.
            tokenization: how it tokenizes the form.

        Raises:
            InputError: one differs.
        """
        conventions = (("boxes", self.boxes, boxes), ("tokens", self.tokenization, tokenization))
        for field, trained, served in conventions:
            if trained != served:
                mend = f"the adapter was trained so: leave it out, {OVERRIDE}"
                raise InputError(field, served, trained, mend)

    def check_rubric(self, rubric: Rubric) -> None:
        """Raise `InputError` if the adapter was not trained on a rubric, or on another version of it."""
        if any(trained.hash == rubric.hash for trained in self.rubrics):
            return
        trained = ", ".join(f"{rubric.name} ({rubric.hash})" for rubric in self.rubrics)
        allowed = f"what the adapter was trained on: {trained}"
        raise InputError("rubric", f"{rubric.name} ({rubric.hash})", allowed, f"use one of these, {OVERRIDE}")


def describe_base(name: str, revision: str, config: Any) -> BaseModelRecord:
    """Describe a checkpoint.

    Args:
        name: name or folder of the checkpoint.
        revision: its commit, or the hash of its weights.
        config: its config of transformers.
    """
    text = config.get_text_config()
    shape = {field: int(getattr(text, field)) for field in SHAPE_FIELDS if hasattr(text, field)}
    return BaseModelRecord(name=name, revision=revision, family=str(config.model_type), shape=shape)


def backend_boxes(backend: object) -> str:
    """Return the name of a backend's convention of boxes; an enumeration counts by its value."""
    convention = getattr(backend, "boxes", None) or BOX_CONVENTION
    return str(getattr(convention, "value", convention))


def backend_tokenization(backend: object) -> Tokenization:
    """Return how a backend tokenizes the form; without its attribute, as this version does."""
    tokenization: Tokenization = getattr(backend, "tokens", None) or TOKENIZATION
    return tokenization


def describe_rubrics(rubrics: Sequence[Rubric]) -> list[TrainedRubric]:
    """Describe rubrics, each once, in order."""
    known = {r.hash: TrainedRubric(name=r.name, version=r.version, hash=r.hash) for r in rubrics}
    return list(known.values())


def _is_weights_hash(revision: str) -> bool:
    """Return whether a revision is the hash of local weights; commits are longer."""
    return len(revision) == 16


def _is_hub_name(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not Path(name).exists()
