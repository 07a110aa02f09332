"""Tensors and arrays of trainers: taken as they are meant, or refused with the range that was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from rewards import encode_png

from judge.errors import MediaError
from judge.media.tensors import load_image_or_tensor, split_batch

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
"""An image (H, W, 3)."""
FLOATS = torch.from_numpy(PIXELS).permute(2, 0, 1) / 255
"""The same as (3, H, W) in 0 to 1."""


def loaded(image: Any) -> np.ndarray:
    return np.asarray(load_image_or_tensor(image).image)


@pytest.mark.parametrize(
    "image",
    [
        FLOATS,
        FLOATS.double(),
        FLOATS.permute(1, 2, 0),
        FLOATS[None],
        FLOATS[None, None],
        FLOATS.requires_grad_(False).numpy(),
        FLOATS.permute(1, 2, 0).numpy(),
        FLOATS[None].numpy(),
        torch.from_numpy(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        PIXELS,
        PIXELS.transpose(2, 0, 1),
        PIXELS[None],
        PIXELS.astype(object),
    ],
    ids=lambda image: f"{type(image).__name__}-{image.dtype}-{tuple(image.shape)}",
)
def test_every_layout_and_type_gives_the_same_pixels(image: Any) -> None:
    assert np.array_equal(loaded(image), PIXELS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read(dtype: Any) -> None:
    expected = (FLOATS.to(dtype).float() * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(loaded(FLOATS.to(dtype)), expected)
    assert np.abs(loaded(FLOATS.to(dtype)).astype(int) - PIXELS).max() <= 1


def test_one_and_four_channels_are_read() -> None:
    grey = torch.linspace(0, 1, 54).reshape(1, 6, 9)
    assert np.array_equal(loaded(grey), loaded(grey.repeat(3, 1, 1)))
    assert np.array_equal(loaded(grey), loaded(grey[0]))
    opaque = torch.cat([FLOATS, torch.ones(1, 6, 9)])
    assert np.array_equal(loaded(opaque), PIXELS)
    assert np.array_equal(loaded(opaque.permute(1, 2, 0).numpy()), PIXELS)
    assert (loaded(torch.cat([FLOATS, torch.zeros(1, 6, 9)])) == 255).all(), "transparent is shown on white"


def in_a_cell(value: Any) -> np.ndarray:
    cell = np.empty((), dtype=object)
    cell[()] = value
    return cell


PNG = encode_png(PIXELS)


@pytest.mark.parametrize(
    "cell",
    [
        in_a_cell(PIXELS),
        in_a_cell(Image.fromarray(PIXELS)),
        in_a_cell(PNG),
        np.array(PNG),
        np.array([PNG]),
        pa.scalar(PNG),
        {"bytes": PNG, "path": None},
        [PIXELS],
        (PNG,),
        pa.scalar({"bytes": PNG, "path": "gone.png"}),
        {"type": "image", "image": FLOATS},
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_an_image_is_read_from_the_cell_of_a_data_set(cell: Any) -> None:
    assert np.array_equal(loaded(cell), PIXELS)


RANGES = {
    "-1..1: pass x / 2 + 0.5": FLOATS * 2 - 1,
    "0..255: pass x / 255": FLOATS * 255,
    "0..65535: pass x / 65535": FLOATS * 65535,
    "undo the normalisation": FLOATS * 5 - 2,
    "clamp it to 0..1": FLOATS * 1.2,
    "clamp what is meant": FLOATS * 1.4 - 0.2,
}


@pytest.mark.parametrize(
    "as_type", [lambda x: x, lambda x: x.numpy(), lambda x: x.half(), lambda x: x.bfloat16()]
)
@pytest.mark.parametrize("mend", RANGES)
def test_a_float_range_outside_0_to_1_is_refused_with_the_range_and_the_mend(mend: str, as_type: Any) -> None:
    image = as_type(RANGES[mend].clamp(max=60000))
    with pytest.raises(MediaError) as caught:
        load_image_or_tensor(image)
    assert mend in str(caught.value)
    low = float(np.asarray(image.float() if hasattr(image, "detach") else image).min())
    assert f"its values are {low:.4g} to " in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_floats_that_are_not_finite_are_refused(value: float) -> None:
    image = FLOATS.clone()
    image[0, 1, 1] = value
    for form in (image, image.numpy(), image.half()):
        with pytest.raises(MediaError, match="NaN or infinity"):
            load_image_or_tensor(form)


@pytest.mark.parametrize("overshoot", [1e-3, -1e-3, 1e-6])
def test_the_rounding_of_floats_is_no_other_range(overshoot: float) -> None:
    image = (FLOATS > 0.5).float()
    moved = image.clone()
    moved[image == (1.0 if overshoot > 0 else 0.0)] += overshoot
    assert np.array_equal(loaded(moved), loaded(image))
    assert np.array_equal(
        loaded(torch.full((3, 4, 4), 1.0078125, dtype=torch.bfloat16)), np.full((4, 4, 3), 255)
    )
    with pytest.raises(MediaError, match="its values are"):
        load_image_or_tensor(image + 4 * overshoot + (0.01 if overshoot > 0 else -0.01))


@pytest.mark.parametrize(
    "image",
    [
        torch.rand(2, 3, 8, 8),
        torch.rand(2, 8, 8),
        torch.rand(3),
        torch.rand(0, 3, 8),
        torch.randint(0, 255, (3, 8, 8)),
        torch.rand(3, 8, 8) > 0.5,
        np.zeros((3, 8, 8), np.int32),
        np.zeros((3, 8, 8), complex),
        np.array(["a", "b"]),
        in_a_cell(None),
    ],
    ids=lambda image: f"{type(image).__name__}-{image.dtype}-{tuple(image.shape)}",
)
def test_other_shapes_and_types_are_refused(image: Any) -> None:
    with pytest.raises(MediaError):
        load_image_or_tensor(image)


@pytest.mark.parametrize("as_type", [lambda x: x, lambda x: x.numpy()])
def test_a_batch_of_another_range_is_refused_as_a_whole(as_type: Any) -> None:
    """A bright image of -1 to 1 alone lies within 0 to 1."""
    batch = as_type(torch.stack([FLOATS / 2 + 0.5, FLOATS * 2 - 1]))
    assert [type(image) for image in split_batch(batch)] == [MediaError, MediaError]
    assert len(list(split_batch(as_type(torch.stack([FLOATS, FLOATS]))))) == 2


def test_one_broken_image_of_a_batch_leaves_the_others_alone() -> None:
    first, second = split_batch(torch.stack([FLOATS, torch.full_like(FLOATS, torch.nan)]))
    assert np.array_equal(loaded(first), PIXELS)
    with pytest.raises(MediaError, match="NaN"):
        load_image_or_tensor(second)
