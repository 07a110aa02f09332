"""Students: what they see, what they answer and refuse, and how they are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from finetune.distill import labels as teacher
from finetune.distill import run as distilling
from finetune.distill.config import Config
from finetune.distill.network import StudentNetwork, flops, parameters
from finetune.distill.train import Lessons, _beside, _regions
from judge import Judge
from judge.backends.scripted import Scripted
from judge.backends.student import Plan, Student, blanks_of, found
from judge.cli.app import app
from judge.errors import BackendError, InputError
from judge.rubrics.rubric import Rubric
from judge.scenes.dataset import write

QUALITY = Rubric.load("quality")
BLANKS = blanks_of(QUALITY.form(()).at_depth("score"))
SMALL: dict[str, Any] = {"whole": 32, "grid": 3, "patch": 16, "width": 4, "hidden": 16}


def config(folder: Path, scale: tuple[float, float] = (1, 5), **changes: Any) -> Config:
    raw = {
        "name": "small",
        "rubric": "quality",
        "network": SMALL,
        "data": [{"suite": "folder", "path": str(folder), "scale": list(scale)}],
        "training": {"steps": 3, "batch": 4, "views": 2},
        **changes,
    }
    return Config.of(raw)


def pictures(folder: Path, count: int, *, scored: int = 0, seed: int = 0) -> Path:
    """Noise of growing strength, as data of the suite `folder`; the first ones have a score."""
    folder.mkdir(parents=True, exist_ok=True)
    r, rows = np.random.default_rng(seed), []
    for n in range(count):
        grey = 128 + r.normal(0, 1 + 60 * n / count, (60, 80, 3))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{n}.png")
        rows.append({"image": f"{n}.png", **({"score": 5 - 4 * n / count} if n < scored else {})})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained student's folder."""
    out = tmp_path_factory.mktemp("student")
    wanted = config(out)
    torch.manual_seed(0)
    network = StudentNetwork(wanted.network, BLANKS, facts=2)
    plan = Plan(rubric="quality", blanks=BLANKS, whole=32, grid=3, patch=16, domain="noise")
    distilling.export(network, plan, wanted, out)
    return out


# -- What it sees --------------------------------------------------------------------------------------


def test_patches_are_pieces_of_the_picture_in_full_detail_from_corner_to_corner() -> None:
    plan = Plan(rubric="quality", blanks=BLANKS, whole=32, grid=3, patch=16)
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    seen = plan.patches(picture)
    assert seen.shape == (48, 48, 3)
    assert (seen[:16, :16] == picture[:16, :16]).all()
    assert (seen[-16:, -16:] == picture[-16:, -16:]).all()
    assert (seen[16:32, 16:32] == picture[37:53, 52:68]).all(), "the middle one is from the middle"


@pytest.mark.parametrize("size", [(20, 20), (5, 200), (1, 1)])
def test_pictures_smaller_than_the_patches_are_seen_too(size: tuple[int, int]) -> None:
    plan = Plan(rubric="quality", blanks=BLANKS, whole=32, grid=3, patch=16)
    assert plan.patches(np.zeros((*size, 3), np.uint8)).shape == (48, 48, 3)


def test_patches_by_chance_come_from_near_their_places_and_inside_the_picture() -> None:
    plan = Plan(rubric="quality", blanks=BLANKS, whole=32, grid=3, patch=16)
    across = np.tile(np.arange(120, dtype=np.uint8)[None, :, None], (90, 1, 3))
    for seed in range(20):
        seen = plan.patches(across, np.random.default_rng(seed))
        starts = seen[0, ::16, 0].astype(int)
        assert 0 <= starts[0] <= 26 <= starts[1] <= 78 <= starts[2] <= 104


# -- What it answers and refuses -----------------------------------------------------------------------


