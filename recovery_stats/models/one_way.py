"""One number in several groups: F, Welch, Kruskal-Wallis, and every pair of groups.

Pairs: "tukey" and "holm" with one error for all groups, "games-howell" with each pair's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f, kruskal, norm, rankdata
from scipy.stats import t as t_distribution

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines.simultaneous import range_isf, range_sf
from recovery_stats.errors import NotEstimable
from recovery_stats.models.multiplicity import adjusted, check_adjustment
from recovery_stats.models.summary import level_label, levels_of

Array = NDArray[np.floating[Any]]
Pairs = Literal["tukey", "games-howell", "holm", "bonferroni", "none", "dunn"]
SPREAD = 3.0  # ratio of variances above which one error for all groups misleads


@dataclass(frozen=True, slots=True)
class OneWay:
    """Groups of values in the order of their levels."""

    names: tuple[str, ...]
    values: tuple[Array, ...]

    def __repr__(self) -> str:
        return f"<OneWay: {len(self.names)} groups, {sum(self.n):.0f} people>"

    @property
    def n(self) -> Array:
        return np.array([len(v) for v in self.values], dtype=float)

    @property
    def means(self) -> Array:
        return np.array([v.mean() for v in self.values])

    @property
    def variances(self) -> Array:
        return np.array([v.var(ddof=1) for v in self.values])

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Tests that all groups are alike: test, statistic, num_df, den_df, p_value."""
        rows = [("f", *_f(self)), ("welch", *_welch(self)), ("kruskal-wallis", *_kruskal(self))]
        names = ["term", "statistic", "num_df", "den_df", "p_value"]
        return pd.DataFrame(rows, columns=names)

    def glance(self) -> pd.DataFrame:
        """Groups, people and the pooled standard deviation in one row."""
        return pd.DataFrame([{
            "n_obs": int(self.n.sum()), "n_groups": len(self.names),
            "sigma": float(np.sqrt(_pooled(self)[0])),
        }])  # fmt: skip

    def pairwise(self, adjust: Pairs = "games-howell", level: float = 0.95) -> pd.DataFrame:
        """Every later group minus every earlier one, with p and limits for all pairs together.

        "dunn" compares mean ranks (estimate, z, unadjusted p; no limits). Sources: Tukey 1953 and
        Kramer 1956; Games & Howell 1976; Dunn 1964. Checked: R's TukeyHSD, pairwise.t.test.
        """
        check_adjustment(adjust, ("tukey", "games-howell", "holm", "bonferroni", "none", "dunn"))
        pairs = list(combinations(range(len(self.names)), 2))
        found = pd.DataFrame({"contrast": [f"{self.names[j]} - {self.names[i]}" for i, j in pairs]})
        estimate, se, df = (np.array(x) for x in zip(*self._errors(pairs, adjust), strict=True))
        statistic = estimate / se
        p, width = _together(statistic, df, adjust, len(self.names), level)
        return found.assign(
            estimate=estimate, std_error=se, df=df, statistic=statistic, p_value=p,
            conf_low=estimate - width * se, conf_high=estimate + width * se,
        )  # fmt: skip

    def _errors(
        self, pairs: list[tuple[int, int]], adjust: str
    ) -> Iterator[tuple[float, float, float]]:
        """Difference, standard error and df of each pair."""
        means, n, pooled = self.means, self.n, _pooled(self)
        if adjust == "dunn":
            means, variance = _mean_ranks(self)
        for i, j in pairs:
            if adjust == "games-howell":
                s = self.variances[[i, j]] / n[[i, j]]
                variance_of, df = s.sum(), s.sum() ** 2 / np.sum(s**2 / (n[[i, j]] - 1))
            else:
                each, df = (variance, np.inf) if adjust == "dunn" else pooled
                variance_of = each * (1 / n[i] + 1 / n[j])
            yield float(means[j] - means[i]), float(np.sqrt(variance_of)), float(df)

    def checks(self) -> tuple[Check, ...]:
        """Whether one error for all groups can be right, and the smallest group."""
        ratio = float(self.variances.max() / self.variances.min()) if self.variances.min() else (
            float("inf")
        )  # fmt: skip
        return (
            Check(
                "equal variances", "caution" if ratio > SPREAD else "ok",
                ("The largest variance of a group is ", Quantity(ratio, "ratio"),
                 " times the smallest; Welch's test and Games and Howell's pairs do not need them "
                 "equal, F, Tukey's and Holm's do."),
            ),
            Check("smallest group", "caution" if self.n.min() < 6 else "ok",
                  ("The smallest group holds ", Count(int(self.n.min())), " people.")),
        )  # fmt: skip


