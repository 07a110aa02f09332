"""What an adapter was trained on: it is asked so, and what does not fit it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from judge.backends.adapter_training import (
    TRAINING_FILE,
    AdapterTraining,
    backend_boxes,
    describe_base,
    describe_rubrics,
)
from judge.backends.checkpoints import weights_revision
from judge.backends.transformers.backend import Transformers
from judge.errors import BackendError, InputError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric

DEFAULT = Rubric.load("default")
IMAGE = Image.new("RGB", (64, 64), (200, 30, 90))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, another one of its shape, and an adapter of the first without `training.json`."""
    root = tmp_path_factory.mktemp("training")
    for name in ("base", "other"):
        tiny.write_checkpoint(root / name, "qwen3_vl", number_tokens=True)
    other = root / "other" / "model.safetensors"
    save_file({name: 1.01 * v for name, v in load_file(other).items()}, other, {"format": "pt"})
    tiny.write_checkpoint(root / "qwen2_5_vl", "qwen2_5_vl", number_tokens=True)
    tiny.write_adapter(root / "base", root / "adapter")
    return root


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    """A copy of the adapter, to write into."""
    copied = tmp_path / "adapter"
    copied.mkdir()
    for file in (folder / "adapter").iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    return copied


def training_of(folder: Path, *, brief: bool = True, **changes: Any) -> AdapterTraining:
    """What fine-tuning on the tiny base writes."""
    base = folder / "base"
    config = AutoConfig.from_pretrained(base)
    record = AdapterTraining(
        base=describe_base(str(base), weights_revision(str(base), (), None, None), config),
        brief=brief,
        rubrics=describe_rubrics([DEFAULT, DEFAULT]),
    )
    return record.model_copy(update=changes)


@pytest.mark.parametrize("brief", [True, False])
def test_an_adapter_is_asked_as_it_was_trained(folder: Path, adapter: Path, brief: bool) -> None:
    training_of(folder, brief=brief).write(adapter)
    judge = Judge(str(folder / "base"), adapter=str(adapter))
    prepared = judge.pipeline.prepare({"image": IMAGE, "prompt": "a cat"}, "verdict")
    expected = DEFAULT.messages("a cat", ["cat"], brief=brief)[0]["content"][-1]["text"]
    assert judge.backend.brief is brief
    assert prepared.request.messages[0]["content"][-1]["text"] == expected
    assert prepared.request.form == DEFAULT.form(["cat"]), "a tuned model is asked for no reasoning"
    assert judge.pipeline.asked_rubric.hash == DEFAULT.hash


def test_another_rubric_than_those_of_the_training_is_refused(folder: Path, adapter: Path) -> None:
    training_of(folder).write(adapter)
    judge = Judge(str(folder / "base"), adapter=str(adapter), rubric="quality")
    for ask in (lambda: judge(IMAGE), lambda: list(judge.many([{"image": IMAGE}]))):
        with pytest.raises(InputError, match=r"rubric: 'quality .*trained on: default") as caught:
            ask()
        assert "\n" not in str(caught.value) and "check_training=False" in str(caught.value)
    changed = DEFAULT.model_copy(update={"explanation": 10})
    with pytest.raises(InputError, match="rubric"):
        Judge(backend=judge.backend, rubric=changed)(IMAGE, prompt="a cat")
    asked = Judge(str(folder / "base"), adapter=str(adapter), rubric="quality", check_training=False)
    assert asked(IMAGE, depth="score").status == "scored"


@pytest.mark.parametrize("depth", ["score", "verdict"])
def test_an_adapter_says_nothing_of_texts_for_general_models(folder: Path, depth: str) -> None:
    record = training_of(folder)
    record.check_rubric(DEFAULT.model_copy(update={"reasoning": 50}))
    with pytest.raises(InputError):
        record.check_rubric(DEFAULT.for_general_models())


@pytest.mark.parametrize("base", ["other", "qwen2_5_vl"])
def test_another_base_is_refused(folder: Path, adapter: Path, base: str) -> None:
    training_of(folder).write(adapter)
    with pytest.raises(InputError, match=r"model: .*/base.*the base that the adapter was trained on"):
        Transformers(folder / base, adapter)
    if base == "other":
        assert Transformers(folder / base, adapter, check_training=False).brief is False


