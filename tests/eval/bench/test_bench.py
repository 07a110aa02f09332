"""The bench measures what it says: a judge that knows the truth is perfect, a silent one is not rewarded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from eval.bench import __main__ as cli
from eval.bench import parts as measuring
from eval.bench.accuracy import elements, forms
from eval.bench.accuracy.scenes import read_scenes, run
from eval.bench.speed import backend, reward, serving
from eval.bench.speed.contenders import CannotRun, Lap, fresh
from judge.errors import InputError, ReplyError
from judge.scenes import write
from judge.scenes.fresh import LabelledScene, scene_seeds
from judge.types import (
    Attribute,
    Defect,
    DefectLabel,
    Dimension,
    Element,
    ElementLabel,
    LabelledSample,
    Labels,
    Provenance,
    Sample,
    Verdict,
)

PROMISED = {
    "element_accuracy", "element_constant", "element_accuracy_by_kind", "score_srcc", "score_srcc_sampled",
    "score_srcc_score_depth", "score_plcc", "defect_image_accuracy", "box_f1_50", "region_f1",
    "kind_accuracy_on_matched", "degradation_accuracy", "seconds_per_verdict", "seconds_per_score",
    "unscored", "count",
}  # fmt: skip
SIDE = 64


def scene(at: int) -> LabelledScene:
    """Scene number `at`: a score of its own, one true and one false element, a defect in every other one."""
    boxes = [(8.0, 8.0, 40.0, 40.0)] if at % 2 else []
    labels = Labels(
        score=1 + at * 0.4,
        dimensions={"structure": 1 + at * 0.4},
        elements=[
            ElementLabel(name=f"red circle {at}", present=True, kind="object"),
            ElementLabel(name="two cats", present=False, kind="count"),
        ],
        defects=[DefectLabel(kind="smeared", box=box) for box in boxes],
        attributes={"degradation": "blur" if at % 3 else "none"},
    )
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    image = np.full((SIDE, SIDE, 3), at * 20, dtype=np.uint8)
    return LabelledScene(LabelledSample(id=str(at), image=image, prompt="two cats", labels=labels), mask)


SCENES = [scene(at) for at in range(10)]
PROVENANCE: dict[str, Any] = {
    "model": "fake", "backend": "fake", "rubric": "default", "rubric_hash": "0", "version": "0",
    "milliseconds": 1,
}  # fmt: skip


def distribution(score: float) -> list[float]:
    """Probabilities of 1..5 whose expectation is the score."""
    low = min(4, int(score))
    return [max(0.0, 1 - abs(score - label)) if label in (low, low + 1) else 0.0 for label in range(1, 6)]


def knowing(labels: Labels, sample: Sample, depth: str) -> Verdict:
    """The verdict that says the truth."""
    assert labels.score is not None
    p = distribution(labels.score)
    return Verdict(
        id=sample.id,
        status="scored",
        score=labels.score,
        distribution=p,
        dimensions={
            n: Dimension(score=s, distribution=distribution(s)) for n, s in labels.dimensions.items()
        },
        elements=[
            Element(name=e.name, present=e.present, probability=0.9 if e.present else 0.2)
            for e in labels.elements
        ],
        attributes={n: Attribute(label=v, probabilities={v: 1.0}) for n, v in labels.attributes.items()},
        defects=[
            Defect(family=d.family, kind=d.kind, box=d.box, severity=d.severity, confidence=1, explanation="")
            for d in labels.defects
        ],
        size=(SIDE, SIDE),
        provenance=Provenance(depth=depth, **PROVENANCE),
    )


def silent(labels: Labels, sample: Sample, depth: str) -> Verdict:
    """The verdict of a judge whose replies cannot be read."""
    provenance = Provenance(depth=depth, **PROVENANCE)
    return Verdict(id=sample.id, status="unscored", reason="reply: not JSON", provenance=provenance)


class Fake:
    """A judge that looks the answer up."""

    def __init__(self, scenes: list[LabelledScene], verdict=knowing) -> None:
        self.labels = {s.sample.id: s.sample.labels for s in scenes}
        self.verdict = verdict
        self.asked: list[Sample] = []

    def many(self, samples, *, depth: str = "verdict", batch: int = 1) -> Iterator[Verdict]:
        for sample in samples:
            self.asked.append(sample)
            yield self.verdict(self.labels[sample.id], sample, depth)


# ---------------------------------------------------------------------------------------------- scenes


def test_a_judge_that_knows_the_truth_is_perfect_in_every_measure() -> None:
    result = run(Fake(SCENES), SCENES)
    assert PROMISED <= set(result)
    perfect = (
        "element_accuracy", "score_srcc", "score_srcc_score_depth", "score_plcc", "defect_image_accuracy",
        "box_f1_50", "region_f1", "pixel_f1", "kind_accuracy_on_matched", "degradation_accuracy",
    )  # fmt: skip
    for name in perfect:
        assert result[name] == pytest.approx(1.0), name
    assert result["element_constant"] == 0.5
    assert result["element_accuracy_by_kind"] == {
        "object": 1.0, "count": 1.0, "relation": None, "background": None,
    }  # fmt: skip
    assert result["notes"]["element_accuracy_by_kind.relation"] == "no element of the kind relation"
    assert result["score_srcc_sampled"] < 1  # digits tie where expectations do not
    assert (result["unscored"], result["count"]) == (0, 10)
    json.dumps(result, allow_nan=False)


def test_the_judge_never_sees_the_labels() -> None:
    fake = Fake(SCENES)
    run(fake, SCENES)
    assert fake.asked
    assert all(type(sample) is Sample for sample in fake.asked)
    assert fake.asked[0].elements == ["red circle 0", "two cats"]


def test_a_judge_that_answers_nothing_earns_nothing() -> None:
    """Unscored rows must not make any number look better."""
    result = run(Fake(SCENES, silent), SCENES)
    assert result["element_accuracy"] == 0.0
    assert result["defect_image_accuracy"] == 0.0
    assert result["degradation_accuracy"] == 0.0
    assert result["box_f1_50"] == result["region_f1"] == 0.0
    assert "no region was predicted at all" in result["notes"]["region_f1"]
    assert result["score_srcc"] is None
    assert "at least 2 pairs" in result["notes"]["score_srcc"]
    assert (result["unscored"], result["unscored_reasons"]) == (10, ["reply: not JSON"])
    json.dumps(result, allow_nan=False)


def test_a_constant_judge_has_no_correlation_and_is_told_so() -> None:
    def constant(labels: Labels, sample: Sample, depth: str) -> Verdict:
        return knowing(labels, sample, depth).model_copy(
            update={"score": 3.0, "distribution": [0, 0, 1, 0, 0]}
        )

    result = run(Fake(SCENES, constant), SCENES)
    assert result["score_srcc"] is None
    assert "all predictions are equal" in result["notes"]["score_srcc"]


def test_only_structure_counts_as_defect() -> None:
    """A disagreement with the prompt is an element's matter: it is neither a hit nor a false alarm."""

    def aligned(labels: Labels, sample: Sample, depth: str) -> Verdict:
        verdict = knowing(labels, sample, depth)
        more = Defect(
            family="misalignment", kind="wrong color", box=(0, 0, 60, 60), severity="moderate",
            confidence=1, explanation="",
        )  # fmt: skip
        return verdict.model_copy(update={"defects": [*verdict.defects, more]})

    result = run(Fake(SCENES, aligned), SCENES)
    assert result["box_f1_50"] == result["defect_image_accuracy"] == 1.0


