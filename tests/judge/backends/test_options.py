"""Options of backends: names, types and values given as text."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from judge.backends.options import OptionSet, engine_options
from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.judge import Judge

TRANSFORMERS = OptionSet.of_backend("auto", common=True)
needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bits=4", 4),
        ("bits=none", None),
        ("brief=true", True),
        ("brief=False", False),
        ("brief=None", None),
        ("fast_layers=0", False),
        ("dtype=bfloat16", "bfloat16"),
        ("revision=1234567", "1234567"),
        ("revision=a=b", "a=b"),
        ("device=cuda:1", "cuda:1"),
        ('device={"": 0}', {"": 0}),
        ("max_pixels=200000", 200000),
        ("seed=3", 3),
    ],
)
def test_a_value_is_parsed_by_the_type_of_the_option(text: str, value: Any) -> None:
    options = TRANSFORMERS.parse([text])
    assert options == {text.partition("=")[0]: value}
    assert type(next(iter(options.values()))) is type(value)


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("bit=4", "option", "did you mean bits"),
        ("tensor_parallel_size=2", "option", "transformers has no such option"),
        ("bits=four", "bits", "a whole number or none"),
        ("bits=4.5", "bits", "a whole number or none"),
        ("brief=maybe", "brief", "true or false"),
        ("max_pixels=", "max_pixels", "a whole number"),
        ("bits", "option", "NAME=VALUE"),
        ("=4", "option", "NAME=VALUE"),
        ("model=x", "option", "allowed: batch, bits"),
    ],
)
def test_what_is_no_option_or_no_value_is_refused(text: str, field: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TRANSFORMERS.parse([text])
    assert caught.value.field == field and "\n" not in str(caught.value)


def test_an_option_is_given_once() -> None:
    with pytest.raises(InputError, match="bits is given twice"):
        TRANSFORMERS.parse(["bits=4", "bits=8"])


def test_the_options_of_openai_are_those_of_its_class() -> None:
    options = OptionSet.of_backend("openai").parse(["timeout=30", 'extra={"top_k": 1}', "retries=0"])
    assert options == {"timeout": 30.0, "extra": {"top_k": 1}, "retries": 0}
    with pytest.raises(InputError, match="openai has no such option"):
        OptionSet.of_backend("openai").find("bits")


def test_a_student_has_options_of_its_own() -> None:
    assert OptionSet.of_backend("auto", "embedded-student").parse(["threads=2"]) == {"threads": 2}
    with pytest.raises(InputError, match="onnxruntime has no such option"):
        Judge("embedded-student", bits=4)


def test_options_of_a_file_are_checked_and_replaced_by_those_of_the_command(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('dtype = "float32"\nbatch = 4\n')
    assert TRANSFORMERS.parse(["batch=2"], file) == {"dtype": "float32", "batch": 2}
    file.write_text("[options]\nbrief = true\n")
    assert TRANSFORMERS.parse([], file) == {"brief": True}
    for content, message in (("bach = 4", "did you mean batch"), ('batch = "x"', "batch"), ("batch", "TOML")):
        file.write_text(content)
        with pytest.raises(InputError, match=message):
            TRANSFORMERS.parse([], file)
    with pytest.raises(InputError, match="options"):
        TRANSFORMERS.parse([], tmp_path / "none.toml")


def test_a_judge_refuses_options_that_its_backend_does_not_have() -> None:
    with pytest.raises(InputError, match="did you mean dtype"):
        Judge(dtyp="float32")
    with pytest.raises(InputError, match="none with a backend object"):
        Judge(backend=Scripted(), dtype="float32")
    with pytest.raises(InputError, match="max_pixels"):
        Judge(max_pixels=0)


@needs_vllm
def test_the_engine_of_vllm_has_its_own_options() -> None:
    options = OptionSet.of_backend("vllm").parse(
        [
            "tensor_parallel_size=2",
            "max_model_len=4096",
            "quantization=fp8",
            "gpu_memory_utilization=0.9",
            "enforce_eager=true",
            'limit_mm_per_prompt={"image": 2}',
            'mm_processor_kwargs={"max_pixels": 1000}',
            "images=3",
        ]
    )
    assert options == {
        "tensor_parallel_size": 2,
        "max_model_len": 4096,
        "quantization": "fp8",
        "gpu_memory_utilization": 0.9,
        "enforce_eager": True,
        "limit_mm_per_prompt": {"image": 2},
        "mm_processor_kwargs": {"max_pixels": 1000},
        "images": 3,
    }
    assert len(engine_options()) > 50


@needs_vllm
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensor_parallel=2", "did you mean tensor_parallel_size"),
        ("max_model_len=long", "max_model_len: 'long'"),
        ("kv_cache_dtype=float3", "use one of them"),
        ("enable_lora=true", "EngineArgs"),
    ],
)
def test_an_unknown_engine_option_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OptionSet.of_backend("vllm").parse([text])


@needs_vllm
def test_vllm_refuses_an_unknown_argument_before_it_starts() -> None:
    from judge.backends.vllm.backend import VLLM

    with pytest.raises(InputError, match="did you mean max_model_len"):
        VLLM("embedded", max_model_length=512)