@pytest.mark.parametrize(
    ("trained", "served", "fits"),
    [
        (("Qwen/Qwen3-VL-8B-Instruct", "c" * 40), ("Qwen/Qwen3-VL-8B-Instruct", "d" * 40), True),
        (("Qwen/Qwen3-VL-8B-Instruct", "c" * 40), ("qwen/qwen3-vl-8b-instruct", ""), True),
        (("Qwen/Qwen3-VL-8B-Instruct", "c" * 40), ("Qwen/Qwen3-VL-8B-Thinking", "c" * 40), False),
        (("Qwen/Qwen3-VL-8B-Instruct", "c" * 40), ("/models/qwen", "e" * 16), True),
        (("/a/qwen", "e" * 16), ("/b/qwen", "e" * 16), True),
        (("/a/qwen", "e" * 16), ("/a/qwen", "f" * 16), False),
    ],
)
def test_a_base_is_known_by_its_name_or_its_weights(
    folder: Path, trained: tuple[str, str], served: tuple[str, str], fits: bool
) -> None:
    config = AutoConfig.from_pretrained(folder / "base")
    record = training_of(folder, base=describe_base(*trained, config))
    if fits:
        record.check_base(*served, config)
        return
    with pytest.raises(InputError, match="use the adapter's base"):
        record.check_base(*served, config)


@pytest.mark.parametrize("trained", [True, False])
def test_the_other_template_is_refused(folder: Path, adapter: Path, trained: bool) -> None:
    training_of(folder, brief=trained).write(adapter)
    with pytest.raises(InputError, match=f"brief: {not trained} .* allowed: {trained}"):
        Transformers(folder / "base", adapter, brief=not trained)
    assert Transformers(folder / "base", adapter, brief=trained).brief is trained


@pytest.mark.parametrize(
    ("change", "options", "field"),
    [
        ({"boxes": "pixels"}, {"boxes": "relative"}, "boxes"),
        ({"tokenization": "natural"}, {"tokens": "pieces"}, "tokens"),
    ],
)
def test_other_conventions_are_refused(
    folder: Path, adapter: Path, change: dict[str, str], options: dict[str, str], field: str
) -> None:
    training_of(folder, **change).write(adapter)
    with pytest.raises(InputError, match=f"{field}: .* allowed: {next(iter(change.values()))}"):
        Transformers(folder / "base", adapter, **options)
    backend = Transformers(folder / "base", adapter)
    assert next(iter(change.values())) in (backend.boxes.value, backend.tokens)


def test_the_conventions_of_a_backend_are_its_attributes() -> None:
    class Convention:
        value = "pixels"

    class Backend:
        boxes, tokenization = Convention(), "natural"

    assert backend_boxes(Backend()) == "pixels" and backend_boxes(object()) == "grid"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"brief": "perhaps"}, "training.brief"),
        ({"rubrics": []}, "training.rubrics"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_file_of_another_format_is_named(
    folder: Path, adapter: Path, change: dict[str, Any], message: str
) -> None:
    path = training_of(folder).write(adapter)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        AdapterTraining.read(adapter)
    path.unlink()
    assert AdapterTraining.read(adapter) is None


def test_the_file_is_read_back_as_written(folder: Path, tmp_path: Path) -> None:
    record = training_of(folder, max_pixels=1000)
    assert record.write(tmp_path).name == TRAINING_FILE
    assert AdapterTraining.read(tmp_path) == record
    assert [rubric.name for rubric in record.rubrics] == ["default"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", ["missing", "foreign", "renamed"])
def test_an_adapter_whose_weights_do_not_fit_is_an_error(
    folder: Path, adapter: Path, case: str, dtype: str
) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    first = sorted(weights)[0]
    if case == "missing":
        del weights[first]
    elif case == "foreign":
        weights[first.replace("layers.0", "layers.7")] = weights[first].clone()
    else:
        weights = {name.replace("language_model", "text_model"): v for name, v in weights.items()}
    save_file(weights, path)
    with pytest.raises(BackendError, match="the adapter does not fit this model") as caught:
        Transformers(folder / "base", adapter, dtype=dtype)
    assert "\n" not in str(caught.value) and str(adapter) in str(caught.value)


def test_the_adapters_of_the_package_load_as_before() -> None:
    backend = Transformers()
    assert (backend.training, backend.brief, backend.adapter) == (None, True, "adapter")
    assert backend.network("quality") is not None
