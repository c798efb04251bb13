"""Pixels to a PNG file, without the alpha channel that matplotlib would add.

Written out here: Pillow tries five filters on every row, which takes twice as long and, since
drawings are mostly white, makes the file longer.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

DEFLATE_LEVEL = 3  # a higher level takes half as long again and saves little
INCH_METRES = 0.0254
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode(pixels: Any, dpi: float) -> bytes:
    """The file. pixels: (height, width, 4) bytes of red, green, blue and an opaque alpha."""
    held = np.ascontiguousarray(pixels)
    height, width = held.shape[:2]
    colours = Image.frombytes("RGB", (width, height), held.data, "raw", "RGBX").tobytes()
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = np.frombuffer(colours, np.uint8).reshape(height, -1)
    metre = round(dpi / INCH_METRES)
    return SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            _chunk(b"pHYs", struct.pack(">IIB", metre, metre, 1)),
            _chunk(b"IDAT", zlib.compress(rows.data, DEFLATE_LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
