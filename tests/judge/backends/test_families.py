"""Every family in the table gives the numbers of a plain pass of transformers over each row alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from form_requests import assert_equal_replies, build_request, check_filled, noise_image
from real_vocabulary import FAMILIES as TINY_FAMILIES
from real_vocabulary import tiny_checkpoint

from judge import Judge
from judge.backends.base import Reply, Request, TraceRequest
from judge.backends.decoding.batch import log_probabilities, run_rows
from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.program import StepInput
from judge.backends.models import FAMILIES
from judge.backends.transformers.backend import Transformers
from judge.cli import app as cli
from judge.errors import BackendError, InputError
from judge.reward import Differentiable
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Object

SIZES = [(112, 112), (60, 90), (112, 56)]
WORDS = ("none", "slight blur", "strong blur", "strong noise")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a tiny checkpoint; each is written once."""
    written: dict[str, Path] = {}

    def write(family: str, **options: Any) -> Path:
        name = "-".join([family, *options])
        if name not in written:
            written[name] = tiny_checkpoint(tmp_path_factory.mktemp(name), family, **options)
        return written[name]

    return write


@pytest.fixture(scope="session", params=TINY_FAMILIES)
def family_backend(request: pytest.FixtureRequest, checkpoint: Callable[..., Path]) -> Transformers:
    """A backend of each family."""
    return Transformers(checkpoint(request.param))


class PlainModel:
    """The checkpoint as transformers loads it: one pass over each sequence, without a batch or a cache."""

    def __init__(self, backend: Transformers) -> None:
        from transformers import AutoModelForImageTextToText

        self.model = AutoModelForImageTextToText.from_pretrained(backend.model, dtype="float32").eval()
        self.tokenizer = backend.tokenizer

    @torch.inference_mode()
    def log_probabilities(self, row: Any, tokens: list[int]) -> torch.Tensor:
        """Log-probabilities (V,) after a prompt and some tokens."""
        ids = torch.tensor([[*row.prompt, *tokens]])
        vision = {"pixel_values": row.pixels, "image_grid_thw": row.grid}
        kinds = (ids == self.tokenizer.image_token).int()
        output = self.model(input_ids=ids, mm_token_type_ids=kinds, **vision, logits_to_keep=1)
        return output.logits[0, -1].log_softmax(-1)


@pytest.fixture(scope="session")
def plain(family_backend: Transformers) -> PlainModel:
    return PlainModel(family_backend)


def test_the_table_names_every_family_that_is_tested() -> None:
    assert set(FAMILIES) == set(TINY_FAMILIES)


# -- Numbers ------------------------------------------------------------------------------------------------

Read = tuple[list[int], int, float]
"""Tokens after the prompt, the token that may follow, and its log-probability."""


def random_tree(random: Random, discarded: list[int]) -> tuple[StepInput, list[list[int]]]:
    """A step of a chain and of up to three branches behind it; and the nodes of each branch."""
    step, draw = (
        StepInput(discarded=discarded),
        lambda most: random.choices(range(50000), k=random.randint(1, most)),
    )
    last, branches = step.append_chain(draw(6), ROOT), list[list[int]]()
    for _ in range(random.randint(0, 3)):
        start = len(step.tokens)
        end = step.append_chain(draw(3), last)
        branches.append(list(range(start, end + 1)))
    step.edges = [(node, random.randrange(50000)) for node in range(len(step.tokens))]
    return step, branches


def path_to(step: StepInput, node: int) -> list[int]:
    path: list[int] = []
    while node != ROOT:
        path.append(step.tokens[node])
        node = step.parents[node]
    return path[::-1]


def random_program(seed: int, reads: list[Read]) -> Generator[StepInput, Any, Reply]:
    """Feed trees, and keep the chain with a part of one branch, or without its end."""
    random, answer, discarded = Random(seed), list[int](), list[int]()
    for _ in range(4):
        step, branches = random_tree(random, discarded)
        scores = yield step
        for (node, token), score in zip(step.edges, scores, strict=True):
            reads.append((answer + path_to(step, node), token, float(score)))
        nodes = range(len(step.tokens))
        if branches:
            kept = random.choice(branches)[: random.randint(0, 3)]
            discarded = [n for branch in branches for n in branch if n not in kept]
        else:  # as predicted tokens that the model did not choose
            discarded = [n for n in nodes if n > 0 and n >= len(nodes) - random.randint(0, 2)]
        answer += [step.tokens[n] for n in nodes if n not in discarded]
    return Reply("")


