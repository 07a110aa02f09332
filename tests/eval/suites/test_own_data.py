"""The suites `scenes` and `folder`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from file_formats import write_image, write_json, write_lines
from layouts import LAYOUTS
from PIL import Image
from verdicts import make_defect, make_verdict

from eval.suites import load_suite
from eval.suites.shared.samples import JudgedSample, SuiteSample
from judge.errors import InputError
from judge.media.image import load_image


def read_folder(data: Path, **options) -> list[SuiteSample]:
    return list(load_suite("folder").read(data, **options))


def test_scenes_measure_boxes_regions_and_elements(tmp_path: Path) -> None:
    LAYOUTS["scenes"](tmp_path)
    suite = load_suite("scenes")
    (sample,) = suite.read(tmp_path)
    assert sample.labels.load_mask()[2:20, 2:20].all()
    verdict = make_verdict(sample, 2.0, defects=[make_defect((2, 2, 20, 20))])
    metrics = suite.evaluate([JudgedSample(sample, verdict)])
    assert [metrics[name].value for name in ("box_f1", "region_f1", "accuracy")] == [1.0, 1.0, 1.0]


def test_a_folder_of_images_takes_prompts_from_text_files_of_the_same_name(tmp_path: Path) -> None:
    LAYOUTS["folder"](tmp_path)
    samples = read_folder(tmp_path)
    assert [(sample.id, sample.prompt) for sample in samples] == [("a.png", "a red fox"), ("sub/b.jpg", "")]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_all_kinds_of_table_give_the_same_samples(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / "pics" / "a.png")
    rows = [
        {"image": "pics/a.png", "prompt": "a fox", "mos": 3.5, "model": "x", "elements": "fox; snow"},
        {"image": "pics/a.png", "prompt": "a hen", "mos": 1.0, "model": "y", "elements": ""},
    ]
    path = tmp_path / f"table.{suffix}"
    if suffix in ("csv", "tsv"):
        separator = {"csv": ",", "tsv": "\t"}[suffix]
        lines = (separator.join(map(str, row.values())) for row in rows)
        write_lines(path, separator.join(rows[0]), *lines)
    elif suffix == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif suffix == "jsonl":
        write_lines(path, *map(json.dumps, rows))
    else:
        write_json(path, rows)
    first, second = read_folder(path)
    assert (first.id, second.id) == ("pics/a.png", "pics/a.png#2")
    assert (first.labels.mos, first.generator) == (3.5, "x")
    assert (first.elements, second.elements) == (["fox", "snow"], None)


@pytest.mark.parametrize(("suffix", "separator"), [("tsv", "\t"), ("csv", ","), ("csv", ";"), ("psv", "|")])
@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (['a.png,"a fox', "a.png,a hen", "a.png,a dog"], "line 2"),
        (["a.png,a fox", "a.png,a hen,more"], "line 3 has 3 values"),
        (["a.png,a fox", "a.png"], "line 3 has 1 values"),
    ],
)
def test_a_table_that_is_not_read_as_meant_is_one_error_with_its_line(
    tmp_path: Path, suffix: str, separator: str, lines: list[str], reason: str
) -> None:
    write_image(tmp_path / "a.png")
    table = tmp_path / f"table.{suffix}"
    table.write_text("\n".join(["image,prompt", *lines]).replace(",", separator), "utf-8")
    with pytest.raises(InputError, match=reason):
        read_folder(table)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_tables_of_other_programs_are_read(tmp_path: Path, encoding: str) -> None:
    write_image(tmp_path / "a.png")
    table = tmp_path / "labels.csv"
    url = (tmp_path / "a.png").as_uri()
    table.write_bytes(f"sep=;\r\nImage; Prompt ;MOS\r\n{url};ein Bär, zwei Füchse;3.5\r\n".encode(encoding))
    (sample,) = read_folder(tmp_path)
    assert (sample.prompt, sample.labels.mos) == ("ein Bär, zwei Füchse", 3.5)


def test_columns_are_mapped_by_options(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_lines(tmp_path / "labels.csv", "key,file_x,words,stars", "k1,a.png,a fox,4")
    (sample,) = read_folder(tmp_path, image="file_x", prompt="words", score="stars", id="key")
    assert (sample.id, sample.prompt, sample.labels.mos) == ("k1", "a fox", 4.0)
    with pytest.raises(InputError, match="a column of"):
        read_folder(tmp_path, image="picture")
    with pytest.raises(InputError, match="option"):
        read_folder(tmp_path, colour="x")


def test_a_saved_data_set_gives_encoded_images(tmp_path: Path) -> None:
    import datasets

    rows = {"image": [Image.new("RGB", (8, 6), (255, 0, 0))] * 2, "prompt": ["a", "b"], "score": [1.0, 2.0]}
    features = datasets.Features(
        image=datasets.Image(), prompt=datasets.Value("string"), score=datasets.Value("float64")
    )
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    samples = read_folder(tmp_path / "set")
    assert [(s.id, s.prompt, s.labels.mos) for s in samples] == [("row-1", "a", 1.0), ("row-2", "b", 2.0)]
    assert load_image(samples[0].image).width == 8


def test_labelled_elements_of_a_table_are_measured(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    row = {"image": "a.png", "prompt": "p", "elements": {"fox": 1, "hen": 0}}
    write_lines(tmp_path / "rows.jsonl", json.dumps(row))
    (sample,) = read_folder(tmp_path)
    metrics = load_suite("folder").evaluate([JudgedSample(sample, make_verdict(sample))])
    assert (metrics["accuracy"].value, metrics["mean_score"].value) == (0.5, 3.0)
    assert metrics["srcc"].note == "the data has no scores"