def test_a_student_answers_its_rubric_at_depth_score_without_words_or_measures(student: Path) -> None:
    judge = Judge(str(student), rubric="quality")
    verdict = judge(Image.new("RGB", (200, 100), "red"), depth="score")
    assert verdict.status == "scored"
    assert verdict.facts == {}
    assert verdict.provenance.backend == "onnxruntime"
    assert verdict.provenance.domain == "noise"
    assert set(verdict.attributes) == {"degradation", "severity"}
    [reply] = Student(student).choose(
        [judge.pipeline.prepare({"image": Image.new("RGB", (200, 100), "red")}, "score").request]
    )
    told = list(reply.probabilities["score"].values())
    assert verdict.distribution == pytest.approx(told), "measured facts have no share beside what it says"


def test_its_batches_give_what_single_pictures_give(student: Path, tmp_path: Path) -> None:
    files = [{"image": str(pictures(tmp_path, 5) / f"{n}.png")} for n in range(5)]
    judge = Judge(str(student), rubric="quality")
    together = [v.score for v in judge.many(files, depth="score", batch=5)]
    alone = [v.score for v in judge.many(files, depth="score", batch=1)]
    assert together == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rubric": "quality"}, "'verdict'"),
        ({"rubric": "default", "depth": "score"}, "quality"),
        ({"rubric": "quality", "depth": "score", "adapter": "some"}, "adapter"),
        ({"rubric": "quality", "depth": "score", "backend": "vllm"}, "backend"),
    ],
)
def test_what_a_student_cannot_do_is_one_error(student: Path, asked: dict[str, str], said: str) -> None:
    depth = asked.pop("depth", "verdict")
    with pytest.raises(InputError, match=said):
        Judge(str(student), **asked)(Image.new("RGB", (20, 20)), prompt="a cat", depth=depth)  # type: ignore[arg-type]


def test_a_damaged_student_is_one_error(student: Path, tmp_path: Path) -> None:
    (tmp_path / "student.json").write_bytes((student / "student.json").read_bytes())
    (tmp_path / "student.onnx").write_bytes((student / "student.onnx").read_bytes()[:2000])
    with pytest.raises(BackendError, match="no usable student"):
        Judge(str(tmp_path), rubric="quality")(Image.new("RGB", (20, 20)), depth="score")
    assert found(tmp_path / "nowhere") is None


def test_rows_are_scored_by_a_student_on_the_command_line(student: Path, tmp_path: Path) -> None:
    rows, out = pictures(tmp_path / "data", 4) / "rows.jsonl", tmp_path / "verdicts.jsonl"
    asked = ["score", str(rows), "--out", str(out), "--model", str(student), "--rubric", "quality"]
    done = CliRunner().invoke(app, [*asked, "--depth", "score"])
    assert done.exit_code == 0, done.output
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert [v["status"] for v in verdicts] == ["scored"] * 4
    refused = CliRunner().invoke(app, [*asked[:-1], "aesthetics", "--depth", "score"])
    assert refused.exit_code == 2
    assert "quality" in refused.output and "Traceback" not in refused.output


def test_the_embedded_student_sees_what_spoils_a_picture_as_it_grows() -> None:
    r, scene = (
        np.random.default_rng(0),
        np.asarray(Image.linear_gradient("L").resize((300, 240)).convert("RGB")),
    )
    noisy = [scene + r.normal(0, strength, scene.shape) for strength in (0, 15, 40, 90)]
    rows = [{"image": pixels.clip(0, 255).astype(np.uint8)} for pixels in noisy]
    judge = Judge("embedded-student", rubric="quality")
    verdicts = list(judge.many(rows, depth="score"))
    scores = [verdict.score for verdict in verdicts]
    assert scores[1:] == sorted(scores[1:], reverse=True)
    assert verdicts[3].attributes["degradation"].label == "noise"
    assert verdicts[0].provenance.model == "embedded-student"


# -- How it is made ------------------------------------------------------------------------------------


def test_the_shipped_shape_keeps_to_its_size() -> None:
    wanted = Config.load("photos-student").network
    network = StudentNetwork(wanted, BLANKS)
    assert parameters(network) <= 1.2e6
    assert flops(network, wanted) <= 0.33e9


