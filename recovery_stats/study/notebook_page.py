"""Results, data and studies as short documents: what they show of themselves in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Block, Checks, Column, CurveFigure, Document, Row, Table
from recovery_stats.core.study import Study

LABELS = {
    "estimate": "Estimate", "std_error": "Standard error", "df": "df", "statistic": "Statistic",
    "p_value": "p", "conf_low": "95% from", "conf_high": "to",
    "error_ratio": "Robust ÷ model's error",
}  # fmt: skip
CAPTIONS = {"tidy": "Estimates", "summary": "Summary", "describe": "Columns", "curve": "Curve"}
MOST_ROWS = 100
RISK_TIMES = 5  # times under the axis of a curve
COUNTS = ("n", "of", "count", "missing", "not_applicable", "people", "events", "rows")


def page_of(shown: Any) -> Document:
    """A document about any result, by the way in which it tells its numbers."""
    if isinstance(shown, Dataset):
        return _document(shown, [_codebook(shown)])
    if isinstance(shown, Study):
        return _document(shown, [_tables(shown)])
    blocks = _curves(shown) or _tables_of(shown) or [_fields(shown)]
    checks = getattr(shown, "checks", None)
    return _document(shown, [*blocks, *([Checks(tuple(checks()))] if callable(checks) else [])])


def _document(shown: Any, blocks: Sequence[Block]) -> Document:
    return Document("notebook", _title(shown), "", tuple(blocks))


def _title(shown: Any) -> str:
    if isinstance(shown, Dataset):
        return f"Data: {shown.source.name}" if shown.source else "Data"
    if isinstance(shown, Study):
        return shown.protocol.title or "Study"
    return _told(shown).partition(": ")[0]


def _told(shown: Any) -> str:
    """What the result says of itself in a line."""
    line = repr(shown)
    return line.strip("<>") if line.startswith("<") else type(shown).__name__


# --- tables of a frame ------------------------------------------------------------------------


def _tables_of(shown: Any) -> list[Block]:
    """A table for the first way in which the result tells its numbers, and its test."""
    way = next((w for w in CAPTIONS if callable(getattr(shown, w, None))), None)
    if way is None:
        return []
    found: list[Block] = [
        table(getattr(shown, way)(), _told(shown).partition(": ")[2] or CAPTIONS[way])
    ]
    if way == "curve":
        found.append(table(shown.test(), "Test"))
    return found


def table(frame: pd.DataFrame, caption: str) -> Table:
    """A frame as a table: labelled by its first column of words, counts as counts."""
    told = frame.head(MOST_ROWS)
    stub = next((c for c in told if not _numeric(told[c])), told.columns[0])
    columns = [c for c in told if c != stub]
    heads = tuple(Column(str(c), _label(str(c))) for c in columns)
    rows = tuple(
        Row(str(i), _word(record[stub]), tuple(_cell(record[c], str(c)) for c in columns))
        for i, record in enumerate(told.to_dict("records"))
    )
    cut = len(frame) > MOST_ROWS
    notes = (f"The first {MOST_ROWS} rows.",) if cut else ()
    return Table("numbers", caption, heads, rows, notes, stub=_label(str(stub)))


def _numeric(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column)) and not pd.api.types.is_bool_dtype(column)


def _label(name: str) -> str:
    return LABELS.get(name) or (name[:1].upper() + name[1:].replace("_", " "))


def _word(value: Any) -> str:
    """The label of a row: a number without needless decimals."""
    number = isinstance(value, int | float | np.number)
    return f"{value:g}" if number else str(value)


def _cell(value: Any, column: str) -> Cell:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, int | float | np.number):
        return "" if value is None or value is pd.NA or value is pd.NaT else str(value)
    if np.isnan(value):
        return ""
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and (column in COUNTS or column.startswith("n_")):
        return Count(int(value))
    return Quantity(float(value), _style(column))


def _style(column: str) -> Any:
    if column == "df":
        return "df"
    return "p" if column in ("p", "p_value") or column.endswith("_p") else "plain"


def _fields(shown: Any) -> Table:
    """A few numbers with names."""
    rows = tuple(
        Row(f.name, _label(f.name), (_cell(getattr(shown, f.name), f.name),))
        for f in fields(shown)
        if isinstance(getattr(shown, f.name), int | float | str)
    )
    return Table("numbers", type(shown).__name__, (Column("value", "Value"),), rows)


# --- curves -----------------------------------------------------------------------------------


def _curves(shown: Any) -> list[Block]:
    """Curves as a report draws them, one figure a cause, and their medians."""
    series: Callable[..., Any] | None = getattr(shown, "series", None)
    if not callable(series):
        return []
    causes = getattr(shown, "causes", None)
    drawn = [(str(c), series(c)) for c in causes] if causes else [("Curves", series())]
    found: list[Block] = []
    for i, (name, lines) in enumerate(drawn):
        last = max((s.x[-1] for s in lines if s.x), default=1.0)
        times = tuple(float(f"{t:.2g}") for t in np.linspace(0.0, last, RISK_TIMES)[:-1])
        found.append(CurveFigure(f"curves_{i}", name, "Time", "Share", lines, times))
    median = getattr(shown, "median", None)
    return [*found, *([table(median(), "Medians")] if callable(median) else [])]


# --- data -------------------------------------------------------------------------------------


def _codebook(data: Dataset) -> Table:
    """What the columns are and how many cells are empty: no value of anybody."""
    rows = []
    for name in data.frame.columns[:MOST_ROWS]:
        variable = data.variable(str(name))
        empty = int(data.frame[name].isna().sum())
        told = (Count(len(data.frame) - empty), Count(empty))
        rows.append(Row(str(name), str(name), (variable.label, variable.measure or "", *told)))
    columns = (
        Column("label", "Label"),
        Column("measure", "Measure"),
        Column("valid", "Filled in"),
        Column("missing", "Empty"),
    )
    return Table("codebook", "Columns", columns, tuple(rows), stub="Column")


def _tables(study: Study) -> Table:
    rows = tuple(
        Row(name, name, (Count(len(data.frame), "rows"), Count(data.frame.shape[1], "columns")))
        for name, data in study.tables.items()
    )
    columns = (Column("rows", "Rows"), Column("columns", "Columns"))
    return Table("tables", "Tables of the study", columns, rows, stub="Table")
