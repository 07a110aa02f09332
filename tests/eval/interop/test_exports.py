"""Regions in the formats of other tools, and the way back from Label Studio without a loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from scene_runs import HOSTILE, run_scenes, write_scenes_folder
from typer.testing import CliRunner

from eval.cli.app import app
from eval.interop.exports import export_regions
from eval.interop.label_import import import_label_studio
from eval.interop.label_studio import NO_ELEMENTS
from eval.runs.records import RecordedRun
from eval.suites import load_suite
from judge.errors import InputError
from judge.types import LabelledSample, Verdict

COUNT = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    folder = tmp_path_factory.mktemp("run")
    return run_scenes(write_scenes_folder(folder / "data", COUNT), folder / "run")


@pytest.fixture(scope="module")
def verdicts(run: RecordedRun) -> list[Verdict]:
    return [Verdict.model_validate(row.verdict) for row in run.judged_rows()]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def with_size(verdicts: list[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.size is not None]


def test_coco_results_refer_to_images_and_categories(
    run: RecordedRun, verdicts: list[Verdict], tmp_path: Path
) -> None:
    result = export_regions(run, "coco", tmp_path / "out.json")
    results, truth = read_json(tmp_path / "out.json"), read_json(tmp_path / "out.images.json")
    assert result.files == (tmp_path / "out.json", tmp_path / "out.images.json")
    assert result.images == len(truth["images"]) == len(with_size(verdicts)) < COUNT
    names = {category["id"]: category["name"] for category in truth["categories"]}
    images = {image["id"]: image for image in truth["images"]}
    results_by_name = [
        (images[r["image_id"]]["sample"], names[r["category_id"]], r["bbox"], r["score"]) for r in results
    ]
    assert results_by_name == [
        (v.id, d.kind, [d.box[0], d.box[1], d.box[2] - d.box[0], d.box[3] - d.box[1]], d.confidence)
        for v in verdicts
        for d in v.defects
    ]
    assert result.regions == len(results) > 0
    assert all(image["file_name"].startswith("images/") for image in truth["images"])
    # The true regions are the ground truth: 20 x 10 pixels, in 5 rows, one of which has an unreadable image.
    regions = [a for a in truth["annotations"] if names[a["category_id"]] == "fused"]
    assert len(regions) == 4 and all(a["bbox"] == [4, 2, 20, 10] and a["area"] == 200 for a in regions)


def test_fiftyone_boxes_are_relative_to_the_image(
    run: RecordedRun, verdicts: list[Verdict], tmp_path: Path
) -> None:
    export_regions(run, "fiftyone", tmp_path / "labels.json")
    labels = read_json(tmp_path / "labels.json")["labels"]
    for number, verdict in enumerate(verdicts):
        if verdict.size is None:
            continue
        detections = labels[f"images/{number:03}"]
        assert len(detections) == len(verdict.defects)
        for detection, defect in zip(detections, verdict.defects, strict=True):
            x, y, w, h = detection["bounding_box"]
            assert (x * 40, y * 20, (x + w) * 40, (y + h) * 20) == pytest.approx(defect.box)
            assert detection["label"] == defect.kind and detection["confidence"] == defect.confidence


def test_label_studio_predictions_fit_the_labelling_interface(run: RecordedRun, tmp_path: Path) -> None:
    export_regions(run, "label-studio", tmp_path / "tasks.json", url="https://pictures.example/a b/")
    tasks = read_json(tmp_path / "tasks.json")
    root = ElementTree.parse(tmp_path / "tasks.config.xml").getroot()
    controls = {element.get("name"): element for element in root.iter() if element.get("toName")}
    kinds = {label.get("value") for label in controls["region"].iter("Label")}
    tags = {"rectanglelabels": "RectangleLabels", "choices": "Choices", "textarea": "TextArea",
                "number": "Number"}  # fmt: skip
    for task in tasks:
        assert task["data"]["image"].startswith("https://pictures.example/a b/images/")
        for answer in task["predictions"][0]["result"]:
            assert controls[answer["from_name"]].tag == tags[answer["type"]]
            if answer["type"] == "rectanglelabels":
                value = answer["value"]
                assert set(value["rectanglelabels"]) <= kinds
                assert 0 <= value["x"] <= value["x"] + value["width"] <= 100.0001
                assert (answer["original_width"], answer["original_height"]) == (40, 20)


def accept_predictions(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the export of a project in which every prediction was accepted unchanged."""
    return [
        {"id": n, "data": task["data"], "annotations": [{"result": task["predictions"][0]["result"]}]}
        for n, task in enumerate(tasks, 1)
    ]


def export_accepted(run: RecordedRun, folder: Path) -> list[dict[str, Any]]:
    export_regions(run, "label-studio", folder / "tasks.json")
    return accept_predictions(read_json(folder / "tasks.json"))


def import_tasks(tasks: Any, folder: Path) -> tuple[Any, list[LabelledSample]]:
    (folder / "export.json").write_text(json.dumps(tasks))
    result = import_label_studio(folder / "export.json", folder / "back" / "rows.jsonl")
    lines = (folder / "back" / "rows.jsonl").read_text().splitlines()
    return result, [LabelledSample.model_validate_json(line) for line in lines]