def test_what_the_teacher_said_is_kept_and_never_asked_again(tmp_path: Path) -> None:
    reply = {"degradation": "noise", "severity": "slight", "score": 3}
    items = distilling.prepare(config(pictures(tmp_path / "data", 5))).items
    out = tmp_path / "round1.jsonl"
    first = Judge(backend=Scripted([reply, reply, RuntimeError("killed")]), rubric="quality")
    with pytest.raises(RuntimeError, match="killed"):
        teacher.labels(first, items, BLANKS, out, 1, lambda done: None)
    whole = out.read_text()
    out.write_text(whole + whole.splitlines()[0][:40])  # torn by a power cut
    again = Scripted([reply] * 3)
    said = teacher.labels(Judge(backend=again, rubric="quality"), items, BLANKS, out, 1, lambda done: None)
    assert len(again.requests) == 3
    assert len(said) == 5
    assert all(label.told["score"].index(max(label.told["score"])) == 2 for label in said)
    assert out.read_text().startswith(whole)


def test_a_teacher_that_gives_no_verdicts_stops_the_distillation(tmp_path: Path) -> None:
    items = distilling.prepare(config(pictures(tmp_path / "data", 4))).items
    judge = Judge(backend=Scripted(["no JSON"] * 4), rubric="quality")
    with pytest.raises(InputError, match="4 of 4 pictures unscored"):
        teacher.labels(judge, items, BLANKS, tmp_path / "round1.jsonl", 2, lambda done: None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rubric": "default"}, "elements"),
        ({"rubric": "video"}, "video"),
        ({"self_training": {}}, "no scores"),
        ({"network": {"widht": 4}}, "width"),
        (
            {"teacher": {"backend": "openai", "base_url": "http://localhost:1/v1"}, "self_training": {}},
            "self_training",
        ),
    ],
)
def test_what_cannot_be_distilled_is_told_before_anything_starts(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    scored = 2 if "teacher" in changes else 0
    with pytest.raises(InputError, match=said):
        distilling.run(config(pictures(tmp_path / "data", 3, scored=scored), **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_that_are_measured_on_are_not_learnt_from(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 3, scored=3)
    held = [{"suite": "folder", "path": str(data)}]
    with pytest.raises(InputError, match="not learnt from"):
        distilling.prepare(config(data, held=held))


def test_a_score_off_the_scale_is_told_with_its_row(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 3, scored=3)
    with pytest.raises(InputError, match=r"scale.*5 of 0\.png"):
        distilling.prepare(config(data, scale=(1, 4)))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_student_of_the_embedded_judge_end_to_end(tmp_path: Path) -> None:
    data, held = pictures(tmp_path / "data", 12, scored=4), pictures(tmp_path / "held", 4, scored=4, seed=1)
    wanted = config(
        data,
        self_training={"steps": 1, "batch": 2},
        training={"steps": 300, "batch": 8, "views": 2, "opinions": 0},
        held=[{"suite": "folder", "path": str(held)}],
    )
    told = distilling.run(wanted, tmp_path / "out")
    assert told["rounds"] == 2
    assert told["labelled"] == 4
    [measured] = told["held"]
    assert measured["teacher"] is not None and measured["student"] is not None
    assert told["course"] == [] or told["course"][-1]["step"] <= 300
    lines = [json.loads(line) for line in (tmp_path / "out/round1.jsonl").read_text().splitlines()]
    taught = [sum(n * p for n, p in enumerate(line["told"]["score"], 1)) for line in lines]
    rows = [{"image": str(data / f"{n}.png")} for n in range(12)]
    learnt = [
        v.score for v in Judge(str(tmp_path / "out/student"), rubric="quality").many(rows, depth="score")
    ]
    assert np.corrcoef(taught, learnt)[0, 1] > 0.9, "it has learnt what the teacher says of noise"
    with pytest.raises(InputError, match="a run has ended there"):
        distilling.run(wanted, tmp_path / "out")


# -- What is learnt beside, and of which data --------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes, some of them with something broken."""
    folder = tmp_path_factory.mktemp("drawn")
    assert list(write(folder, 8, seed=6))
    return folder


def mixed(photographs: Path, scenes: Path, **changes: Any) -> Config:
    """Photographs of both rounds, and scenes of the first."""
    source = {"suite": "scenes", "path": str(scenes), "score": "structure", "weight": 0.5, "rounds": 1}
    rated = {"suite": "folder", "path": str(photographs), "scale": [1, 5]}
    return config(photographs, data=[rated, source | changes])


def test_data_may_be_left_out_of_the_second_round(tmp_path: Path, drawn: Path) -> None:
    prepared = distilling.prepare(mixed(pictures(tmp_path, 3, scored=2), drawn))
    assert len(prepared.items) == 11 and prepared.twice == [0, 1, 2]
    again = prepared.again()
    assert [item.file for item in again.items] == [item.file for item in prepared.items[:3]]
    assert again.opinions == prepared.opinions[:3]


def test_a_dimension_of_the_labels_may_answer_the_score(tmp_path: Path, drawn: Path) -> None:
    prepared = distilling.prepare(mixed(pictures(tmp_path, 3), drawn))
    wanted = [item.labels.dimensions["structure"] for item in prepared.items[3:]]
    assert prepared.opinions == [None] * 3 + wanted
    with pytest.raises(InputError, match=r"data.1.score.*beauty.*structure"):
        distilling.prepare(mixed(tmp_path, drawn, score="beauty"))


def test_regions_are_learnt_of_data_that_has_any_where_they_lie(tmp_path: Path, drawn: Path) -> None:
    prepared = distilling.prepare(mixed(pictures(tmp_path, 3), drawn))
    marked = prepared.marked()
    assert marked[:3] == [None] * 3, "nobody looked for any"
    broken = [item.labels.defects for item in prepared.items[3:]]
    assert [len(marks or ()) for marks in marked[3:]] == [len(defects) for defects in broken]
    told = _regions([None, [], [("cut", (0.0, 0.0, 0.5, 1.0))]])
    assert told["kinds"].tolist() == [[0.0], [0.0], [1.0]]
    assert (told["regions"][0] == -1).all() and (told["regions"][1] == 0).all()
    assert (told["regions"][2][:, :8] == 1).all() and (told["regions"][2][:, 8:] == 0).all()


def test_regions_are_mirrored_with_their_picture() -> None:
    told = _regions([[("cut", (0.0, 0.0, 0.5, 1.0))]])
    lessons = Lessons(rounds=torch.zeros(1, 1, 1), known=torch.ones(1, 1), facts=torch.zeros(1, 0),
                      opinions=torch.zeros(1, 5), score=slice(0, 5), weights=np.ones(1), **told)  # fmt: skip
    left = torch.stack([-told["regions"], told["regions"]], 1) * 20.0  # sure that the left half is cut
    plan, kinds = config(Path()).training, torch.full((1, 1), 20.0)
    right_way, mirrored = (
        float(_beside(plan, kinds, [left], lessons, [0], torch.tensor([flip]))["regions"])
        for flip in (False, True)
    )
    assert right_way < mirrored / 10


def test_what_is_learnt_beside_is_no_part_of_the_student(tmp_path: Path, drawn: Path) -> None:
    out = tmp_path / "out"
    told = distilling.run(mixed(pictures(tmp_path / "data", 4), drawn), out)
    plain = StudentNetwork(config(tmp_path).network, BLANKS)
    assert told["parameters"] == parameters(plain)
    assert told["pictures"] == 12
    assert Judge(str(out / "student"), rubric="quality")(Image.new("RGB", (64, 64)), depth="score").score


def test_data_of_half_the_weight_comes_half_as_often() -> None:
    lessons = Lessons.of([[teacher.Label()] * 4], [None] * 4, BLANKS, [None] * 4, [1.0, 1.0, 0.5, 0.5])
    assert lessons.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 6, 1 / 6])
