"""Heat maps: of the numbers that the verdict gives, in the places that they come from, and drawn beside the
boxes; or one clear error where a model has no gradients."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from serving import data_url, gateway, png
from tiny import checkpoint
from typer.testing import CliRunner

from eval.trust.attribution import heat_auc as auc
from judge import Judge, Sample, Verdict
from judge.backends.decoding.batch import log_probabilities
from judge.backends.decoding.choice_reading import ChoiceReader
from judge.backends.scripted import Scripted
from judge.backends.transformers.backend import Transformers
from judge.cli import app as cli
from judge.errors import BackendError, InputError
from judge.explain import heatmap as heat
from judge.explain.heatmap import MAP_SIDE, blend_heat_map, decode_heat_map
from judge.media.regions import iou
from judge.scenes.held_out import draw_held_out_scenes
from judge.serve.engine.ipc import judge_backend_spec
from judge.serve.engine.supervisor import RestartPolicy

PROMPT = "a red circle and two cats"


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.fixture(scope="module")
def heated(judge: Judge) -> list[tuple[Any, Verdict]]:
    """Scenes and verdicts with maps."""
    scenes = draw_held_out_scenes(16, seed=77)
    return list(zip(scenes, judge.many([one.asked() for one in scenes], heat=True), strict=True))


def test_a_map_for_the_score_and_one_for_each_defect_travel_with_the_verdict(heated: Any) -> None:
    assert any(verdict.defects for _, verdict in heated)
    for _, verdict in heated:
        assert len(verdict.heat.defects) == len(verdict.defects)
        for url in (verdict.heat.score, *verdict.heat.defects):
            assert decode_heat_map(url).shape == (MAP_SIDE, MAP_SIDE)
            assert decode_heat_map(url).max() == 1 and decode_heat_map(url).min() < 0.2
        assert Verdict.model_validate_json(verdict.model_dump_json()).heat == verdict.heat


def test_a_verdict_is_the_same_with_maps_as_without(judge: Judge, heated: Any) -> None:
    scenes = [scene for scene, _ in heated]
    for plain, (_, verdict) in zip(judge.many([one.asked() for one in scenes]), heated, strict=True):
        assert plain.heat is None
        hidden = {"heat", "provenance"}
        assert plain.model_dump(exclude=hidden) == verdict.model_dump(exclude=hidden)


def test_defects_are_hot_where_the_truth_is_and_the_score_where_anything_is_broken(heated: Any) -> None:
    defects, scores = [], []
    for scene, verdict in heated:
        true = [d.box for d in scene.sample.labels.defects]
        for defect, url in zip(verdict.defects, verdict.heat.defects, strict=True):
            right = [box for box in true if iou(box, defect.box) > 0.1]
            defects += auc(decode_heat_map(url), right[0], verdict.size) if right else []
        scores += auc(decode_heat_map(verdict.heat.score), true[0], verdict.size) if true else []
    assert len(defects) >= 8 and len(scores) >= 8
    assert np.mean(defects) > 0.85
    assert np.mean(scores) > 0.75


def test_what_is_traced_are_the_probabilities_of_the_verdict(judge: Judge, heated: Any) -> None:
    scene, verdict = next(pair for pair in heated if pair[1].defects)
    case = judge.pipeline.prepare(scene.unlabelled_sample())
    backend = judge.backend
    assert isinstance(backend, Transformers)
    _, traced = heat.build_trace_requests(judge.pipeline, case, verdict)
    [row] = backend._build_rows([traced.request], lambda _: None)
    reading = ChoiceReader.for_form(traced.request.form, backend.tokenizer, traced.values, {"defects.0.open"})
    row.step = reading.step
    with torch.no_grad():
        [logs] = log_probabilities(
            backend.network("default"), [row], backend.tokenizer.image_token, backend.tokenizer.video_token
        )
    told = reading.probabilities(logs)["defects.0.open"]
    assert float(told["open"]) == pytest.approx(verdict.defects[0].confidence, abs=1e-4)
    assert float(told["open"] + told["close"]) == pytest.approx(1, abs=1e-5)


def test_relevance_is_what_the_number_loses_where_a_patch_becomes_the_mean_patch(judge: Judge) -> None:
    scene = draw_held_out_scenes(1, seed=5)[0]
    case, backend = judge.pipeline.prepare(scene.unlabelled_sample(), "score"), judge.backend
    verdict = judge(scene.unlabelled_sample().image, prompt=scene.sample.prompt, depth="score")
    [traced] = heat.build_trace_requests(judge.pipeline, case, verdict)
    [[[found]]] = backend.trace([traced])
    [row] = backend._build_rows([traced.request], lambda _: None)
    reading = ChoiceReader.for_form(traced.request.form, backend.tokenizer, None, set(traced.targets[0]))
    row.step = reading.step
    mean, before = row.pixels.mean(dim=0), row.pixels

    def number(share: float, patch: int) -> float:
        row.pixels, row.position = before.clone(), 0
        row.pixels[patch] += share * (mean - before[patch])
        with torch.no_grad():
            [logs] = log_probabilities(
                backend.network("default"), [row], backend.tokenizer.image_token, backend.tokenizer.video_token
            )
        shares = reading.probabilities(logs.double())
        return sum(w * float(shares[b][x]) for b, told in traced.targets[0].items() for x, w in told.items())

    # The patch of the second block's first row is the third in the first row of the picture.
    for patch, (y, x) in ((0, (0, 0)), (1, (0, 1)), (2, (1, 0)), (4, (0, 2))):
        slope = (number(0.01, patch) - number(-0.01, patch)) / 0.02
        assert abs(slope) == pytest.approx(found[y, x], rel=0.05, abs=2e-4)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_any_checkpoint_and_any_shape_of_picture(family: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", family, side=256)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (120, 360, 3), dtype=np.uint8))
    found = Judge(str(folder), backend="transformers", max_defects=1)(picture, prompt=PROMPT, heat=True)
    assert found.heat is not None
    assert decode_heat_map(found.heat.score).shape == (21, 64)


def test_parts_in_full_detail_count_where_they_lie(judge: Judge) -> None:
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 500, 3), dtype=np.uint8))
    found = Judge(rubric="quality")(wide, heat=True)
    assert found.heat is not None and decode_heat_map(found.heat.score).shape == (38, 64)


def test_a_verdict_of_another_backend_can_be_given_maps(judge: Judge, heated: Any) -> None:
    scene, verdict = heated[0]
    stored = Verdict.model_validate(verdict.model_dump() | {"heat": None})
    found = judge.heated(stored, scene.unlabelled_sample())
    assert stored.heat is None and found.heat == verdict.heat


def test_a_verdict_by_another_rubric_or_on_another_picture_is_refused(judge: Judge, heated: Any) -> None:
    scene, verdict = heated[0]
    with pytest.raises(InputError, match="verdict"):
        Judge(backend=judge.backend, rubric="structure").heated(verdict, scene.unlabelled_sample())
    with pytest.raises(InputError, match="image"):
        judge.heated(verdict, Sample(image=np.zeros((30, 40, 3), np.uint8), prompt=scene.sample.prompt))


@pytest.mark.parametrize("backend", [Scripted(), "embedded-student"])
def test_models_without_gradients_say_so(backend: Any) -> None:
    scripted = isinstance(backend, Scripted)
    one = Judge(backend=backend) if scripted else Judge(backend, rubric="quality")
    with pytest.raises(InputError, match="heat.*transformers"):
        one(Image.new("RGB", (64, 64)), prompt=PROMPT, heat=True, depth="verdict" if scripted else "score")


def test_a_video_has_a_note_in_place_of_maps() -> None:
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    found = Judge(rubric="video")(video=frames, prompt=PROMPT, heat=True)
    assert found.status == "scored" and found.heat is None
    assert "no heat maps: videos have none" in found.provenance.notes


def test_a_row_that_cannot_be_traced_keeps_its_verdict(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    def trace(requests: Any) -> Any:
        raise BackendError("out of memory")

    monkeypatch.setattr(judge.backend, "trace", trace)
    sample = draw_held_out_scenes(1, seed=4)[0].unlabelled_sample()
    [found] = judge.many([sample], heat=True)
    assert found.status == "scored" and found.heat is None
    assert "no heat maps: out of memory" in found.provenance.notes
    with pytest.raises(BackendError, match="out of memory"):
        judge(sample.image, prompt=sample.prompt, heat=True)


def test_a_map_glows_where_it_is_hot_and_leaves_the_rest_grey() -> None:
    hot = np.zeros((64, 64), np.float32)
    hot[:32, :32] = 1
    found = np.asarray(blend_heat_map(Image.new("RGB", (200, 200), (90, 140, 200)), heat.encode_heat_map(hot)), float)
    cold = found[150, 150]
    assert np.ptp(cold) < 1
    assert np.ptp(found[40, 40]) > 50


def test_the_overlay_shows_the_maps_below_the_picture(heated: Any) -> None:
    _, verdict = next(pair for pair in heated if pair[1].defects)
    without = verdict.model_copy(update={"heat": None})
    image = Image.new("RGB", verdict.size)
    taller, plain = verdict.overlay(image), without.overlay(image)
    assert taller.width == plain.width and taller.height > plain.height + 100


def test_the_command_line_draws_them_and_hands_them_on(tmp_path: Path) -> None:
    picture, out = tmp_path / "p.png", tmp_path / "seen.png"
    Image.fromarray(draw_held_out_scenes(1, seed=4)[0].unlabelled_sample().image).save(picture)
    arguments = ["verdict", str(picture), "--prompt", PROMPT, "--json", "--heat", "--overlay", str(out)]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["heat"]["score"].startswith("data:image/png;base64,")
    with Image.open(out) as drawn:
        assert drawn.height > 900


def test_a_report_shows_them_with_its_pictures(tmp_path: Path) -> None:
    for arguments in (
        ["scenes", str(tmp_path / "data"), "--count", "4", "--seed", "9"],
        ["eval", "run", "scenes", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")],
        ["eval", "report", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--pictures=2", "--heat"],
    ):
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 0, result.output
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text.count("Heat map: score") == 4
    assert "where a change of the picture would change the answer most" in text


def test_the_gateway_gives_the_maps_that_a_judge_of_ones_own_gives(judge: Judge) -> None:
    scene = draw_held_out_scenes(3, seed=77)[2]
    file = io.BytesIO()
    Image.fromarray(scene.unlabelled_sample().image).save(file, "PNG")
    own = judge(file.getvalue(), prompt=scene.sample.prompt, heat=True)
    with gateway(judge_backend_spec("embedded"), policy=RestartPolicy(), embedded=True, deadline=300) as running:
        far = Judge(running.url)(file.getvalue(), prompt=scene.sample.prompt, heat=True)
        plain = Judge(running.url)(file.getvalue(), prompt=scene.sample.prompt)
    assert far.heat is not None and len(far.heat.defects) == len(own.heat.defects)
    assert np.abs(decode_heat_map(far.heat.score) - decode_heat_map(own.heat.score)).max() < 0.02
    assert plain.heat is None


def test_a_gateway_over_a_model_without_gradients_refuses() -> None:
    with gateway() as running:
        answer = running.post("/v1/verdicts", json={"image": data_url(png()), "prompt": PROMPT, "heat": True})
        assert answer.status_code == 400
        assert answer.json()["error"]["field"] == "heat"
