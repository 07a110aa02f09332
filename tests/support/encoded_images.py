"""Encoded images for tests, and the error that loading one raises."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from judge.errors import MediaError
from judge.media.image import load_image


def encode_image(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Encode an image; the options are those of `Image.save`."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def loading_error(source: Any, **limits: int) -> MediaError:
    """Load an image that must be rejected, and return the error. Its message must be complete and short."""
    with pytest.raises(MediaError) as caught:
        load_image(source, field="photo", **limits)
    error = caught.value
    assert error.field == "photo" and error.allowed and error.mend
    assert "\n" not in str(error) and len(str(error)) < 500
    return error
