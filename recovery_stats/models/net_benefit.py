"""Cost and benefit of one arm against another: net benefit, cost per unit, acceptability.

Net benefit is the effect valued at what one is willing to pay for a unit of it, less the cost;
unlike cost over effect it has a mean and an interval whatever the signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.outcome import read_arms
from recovery_stats.models.percentile import percentile_limits

Array = NDArray[np.float64]
FEWEST_DRAWS = 200


@dataclass(frozen=True, slots=True)
class NetBenefit:
    """Differences in cost and effect between the arms with their bootstrap draws.

    cost, effect: compared minus usual. draws (R, 2): the same differences in each resample.
    units: people, or clusters, that were resampled in each arm.
    """

    cost: float
    effect: float
    draws: Array
    willingness: tuple[float, ...]
    level: float
    n: int
    units: tuple[int, int]
    arms: tuple[str, str]

    def __repr__(self) -> str:
        return f"<NetBenefit: cost {self.cost:.4g}, effect {self.effect:.4g} a person>"

    @property
    def ratio(self) -> float:
        """Cost per unit of effect; has a meaning only where both differences are positive."""
        return self.cost / self.effect if self.effect else float("nan")

    def estimates(self) -> tuple[Estimate, ...]:
        """Differences in cost and effect, and the net benefit at each willingness to pay."""
        rows = [("cost", "Difference in cost", self.cost, self.draws[:, 0]),
                ("effect", "Difference in effect", self.effect, self.draws[:, 1])]  # fmt: skip
        rows += [
            (f"net_benefit[{w:g}]", f"Net benefit at {w:g} a unit", w * self.effect - self.cost,
             w * self.draws[:, 1] - self.draws[:, 0])
            for w in self.willingness
        ]  # fmt: skip
        return tuple(self._estimate(*row) for row in rows)

    def _estimate(self, name: str, label: str, value: float, draws: Array) -> Estimate:
        low, high = percentile_limits(draws, self.level)
        return Estimate(
            name, label, value, float(low), float(high), float(draws.std(ddof=1)),
            method="bootstrap", confidence=self.level, n=self.n,
        )  # fmt: skip

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """term, estimate, std_error, conf_low, conf_high; `level` is that of the call."""
        return pd.DataFrame([
            {"term": e.name, "estimate": e.value, "std_error": e.se, "conf_low": e.low,
             "conf_high": e.high}
            for e in self.estimates()
        ])  # fmt: skip

    def glance(self) -> pd.DataFrame:
        """People, units resampled, draws, cost per unit and its limits, in one row."""
        low, high = self.ratio_limits()
        return pd.DataFrame([{
            "n_obs": self.n, "units_usual": self.units[0], "units_compared": self.units[1],
            "draws": len(self.draws), "cost_per_unit": self.ratio, "cost_per_unit_low": low,
            "cost_per_unit_high": high,
        }])  # fmt: skip

    def ratio_limits(self) -> tuple[float, float]:
        """Limits of cost per unit by Fieller's theorem on the draws' covariance.

        (nan, nan) where the effect is not told from zero: then no interval is finite.
        """
        z2 = float(norm.isf((1 - self.level) / 2)) ** 2
        S = np.cov(self.draws.T)
        a = self.effect**2 - z2 * S[1, 1]
        b = self.cost * self.effect - z2 * S[0, 1]
        inside = b**2 - a * (self.cost**2 - z2 * S[0, 0])
        if a <= 0 or inside < 0:
            return float("nan"), float("nan")
        return float((b - np.sqrt(inside)) / a), float((b + np.sqrt(inside)) / a)

    def acceptability(self, willingness: Sequence[float] | None = None) -> pd.DataFrame:
        """willingness, probability: share of draws in which the net benefit is above zero."""
        values = np.asarray(self.willingness if willingness is None else willingness, dtype=float)
        above = np.outer(self.draws[:, 1], values) > self.draws[:, [0]]
        return pd.DataFrame({"willingness": values, "probability": above.mean(axis=0)})

    def quadrants(self) -> pd.DataFrame:
        """Share of draws in each corner of the plane of cost and effect."""
        dearer, better = self.draws[:, 0] > 0, self.draws[:, 1] > 0
        corners = {
            "dearer and better": dearer & better, "cheaper and better": ~dearer & better,
            "dearer and worse": dearer & ~better, "cheaper and worse": ~dearer & ~better,
        }  # fmt: skip
        rows = [(name, float(where.mean())) for name, where in corners.items()]
        return pd.DataFrame(rows, columns=["corner", "share"])

    def checks(self) -> tuple[Check, ...]:
        """Whether the units resampled are enough, and whether cost per unit means anything."""
        few = min(self.units) < 10
        found = [Check(
            "units resampled", "caution" if few else "ok",
            (Count(self.units[0], "clusters"), f" in “{self.arms[0]}” and ",
             Count(self.units[1], "clusters"), f" in “{self.arms[1]}” were drawn anew each time"
             + ("; a bootstrap of so few is too narrow." if few else ".")),
        )]  # fmt: skip
        known = not np.isnan(self.ratio_limits()[0])
        words = (
            ("Cost per unit is ", Quantity(self.ratio), "; the effect is told from zero.")
            if known
            else ("The effect is not told from zero, so that cost per unit has no finite interval; "
                  "read the net benefit.",)
        )  # fmt: skip
        found.append(Check("cost per unit", "ok" if known else "caution", words))
        return tuple(found)


def net_benefit(
    data: Dataset | pd.DataFrame,
    cost: str,
    effect: str,
    arm: str,
    *,
    cluster: str | None = None,
    reference: str | None = None,
    willingness: Sequence[float] = (0.0, 50.0, 100.0, 500.0, 1000.0),
    replicates: int = 2000,
    seed: int = 1,
    level: float = 0.95,
) -> NetBenefit:
    """Cost and effect of two arms, people (or clusters) resampled within each arm.

    effect: more is better (abstinent months). cluster: people of one are drawn together; without
    a cluster a person is drawn alone. willingness: money for one unit of effect.
    Raises NotEstimable with fewer than two units in an arm, UsageError for too few replicates.
    Sources: Stinnett & Mullahy 1998; Fenwick et al. 2001 (acceptability); Willan & Lin 2001.
    Checked: the normal theory of two means; a cluster of one person each is no cluster.
    """
    if replicates < FEWEST_DRAWS:
        raise UsageError(f"A bootstrap takes {FEWEST_DRAWS} replicates or more, not {replicates}.")
    table = as_dataset(data)
    names = [c for c in (cost, effect, arm) if c]
    table.require(*names, *([cluster] if cluster else []))
    whole = table.with_frame(table.frame[table.frame[names].notna().all(axis=1)])
    arms = read_arms(whole, arm, reference)
    values = whole.frame[[cost, effect]].to_numpy(float)
    codes = _codes(whole.frame[cluster] if cluster else None, len(values))
    rng = np.random.default_rng(seed)
    means, draws, units = [], [], []
    for a, name in ((0.0, arms.other), (1.0, arms.counted)):
        own = arms.values == a
        sums = _sums(values[own], codes[own])
        if len(sums) < 2:
            raise NotEstimable(
                f"Arm {arm!r} has {len(sums)} unit to draw from in {name!r}; a bootstrap needs two."
            )
        means.append(values[own].mean(axis=0))
        draws.append(_resampled(sums, replicates, rng))
        units.append(len(sums))
    difference = means[1] - means[0]
    return NetBenefit(
        float(difference[0]), float(difference[1]), draws[1] - draws[0], tuple(willingness), level,
        len(values), (units[0], units[1]), (arms.other, arms.counted),
    )  # fmt: skip


def _codes(cluster: pd.Series[Any] | None, n: int) -> NDArray[np.intp]:
    """A code for each cluster; people without one have one of their own."""
    if cluster is None:
        return np.arange(n)
    codes, _ = pd.factorize(cluster)
    alone = codes < 0
    found: NDArray[np.intp] = codes.astype(np.intp)
    found[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return found


def _sums(values: Array, codes: NDArray[np.intp]) -> Array:
    """(units, 3): sums of cost and effect, and people, of each unit."""
    ids = np.unique(codes, return_inverse=True)[1]
    columns = [np.bincount(ids, column) for column in (*values.T, np.ones(len(values)))]
    return np.column_stack(columns)


def _resampled(sums: Array, replicates: int, rng: np.random.Generator) -> Array:
    """(R, 2) means of cost and effect with units drawn with replacement."""
    chosen = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=replicates) @ sums
    found: Array = chosen[:, :2] / chosen[:, [2]]
    return found