def test_export_to_label_studio_and_import_loses_nothing(
    run: RecordedRun, verdicts: list[Verdict], tmp_path: Path
) -> None:
    result, rows = import_tasks(export_accepted(run, tmp_path), tmp_path)
    assert (result.rows, result.unannotated, result.ignored) == (len(with_size(verdicts)), 0, 0)
    for row, verdict in zip(rows, with_size(verdicts), strict=True):
        assert row.id == verdict.id
        assert row.labels.score == pytest.approx(verdict.score, abs=0.005)
        assert [(e.name, e.present) for e in row.labels.elements] == [
            (e.name, e.present) for e in verdict.elements
        ]
        assert len(row.labels.defects) == len(verdict.defects)
        for label, defect in zip(row.labels.defects, verdict.defects, strict=True):
            assert label.box == pytest.approx(defect.box, abs=1e-5)
            assert (label.kind, label.family, label.severity, label.explanation) == (
                defect.kind, defect.family, defect.severity, defect.explanation)  # fmt: skip


def test_imported_labels_are_data_of_the_suite_scenes(run: RecordedRun, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(json.dumps(export_accepted(run, tmp_path)))
    rows = run.data / "corrected.jsonl"
    result = import_label_studio(tmp_path / "export.json", rows)
    items = list(load_suite("scenes").read(rows))
    assert len(items) == result.rows and all(Path(str(item.image)).is_file() for item in items)


def test_the_last_annotation_that_was_not_cancelled_is_used(run: RecordedRun, tmp_path: Path) -> None:
    task = export_accepted(run, tmp_path)[0]

    def scored(value: float, day: int, **more: Any) -> dict[str, Any]:
        answer = {"from_name": "score", "to_name": "image", "type": "number", "value": {"number": value}}
        return {"result": [answer], "updated_at": f"2026-01-0{day}", **more}

    task["annotations"] = [scored(2, 3), scored(4, 5), scored(1, 7, was_cancelled=True)]
    result, (row,) = import_tasks([task, task | {"annotations": []}], tmp_path)
    assert row.labels.score == 4 and (result.rows, result.unannotated) == (1, 1)
    assert row.labels.elements == [], "elements without an answer have no label"


def test_rotated_rectangles_and_polygons_become_their_bounding_boxes(
    run: RecordedRun, tmp_path: Path
) -> None:
    task = export_accepted(run, tmp_path)[0]
    common = {"to_name": "image", "original_width": 200, "original_height": 100}
    rotated = {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 90, "rectanglelabels": ["fused"]}
    polygon = {"points": [[10, 10], [30, 20], [20, 50]], "polygonlabels": ["smeared"]}
    task["annotations"] = [{"result": [
        common | {"id": "a", "from_name": "region", "type": "rectanglelabels", "value": rotated},
        common | {"id": "b", "from_name": "shape", "type": "polygonlabels", "value": polygon},
        common | {"id": "c", "from_name": "paint", "type": "brushlabels", "value": {"rle": []}},
    ]}]  # fmt: skip
    result, (row,) = import_tasks([task], tmp_path)
    # 20 x 10 pixels at (100, 20), rotated by 90 degrees about this corner: 10 pixels to the left, 20 down.
    assert [d.box for d in row.labels.defects] == [(90, 20, 100, 40), (20, 10, 60, 50)]
    assert result.ignored == 1


def test_none_of_these_labels_all_elements_as_absent(run: RecordedRun, tmp_path: Path) -> None:
    task = export_accepted(run, tmp_path)[0]
    answer = {
        "from_name": "elements",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [NO_ELEMENTS]},
    }
    task["annotations"] = [{"result": [answer]}]
    _, (row,) = import_tasks([task], tmp_path)
    assert [e.present for e in row.labels.elements] == [False, False]


@pytest.mark.parametrize("content", ["{", "{}", '[{"annotations": []}]', "[3]"])
def test_a_file_that_is_no_export_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(InputError, match="export"):
        import_label_studio(tmp_path / "export.json", tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


def test_an_error_in_a_region_names_its_task(run: RecordedRun, tmp_path: Path) -> None:
    tasks = export_accepted(run, tmp_path)[:2]
    tasks[1]["annotations"] = [{"result": [{"from_name": "region", "type": "rectanglelabels", "value": {}}]}]
    with pytest.raises(InputError, match="task 2"):
        import_tasks(tasks, tmp_path)


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    run = run_scenes(write_scenes_folder(tmp_path / "data", 3, hostile=True), tmp_path / "run")
    for to in ("coco", "label-studio", "fiftyone"):
        export_regions(run, to, tmp_path / f"{to}.json")
        read_json(tmp_path / f"{to}.json")
    ElementTree.parse(tmp_path / "label-studio.config.xml")
    assert HOSTILE in read_json(tmp_path / "label-studio.json")[0]["data"]["prompt"]


def test_the_commands_export_and_import(run: RecordedRun, tmp_path: Path) -> None:
    def command(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(a) for a in arguments])

    folder, out = run.folders[0], tmp_path / "tasks.json"
    result = command("export", folder, "--to", "label-studio", "--out", out)
    assert result.exit_code == 0 and "tasks.config.xml" in result.stderr
    (tmp_path / "export.json").write_text(json.dumps(accept_predictions(read_json(out))))
    back = command("import-labels", tmp_path / "export.json", "--out", tmp_path / "rows.jsonl")
    assert back.exit_code == 0 and "18 rows" in back.stderr
    wrong = command("export", folder, "--to", "coco", "--out", out, "--url", "https://x/")
    assert wrong.exit_code == 2 and wrong.stderr.startswith("error: url")
    assert command("export", tmp_path, "--to", "coco", "--out", out).exit_code == 2
