"""Describe who is in the data: Table 1 by group with standardised differences, missing by reason.

Cells stay typed (Count, Share, Spread, Quantity), so that disclosure control sees every count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from recovery_stats.core.cell import Cell, Count, Quantity, Share, Spread
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table, Total
from recovery_stats.errors import NotEstimable
from recovery_stats.models.missing_reason import (
    REASON_DEPTH,
    missing_rows,
    ordered,
    reason_label,
)

MANY_LEVELS = 12  # a factor with more levels than this is not tabulated (and may identify)


def is_factor(data: Dataset, column: str) -> bool:
    """Say whether `column` is described by its levels rather than by mean and sd."""
    variable, values = data.variable(column), data.frame[column].dropna()
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    seen = values.unique()
    if variable.measure == "scale":
        return False
    if variable.measure == "nominal" or set(seen) <= {0.0, 1.0}:
        return True
    labelled = bool(variable.values) and all(v in variable.values for v in seen)
    return labelled and len(seen) <= MANY_LEVELS


def levels_of(data: Dataset, column: str) -> list[Any]:
    """The levels of a factor: in the codebook's order, then others in their own sort order."""
    values = data.frame[column].dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [c for c in values.cat.categories if (values == c).any()]
    seen = set(values.unique())
    known = [code for code in sorted(data.variable(column).values, key=_code_order) if code in seen]
    return known + sorted(seen - set(known), key=_code_order)


def level_label(variable: Variable, level: Any) -> str:
    """How a level is named in a table: its value label, else the code."""
    if isinstance(level, bool | np.bool_):
        return "Yes" if level else "No"
    code = float(level) if isinstance(level, int | float | np.number) else str(level)
    return variable.level(code)


def table_one(
    data: Dataset,
    columns: Sequence[str],
    group: str | None = None,
    *,
    name: str = "table_one",
    caption: str = "Characteristics of the participants",
    weights: str | None = None,
) -> Table:
    """Describe `columns` overall and within the levels of `group`, one row per person expected.

    Scales: mean and sd; factors: count and share per level. Where somebody lacks a value, below
    them those to whom the question does not apply and those missing of all people, by reason.
    With two groups a column of standardised mean differences follows (Austin 2009; for a
    factor of k levels the multivariate form of Yang & Dalton 2012).
    """
    parts = _split(data, group)
    rows = [Row("n", "People", tuple(Count(len(p.frame)) for p in parts))]
    totals = [Total("all", tuple(p.key for p in parts[1:]), "columns")] if len(parts) > 1 else []
    for column in columns:
        described = _describe(data, column, parts, two=len(parts) == 3)
        rows += described
        reasons = tuple(r.key for r in described if r.depth == REASON_DEPTH)
        totals += [Total(f"{column}.missing", reasons)] if reasons else []
    heads = [Column(p.key, p.label) for p in parts]
    if len(parts) == 3:
        heads.append(Column("smd", "SMD"))
        rows[0] = Row("n", "People", (*rows[0].cells, None))
    notes = ["Mean (SD) for scales, n (%) for categories; percentages of those observed."]
    if any(r.key.endswith(".missing") for r in rows):
        notes.append("Missing: percentages of all people.")
    if len(parts) == 3:
        notes.append("SMD: standardised mean difference between the two groups.")
    return Table(name, caption, tuple(heads), tuple(rows), tuple(notes), tuple(totals), "")


def missing_table(
    data: Dataset,
    columns: Sequence[str],
    *,
    name: str = "missing",
    caption: str = "Missing values by reason",
) -> Table:
    """Count, for each column, the cells observed and the cells empty for each reason."""
    reasons = ordered(r for c in columns for r in data.reasons(c))
    rows = tuple(
        Row(
            c,
            data.label(c),
            (
                Count(len(data.frame), "rows"),
                Count(int(data.frame[c].notna().sum()), "rows"),
                *_reason_counts(data, c, reasons),
            ),
        )
        for c in columns
    )
    named = _reason_heads(reasons)
    heads = (Column("all", "Rows"), Column("observed", "Observed"), *named)
    total = Total("all", tuple(c.key for c in heads[1:]), "columns")
    return Table(name, caption, heads, rows, (), (total,), "")


def _reason_counts(data: Dataset, column: str, reasons: Sequence[str]) -> tuple[Count, ...]:
    counted = data.reasons(column)
    return tuple(Count(counted.get(r, 0), "rows") for r in reasons)


def _reason_heads(reasons: Sequence[str]) -> tuple[Column, ...]:
    return tuple(Column(f"reason_{i}", reason_label(r)) for i, r in enumerate(reasons, 1))


def missing_by_table(
    data: Dataset,
    columns: Sequence[str],
    by: str,
    *,
    name: str = "missing_by",
    caption: str = "Missing values by reason",
) -> Table:
    """Count the empty cells of each column by reason, in all and by level of `by`.

    Columns without an empty cell have no rows. Rows of no known level stand under "Not known", so
    that levels add up. How many are observed is left out: beside the rows that an analysis used,
    it would tell how few had this value and lacked another.
    """
    levels = {
        f"{i}": (level_label(data.variable(by), level), data.frame[by] == level)
        for i, level in enumerate(levels_of(data, by), 1)
    }
    if data.frame[by].isna().any():
        levels["none"] = ("Not known", data.frame[by].isna())
    parts = {k: (label, data.with_frame(data.frame[here])) for k, (label, here) in levels.items()}
    told = [c for c in dict.fromkeys(columns) if data.frame[c].isna().any()]
    reasons = ordered(r for c in told for r in data.reasons(c))
    rows: list[Row] = []
    for column in told:
        rows.append(Row(column, data.label(column), _reason_counts(data, column, reasons)))
        rows += [
            Row(f"{column}.{k}", label, _reason_counts(part, column, reasons), 1)
            for k, (label, part) in parts.items()
        ]
    totals = tuple(Total(c, tuple(f"{c}.{k}" for k in parts)) for c in told)
    return Table(name, caption, _reason_heads(reasons), tuple(rows), (), totals, data.label(by))


