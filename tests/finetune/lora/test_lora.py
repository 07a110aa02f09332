"""Fine-tuning: what is refused before it starts, what labels become, what is compared, and that it learns."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from training_data import FAMILIES, evalmuse, photos, scenes, structure, told, videos

from finetune import run_folders as folders
from finetune.config import CONFIGS
from finetune.lora import base as bases
from finetune.lora import losses, run
from finetune.lora import model_card as card
from finetune.lora.config import Config, Losses
from finetune.lora.held import Live
from finetune.lora.memory import estimate
from finetune.lora.rows import Order, Visits, Writer
from finetune.lora.targets import school
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError
from judge.judge import Judge
from judge.pipeline.pipeline import Pipeline
from judge.pipeline.prepared import ModelInfo
from judge.rubrics.form import Form
from judge.rubrics.rubric import Rubric


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Tiny checkpoints and tiny data of each kind, in one place."""
    root = tmp_path_factory.mktemp("lora")
    for family in ("qwen3_vl", "qwen2_5_vl"):
        tiny.checkpoint(root / family, family, numbers=family == "qwen3_vl")
    tiny.adapter(root / "qwen3_vl", root / "adapter")
    scenes(root / "scenes", 8)
    photos(root / "photos", 8)
    evalmuse(root / "evalmuse", 8)
    structure(root / "structure", 8)
    videos(root / "videos", 8)
    return root


# ------------------------------------------------------------------------------- what is refused, and when


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.bacth=3", "did you mean 'batch'"),
        ("training.batch=0", "greater than or equal to 1"),
        ("lora.rank=-1", "greater than or equal to 1"),
        ("losses.pairs=1", "no data says which rows are compared"),
        ("held.metric", "key=value"),
        ("data.7.path=x", "a field of the configuration"),
        ("model.bits=3", "4 or 8"),
    ],
)
def test_a_bad_configuration_is_one_error_that_names_the_field(change, said):
    with pytest.raises(InputError, match=said):
        Config.load("nano-scenes", [change])


def test_an_unknown_configuration_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'nano-scenes'"):
        Config.load("nano-scene")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data.0.suite": "scnes"}, "did you mean scenes"),
        ({"data.0.skip": 8}, "at least one row"),
        ({"data.0.limit": 0}, "greater than or equal to 1"),
        ({"data.0.rubric": "qualty"}, "did you mean 'quality'"),
        ({"held.metric": "srrc"}, "held.metric"),
        ({"held.limit": 4}, "not trained on"),
        ({"model.base": "nowhere/to/be/found"}, "Qwen3-VL checkpoint"),
    ],
)
def test_bad_data_or_base_is_one_error_before_anything_starts(folder, changes, said):
    with pytest.raises(InputError, match=said):
        run.prepare(told(folder, **changes))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"score": 6}, "less than or equal to 5"),
        ({"dimensions": {"structure": 0.5}}, "greater than or equal to 1"),
        ({"attributes": {"degradation": "rain"}}, "'rain' is not usable; allowed: none, blur"),
        ({"defects": [{"kind": "melted", "box": [1, 1, 9, 9]}]}, "'melted' is not usable; allowed: missing"),
        ({"defects": [{"kind": "cut", "box": [1, 1, 99, 9]}]}, "within 64 x 48 pixels"),
    ],
)
def test_labels_out_of_range_are_refused_with_the_row(folder, tmp_path, labels, said):
    bad = scenes(tmp_path / "bad", 4, **labels)
    with pytest.raises(InputError, match=said):
        run.prepare(told(folder, **{"data.0.path": bad, "data.0.skip": 0}))


def test_opinions_off_their_scale_are_refused(folder, tmp_path):
    bad = photos(tmp_path / "bad", 4, mos=101)
    with pytest.raises(InputError, match=r"data.0: 0.png: score: 101.0 is not usable; allowed: 0 to 100"):
        run.prepare(told(folder, "nano-photos", "photos", **{"data.0.path": bad, "data.0.skip": 0}))


