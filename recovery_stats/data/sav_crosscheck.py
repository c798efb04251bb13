"""A second reader for .sav files: pyreadstat, asked for the same cells.

The only place that knows pyreadstat. It reads in a process of its own, because a damaged file
can crash Python inside its C code; then there is no second opinion, and nothing else is lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.data.sav_codebook import read_dictionary
from recovery_stats.data.sav_data import read_cells
from recovery_stats.data.signature import kind_of
from recovery_stats.errors import DataError, UsageError, rows_phrase

CHILD = (
    "import sys; from recovery_stats.data.sav_crosscheck import write_cells; "
    "write_cells(*sys.argv[1:])"
)
NUMBERS, TEXTS = "numbers.npz", "texts.json"
PATIENCE = 900  # seconds
SHOWN_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two readings of one file, cell by cell as they stand in it (user-missing codes too).

    differing: the row numbers in which the readers disagree, by column. fault: why there is no
    second reading.
    """

    columns: int
    rows: int
    differing: Mapping[str, Sequence[int]] = field(default_factory=dict)
    fault: str = ""


def cross_check(path: str | Path) -> Check:
    """Say whether pyreadstat reads the cells of a .sav or .zsav file as we do."""
    found = compare(path)
    if found.fault:
        said = f"pyreadstat, the second reader, gave no answer: {found.fault}."
        return Check("second reader", "caution", (said,))
    cells = Quantity(found.columns * found.rows, "whole")
    if not found.differing:
        return Check("second reader", "ok", ("pyreadstat reads the same ", cells, " cells."))
    columns = list(found.differing.items())
    named = [f"{name} in {rows_phrase(rows)}" for name, rows in columns[:SHOWN_COLUMNS]]
    more = f"; {len(columns) - SHOWN_COLUMNS} more columns" if columns[SHOWN_COLUMNS:] else ""
    said = f"pyreadstat reads other cells: {'; '.join(named)}{more}."
    return Check("second reader", "fail", (said,), columns[0][0])


def compare(path: str | Path) -> Comparison:
    """Read `path` twice. Raises DataError where our own reader refuses it."""
    path = Path(path)
    if kind_of(path) != "sav":
        raise UsageError(f"{path.name!r} is no .sav or .zsav file; only those have two readers.")
    dictionary = read_dictionary(path)
    ours = read_cells(path, dictionary, list(dictionary.places))
    rows = len(next(iter(ours.values()), ()))
    with tempfile.TemporaryDirectory() as folder:
        fault = _asked(path, Path(folder))
        if fault:
            return Comparison(len(ours), rows, {}, fault)
        theirs = _cells(Path(folder))
    if list(theirs) != list(ours):
        raise DataError(f"{path.name!r}: two readers find other columns in it. Ask for a new copy.")
    found = {name: _rows_apart(cells, theirs[name]) for name, cells in ours.items()}
    return Comparison(len(ours), rows, {name: apart for name, apart in found.items() if apart})


def _asked(path: Path, folder: Path) -> str:
    """Let the other process read; what kept it from doing so, or nothing."""
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603 (ourselves)
            [sys.executable, "-c", CHILD, str(path.resolve()), str(folder)],
            env=surroundings,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {PATIENCE} seconds"
    if done.returncode < 0:
        return f"it crashed (signal {-done.returncode})"
    return "it refused the file" if done.returncode else ""


def write_cells(path: str, folder: str) -> None:
    """In the other process: read with pyreadstat and leave the raw cells in `folder`."""
    import pyreadstat

    cells, meta = pyreadstat.read_sav(
        path, user_missing=True, disable_datetime_conversion=True, output_format="dict"
    )
    texts = {n for n, kind in meta.readstat_variable_types.items() if kind == "string"}
    numbers: dict[str, Any] = {
        f"n{i}": np.array(column, float)
        for i, (name, column) in enumerate(cells.items())
        if name not in texts
    }
    np.savez(Path(folder, NUMBERS), **numbers)
    words = {n: [str(t).rstrip(" ") for t in cells[n]] for n in texts}
    body = {"columns": list(cells), "texts": words}
    Path(folder, TEXTS).write_text(json.dumps(body), encoding="utf-8")


def _cells(folder: Path) -> dict[str, Any]:
    body = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    with np.load(folder / NUMBERS, allow_pickle=False) as numbers:
        return {
            name: body["texts"][name] if name in body["texts"] else numbers[f"n{i}"]
            for i, name in enumerate(body["columns"])
        }


def _rows_apart(ours: Any, theirs: Any) -> list[int]:
    """Row numbers, counted from 1, in which two columns disagree; all where one is shorter."""
    if len(ours) != len(theirs):
        return list(range(1, max(len(ours), len(theirs)) + 1))
    if isinstance(ours, list):
        return [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True), 1) if a != b]
    if isinstance(theirs, list):
        return list(range(1, len(ours) + 1))
    apart = (ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))
    return [int(i) + 1 for i in np.flatnonzero(apart)]
