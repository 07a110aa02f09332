"""Images and videos that cannot be read: named by --check, skipped and counted, refused if they are many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
import tiny
from PIL import Image
from student_data import distill_config, write_noise_images
from training_data import tiny_config, write_image, write_scenes, write_videos
from typer.testing import CliRunner

from eval.suites import load_suite
from eval.suites.shared.reading import keep_missing_media
from finetune.cli import app
from finetune.damaged_media import MAX_LISTED, skip_damaged
from finetune.distill.preparation import prepare
from finetune.lora import run
from finetune.lora.config import Config
from finetune.lora.dataset import TrainingDataset
from finetune.lora.targets import load_target_set, read_samples
from finetune.photos.image_jobs import distorted_photo_jobs, find_images, usable_photos
from judge.errors import InputError

COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base and its adapter."""
    root = tmp_path_factory.mktemp("damaged")
    tiny.write_checkpoint(root / "qwen3_vl", "qwen3_vl", number_tokens=True)
    return root


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("<html>404</html>")


def write_clip(path: Path) -> None:
    path.write_bytes(clips.encode_clip(clips.make_frames(4, seed=1)))


DAMAGES: dict[str, tuple[Any, str]] = {
    "cut off": (truncate, "damaged"),
    "empty": (empty, "empty"),
    "missing": (Path.unlink, "no such file"),
    "a page in place of the image": (write_text, "check the file"),
    "a video in place of the image": (write_clip, "check the file"),
}


def scenes_config(folder: Path, data: Path, **overrides: Any) -> Config:
    paths = {"data.0.path": data, "data.0.skip": 3, "held.path": data, "held.limit": 3}
    return tiny_config(folder, **(paths | overrides))


# -- LoRA ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_image_is_named_and_skipped(folder: Path, tmp_path: Path, damage: str) -> None:
    data, lines = write_scenes(tmp_path, COUNT), list[str]()
    spoil, reason = DAMAGES[damage]
    spoil(data / "images/7.png")
    prepared = run.prepare(scenes_config(folder, data), lines.append)
    assert [target.sample.id for target in prepared.target_sets[0].targets] == [
        str(n) for n in range(3, COUNT) if n != 7
    ]
    (named,) = [line for line in lines if "cannot be read:" in line]
    assert named.startswith("data.0: cannot be read: 7: ") and "images/7.png" in named and reason in named
    assert "data.0: 1 of 21 rows (4.8 %) are skipped, as their images or videos cannot be read" in lines
    assert "scenes: 20 rows, depths verdict and score" in lines


def test_an_image_under_the_suffix_of_another_format_is_read(folder: Path, tmp_path: Path) -> None:
    data = write_scenes(tmp_path, COUNT)
    Image.new("RGB", (64, 48)).save(data / "images/7.png", "JPEG")
    lines = list[str]()
    prepared = run.prepare(scenes_config(folder, data), lines.append)
    assert len(prepared.target_sets[0].targets) == 21 and not any("skipped" in line for line in lines)


def test_too_many_damaged_images_stop_the_training(folder: Path, tmp_path: Path) -> None:
    data = write_scenes(tmp_path, COUNT)
    truncate(data / "images/7.png")
    empty(data / "images/9.png")
    with pytest.raises(InputError) as error:
        run.prepare(scenes_config(folder, data))
    for part in ("data.0.max_damaged_share", "2 of 21 rows", "at most 5 %", "7: ", "images/7.png"):
        assert part in str(error.value)
    prepared = run.prepare(scenes_config(folder, data, **{"data.0.max_damaged_share": 0.1}))
    assert len(prepared.target_sets[0].targets) == 19
    for n in range(COUNT):
        empty(data / f"images/{n}.png")
    with pytest.raises(InputError, match="21 of 21 rows"):
        run.prepare(scenes_config(folder, data, **{"data.0.max_damaged_share": 1}))


def test_a_damaged_held_out_image_is_skipped_with_its_count(folder: Path, tmp_path: Path) -> None:
    data, lines = write_scenes(tmp_path, COUNT), list[str]()
    truncate(data / "images/1.png")
    config = scenes_config(folder, data, **{"held.max_damaged_share": 0.4})
    prepared = run.prepare(config, lines.append)
    assert prepared.evaluation is not None and len(prepared.evaluation.samples) == 2
    assert "held: 1 of 3 rows (33.3 %) are skipped, as their images or videos cannot be read" in lines


def test_every_row_that_is_left_can_be_encoded(folder: Path, tmp_path: Path, encoder: Any) -> None:
    data = write_scenes(tmp_path, COUNT)
    truncate(data / "images/7.png")
    prepared = run.prepare(scenes_config(folder, data))
    dataset = TrainingDataset(prepared.target_sets, encoder)
    assert len(dataset) == 40 and all(dataset[n].ids for n in (0, 3, 4, 5, 39))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Any:
    from finetune.lora.base_model import check_base, load_trainable_model
    from finetune.lora.config import LossConfig
    from finetune.lora.encoding import RowEncoder
    from finetune.lora.evaluation import TrainingBackend

    config = tiny_config(folder)
    base = check_base(config.model)
    model, processor = load_trainable_model(base, config.model, config.lora)
    return RowEncoder(TrainingBackend(model.eval(), processor, base), LossConfig(), max_pixels=10**6)