def test_a_file_that_is_no_picture_is_refused(folder, tmp_path):
    bad = scenes(tmp_path / "bad", 4)
    (bad / "images/2.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="2.png' is not usable; allowed: a picture"):
        run.prepare(told(folder, **{"data.0.path": bad, "data.0.skip": 0}))


def test_rows_without_any_label_are_refused(folder, tmp_path):
    bare = scenes(tmp_path / "bare", 4, score=None, dimensions={}, elements=[], attributes={}, defects=[])
    with pytest.raises(InputError, match="neither scores nor elements"):
        run.prepare(told(folder, **{"data.0.path": bare, "data.0.skip": 0}))


def test_a_base_without_eyes_is_refused(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", "hidden_size": 64}))
    with pytest.raises(InputError, match="this is qwen3, which shows no pictures"):
        run.prepare(told(folder, **{"model.base": tmp_path}))


def test_an_adapter_of_another_base_is_refused_by_its_shapes(folder, tmp_path):
    config = {"model.adapter": folder / "adapter"}
    run.prepare(told(folder, **config))
    other = tmp_path / "other"
    other.mkdir()
    weights = load_file(folder / "adapter/adapter_model.safetensors")
    wide = {n: torch.zeros(4, 96) if "lora_A" in n else w for n, w in weights.items()}
    save_file(wide, other / "adapter_model.safetensors")
    (other / "adapter_config.json").write_text((folder / "adapter/adapter_config.json").read_text())
    with pytest.raises(InputError, match="made for another base"):
        run.prepare(told(folder, **{"model.adapter": other}))
    with pytest.raises(InputError, match="a folder with a LoRA adapter"):
        run.prepare(told(folder, **{"model.adapter": tmp_path}))


def test_layers_that_do_not_exist_are_one_error(folder, tmp_path):
    with pytest.raises(InputError, match="lora.targets"):
        run.build(run.prepare(told(folder, **{"lora.targets": "no_such_layer"})), tmp_path)
    with pytest.raises(InputError, match="lora.also.*called so"):
        changes = {"model.adapter": folder / "adapter", "lora.also": "no_such_layer"}
        run.build(run.prepare(told(folder, **changes)), tmp_path)


def test_an_adapter_that_is_gone_on_from_can_reach_into_the_vision_tower(folder, tmp_path):
    also = r".*visual\.blocks\..*\.(qkv|proj)"
    config = told(folder, **{"model.adapter": folder / "adapter", "lora.also": also})
    old = load_file(folder / "adapter/adapter_model.safetensors")
    trainer = run.build(run.prepare(config), tmp_path / "out")
    begun = dict(trainer.model.named_parameters())
    for name, weight in old.items():
        stem, _, side = name.rpartition(".lora_")
        found = begun[f"{stem}.lora_{side[0]}.default.weight"]
        assert found.requires_grad
        assert torch.equal(found, weight)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "wider")
    wider = load_file(tmp_path / "wider/adapter_model.safetensors")
    fresh = {n: w for n, w in wider.items() if n not in old}
    assert old.keys() < wider.keys()
    assert all(".visual." in name for name in fresh)
    assert all(w.abs().sum() > 0 for w in fresh.values())  # both sides of each moved, so it was trained

    base = bases.check(config.model)
    narrow = told(folder, **{"model.adapter": folder / "adapter"})
    assert estimate(config, base, gpu=False).trained == sum(w.numel() for w in wider.values())
    assert estimate(narrow, base, gpu=False).trained == sum(w.numel() for w in old.values())
    assert estimate(config, base, gpu=False).activations > estimate(narrow, base, gpu=False).activations


@pytest.mark.parametrize("called", [r".*\.layers\..*\.q_proj", ["q_proj"], {"q_proj"}])
def test_layers_of_an_adapter_are_one_expression_however_they_are_listed(called):
    names = ("model.language_model.layers.0.self_attn.q_proj", "q_projected", "visual.blocks.0.attn.qkv")
    found = [n for n in names if re.fullmatch(bases.layers_of(called), n)]
    assert found == ["model.language_model.layers.0.self_attn.q_proj"]


# ---------------------------------------------------------------------------------- what labels turn into


def test_opinions_keep_their_mean_and_widen_with_their_spread():
    for mean in (1.0, 1.2, 3.0, 4.97, 5.0):
        for spread in (None, 0.05, 0.6, 1.5):
            shares = losses.opinion_shares(mean, spread)
            assert sum(shares) == pytest.approx(1)
            assert sum(n * s for n, s in enumerate(shares, 1)) == pytest.approx(mean, abs=1e-6)
    assert max(losses.opinion_shares(3, 1.5)) < max(losses.opinion_shares(3, 0.5))


def test_human_scales_become_one_to_five_with_their_spread(folder):
    made = school(told(folder, "nano-photos", "photos").data[0].model_copy(update={"skip": 0}), "data.0")
    first = made.targets[0].opinions["score"]
    assert (first.mean, first.spread) == pytest.approx((1 + 4 * 0.05, 0.6))
    assert made.depths == ("score",)


def test_what_nobody_labelled_is_not_learnt(folder):
    config = told(folder, "qwen2.5-vl-7b-structure", "structure")
    (target, *_) = school(config.data[0], "data.0").targets
    assert target.knows("defects.0.box.x1") and target.knows("score") and target.knows("defects.0.open")
    assert not any(map(target.knows, ("defects.0.kind", "attributes.degradation", "dimensions.alignment")))
    assert target.values["defects"][0]["box"] == [60, 80, 620, 620]


def test_elements_weigh_as_much_as_their_annotators_agree(folder):
    (target, *_) = school(told(folder, "qwen3-vl-8b-evalmuse", "evalmuse").data[0], "data.0").targets
    assert target.elements == ("cat", "mat")
    assert target.agreement["elements.1"] == 1
    assert target.agreement["elements.0"] == pytest.approx(1)  # row 3: all three see it
    other = school(told(folder, "qwen3-vl-8b-evalmuse", "evalmuse").data[0], "data.0").targets[1]
    assert other.agreement["elements.0"] == pytest.approx(1 / 3)  # row 4: two of three


@pytest.fixture(scope="module")
def live(folder) -> Live:
    config = told(folder).model
    base = bases.check(config)
    model, processor = bases.load(base, config, told(folder).lora)
    return Live(model.eval(), processor, base)


@pytest.fixture(scope="module")
def writer(live) -> Writer:
    return Writer(live, Losses(), max_pixels=10**6)


def test_answers_are_trained_as_a_backend_reads_them(folder, writer):
    """At verdict depth the row ends in the very JSON of the form; at score depth in its placeholders."""
    made = school(told(folder).data[0], "data.0")
    target = made.targets[0]
    form = made.rubric.form(target.elements)
    full = writer.row(target, made.rubric, "verdict")
    text = writer.wording.decode(full.ids[-full.answer : -1])
    assert form.parse(text) == form.parse(form.render(target.values))
    short = writer.row(target, made.rubric, "score")
    fed = json.loads(writer.wording.decode(short.ids[-short.answer : -1]))
    assert fed == {
        "elements": {"a cat": True}, "degradation": "none", "alignment": 1, "structure": 1, "score": 1,
    }  # fmt: skip
    degradation = writer.wording.plain("blur")[0]
    assert degradation in {token for token, _ in short.hard.values()}


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_a_video_is_trained_as_a_backend_reads_it(folder, family):
    """The chances that the batch's last forward pass gives the score's labels are those of a verdict."""
    config = told(folder, "qwen3-vl-4b-video", "videos", **{"model.base": folder / family})
    base = bases.check(config.model)
    model, processor = bases.load(base, config.model, config.lora)
    live = Live(model.eval(), processor, base)
    made = school(config.data[0], "data.0")
    writer = Writer(live, Losses(), max_pixels=40_000)
    rows = [writer.row(target, made.rubric, "score") for target in made.targets[:3]]
    batch, last = writer.collate(rows), max(row.answer for row in rows)
    soft = batch.pop("targets")["soft"]
    logits = model(**batch).logits.float()
    pipeline = Pipeline(made.rubric, lambda: ModelInfo.of(live), max_pixels=40_000)
    for n, target in enumerate(made.targets[:3]):
        sample = target.item.asked().model_copy(update={"elements": list(target.elements)})
        (reply,) = live.choose([pipeline.prepare(sample, "score").request])
        (at,) = (at for at in soft["at"].tolist() if at[0] == n)
        chances = logits[n, at[1] - last - 1][writer.scale].softmax(-1)
        assert chances.tolist() == pytest.approx(list(reply.probabilities["score"].values()), abs=1e-4)


def test_a_loss_that_is_switched_off_weighs_nothing(folder, live):
    made = school(told(folder).data[0], "data.0")
    names = ("literals", "text", "attributes", "branches", "kinds", "elements", "scores")
    only = Writer(live, Losses(**dict.fromkeys(names, 0.0)), max_pixels=10**6)
    row = only.row(next(t for t in made.targets if t.values["defects"]), made.rubric, "verdict")
    assert {weight for _, weight in row.hard.values()} <= {0.0}
    assert len(row.soft) == 4  # the corners of its box


def test_rows_of_one_prompt_come_into_one_batch_and_weights_count(folder, writer):
    config = told(folder, "qwen3-vl-8b-evalmuse", "evalmuse", **{"data.0.skip": 4, "held.limit": 4})
    visits = Visits([school(config.data[0].model_copy(update={"weight": 1.5}), "data.0")], writer)
    order = Order(visits, seed=1)
    drawn = list(order)
    assert len(drawn) == len(order) == 12
    groups = [visits.places[index][2].group for index in drawn]
    assert all(a == b for a, b in zip(groups[::2], groups[1::2], strict=True))
    order.set_epoch(1)
    assert sorted(set(order)) == sorted(set(drawn))


# ------------------------------------------------------------------------------------- what is compared


def pairs(mean, spread=0.5, group=None):
    count = len(mean)
    return {
        "mean": torch.tensor(mean), "spread": torch.full((count,), spread),
        "group": torch.zeros(count, dtype=torch.long) if group is None else torch.tensor(group),
    }  # fmt: skip


@pytest.mark.parametrize("loss", ["fidelity", "rank"])
def test_pairs_in_the_right_order_cost_less_and_other_groups_nothing(loss):
    def cost(score, targets):
        score = torch.tensor(score)
        if loss == "rank":
            return float(losses.rank(score, targets))
        return float(losses.fidelity(score, torch.full_like(score, 0.25), targets))

    truth = pairs([1.5, 4.5])
    assert cost([1.5, 4.5], truth) < cost([3.0, 3.0], truth) < cost([4.5, 1.5], truth)
    assert cost([4.5, 1.5], pairs([1.5, 4.5], group=[0, 1])) == 0
    if loss == "fidelity":
        assert cost([1.5, 4.5], truth) == pytest.approx(0, abs=2e-4)


def test_soft_targets_are_least_at_the_truth():
    shares = torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1]])
    targets = {
        "at": torch.tensor([[0, 0]]), "ids": torch.arange(5)[None], "shares": shares,
        "weights": torch.tensor([2.0]),
    }  # fmt: skip
    best, weight = losses.soft(shares.log()[None], targets)
    worse, _ = losses.soft(torch.full((1, 1, 5), math.log(0.2)), targets)
    assert weight == 2 and best < worse
    assert best / weight == pytest.approx(float(-(shares * shares.log()).sum()), rel=1e-5)


