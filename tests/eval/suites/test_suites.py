"""Every benchmark comes out as the same samples, whatever its makers' files look like."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from layouts import LAYOUTS, as_json, clip, picture, text, tfrecord, workbook
from PIL import Image
from verdicts import defect, verdict

from eval.metrics.agreement import Measure
from eval.suites import SUITES, suite
from eval.suites.base import Item, Media, Row, answer_of
from judge.errors import InputError
from judge.media import image as media
from judge.types import Dimension, Element


@pytest.fixture(params=LAYOUTS)
def written(request, tmp_path: Path):
    """(suite, folder, ids) of every benchmark."""
    folder = tmp_path / "data"
    folder.mkdir()
    return suite(request.param), folder, LAYOUTS[request.param](folder)


# ------------------------------------------------------------------------------------------- all alike


def test_there_is_a_layout_for_every_suite_and_a_suite_for_every_name() -> None:
    assert set(LAYOUTS) == set(SUITES)
    assert all(suite(name).name == name for name in SUITES)


def test_names_are_listed_without_importing_any_suite() -> None:
    code = "import sys; from eval.suites import SUITES; list(SUITES); 'thqa' in SUITES\n"
    code += "print([m for m in sys.modules if m.startswith('eval.suites.') or m in ('torch', 'scipy')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="did you mean agiqa-3k"):
        suite("AGIQA_3K")
    with pytest.raises(InputError, match="take one of these"):
        suite("zzzz")


def test_items_come_in_order_with_unique_ids_and_media_that_exist(written) -> None:
    found, folder, ids = written
    items = list(found.read(folder))
    assert [item.id for item in items] == ids
    for item in items:
        if found.kind == "video":
            assert item.video.is_file()
        else:
            assert media.load(item.image).width > 0
    assert [item.id for item in found.read(folder)] == ids  # the same again


def test_a_judge_is_shown_no_labels(written) -> None:
    found, folder, _ = written
    for item in found.read(folder):
        asked = item.asked()
        assert asked.id == item.id
        assert not hasattr(asked, "labels")
        assert asked.elements is None or asked.elements == (
            [e.name for e in item.labels.elements] or item.elements
        )


def test_labels_alone_are_read_without_media(written) -> None:
    found, folder, ids = written
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".mp4"):
            path.unlink()
    if found.name in ("folder", "face-restoration"):  # their media are all there is
        return
    assert [item.id for item in found.read(folder, media=False)] == ids


def test_missing_media_are_one_error_with_names_numbers_and_the_source(written) -> None:
    found, folder, ids = written
    gone = [
        p for p in sorted(folder.rglob("*")) if p.suffix in (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".mp4")
    ]
    if not gone or found.name in ("folder", "face-restoration"):  # what is there is the set
        return
    for path in gone:
        path.unlink()
    with pytest.raises(InputError) as caught:
        next(found.read(folder))
    wanted = len(ids)
    assert f"{wanted} of {wanted} are missing" in str(caught.value)
    assert found.source in str(caught.value)


def test_a_folder_without_labels_says_what_is_missing_and_where_to_get_it(written, tmp_path: Path) -> None:
    found, _, _ = written
    empty = tmp_path / "empty"
    empty.mkdir()
    for place in (empty, tmp_path / "nowhere"):
        with pytest.raises(InputError) as caught:
            next(found.read(place))
        assert found.source in str(caught.value) or found.name == "folder"


def test_an_unknown_split_is_answered_with_the_known_ones(written) -> None:
    found, folder, _ = written
    if found.name in ("folder", "pick-a-pic"):
        return
    with pytest.raises(InputError, match="choose one of these"):
        next(found.read(folder, "tset"))


def test_a_run_is_measured_even_when_nothing_was_scored(written) -> None:
    """Every number or words, never NaN, from verdicts as models and as JSON."""
    found, folder, _ = written
    items = list(found.read(folder))
    for score in (3.0, None):
        rows = [
            Row(item, verdict(item, None if score is None else score + at / 9))
            for at, item in enumerate(items)
        ]
        measures = found.measure(iter(rows))
        again = found.measure(Row(r.sample, json.loads(r.verdict.model_dump_json())) for r in rows)
        assert {k: m.value for k, m in measures.items()} == {k: m.value for k, m in again.items()}
        json.dumps({k: m.plain() for k, m in measures.items()}, allow_nan=False)
        assert all(isinstance(m, Measure) and (m.note or m.value is not None) for m in measures.values())
        if "unscored" in measures:
            assert measures["unscored"].value == (len(items) if score is None else 0)


# ------------------------------------------------------------------------------------------ in particular


def read(name: str, tmp_path: Path, **options) -> list[Item]:
    LAYOUTS[name](tmp_path)
    return list(suite(name).read(tmp_path, **options))


def test_evalmuse_labels_are_means_over_annotators_and_elements_lose_their_kind(tmp_path: Path) -> None:
    first, second = read("evalmuse-alignment", tmp_path)
    assert (first.labels.mos, second.labels.mos) == (3.5, 3.0)
    assert first.labels.shares == {"pig giants (animal)": pytest.approx(2 / 3), "attack (activity)": 0.0}
    assert [(e.name, e.kind, e.present) for e in first.labels.elements] == [
        ("pig giants", "animal", True),
        ("attack", "activity", False),
    ]
    assert second.labels.elements[1].present  # .5 counts as present
    assert first.generator == "SDXL-Turbo"


def test_elements_that_differ_only_in_kind_keep_it(tmp_path: Path) -> None:
    row = {"prompt": "p", "img_path": "a.png", "total_score": None}
    row["element_score"] = {"red (color)": None, "red (attribute)": None, "fox (animal)": None}
    picture(tmp_path / "a.png")
    as_json(tmp_path / "test.json", [row])
    (item,) = suite("evalmuse-alignment").read(tmp_path, "test")
    assert item.asked().elements == ["red (color)", "red (attribute)", "fox"]
    assert (item.labels.mos, item.labels.elements) == (None, [])


def test_structure_regions_are_the_union_of_annotators_in_pixels_of_the_picture(tmp_path: Path) -> None:
    first, clean = read("evalmuse-structure", tmp_path)
    area = first.labels.area()
    assert area.shape == (100, 200)
    assert area[10, 20] and not area[60, 20] and not area[10, 120]  # noqa: PT018
    assert area[30, 150] and not area[85, 110]  # noqa: PT018
    assert not clean.labels.area().any()
    rows = [Row(first, verdict(first, 2.0, size=(200, 100), defects=[defect((20, 10, 120, 60))]))]
    rows.append(Row(clean, verdict(clean, 4.0, size=(200, 100))))
    measures = suite("evalmuse-structure").measure(rows)
    assert measures["precision"].value == 1.0
    assert measures["recall"].value == 1.0  # square and polygon touch: one region


def test_scenes_measure_boxes_regions_and_elements(tmp_path: Path) -> None:
    (item,) = read("scenes", tmp_path)
    assert item.labels.area()[2:20, 2:20].all()
    found = suite("scenes").measure([Row(item, verdict(item, 2.0, defects=[defect((2, 2, 20, 20))]))])
    assert (found["box_f1"].value, found["region_f1"].value, found["accuracy"].value) == (1.0, 1.0, 1.0)


def test_raters_training_pictures_are_left_out_of_live_in_the_wild(tmp_path: Path) -> None:
    assert [(item.id, item.labels.mos) for item in read("live-itw", tmp_path)] == [
        ("3.bmp", 7.0),
        ("4.bmp", 8.0),
    ]


def test_portraits_have_scenes_and_forward_slashes(tmp_path: Path) -> None:
    items = read("piq23", tmp_path)
    assert (items[1].id, items[1].group) == ("Overall/1_Indoor_Scene_1.jpg", "Indoor_Scene_1")
    found = suite("piq23").measure([Row(i, verdict(i, 3 + i.labels.mos / 5)) for i in items])
    assert (found["srcc"].value, found["srcc"].count) == (pytest.approx(1.0), 2)


def test_one_table_of_several_sets_is_read_by_split(tmp_path: Path) -> None:
    read("uhd-iqa", tmp_path)
    (item,) = suite("uhd-iqa").read(tmp_path, "test", media=False)
    assert item.id == "3.jpg"


def test_a_picture_is_judged_once_however_many_pairs_it_is_in(tmp_path: Path) -> None:
    items = read("hpdv3", tmp_path)
    assert [len(item.labels.places) for item in items] == [2, 1, 1]
    rows = [Row(i, verdict(i, s)) for i, s in zip(items, (4.0, 3.0, 5.0), strict=True)]
    assert suite("hpdv3").measure(rows)["accuracy"].value == 0.5
    cut = suite("hpdv3").measure(rows[:2])
    assert (cut["accuracy"].value, cut["cut"].value) == (1.0, 1.0)


def test_choices_of_users_count_half_where_one_side_ties(tmp_path: Path) -> None:
    items = read("pick-a-pic", tmp_path)
    rows = [Row(i, verdict(i, s)) for i, s in zip(items, (4.0, 3.0, 4.0), strict=True)]
    assert suite("pick-a-pic").measure(rows)["accuracy"].value == 1.0  # the judge ties the tied pair too
    rows[2] = Row(items[2], verdict(items[2], 3.0))
    assert suite("pick-a-pic").measure(rows)["accuracy"].value == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_heat_maps_scores_and_words_of_rich_feedback(tmp_path: Path) -> None:
    (item,) = read("richhf-18k", tmp_path)
    assert item.labels.mos_by == {k: 0.25 for k in ("aesthetics", "artifact", "misalignment", "overall")}
    assert item.labels.area().sum() == 100 * 100
    said = [
        Element(name="red", present=False, probability=0.1),
        Element(name="fox", present=True, probability=0.9),
    ]
    row = Row(
        item, verdict(item, 3.0, size=(512, 512), elements=said, defects=[defect((100, 100, 200, 200))])
    )
    found = suite("richhf-18k").measure([row])
    assert (found["region_f1"].value, found["word_f1"].value, found["artifact_map_mse"].value) == (
        1.0,
        1.0,
        0.0,
    )
    assert found["artifact_map_cc"].value == pytest.approx(1.0)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    whole = tfrecord({"filename": b"a.png"})
    for data, said in ((whole[:-8], "cut off"), (whole, "RichHF"), (b"\xff" * 40, "record 1")):
        (tmp_path / "test.tfrecord").write_bytes(data)
        with pytest.raises(InputError, match=said):
            list(suite("richhf-18k").read(tmp_path, media=False))


def test_boxes_of_another_label_are_no_match_and_clean_pictures_count(tmp_path: Path) -> None:
    items = read("sdg-30k", tmp_path)
    box = (10.0, 10.0, 60.0, 60.0)
    wrong = [Row(items[0], verdict(items[0], defects=[defect(box, "misalignment")]))]
    assert suite("sdg-30k").measure(wrong)["f1"].value == 0
    right = [Row(items[0], verdict(items[0], defects=[defect(box, severity="critical")]))]
    right.append(Row(items[1], verdict(items[1], None)))
    found = suite("sdg-30k").measure(right)
    assert (found["f1"].value, found["importance_accuracy"].value, found["clean_accuracy"].value) == (1, 1, 0)


def test_boxes_in_thousandths_become_pixels_when_asked(tmp_path: Path) -> None:
    item = read("sdg-30k", tmp_path, unit="1000")[0]
    assert item.labels.defects[0].box == (2.0, 1.0, 12.0, 6.0)
    with pytest.raises(InputError, match="unit"):
        next(suite("sdg-30k").read(tmp_path, unit="inches"))


def test_votes_become_strengths_within_their_source(tmp_path: Path) -> None:
    items = read("video-sr", tmp_path)
    strengths = {item.id: item.labels.mos for item in items}
    assert strengths["a.mp4"] > strengths["b.mp4"] > strengths["c.mp4"]
    assert sum(strengths.values()) == pytest.approx(0, abs=1e-9)


def test_ranked_pairs_are_read_from_a_workbook(tmp_path: Path) -> None:
    items = read("kvq", tmp_path)
    assert items[0].labels.places == {"nonsource#0": 2.0}
    found = suite("kvq").measure([Row(i, verdict(i, 1 + i.labels.mos)) for i in items])
    assert {k: found[k].value for k in ("accuracy_nonsource", "accuracy_source", "final")} == pytest.approx(
        {"accuracy_nonsource": 1.0, "accuracy_source": 1.0, "final": 1.0}
    )
    workbook(tmp_path / "rank-pair-val.xlsx", {"source": [["a", "b", "r"], ["0.mp4", "1.mp4", 3]]})
    with pytest.raises(InputError, match="1 or 2"):
        list(suite("kvq").read(tmp_path))
    (tmp_path / "rank-pair-val.xlsx").write_bytes(b"PK no workbook")
    with pytest.raises(InputError, match="workbook"):
        list(suite("kvq").read(tmp_path))


def test_a_prompt_may_hold_the_separator(tmp_path: Path) -> None:
    assert read("t2vqa-db", tmp_path)[0].prompt == "a fox | and a hen"


# ------------------------------------------------------------------------------------- a folder of one's own


def own(tmp_path: Path, **options) -> list[Item]:
    return list(suite("folder").read(tmp_path, **options))


def test_a_folder_of_pictures_takes_prompts_from_texts_beside_them(tmp_path: Path) -> None:
    assert [(i.id, i.prompt) for i in read("folder", tmp_path)] == [("a.png", "a red fox"), ("sub/b.jpg", "")]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_a_table_of_any_kind_gives_the_same_items(tmp_path: Path, kind: str) -> None:
    picture(tmp_path / "pics" / "a.png")
    rows = [
        {"image": "pics/a.png", "prompt": "a fox", "mos": 3.5, "model": "x", "elements": "fox; snow"},
        {"image": "pics/a.png", "prompt": "a hen", "mos": 1.0, "model": "y", "elements": ""},
    ]
    path = tmp_path / f"table.{kind}"
    if kind in ("csv", "tsv"):
        mark = {"csv": ",", "tsv": "\t"}[kind]
        text(path, mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows))
    elif kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        text(path, *map(json.dumps, rows)) if kind == "jsonl" else as_json(path, rows)
    first, second = own(path)
    assert (first.id, second.id) == ("pics/a.png", "pics/a.png#2")
    assert (first.labels.mos, first.generator, first.elements, second.elements) == (
        3.5,
        "x",
        ["fox", "snow"],
        None,
    )


def test_columns_are_mapped_by_options(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "labels.csv", "key,file_x,words,stars", "k1,a.png,a fox,4")
    (item,) = own(tmp_path, image="file_x", prompt="words", score="stars", id="key")
    assert (item.id, item.prompt, item.labels.mos) == ("k1", "a fox", 4.0)
    with pytest.raises(InputError, match="a column of"):
        own(tmp_path, image="picture")
    with pytest.raises(InputError, match="option"):
        own(tmp_path, colour="x")


def test_a_saved_data_set_gives_encoded_pictures(tmp_path: Path) -> None:
    import datasets

    rows = {"image": [Image.new("RGB", (8, 6), (255, 0, 0))] * 2, "prompt": ["a", "b"], "score": [1.0, 2.0]}
    features = datasets.Features(
        image=datasets.Image(), prompt=datasets.Value("string"), score=datasets.Value("float64")
    )
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    items = own(tmp_path / "set")
    assert [(i.id, i.prompt, i.labels.mos) for i in items] == [("row-1", "a", 1.0), ("row-2", "b", 2.0)]
    assert media.load(items[0].image).width == 8


def test_labelled_elements_of_a_table_are_measured(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    row = {"image": "a.png", "prompt": "p", "elements": {"fox": 1, "hen": 0}}
    text(tmp_path / "rows.jsonl", json.dumps(row))
    (item,) = own(tmp_path)
    found = suite("folder").measure([Row(item, verdict(item))])
    assert (found["accuracy"].value, found["mean_score"].value) == (0.5, 3.0)
    assert found["srcc"].note == "the data has no scores"


# ------------------------------------------------------------------------------------ broken label files


@pytest.mark.parametrize(
    ("name", "file", "lines", "said"),
    [
        ("thqa", "thqa_ntire_val.csv", ["Video,Score", "a.mp4,good"], "line 2: Score"),
        ("thqa", "thqa_ntire_val.csv", ["Video,Score", "a.mp4,nan"], "a finite number"),
        ("thqa", "thqa_ntire_val.csv", ["Video,Score", "a.mp4,1", "a.mp4,2"], "each name once"),
        ("thqa", "thqa_ntire_val.csv", ["Video,Score", "a.mp4"], "line 2"),
        ("thqa", "thqa_ntire_val.csv", ["File,MOS", "a.mp4,1"], "header"),
        ("aigiqa-20k", "info_train.csv", ["a.png,p,1,2"], "2 or 3 values"),
        ("qeval-video", "val.json", ['{"video": "a.mp4"}'], "a list of"),
        ("qeval-video", "val.json", ['[{"video": 3}]'], "row 1"),
        ("qeval-video", "val.json", ["["], "JSON"),
        ("t2vqa-db", "info.txt", ["a.mp4|p"], "line 1"),
        ("hpdv2", "test.json", ['[{"prompt": "p", "image_path": ["a"], "rank": []}]'], "one length"),
        ("hpdv3", "test.json", ['[{"prompt": "p"}]'], "path1 is missing"),
        ("sdg-30k", "test.jsonl", ['{"filepath": "a", "boxes": [{"label": "x"}]}'], "artifact"),
        ("evalmuse-structure", "train_info.json", ['{"a": {"mos": 3, "bbox_info": 3}}'], "bbox_info"),
        ("genai-bench", "genai_image.json", ['{"0": {"prompt": "p"}}'], "models"),
        ("scenes", "rows.jsonl", ['{"image": "a.png", "labels": {"score": 9}}'], "labels.score"),
        ("video-sr", "pairs.csv", ["first,second,winner", "a,b,c"], "first, second or tie"),
    ],
)
def test_a_broken_label_is_named_with_its_file_and_line(tmp_path: Path, name, file, lines, said) -> None:
    text(tmp_path / file, *lines)
    with pytest.raises(InputError, match=said):
        list(suite(name).read(tmp_path, media=False))


def test_a_name_is_found_by_the_end_of_its_path_and_never_outside_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "set"
    picture(root / "deep" / "DALLE" / "1.png")
    picture(root / "deep" / "SDXL" / "1.png")
    picture(tmp_path / "secret.png")
    clip(root / "1.mp4")
    files = Media(root)
    assert files.find("SDXL/1.png") == root / "deep/SDXL/1.png"
    assert files.find("SDXL/1") == root / "deep/SDXL/1.png"  # without its ending
    assert files.find("1.png") is None  # two equally good ones
    assert files.find("../secret.png") is None
    assert files.find("SDXL\\1.png") == root / "deep/SDXL/1.png"


def test_reading_holds_no_list_of_items(tmp_path: Path) -> None:
    """The first item comes although the last row is broken: rows are made as they are asked for."""
    rows = [{"video": f"{i}.mp4", "prompt": "p", "gt_score": 1} for i in range(50)] + [{"video": 1}]
    as_json(tmp_path / "val.json", rows)
    items = suite("qeval-video").read(tmp_path, media=False)
    assert [item.id for item in islice(items, 3)] == ["0.mp4", "1.mp4", "2.mp4"]
    with pytest.raises(InputError, match="row 51"):
        list(items)


def test_a_dimension_answers_in_place_of_the_score_where_the_verdict_has_it(tmp_path: Path) -> None:
    item = read("thqa", tmp_path)[0]
    both = verdict(item, 2.0, dimensions={"alignment": Dimension(score=4.0, distribution=[0.2] * 5)})
    for form in (both, both.model_dump(mode="json")):
        row = Row(item, form)
        assert (answer_of(row), answer_of(row, "alignment"), answer_of(row, "structure")) == (2.0, 4.0, 2.0)
    assert math.isfinite(float(np.float64(answer_of(Row(item, both)))))