def test_wrong_kinds_do_not_spoil_boxes_and_are_measured_apart() -> None:
    def renamed(labels: Labels, sample: Sample, depth: str) -> Verdict:
        verdict = knowing(labels, sample, depth)
        named = [d.model_copy(update={"kind": "tint"}) for d in verdict.defects]
        return verdict.model_copy(update={"defects": named})

    result = run(Fake(SCENES, renamed), SCENES)
    assert (result["box_f1_50"], result["kind_accuracy_on_matched"]) == (1.0, 0.0)


def test_verdicts_out_of_order_are_refused_rather_than_measured() -> None:
    class Shuffled(Fake):
        def many(self, samples, *, depth: str = "verdict", batch: int = 1) -> Iterator[Verdict]:
            yield from list(super().many(samples, depth=depth, batch=batch))[::-1]

    with pytest.raises(InputError, match="order"):
        run(Shuffled(SCENES), SCENES)


def test_drawing_seeds_repeat_and_differ_from_set_to_set() -> None:
    first = scene_seeds(500, 1)
    assert first == scene_seeds(500, 1)
    assert first[:20] == scene_seeds(20, 1)
    assert not set(first) & set(scene_seeds(500, 2))
    assert min(first) > 10**12  # far from every seed that a training set is drawn with


def truth_on_the_form(labels: Labels, depth: str) -> dict[str, Any]:
    """What the form holds when everything is answered as well as it can be."""

    def box(pixels: tuple[float, float, float, float]) -> list[int]:
        x1, y1, x2, y2 = (10 * round(v / 224 * 100) for v in pixels)
        return [x1, y1, max(x2, x1 + 10), max(y2, y1 + 10)]

    values: dict[str, Any] = {"elements": {e.name: e.present for e in labels.elements}}
    values["degradation"] = labels.attributes["degradation"]
    if depth == "verdict":
        values["defects"] = [
            {"kind": d.kind, "box": box(d.box), "severity": d.severity, "explanation": d.explanation}
            for d in labels.defects
        ]
        values["explanation"] = ""
    values |= {name: round(score) for name, score in labels.dimensions.items()}
    return values | {"score": round(labels.score or 3)}


