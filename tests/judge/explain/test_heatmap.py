"""Heat maps of a verdict's numbers: where they are high, how they are stored and drawn, and who has none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from PIL import Image
from serving import data_url, gateway, png
from tiny import write_checkpoint

from eval.trust.attribution import heat_auc
from judge import Judge, Sample, Verdict
from judge.backends.decoding.batch import log_probabilities
from judge.backends.decoding.choice_reading import ChoiceReader
from judge.backends.scripted import Scripted
from judge.backends.transformers.backend import Transformers
from judge.errors import BackendError, InputError
from judge.explain.heatmap import (
    MAP_SIDE,
    blend_heat_map,
    build_trace_requests,
    decode_heat_map,
    encode_heat_map,
)
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
    """Drawn scenes and verdicts with heat maps."""
    scenes = draw_held_out_scenes(16, seed=77)
    samples = [scene.unlabelled_sample() for scene in scenes]
    return list(zip(scenes, judge.many(samples, heat=True), strict=True))


# -- The maps of a verdict -------------------------------------------------------------------------------


def test_a_verdict_has_a_map_for_the_score_and_one_for_each_defect(heated: Any) -> None:
    assert any(verdict.defects for _, verdict in heated)
    for _, verdict in heated:
        assert len(verdict.heat.defects) == len(verdict.defects)
        for url in (verdict.heat.score, *verdict.heat.defects):
            heat_map = decode_heat_map(url)
            assert heat_map.shape == (MAP_SIDE, MAP_SIDE)
            assert heat_map.max() == 1 and heat_map.min() < 0.2
        assert Verdict.model_validate_json(verdict.model_dump_json()).heat == verdict.heat


def test_heat_maps_do_not_change_the_verdict(judge: Judge, heated: Any) -> None:
    samples = [scene.unlabelled_sample() for scene, _ in heated]
    for without, (_, verdict) in zip(judge.many(samples), heated, strict=True):
        assert without.heat is None
        excluded = {"heat", "provenance"}
        assert without.model_dump(exclude=excluded) == verdict.model_dump(exclude=excluded)


def test_maps_are_high_where_the_true_defects_are(heated: Any) -> None:
    defect_aucs, score_aucs = [], []
    for scene, verdict in heated:
        true_boxes = [defect.box for defect in scene.sample.labels.defects]
        for defect, url in zip(verdict.defects, verdict.heat.defects, strict=True):
            matches = [box for box in true_boxes if iou(box, defect.box) > 0.1]
            if matches:
                defect_aucs += heat_auc(decode_heat_map(url), matches[0], verdict.size)
        if true_boxes:
            score_aucs += heat_auc(decode_heat_map(verdict.heat.score), true_boxes[0], verdict.size)
    assert len(defect_aucs) >= 8 and len(score_aucs) >= 8
    assert np.mean(defect_aucs) > 0.85
    assert np.mean(score_aucs) > 0.75


def test_the_traced_probabilities_are_those_of_the_verdict(judge: Judge, heated: Any) -> None:
    scene, verdict = next(pair for pair in heated if pair[1].defects)
    prepared = judge.pipeline.prepare(scene.unlabelled_sample())
    backend = judge.backend
    assert isinstance(backend, Transformers)
    _, trace = build_trace_requests(judge.pipeline, prepared, verdict)
    [row] = backend._build_rows([trace.request], lambda _: None)
    reader = ChoiceReader.for_form(trace.request.form, backend.tokenizer, trace.values, {"defects.0.open"})
    row.step = reader.step
    with torch.no_grad():
        [logs] = log_probabilities(
            backend.network("default"), [row], backend.tokenizer.image_token, backend.tokenizer.video_token
        )
    shares = reader.probabilities(logs)["defects.0.open"]
    assert float(shares["open"]) == pytest.approx(verdict.defects[0].confidence, abs=1e-4)
    assert float(shares["open"] + shares["close"]) == pytest.approx(1, abs=1e-5)


def test_relevance_is_the_slope_of_the_number_as_a_patch_becomes_the_mean_patch(judge: Judge) -> None:
    scene = draw_held_out_scenes(1, seed=5)[0]
    sample, backend = scene.unlabelled_sample(), judge.backend
    prepared = judge.pipeline.prepare(sample, "score")
    verdict = judge(sample.image, prompt=scene.sample.prompt, depth="score")
    [trace] = build_trace_requests(judge.pipeline, prepared, verdict)
    [[[relevance]]] = backend.trace([trace])
    [row] = backend._build_rows([trace.request], lambda _: None)
    target = trace.targets[0]
    reader = ChoiceReader.for_form(trace.request.form, backend.tokenizer, None, set(target))
    row.step = reader.step
    mean_patch, original = row.pixels.mean(dim=0), row.pixels

    def traced_number(share: float, patch: int) -> float:
        """Compute the number with one patch mixed with the mean patch."""
        row.pixels, row.position = original.clone(), 0
        row.pixels[patch] += share * (mean_patch - original[patch])
        tokenizer = backend.tokenizer
        with torch.no_grad():
            [logs] = log_probabilities(
                backend.network("default"), [row], tokenizer.image_token, tokenizer.video_token
            )
        shares = reader.probabilities(logs.double())
        return sum(
            weight * float(shares[blank][label])
            for blank, weights in target.items()
            for label, weight in weights.items()
        )

    # Patches come in blocks of 2 x 2, so patch 4 is the third one in the first row of the image.
    for patch, (y, x) in ((0, (0, 0)), (1, (0, 1)), (2, (1, 0)), (4, (0, 2))):
        slope = (traced_number(0.01, patch) - traced_number(-0.01, patch)) / 0.02
        assert abs(slope) == pytest.approx(relevance[y, x], rel=0.05, abs=2e-4)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_maps_have_the_shape_of_the_image_with_any_checkpoint(family: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", family, side=256)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (120, 360, 3), dtype=np.uint8))
    verdict = Judge(str(folder), backend="transformers", max_defects=1)(image, prompt=PROMPT, heat=True)
    assert verdict.heat is not None
    assert decode_heat_map(verdict.heat.score).shape == (21, 64)


def test_maps_of_detail_crops_are_merged_into_that_of_the_image() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 500, 3), dtype=np.uint8))
    verdict = Judge(rubric="quality")(image, heat=True)
    assert verdict.heat is not None and decode_heat_map(verdict.heat.score).shape == (38, 64)


# -- Adding maps to an existing verdict ------------------------------------------------------------------


def test_maps_can_be_added_to_the_verdict_of_another_backend(judge: Judge, heated: Any) -> None:
    scene, verdict = heated[0]
    without = Verdict.model_validate(verdict.model_dump() | {"heat": None})
    with_maps = judge.heated(without, scene.unlabelled_sample())
    assert without.heat is None and with_maps.heat == verdict.heat


def test_a_verdict_by_another_rubric_or_on_another_image_is_an_error(judge: Judge, heated: Any) -> None:
    scene, verdict = heated[0]
    with pytest.raises(InputError, match="verdict"):
        Judge(backend=judge.backend, rubric="structure").heated(verdict, scene.unlabelled_sample())
    with pytest.raises(InputError, match="image"):
        judge.heated(verdict, Sample(image=np.zeros((30, 40, 3), np.uint8), prompt=scene.sample.prompt))


# -- Without maps ----------------------------------------------------------------------------------------


def test_heat_maps_from_a_backend_without_gradients_are_an_error() -> None:
    image = Image.new("RGB", (64, 64))
    with pytest.raises(InputError, match="heat.*transformers"):
        Judge(backend=Scripted())(image, prompt=PROMPT, heat=True)
    with pytest.raises(InputError, match="heat.*transformers"):
        Judge("embedded-student", rubric="quality")(image, prompt=PROMPT, heat=True, depth="score")


def test_a_video_has_a_note_instead_of_maps() -> None:
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    verdict = Judge(rubric="video")(video=frames, prompt=PROMPT, heat=True)
    assert verdict.status == "scored" and verdict.heat is None
    assert "no heat maps: videos have none" in verdict.provenance.notes


def test_a_sample_of_a_batch_that_cannot_be_traced_keeps_its_verdict(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trace(requests: Any) -> Any:
        raise BackendError("out of memory")

    monkeypatch.setattr(judge.backend, "trace", trace)
    sample = draw_held_out_scenes(1, seed=4)[0].unlabelled_sample()
    [verdict] = judge.many([sample], heat=True)
    assert verdict.status == "scored" and verdict.heat is None
    assert "no heat maps: out of memory" in verdict.provenance.notes
    with pytest.raises(BackendError, match="out of memory"):
        judge(sample.image, prompt=sample.prompt, heat=True)


# -- Drawing ---------------------------------------------------------------------------------------------


def test_a_blended_map_is_coloured_where_it_is_high_and_grey_where_it_is_low() -> None:
    heat_map = np.zeros((64, 64), np.float32)
    heat_map[:32, :32] = 1
    image = Image.new("RGB", (200, 200), (90, 140, 200))
    pixels = np.asarray(blend_heat_map(image, encode_heat_map(heat_map)), float)
    assert np.ptp(pixels[150, 150]) < 1
    assert np.ptp(pixels[40, 40]) > 50


def test_the_overlay_shows_the_maps_below_the_image(heated: Any) -> None:
    _, verdict = next(pair for pair in heated if pair[1].defects)
    image = Image.new("RGB", verdict.size)
    with_maps = verdict.overlay(image)
    without_maps = verdict.model_copy(update={"heat": None}).overlay(image)
    assert with_maps.width == without_maps.width
    assert with_maps.height > without_maps.height + 100


# -- Command line, report and gateway --------------------------------------------------------------------


def test_the_verdict_command_prints_and_draws_the_maps(tmp_path: Path) -> None:
    image, overlay = tmp_path / "image.png", tmp_path / "overlay.png"
    Image.fromarray(draw_held_out_scenes(1, seed=4)[0].unlabelled_sample().image).save(image)
    result = run("verdict", str(image), "--prompt", PROMPT, "--json", "--heat", "--overlay", str(overlay))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["heat"]["score"].startswith("data:image/png;base64,")
    with Image.open(overlay) as drawn:
        assert drawn.height > 900


def test_a_report_shows_the_maps_with_its_images(tmp_path: Path) -> None:
    data, run_folder, out = (str(tmp_path / name) for name in ("data", "run", "out"))
    for arguments in (
        ["scenes", data, "--count", "4", "--seed", "9"],
        ["eval", "run", "scenes", "--data", data, "--out", run_folder],
        ["eval", "report", run_folder, "--out", out, "--pictures=2", "--heat"],
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text.count("Heat map: score") == 4
    assert "where a change of the image would change the answer most" in text


def test_a_gateway_gives_the_same_maps_as_a_judge_in_this_process(judge: Judge) -> None:
    scene = draw_held_out_scenes(3, seed=77)[2]
    file = io.BytesIO()
    Image.fromarray(scene.unlabelled_sample().image).save(file, "PNG")
    image, prompt = file.getvalue(), scene.sample.prompt
    local = judge(image, prompt=prompt, heat=True)
    spec = judge_backend_spec("embedded")
    with gateway(spec, policy=RestartPolicy(), embedded=True, deadline=300) as running:
        remote = Judge(running.url)(image, prompt=prompt, heat=True)
        without = Judge(running.url)(image, prompt=prompt)
    assert remote.heat is not None and len(remote.heat.defects) == len(local.heat.defects)
    difference = np.abs(decode_heat_map(remote.heat.score) - decode_heat_map(local.heat.score))
    assert difference.max() < 0.02
    assert without.heat is None


def test_a_gateway_without_gradients_rejects_requests_for_maps() -> None:
    with gateway() as running:
        body = {"image": data_url(png()), "prompt": PROMPT, "heat": True}
        response = running.post("/v1/verdicts", json=body)
        assert response.status_code == 400
        assert response.json()["error"]["field"] == "heat"