def standardised_difference(a: Dataset, b: Dataset, column: str, levels: Sequence[Any]) -> float:
    """Standardised difference of `column`: (mean b − mean a) / root of the mean variance.

    `levels` empty: a scale, signed. Two levels: signed difference in the share of the second.
    More: the positive Mahalanobis form of Yang & Dalton 2012. nan where nothing varies.
    """
    x, y = a.frame[column].dropna(), b.frame[column].dropna()
    if min(len(x), len(y)) < 2:
        return float("nan")
    if not levels:
        pooled = np.sqrt((x.var() + y.var()) / 2)
        return float((y.mean() - x.mean()) / pooled) if pooled > 0 else float("nan")
    p, q = (np.array([(v == level).mean() for level in levels[1:]]) for v in (x, y))
    S = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    if len(p) == 1:
        return float((q[0] - p[0]) / np.sqrt(S[0, 0])) if S[0, 0] > 0 else float("nan")
    return float(np.sqrt((q - p) @ np.linalg.pinv(S) @ (q - p)))


def groups_of(data: Dataset, group: str) -> dict[Any, Dataset]:
    """Split by the levels of `group`; NotEstimable when it has fewer than two."""
    levels = levels_of(data, group)
    if len(levels) < 2:
        raise NotEstimable(
            f"Column {group!r} has {len(levels)} level left among {len(data)} complete rows; "
            "a comparison needs two. Look at the participant flow for the rows that were dropped."
        )
    return {level: data.with_frame(data.frame[data.frame[group] == level]) for level in levels}


def mean_interval(values: pd.Series[Any], level: float) -> tuple[float, float, float]:
    """Mean of the values observed and its t interval; nan limits for fewer than two.

    Checked: Student's (1908) formula by hand.
    """
    seen = values.dropna()
    n, mean = len(seen), float(seen.mean())
    if n < 2:
        return mean, float("nan"), float("nan")
    reach = float(student.isf((1 - level) / 2, n - 1) * seen.std() / np.sqrt(n))
    return mean, mean - reach, mean + reach


@dataclass(frozen=True, slots=True)
class _Part:
    key: str
    label: str
    frame: pd.DataFrame
    data: Dataset


def _split(data: Dataset, group: str | None) -> list[_Part]:
    everyone = _Part("all", "All", data.frame, data)
    if group is None:
        return [everyone]
    known = data.with_frame(data.frame[data.frame[group].notna()])
    variable = data.variable(group)
    return [
        _Part("all", "All", known.frame, known),
        *(
            _Part(f"group_{i}", level_label(variable, level), part.frame, part)
            for i, (level, part) in enumerate(groups_of(known, group).items(), 1)
        ),
    ]


def _describe(data: Dataset, column: str, parts: Sequence[_Part], *, two: bool) -> list[Row]:
    levels = levels_of(data, column) if is_factor(data, column) else []
    if len(levels) > MANY_LEVELS:
        return []
    difference: tuple[Cell, ...] = ()
    if two:
        smd = standardised_difference(parts[1].data, parts[2].data, column, levels)
        difference = (Quantity(smd),)
    body = _level_rows(data, column, levels, parts) if levels else []
    cells: tuple[Cell, ...] = () if levels else tuple(_spread(p.frame[column]) for p in parts)
    if levels and difference:
        cells = (None,) * len(parts)
    head = Row(column, data.label(column), (*cells, *difference))
    pad: tuple[Cell, ...] = (None,) if two else ()
    lacking = missing_rows(column, [p.data for p in parts])
    return [head, *(replace(r, cells=(*r.cells, *pad)) for r in (*body, *lacking))]


def _level_rows(
    data: Dataset, column: str, levels: Sequence[Any], parts: Sequence[_Part]
) -> list[Row]:
    variable = data.variable(column)
    # Of a yes/no column only the yes row is informative.
    shown = levels[1:] if len(levels) == 2 and set(levels) == {0.0, 1.0} else levels
    return [
        Row(
            f"{column}.{i}",
            level_label(variable, level),
            tuple(_share(p.frame[column], level) for p in parts),
            1,
        )
        for i, level in enumerate(shown, 1)
    ]


def _share(values: pd.Series[Any], level: Any) -> Share:
    return Share(int((values == level).sum()), int(values.notna().sum()))


def _spread(values: pd.Series[Any]) -> Spread:
    seen = values.dropna()
    sd = float(seen.std()) if len(seen) > 1 else float("nan")
    return Spread(float(seen.mean()) if len(seen) else float("nan"), sd, len(seen))


def _code_order(code: Any) -> tuple[int, float, str]:
    """Numbers by size, then words by letter."""
    if isinstance(code, int | float | np.number):
        return (0, float(code), "")
    return (1, 0.0, str(code))