def test_the_true_answers_go_through_judge_and_back_to_pixels() -> None:
    """From the form's 0..1000 grid to the picture's pixels and the measures: nothing is lost on the way."""
    from judge import Judge
    from judge.backends.scripted import Scripted
    from judge.scenes.fresh import draw_scenes

    scenes = draw_scenes(40, 5)
    replies = [
        truth_on_the_form(s.sample.labels, depth)
        for depth in ("verdict", "score")
        for s in [scenes[0], *scenes]  # the first is asked once more before the clock starts
    ]
    result = run(Judge(backend=Scripted(replies, size=224)), scenes)
    assert (result["unscored"], result["unscored_score_depth"], result["unscored_reasons"]) == (0, 0, [])
    for name in (
        "element_accuracy",
        "defect_image_accuracy",
        "kind_accuracy_on_matched",
        "degradation_accuracy",
    ):
        assert result[name] == 1.0, name
    assert result["box_f1_50"] > 0.95
    assert result["region_f1"] == pytest.approx(result["region_f1_of_true_boxes"], abs=0.03)
    assert result["score_srcc"] > 0.9
    assert result["score_srcc_score_depth"] > 0.9


# ------------------------------------------------------------------------------------------ rows files


def write_rows(folder: Path, scenes: list[LabelledScene], *, masks: bool = True) -> Path:
    rows = []
    for s in scenes:
        name = f"{s.sample.id}.png"
        Image.fromarray(s.sample.image).save(folder / name)
        row = json.loads(s.sample.model_dump_json(exclude={"image", "reference"}))
        row["image"] = name
        if masks and s.mask.any():
            Image.fromarray((s.mask * 255).astype(np.uint8)).save(folder / f"mask-{name}")
            row["labels"]["defects"][0]["mask"] = f"mask-{name}"
        rows.append(json.dumps(row))
    file = folder / "rows.jsonl"
    file.write_text("\n".join(rows) + "\n")
    return file


def test_rows_of_another_renderer_are_measured_by_the_same_code(tmp_path: Path) -> None:
    scenes = read_scenes(write_rows(tmp_path, SCENES))
    assert [s.sample.id for s in scenes] == [s.sample.id for s in SCENES]
    assert all((a.mask == b.mask).all() for a, b in zip(scenes, SCENES, strict=True))
    result = run(Fake(scenes), scenes)
    assert result["region_f1"] == 1.0
    assert "truth" not in result["notes"]
    assert len(read_scenes(tmp_path / "rows.jsonl", 3)) == 3