def one_way(data: Dataset | pd.DataFrame, outcome: str, group: str) -> OneWay:
    """One number in two groups or more. Rows without either are left out.

    Raises NotEstimable with one group, a group of one person, or groups that never vary.
    """
    table = as_dataset(data)
    table.require(outcome, group)
    frame = table.frame[[outcome, group]].dropna()
    complete = table.with_frame(frame)
    levels = levels_of(complete, group)
    values = tuple(frame.loc[frame[group] == v, outcome].to_numpy(float) for v in levels)
    smallest = min(map(len, values), default=0)
    if len(values) < 2 or smallest < 2 or all(np.ptp(v) == 0 for v in values):
        raise NotEstimable(
            f"Column {group!r} has {len(values)} groups with a value of {outcome!r}, the smallest "
            f"of {smallest} people; a comparison needs two groups of two, and values that vary."
        )
    return OneWay(tuple(level_label(table.variable(group), v) for v in levels), values)


def _pooled(found: OneWay) -> tuple[float, float]:
    """The common variance and its degrees of freedom."""
    df = found.n - 1
    return float(df @ found.variances / df.sum()), float(df.sum())


def _f(found: OneWay) -> tuple[float, float, float, float]:
    n, (error, df) = found.n, _pooled(found)
    grand = n @ found.means / n.sum()
    k = len(n) - 1.0
    value = float(n @ (found.means - grand) ** 2 / k / error)
    return value, k, df, float(f.sf(value, k, df))


def _welch(found: OneWay) -> tuple[float, float, float, float]:
    """Welch 1951."""
    n, k = found.n, len(found.n)
    if not found.variances.all():
        return float("nan"), k - 1.0, float("nan"), float("nan")
    w = n / found.variances
    grand = w @ found.means / w.sum()
    spread = float(np.sum((1 - w / w.sum()) ** 2 / (n - 1)) / (k**2 - 1))
    above = float(w @ (found.means - grand) ** 2) / (k - 1)
    value, df = above / (1 + 2 * (k - 2) * spread), 1 / (3 * spread)
    return value, k - 1.0, df, float(f.sf(value, k - 1, df))


def _kruskal(found: OneWay) -> tuple[float, float, float, float]:
    made = kruskal(*found.values)
    return float(made.statistic), len(found.n) - 1.0, float("inf"), float(made.pvalue)


def _mean_ranks(found: OneWay) -> tuple[Array, float]:
    """Mean rank of each group, and the variance of one rank, ties counted."""
    ranks = rankdata(np.concatenate(found.values))
    parts = np.split(ranks, np.cumsum(found.n.astype(int))[:-1])
    return np.array([p.mean() for p in parts]), float(ranks.var(ddof=1))


def _together(
    statistic: Array, df: Array, adjust: str, k: int, level: float
) -> tuple[Array, Array]:
    """P-values, and how many errors the limits lie away."""
    if adjust in ("tukey", "games-howell"):
        p = [range_sf(float(t), k, float(v)) for t, v in zip(np.abs(statistic), df, strict=True)]
        return np.array(p), np.array([range_isf(1 - level, k, float(v)) for v in df])
    if adjust == "dunn":
        return 2 * norm.sf(np.abs(statistic)), np.full(len(df), np.nan)
    share = (1 - level) / (1 if adjust == "none" else len(df))
    alone = 2 * t_distribution.sf(np.abs(statistic), df)
    return adjusted(alone, adjust), t_distribution.isf(share / 2, df)
