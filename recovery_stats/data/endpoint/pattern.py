"""Patterns of visits: text with one symbol a visit, and the arrays that the pieces read.

`+` positive, `-` negative, `*` mixed, `o` missed, `_` not scheduled. A pattern holds the visits
that were scheduled for that person and no more: it is never padded, because a padded visit would
count as missed. A visit that was not scheduled is no visit. It keeps its place in the calendar
and is otherwise as if the pattern did not have it: neither missing nor negative, it makes and
breaks no run, stands in no count and in no denominator, and at the end it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from recovery_stats.errors import DataError, rows_phrase

Codes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

SYMBOLS = "+-*o_"
NO_VISIT = 0  # `_`, and whatever lies behind the last visit
POSITIVE, NEGATIVE, MIXED, MISSED = 1, 2, 3, 4
CODE = {"_": NO_VISIT, "+": POSITIVE, "-": NEGATIVE, "*": MIXED, "o": MISSED}
LETTERS = np.array(["_", "+", "-", "*", "o"])
UNKNOWN = 255
LETTER_BYTES = 4  # numpy's text has four bytes a letter
SHOWN_SYMBOLS = 3
LIKELY = {"O": "o", "0": "o", "−": "-", "–": "-", "—": "-", "＋": "+", "?": "o", ".": "o"}


@dataclass(frozen=True, slots=True)
class Visits:
    """The visits of n people, one column a place in the calendar (the first is place 1).

    codes : (n, width) what a rule reads at each place; NO_VISIT where it reads nothing.
    due : (n, width) visits that were scheduled and lie in the part of the calendar looked at.
    attended : (n, width) visits with a result, as they happened; no recoding changes it.
    """

    codes: Codes
    due: Mask
    attended: Mask


def visits_of(codes: Codes) -> Visits:
    """Visits as they are recorded, before any rule."""
    return Visits(codes, codes != NO_VISIT, (codes != NO_VISIT) & (codes != MISSED))


def read_patterns(
    patterns: Iterable[object], rows: Sequence[int] | None = None, place: str = ""
) -> Codes:
    """Codes, (n, width): a row of NO_VISIT where there is no pattern (None, NaN, empty).

    rows: the numbers by which a message names the patterns (counted from 1 where not given).
    place: where they stand, for a message ("column 'UDS' of table 'persons'").
    Raises DataError for a value that is no text and for a symbol that is not one of SYMBOLS.
    """
    given = list(patterns)
    numbers = list(rows) if rows is not None else list(range(1, len(given) + 1))
    where = f"In {place}: " if place else ""
    texts = _texts(given, numbers, where)
    letters = np.array(texts, dtype=np.str_).reshape(-1, 1)
    width = letters.dtype.itemsize // LETTER_BYTES
    points = np.ascontiguousarray(letters).view(np.uint32).reshape(len(texts), width)
    length = np.array([len(t) for t in texts], dtype=np.int64)[:, np.newaxis]
    codes = np.asfortranarray(_table()[np.minimum(points, UNKNOWN)])
    codes[(points == 0) & (np.arange(width) < length)] = UNKNOWN  # a NUL inside is no padding
    wrong: Mask = codes == UNKNOWN
    if wrong.any():
        raise DataError(where + _unknown_symbols(points, wrong, numbers))
    return codes


def _texts(patterns: Sequence[object], rows: Sequence[int], where: str) -> list[str]:
    """The patterns as text, empty where there is none; DataError for what is neither."""
    other = [
        r for r, p in zip(rows, patterns, strict=True) if not (isinstance(p, str) or absent(p))
    ]
    if other:
        raise DataError(
            f"{where}{len(other)} of {len(patterns)} patterns of visits are not text, in "
            f"{rows_phrase(other)}. A pattern is text of {' '.join(SYMBOLS)}, one symbol a visit."
        )
    return [p if isinstance(p, str) else "" for p in patterns]


def write_patterns(codes: Codes) -> list[str]:
    """The text of each row, without the places behind its last visit."""
    return ["".join(LETTERS[row]).rstrip("_") for row in codes]


def absent(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _table() -> Codes:
    """The code of each character by its number; UNKNOWN for the others, 0 for the padding."""
    table = np.full(UNKNOWN + 1, UNKNOWN, dtype=np.uint8)
    table[0] = NO_VISIT
    for symbol, code in CODE.items():
        table[ord(symbol)] = code
    return table


def _unknown_symbols(points: npt.NDArray[np.uint32], wrong: Mask, rows: Sequence[int]) -> str:
    """The symbols, where in the patterns they stand and in how many; never a pattern."""
    lines = np.flatnonzero(wrong.any(axis=1))
    found = np.unique(points[wrong])
    told = "; ".join(_told(points, p) for p in found[:SHOWN_SYMBOLS])
    more = f"; {len(found) - SHOWN_SYMBOLS} more symbols" if len(found) > SHOWN_SYMBOLS else ""
    likely = {LIKELY[chr(p)] for p in found if chr(p) in LIKELY}
    cure = f" Did you mean {' and '.join(repr(s) for s in sorted(likely))}?" if likely else ""
    return (
        f"{len(lines)} of {len(points)} patterns have a symbol other than "
        f"{' '.join(SYMBOLS)}: {told}{more}. They are in "
        f"{rows_phrase([rows[int(line)] for line in lines])}.{cure} "
        "A pattern has + for a positive visit, - negative, * mixed, o missed, _ not scheduled."
    )


def _told(points: npt.NDArray[np.uint32], point: int) -> str:
    """One symbol: ''x' in 3 patterns (inside, at the end)'."""
    at = points == point
    ends = (points != 0).sum(axis=1) - 1
    row, place = np.nonzero(at)
    classes = {
        "at the start": place == 0,
        "inside": (place > 0) & (place < ends[row]),
        "at the end": (place > 0) & (place == ends[row]),
    }
    where = ", ".join(name for name, here in classes.items() if here.any())
    name = "a space" if chr(point) == " " else ascii(chr(point))
    count = int(at.any(axis=1).sum())
    return f"{name} in {count} pattern{'s' if count > 1 else ''} ({where})"
