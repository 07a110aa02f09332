"""Regions in other tools' formats: exact numbers by hand, and a way back that loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from labelled import HOSTILE, judged, write
from typer.testing import CliRunner

from eval import cli
from eval.interop.exports import NONE, export, import_labels
from eval.runs.records import Recorded
from eval.suites import suite
from judge.errors import InputError
from judge.types import LabelledSample, Verdict

COUNT = 20


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("run")
    return judged(write(folder / "data", COUNT), folder / "run")


@pytest.fixture(scope="module")
def verdicts(record: Recorded) -> list[Verdict]:
    return [Verdict.model_validate(row.verdict) for row in record.judged()]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def seen(verdicts: list[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.size is not None]


def test_coco_results_and_what_their_ids_mean(
    record: Recorded, verdicts: list[Verdict], tmp_path: Path
) -> None:
    done = export(record, "coco", tmp_path / "out.json")
    results, about = read(tmp_path / "out.json"), read(tmp_path / "out.images.json")
    assert done.files == (tmp_path / "out.json", tmp_path / "out.images.json")
    assert done.pictures == len(about["images"]) == len(seen(verdicts)) < COUNT
    names = {category["id"]: category["name"] for category in about["categories"]}
    images = {image["id"]: image for image in about["images"]}
    back = [
        (images[r["image_id"]]["sample"], names[r["category_id"]], r["bbox"], r["score"]) for r in results
    ]
    assert back == [
        (v.id, d.kind, [d.box[0], d.box[1], d.box[2] - d.box[0], d.box[3] - d.box[1]], d.confidence)
        for v in verdicts
        for d in v.defects
    ]
    assert done.regions == len(results) > 0
    assert all(image["file_name"].startswith("images/") for image in about["images"])
    # True regions are the ground truth beside the results: 20 x 10 pixels, in 5 rows, one of them unreadable.
    true = [a for a in about["annotations"] if names[a["category_id"]] == "fused"]
    assert len(true) == 4 and all(a["bbox"] == [4, 2, 20, 10] and a["area"] == 200 for a in true)


def test_fiftyone_boxes_are_shares_of_the_picture(
    record: Recorded, verdicts: list[Verdict], tmp_path: Path
) -> None:
    export(record, "fiftyone", tmp_path / "labels.json")
    labels = read(tmp_path / "labels.json")["labels"]
    for number, verdict in enumerate(verdicts):
        if verdict.size is None:
            continue
        found = labels[f"images/{number:03}"]
        assert len(found) == len(verdict.defects)
        for detection, defect in zip(found, verdict.defects, strict=True):
            x, y, w, h = detection["bounding_box"]
            assert (x * 40, y * 20, (x + w) * 40, (y + h) * 20) == pytest.approx(defect.box)
            assert detection["label"] == defect.kind and detection["confidence"] == defect.confidence


def test_label_studio_predictions_fit_the_interface_beside_them(record: Recorded, tmp_path: Path) -> None:
    export(record, "label-studio", tmp_path / "tasks.json", url="https://pictures.example/a b/")
    tasks = read(tmp_path / "tasks.json")
    root = ElementTree.parse(tmp_path / "tasks.config.xml").getroot()
    controls = {element.get("name"): element for element in root.iter() if element.get("toName")}
    kinds = {label.get("value") for label in controls["region"].iter("Label")}
    kinds_of = {"rectanglelabels": "RectangleLabels", "choices": "Choices", "textarea": "TextArea",
                "number": "Number"}  # fmt: skip
    for task in tasks:
        assert task["data"]["image"].startswith("https://pictures.example/a b/images/")
        for answer in task["predictions"][0]["result"]:
            assert controls[answer["from_name"]].tag == kinds_of[answer["type"]]
            if answer["type"] == "rectanglelabels":
                value = answer["value"]
                assert set(value["rectanglelabels"]) <= kinds
                assert 0 <= value["x"] <= value["x"] + value["width"] <= 100.0001
                assert (answer["original_width"], answer["original_height"]) == (40, 20)


def corrected(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The export of a project in which every prediction was accepted as it is."""
    return [
        {"id": n, "data": task["data"], "annotations": [{"result": task["predictions"][0]["result"]}]}
        for n, task in enumerate(tasks, 1)
    ]


def exported(record: Recorded, folder: Path) -> list[dict[str, Any]]:
    export(record, "label-studio", folder / "tasks.json")
    return corrected(read(folder / "tasks.json"))


def brought_back(tasks: Any, folder: Path) -> tuple[Any, list[LabelledSample]]:
    (folder / "export.json").write_text(json.dumps(tasks))
    done = import_labels(folder / "export.json", folder / "back" / "rows.jsonl")
    lines = (folder / "back" / "rows.jsonl").read_text().splitlines()
    return done, [LabelledSample.model_validate_json(line) for line in lines]


