"""The in-process backend gives the numbers of the plain model, in any batch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
from form_requests import assert_equal_replies, build_request, check_filled, noise_image

from judge.backends import Backend, Reply, Request
from judge.backends.transformers.backend import Transformers
from judge.errors import BackendError, InputError, ReplyError


@pytest.fixture(scope="session")
def judge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_judge_folder(tmp_path_factory.mktemp("judge"))


def unresized(backend: Transformers) -> tuple[int, int]:
    """A size that no processor changes: qwen-vl-utils resizes a little differently from torchvision."""
    side = 2 * backend.processor.image_processor.patch_size * backend.tokenizer.merge_size
    return side, side


# -- The numbers are the model's own -----------------------------------------------------------------------


class PlainModel:
    """The same model run by the library alone: official processor, one full forward pass, no cache."""

    def __init__(self, backend: Transformers) -> None:
        self.tokenizer, self.model, self.processor = backend.tokenizer, backend._model, backend.processor

    def inputs(self, request: Request) -> dict[str, Any]:
        render = self.processor.apply_chat_template
        chat = render(request.messages, tokenize=False, add_generation_prompt=True)
        return dict(self.processor(text=[chat], images=request.images, return_tensors="pt"))

    def log_probabilities(self, inputs: dict[str, Any], tokens: list[int]) -> np.ndarray:
        """Log-probabilities (len(tokens) + 1, V) before, between and after the tokens of an answer."""
        import torch

        answer = torch.tensor([tokens], dtype=torch.long)
        ids = torch.cat([inputs["input_ids"], answer], dim=1)
        kinds = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(answer)], dim=1)
        vision = {key: inputs[key] for key in ("pixel_values", "image_grid_thw")}
        with torch.inference_mode():
            logits = self.model(input_ids=ids, mm_token_type_ids=kinds, **vision).logits[0]
        return logits[inputs["input_ids"].shape[1] - 1 :].log_softmax(-1).numpy()

    def label_probabilities(
        self, inputs: dict[str, Any], before: list[int], labels: list[str], next_literal: str
    ) -> np.ndarray:
        """Probabilities of labels after the tokens `before`.

        The first token of the next literal ends each label if one label begins another.
        """
        paths = [list(self.tokenizer.encode_text(label)) for label in labels]
        if any(a != b and b[: len(a)] == a for a in paths for b in paths):
            paths = [[*path, *self.tokenizer.encode_text(next_literal)[:1]] for path in paths]
        logs = []
        for path in paths:
            table = self.log_probabilities(inputs, before + path)[len(before) :]
            logs.append(sum(table[step, token] for step, token in enumerate(path)))
        weights = np.exp(np.array(logs) - max(logs))
        return weights / weights.sum()

    def check(self, request: Request, reply: Reply, *, placeholders: bool) -> None:
        """Compare every blank of a reply with the plain model (of the boxes, only the first defect's)."""
        inputs, before = self.inputs(request), []
        segments = request.form.segments(request.form.parse(reply.text))
        for segment, following in zip(segments, [*segments[1:], None], strict=True):
            if segment.labels and not re.match(r"defects\.[1-9]\.box", segment.blank):
                found = reply.probabilities[segment.blank]
                labels = list(found) if segment.role == "choice" else list(segment.labels)
                next_literal = following.text if following else ""
                expected = self.label_probabilities(inputs, before, labels, next_literal)
                assert np.allclose(list(found.values()), expected, atol=1e-4), segment.blank
                assert segment.text == labels[int(expected.argmax())]
            text = segment.labels[0] if placeholders and segment.labels else segment.text
            before += self.tokenizer.encode_text(text)


def test_a_filled_form_has_the_probabilities_of_the_plain_model(
    pieces_backend: Transformers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This covers the cache, holes, rope positions, label trees and discarded branches at once.

    Free text is forced to "!!!", because text of random weights rarely has its standard tokenization.
    """
    mark, quote = (pieces_backend.tokenizer.encode_text(character)[0] for character in '!"')

    def force_marks(written: list[int], logits: np.ndarray) -> np.ndarray:
        return np.eye(logits.shape[-1])[quote if len(written) == 3 else mark]

    monkeypatch.setattr(
        pieces_backend, "text_grammar", SimpleNamespace(text_mask=lambda max_chars: force_marks)
    )
    requests = [build_request(seed, size=unresized(pieces_backend)) for seed in (1, 2)]
    for request, reply in zip(requests, check_filled(pieces_backend.complete(requests)), strict=True):
        PlainModel(pieces_backend).check(request, reply, placeholders=False)


def test_one_pass_reads_the_probabilities_of_the_plain_model_after_placeholders(
    pieces_backend: Transformers,
) -> None:
    requests = [build_request(seed, depth="score", size=unresized(pieces_backend)) for seed in (3, 4)]
    for request, reply in zip(requests, check_filled(pieces_backend.choose(requests)), strict=True):
        PlainModel(pieces_backend).check(request, reply, placeholders=True)


def test_prompts_are_encoded_as_by_the_official_processor(backend: Transformers) -> None:
    request = build_request(5, size=(50, 30))
    expected = PlainModel(backend).inputs(request)
    (row,) = backend._build_rows([request], lambda _: iter(()))
    assert row.prompt == expected["input_ids"][0].tolist()
    assert row.grid.tolist() == expected["image_grid_thw"].tolist()


def test_the_answer_depends_on_the_image(qwen3: Transformers) -> None:
    one, other = build_request(1, depth="score"), build_request(1, depth="score")
    other.images = [noise_image(99)]
    a, b = check_filled(qwen3.choose([one, other]))
    assert abs(a.probabilities["score"]["1"] - b.probabilities["score"]["1"]) > 1e-3


# -- Rows do not depend on their batch ---------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "depth"), [("choose", "score"), ("complete", "verdict")])
def test_results_do_not_depend_on_the_batch(backend: Transformers, verb: str, depth: str) -> None:
    sizes = [(64, 64), (60, 40), (30, 64), (64, 64), (33, 33), (64, 64), (64, 30)]
    requests = [build_request(seed, depth=depth, size=size) for seed, size in enumerate(sizes)]
    run = getattr(backend, verb)
    together = check_filled(run(requests))
    alone = [check_filled(run([request]))[0] for request in requests]
    assert_equal_replies(alone, together, within=1e-3)
    for reply in alone:
        for probabilities in reply.probabilities.values():
            assert sum(probabilities.values()) == pytest.approx(1)


def test_images_of_one_size_and_of_several_give_the_same_as_alone(
    checkpoints: dict[tuple[str, bool], Path],
) -> None:
    for family in tiny.FAMILIES:
        backend = Transformers(checkpoints[family, True])
        width, height = unresized(backend)
        for sizes in ([(width, height)] * 3, [(width, height), (2 * width, height), (width, height)]):
            requests = [build_request(seed, size=size, depth="score") for seed, size in enumerate(sizes)]
            alone = [reply for request in requests for reply in check_filled(backend.choose([request]))]
            assert_equal_replies(check_filled(backend.choose(requests)), alone)


def test_batches_are_split_in_order(qwen3: Transformers, checkpoints: dict[tuple[str, bool], Path]) -> None:
    requests = [build_request(seed, depth="score") for seed in range(5)]
    small = Transformers(checkpoints["qwen3_vl", True], batch=2)
    whole, parts = check_filled(qwen3.choose(requests)), check_filled(small.choose(requests))
    assert [reply.text for reply in whole] == [reply.text for reply in parts]


def test_long_prompts_are_prefilled_separately(qwen3: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [build_request(seed, depth="score") for seed in range(4)]
    whole = check_filled(qwen3.choose(requests))
    monkeypatch.setattr("judge.backends.transformers.backend.MAX_ATTENTION_CELLS", 1)
    assert [reply.text for reply in check_filled(qwen3.choose(requests))] == [reply.text for reply in whole]


def test_no_requests_give_no_replies(qwen3: Transformers) -> None:
    assert qwen3.choose([]) == qwen3.complete([]) == []


# -- Rows that fail ----------------------------------------------------------------------------------------


def test_a_row_that_the_model_cannot_take_fails_alone(qwen3: Transformers) -> None:
    narrow, two_images, long = build_request(1), build_request(2), build_request(3, prompt="long " * 4000)
    narrow.images = [noise_image(1, 1, 300)]
    two_images.images = [noise_image(1), noise_image(2)]
    replies = [*qwen3.complete([narrow, build_request(4), two_images, long])]
    assert [type(reply) for reply in replies] == [ReplyError, Reply, ReplyError, ReplyError]
    assert "1x300" in str(replies[0])
    assert "images: 2 given, the messages show 1" in str(replies[2])
    assert re.search(r"prompt: \d+ tokens, the model reads 4096", str(replies[3]))
    assert replies[1].text == check_filled(qwen3.complete([build_request(4)]))[0].text


def test_score_depth_rejects_forms_with_text_or_lists(qwen3: Transformers) -> None:
    with pytest.raises(InputError, match="at_depth"):
        qwen3.choose([build_request(1)])


def test_a_row_whose_model_answers_nan_is_a_reply_error(checkpoints: dict[tuple[str, bool], Path]) -> None:
    broken = Transformers(checkpoints["qwen3_vl", True])
    broken._model.lm_head.weight.data[:] = float("nan")
    choose, complete = broken.choose([build_request(1, depth="score")]), broken.complete([build_request(1)])
    for reply in [*choose, *complete]:
        assert isinstance(reply, ReplyError)
        assert "NaN" in str(reply)


# -- Loading -----------------------------------------------------------------------------------------------


def test_it_is_a_backend(qwen3: Transformers) -> None:
    assert isinstance(qwen3, Backend)
    assert re.fullmatch("[0-9a-f]{16}", qwen3.revision)
    assert (qwen3.adapter, qwen3.brief, qwen3.size, qwen3.domain) == (None, False, None, "")


def test_a_judge_folder_gives_its_description_and_its_adapter(judge_folder: Path) -> None:
    backend = Transformers(judge_folder)
    assert (backend.adapter, backend.brief, backend.size, backend.domain) == ("adapter", True, 64, "noise")
    (reply,) = check_filled(backend.choose([build_request(1, depth="score")]))
    bare = Transformers(judge_folder / "base")
    (base,) = check_filled(bare.choose([build_request(1, depth="score")]))
    assert abs(reply.probabilities["score"]["1"] - base.probabilities["score"]["1"]) > 1e-3
    assert backend.revision != bare.revision


def test_an_adapter_given_by_path_is_applied_and_named(judge_folder: Path) -> None:
    named = Transformers(judge_folder / "base", adapter=judge_folder / "adapter")
    whole = Transformers(judge_folder)
    assert named.adapter == str(judge_folder / "adapter")
    request = build_request(1, depth="score")
    assert check_filled(named.choose([request])) == check_filled(whole.choose([request]))


def test_merging_an_adapter_does_not_change_the_numbers(judge_folder: Path) -> None:
    merged, separate = Transformers(judge_folder), Transformers(judge_folder, dtype="float64")
    assert any("lora" in name for name, _ in separate._model.named_parameters())
    assert not any("lora" in name for name, _ in merged._model.named_parameters())
    requests = [build_request(seed) for seed in range(3)]
    assert_equal_replies(check_filled(merged.complete(requests)), check_filled(separate.complete(requests)))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"bits": 3}, "bits"), ({"batch": 0}, "batch"), ({"dtype": "float7"}, "dtype: 'float7'")],
)
def test_an_unusable_option_is_named(
    checkpoints: dict[tuple[str, bool], Path], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Transformers(checkpoints["qwen3_vl", True], **options)


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nonsense"}), "utf-8")
    for model in (str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(BackendError, match="cannot be loaded") as caught:
            Transformers(model)
        assert "\n" not in str(caught.value)


def test_an_installation_without_weights_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("judge.backends.checkpoints.EMBEDDED", tmp_path)
    with pytest.raises(BackendError, match="no weights"):
        Transformers()