def test_boxes_that_stand_in_for_masks_are_owned_up_to(tmp_path: Path) -> None:
    scenes = read_scenes(write_rows(tmp_path, SCENES, masks=False))
    assert "no mask" in run(Fake(scenes), scenes)["notes"]["truth"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "1"', "line 1: row"),
        ('{"id": "1", "image": "1.png", "labls": {}}', "line 1: labls"),
        ('{"id": "1", "image": "1.png", "labels": {"score": 9}}', "labels.score"),
        ('{"id": "1", "image": "gone.png"}', "line 1: image"),
        ('{"id": "1"}', "line 1: image"),
        ('{"id": "1", "image": "rows.jsonl"}', "line 1: image"),
        (
            '{"image": "1.png", "labels": {"defects": [{"kind": "cut", "box": [0,0,9,9], "mask": "m"}]}}',
            "defects.0.mask",
        ),
        ("", "at least one row"),
    ],
)
def test_a_bad_rows_file_is_one_clear_error(tmp_path: Path, line: str, said: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    (tmp_path / "rows.jsonl").write_text(line)
    with pytest.raises(InputError, match=said):
        read_scenes(tmp_path / "rows.jsonl")


def test_drawn_scenes_carry_masks_and_no_labels_to_the_judge() -> None:
    from judge.scenes.fresh import draw_scenes

    scenes = draw_scenes(6, 3)
    assert [s.sample.prompt for s in scenes] == [s.sample.prompt for s in draw_scenes(6, 3)]
    for drawn in scenes:
        assert drawn.mask.any() == bool(drawn.defects)
        assert drawn.asked().elements == [e.name for e in drawn.sample.labels.elements]
        assert drawn.sample.image.shape == (*drawn.mask.shape, 3)


# ------------------------------------------------------------------------------------------- elements


def test_names_are_compared_without_kind_article_and_case() -> None:
    assert elements.words("The Red Circle (object-shape)") == ("red", "circle")
    assert elements.words("@ (Other-writing&symbol)") == ()


def test_precision_and_recall_of_a_split_worked_by_hand() -> None:
    labels = [("a red cat and a dog", ["red cat (animal)", "dog (animal)"]), ("x", ["big house (object)"])]

    def split(prompt: str) -> list[str]:
        return {"x": ["house"]}.get(prompt, ["a red cat", "tree", "a red cat"])

    result = elements.run(labels, split)
    # exact: "red cat" of 3 found and 3 true (a double counts once); overlap: "house" is half of "big house".
    assert (result["precision"], result["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (result["overlap_precision"], result["overlap_recall"]) == (
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    assert result["count"] == 2


def test_a_label_file_of_another_shape_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    for content in ("{", '{"a": 1}', '[{"prompt": "x"}]', "3"):
        file.write_text(content)
        with pytest.raises(InputError, match="labels"):
            elements.read_labels(file)


# ---------------------------------------------------------------------------------------------- forms


class Filler:
    """A backend that fills every form with its first labels, or with what it is told."""

    brief, size = True, 64

    def __init__(self, text: str | None = None) -> None:
        self.text = text

    def complete(self, requests: list[Any]) -> list[Any]:
        from judge.rubrics.form import Literal, Text

        replies = []
        for request in requests:
            walk, told = request.form.walk(), ""
            piece, text = next(walk), ""
            try:
                while True:
                    told = (
                        ""
                        if isinstance(piece, Literal)
                        else "fine"
                        if isinstance(piece, Text)
                        else piece.labels[0]
                    )
                    text += piece.text if isinstance(piece, Literal) else told + '"' * isinstance(piece, Text)
                    piece = walk.send("" if isinstance(piece, Literal) else told)
            except StopIteration:
                replies.append(SimpleNamespace(text=self.text or text))
        return replies

    choose = complete


def test_shapes_cover_the_range_and_repeat() -> None:
    shapes = list(forms.shapes(500, 0))
    assert shapes == list(forms.shapes(500, 0))
    assert {len(names) for names, _ in shapes} == set(range(13))
    assert {most for _, most in shapes} == set(range(7))
    assert all(len(set(names)) == len(names) for names, _ in shapes)
    assert any("<|im_end|>" in names for names, _ in shapes)


@pytest.fixture
def rubric() -> Any:
    pytest.importorskip("judge.backends.base")
    from judge.rubrics.rubric import Rubric

    return Rubric.load("default")


def test_filled_forms_are_valid_and_broken_replies_are_counted_with_their_reason(rubric: Any) -> None:
    pictures = [Image.new("RGB", (64, 64))]
    assert forms.run(Filler(), rubric, pictures, 40, 1)["valid"] == 40
    broken = forms.run(Filler('{"score":3'), rubric, pictures, 7, 1, batch=3)
    assert (broken["valid"], broken["valid_score_depth"]) == (0, 0)
    assert [f["form"] for f in broken["failures"]] == [0, 1, 2, 0, 1]
    assert "not JSON" in broken["failures"][0]["reason"]


def test_a_failed_row_and_loose_json_are_faults(rubric: Any) -> None:
    form = rubric.form(["red circle"], 0)
    assert forms.fault(form, ReplyError("score: missing")) == "score: missing"
    text = Filler().complete([SimpleNamespace(form=form)])[0].text
    assert forms.fault(form, SimpleNamespace(text=text)) == ""
    assert "canonical" in forms.fault(form, SimpleNamespace(text=text.replace(":", ": ")))


# -------------------------------------------------------------------------------------------- backend


def test_the_bare_pass_is_the_judges_own_forward_again() -> None:
    import torch

    class Body(torch.nn.Module):
        calls: list[tuple[int, object]] = []

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, *, x: torch.Tensor, past_key_values: object = None) -> torch.Tensor:
            self.calls.append((len(x), past_key_values))
            return self.layer(x)

    net = torch.nn.ModuleDict({"body": Body(), "head": torch.nn.Linear(3, 2)})

    class Judge:
        def many(self, samples, *, depth: str = "verdict", batch: int = 1) -> Iterator[Sample]:
            net["head"](net["body"](x=torch.zeros(len(samples), 3), past_key_values="a cache"))
            yield from samples

    samples = [Sample(id=str(i)) for i in range(4)]
    result = backend.run(Judge(), samples, SimpleNamespace(net=net), batches=(1, 4), rounds=2)
    assert result["forward_passes_batch_4"] == 1
    for size in (1, 4):
        assert result[f"score_to_forward_batch_{size}"] > 0
        assert result[f"seconds_per_verdict_batch_{size}"] > 0
    assert set(net["body"].calls) == {(1, "a cache"), (4, "a cache"), (1, None), (4, None)}
    passes = backend.recorded(net, lambda: list(Judge().many(samples)))
    assert [one.module for one in passes] == [net["body"], net["head"]]  # not the layer inside the body
    assert not any(module._forward_pre_hooks for module in net.modules())  # the model is left as it was
    bare = backend.run(Judge(), samples, object(), batches=(1,), rounds=1)
    assert bare["seconds_per_forward_batch_1"] is None
    assert "no torch model" in bare["notes"]["score_to_forward_batch_1"]


# --------------------------------------------------------------------------------------- command line


@pytest.fixture
def fake_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = SCENES
    monkeypatch.setattr("eval.bench.accuracy.scenes.draw_scenes", lambda count, seed: scenes[:count])
    monkeypatch.setattr(measuring, "open_judge", lambda model, adapter: Fake(scenes))


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, [*arguments])


@pytest.mark.usefixtures("fake_judge")
def test_json_is_exactly_one_object_whatever_libraries_print(monkeypatch: pytest.MonkeyPatch) -> None:
    def chatty(model: str, adapter: str | None) -> Fake:
        print("Loading weights: 100%")
        return Fake(SCENES)

    monkeypatch.setattr(measuring, "open_judge", chatty)
    result = invoke("scenes", "--seed", "7", "--count", "10", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert PROMISED | {"seed"} <= set(printed)
    assert (printed["part"], printed["seed"], printed["count"]) == ("scenes", 7, 10)


@pytest.mark.usefixtures("fake_judge")
def test_the_table_shows_numbers_intervals_and_notes() -> None:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(cli.app, ["scenes", "--count", "10"])
    assert result.exit_code == 0
    row = next(line for line in result.stdout.splitlines() if line.strip().startswith("element_accuracy "))
    assert "1.000" in row
    assert "1.000 .. 1.000" in row
    assert "no element of the kind relation" in result.stdout


@pytest.mark.usefixtures("fake_judge")
def test_rows_replace_drawing(tmp_path: Path) -> None:
    result = invoke("scenes", "--rows", str(write_rows(tmp_path, SCENES)), "--json")
    printed = json.loads(result.stdout)
    assert printed["rows"].endswith("rows.jsonl")
    assert "seed" not in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scenes", "--rows", "/nowhere/rows.jsonl"], "rows"),
        (["scenes", "--count", "0"], "--count"),
        (["scenes", "--seed", "-1"], "--seed"),
        (["all", "--out", "/nowhere/bench.json"], "out"),
        (["nonsense"], "nonsense"),
    ],
)
def test_unusable_input_is_one_clear_error_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_elements_without_the_label_file_are_skipped_with_a_reason() -> None:
    for arguments in (["elements", "--json"], ["elements", "--labels", "/nowhere.json", "--json"]):
        result = invoke(*arguments)
        assert result.exit_code == 0
        assert "give --labels" in json.loads(result.stdout)["skipped"]


