"""A second lane for the cells of large .sav files: polars-readstat, an optional part.

Asked for by RECOVERY_STATS_READER=fast. It takes only what it is known to read as our own reader
does: numbers and text with single missing codes, in UTF-8. Dates and times (it wraps or rounds
them), ranges of missing codes, and every file that it refuses or reads differently in kind or
number of rows go to our own reader. Checked: tests/data/test_sav_fast.py, cell by cell.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from recovery_stats.core.codebook import Variable
from recovery_stats.data.sav_codebook import Dictionary
from recovery_stats.data.sav_data import Cells, read_cells
from recovery_stats.errors import UsageError

VARIABLE = "RECOVERY_STATS_READER"
LANES = ("default", "fast")
CODE = "\x01code"  # ends the name of the column that tells which missing code a cell holds
ENCODINGS = ("utf-8", "utf8")


def cells_of(path: Path, dictionary: Dictionary, columns: Sequence[str]) -> Cells:
    """The cells as `read_cells` gives them, by the reader that the user asked for.

    Raises UsageError for an unknown reader, or where the fast one is not installed.
    """
    lane = lane_asked()
    if lane not in LANES:
        raise UsageError(f"{VARIABLE} takes {' or '.join(LANES)}, not {lane!r}.")
    if lane == "fast" and find_spec("polars_readstat") is None:
        raise UsageError(
            f"{VARIABLE} asks for the fast reader, which is not installed. "
            "Run: pip install 'recovery_stats[fast]', or leave the variable unset."
        )
    if lane == "fast" and fits(dictionary, columns):
        found = _read(path, dictionary, columns)
        if found is not None:
            return found
    return read_cells(path, dictionary, columns)


def lane_asked() -> str:
    """The reader that the user asked for, in small letters."""
    return os.environ.get(VARIABLE, "").strip().lower() or "default"


def fits(dictionary: Dictionary, columns: Sequence[str]) -> bool:
    """Whether the fast reader is known to read these columns as ours does."""
    plain = dictionary.codebook.encoding.lower() in ENCODINGS and dictionary.cases >= 0
    return plain and all(_plain(dictionary.codebook[name]) for name in columns)


def _plain(variable: Variable) -> bool:
    known = variable.kind in ("number", "string") and not variable.spss_format.startswith("AHEX")
    return known and variable.missing.low is None


def _read(path: Path, dictionary: Dictionary, columns: Sequence[str]) -> Cells | None:
    """Its cells; None where it refuses the file or finds something else in it."""
    import polars_readstat

    told = polars_readstat.InformativeNullOpts("all", suffix=CODE, use_value_labels=False)
    try:
        frame = polars_readstat.read_readstat(
            str(path.resolve()), preserve_order=True, informative_nulls=told
        )
        if frame.height != dictionary.cases:
            return None
        return {name: _cells(frame, dictionary.codebook[name]) for name in columns}
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # its panics are no Exception; our own reader says what is wrong
        return None


def _cells(frame: Any, variable: Variable) -> Any:
    """One column with its missing codes back in place."""
    values, coded = frame[variable.name], f"{variable.name}{CODE}"
    if variable.kind == "string":
        texts = values.fill_null("").to_list()
        if coded in frame.columns:
            codes = frame[coded].to_list()
            texts = [t if c is None else c for t, c in zip(texts, codes, strict=True)]
        return [text.rstrip(" \0") for text in texts]
    numbers = np.array(values.cast(float).fill_null(np.nan).to_numpy(), dtype=np.float64)
    if coded in frame.columns:
        codes = frame[coded]
        at = codes.is_not_null().to_numpy()
        numbers[at] = [float(code) for code in codes.drop_nulls().to_list()]
    return numbers
