"""Exports and imports, held against the packages that read and write these formats."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scene_runs import SeededFiller, run_scenes, write_scenes_folder

from eval.interop.exports import export_regions
from eval.interop.label_import import ImportResult, import_label_studio
from eval.runs.local import run_plan
from eval.runs.plan import Plan
from eval.runs.records import RecordedRun, load_runs
from eval.suites import load_suite
from judge.errors import InputError
from judge.judge import Judge
from judge.types import LabelledSample

NAMES = ("a.png", "a.jpg", "a.webp", "x/a.png", "y/a.png", "y/a.jpg", "cfg_7.5.png", "cfg_7.png", "a_jpg.png")


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    """A run over images whose names differ in their suffix or folder alone, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("alike")
    data = folder / "data"
    for n, name in enumerate(NAMES):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + n, 30), (20 * n, 90, 60)).save(data / name)
    (data / "broken.png").write_bytes(b"no image")
    rows = [f"{name},{n} cats and a dog\n" for n, name in enumerate((*NAMES, "broken.png"), 2)]
    (data / "labels.csv").write_text("image,prompt\n" + "".join(rows))
    run_plan(Plan(load_suite("folder"), data), folder / "run", Judge(backend=SeededFiller(3)))
    return load_runs([folder / "run"])[0]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    folder = tmp_path_factory.mktemp("scenes")
    return run_scenes(write_scenes_folder(folder / "data", 12), folder / "run")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


# -- FiftyOne ------------------------------------------------------------------------------------------


def load_like_fiftyone(data_path: Path, labels_path: Path) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """Join images and detections as FiftyOneImageDetectionDatasetImporter documents it.

    `data_path` is a manifest of names to paths, or a folder; a name without its suffix is the key of the
    labels.
    """
    if data_path.is_dir():
        files = [path for path in sorted(data_path.rglob("*")) if path.suffix not in ("", ".txt")]
        paths = {path.relative_to(data_path).as_posix(): str(path) for path in files}
    else:
        paths = {name: os.path.join(data_path.parent, path) for name, path in read_json(data_path).items()}
    by_key = {os.path.splitext(name)[0]: path for name, path in paths.items()}
    labels = read_json(labels_path)["labels"]
    return {key: (by_key[key], detections) for key, detections in labels.items()}


def test_every_image_keeps_its_detections_in_fiftyone(alike: RecordedRun, tmp_path: Path) -> None:
    result = export_regions(alike, "fiftyone", tmp_path / "labels.json")
    loaded = load_like_fiftyone(tmp_path / "labels.data.json", tmp_path / "labels.json")
    verdicts = {row.sample.image: row.verdict for row in alike.judged_rows(media=True) if row.verdict["size"]}
    assert result.files == (tmp_path / "labels.json", tmp_path / "labels.data.json")
    assert len(loaded) == len(verdicts) == result.images == len(NAMES) and result.unjudged == 1
    for path, detections in loaded.values():
        defects = verdicts[path]["defects"]
        assert [d["label"] for d in detections] == [defect["kind"] for defect in defects]
        assert all(0 <= side <= 1 for d in detections for side in d["bounding_box"])
    assert sum(len(detections) for _, detections in loaded.values()) == result.regions > 0


def test_names_that_are_unique_need_no_manifest_in_fiftyone(scenes: RecordedRun, tmp_path: Path) -> None:
    export_regions(scenes, "fiftyone", tmp_path / "labels.json")
    by_folder = load_like_fiftyone(scenes.data, tmp_path / "labels.json")
    assert by_folder == load_like_fiftyone(tmp_path / "labels.data.json", tmp_path / "labels.json")