def test_all_keeps_what_was_measured_when_a_part_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> dict[str, Any]:
        raise InputError("model", "x", "a model", "name one")

    for name in ("scenes", "serving", "suites", "forms", "busy", "reward", "video"):
        monkeypatch.setattr(measuring, name, lambda *_: {"count": 1})
    monkeypatch.setattr(measuring, "backend", broken)
    monkeypatch.setattr(measuring, "draw", lambda *_: {"count": 1 // 0})
    out = tmp_path / "bench.json"
    result = invoke("all", "--out", str(out))
    assert result.exit_code == 1
    written = json.loads(out.read_text())
    measured = {"scenes", "serving", "suites", "forms", "busy", "reward", "video", "draw", "elements"}
    assert set(written) == measured | {"backend"}
    assert "name one" in written["backend"]["error"]
    assert written["draw"]["error"].startswith("ZeroDivisionError")
    assert all(written[name]["part"] == name for name in written)


def test_the_bench_is_quick_to_import() -> None:
    """A mistyped option must not cost the loading of torch."""
    code = "import eval.bench.__main__, sys; print({'torch', 'scipy', 'cv2', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -------------------------------------------------------------------------------- beside other work


def test_the_engine_is_timed_in_quiet_and_beside_others_that_end_with_the_round() -> None:
    begun: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options)
            if "while True: pass" in command:
                begun.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Noted)
        result = invoke("busy", "--count", "2", "--rounds", "1", "--processes", "1", "--json")
    told = json.loads(result.stdout)
    assert told["verdicts"] == 2 and told["busy_processes"] == 1
    assert told["busy_over_quiet"] == pytest.approx(told["seconds_busy"] / told["seconds_quiet"])
    assert len(begun) == 1 and begun[0].returncode is not None


