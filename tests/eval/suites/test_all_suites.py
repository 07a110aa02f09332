"""What holds for every suite: reading, missing files, evaluation; and the registry of suites."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import LAYOUTS
from verdicts import make_verdict

from eval.metrics.metric_value import MetricValue
from eval.suites import SUITES, load_suite
from eval.suites.shared.samples import JudgedSample
from judge.errors import InputError
from judge.media.image import load_image

MEDIA_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".mp4")
SUITES_OF_MEDIA = ("folder", "face-restoration")
"""Suites without a label file: the media in a folder are the data set."""


@pytest.fixture(params=LAYOUTS)
def dataset(request, tmp_path: Path):
    """(suite, folder, ids) of each suite, with a small data set in the folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    return load_suite(request.param), folder, LAYOUTS[request.param](folder)


def list_media(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in MEDIA_SUFFIXES]


# ---------------------------------------------------------------------------------------------- registry


def test_every_suite_has_a_name_and_a_layout() -> None:
    assert set(LAYOUTS) == set(SUITES)
    assert all(load_suite(name).name == name for name in SUITES)


def test_listing_the_names_imports_no_suite() -> None:
    code = "import sys; from eval.suites import SUITES; list(SUITES); 'thqa' in SUITES\n"
    code += "print([m for m in sys.modules if m.startswith('eval.suites.') or m in ('torch', 'scipy')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_error_for_an_unknown_suite_suggests_the_closest_name() -> None:
    with pytest.raises(InputError, match="did you mean agiqa-3k"):
        load_suite("AGIQA_3K")
    with pytest.raises(InputError, match="take one of these"):
        load_suite("zzzz")


# ----------------------------------------------------------------------------------------------- reading


def test_samples_are_in_order_with_unique_ids_and_existing_media(dataset) -> None:
    suite, folder, ids = dataset
    samples = list(suite.read(folder))
    assert [sample.id for sample in samples] == ids
    for sample in samples:
        if suite.kind == "video":
            assert sample.video.is_file()
        else:
            assert load_image(sample.image).width > 0
    assert [sample.id for sample in suite.read(folder)] == ids  # The same order when read again.


def test_the_judge_receives_no_labels(dataset) -> None:
    suite, folder, _ = dataset
    for sample in suite.read(folder):
        judged = sample.to_sample()
        assert judged.id == sample.id
        assert not hasattr(judged, "labels")
        labelled = [element.name for element in sample.labels.elements]
        assert judged.elements is None or judged.elements == (labelled or sample.elements)


def test_labels_are_read_without_media(dataset) -> None:
    suite, folder, ids = dataset
    for path in list_media(folder):
        path.unlink()
    if suite.name in SUITES_OF_MEDIA:
        return
    assert [sample.id for sample in suite.read(folder, media=False)] == ids


def test_missing_media_are_one_error_with_their_number_and_the_source(dataset) -> None:
    suite, folder, ids = dataset
    media = list_media(folder)
    if not media or suite.name in SUITES_OF_MEDIA:
        return
    for path in media:
        path.unlink()
    with pytest.raises(InputError) as caught:
        next(suite.read(folder))
    assert f"{len(ids)} of {len(ids)} are missing" in str(caught.value)
    assert suite.source in str(caught.value)


def test_the_error_for_missing_labels_names_the_source(dataset, tmp_path: Path) -> None:
    suite, _, _ = dataset
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "nowhere"):
        with pytest.raises(InputError) as caught:
            next(suite.read(folder))
        assert suite.source in str(caught.value) or suite.name == "folder"


def test_the_error_for_an_unknown_split_lists_the_splits(dataset) -> None:
    suite, folder, _ = dataset
    if suite.name in ("folder", "pick-a-pic"):
        return
    with pytest.raises(InputError, match="choose one of these"):
        next(suite.read(folder, "tset"))


# -------------------------------------------------------------------------------------------- evaluation


def test_every_metric_of_a_run_is_a_number_or_has_a_note(dataset) -> None:
    """For scored and unscored verdicts, as objects and as JSON."""
    suite, folder, _ = dataset
    samples = list(suite.read(folder))
    for score in (3.0, None):
        judged = [
            JudgedSample(sample, make_verdict(sample, None if score is None else score + number / 9))
            for number, sample in enumerate(samples)
        ]
        metrics = suite.evaluate(iter(judged))
        from_json = suite.evaluate(
            JudgedSample(j.sample, json.loads(j.verdict.model_dump_json())) for j in judged
        )
        assert {name: m.value for name, m in metrics.items()} == {n: m.value for n, m in from_json.items()}
        json.dumps({name: m.as_dict() for name, m in metrics.items()}, allow_nan=False)
        assert all(isinstance(m, MetricValue) and (m.note or m.value is not None) for m in metrics.values())
        if "unscored" in metrics:
            assert metrics["unscored"].value == (len(samples) if score is None else 0)
