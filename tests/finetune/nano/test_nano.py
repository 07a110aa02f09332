"""Training the embedded judge: the short forward is the library's own, and the small chain learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from paths import ROOT
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from finetune.nano import tasks
from finetune.nano.batches import NUMBER, TAGS, Writer, cells_of
from finetune.nano.export import ship_beside
from finetune.nano.network import IMAGE_TOKENS, Size, Trunk, build_model, grow, save_processor
from finetune.nano.tokenizer import build_tokenizer
from judge.errors import InputError
from judge.rubrics.rubric import Rubric
from judge.scenes import draw, vocabulary

SCENES = [draw(seed) for seed in range(3_000_000, 3_000_012)]
FACTS = [s.facts for s in SCENES]
ALL = [tasks.describe, tasks.locate, tasks.count, tasks.check, tasks.damage, tasks.inspect]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(tasks.corpus(FACTS * 8), 1024)


@pytest.fixture(scope="module")
def model(tokenizer):
    return build_model(
        tokenizer, Size(vision_width=64, vision_depth=2, width=64, depth=3, inner=96, head=32)
    ).eval()


def batch_of(tokenizer, rows, scenes, **options):
    writer = Writer(tokenizer, **options)
    laid = [writer.row(t, s.facts, 4000) for t, s in zip(rows, scenes, strict=True)]
    pictures = np.stack([s.image for s in scenes])
    patches = np.zeros((len(scenes), 3, 14, 14), np.uint8)
    return writer, writer.pack(laid, pictures, patches, [s.facts for s in scenes])


def test_words_and_coordinates_are_single_tokens(tokenizer):
    for word in [*vocabulary.KINDS, *vocabulary.COLORS, "0", "10", "500", "1000", "1", "5", "true", "false"]:
        assert len(tokenizer.encode(word)) == 1


def test_a_vocabulary_too_small_for_the_words_is_refused():
    with pytest.raises(ValueError, match="raise it"):
        build_tokenizer(tasks.corpus(FACTS), 300)


def test_any_text_survives_the_tokenizer(tokenizer):
    text = "Größe 12.5 % — 猫 on a mat\n\t{}"
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("make", ALL, ids=lambda f: f.__name__)
def test_every_task_renders_and_its_own_form_reads_it_back(make):
    for n, facts in enumerate(FACTS):
        task = make(Random(n), facts)
        assert task.form.parse(task.form.render(task.values)) == task.values


@pytest.mark.parametrize("name", ["default"])
@pytest.mark.parametrize("score_only", [False, True])
def test_judging_targets_are_the_rubrics_own_form_and_messages(name, score_only):
    rubric = Rubric.load(name)
    for n, facts in enumerate(FACTS):
        task = tasks.judge(Random(n), facts, rubric, score_only=score_only)
        assert task.form.parse(task.form.render(task.values)) == task.values
        assert task.user.endswith("Scores only.") == score_only
        assert all(1 <= v <= 5 for v in task.soft.values())


def test_mentions_point_at_the_objects_a_text_names():
    facts = FACTS[0]
    thing = facts.things[0]
    ((end, areas),) = tasks.mentions(f"is there a {thing.name}?", facts)
    assert f"is there a {thing.name}?"[end] == thing.kind[-1]
    assert thing.box in areas
    absent = next(k for k in vocabulary.KINDS if facts.count("", k) == 0)
    assert list(tasks.mentions(absent, facts))[0][1] == []


def test_the_short_forward_gives_the_librarys_logits(tokenizer, model, tmp_path):
    scene, task = SCENES[0], tasks.check(Random(0), FACTS[0])
    writer, batch = batch_of(tokenizer, [[task]], [scene])
    trunk = Trunk(model, writer.prefix)
    with torch.inference_mode():
        h, _ = trunk.read(batch.ids, trunk.see(batch.pictures), batch.positions, batch.mask())
        ours = model.lm_head(h)[0]
        save_processor(tokenizer, tmp_path)
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(tmp_path)
        pixels = processor.image_processor(images=[scene.image], return_tensors="pt")
        n = int((batch.blocks[0] >= 0).sum())
        ids = batch.ids[:, :n]
        kinds = (ids == model.config.image_token_id).int()
        theirs = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=kinds, **pixels
        ).logits[0]
    assert pixels["image_grid_thw"].tolist() == [[1, 14, 14]]
    assert torch.allclose(ours[:n], theirs, atol=2e-4)


def test_inspection_names_each_damaged_object_and_clears_the_others():
    facts = next(f for f in FACTS if f.flaws and len(f.things) > 1)
    state = tasks.inspect(Random(0), facts).values["state"]
    broken = {facts.things[n].name for flaw in facts.flaws for n in flaw.things}
    assert {name for name, what in state.items() if what != "none"} == broken
    assert set(state) == {thing.name for thing in facts.things}


def test_new_vision_blocks_change_nothing_until_they_are_trained(tokenizer, model):
    grown = grow(model, 4).eval()
    assert (len(model.model.visual.blocks), len(grown.model.visual.blocks)) == (2, 4)
    writer, batch = batch_of(tokenizer, [[tasks.check(Random(0), FACTS[0])]], SCENES[:1])
    with torch.no_grad():
        before, after = (Trunk(m, writer.prefix).see(batch.pictures).tokens for m in (model, grown))
    assert torch.equal(before, after)
    with pytest.raises(ValueError, match="has 2 blocks already"):
        grow(model, 1)


def test_numbers_in_a_summary_weigh_more_than_its_words(tokenizer):
    task = tasks.judge(Random(1), FACTS[0], Rubric.load("default"), score_only=False)
    _, batch = batch_of(tokenizer, [[task]], SCENES[:1])
    at = (batch.tags[0] == TAGS.index("text")).nonzero()[:, 0]
    heavy = {tokenizer.decode(batch.targets[0][i]) for i in at if batch.weights[0][i] == NUMBER}
    assert heavy
    assert all(text.isdigit() for text in heavy)


def test_questions_about_one_picture_do_not_see_each_other(tokenizer, model):
    r = Random(3)
    one, other = tasks.check(r, FACTS[1]), tasks.describe(r, FACTS[1])
    writer, alone = batch_of(tokenizer, [[one]], SCENES[1:2])
    _, both = batch_of(tokenizer, [[other, one]], SCENES[1:2])
    trunk = Trunk(model, writer.prefix)
    logits = []
    for batch, block in ((alone, 1), (both, 2)):
        with torch.no_grad():
            h, _ = trunk.read(batch.ids, trunk.see(batch.pictures), batch.positions, batch.mask())
        logits.append(model.lm_head(h)[0][batch.blocks[0] == block])
    assert torch.allclose(logits[0], logits[1], atol=1e-4)


def test_score_depth_is_trained_as_it_is_read_with_placeholders_before_each_blank(tokenizer):
    facts = next(f for f in FACTS if f.degradation != "none")
    scene = SCENES[FACTS.index(facts)]
    task = tasks.judge(Random(5), facts, Rubric.load("default"), score_only=True)
    _, batch = batch_of(tokenizer, [[task]], [scene])
    asked = batch.tags[0] == TAGS.index("attribute")
    assert tokenizer.decode(batch.ids[0][asked][:1]) == "none"
    assert tokenizer.decode(batch.targets[0][asked][:1]) == facts.degradation.split()[0]


def test_cells_of_a_box_cover_it_and_a_tiny_box_still_has_one():
    assert cells_of((0, 0, 224, 224)).all()
    assert cells_of((100, 100, 103, 103)).sum() == 1
    assert cells_of((0, 0, 32, 32)).nonzero()[0].tolist() == [0]
    assert len(cells_of((0, 0, 1, 1))) == IMAGE_TOKENS


@pytest.mark.timeout(1800)  # ten minutes on two cores without bfloat16 instructions
@pytest.mark.slow
def test_the_small_chain_beats_the_constant_answer(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "finetune.nano", "smoke", str(tmp_path)],
        capture_output=True, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["color"] > result["color_constant"] + 0.1
    with safe_open(tmp_path / "nano/base/model.safetensors", "pt") as weights:
        assert all(weights.get_tensor(name).isfinite().all() for name in weights.keys())  # noqa: SIM118
    assert (tmp_path / "nano/adapter/adapter_model.safetensors").stat().st_size < 4e6


def test_an_adapter_is_shipped_beside_a_judge_in_half_precision_and_named_in_its_card(tmp_path: Path) -> None:
    adapter, out = tmp_path / "adapter", tmp_path / "out"
    adapter.mkdir()
    out.mkdir()
    weights = {"x.lora_A.weight": torch.randn(4, 8), "x.lora_B.weight": torch.randn(8, 4)}
    save_file(weights, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path)}))
    with pytest.raises(InputError, match=r"judge\.json"):
        ship_beside(adapter, out, "default-look")
    (out / "judge.json").write_text(json.dumps({"rubrics": ["default"]}))
    ship_beside(adapter, out, "default-look")
    stored = load_file(out / "default-look/adapter_model.safetensors")
    assert all(weight.dtype == torch.float16 for weight in stored.values())
    for name, weight in weights.items():
        assert torch.allclose(stored[name].float(), weight, rtol=1e-3, atol=1e-6)
    config = json.loads((out / "default-look/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../base"
    card = json.loads((out / "judge.json").read_text())
    assert card["adapters"] == {"default-look": "default-look"} and card["rubrics"] == ["default"]
