"""Log-rank tests of groups from a formula: of any difference, of a trend, of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import curves
from recovery_stats.engines.curves import LogRank, Weighing
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_number, read_numbers
from recovery_stats.models.columns import IntArray
from recovery_stats.models.formula import Formula
from recovery_stats.models.life_table import group_columns, only_times, read_groups
from recovery_stats.models.multiplicity import adjusted
from recovery_stats.models.observation import Observation, observe


def logrank(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    rho: float = 0,
    gamma: float = 0,
    *,
    weigh: Weighing = "logrank",
) -> LogRankTest:
    """Test that groups share one hazard: `Surv(time, event) ~ group + strata(site)`.

    Weights S(t-)^rho (1 - S(t-))^gamma (Fleming & Harrington): rho = 0 log-rank, rho = 1 weighs
    early differences, gamma = 1 late ones. weigh: "gehan" (also Breslow's, Wilcoxon),
    "tarone-ware", "peto", "modified-peto" weigh by the number at risk instead.
    Raises UsageError for unknown weights, NotEstimable with one group.
    """
    rho, gamma = read_number(rho, "rho"), read_number(gamma, "gamma")
    if not isinstance(weigh, str) or weigh not in get_args(Weighing):
        raise UsageError(unknown("weight of a log-rank test", weigh, get_args(Weighing)))
    if weigh != "logrank" and (rho or gamma):
        raise UsageError(f"weigh={weigh!r} and rho or gamma are two ways to weigh; choose one.")
    seen = observe(
        only_times(formula, "logrank", strata=True),
        data,
        what="logrank",
        complete=group_columns(formula, "logrank", with_strata=False),
    )
    groups = read_groups(formula, "logrank", data, seen, with_strata=False)
    everyone = np.ones(len(seen), dtype=bool)
    test = _compare(seen, groups.codes, everyone, rho, gamma, weigh)
    return LogRankTest(groups.name, groups.levels, test, seen, groups.codes, rho, gamma, weigh)


def _compare(
    seen: Observation,
    codes: IntArray,
    rows: NDArray[np.bool_],
    rho: float,
    gamma: float,
    weigh: Weighing,
) -> LogRank:
    """Log-rank test among some rows, with their groups numbered anew."""

    def of(values: Any) -> Any:
        return values if values is None or whole else values[rows]

    whole = bool(rows.all())
    return curves.logrank(
        of(seen.stop),
        of(seen.cause),
        codes if whole else np.unique(codes[rows], return_inverse=True)[1],
        start=of(seen.start),
        strata=of(seen.strata),
        rho=rho,
        gamma=gamma,
        weigh=weigh,
    )


@dataclass(frozen=True)
class LogRankTest:
    """Observed and expected events by group, and their test.

    observation, codes (n,), rho, gamma, weigh: what was compared, for tests of pairs.
    """

    group: str
    levels: tuple[str, ...]
    test: LogRank
    observation: Observation = field(repr=False)
    codes: IntArray = field(repr=False)
    rho: float = 0
    gamma: float = 0
    weigh: Weighing = "logrank"

    def tidy(self) -> pd.DataFrame:
        """statistic, df, p_value."""
        t = self.test
        return pd.DataFrame({"statistic": [t.statistic], "df": [t.df], "p_value": [t.p]})

    def groups(self) -> pd.DataFrame:
        """group, n, observed, expected events."""
        return pd.DataFrame(
            {
                "group": self.levels,
                "n": self.test.n,
                "observed": self.test.observed,
                "expected": self.test.expected,
            }
        )

    def trend(self, scores: Sequence[float] | None = None) -> pd.DataFrame:
        """Test that hazards rise or fall with the scores of the groups (1, 2, … in their order).

        statistic, df, p_value; one degree of freedom, so sharper than the test of any difference
        where the groups have an order. Source: Tarone 1975.
        """
        G = len(self.levels)
        score = (
            np.arange(1.0, G + 1) if scores is None else read_numbers(scores, "Scores of a trend")
        )
        if len(score) != G:
            raise UsageError(f"A trend needs a score for each of the {G} groups.")
        score = score - score.mean()
        spread = float(score @ self.test.variance @ score)
        if not spread > 0:
            raise UsageError("A trend needs scores that differ between groups.")
        gap = float(score @ (self.test.observed - self.test.expected))
        statistic = gap**2 / spread
        return pd.DataFrame(
            {"statistic": [statistic], "df": [1], "p_value": [float(chi2.sf(statistic, 1))]}
        )

    def pairwise(self, adjust: str = "holm") -> pd.DataFrame:
        """contrast, statistic, df, p_value of each pair of groups, among their rows only.

        p by Holm, Bonferroni or none; nan where a pair cannot be compared, and uncounted.
        """
        pairs = list(combinations(range(len(self.levels)), 2))
        rows = [(f"{self.levels[a]} - {self.levels[b]}", *self._pair(a, b)) for a, b in pairs]
        frame = pd.DataFrame(rows, columns=["contrast", "statistic", "df", "p_value"])
        known = frame["p_value"].notna().to_numpy()
        p = frame["p_value"].to_numpy(float, copy=True)
        p[known] = adjusted(p[known], adjust)
        return frame.assign(p_value=p)

    def _pair(self, a: int, b: int) -> tuple[float, int, float]:
        rows = (self.codes == a) | (self.codes == b)
        try:
            test = _compare(self.observation, self.codes, rows, self.rho, self.gamma, self.weigh)
        except NotEstimable:
            return float("nan"), 1, float("nan")
        return test.statistic, test.df, test.p

    def __repr__(self) -> str:
        t = self.test
        return f"<Log-rank test of {self.group}: {t.statistic:.4f} on {t.df} df, p {t.p:.3g}>"