def test_label_studio_and_back_loses_nothing(
    record: Recorded, verdicts: list[Verdict], tmp_path: Path
) -> None:
    done, rows = brought_back(exported(record, tmp_path), tmp_path)
    assert (done.rows, done.without, done.ignored) == (len(seen(verdicts)), 0, 0)
    for row, verdict in zip(rows, seen(verdicts), strict=True):
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


def test_what_came_back_beside_the_pictures_is_read_as_a_suite(record: Recorded, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(json.dumps(exported(record, tmp_path)))
    rows = record.data / "corrected.jsonl"
    done = import_labels(tmp_path / "export.json", rows)
    items = list(suite("scenes").read(rows))
    assert len(items) == done.rows and all(Path(str(item.image)).is_file() for item in items)


def test_the_last_annotation_that_was_not_cancelled_counts(record: Recorded, tmp_path: Path) -> None:
    task = exported(record, tmp_path)[0]

    def scored(value: float, day: int, **more: Any) -> dict[str, Any]:
        answer = {"from_name": "score", "to_name": "image", "type": "number", "value": {"number": value}}
        return {"result": [answer], "updated_at": f"2026-01-0{day}", **more}

    task["annotations"] = [scored(2, 3), scored(4, 5), scored(1, 7, was_cancelled=True)]
    done, (row,) = brought_back([task, task | {"annotations": []}], tmp_path)
    assert row.labels.score == 4 and (done.rows, done.without) == (1, 1)
    assert row.labels.elements == [], "nobody answered for the elements, so there is no truth about them"


def test_turned_rectangles_and_polygons_become_the_boxes_around_them(
    record: Recorded, tmp_path: Path
) -> None:
    task = exported(record, tmp_path)[0]
    about = {"to_name": "image", "original_width": 200, "original_height": 100}
    turned = {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 90, "rectanglelabels": ["fused"]}
    polygon = {"points": [[10, 10], [30, 20], [20, 50]], "polygonlabels": ["smeared"]}
    task["annotations"] = [{"result": [
        about | {"id": "a", "from_name": "region", "type": "rectanglelabels", "value": turned},
        about | {"id": "b", "from_name": "shape", "type": "polygonlabels", "value": polygon},
        about | {"id": "c", "from_name": "paint", "type": "brushlabels", "value": {"rle": []}},
    ]}]  # fmt: skip
    done, (row,) = brought_back([task], tmp_path)
    # 20 x 10 pixels at (100, 20), turned by 90 degrees about that corner: 10 to its left, 20 down.
    assert [d.box for d in row.labels.defects] == [(90, 20, 100, 40), (20, 10, 60, 50)]
    assert done.ignored == 1


def test_none_of_these_means_looked_and_found_nothing(record: Recorded, tmp_path: Path) -> None:
    task = exported(record, tmp_path)[0]
    answer = {"from_name": "elements", "to_name": "image", "type": "choices", "value": {"choices": [NONE]}}
    task["annotations"] = [{"result": [answer]}]
    _, (row,) = brought_back([task], tmp_path)
    assert [e.present for e in row.labels.elements] == [False, False]


@pytest.mark.parametrize("content", ["{", "{}", '[{"annotations": []}]', "[3]"])
def test_what_is_no_export_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(InputError, match="export"):
        import_labels(tmp_path / "export.json", tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_broken_region_names_its_task(record: Recorded, tmp_path: Path) -> None:
    tasks = exported(record, tmp_path)[:2]
    tasks[1]["annotations"] = [{"result": [{"from_name": "region", "type": "rectanglelabels", "value": {}}]}]
    with pytest.raises(InputError, match="task 2"):
        brought_back(tasks, tmp_path)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    record = judged(write(tmp_path / "data", 3, hostile=True), tmp_path / "run")
    for to in ("coco", "label-studio", "fiftyone"):
        export(record, to, tmp_path / f"{to}.json")
        read(tmp_path / f"{to}.json")
    ElementTree.parse(tmp_path / "label-studio.config.xml")
    assert HOSTILE in read(tmp_path / "label-studio.json")[0]["data"]["prompt"]


def test_the_commands_and_their_errors(record: Recorded, tmp_path: Path) -> None:
    def command(*arguments: object) -> Any:
        return CliRunner().invoke(cli.app, [str(a) for a in arguments])

    run, out = record.folders[0], tmp_path / "tasks.json"
    done = command("export", run, "--to", "label-studio", "--out", out)
    assert done.exit_code == 0 and "tasks.config.xml" in done.stderr
    (tmp_path / "export.json").write_text(json.dumps(corrected(read(out))))
    back = command("import-labels", tmp_path / "export.json", "--out", tmp_path / "rows.jsonl")
    assert back.exit_code == 0 and "18 rows" in back.stderr
    wrong = command("export", run, "--to", "coco", "--out", out, "--url", "https://x/")
    assert wrong.exit_code == 2 and wrong.stderr.startswith("error: url")
    assert command("export", tmp_path, "--to", "coco", "--out", out).exit_code == 2