# -------------------------------------------------------------------------------------------- rewards


def test_rewards_are_timed_beside_verdicts_and_other_precisions_beside_the_usual(tmp_path: Path) -> None:
    for _ in write(tmp_path, 8, 3):
        pass
    told = reward.run(3, 4, "embedded", None, counts=(4, 8))
    assert told["unscored"] == 0 and told["pictures"] == 8 and told["batch_over_loop"] > 0
    assert 0 < told["peak_mb_4"] < told["peak_mb_8"] + 100
    assert not any(name.startswith("score_off") for name in told)
    halved = reward.main(str(tmp_path), 8, 8, "embedded", None, "bfloat16")
    assert halved["unscored"] == 0
    assert 0 < halved["score_off_mean"] <= halved["score_off_most"] < 0.05


# -------------------------------------------------------------------------------------------- serving


class Paced:
    """A team whose contenders answer at a set pace; `broken` breaks at its first timed lap."""

    def __init__(self, **rates: float) -> None:
        self.rates, self.visits, self.asked = rates, [], dict.fromkeys(rates, 0)

    def start(self) -> dict[str, dict[str, Any]]:
        if not self.rates:
            raise CannotRun("nothing is installed")
        return {name: {"batch": 4} for name in self.rates}

    def lap(self, name: str, depth: str, visit: int, count: int) -> Lap:
        self.visits.append(visit)
        self.asked[name] += 1
        if name == "bare_forward" and depth == "verdict":
            raise CannotRun("more than one pass")
        if name == "outlines" and self.asked[name] > 2:
            raise RuntimeError("it broke")
        seconds = count / self.rates[name] * (2 if depth == "verdict" else 1)
        return Lap(seconds, count, count - 1, [0.1] * count if name == "gateway" else [], errors=1)

    def stop(self) -> None:
        self.rates = {}


