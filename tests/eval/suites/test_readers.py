"""`eval.suites.readers`: broken files are one clear error, and pickles run no code."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from file_formats import encode_tfrecord, write_lines, write_scores

from eval.runs.official_scores import score_predictions
from eval.suites import load_suite
from eval.suites.readers.pickles import read_pickle
from judge.errors import InputError

# ------------------------------------------------------------------------------------------- label files


@pytest.mark.parametrize(
    ("name", "file", "lines", "message"),
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
def test_the_error_for_a_broken_label_names_file_and_line(tmp_path: Path, name, file, lines, message) -> None:
    write_lines(tmp_path / file, *lines)
    with pytest.raises(InputError, match=message):
        list(load_suite(name).read(tmp_path, media=False))


def test_a_damaged_tfrecord_is_named(tmp_path: Path) -> None:
    encoded = encode_tfrecord({"filename": b"a.png"})
    for data, message in ((encoded[:-8], "cut off"), (encoded, "RichHF"), (b"\xff" * 40, "record 1")):
        (tmp_path / "test.tfrecord").write_bytes(data)
        with pytest.raises(InputError, match=message):
            list(load_suite("richhf-18k").read(tmp_path, media=False))


# -------------------------------------------------------------------------------------- prediction files


def test_missing_predictions_are_named_and_extra_ones_are_counted(tmp_path: Path) -> None:
    truth = {f"v{i}.mp4": float(i) for i in range(10)}
    predicted = {name: score + i % 3 for i, (name, score) in enumerate(truth.items())}
    labels = write_scores(tmp_path / "val.csv", truth, "Video,Score")
    more = write_scores(tmp_path / "a.txt", {**predicted, "other.mp4": 1.0})
    metrics = score_predictions("thqa", more, labels)
    assert (metrics["extra"].value, "other.mp4" in metrics["extra"].note) == (1.0, True)
    fewer = {name: score for name, score in predicted.items() if name not in ("v3.mp4", "v7.mp4")}
    with pytest.raises(InputError, match=r"2 are missing: v3\.mp4, v7\.mp4"):
        score_predictions("thqa", write_scores(tmp_path / "b.txt", fewer), labels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v0.mp4,1\nv0.mp4,2\n", "each name once"),
        ("v0.mp4,good\nv1.mp4,bad\n", "a finite number"),
        ("v0.mp4,1\nv1.mp4,inf\n", "a finite number"),
        ("v0.mp4\n", "name,score"),
        ("", "at least one line"),
        ("\xff\xfe", "UTF-8"),
    ],
)
def test_a_broken_prediction_file_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    labels = write_scores(tmp_path / "val.csv", {"v0.mp4": 1.0, "v1.mp4": 2.0}, "Video,Score")
    pred = tmp_path / "output.txt"
    pred.write_bytes(content.encode("latin1"))
    with pytest.raises(InputError, match=message):
        score_predictions("thqa", pred, labels)


def test_archives_without_the_file_and_missing_files_are_errors(tmp_path: Path) -> None:
    labels = write_scores(tmp_path / "val.csv", {"v0.mp4": 1.0}, "Video,Score")
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"")
    with pytest.raises(InputError, match=r"it holds a\.png"):
        score_predictions("thqa", archive, labels)
    with pytest.raises(InputError, match="a file that exists"):
        score_predictions("thqa", tmp_path / "none.txt", labels)
    with pytest.raises(InputError, match="files of predictions"):
        score_predictions("scenes", archive, labels)


def test_labels_without_scores_cannot_be_scored_against(tmp_path: Path) -> None:
    names = write_lines(tmp_path / "thqa_ntire_vallist.csv", "Video", "v0.mp4")
    with pytest.raises(InputError, match="labels with scores"):
        score_predictions("thqa", write_scores(tmp_path / "p.txt", {"v0.mp4": 1.0}), names)


# ---------------------------------------------------------------------------------------------- pickles


class CallWhenLoaded:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_no_pickle_runs_code(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    values = [
        CallWhenLoaded(os.system, f"touch {mark}"),
        CallWhenLoaded(eval, f"open({str(mark)!r}, 'w')"),
        CallWhenLoaded(exec, f"open({str(mark)!r}, 'w')"),
        CallWhenLoaded(getattr, "a", "upper"),
        np.array([CallWhenLoaded(os.system, f"touch {mark}")], dtype=object),
        {"img": {"score": 1.0, "pred_area": CallWhenLoaded(os.mkdir, str(mark))}},
    ]
    handwritten = [
        f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode(),
        f"cnumpy\nload\n(S'{mark}'\ntR.".encode(),
        f"cbuiltins\nopen\n(S'{mark}'\nS'w'\ntR.".encode(),
        b"\x80\x04\x8c\x05numpy\x8c\x1ccore.multiarray._reconstruct\x93.",
        b"Pperson\n.",
    ]
    for number, data in enumerate([pickle.dumps(value) for value in values] + handwritten):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(data)
        with pytest.raises(InputError, match="never run"):
            read_pickle(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        CallWhenLoaded(bytearray, 10**12),
        CallWhenLoaded(np.ndarray, (10**12,)),
        CallWhenLoaded(np.dtype, [("a", "i4")]),
        np.zeros(2, dtype=[("a", "i4")]),
        np.array(["text"]),
        np.array([None]),
        np.datetime64("2025-01-01"),
        {"type": np.ndarray},
        Path("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_pickle_of_more_than_numbers_is_refused(tmp_path: Path, value) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match="plain containers and numpy arrays of numbers"):
        read_pickle(path)


def test_damaged_and_endless_pickles_are_errors(tmp_path: Path) -> None:
    intact = pickle.dumps({"a": {"score": 1.0, "pred_area": np.ones((40, 50), np.uint8)}}, 4)
    deep = b"(" * 100_000
    wrong_shape = intact.replace(b"K\x28K\x32\x86", b"K\x29K\x32\x86")  # 41 x 50 from 2,000 bytes.
    assert wrong_shape != intact
    for data in (b"", intact[:-30], intact[:50], deep, wrong_shape, b"\x80\x09.", bytes(range(256))):
        path = tmp_path / "x.pkl"
        path.write_bytes(data)
        with pytest.raises(InputError):
            read_pickle(path)
    # Nested tuples with 2 to the 60 leaves, made of 60 different objects.
    bomb = b"\x80\x04\x8c\x01a" + b"q\x01" + b"".join(b"h\x01h\x01\x86q\x01" for _ in range(60)) + b"."
    (tmp_path / "bomb.pkl").write_bytes(bomb)
    assert isinstance(read_pickle(tmp_path / "bomb.pkl"), tuple)


def test_plain_containers_and_arrays_are_read_unchanged(tmp_path: Path) -> None:
    value = {
        "img": OrderedDict(score=np.float64(2.5), pred_area=np.asfortranarray([[1, 0, 1], [0, 1, 1]])),
        "more": [
            np.arange(3, dtype=">i4"),
            np.zeros((0, 4), bool),
            np.float16(1),
            (1, {2}),
            None,
            b"",
            "é",
            10**30,
        ],
    }
    value["self"] = value["more"]
    for protocol in range(6):
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps(value, protocol))
        read = read_pickle(path)
        np.testing.assert_equal(read["img"]["pred_area"], value["img"]["pred_area"])
        np.testing.assert_equal(read["more"], value["more"])
        assert read["self"] is read["more"]
