"""A student: what it sees, what it answers and what it rejects."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from student_data import BLANKS, NETWORK, distill_config, write_noise_images
from typer.testing import CliRunner

from finetune.distill.export import export_student
from finetune.distill.network import StudentNetwork
from judge import Judge
from judge.backends.student import Student, StudentConfig, find_student
from judge.cli.app import app
from judge.errors import BackendError, InputError
from judge.evidence.pretrained import FEATURE_LENGTH

CONFIG = StudentConfig(rubric="quality", blanks=BLANKS, whole=32, grid=3, patch=16, domain="noise")


def write_student(out: Path, pretrained: int = 0) -> Path:
    """Write an untrained student, and return its folder."""
    config = distill_config(out, network=NETWORK | {"pretrained": pretrained})
    torch.manual_seed(0)
    network = StudentNetwork(config.network, BLANKS, facts=2)
    export_student(network, CONFIG.model_copy(update={"pretrained": pretrained}), config.network, out)
    return out


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained student."""
    return write_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def pretrained_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained student that reads pretrained features."""
    return write_student(tmp_path_factory.mktemp("pretrained"), 40)


# -- What it sees ------------------------------------------------------------------------------------------


def test_patches_are_full_resolution_squares_from_corner_to_corner() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    patches = CONFIG.extract_patches(image)
    assert patches.shape == (48, 48, 3)
    assert (patches[:16, :16] == image[:16, :16]).all()
    assert (patches[-16:, -16:] == image[-16:, -16:]).all()
    assert (patches[16:32, 16:32] == image[37:53, 52:68]).all(), "the middle patch is from the middle"


@pytest.mark.parametrize("size", [(20, 20), (5, 200), (1, 1)])
def test_images_smaller_than_the_patches_are_padded(size: tuple[int, int]) -> None:
    assert CONFIG.extract_patches(np.zeros((*size, 3), np.uint8)).shape == (48, 48, 3)


def test_random_patches_stay_near_their_grid_position_and_inside_the_image() -> None:
    columns = np.tile(np.arange(120, dtype=np.uint8)[None, :, None], (90, 1, 3))
    for seed in range(20):
        patches = CONFIG.extract_patches(columns, np.random.default_rng(seed))
        starts = patches[0, ::16, 0].astype(int)
        assert 0 <= starts[0] <= 26 <= starts[1] <= 78 <= starts[2] <= 104


# -- What it answers and rejects ---------------------------------------------------------------------------


def test_a_student_answers_its_rubric_at_depth_score_without_measured_facts(student: Path) -> None:
    image = Image.new("RGB", (200, 100), "red")
    judge = Judge(str(student), rubric="quality")
    verdict = judge(image, depth="score")
    assert verdict.status == "scored"
    assert verdict.facts == {}
    assert verdict.provenance.backend == "onnxruntime"
    assert verdict.provenance.domain == "noise"
    assert set(verdict.attributes) == {"degradation", "severity"}
    [reply] = Student(student).choose([judge.pipeline.prepare({"image": image}, "score").request])
    probabilities = list(reply.probabilities["score"].values())
    assert verdict.distribution == pytest.approx(probabilities), "facts do not change its answer"


@pytest.mark.parametrize("name", ["student", "pretrained_student"])
def test_batches_give_the_scores_of_single_images(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = write_noise_images(tmp_path, 5)
    rows = [{"image": str(folder / f"{n}.png")} for n in range(5)]
    judge = Judge(str(request.getfixturevalue(name)), rubric="quality")
    together = [v.score for v in judge.many(rows, depth="score", batch=5)]
    alone = [v.score for v in judge.many(rows, depth="score", batch=1)]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_student_with_pretrained_features_reads_them_from_the_whole_image(pretrained_student: Path) -> None:
    config = CONFIG.model_copy(update={"pretrained": 40})
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8))
    view = config.make_view(image)
    assert view.pretrained is not None and view.pretrained.shape == (40, 40, 3)
    judge = Judge(str(pretrained_student), rubric="quality")
    before = judge(image, depth="score").score
    with patch(
        "judge.backends.student.extract_batch", lambda images: np.ones((len(images), FEATURE_LENGTH), "f4")
    ):
        assert judge(image, depth="score").score != pytest.approx(before, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rubric": "quality"}, "'verdict'"),
        ({"rubric": "default", "depth": "score"}, "quality"),
        ({"rubric": "quality", "depth": "score", "adapter": "some"}, "adapter"),
        ({"rubric": "quality", "depth": "score", "backend": "vllm"}, "backend"),
    ],
)
def test_a_request_that_a_student_cannot_answer_is_an_input_error(
    student: Path, options: dict[str, str], message: str
) -> None:
    depth = options.pop("depth", "verdict")
    with pytest.raises(InputError, match=message):
        Judge(str(student), **options)(Image.new("RGB", (20, 20)), prompt="a cat", depth=depth)  # type: ignore[arg-type]


def test_a_damaged_student_is_a_backend_error(student: Path, tmp_path: Path) -> None:
    (tmp_path / "student.json").write_bytes((student / "student.json").read_bytes())
    (tmp_path / "student.onnx").write_bytes((student / "student.onnx").read_bytes()[:2000])
    with pytest.raises(BackendError, match="no usable student"):
        Judge(str(tmp_path), rubric="quality")(Image.new("RGB", (20, 20)), depth="score")
    assert find_student(tmp_path / "nowhere") is None


def test_the_command_line_scores_rows_with_a_student(student: Path, tmp_path: Path) -> None:
    rows, out = write_noise_images(tmp_path / "data", 4) / "rows.jsonl", tmp_path / "verdicts.jsonl"
    command = ["score", str(rows), "--out", str(out), "--model", str(student), "--rubric", "quality"]
    done = CliRunner().invoke(app, [*command, "--depth", "score"])
    assert done.exit_code == 0, done.output
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert [v["status"] for v in verdicts] == ["scored"] * 4
    rejected = CliRunner().invoke(app, [*command[:-1], "aesthetics", "--depth", "score"])
    assert rejected.exit_code == 2
    assert "quality" in rejected.output and "Traceback" not in rejected.output


def test_the_embedded_student_gives_lower_scores_to_stronger_noise() -> None:
    rng = np.random.default_rng(0)
    image = np.asarray(Image.linear_gradient("L").resize((300, 240)).convert("RGB"))
    noisy = [image + rng.normal(0, strength, image.shape) for strength in (0, 15, 40, 90)]
    rows = [{"image": pixels.clip(0, 255).astype(np.uint8)} for pixels in noisy]
    verdicts = list(Judge("embedded-student", rubric="quality").many(rows, depth="score"))
    scores = [verdict.score for verdict in verdicts]
    assert scores[1:] == sorted(scores[1:], reverse=True)
    assert verdicts[3].attributes["degradation"].label == "noise"
    assert verdicts[0].provenance.model == "embedded-student"