def test_steps_with_branches_and_discarded_tokens_read_the_plain_numbers(
    family_backend: Transformers, plain: PlainModel
) -> None:
    """Padding, other rows, branches and discarded tokens leave no trace, in keys and values as in states."""
    requests = [build_request(seed, depth="score", size=size) for seed, size in enumerate(SIZES)]
    rows, reads = family_backend._build_rows(requests, lambda _: None), [list[Read]() for _ in requests]
    for seed, row in enumerate(rows):
        row.program = random_program(seed, reads[seed])
    tokenizer = family_backend.tokenizer
    run_rows(family_backend._model, rows, tokenizer.image_token, tokenizer.video_token)
    for row, own in zip(rows, reads, strict=True):
        for tokens, token, score in own[::6]:
            assert float(plain.log_probabilities(row, tokens)[token]) == pytest.approx(score, abs=1e-4)


def test_a_tree_with_gradients_reads_the_plain_numbers(
    family_backend: Transformers, plain: PlainModel
) -> None:
    rows = family_backend._build_rows(
        [build_request(seed, depth="score", size=size) for seed, size in enumerate(SIZES)], lambda _: None
    )
    for seed, row in enumerate(rows):
        row.step, _ = random_tree(Random(seed), [])
    tokenizer = family_backend.tokenizer
    found = log_probabilities(family_backend._model, rows, tokenizer.image_token, tokenizer.video_token)
    for row, scores in zip(rows, found, strict=True):
        for (node, token), score in zip(row.step.edges, scores.tolist(), strict=True):
            expected = plain.log_probabilities(row, path_to(row.step, node))[token]
            assert float(expected) == pytest.approx(score, abs=1e-4)


def small_request(seed: int, size: tuple[int, int]) -> Request:
    """A short form with choices of one and of several tokens. (A grammar for text compiles for seconds.)"""
    members = (
        ("there", Choice("there", ("true", "false"))),
        ("damage", Choice("damage", WORDS, quoted=True)),
        ("score", Choice("score", ("1", "2", "3", "4", "5"))),
    )
    text = {"type": "text", "text": "Judge it. " * (1 + seed)}
    messages = [{"role": "user", "content": [{"type": "image"}, text]}]
    return Request([noise_image(seed, *size)], messages, Form(Object(members)))


def test_rows_of_different_lengths_answer_as_alone(family_backend: Transformers) -> None:
    requests = [small_request(n, size) for n, size in enumerate(SIZES)]
    alone = [check_filled(family_backend.complete([request]))[0] for request in requests]
    assert_equal_replies(alone, check_filled(family_backend.complete(requests)), within=1e-4)


def test_a_score_has_a_heat_map_and_a_gradient(family_backend: Transformers) -> None:
    request = build_request(1, depth="score", size=(112, 112))
    [maps] = family_backend.trace([TraceRequest(request, None, [{"score": {"1": 1.0, "5": -1.0}}])])
    assert not isinstance(maps, Exception)
    assert maps[0][0].max() > 0
    images = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0)).requires_grad_()
    Differentiable(Judge(backend=family_backend))(
        images, prompts=["a cat", "a dog on a mat"]
    ).sum().backward()
    gradient = images.grad
    assert gradient is not None and all(float(one.abs().max()) > 0 for one in gradient)


# -- Loading and planning -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llava", "qwen3", "mllama", "somebody_elses_vl"])
def test_another_family_is_refused_before_its_weights_are_read(tmp_path: Path, model_type: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}), "utf-8")
    with pytest.raises(BackendError) as caught:
        Transformers(tmp_path)
    message = str(caught.value)
    assert model_type in message
    assert all(family.title in message for family in FAMILIES.values())
    assert f"`vllm serve {tmp_path}`" in message and "OpenAI-compatible" in message
    assert "--backend openai --base-url" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("model_type", "title"),
    [
        ("qwen2_5_omni", "Qwen2.5-Omni"),
        ("qwen2_5_omni_thinker", "Qwen2.5-Omni"),
        ("qwen3_omni_moe", "Qwen3-Omni"),
        ("qwen3_omni_moe_thinker", "Qwen3-Omni"),
    ],
)
def test_omni_models_are_judged_behind_a_server_only(tmp_path: Path, model_type: str, title: str) -> None:
    from judge.backends.vllm.engine import load_processor

    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}), "utf-8")
    for load in (Transformers, lambda folder: load_processor(str(folder), None)):
        with pytest.raises((BackendError, InputError)) as caught:
            load(tmp_path)
        message = str(caught.value)
        assert f"{title}, {model_type}" in message and "Qwen3-VL" in message
        assert f"`vllm serve {tmp_path}`" in message and "--backend openai --base-url" in message
        assert "\n" not in message


