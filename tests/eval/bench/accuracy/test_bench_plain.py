"""The bench of plain drawings by another program, with the embedded judge on a few of them."""

from __future__ import annotations

from PIL import Image

from eval.bench import parts
from eval.bench.accuracy.plain_drawings import PALETTES, draw_plain


def test_plain_drawings_are_judged_sound() -> None:
    measured = parts.plain(4, 6, "embedded", None, 6)
    for palette in PALETTES:
        assert measured[palette] == {"unscored": 0, "sound": 1, "elements": 1, "high_score": 1}
        assert measured["interval_95"][palette]["sound"][1] == 1


def test_a_seed_gives_the_same_shapes_in_the_colours_of_each_palette() -> None:
    drawn = {palette: [draw_plain(seed, palette) for seed in range(20)] for palette in PALETTES}
    for scenes, css in zip(drawn["scenes"], drawn["css"], strict=True):
        assert scenes.prompt == css.prompt and isinstance(css.image, Image.Image)
        assert len(css.image.getcolors() or ()) == 3
    colors = {color for sample in drawn["css"] for _, color in sample.image.getcolors()}
    assert {(255, 0, 0), (0, 128, 0)} <= colors
