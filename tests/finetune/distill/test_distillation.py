"""Distillation: what is refused, the teacher's labels, the training targets, and a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from student_data import BLANKS, NETWORK, distill_config, write_noise_images

from finetune.distill.config import Config, NetworkConfig
from finetune.distill.network import StudentNetwork, count_flops, count_parameters
from finetune.distill.preparation import prepare
from finetune.distill.run import distill
from finetune.distill.targets import TrainingTargets, region_targets
from finetune.distill.teacher_labels import TeacherLabel, label_samples
from finetune.distill.training import region_losses
from judge import Judge
from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.scenes.dataset import write_scenes


@pytest.fixture(scope="module")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes, some of them with defects."""
    folder = tmp_path_factory.mktemp("drawn")
    assert list(write_scenes(folder, 8, seed=6))
    return folder


def mixed_config(photos: Path, scenes: Path, **changes: Any) -> Config:
    """A configuration with photographs of both rounds, and scenes of the first round only."""
    source = {"suite": "scenes", "path": str(scenes), "score": "structure", "weight": 0.5, "rounds": 1}
    rated = {"suite": "folder", "path": str(photos), "scale": [1, 5]}
    return distill_config(photos, data=[rated, source | changes])


def ignore_progress(done: int) -> None:
    """A `tick` that does nothing."""


# -- The network ---------------------------------------------------------------------------------------


def test_the_shipped_network_stays_within_its_size() -> None:
    config = Config.load("photos-student").network
    network = StudentNetwork(config, BLANKS)
    assert count_parameters(network) <= 1.2e6
    assert count_flops(network, config) <= 1.2e9, "most of it for the pretrained features"


# -- The teacher's labels ------------------------------------------------------------------------------


def test_an_interrupted_run_keeps_its_labels_and_judges_no_image_twice(tmp_path: Path) -> None:
    reply = {"degradation": "noise", "severity": "slight", "score": 3}
    samples = prepare(distill_config(write_noise_images(tmp_path / "data", 5))).samples
    out = tmp_path / "round1.jsonl"
    first = Judge(backend=Scripted([reply, reply, RuntimeError("killed")]), rubric="quality")
    with pytest.raises(RuntimeError, match="killed"):
        label_samples(first, samples, BLANKS, out, 1, ignore_progress)
    complete = out.read_text()
    out.write_text(complete + complete.splitlines()[0][:40])  # an incomplete line, as after a power cut
    backend = Scripted([reply] * 3)
    second = Judge(backend=backend, rubric="quality")
    labels = label_samples(second, samples, BLANKS, out, 1, ignore_progress)
    assert len(backend.requests) == 3
    assert len(labels) == 5
    scores = [label.probabilities["score"] for label in labels]
    assert all(shares.index(max(shares)) == 2 for shares in scores)
    assert out.read_text().startswith(complete)


def test_a_teacher_without_verdicts_stops_the_distillation(tmp_path: Path) -> None:
    samples = prepare(distill_config(write_noise_images(tmp_path / "data", 4))).samples
    judge = Judge(backend=Scripted(["no JSON"] * 4), rubric="quality")
    with pytest.raises(InputError, match="4 of 4 images unscored"):
        label_samples(judge, samples, BLANKS, tmp_path / "round1.jsonl", 2, ignore_progress)


