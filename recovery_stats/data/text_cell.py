"""Cells of text to typed columns: numbers, dates, or text that stays text.

Nothing is guessed away: a column of numbers with a few cells that are not is an error naming
the rows, never a column of text; an identifier with leading zeros or more digits than a double
holds is text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Kind, Variable
from recovery_stats.data import sav_time
from recovery_stats.data.sav_column import LARGEST_INTEGER, covered
from recovery_stats.errors import DataError, rows_phrase

NOTHING = frozenset(("", ".", "NA", "NaN", "nan"))  # system-missing in a column of numbers
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
COMMA_NUMBER = re.compile(r"[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d{1,3})?")
# a cell that is a number beyond doubt, or nothing: no leading zero, few enough digits
PLAIN = r"(?:|\.|NA|NaN|nan|-?(?:0|[1-9]\d{0,14})(?:\.\d{0,20})?(?:[eE][+-]?\d{1,2})?)"
PLAIN_CELLS = re.compile(rf"{PLAIN}(?:\n{PLAIN})*")
AT_ONCE = 4096
LEADING_ZERO = re.compile(r"[+-]?0\d+")
WHOLE = re.compile(r"[+-]?\d+")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?")
ESCAPED = re.compile(r"'+[=+\-@\t\r]")
MOSTLY = 0.8  # above this share of numbers, the other cells are faults

Column = tuple[Kind, Any, Any, Any]


def typed(name: str, cells: Sequence[str], declared: Variable | None, *, comma: bool) -> Column:
    """Return kind, values (n,), where a code makes them missing (n,), and those codes.

    declared: what a codebook says of the column, or None. comma: whether a decimal comma is
    possible (the cells are parted by something else). Raises DataError naming column and rows.
    """
    stripped = [c.strip() for c in cells]
    if comma:
        stripped = _with_points(stripped)
    kind = declared.kind if declared else _kind(stripped)
    if kind == "string":
        return _texts(cells, declared)
    if kind in ("date", "datetime"):
        return _dates(name, stripped, kind, declared)
    return _numbers(name, stripped, kind, declared)


def _with_points(cells: list[str]) -> list[str]:
    present = [c for c in cells if c not in NOTHING]
    numbers = sum(bool(COMMA_NUMBER.fullmatch(c)) for c in present)
    if any("." in c for c in present) or numbers < MOSTLY * len(present):
        return cells
    return [c.replace(",", ".") if COMMA_NUMBER.fullmatch(c) else c for c in cells]


def _kind(cells: Sequence[str]) -> Kind:
    if _are_plain(cells):
        return "number"
    present = {c for c in cells if c not in NOTHING}
    if not present:
        return "number"
    if all(map(DATE.fullmatch, present)):
        return "date"
    if all(DATE.fullmatch(c) or DATETIME.fullmatch(c) for c in present):
        return "datetime"
    if any(LEADING_ZERO.fullmatch(c) or _is_too_big(c) for c in present):
        return "string"
    numbers = sum(c in NOTHING or bool(NUMBER.fullmatch(c)) for c in cells)
    wanting = sum(c in NOTHING for c in cells)
    return "number" if numbers - wanting >= MOSTLY * (len(cells) - wanting) else "string"


def _are_plain(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers beyond doubt; one match for thousands of them."""
    runs = ("\n".join(cells[i : i + AT_ONCE]) for i in range(0, len(cells), AT_ONCE))
    return all(map(PLAIN_CELLS.fullmatch, runs))


def _is_too_big(cell: str) -> bool:
    return len(cell) > 15 and bool(WHOLE.fullmatch(cell)) and abs(int(cell)) > LARGEST_INTEGER


def _texts(cells: Sequence[str], declared: Variable | None) -> Column:
    texts = pd.Series([unescaped(c.rstrip(" ")) for c in cells], dtype=object)
    codes = declared.missing.codes if declared else ()
    absent = texts.isin(list(codes)).to_numpy(bool)
    values = texts.to_numpy(object, copy=True)
    values[absent | (texts == "").to_numpy(bool)] = None
    return "string", values, absent, texts.to_numpy(object)[absent]


def unescaped(cell: str) -> str:
    """Take off the apostrophe that keeps a spreadsheet from running the cell as a formula."""
    return cell[1:] if ESCAPED.match(cell) else cell


def _numbers(name: str, cells: Sequence[str], kind: Kind, declared: Variable | None) -> Column:
    bad = () if _are_plain(cells) else _faults(cells)
    if bad:
        raise DataError(
            f"Column {name!r} holds numbers, but not in {rows_phrase(bad)} ({len(cells)} rows "
            "in all). Correct the cells, or leave them empty; if the column is text, write "
            'kind = "string" for it in the codebook file.'
        )
    numbers = np.array([np.nan if c in NOTHING else float(c) for c in cells], dtype=float)
    infinite = np.flatnonzero(np.isinf(numbers)) + 1
    if len(infinite):
        raise DataError(
            f"Column {name!r}: numbers too large for a computer in {rows_phrase(list(infinite))}."
        )
    absent = covered(declared, numbers) if declared else np.zeros(len(numbers), dtype=bool)
    return kind, np.where(absent, np.nan, numbers), absent, numbers[absent]


def _faults(cells: Sequence[str]) -> list[int]:
    """The numbers of the rows that hold neither a number nor nothing."""
    return [i for i, c in enumerate(cells, 1) if c not in NOTHING and not NUMBER.fullmatch(c)]


def _dates(name: str, cells: Sequence[str], kind: Kind, declared: Variable | None) -> Column:
    """ISO dates; a plain number in such a column is SPSS seconds that no calendar holds."""
    raw = np.full(len(cells), np.nan)
    bad = []
    for i, cell in enumerate(cells):
        if cell in NOTHING:
            continue
        if NUMBER.fullmatch(cell) and declared:
            raw[i] = float(cell)
            continue
        try:
            raw[i] = sav_time.seconds(np.array([cell], dtype="datetime64[us]"))[0]
        except ValueError:
            bad.append(i + 1)
    if bad:
        raise DataError(f"Column {name!r}: no date (YYYY-MM-DD) in {rows_phrase(bad)}.")
    absent = covered(declared, raw) if declared else np.zeros(len(raw), dtype=bool)
    stamps = sav_time.datetimes(np.where(absent, np.nan, raw))
    absent = np.isnat(stamps) & ~np.isnan(raw)
    return kind, stamps, absent, raw[absent]
