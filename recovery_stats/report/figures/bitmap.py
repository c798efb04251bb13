"""Pixels to a PNG file, without the alpha channel that matplotlib would add."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

DEFLATE_LEVEL = 4  # drawings are mostly white: a higher level takes longer and saves little


def encode(pixels: Any, dpi: float) -> bytes:
    """The file. pixels: (height, width, 4) bytes of red, green, blue and an opaque alpha."""
    colours = np.ascontiguousarray(np.asarray(pixels)[:, :, :3])
    with BytesIO() as file:
        Image.fromarray(colours).save(file, "PNG", dpi=(dpi, dpi), compress_level=DEFLATE_LEVEL)
        return file.getvalue()
