"""Contrasts, adjusted means and slopes of any fit that is linear in its coefficients.

A fit takes part by offering `terms`, `recipe`, `grid` (what its data columns look like) and
`combine(L)`: estimates, standard errors and degrees of freedom of L @ coefficients, which have
the covariance `covariance()`; `analysed` are the rows behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.estimate import Estimate, Level, Scale
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.combination import Combination
from recovery_stats.models.grid import (
    Averaging,
    Grid,
    LinearFit,
    grid_of,
    numeric_columns,
    rows_for,
)
from recovery_stats.models.multiplicity import (
    BY_COUNT,
    Family,
    check_adjustment,
    critical_values,
    p_values,
)

__all__ = ["Combination", "Grid", "grid_of", "numeric_columns"]

Array = NDArray[np.float64]


def row_of(terms: Sequence[str], weights: Mapping[str, float]) -> Array:
    """The row of L for named weights; UsageError with the nearest term when one is unknown."""
    row = np.zeros(len(terms))
    for term, weight in weights.items():
        if term not in terms:
            raise UsageError(unknown("term", term, terms))
        row[list(terms).index(term)] = weight
    return row


def estimate(
    fit: LinearFit,
    weights: Mapping[str, float],
    *,
    name: str,
    label: str,
    level: float = 0.95,
    rank: Level = "secondary",
    scale: Scale = "difference",
    method: str = "",
    n: int | None = None,
) -> Estimate:
    """A linear combination of coefficients as the currency of reports."""
    found = fit.combine(row_of(fit.terms, weights)[None])
    low, high = found.limits(level)
    values = [found.estimate, low, high]
    value, low_, high_ = (float((np.exp(v) if scale == "ratio" else v)[0]) for v in values)
    se, df, p = (float(v[0]) for v in (found.std_error, found.df, found.p_value))
    return Estimate(
        name, label, value, low_, high_, se, p, df, scale, rank, method, level, n
    )  # fmt: skip


def contrast(
    fit: LinearFit,
    weights: Mapping[str, Mapping[str, float]],
    *,
    adjust: str = "none",
    level: float = 0.95,
) -> pd.DataFrame:
    """Named combinations of coefficients: one row each; `adjust` as in `multiplicity`."""
    check_adjustment(adjust, (*BY_COUNT, "mvt"))
    L = np.array([row_of(fit.terms, w) for w in weights.values()])
    return pd.DataFrame({"contrast": list(weights), **_judged(fit, L, adjust, level, len(L) + 1)})


def marginal_means(
    fit: LinearFit,
    by: str | Sequence[str],
    *,
    at: Mapping[str, Any] | None = None,
    weights: Averaging = "equal",
    level: float = 0.95,
) -> pd.DataFrame:
    """Adjusted means for every combination of `by`.

    Other factors count their levels equally, or as often as the rows have them ("proportional");
    other numbers stand at their means. `at` sets numbers and levels (one value, or several for a
    row each). Source: Searle, Speed & Milliken 1980. Checked: emmeans (tests/models/margins.R).
    """
    rows, L = rows_for(fit, _listed(by), dict(at or {}), weights)
    return pd.DataFrame({**rows, **fit.combine(L).table(level)})


def pairwise(
    fit: LinearFit,
    by: str | Sequence[str],
    *,
    within: str | Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    adjust: str = "holm",
    reference: Any = None,
    of: str | None = None,
    weights: Averaging = "equal",
    level: float = 0.95,
) -> pd.DataFrame:
    """Differences between adjusted means (or slopes in `of`): all pairs, or against a reference.

    by: factors whose combinations are compared. within: compare inside each of its levels, each
    a family of its own. reference: a level of `by` (a tuple for several); then every other minus
    it ("dunnett" without one takes the first). Limits hold for the family, as the p-values do.
    """
    check_adjustment(adjust)
    if adjust == "tukey" and reference is not None:
        raise UsageError("Tukey's adjustment is for all pairs; against a reference use 'dunnett'.")
    factors, inside = _listed(by), _listed(within)
    rows, L = rows_for(fit, [*inside, *factors], dict(at or {}), weights, of)
    compared = list(zip(*(rows[f] for f in factors), strict=True))
    blocks = list(zip(*(rows[f] for f in inside), strict=True)) or [()] * len(L)
    tables = []
    for block in dict.fromkeys(blocks):
        here = [i for i, b in enumerate(blocks) if b == block]
        pairs = _pairs([compared[i] for i in here], adjust, reference)
        D = np.array([L[here[i]] - L[here[j]] for i, j in pairs])
        words = [" ".join(map(str, compared[i])) for i in here]
        named = {"contrast": [f"{words[i]} - {words[j]}" for i, j in pairs]}
        judged = _judged(fit, D, adjust, level, len(here))
        tables.append(pd.DataFrame({**dict(zip(inside, block, strict=False)), **named, **judged}))
    return pd.concat(tables, ignore_index=True)


def slopes(
    fit: LinearFit,
    of: str,
    by: str | Sequence[str] = (),
    *,
    at: Mapping[str, Any] | None = None,
    weights: Averaging = "equal",
    level: float = 0.95,
) -> pd.DataFrame:
    """Slope in the number `of` (at its mean, or at `at`) for every combination of `by`."""
    rows, L = rows_for(fit, _listed(by), dict(at or {}), weights, of)
    shown = {k: v for k, v in rows.items() if k != of}
    return pd.DataFrame({**shown, "slope": of, **fit.combine(L).table(level)})


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _pairs(levels: list[Any], adjust: str, reference: Any) -> list[tuple[int, int]]:
    """Which levels are compared with which, (i, j) for i minus j."""
    count = len(levels)
    if count < 2:
        raise UsageError("A comparison needs two levels or more.")
    if adjust != "dunnett" and reference is None:
        return list(combinations(range(count), 2))
    words = [" ".join(map(str, v)) for v in levels]
    wanted = words[0] if reference is None else _words(reference)
    if wanted not in words:
        raise UsageError(unknown("level to compare with", wanted, words))
    base = words.index(wanted)
    return [(i, base) for i in range(count) if i != base]


def _words(level: Any) -> str:
    return " ".join(map(str, level)) if isinstance(level, tuple) else str(level)


def _judged(fit: LinearFit, L: Array, adjust: str, level: float, means: int) -> dict[str, Array]:
    """The columns of every table, with p-values and limits for all rows together."""
    found = fit.combine(L)
    family = Family(L @ fit.covariance().to_numpy() @ L.T, means)
    half = critical_values(found.df, level, adjust, family) * found.std_error
    return {
        **found.table(level),
        "p_value": p_values(found.statistic, found.df, adjust, family),
        "conf_low": found.estimate - half,
        "conf_high": found.estimate + half,
    }