# -- What is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rubric": "default"}, "elements"),
        ({"rubric": "video"}, "video"),
        ({"self_training": {}}, "no human scores"),
        ({"network": {"widht": 4}}, "width"),
        (
            {"teacher": {"backend": "openai", "base_url": "http://localhost:1/v1"}, "self_training": {}},
            "self_training",
        ),
    ],
)
def test_what_cannot_be_distilled_is_refused_before_anything_starts(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    scored = 2 if "teacher" in changes else 0
    data = write_noise_images(tmp_path / "data", 3, scored=scored)
    with pytest.raises(InputError, match=message):
        distill(distill_config(data, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_that_are_both_trained_and_measured_on_are_refused(tmp_path: Path) -> None:
    data = write_noise_images(tmp_path / "data", 3, scored=3)
    held = [{"suite": "folder", "path": str(data)}]
    with pytest.raises(InputError, match="not trained on"):
        prepare(distill_config(data, held=held))


def test_a_score_outside_its_scale_is_refused_with_its_row(tmp_path: Path) -> None:
    data = write_noise_images(tmp_path / "data", 3, scored=3)
    with pytest.raises(InputError, match=r"scale.*5 of 0\.png"):
        prepare(distill_config(data, scale=(1, 4)))


# -- The data and its training targets -----------------------------------------------------------------


def test_data_can_be_left_out_of_the_second_round(tmp_path: Path, scene_folder: Path) -> None:
    prepared = prepare(mixed_config(write_noise_images(tmp_path, 3, scored=2), scene_folder))
    assert len(prepared.samples) == 11 and prepared.second_round == [0, 1, 2]
    second = prepared.for_second_round()
    assert [s.media_file for s in second.samples] == [s.media_file for s in prepared.samples[:3]]
    assert second.opinions == prepared.opinions[:3]


def test_a_dimension_of_the_labels_can_be_used_as_the_score(tmp_path: Path, scene_folder: Path) -> None:
    prepared = prepare(mixed_config(write_noise_images(tmp_path, 3), scene_folder))
    structure = [sample.labels.dimensions["structure"] for sample in prepared.samples[3:]]
    assert prepared.opinions == [None] * 3 + structure
    with pytest.raises(InputError, match=r"data.1.score.*beauty.*structure"):
        prepare(mixed_config(tmp_path, scene_folder, score="beauty"))


def test_regions_are_targets_for_the_sources_that_have_any(tmp_path: Path, scene_folder: Path) -> None:
    prepared = prepare(mixed_config(write_noise_images(tmp_path, 3), scene_folder))
    regions = prepared.labelled_regions()
    assert regions[:3] == [None] * 3, "the photographs have no labelled regions"
    defects = [sample.labels.defects for sample in prepared.samples[3:]]
    assert [len(own or ()) for own in regions[3:]] == [len(own) for own in defects]
    targets = region_targets([None, [], [("cut", (0.0, 0.0, 0.5, 1.0))]])
    assert targets["kinds"].tolist() == [[0.0], [0.0], [1.0]]
    assert (targets["regions"][0] == -1).all() and (targets["regions"][1] == 0).all()
    assert (targets["regions"][2][:, :8] == 1).all() and (targets["regions"][2][:, 8:] == 0).all()


def test_regions_are_mirrored_with_their_image() -> None:
    regions = region_targets([[("cut", (0.0, 0.0, 0.5, 1.0))]])
    targets = TrainingTargets(
        rounds=torch.zeros(1, 1, 1), known=torch.ones(1, 1), facts=torch.zeros(1, 0),
        opinions=torch.zeros(1, 5), score=slice(0, 5), weights=np.ones(1), **regions,
    )  # fmt: skip
    sure_of_left = torch.stack([-regions["regions"], regions["regions"]], 1) * 20.0
    weights, kinds = distill_config(Path()).training, torch.full((1, 1), 20.0)
    unmirrored, mirrored = (
        float(region_losses(weights, kinds, [sure_of_left], targets, [0], torch.tensor([flip]))["regions"])
        for flip in (False, True)
    )
    assert unmirrored < mirrored / 10


def test_data_with_half_the_weight_is_used_half_as_often() -> None:
    labels, weights = [[TeacherLabel()] * 4], [1.0, 1.0, 0.5, 0.5]
    targets = TrainingTargets.build(labels, [None] * 4, BLANKS, [None] * 4, weights)
    assert targets.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 6, 1 / 6])


# -- Whole runs ----------------------------------------------------------------------------------------


def test_auxiliary_heads_are_not_part_of_the_student(tmp_path: Path, scene_folder: Path) -> None:
    out, network = tmp_path / "out", NETWORK | {"pretrained": 40}
    config = mixed_config(write_noise_images(tmp_path / "data", 4), scene_folder)
    config = config.model_copy(update={"network": NetworkConfig(**network)})
    result = distill(config, out)
    plain = StudentNetwork(config.network, BLANKS)
    assert result["parameters"] == count_parameters(plain)
    assert result["pictures"] == 12
    assert Judge(str(out / "student"), rubric="quality")(Image.new("RGB", (64, 64)), depth="score").score


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_student_learns_the_embedded_judges_scores_of_noise(tmp_path: Path) -> None:
    data = write_noise_images(tmp_path / "data", 12, scored=4)
    held_out = write_noise_images(tmp_path / "held", 4, scored=4, seed=1)
    config = distill_config(
        data,
        self_training={"steps": 1, "batch": 2},
        training={"steps": 300, "batch": 8, "views": 2, "opinions": 0},
        held=[{"suite": "folder", "path": str(held_out)}],
    )
    result = distill(config, tmp_path / "out")
    assert result["rounds"] == 2
    assert result["labelled"] == 4
    [measures] = result["held"]
    assert measures["teacher"] is not None and measures["student"] is not None
    assert result["course"] == [] or result["course"][-1]["step"] <= 300
    lines = [json.loads(line) for line in (tmp_path / "out/round1.jsonl").read_text().splitlines()]
    taught = [sum(n * p for n, p in enumerate(line["told"]["score"], 1)) for line in lines]
    rows = [{"image": str(data / f"{n}.png")} for n in range(12)]
    student = Judge(str(tmp_path / "out/student"), rubric="quality")
    learned = [verdict.score for verdict in student.many(rows, depth="score")]
    assert np.corrcoef(taught, learned)[0, 1] > 0.9
    with pytest.raises(InputError, match="a run has ended there"):
        distill(config, tmp_path / "out")
