"""The data of a .zsav file: bytecode in zlib blocks between a header and a table of blocks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

BLOCK = 0x3FF000  # bytes of bytecode in a block, as SPSS writes them
BIAS = 100
LEVEL = 6


def write_zipped(file: IO[bytes], pieces: Iterable[bytes], start: int) -> None:
    """Write the zlib form of the bytecode `pieces` behind a dictionary of `start` bytes."""
    file.write(bytes(24))
    plain, packed = start, start + 24
    entries = []
    for block in _blocks(pieces):
        squeezed = zlib.compress(block, LEVEL)
        file.write(squeezed)
        entries.append(struct.pack("<qqii", plain, packed, len(block), len(squeezed)))
        plain += len(block)
        packed += len(squeezed)
    trailer = struct.pack("<qqii", -BIAS, 0, BLOCK, len(entries)) + b"".join(entries)
    file.write(trailer)
    file.seek(start)
    file.write(struct.pack("<qqq", start, packed, len(trailer)))


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK:
            yield bytes(held[:BLOCK])
            del held[:BLOCK]
    if held:
        yield bytes(held)