@pytest.mark.parametrize("damage", ["cut off", "empty", "missing", "a page in place of the image"])
def test_a_damaged_video_is_named_and_skipped(folder: Path, tmp_path: Path, damage: str) -> None:
    data, lines = write_videos(tmp_path / "data", 4), list[str]()
    DAMAGES[damage][0](data / "2.mp4")
    overrides = {"data.0.path": data, "data.0.skip": 0, "data.0.max_damaged_share": 0.25}
    config = tiny_config(folder, "qwen3-vl-4b-video", "data", **overrides)
    target_set = load_target_set(config.data[0], "data.0", lines.append)
    assert len(target_set.targets) == 3 and any("2.mp4" in line for line in lines)


def test_the_command_checks_and_names_rows_and_files(folder: Path, tmp_path: Path) -> None:
    data = write_scenes(tmp_path, COUNT)
    truncate(data / "images/7.png")
    settings = {"data.0.path": data, "data.0.skip": 3, "held.path": data, "held.limit": 3,
                "model.base": folder / "qwen3_vl"}  # fmt: skip
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = ["lora", "--config", "nano-scenes", "--out", str(tmp_path / "out"), "--check", *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "data.0: cannot be read: 7: " in result.output and "images/7.png" in result.output
    result = CliRunner().invoke(app, [*command, "--set", "data.0.max_damaged_share=0.01"])
    assert result.exit_code == 2 and "max_damaged_share" in result.output


def test_many_damaged_rows_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    data, lines = write_scenes(tmp_path, MAX_LISTED + 6), list[str]()
    for n in range(MAX_LISTED + 3):
        (data / f"images/{n}.png").unlink()
    with keep_missing_media():
        samples = list(load_suite("scenes").read(data))
    assert [sample.id for sample in skip_damaged(samples, "data", 1.0, lines.append)] == ["23", "24", "25"]
    assert len(lines) == MAX_LISTED + 2 and lines[MAX_LISTED] == "data: cannot be read: 3 more"
    with pytest.raises(InputError, match="missing"):
        list(load_suite("scenes").read(data))


# -- Distillation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_distillation_skips_damaged_images(tmp_path: Path, damage: str) -> None:
    data, lines = write_noise_images(tmp_path / "data", COUNT), list[str]()
    rows = [{"image": f"{n}.png"} for n in range(COUNT)]
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    DAMAGES[damage][0](data / "5.png")
    prepared = prepare(distill_config(data), lines.append)
    assert len(prepared.samples) == len(prepared.opinions) == COUNT - 1
    assert "5.png" in lines[0] and "1 of 24 rows" in lines[1]
    config = distill_config(data)
    config.data[0].max_damaged_share = 0.0
    with pytest.raises(InputError, match="max_damaged_share"):
        prepare(config)


# -- Datasets of photographs ---------------------------------------------------------------------------


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    waves = np.sin(np.arange(64 * 48 * 3).reshape(48, 64, 3) / 9) * 90 + 128
    for n in range(count):
        Image.fromarray((waves + n).astype(np.uint8)).save(folder / f"{n:02}.png")
    return folder


@pytest.mark.parametrize("damage", ["cut off", "empty", "a page in place of the image"])
def test_photographs_that_cannot_be_read_are_named_and_skipped(tmp_path: Path, damage: str) -> None:
    photos = write_photos(tmp_path / "photos", 20)
    (photos / ".thumbs").mkdir()
    write_image(photos / ".thumbs/0.png", 1)
    DAMAGES[damage][0](photos / "03.png")
    command = ["photos", "strengths", str(tmp_path / "out"), str(photos), "--count", "20"]
    result = CliRunner().invoke(app, [*command, "--check"])
    assert result.exit_code == 0 and "19 photographs can be read" in result.output
    assert "03.png" in result.output and "1 of 20 rows (5.0 %) are skipped" in result.output
    assert not (tmp_path / "out").exists()
    result = CliRunner().invoke(app, [*command, "--max-damaged-share", "0.01"])
    assert result.exit_code == 2 and "max_damaged_share" in result.output


def test_jobs_are_made_of_the_photographs_that_can_be_read(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 4)
    truncate(photos / "01.png")
    usable = usable_photos(find_images([photos]), 0.25)
    assert [path.name for path in usable] == ["00.png", "02.png", "03.png"]
    examples = [job()[1] for job in distorted_photo_jobs(usable, 6, seed=5)]
    assert [example.name for example in examples] == ["00", "02", "03"] * 2
    with pytest.raises(InputError, match="max_damaged_share"):
        usable_photos(find_images([photos]), 0.2)


@pytest.mark.parametrize("spoil", [truncate, Path.unlink])
def test_rated_photographs_that_cannot_be_read_are_named_and_skipped(tmp_path: Path, spoil: Any) -> None:
    photos = write_photos(tmp_path / "images", 24)
    rows = "".join(f"{path.name},50,10\n" for path in sorted(photos.iterdir()))
    (tmp_path / "labels.csv").write_text(f"image,mos_0_100,std\n{rows}")
    spoil(photos / "03.png")
    command = ["photos", "opinions", str(tmp_path / "out"), str(tmp_path), "--all", "--check"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0 and "23 photographs can be read" in result.output, result.output
    assert "03.png" in result.output


def test_a_source_is_decoded_once_however_often_it_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune import damaged_media

    data, decoded = write_scenes(tmp_path, 6), list[str]()
    load_image = damaged_media.load_image
    monkeypatch.setattr(damaged_media, "load_image", lambda path: decoded.append(path) or load_image(path))
    config = scenes_config(folder, data)
    for _ in range(2):
        read_samples(config.data[0], "data.0")
    assert len(decoded) == 3
