"""Scenes on disk: PNG pictures (or MP4 clips), PNG masks, one JSONL row a scene, and a contact sheet to look
at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from judge.errors import InputError
from judge.runtime.processes import clean_pool
from judge.scenes.clips import draw_clip
from judge.scenes.encoding import encode
from judge.scenes.scene import Scene, draw
from judge.scenes.tiles import draw_tiles

_STRIDE = 10_000_019
"""Scenes of different seeds never share a drawing seed as long as a set has fewer scenes than this."""


def seeds(seed: int, count: int) -> range:
    """The drawing seeds of a set of scenes."""
    if not 0 <= count < _STRIDE:
        raise InputError("count", count, f"0 to {_STRIDE - 1}", "draw several sets with different seeds")
    if seed < 0:
        raise InputError("seed", seed, "0 or more", "give a non-negative integer")
    return range(seed * _STRIDE, seed * _STRIDE + count)


def _write_one(folder: Path, first: int, size: int, drawing: Callable[[int, int], Scene], seed: int) -> str:
    scene, name = drawing(seed, size), f"{seed - first:06d}"
    Image.fromarray(scene.image).save(folder / "images" / f"{name}.png", compress_level=1)
    for k, (defect, mask) in enumerate(zip(scene.sample.labels.defects, scene.masks, strict=True)):
        defect.mask = Path("masks") / f"{name}-{k}.png"
        Image.fromarray((mask * 255).astype("uint8")).save(folder / defect.mask, compress_level=1)
    scene.sample.id, scene.sample.image = name, f"images/{name}.png"
    return scene.sample.model_dump_json(exclude={"reference", "video"})


def write(
    out: Path,
    count: int,
    seed: int,
    *,
    size: int = 224,
    workers: int | None = None,
    drawing: Callable[[int, int], Scene] = draw,
) -> Iterator[int]:
    """Draw `count` scenes into a folder; yields how many are done after each. `drawing` is given a seed and
    the size.

    Layout: `images/NNNNNN.png`, `masks/NNNNNN-K.png` (255 inside defect K), `rows.jsonl` with one
    `LabelledSample` a line in order. `rows.jsonl` appears only when all is written.

    Raises:
        InputError: count or seed out of range, or `out` is a file.
    """
    todo = seeds(seed, count)
    _make(out, "images", "masks")
    yield from _rows(out, partial(_write_one, out, todo.start, size, drawing), todo, workers)


def _make(out: Path, *parts: str) -> None:
    if out.is_file():
        raise InputError(
            "out", str(out), "a folder", "name a folder that does not exist yet, or an empty one"
        )
    for part in parts:
        (out / part).mkdir(parents=True, exist_ok=True)


def _rows(out: Path, job: Callable[[int], str], todo: range, workers: int | None) -> Iterator[int]:
    """Write the row of each seed, in order, and put the file in its place when all are there."""
    draft = out / "rows.jsonl.part"
    with draft.open("w", encoding="utf-8") as rows, clean_pool(workers) as pool:
        for n, row in enumerate(pool.map(job, todo, chunksize=16), 1):
            rows.write(row + "\n")
            yield n
    draft.rename(out / "rows.jsonl")


def _write_clip(folder: Path, first: int, seed: int) -> str:
    clip, name = draw_clip(seed), f"{seed - first:06d}"
    (folder / "clips" / f"{name}.mp4").write_bytes(encode(clip.frames, clip.size, clip.facts.rate))
    clip.sample.id, clip.sample.video = name, f"clips/{name}.mp4"
    return clip.sample.model_dump_json(exclude={"reference", "image"})


def write_clips(out: Path, count: int, seed: int, *, workers: int | None = None) -> Iterator[int]:
    """Draw `count` clips into a folder; yields how many are done after each.

    Layout: `clips/NNNNNN.mp4` (H.264, see `judge.scenes.encoding`), `rows.jsonl` with one `LabelledSample` a
    line in order. `rows.jsonl` appears only when all is written.

    Raises:
        InputError: count or seed out of range, or `out` is a file.
    """
    todo = seeds(seed, count)
    _make(out, "clips")
    yield from _rows(out, partial(_write_clip, out, todo.start), todo, workers)


def _write_tiles(folder: Path, first: int, seed: int) -> str:
    rows = []
    for n, tile in enumerate(draw_tiles(seed)):
        name = f"{seed - first:06d}-{n}"
        Image.fromarray(tile.image).save(folder / "images" / f"{name}.png", compress_level=1)
        tile.sample.id, tile.sample.image = name, f"images/{name}.png"
        rows.append(tile.sample.model_dump_json(exclude={"reference", "video"}))
    return "\n".join(rows)


def write_tiles(out: Path, count: int, seed: int, *, workers: int | None = None) -> Iterator[int]:
    """Draw `count` large scenes and write parts of each (`judge.scenes.tiles`) as `write` does scenes;
    yields how many scenes are done after each."""
    todo = seeds(seed, count)
    _make(out, "images")
    yield from _rows(out, partial(_write_tiles, out, todo.start), todo, workers)


def sheet(scenes: Iterable[Scene], columns: int = 6) -> Image.Image:
    """A contact sheet: each scene with its defect boxes, its elements (+ there, - not) and its score."""
    tiles, font = [], ImageFont.load_default(11)
    for scene in scenes:
        h, w = scene.image.shape[:2]
        tile = Image.new("RGB", (w + 8, h + 92), "white")
        tile.paste(Image.fromarray(scene.image), (4, 4))
        pen, labels = ImageDraw.Draw(tile), scene.sample.labels
        for d in labels.defects:
            x0, y0, x1, y1 = (v + 4 for v in d.box)
            pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline="red")
            pen.text((x0 + 1, max(4, y0 - 12)), d.kind, fill="red", font=font)
        f = scene.facts
        lines = [f"{labels.score:.2f}  {f.style}, {f.background}, {f.degradation} {f.level}"]
        lines += [f"{'+' if e.present else '-'} {e.name}" for e in labels.elements]
        pen.multiline_text((5, h + 5), "\n".join(lines), fill="black", font=font, spacing=2)
        tiles.append(tile)
    if not tiles:
        raise InputError("scenes", 0, "at least one", "draw some scenes first")
    w, h = tiles[0].size
    page = Image.new("RGB", (w * min(columns, len(tiles)), h * -(-len(tiles) // columns)), "white")
    for n, tile in enumerate(tiles):
        page.paste(tile, (n % columns * w, n // columns * h))
    return page
