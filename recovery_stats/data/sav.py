"""SPSS files (.sav, .zsav, .por) to a Dataset.

Read here from the bytes up: a damaged file crashes Python inside pyreadstat, whose own date
conversion wraps times at 24 hours and which drops weight, roles, attributes and, in portable
files, the missing codes. The tests hold this reader against pyreadstat and PSPP, and
`sav_crosscheck` asks pyreadstat for a second reading of any file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset, Source
from recovery_stats.data.por import read_portable
from recovery_stats.data.sav_cache import cached
from recovery_stats.data.sav_codebook import read_dictionary
from recovery_stats.data.sav_column import covered
from recovery_stats.data.sav_fast import cells_of
from recovery_stats.data.sav_time import datetimes
from recovery_stats.data.sav_write import write_spss
from recovery_stats.data.signature import FileKind, hash_of, kind_of
from recovery_stats.errors import DataError, unknown

__all__ = ["read_spss", "write_spss"]

Cells = Mapping[str, Sequence[Any]]

REFUSALS: Mapping[FileKind, str] = {
    "empty": "the file is empty (0 bytes). Ask for a new copy.",
    "encrypted": (
        "it is password-protected (SPSS, Encrypt file with password). In SPSS save it without a "
        "password, or run: pspp-convert -p PASSWORD {name} plain.sav"
    ),
    "pickle": (
        "it is not an SPSS file: it is a Python pickle, which can run code; it was not opened. "
        "Save the data as .sav, .csv or .parquet."
    ),
    "zip": "it is not an SPSS file: it is a ZIP archive (an Excel file?). Unpack or export it.",
    "gzip": "it is not an SPSS file: it is gzip-compressed. Unpack it first.",
    "parquet": "it is not an SPSS file: it is a Parquet file. Rename it to end in .parquet.",
    "text": "it is not an SPSS file: it is text. If it is a table, rename it to end in .csv.",
    "binary": "it is not an SPSS file: it does not begin as one. Ask for a new copy.",
}


def read_spss(path: str | Path, columns: Sequence[str] | None = None) -> Dataset:
    """Read a .sav, .zsav or .por file without losing anything.

    columns: read these only, in file order. Numbers are float64, dates datetime64[us], times
    seconds. A user-missing cell is NaN (None in text) in `frame` and its code stands in
    `missing`; so does the raw number of a date that the calendar does not hold. A blank string
    is None unless its column labels the blank. Raises DataError for every unreadable file.
    """
    path = Path(path)
    kind = kind_of(path)
    cells: Cells
    if kind == "por":
        codebook, portable = read_portable(path)
        codebook, cells = _chosen(codebook, columns, path.name), portable
        sha256 = hash_of(path)
    elif kind == "sav":
        dictionary = read_dictionary(path)
        codebook = _chosen(dictionary.codebook, columns, path.name)
        names = list(codebook.variables)
        cells, sha256 = cached(path, dictionary, names, lambda: cells_of(path, dictionary, names))
    else:
        raise DataError(f"{path.name!r}: {REFUSALS[kind].format(name=path.name)}")
    return _dataset(Source(path.name, sha256), codebook, cells)


def _chosen(codebook: Codebook, columns: Sequence[str] | None, name: str) -> Codebook:
    if columns is None:
        return codebook
    for column in columns:
        if column not in codebook:
            raise DataError(unknown(f"column of {name!r}", column, codebook.variables))
    kept = {n: v for n, v in codebook.variables.items() if n in set(columns)}
    return replace(codebook, variables=kept)


# --- cells to columns --------------------------------------------------------------------


def _dataset(source: Source, codebook: Codebook, cells: Cells) -> Dataset:
    rows = len(next(iter(cells.values()), ()))
    index = pd.RangeIndex(1, rows + 1)
    series: dict[str, pd.Series[Any]] = {}
    missing: dict[str, pd.Series[Any]] = {}
    for name, variable in codebook.variables.items():
        values, absent, codes = _column(variable, cells[name])
        series[name] = pd.Series(values, index=index, dtype=values.dtype)
        if absent.any():
            missing[name] = pd.Series(codes, index=index[absent], dtype=codes.dtype)
    frame = pd.DataFrame(series, index=index, columns=list(codebook.variables))
    return Dataset(frame, codebook, missing, replace(source, rows=rows))


def _column(variable: Variable, cells: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Return the values, where they are missing by a code, and those codes."""
    if variable.kind == "string":
        return _strings(variable, cells)
    numbers = np.asarray(cells, dtype=np.float64)
    absent = covered(variable, numbers)
    values: Any = np.where(absent, np.nan, numbers)
    if variable.kind in ("date", "datetime"):
        values = datetimes(values)
        absent = np.isnat(values) & ~np.isnan(numbers)
    return values, absent, numbers[absent]


def _strings(variable: Variable, cells: Sequence[Any]) -> tuple[Any, Any, Any]:
    texts = pd.Series(["" if c is None else str(c).rstrip(" ") for c in cells], dtype=object)
    absent = texts.isin(list(variable.missing.codes)).to_numpy(bool)
    blank = (texts == "").to_numpy(bool) & ("" not in variable.values)
    values = texts.to_numpy(object, copy=True)
    values[absent | blank] = None
    return values, absent, texts.to_numpy(object)[absent]
