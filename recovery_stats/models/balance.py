"""Are two groups alike before anything happened to them? Standardised differences, variance ratios.

Shown before any effect. A standardised mean difference within 0.1 is taken as balance, a variance
ratio between 0.5 and 2 as alike in spread (Austin 2009; Rubin 2001); neither depends on n, as a
test would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.core.cell import Quantity
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, LoveFigure, Row, Table
from recovery_stats.models.design import build_design
from recovery_stats.models.formula import quote

Array = NDArray[np.floating[Any]]
ALIKE = 0.1  # Austin 2009


@dataclass(frozen=True, slots=True)
class Balance:
    """One covariate (or one level of a factor) in two groups.

    difference: (mean compared - mean usual) / root of the mean of the two unweighted variances;
    after: the same with the weighted means. variance_ratio: nan for a 0/1 column, whose mean
    determines it.
    """

    name: str
    label: str
    difference: float
    variance_ratio: float
    after: float = float("nan")

    @property
    def imbalanced(self) -> bool:
        """Whether the groups differ by more than a tenth of a standard deviation."""
        remaining = self.difference if np.isnan(self.after) else self.after
        return bool(abs(remaining) > ALIKE)


def balance(
    data: Dataset, columns: Sequence[str], arm: str, *, weights: str | None = None
) -> tuple[Balance, ...]:
    """Balance of `columns` between arm 0 and arm 1; factors give a row for every level.

    Each column on the rows that have it. Checked: by hand.
    """
    return tuple(b for column in columns for b in _of_column(data, column, arm, weights))


def balance_table(rows: Sequence[Balance]) -> Table:
    """The balance as a table; a column for the weighted differences where there are weights."""
    weighted = any(not np.isnan(b.after) for b in rows)
    heads = [Column("difference", "SMD"), Column("variance_ratio", "Variance ratio")]
    if weighted:
        heads.insert(1, Column("after", "SMD weighted"))
    body = tuple(
        Row(
            b.name,
            b.label,
            (
                Quantity(b.difference),
                *((Quantity(b.after),) if weighted else ()),
                None if np.isnan(b.variance_ratio) else Quantity(b.variance_ratio, "ratio"),
            ),
        )
        for b in rows
    )
    notes = (
        "SMD: standardised mean difference, the compared group minus the usual one. Groups are "
        "called alike within 0.1 in either direction, and for variance ratios from 0.5 to 2.",
    )
    return Table("balance", "Balance of the two groups at baseline", tuple(heads), body, notes)


def love_figure(rows: Sequence[Balance]) -> LoveFigure:
    """Absolute standardised differences, one point a covariate."""
    weighted = any(not np.isnan(b.after) for b in rows)
    return LoveFigure(
        "love",
        "Balance of the two groups at baseline",
        tuple(b.label for b in rows),
        tuple(abs(b.difference) for b in rows),
        tuple(abs(b.after) for b in rows) if weighted else (),
        ALIKE,
    )


def _of_column(data: Dataset, column: str, arm: str, weights: str | None) -> list[Balance]:
    known = data.with_frame(data.frame[data.frame[[column, arm]].notna().all(axis=1)])
    if known.frame[column].nunique() < 2 or known.frame[arm].nunique() < 2:
        return []
    design = build_design(f"~ 0 + {quote(column)}", known)
    treated = known.frame[arm].to_numpy(float) == 1
    w = None if weights is None else known.frame[weights].to_numpy(float)
    return [
        _balance(name, label, x, treated, w)
        for name, label, x in _shown(design.names, design.labels, design.X)
    ]


def _shown(names: Sequence[str], labels: Sequence[str], X: Array) -> list[tuple[str, str, Array]]:
    """Every level of a factor; of two levels the second says all."""
    first = 1 if X.shape[1] == 2 else 0
    return [(names[j], labels[j], X[:, j]) for j in range(first, X.shape[1])]


def _balance(
    name: str, label: str, x: Array, treated: NDArray[np.bool_], w: Array | None
) -> Balance:
    a, b = x[treated], x[~treated]
    if min(len(a), len(b)) < 2:
        return Balance(name, label, float("nan"), float("nan"))
    yes_no = set(np.unique(x)) <= {0.0, 1.0}
    # A proportion has variance p(1 - p), without the n - 1 of a sample variance.
    ddof = 0 if yes_no else 1
    spread = np.sqrt((a.var(ddof=ddof) + b.var(ddof=ddof)) / 2)
    ratio = float(a.var(ddof=1) / b.var(ddof=1)) if not yes_no and b.var() > 0 else float("nan")
    if not spread > 0:
        return Balance(name, label, float("nan"), ratio)
    after = float("nan")
    if w is not None:
        gap = np.average(a, weights=w[treated]) - np.average(b, weights=w[~treated])
        after = float(gap / spread)
    return Balance(name, label, float((a.mean() - b.mean()) / spread), ratio, after)