# ----------------------------------------------------------------------------------------- that it trains


@pytest.mark.parametrize(
    ("name", "data"),
    [("nano-scenes", "scenes"), ("nano-photos", "photos"), ("qwen3-vl-8b-evalmuse", "evalmuse"),
     ("qwen2.5-vl-7b-structure", "structure"), ("qwen3-vl-4b-video", "videos")],
)  # fmt: skip
def test_every_shipped_configuration_builds_the_trainer_and_steps_twice(folder, tmp_path, name, data):
    trainer = run.build(run.prepare(told(folder, name, data)), tmp_path)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.train()
    assert trainer.state.global_step == 2
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed and all("lora_" in n and "language_model" in n for n in changed)
    assert all(math.isfinite(row["loss"]) for row in trainer.state.log_history if "loss" in row)


def test_every_shipped_configuration_is_read():
    assert {path.stem for path in CONFIGS.glob("*.toml")} >= set(FAMILIES)
    for path in CONFIGS.glob("*.toml"):
        assert Config.load(path.stem).name == path.stem


def test_training_learns_is_resumed_and_leaves_a_whole_run(folder, tmp_path, monkeypatch):
    """Halfway, as after a crash; the same command goes on, and its adapter is what a backend then loads."""
    monkeypatch.chdir(tmp_path)
    changes = {"training.steps": 8, "held.every": 4, "training.log_every": 1, "training.learning_rate": 0.02,
               "held.before": "true"}  # fmt: skip
    config, out = told(folder, **changes), tmp_path / "run"
    prepared = run.prepare(config)
    folders.claim(config, out)
    trainer = run.build(prepared, out)
    trainer.add_callback(Stop(5))
    run._before(trainer, config, out, begun=False)
    trainer.train()
    assert (out / "checkpoint-4").is_dir()
    ended = run.run(config, out)
    losses_seen = [row["loss"] for row in ended["history"] if "loss" in row]
    assert ended["steps"] == 8 and losses_seen[-1] < losses_seen[0]
    assert {"srcc", "element_accuracy"} & set(ended["after"])
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((out / "runs").glob("events*"))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    served = Transformers(folder / "qwen3_vl", out / "adapter", brief=True)
    assert served.adapter == str(out / "adapter")
    with pytest.raises(InputError, match="a run has ended there"):
        run.run(config, out)
    text = card.write(out).read_text()
    assert f"| accuracy | {ended['before']['accuracy']:.3f} | {ended['after']['accuracy']:.3f} |" in text
    assert "8 steps of 4 rows" in text and str(folder) not in text.replace(str(config.model.base), "")