def test_rows_on_the_same_image_are_samples_of_their_own(tmp_path: Path) -> None:
    data = write_scenes_folder(tmp_path / "data", 3)
    rows = [json.loads(line) for line in (data / "rows.jsonl").read_text().splitlines()]
    rows += [rows[0] | {"id": "again"}, rows[0] | {"id": "once more"}]
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = run_scenes(data, tmp_path / "run")
    export_regions(run, "fiftyone", tmp_path / "labels.json")
    loaded = load_like_fiftyone(tmp_path / "labels.data.json", tmp_path / "labels.json")
    assert len(loaded) == 5 and len({path for path, _ in loaded.values()}) == 3


# -- COCO ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alike", "scenes"])
def test_pycocotools_reads_results_and_truth(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    run: RecordedRun = request.getfixturevalue(name)
    result = export_regions(run, "coco", tmp_path / "out.json")
    truth = coco.COCO(str(tmp_path / "out.images.json"))
    loaded = truth.loadRes(str(tmp_path / "out.json"))
    assert len(truth.imgs) == result.images and len(loaded.anns) == result.regions
    assert len({image["file_name"] for image in truth.imgs.values()}) == result.images
    for row in run.judged_rows(media=True):
        verdict: Any = row.verdict
        images = [image for image in truth.imgs.values() if image["sample"] == row.sample.id]
        assert len(images) == (verdict["size"] is not None)
        for image in images:
            assert [image["width"], image["height"]] == list(verdict["size"])
            annotations = loaded.loadAnns(loaded.getAnnIds(imgIds=[image["id"]]))
            kinds = [truth.cats[annotation["category_id"]]["name"] for annotation in annotations]
            assert kinds == [defect["kind"] for defect in verdict["defects"]]
    if truth.anns:
        evaluator = evaluation.COCOeval(truth, loaded, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
        assert 0 <= evaluator.stats[0] <= 1


# -- Label Studio --------------------------------------------------------------------------------------


def annotate(run: RecordedRun, folder: Path, extra: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the export of a project whose predictions were accepted, with further results in each task."""
    export_regions(run, "label-studio", folder / "tasks.json")
    return [
        {"id": n, "data": task["data"],
         "annotations": [{"id": n, "completed_by": 1, "result": task["predictions"][0]["result"] + extra}]}
        for n, task in enumerate(read_json(folder / "tasks.json"), 1)
    ]  # fmt: skip


def import_tasks(tasks: Any, folder: Path) -> tuple[ImportResult, list[LabelledSample]]:
    (folder / "export.json").write_text(json.dumps(tasks))
    result = import_label_studio(folder / "export.json", folder / "rows.jsonl")
    lines = (folder / "rows.jsonl").read_text().splitlines()
    return result, [LabelledSample.model_validate_json(line) for line in lines]


def region(kind: str = "rectanglelabels", labels: Any = ("fused",), **changes: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}
    if labels is not None:
        value[kind] = list(labels)
    return {"id": "r", "from_name": "region", "to_name": "image", "type": kind, "original_width": 100,
            "original_height": 100, "image_rotation": 0, "value": value} | changes  # fmt: skip


def choice(control: str, chosen: list[str], **more: Any) -> dict[str, Any]:
    return {"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": chosen}} | more


def test_label_studios_converter_finds_the_regions_that_are_imported(
    scenes: RecordedRun, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydantic, about validators of its first version
        converter = pytest.importorskip("label_studio_sdk.converter").Converter
        relation = {"type": "relation", "from_id": "region-1", "to_id": "region-2", "direction": "right"}
        tasks = annotate(scenes, tmp_path, [relation])
        result, rows = import_tasks(tasks, tmp_path)
        config = (tmp_path / "tasks.config.xml").read_text()
        reader = converter(config, project_dir=None, download_resources=False)
        reader.convert_to_coco(str(tmp_path / "export.json"), str(tmp_path / "coco"), is_dir=False)
    theirs = read_json(tmp_path / "coco/result.json")
    names = {category["id"]: category["name"] for category in theirs["categories"]}
    found: list[list[Any]] = [[] for _ in rows]
    for annotation in theirs["annotations"]:
        x, y, w, h = annotation["bbox"]
        found[annotation["image_id"]].append((names[annotation["category_id"]], (x, y, x + w, y + h)))
    assert sum(map(len, found)) > 0 and result.ignored_reasons == {"of type relation": len(rows)}
    for row, regions in zip(rows, found, strict=True):
        assert [label.kind for label in row.labels.defects] == [kind for kind, _ in regions]
        for label, (_, box) in zip(row.labels.defects, regions, strict=True):
            assert label.box == pytest.approx(box, abs=1e-4)


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([choice("elements", [])], "elements without an answer"),
        ([region(), choice("family", [], id="r")], "family without an answer"),
        ([region(), choice("severity", [], id="r")], "severity without an answer"),
        ([{"from_name": "score", "type": "number", "value": {"number": None}}], "score without an answer"),
        ([region(), {"id": "r", "from_name": "explanation", "type": "textarea", "value": {"text": []}}],
         "explanation without an answer"),
        ([region(labels=[])], "regions without a label"),
        ([region(labels=None)], "regions without a label"),
        ([region("rectangle", None)], "regions without a label"),
        ([region(value={"x": 1, "y": 1, "width": 0, "height": 0, "rectanglelabels": ["fused"]})],
         "regions without an area"),
        ([choice("severity", ["critical"], id="gone")], "about a region that is not there"),
        ([{"type": "relation", "from_id": "r", "to_id": "s", "direction": "right", "labels": ["part"]}],
         "of type relation"),
        ([region("ellipselabels")], "of type ellipselabels"),
        ([region("brushlabels", value={"rle": [1], "brushlabels": ["fused"]})], "of type brushlabels"),
        ([{"from_name": "stars", "type": "rating", "value": {"rating": 4}}], "of type rating"),
        ([{"from_name": "note", "type": "textarea", "value": {"text": ["hm"]}}], "of type textarea"),
        ([{"from_name": "tags", "type": "taxonomy", "value": {"taxonomy": [["a"]]}}], "of type taxonomy"),
    ],
)  # fmt: skip
def test_what_labels_do_not_hold_is_counted_with_its_reason(
    tmp_path: Path, results: list[dict[str, Any]], reason: str
) -> None:
    data = {"id": "1", "file": "", "image": "1.png", "prompt": "a cat", "elements": [{"value": "a cat"}]}
    result, (row,) = import_tasks([{"data": data, "annotations": [{"result": results}]}], tmp_path)
    assert result.ignored_reasons == {reason: 1} and result.ignored == 1
    assert row.labels.elements == [] and row.labels.score is None
    assert len(row.labels.defects) == (len(results) - 1)


def test_several_labels_of_a_region_and_labels_apart_from_it_are_defects(tmp_path: Path) -> None:
    apart = [region("rectangle", None, id="s"), region("labels", ["cut"], id="s")]
    results = [region(labels=["fused", "smeared"]), choice("severity", ["critical"], id="r"), *apart]
    result, (row,) = import_tasks(
        [{"data": {"image": "1.png"}, "annotations": [{"result": results}]}], tmp_path
    )
    assert [(d.kind, d.severity) for d in row.labels.defects] == [
        ("fused", "critical"), ("smeared", "critical"), ("cut", "moderate")]  # fmt: skip
    assert {d.box for d in row.labels.defects} == {(10, 10, 30, 30)} and not result.ignored


@pytest.mark.parametrize(
    "annotation", [{"result": [3]}, {"result": [{}]}, {"result": 5}, {"result": [region(value=None)]}, None]
)
def test_a_result_that_cannot_be_read_is_an_error_with_its_task(tmp_path: Path, annotation: Any) -> None:
    tasks = [{"data": {"image": "1.png"}, "annotations": []},
             {"data": {"image": "1.png"}, "annotations": [annotation]}]  # fmt: skip
    with pytest.raises(InputError, match="task 2"):
        import_tasks(tasks, tmp_path)
