"""The cases of a .sav file in SPSS's bytecode, made with array arithmetic.

Eight cells share a word of eight codes: 1-251 is the number code - 100, 253 says that the
cell follows as it is, 254 eight blanks, 255 system-missing, 0 padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recovery_stats.data.sav_column import SYSTEM_MISSING, Prepared
from recovery_stats.data.sav_layout import SEGMENT_HOLDS, widths

BIAS = 100
RAW, BLANKS, SYSMIS = 253, 254, 255
CELLS_AT_ONCE = 1 << 21
EIGHT_BLANKS = np.frombuffer(b" " * 8, dtype="<u8")[0]


def compressed_cases(columns: Sequence[Prepared], rows: int) -> Iterator[bytes]:
    """Yield all cases as bytecode, a bounded number of rows at a time."""
    elements = sum(max(1, -(-w // 8)) for c in columns for w in widths(c.width))
    # a multiple of eight rows fills its last word of codes whatever the row's length
    step = max(8, CELLS_AT_ONCE // elements // 8 * 8)
    for start in range(0, rows, step):
        yield _bytecode(*_matrix(columns, slice(start, min(start + step, rows))))


def _matrix(columns: Sequence[Prepared], rows: slice) -> tuple[Any, Any]:
    """Return the cells as words (rows, elements) and which elements are text."""
    n = rows.stop - rows.start
    blocks = [
        _text_words(c, c.texts[rows], n) if c.width else _number_words(c.numbers[rows])
        for c in columns
    ]
    is_text = np.repeat([bool(c.width) for c in columns], [b.shape[1] for b in blocks])
    return np.concatenate(blocks, axis=1), is_text


def _number_words(numbers: Any) -> Any:
    return np.ascontiguousarray(numbers, dtype="<f8").view("<u8")[:, None]


def _text_words(column: Prepared, texts: Sequence[bytes], rows: int) -> Any:
    """Lay texts out in segments that hold 255 bytes each and take 256 (a short one: its width)."""
    segments = widths(column.width)
    total = sum(-(-w // 8) * 8 for w in segments)
    if len(segments) == 1:
        joined = b"".join(t.ljust(total) for t in texts)
        return np.frombuffer(joined, dtype="<u8").reshape(rows, total // 8)
    joined = b"".join(t.ljust(SEGMENT_HOLDS * len(segments)) for t in texts)
    pieces = np.frombuffer(joined, dtype=np.uint8).reshape(rows, len(segments), SEGMENT_HOLDS)
    padded = np.full((rows, len(segments), SEGMENT_HOLDS + 1), ord(" "), dtype=np.uint8)
    padded[:, :, :SEGMENT_HOLDS] = pieces
    flat = padded.reshape(rows, -1)[:, :total]
    return np.ascontiguousarray(flat).view("<u8")


def _bytecode(words: Any, is_text: Any) -> bytes:
    """Encode the cells `words` (rows, elements)."""
    codes = np.full(words.shape, RAW, dtype=np.uint8)
    numbers = words.view("<f8")[:, ~is_text]
    small = (numbers > -BIAS) & (numbers <= 251 - BIAS) & (numbers == np.floor(numbers))
    number_codes = np.where(numbers == SYSTEM_MISSING, SYSMIS, RAW)
    number_codes[small] = numbers[small] + BIAS
    codes[:, ~is_text] = number_codes
    codes[:, is_text] = np.where(words[:, is_text] == EIGHT_BLANKS, BLANKS, RAW)
    return _interleaved(codes.ravel(), words.ravel())


def _interleaved(codes: Any, words: Any) -> bytes:
    """Put each word of eight codes before the cells among them that are written as they are."""
    codes = np.concatenate([codes, np.zeros(-len(codes) % 8, dtype=np.uint8)]).reshape(-1, 8)
    raw = words[codes.ravel()[: len(words)] == RAW]
    raw_in_group = (codes == RAW).sum(axis=1)
    at = np.arange(len(codes)) + np.cumsum(raw_in_group) - raw_in_group
    out = np.empty(len(codes) + len(raw), dtype="<u8")
    is_raw = np.ones(len(out), dtype=bool)
    is_raw[at] = False
    out[at] = codes.view("<u8").ravel()
    out[is_raw] = raw
    return out.tobytes()