@pytest.mark.parametrize("family", ["qwen3_5", "qwen3_5_moe"])
def test_vllm_on_a_cpu_computes_recurrent_layers_in_bfloat16_only(family: str) -> None:
    from judge.backends.vllm.engine import cpu_settings

    assert {cpu_settings(dtype, FAMILIES[family])["dtype"] for dtype in ("auto", "bfloat16")} == {"bfloat16"}
    assert cpu_settings("auto", FAMILIES["qwen3_vl"])["dtype"] == "float32"
    with pytest.raises(InputError, match="dtype: 'float32' .* bfloat16 for Qwen3.5 .*backend transformers"):
        cpu_settings("float32", FAMILIES[family])


def test_layers_of_an_unknown_kind_are_refused(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    config = json.loads((checkpoint("qwen3_vl") / "config.json").read_text("utf-8"))
    config["text_config"]["layer_types"] = ["full_attention", "sliding_attention"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(BackendError, match="sliding_attention"):
        Transformers(tmp_path)


def test_a_plan_counts_the_weights_of_every_family(family_backend: Transformers, plain: PlainModel) -> None:
    from typer.testing import CliRunner

    arguments = ["plan", "--model", family_backend.model, "--images", "1000", "--json"]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    expected = sum(parameter.numel() for parameter in plain.model.parameters())
    assert json.loads(done.stdout)["parameters"] == pytest.approx(expected, rel=0.005)


# -- Thoughts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "options"), [("qwen3_vl", {"thinking": True}), ("qwen3_5", {})])
def test_a_thought_is_closed_unless_there_is_a_budget(
    checkpoint: Callable[..., Path], family: str, options: dict[str, Any]
) -> None:
    backend = Transformers(checkpoint(family, **options))
    (row,) = backend._build_rows([small_request(1, (64, 64))], lambda _: None)
    assert backend.tokenizer.decode(row.prompt).endswith("assistant\n<think>\n\n</think>\n\n")
    (reply,) = check_filled(backend.choose([small_request(1, (64, 64))]))
    assert reply.thought == ""


@pytest.fixture(scope="session", params=[("qwen3_vl", {"thinking": True}), ("qwen3_5", {})], ids=str)
def thinker(
    request: pytest.FixtureRequest, checkpoint: Callable[..., Path]
) -> tuple[Transformers, PlainModel]:
    """A backend that thinks for up to six tokens, and its checkpoint."""
    family, options = request.param
    backend = Transformers(checkpoint(family, **options), thinking=6, tokens="pieces")
    return backend, PlainModel(backend)


@pytest.mark.parametrize("verb", ["choose", "complete"])
def test_a_thought_is_written_first_and_the_form_read_behind_it(
    thinker: tuple[Transformers, PlainModel], verb: str
) -> None:
    backend, plain = thinker
    tokenizer = backend.tokenizer
    requests = [small_request(n, size) for n, size in enumerate(SIZES[:2])]
    replies = check_filled(getattr(backend, verb)(requests))
    rows = backend._build_rows(requests, lambda _: None)
    for row, reply in zip(rows, replies, strict=True):
        assert tokenizer.decode(row.prompt).endswith("assistant\n<think>\n")
        masked = sorted(tokenizer.control_tokens - {tokenizer.thought_end, *tokenizer.end_of_turn})
        thought: list[int] = []
        while len(thought) < 6:
            scores = plain.log_probabilities(row, thought).clone()
            scores[masked] = -torch.inf
            if (token := int(scores.argmax())) in {tokenizer.thought_end, *tokenizer.end_of_turn}:
                break
            thought.append(token)
        text, closed = tokenizer.close_thought(thought)
        assert reply.thought == text
        scores = plain.log_probabilities(row, [*closed, *tokenizer.encode_text('{"there":')])
        labels = [scores[tokenizer.encode_text(label)[0]] for label in ("true", "false")]
        expected = torch.stack(labels).softmax(0)[0]
        assert reply.probabilities["there"]["true"] == pytest.approx(float(expected), abs=1e-4)


def test_a_model_without_thoughts_takes_no_budget(checkpoint: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="thinking: 5 .* opens no thought"):
        Transformers(checkpoint("qwen2_vl"), thinking=5)


@pytest.mark.parametrize("text", ["</think>", "say <think> and </think> twice", "<tool_call>{}</tool_call>"])
def test_content_never_holds_the_tokens_of_a_thought(family_backend: Transformers, text: str) -> None:
    tokenizer = family_backend.tokenizer
    tokens = tokenizer.encode_text(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.control_tokens.isdisjoint(tokens)
    assert len(tokens) < len(text)
