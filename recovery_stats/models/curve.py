"""Kaplan-Meier curves by group from a formula, with quantiles and restricted means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Series
from recovery_stats.engines import curves
from recovery_stats.engines.curves import Interval, Survival
from recovery_stats.errors import UsageError
from recovery_stats.models import mean_time
from recovery_stats.models.argument import read_level, read_numbers, read_shares, read_times
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.formula import Formula
from recovery_stats.models.hazard_check import FEW_CLUSTERS
from recovery_stats.models.life_table import (
    count_clusters,
    count_tables,
    group_columns,
    know_interval,
    only_times,
    read_frame,
    read_groups,
    step_series,
)
from recovery_stats.models.observation import Observation, observe
from recovery_stats.models.spell_check import check_spells


def kaplan_meier(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    conf_type: Interval = "log-log",
    level: float = 0.95,
    *,
    weights: str | None = None,
    person: str | None = None,
    cluster: str | None = None,
    robust: bool | None = None,
) -> Curves:
    """Estimate survival by group: `Surv(time, event) ~ group`, or `~ 1` for everyone.

    Several terms make one group of each combination. Errors are Greenwood's, whole weights
    counting people. robust (infinitesimal jackknife) is the default where it is needed: with
    weights that are not whole numbers (sampling, inverse probability) and with a cluster, whose
    rows (of one site, of one person) are not independent. person: tells the (start, stop] rows
    of one person, so that only the end of the last counts as censored.
    """
    know_interval(conf_type)
    level = read_level(level)
    seen = observe(
        only_times(formula, "kaplan_meier"),
        data,
        what="kaplan_meier",
        complete=group_columns(formula, "kaplan_meier"),
        weights=weights,
        person=person,
        cluster=cluster,
    )
    groups = read_groups(formula, "kaplan_meier", data, seen)
    spells = tuple(check_spells(seen))
    sampled = seen.weights is not None and bool(np.any(seen.weights % 1))
    if robust is False and (sampled or cluster):
        raise UsageError(
            "Weights that are not whole numbers, and clusters, have no other errors than the "
            "robust ones; leave robust=False out."
        )
    if not (sampled or cluster or robust):
        fitted = tuple(curves.kaplan_meier(t) for t in count_tables(seen, groups))
        return Curves(groups.name, groups.levels, fitted, conf_type, level, None, spells)
    by = _independent(seen)
    tables = (count_clusters(seen, groups.codes == g, by) for g in range(groups.size))
    fitted = tuple(curves.kaplan_meier(t, robust=True, cluster=c) for t, c in tables)
    units = None if by is None else int(by.max()) + 1
    return Curves(groups.name, groups.levels, fitted, conf_type, level, units, spells)


def _independent(seen: Observation) -> IntArray | None:
    """The clusters, else the people, whose rows are summed in robust errors; None: every row."""
    return seen.cluster if seen.cluster is not None else seen.person


@dataclass(frozen=True)
class Curves:
    """Kaplan-Meier curves, one for each level of `group`.

    n_clusters: independent clusters behind robust errors; None where rows are independent.
    spells: what the rows of people look like, where they are known.
    """

    group: str
    levels: tuple[str, ...]
    fitted: tuple[Survival, ...]
    conf_type: Interval
    level: float
    n_clusters: int | None = None
    spells: tuple[Check, ...] = field(default=(), repr=False)

    def limits(self, curve: Survival) -> tuple[Array, Array]:
        """Pointwise limits of one curve."""
        return curves.limits(curve.estimate, curve.sigma, level=self.level, kind=self.conf_type)

    def tidy(self) -> pd.DataFrame:
        """One row per group and distinct time."""
        return pd.concat(
            [self._frame(name, c) for name, c in zip(self.levels, self.fitted, strict=True)],
            ignore_index=True,
        )

    def _frame(self, name: str, curve: Survival) -> pd.DataFrame:
        low, high = self.limits(curve)
        return pd.DataFrame(
            {
                "group": name,
                "time": curve.table.time,
                "n_risk": curve.table.n_risk,
                "n_event": curve.table.n_event,
                "n_censor": curve.table.n_censor,
                "estimate": curve.estimate,
                "std_error": curve.std_error,
                "conf_low": low,
                "conf_high": high,
            }
        )

    def at(self, times: Sequence[float] | float) -> pd.DataFrame:
        """The columns of tidy at given times: at risk just before, events since the time before.

        Beyond the last observation of a group its survival is unknown (nan) unless it is 0.
        """
        asked = np.sort(read_times(times))
        return pd.concat(
            [
                read_frame(frame, asked, start=1.0, known_end=float(c.estimate[-1]) == 0.0)
                for c, (_, frame) in zip(
                    self.fitted, self.tidy().groupby("group", sort=False), strict=True
                )
            ],
            ignore_index=True,
        )

    def median(self) -> pd.DataFrame:
        """group, median, conf_low, conf_high; nan where the curve stays above one half."""
        return self.quantile(0.5).rename(columns={"estimate": "median"}).drop(columns="quantile")

    def quantile(self, p: float | Sequence[float]) -> pd.DataFrame:
        """Times by which a share p has had the event, with limits from the curve's own limits."""
        rows = []
        for name, curve in zip(self.levels, self.fitted, strict=True):
            low, high = (np.where(np.isnan(x), np.inf, x) for x in self.limits(curve))
            time = curve.table.time
            for q in read_shares(p):
                found = (curves.quantile(time, s, float(q)) for s in (curve.estimate, low, high))
                rows.append((name, float(q), *found))
        return pd.DataFrame(
            rows, columns=["group", "quantile", "estimate", "conf_low", "conf_high"]
        )

    def rmst(self, tau: float) -> pd.DataFrame:
        """Mean time free of the event up to tau; with two groups also second minus first."""
        return mean_time.tabulate_means(self, tau)

    def rmst_contrasts(
        self, tau: float | Sequence[float], reference: str | None = None
    ) -> pd.DataFrame:
        """Differences and ratios of mean times up to each tau, of each group with the reference.

        tau, contrast, scale ("difference" or "ratio"), estimate, std_error (of a ratio: of its
        logarithm), statistic, p_value, conf_low, conf_high. reference: the first group.
        """
        return mean_time.contrast_means(
            self, read_numbers(tau, "Horizons of restricted means"), reference
        )

    def cumulative_hazard(self) -> pd.DataFrame:
        """Nelson-Aalen: group, time, estimate, std_error, limits by its logarithm."""
        parts = [
            pd.DataFrame(
                {
                    "group": name,
                    "time": c.table.time,
                    "estimate": c.cumulative_hazard,
                    "std_error": c.hazard_se,
                }
            )
            for name, c in zip(self.levels, self.fitted, strict=True)
        ]
        frame = pd.concat(parts, ignore_index=True)
        H = frame["estimate"].to_numpy()
        low, high = curves.hazard_limits(H, frame["std_error"].to_numpy(), level=self.level)
        return frame.assign(conf_low=low, conf_high=high)

    def at_risk(self, times: Sequence[float] | float | None = None) -> pd.DataFrame:
        """The table below a plot: group, time, n_risk, and n_event, n_censor up to then.

        times: six round ones from 0 when not given. At risk at 0 is everyone observed from 0.
        """
        if times is None:
            last = max(float(c.table.time[-1]) for c in self.fitted)
            step = curves.round_step(last / 5)
            times = np.arange(0.0, last + step / 2, step).tolist()
        frame = self.at(times)[["group", "time", "n_risk", "n_event", "n_censor"]]
        running = frame.groupby("group", sort=False)[["n_event", "n_censor"]].cumsum()
        return frame.assign(**running)

    def checks(self) -> tuple[Check, ...]:
        """Whether robust errors rest on enough clusters, and people's rows are of one event."""
        n = self.n_clusters
        if n is None:
            return self.spells
        few = n < FEW_CLUSTERS
        note = "; errors of so few are unreliable, and mostly too short." if few else "."
        parts = ("Robust errors of the curves from ", Quantity(n, "whole"), f" clusters{note}")
        return (Check("clusters", "caution" if few else "ok", parts), *self.spells)

    def series(self) -> tuple[Series, ...]:
        """The curves as a figure takes them, from time 0."""
        return tuple(
            step_series(name, c.table, c.estimate, *self.limits(c), first=1.0)
            for name, c in zip(self.levels, self.fitted, strict=True)
        )

    def __repr__(self) -> str:
        parts = [
            f"{name}: {c.table.n} rows, {c.table.n_event.sum():g} events"
            for name, c in zip(self.levels, self.fitted, strict=True)
        ]
        return f"<Kaplan-Meier: {'; '.join(parts)}>"