def test_serving_gives_rates_of_all_that_run_reasons_of_the_others_and_ratios() -> None:
    ours, theirs = Paced(generate=10.0, walker=60.0, outlines=5.0, bare_forward=75.0), Paced()
    team = Paced(gateway=20.0)
    teams = {("generate", "walker", "outlines", "bare_forward"): ours, ("vllm",): theirs, ("gateway",): team}
    result = serving.run(teams, 40, rounds=2)
    assert result["walker"]["scores_per_s"] == pytest.approx(60)
    assert result["walker"]["verdicts_per_s"] == pytest.approx(30)
    assert result["walker"]["usable_scores"] == pytest.approx(39 / 40)
    assert result["bare_forward"]["verdicts_per_s"] is None
    assert result["ratios"]["walker_to_generate_scores"] == pytest.approx(6)
    assert result["ratios"]["walker_to_bare_forward_scores"] == pytest.approx(0.8)
    assert "it broke" in result["outlines"]["cannot_run"]
    assert result["vllm"] == {"cannot_run": "nothing is installed"}
    assert result["ratios"]["vllm_to_vllm_raw_scores"] is None
    assert (result["gateway"]["score_p99_s"], result["gateway"]["score_error_rate"]) == (0.1, 1 / 40)
    assert len(set(ours.visits)) == len(ours.visits)  # no picture is met again
    assert ours.rates == team.rates == {}  # stopped
    json.dumps(result, allow_nan=False)
    shown = Console(width=160, file=StringIO())
    shown.print(serving.table({"part": "serving", **result}))
    assert "nothing is installed" in shown.file.getvalue()


def paced(rate: float) -> Paced:
    return Paced(walker=rate)


def ending() -> Paced:
    os._exit(3)


def test_a_team_in_another_process_answers_and_its_end_is_told() -> None:
    apart = serving.Apart(paced, 8.0)
    try:
        assert apart.start() == {"walker": {"batch": 4}}
        assert apart.lap("walker", "score", 1, 4) == Lap(0.5, 4, 3, [], 1)
        with pytest.raises(RuntimeError, match="KeyError"):
            apart.lap("nobody", "score", 2, 4)
    finally:
        apart.stop()
    gone = serving.Apart(ending)
    with pytest.raises(CannotRun, match="exit code 3"):
        gone.start()
    gone.stop()


def test_a_visits_pictures_differ_from_any_others_in_one_corner() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    (one,), (other,) = (fresh([Sample(image=pixels)], visit) for visit in (258, 3))
    assert one.image[0, 0].tolist() == [2, 1, 0]
    assert (one.image[1:] == pixels[1:]).all() and not pixels.any()
    assert (one.image != other.image).any()


@pytest.mark.slow
def test_serving_measures_the_real_libraries_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("outlines")
    from tiny import nano

    from eval.bench.speed.contenders.local import NAMES, Local

    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    samples = [
        Sample(id=str(i), image=p, prompt="a red circle", elements=["circle"]) for i, p in enumerate(pictures)
    ]
    result = serving.run({NAMES: Local(str(nano(tmp_path)), None, samples, 2)}, 3, rounds=1)
    assert set(NAMES) == set(serving.TEAMS["local"]) <= set(result)
    for name in NAMES:
        assert "cannot_run" not in result[name], result[name]
        assert result[name]["scores_per_s"] > 0
    assert result["walker"]["usable_verdicts"] == result["walker"]["usable_scores"] == 1
    assert all(result["ratios"][key] > 0 for key in result["asked"] if key.startswith("walker"))