class Stop:
    def __new__(cls, step: int):
        from transformers import TrainerCallback

        class Stopping(TrainerCallback):
            def on_step_end(self, args, state, control, **_):
                control.should_training_stop = state.global_step >= step

        return Stopping()


def test_a_folder_of_another_run_is_refused(folder, tmp_path):
    folders.claim(told(folder), tmp_path)
    with pytest.raises(InputError, match="training changed"):
        folders.claim(told(folder, **{"training.batch": 2}), tmp_path)


def test_what_is_measured_in_training_is_what_the_served_adapter_says(folder, tmp_path):
    config = told(folder)
    prepared = run.prepare(config)
    trainer = run.build(prepared, tmp_path)
    trainer.train()
    trainer.model.eval().save_pretrained(tmp_path / "adapter")
    backends = (
        trainer.visits.writer.backend,
        Transformers(folder / "qwen3_vl", tmp_path / "adapter"),
        Transformers(folder / "qwen3_vl"),
    )
    asked = [item.asked() for item in prepared.examination.items]
    inside, served, bare = ([v.score for v in Judge(backend=b).many(asked)] for b in backends)
    assert inside == pytest.approx(served, abs=1e-3)
    assert bare != pytest.approx(served, abs=1e-3)


def test_the_memory_estimate_counts_the_base_and_the_adapter(folder):
    config = told(folder)
    base = bases.check(config.model)
    need = estimate(config, base, gpu=False)
    model, _ = bases.load(base, config.model, config.lora)
    assert need.trained == sum(p.numel() for p in bases.trainable(model))
    frozen = sum(p.numel() for p in model.parameters()) - need.trained
    assert need.parameters == frozen and need.weights == 4 * frozen
    quartered = config.model_copy(update={"model": config.model.model_copy(update={"bits": 4})})
    assert estimate(quartered, base, gpu=True).weights < 0.6 * need.weights


def test_forms_of_training_and_serving_are_the_same_object(folder):
    made = school(told(folder).data[0], "data.0")
    assert isinstance(made.rubric.form(made.targets[0].elements), Form)
    assert made.rubric.hash == Rubric.load("default").hash
