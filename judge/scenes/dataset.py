"""Writing scenes, clips and crops to a directory, and a contact sheet of scenes.

A data set consists of PNG images (or MP4 clips), PNG masks, and `rows.jsonl` with one `LabelledSample` on
each line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from judge.errors import InputError
from judge.runtime.process_pool import create_process_pool
from judge.scenes.clips import draw_clip
from judge.scenes.crops import draw_crops
from judge.scenes.scene import Scene, draw_scene
from judge.scenes.video_encoding import encode_video

_STRIDE = 10_000_019
"""Data sets with different seeds share no drawing seed if each has fewer scenes than this."""


def drawing_seeds(seed: int, count: int) -> range:
    """Return the drawing seeds of a data set.

    Args:
        seed: seed of the data set, 0 or more.
        count: number of scenes.

    Raises:
        InputError: count or seed is out of range.
    """
    if not 0 <= count < _STRIDE:
        raise InputError("count", count, f"0 to {_STRIDE - 1}", "draw several sets with different seeds")
    if seed < 0:
        raise InputError("seed", seed, "0 or more", "give a non-negative integer")
    return range(seed * _STRIDE, seed * _STRIDE + count)


def write_scenes(
    out: Path,
    count: int,
    seed: int,
    *,
    size: int = 224,
    workers: int | None = None,
    draw: Callable[[int, int], Scene] = draw_scene,
) -> Iterator[int]:
    """Draw scenes and write them to a directory.

    The directory gets `images/NNNNNN.png`, `masks/NNNNNN-K.png` (255 inside defect K), and `rows.jsonl` with
    one `LabelledSample` on each line, in order. `rows.jsonl` appears only when everything is written.

    Args:
        out: the directory; it is created.
        count: number of scenes.
        seed: seed of the data set, 0 or more.
        size: side of each image in pixels.
        workers: number of processes; default: one for each CPU.
        draw: draws a scene from a drawing seed and a size.

    Yields:
        The number of finished scenes, after each.

    Raises:
        InputError: count or seed is out of range, or `out` is a file.
    """
    seeds = drawing_seeds(seed, count)
    _make_directories(out, "images", "masks")
    yield from _write_rows(out, partial(_write_scene, out, seeds.start, size, draw), seeds, workers)


def write_clips(out: Path, count: int, seed: int, *, workers: int | None = None) -> Iterator[int]:
    """Draw clips and write them to a directory.

    The directory gets `clips/NNNNNN.mp4` (H.264, see `judge.scenes.video_encoding`), and `rows.jsonl` with
    one `LabelledSample` on each line, in order. `rows.jsonl` appears only when everything is written.

    Args:
        out: the directory; it is created.
        count: number of clips.
        seed: seed of the data set, 0 or more.
        workers: number of processes; default: one for each CPU.

    Yields:
        The number of finished clips, after each.

    Raises:
        InputError: count or seed is out of range, or `out` is a file.
    """
    seeds = drawing_seeds(seed, count)
    _make_directories(out, "clips")
    yield from _write_rows(out, partial(_write_clip, out, seeds.start), seeds, workers)


def write_crops(out: Path, count: int, seed: int, *, workers: int | None = None) -> Iterator[int]:
    """Draw large scenes and write crops of each (see `judge.scenes.crops`) to a directory.

    The layout is that of `write_scenes`, with `images/NNNNNN-K.png` for crop K of a scene and without masks.

    Args:
        out: the directory; it is created.
        count: number of large scenes.
        seed: seed of the data set, 0 or more.
        workers: number of processes; default: one for each CPU.

    Yields:
        The number of finished large scenes, after each.

    Raises:
        InputError: count or seed is out of range, or `out` is a file.
    """
    seeds = drawing_seeds(seed, count)
    _make_directories(out, "images")
    yield from _write_rows(out, partial(_write_crops_of_scene, out, seeds.start), seeds, workers)


def _make_directories(out: Path, *names: str) -> None:
    if out.is_file():
        raise InputError(
            "out", str(out), "a directory", "name a directory that does not exist yet, or an empty one"
        )
    for name in names:
        (out / name).mkdir(parents=True, exist_ok=True)


def _write_rows(
    out: Path, write_one: Callable[[int], str], seeds: range, workers: int | None
) -> Iterator[int]:
    """Write the row of each seed, in order. The file gets its final name when it is complete."""
    part = out / "rows.jsonl.part"
    with part.open("w", encoding="utf-8") as rows, create_process_pool(workers) as pool:
        for n, row in enumerate(pool.map(write_one, seeds, chunksize=16), 1):
            rows.write(row + "\n")
            yield n
    part.rename(out / "rows.jsonl")


def _write_scene(
    directory: Path, first_seed: int, size: int, draw: Callable[[int, int], Scene], seed: int
) -> str:
    """Write the files of one scene and return its row."""
    scene, name = draw(seed, size), f"{seed - first_seed:06d}"
    Image.fromarray(scene.image).save(directory / "images" / f"{name}.png", compress_level=1)
    for k, (defect, mask) in enumerate(zip(scene.sample.labels.defects, scene.masks, strict=True)):
        defect.mask = Path("masks") / f"{name}-{k}.png"
        Image.fromarray((mask * 255).astype("uint8")).save(directory / defect.mask, compress_level=1)
    scene.sample.id, scene.sample.image = name, f"images/{name}.png"
    return scene.sample.model_dump_json(exclude={"reference", "video"})


def _write_clip(directory: Path, first_seed: int, seed: int) -> str:
    """Write the file of one clip and return its row."""
    clip, name = draw_clip(seed), f"{seed - first_seed:06d}"
    data = encode_video(clip.frames, clip.size, clip.facts.frame_rate)
    (directory / "clips" / f"{name}.mp4").write_bytes(data)
    clip.sample.id, clip.sample.video = name, f"clips/{name}.mp4"
    return clip.sample.model_dump_json(exclude={"reference", "image"})


def _write_crops_of_scene(directory: Path, first_seed: int, seed: int) -> str:
    """Write the crops of one large scene and return their rows."""
    rows = []
    for n, crop in enumerate(draw_crops(seed)):
        name = f"{seed - first_seed:06d}-{n}"
        Image.fromarray(crop.image).save(directory / "images" / f"{name}.png", compress_level=1)
        crop.sample.id, crop.sample.image = name, f"images/{name}.png"
        rows.append(crop.sample.model_dump_json(exclude={"reference", "video"}))
    return "\n".join(rows)


def make_contact_sheet(scenes: Iterable[Scene], columns: int = 6) -> Image.Image:
    """Make one image that shows several scenes with their labels.

    Each scene is shown with its defect boxes, its elements (+ present, - absent) and its score.

    Args:
        scenes: scenes of one size.
        columns: number of scenes in a row.

    Raises:
        InputError: there is no scene.
    """
    tiles, font = [], ImageFont.load_default(11)
    for scene in scenes:
        h, w = scene.image.shape[:2]
        tile = Image.new("RGB", (w + 8, h + 92), "white")
        tile.paste(Image.fromarray(scene.image), (4, 4))
        pen, labels = ImageDraw.Draw(tile), scene.sample.labels
        for defect in labels.defects:
            x0, y0, x1, y1 = (v + 4 for v in defect.box)
            pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline="red")
            pen.text((x0 + 1, max(4, y0 - 12)), defect.kind, fill="red", font=font)
        facts = scene.facts
        lines = [f"{labels.score:.2f}  {facts.style}, {facts.background}, {facts.degradation} {facts.level}"]
        lines += [f"{'+' if e.present else '-'} {e.name}" for e in labels.elements]
        pen.multiline_text((5, h + 5), "\n".join(lines), fill="black", font=font, spacing=2)
        tiles.append(tile)
    if not tiles:
        raise InputError("scenes", 0, "at least one", "draw some scenes first")
    w, h = tiles[0].size
    sheet = Image.new("RGB", (w * min(columns, len(tiles)), h * -(-len(tiles) // columns)), "white")
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (n % columns * w, n // columns * h))
    return sheet
