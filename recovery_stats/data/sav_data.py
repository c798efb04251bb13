"""The cases of a .sav or .zsav file, decoded with array arithmetic and no native reader.

A damaged file can crash a reader written in C, and with it Python; here the worst is a
DataError. Cells are kept as eight raw bytes until a column is known to be numbers or text.
Checked: pyreadstat and PSPP give the same cells.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from recovery_stats.core import progress
from recovery_stats.data.sav_codebook import Dictionary, Place
from recovery_stats.errors import DataError

STEP = "rows read"
PIECE = 1 << 23  # bytes read at a time, a multiple of eight
SKIP, END, RAW, BLANKS, SYSMIS = 0, 252, 253, 254, 255
SEGMENT_HOLDS = 255
LARGEST_BLOCK = 1 << 26

Cells = dict[str, Any]


def read_cells(path: Path, dictionary: Dictionary, columns: Sequence[str]) -> Cells:
    """Return each of `columns` as float64 (n,), NaN for system-missing, or as a list of n texts.

    Raises DataError where the file holds fewer rows than its header promises.
    """
    chosen = {name: dictionary.places[name] for name in columns}
    parts: dict[str, list[Any]] = {name: [] for name in chosen}
    wanted = sys.maxsize if dictionary.cases < 0 else dictionary.cases
    rows = 0
    with path.open("rb") as file:
        file.seek(dictionary.offset)
        for block in _rows(_cells(file, dictionary, path.name), dictionary.elements):
            kept = block[: wanted - rows]
            rows += len(kept)
            for name, place in chosen.items():
                parts[name].append(_column(kept, place, dictionary))
            _tell(rows, dictionary.cases)
            if rows == wanted:
                break
    if rows < dictionary.cases:
        raise DataError(
            f"{path.name!r} is cut short or damaged: its header promises {dictionary.cases} rows "
            f"and {rows} are there. Ask for a new copy."
        )
    return {name: _joined(parts[name], chosen[name]) for name in chosen}


def _tell(rows: int, cases: int) -> None:
    """Say how far it is; where the file does not say how many rows it has, only look."""
    if cases > 0:
        progress.tell(STEP, rows, cases)
    else:
        progress.look()


def _joined(parts: Sequence[Any], place: Place) -> Any:
    if place.width:
        return [text for part in parts for text in part]
    numbers = np.concatenate(parts) if parts else np.empty(0)
    numbers[numbers == -sys.float_info.max] = np.nan
    return numbers


# --- cells to columns --------------------------------------------------------------------


def _rows(blocks: Iterator[Any], elements: int) -> Iterator[Any]:
    """Cut a stream of cells into whole cases: words (rows, elements)."""
    held = np.empty(0, dtype="u8")
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        whole = len(held) // elements * elements
        yield held[:whole].reshape(-1, elements)
        held = held[whole:]


def _column(block: Any, place: Place, dictionary: Dictionary) -> Any:
    if not place.width:
        words = np.ascontiguousarray(block[:, place.segments[0][0]])
        return words.view(dictionary.order + "f8").astype(np.float64)
    pieces = [_bytes(block, start, width) for start, width in place.segments]
    joined = np.concatenate(pieces, axis=1)[:, : place.width]
    raw, width = joined.tobytes(), joined.shape[1]
    return [
        raw[i : i + width].rstrip(b" \0").decode(dictionary.codebook.encoding, "replace")
        for i in range(0, len(raw), width)
    ]


def _bytes(block: Any, start: int, width: int) -> Any:
    """The bytes of one segment of text (rows, width)."""
    words = np.ascontiguousarray(block[:, start : start + max(1, -(-width // 8))])
    return words.view(np.uint8).reshape(len(block), words.shape[1] * 8)[:, :SEGMENT_HOLDS]


# --- bytes to cells ----------------------------------------------------------------------


def _cells(file: IO[bytes], dictionary: Dictionary, name: str) -> Iterator[Any]:
    if dictionary.compression == 0:
        for piece in _pieces(file):
            yield np.frombuffer(piece[: len(piece) // 8 * 8], dtype="u8")
        return
    zipped = dictionary.compression == 2
    pieces = _unzipped(file, dictionary.order, name) if zipped else _pieces(file)
    yield from _decoded(pieces, dictionary.order, dictionary.bias)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _unzipped(file: IO[bytes], order: str, name: str) -> Iterator[bytes]:
    """The bytecode in the zlib blocks that the trailer of a .zsav file lists."""
    refusal = DataError(f"{name!r} is damaged: its compressed data cannot be read.")
    try:
        _, trailer, length = struct.unpack(order + "qqq", file.read(24))
        file.seek(trailer)
        table = file.read(min(length, LARGEST_BLOCK))
        _, _, _, blocks = struct.unpack_from(order + "qqii", table)
        for i in range(blocks):
            _, at, plain, packed = struct.unpack_from(order + "qqii", table, 24 + 24 * i)
            if not (0 <= plain <= LARGEST_BLOCK and 0 <= packed <= LARGEST_BLOCK):
                raise refusal
            file.seek(at)
            piece = zlib.decompressobj().decompress(file.read(packed), plain)
            yield piece
    except (struct.error, zlib.error, OSError, ValueError, OverflowError) as problem:
        raise refusal from problem


def _decoded(pieces: Iterator[bytes], order: str, bias: float) -> Iterator[Any]:
    """Turn bytecode into cells: each word of eight codes, then the cells it leaves as they are."""
    meanings = _meanings(order, bias)
    held = b""
    for piece in pieces:
        held += piece
        words = np.frombuffer(held[: len(held) // 8 * 8], dtype="u8")
        heads, used = _heads(words)
        held = held[8 * used :]
        cells, ended = _cells_of(words[:used], heads, meanings)
        yield cells
        if ended:
            return


def _meanings(order: str, bias: float) -> Any:
    """The eight bytes that each code stands for."""
    numbers = np.arange(256, dtype=np.float64) - (bias if np.isfinite(bias) else 100.0)
    numbers[SYSMIS] = -sys.float_info.max
    words = numbers.astype(order + "f8").view("u8").copy()
    words[BLANKS] = np.frombuffer(b" " * 8, dtype="u8")[0]
    return words


def _heads(words: Any) -> tuple[Any, int]:
    """Which words are codes, and how many words belong to groups that are here whole."""
    raw = (words.view(np.uint8).reshape(-1, 8) == RAW).sum(axis=1)
    following = (np.arange(1, len(words) + 1) + raw).tolist()
    heads, at, end = [], 0, len(words)
    while at < end and following[at] <= end:
        heads.append(at)
        at = following[at]
    return np.array(heads, dtype=np.int64), at


def _cells_of(words: Any, heads: Any, meanings: Any) -> tuple[Any, bool]:
    codes = words[heads].view(np.uint8)
    is_raw = np.ones(len(words), dtype=bool)
    is_raw[heads] = False
    cells = meanings[codes]
    cells[codes == RAW] = words[is_raw]
    ends = np.flatnonzero(codes == END)
    last = ends[0] if len(ends) else len(codes)
    return cells[:last][codes[:last] != SKIP], bool(len(ends))
