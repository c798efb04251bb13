"""Does the effect of the arm differ between people? Declared subgroups, and moderators.

Every level has its difference; whether they differ is told by the interaction, never by one
being significant where another is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.glm import dependent_columns, least_squares
from recovery_stats.engines.robust import sandwich
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.comparison import clusters_of, strata_codes, within_strata
from recovery_stats.models.multiplicity import adjust_p
from recovery_stats.models.outcome import read_arms, read_outcome
from recovery_stats.models.risk import estimate
from recovery_stats.models.sample import read_sample
from recovery_stats.models.summary import level_label, levels_of

Array = NDArray[np.floating[Any]]
ARM, OUTCOME = "arm|", "outcome|"
FEWEST = 10  # people of an arm in a level, below which its difference is a caution


@dataclass(frozen=True, slots=True)
class Moderation:
    """One declared subgroup or moderator: its effects and the test that they differ.

    effects: one a level, or at mean - SD, mean, mean + SD of a number. slope: change of the
    effect for one unit of a number, or of the second level of two; None for more levels.
    smallest: people of an arm in the smallest level (None for a number).
    """

    by: str
    label: str
    effects: tuple[Estimate, ...]
    statistic: float
    num_df: float
    den_df: float
    p: float
    slope: Estimate | None
    smallest: int | None


@dataclass(frozen=True, slots=True)
class Subgroups:
    """All that were declared, with Holm's p over the family of interactions."""

    found: tuple[Moderation, ...]
    level: float

    def __repr__(self) -> str:
        return f"<Subgroups: {', '.join(m.by for m in self.found)}>"

    @property
    def holm(self) -> tuple[float, ...]:
        return tuple(adjust_p([m.p for m in self.found], "holm").tolist())

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """by, level, estimate, std_error, df, p_value, conf_low, conf_high, n."""
        rows = [
            {"term": f"{m.by}: {e.label}", "by": m.by, "level": e.label, "estimate": e.value,
             "std_error": e.se, "df": e.df, "p_value": e.p, "conf_low": e.low,
             "conf_high": e.high, "n": e.n}
            for m in self.found for e in m.effects
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def interactions(self) -> pd.DataFrame:
        """by, statistic (F), num_df, den_df, p_value, p_holm, slope and its limits."""
        rows = []
        for m, holm in zip(self.found, self.holm, strict=True):
            ends = (m.slope.value, m.slope.low, m.slope.high) if m.slope else [float("nan")] * 3
            rows.append((m.by, m.statistic, m.num_df, m.den_df, m.p, holm, *ends))
        names = ["by", "statistic", "num_df", "den_df", "p_value", "p_holm", "slope",
                 "conf_low", "conf_high"]  # fmt: skip
        return pd.DataFrame(rows, columns=names)

    def checks(self) -> tuple[Check, ...]:
        """Levels with few people, and what a subgroup cannot tell."""
        found = [
            Check("people in a subgroup", "caution" if m.smallest < FEWEST else "ok",
                  (f"{m.label}: the smallest level holds ", Count(m.smallest),
                   " people of one arm."), m.by)
            for m in self.found if m.smallest is not None
        ]  # fmt: skip
        return tuple(found)


def subgroups(
    data: Dataset | pd.DataFrame,
    outcome: str,
    arm: str,
    by: Sequence[str],
    *,
    adjust: Sequence[str] = (),
    cluster: str | None = None,
    strata: str | None = None,
    weights: str | None = None,
    reference: str | None = None,
    outcome_level: str | None = None,
    level: float = 0.95,
) -> Subgroups:
    """The difference in risks or means within each level of each column, and its interaction.

    by: columns declared before the run; a nominal or text column, or one of few labelled codes,
    by level; a number (a trauma score) as a slope of the effect. strata: what people were
    randomised within, with a coefficient each; people of a stratum that is the cluster are alone,
    and strata too many for a column each have their means. Linear in the probability for a
    yes-no outcome, so that differences are differences in risk. Errors CR2 by cluster (HC2
    without) with Satterthwaite df; with q contrasts F = Q (df - q + 1) / (df q), df the smallest
    of them. Raises NotEstimable where a level lacks an arm, UsageError without columns.
    Sources: Pustejovsky & Tipton 2018; Brookes et al. 2004. Checked: without
    clusters the differences are Welch's and their difference has the sum of the variances.
    """
    if not by:
        raise UsageError("Name the columns of the subgroups in `by`.")
    table = as_dataset(data)
    table.require(outcome, arm, *by, *adjust, *(c for c in (cluster, strata, weights) if c))
    arms = read_arms(table, arm, reference)
    reading = read_outcome(table, outcome, outcome_level)
    made = table.with_column(Variable(ARM), arms.values)
    made = made.with_column(Variable(OUTCOME, table.label(outcome)), reading.values)
    one = [
        _moderation(
            made, column, [a for a in adjust if a != column], cluster, strata, weights, level
        )
        for column in by
    ]
    return Subgroups(tuple(one), level)


def is_number(data: Dataset, column: str) -> bool:
    """Whether a column is moderated by as a number rather than level by level."""
    values, variable = data.frame[column], data.variable(column)
    if not pd.api.types.is_numeric_dtype(values) or variable.measure in ("nominal", "ordinal"):
        return False
    named = [v for v in levels_of(data, column) if v in variable.values]
    return bool(values.nunique() > 2 and len(named) < values.nunique())


def _moderation(
    data: Dataset, by: str, adjust: list[str], cluster: str | None, strata: str | None,
    weights: str | None, level: float,
) -> Moderation:  # fmt: skip
    needed = [OUTCOME, ARM, by, *adjust, *([weights] if weights else [])]
    whole = data.with_frame(data.frame[data.frame[needed].notna().all(axis=1)])
    number = is_number(whole, by)
    points = list(_points(whole, by, number))
    values = whole.frame[by].to_numpy()
    clusters = clusters_of(whole, cluster, whole.frame[ARM].to_numpy(float))
    codes = None if clusters.structure == "none" else clusters.codes
    sample = read_sample(whole, OUTCOME, ARM, adjust, cluster=codes, weights=weights)
    within = strata_codes(whole, strata, cluster, clusters)
    if within is not None:
        sample = within_strata(sample, within)
    base = (
        [values.astype(float)] if number else [(values == v).astype(float) for _, v in points[1:]]
    )
    own = np.column_stack(base)
    X = np.column_stack([sample.X, own, own * sample.arm[:, None]])
    first, q = sample.X.shape[1] + own.shape[1], own.shape[1]
    kept = [j for j in range(X.shape[1]) if j not in set(dependent_columns(X))]
    at = [kept.index(j) for j in (1, *range(first, first + q)) if j in kept]
    if len(at) < q + 1:
        raise NotEstimable(
            f"The effect of the arm cannot be told apart by {by!r}: a level has people of one "
            "arm only, or it is one of the clusters. Join its levels, or leave it out."
        )
    fit = least_squares(X[:, kept], sample.y, weights=sample.weights)
    robust = sandwich(fit.X_white, fit.residual_white, sample.cluster, weights=sample.weights)
    maker = _Effects(fit.beta, robust, at, level)
    effects = tuple(
        replace(maker.at(_row(i, v, number, q)), label=name, n=_people(values, v, number))
        for i, (name, v) in enumerate(points)
    )
    smallest = None if number else int(
        min(np.sum((values == v) & (sample.arm == a)) for _, v in points for a in (0, 1))
    )  # fmt: skip
    slope = maker.at(np.array([0.0, 1.0])) if q == 1 else None
    return Moderation(by, data.label(by), effects, *maker.test(), slope, smallest)


def _points(data: Dataset, by: str, number: bool) -> Iterator[tuple[str, Any]]:
    """Name and value of the levels, or of three places on a number."""
    if number:
        values = data.frame[by].astype(float)
        mean, sd = float(values.mean()), float(values.std())
        yield from (("mean − SD", mean - sd), ("mean", mean), ("mean + SD", mean + sd))
        return
    levels = levels_of(data, by)
    if len(levels) < 2:
        raise NotEstimable(f"Subgroup {by!r} has {len(levels)} level among {len(data)} people.")
    yield from ((level_label(data.variable(by), v), v) for v in levels)


def _row(i: int, value: Any, number: bool, q: int) -> Array:
    """The effect at a level: that of the first, and its own contrast."""
    if number:
        return np.array([1.0, float(value)])
    row = np.zeros(q + 1)
    row[0] = 1.0
    if i:
        row[i] = 1.0
    return row


def _people(values: Any, value: Any, number: bool) -> int:
    return len(values) if number else int(np.sum(values == value))


@dataclass(frozen=True, slots=True)
class _Effects:
    """Makes combinations of the arm's coefficient and its interactions (at positions `at`)."""

    beta: Array
    robust: Any
    positions: list[int]
    level: float

    def at(self, row: Array) -> Estimate:
        contrast = np.zeros(len(self.beta))
        contrast[self.positions] = row
        se = float(np.sqrt(contrast @ self.robust.covariance @ contrast))
        return estimate(
            "effect", "", float(contrast @ self.beta), se, float(self.robust.df(contrast)),
            level=self.level, method="linear, CR2",
        )  # fmt: skip

    def test(self) -> tuple[float, float, float, float]:
        """F of all interactions together."""
        at, q = self.positions[1:], len(self.positions) - 1
        covariance = self.robust.covariance[np.ix_(at, at)]
        wald = float(self.beta[at] @ np.linalg.solve(covariance, self.beta[at]))
        df = min(float(self.robust.df(np.eye(len(self.beta))[j])) for j in at)
        den = df - q + 1
        if den <= 0:
            return float("nan"), float(q), den, float("nan")
        value = wald * den / (df * q)
        return value, float(q), den, float(f.sf(value, q, den))
