"""Curves by group from a formula: Kaplan-Meier, cumulative incidence, log-rank tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Series
from recovery_stats.engines import curves, gray
from recovery_stats.engines.curves import Incidence, Interval, LifeTable, LogRank, Survival
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.columns import Array, Columns, Grouping, IntArray
from recovery_stats.models.formula import Formula, Variable, columns_of
from recovery_stats.models.margins import adjusted
from recovery_stats.models.observation import (
    Observation,
    name_causes,
    observe,
    read_survival,
)

EVERYONE = "all"


def kaplan_meier(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    conf_type: Interval = "log-log",
    level: float = 0.95,
    *,
    weights: str | None = None,
    person: str | None = None,
) -> Curves:
    """Estimate survival by group: `Surv(time, event) ~ group`, or `~ 1` for everyone.

    Several terms make one group of each combination. weights that are not whole numbers bring
    robust errors. person: tells the (start, stop] rows of one person, so that only the end of
    the last counts as censored.
    """
    _know_interval(conf_type)
    seen = observe(
        _only_times(formula, "kaplan_meier"),
        data,
        what="kaplan_meier",
        complete=_group_columns(formula, "kaplan_meier"),
        weights=weights,
        person=person,
    )
    groups = _groups(formula, "kaplan_meier", data, seen)
    robust = seen.weights is not None and bool(np.any(seen.weights % 1))
    fitted = tuple(curves.kaplan_meier(t, robust=robust) for t in _tables(seen, groups))
    return Curves(groups.name, groups.levels, fitted, conf_type, level)


def logrank(
    formula: Formula | str, data: pd.DataFrame | Dataset, rho: float = 0, gamma: float = 0
) -> LogRankTest:
    """Test that groups share one hazard: `Surv(time, event) ~ group + strata(site)`.

    Weights S(t-)^rho (1 - S(t-))^gamma: rho = 0 log-rank, rho = 1 Peto & Peto.
    Raises NotEstimable with one group.
    """
    seen = observe(
        _only_times(formula, "logrank", strata=True),
        data,
        what="logrank",
        complete=_group_columns(formula, "logrank", with_strata=False),
    )
    groups = _groups(formula, "logrank", data, seen, with_strata=False)
    everyone = np.ones(len(seen), dtype=bool)
    test = _compare(seen, groups.codes, everyone, rho, gamma)
    return LogRankTest(groups.name, groups.levels, test, seen, groups.codes, rho, gamma)


def _compare(
    seen: Observation, codes: IntArray, rows: NDArray[np.bool_], rho: float, gamma: float
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
    )


def cumulative_incidence(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    conf_type: Interval = "log-log",
    level: float = 0.95,
    *,
    weights: str | None = None,
    person: str | None = None,
) -> IncidenceCurves:
    """Probability of each cause in the presence of the others: `Surv(time, cause) ~ group`.

    cause: 0 censored, 1, 2, … the events; value labels name them. Aalen-Johansen with
    infinitesimal jackknife errors.
    """
    _know_interval(conf_type)
    seen = observe(
        _only_times(formula, "cumulative_incidence"),
        data,
        what="cumulative_incidence",
        complete=_group_columns(formula, "cumulative_incidence"),
        weights=weights,
        person=person,
        competing=True,
    )
    groups = _groups(formula, "cumulative_incidence", data, seen)
    J = int(seen.cause.max(initial=0))
    if not J:
        raise NotEstimable("No event of any cause was observed.")
    fitted = tuple(
        curves.cumulative_incidence(_table(seen, groups.codes == g, J)) for g in range(groups.size)
    )
    names = name_causes(formula, data, J)
    return IncidenceCurves(groups.name, groups.levels, names, fitted, conf_type, level)


# --- rows to tables --------------------------------------------------------------------------


def _know_interval(kind: str) -> None:
    if kind not in get_args(Interval):
        raise UsageError(unknown("interval", kind, get_args(Interval)))


def _only_times(formula: Formula | str, what: str, *, strata: bool = False) -> Formula:
    """The formula without its terms: groups are read apart, so that numbers may be groups."""
    asked = read_survival(formula, what)
    return replace(asked, terms=(), offsets=(), strata=asked.strata if strata else (), frailty=None)


def _group_columns(
    formula: Formula | str, what: str, *, with_strata: bool = True
) -> tuple[str, ...]:
    asked = read_survival(formula, what)
    names: list[str] = []
    for factor in (f for term in asked.terms for f in term.factors):
        found = columns_of(factor)
        plain = isinstance(factor, Variable) or str(factor).startswith("C(")
        if not plain:
            raise UsageError(f"{what} makes groups of columns; {factor} is not one.")
        names += found
    return tuple(dict.fromkeys([*names, *(asked.strata if with_strata else ())]))


def _groups(
    formula: Formula | str,
    what: str,
    data: pd.DataFrame | Dataset,
    seen: Observation,
    *,
    with_strata: bool = True,
) -> Grouping:
    """Each row's group by the combination of the formula's columns."""
    names = _group_columns(formula, what, with_strata=with_strata)
    if not names:
        return Grouping("", np.zeros(len(seen), dtype=np.intp), (EVERYONE,))
    if len(names) == 1 and not seen.weightless:
        return seen.design.groups[names[0]]
    return _rows_of(Columns.of(data), seen).grouping(names)


def _rows_of(columns: Columns, seen: Observation) -> Columns:
    kept = np.flatnonzero(seen.design.kept)
    return replace(columns, frame=columns.frame.iloc[kept], _numbers={}, _keys={})


def _tables(seen: Observation, groups: Grouping) -> tuple[LifeTable, ...]:
    """Count all groups: at once where rows are people observed from the start."""
    if seen.start is None and seen.weights is None:
        return curves.tabulate_groups(seen.stop, seen.cause != 0, groups.codes, groups.size)
    return tuple(_table(seen, groups.codes == g) for g in range(groups.size))


def _table(seen: Observation, rows: Any, causes: int = 1) -> LifeTable:
    """Count one group; rows of one person that follow each other are one spell."""

    def of(values: Any) -> Any:
        return None if values is None else values[rows]

    start, stop, cause, weights, person = (
        of(v) for v in (seen.start, seen.stop, seen.cause, seen.weights, seen.person)
    )
    if person is not None and start is not None:
        begins, ends = _spells(person, start, stop, cause)
        start, stop, cause = start[begins], stop[ends], cause[ends]
        weights = None if weights is None else weights[ends]
    return curves.tabulate(stop, cause, start=start, weights=weights, causes=causes)


def _spells(
    person: IntArray, start: Array, stop: Array, cause: IntArray
) -> tuple[IntArray, IntArray]:
    """First and last row of each run of rows in which a person is observed without gap or event."""
    order = np.lexsort((start, person))
    who, begin, end = person[order], start[order], stop[order]
    again = (who[1:] == who[:-1]) & (begin[1:] == end[:-1]) & (cause[order][:-1] == 0)
    return order[np.append(True, ~again)], order[np.append(~again, True)]


# --- Kaplan-Meier ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Curves:
    """Kaplan-Meier curves, one for each level of `group`."""

    group: str
    levels: tuple[str, ...]
    fitted: tuple[Survival, ...]
    conf_type: Interval
    level: float

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
        asked = np.sort(np.atleast_1d(np.asarray(times, float)))
        return pd.concat(
            [
                _frame_at(frame, asked, start=1.0, known_end=float(c.estimate[-1]) == 0.0)
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
            for q in np.atleast_1d(p):
                found = (curves.quantile(time, s, float(q)) for s in (curve.estimate, low, high))
                rows.append((name, float(q), *found))
        return pd.DataFrame(
            rows, columns=["group", "quantile", "estimate", "conf_low", "conf_high"]
        )

    def rmst(self, tau: float) -> pd.DataFrame:
        """Mean time free of the event up to tau; with two groups also second minus first."""
        if not tau > 0:
            raise UsageError("The horizon of a restricted mean must be above 0.")
        found = []
        for name, curve in zip(self.levels, self.fitted, strict=True):
            try:
                found.append((name, *curves.restricted_mean(curve, tau)))
            except NotEstimable as error:
                raise NotEstimable(f"Group {name!r}: {error}") from None
        if len(found) == 2:
            (_, first, se_first), (_, second, se_second) = found
            found.append(("difference", second - first, float(np.hypot(se_first, se_second))))
        frame = pd.DataFrame(found, columns=["group", "estimate", "std_error"])
        half = norm.isf((1 - self.level) / 2) * frame["std_error"]
        return frame.assign(conf_low=frame["estimate"] - half, conf_high=frame["estimate"] + half)

    def cumulative_hazard(self) -> pd.DataFrame:
        """Nelson-Aalen: group, time, estimate, std_error."""
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "group": name,
                        "time": c.table.time,
                        "estimate": c.cumulative_hazard,
                        "std_error": c.hazard_se,
                    }
                )
                for name, c in zip(self.levels, self.fitted, strict=True)
            ],
            ignore_index=True,
        )

    def n_at_risk(self, times: Sequence[float]) -> pd.DataFrame:
        """Number at risk just before each time, one row a group."""
        columns = {f"{t:g}": [_at_risk(c.table, float(t)) for c in self.fitted] for t in times}
        return pd.DataFrame(columns, index=pd.Index(self.levels, name="group"))

    def series(self) -> tuple[Series, ...]:
        """The curves as a figure takes them, from time 0."""
        return tuple(
            _series(name, c.table, c.estimate, *self.limits(c), first=1.0)
            for name, c in zip(self.levels, self.fitted, strict=True)
        )

    def __repr__(self) -> str:
        parts = [
            f"{name}: {c.table.n} rows, {c.table.n_event.sum():g} events"
            for name, c in zip(self.levels, self.fitted, strict=True)
        ]
        return f"<Kaplan-Meier: {'; '.join(parts)}>"


def _at_risk(table: LifeTable, t: float) -> float:
    """At risk at t: whoever is under observation at the first time >= t, or entered before t."""
    later = table.time[table.exit] >= t
    entered = table.entry <= np.searchsorted(table.time, t, side="left")
    return float(table.weight[later & entered].sum())


def _frame_at(frame: pd.DataFrame, asked: Array, *, start: float, known_end: bool) -> pd.DataFrame:
    """Read step curves off `frame` (one group, sorted by time) at the times asked for."""
    time = frame["time"].to_numpy()
    place = curves.position(time, asked)
    before = place < 0
    out = frame.iloc[np.maximum(place, 0)].reset_index(drop=True)
    next_up = np.minimum(np.searchsorted(time, asked, side="left"), len(time) - 1)
    out["n_risk"] = np.where(asked > time[-1], 0.0, frame["n_risk"].to_numpy()[next_up])
    for column in ("n_event", "n_censor"):
        running = np.concatenate(([0.0], np.cumsum(frame[column].to_numpy())))[place + 1]
        out[column] = np.diff(running, prepend=0.0)
    out["time"] = asked
    out.loc[before, ["estimate", "conf_low", "conf_high"]] = start
    out.loc[before, "std_error"] = 0.0
    unknown_end = (asked > time[-1]) & (not known_end)
    out.loc[unknown_end, ["estimate", "std_error", "conf_low", "conf_high"]] = np.nan
    return out


def _series(
    name: str, table: LifeTable, y: Array, low: Array, high: Array, *, first: float
) -> Series:
    """A step curve from time 0, with the counts behind each step."""
    begins_at_zero = bool(len(table.time)) and table.time[0] == 0

    def line(values: Array, start: float) -> tuple[float, ...]:
        return tuple(map(float, values if begins_at_zero else np.append(start, values)))

    def count(values: Array, start: float) -> tuple[int, ...]:
        return tuple(round(v) for v in line(values, start))

    n_first = float(table.n_risk[0]) if len(table.time) else 0.0
    return Series(
        name,
        x=line(table.time, 0.0),
        y=line(y, first),
        low=line(np.where(np.isnan(low), y, low), first),
        high=line(np.where(np.isnan(high), y, high), first),
        n_at=count(table.n_risk, n_first),
        events_at=count(table.n_event, 0.0),
        censored_at=count(table.n_censor, 0.0),
    )


# --- cumulative incidence --------------------------------------------------------------------


@dataclass(frozen=True)
class IncidenceCurves:
    """Aalen-Johansen curves for each level of `group` and each cause."""

    group: str
    levels: tuple[str, ...]
    causes: tuple[str, ...]
    fitted: tuple[Incidence, ...]
    conf_type: Interval
    level: float

    def limits(self, estimate: Array, std_error: Array) -> tuple[Array, Array]:
        """Pointwise limits of a probability that starts at 0."""
        z = norm.isf((1 - self.level) / 2)
        with np.errstate(all="ignore"):
            if self.conf_type == "plain":
                low, high = estimate - z * std_error, estimate + z * std_error
            elif self.conf_type == "log":
                turn = np.exp(z * std_error / estimate)
                low, high = estimate / turn, estimate * turn
            else:
                turn = np.exp(z * std_error / (estimate * -np.log(estimate)))
                low, high = estimate**turn, estimate ** (1 / turn)
        none = (estimate == 0) | (estimate == 1)
        low, high = (np.where(none, estimate, np.clip(x, 0, 1)) for x in (low, high))
        return low, high

    def tidy(self) -> pd.DataFrame:
        """One row per group, cause and distinct time; n_event counts the events of the cause."""
        return pd.concat(
            [
                self._frame(name, c, j)
                for name, c in zip(self.levels, self.fitted, strict=True)
                for j in range(len(self.causes))
            ],
            ignore_index=True,
        )

    def _frame(self, name: str, curve: Incidence, j: int) -> pd.DataFrame:
        low, high = self.limits(curve.estimate[j], curve.std_error[j])
        return pd.DataFrame(
            {
                "group": name,
                "cause": self.causes[j],
                "time": curve.table.time,
                "n_risk": curve.table.n_risk,
                "n_event": curve.table.events[j],
                "n_censor": curve.table.n_censor,
                "estimate": curve.estimate[j],
                "std_error": curve.std_error[j],
                "conf_low": low,
                "conf_high": high,
            }
        )

    def at(self, times: Sequence[float] | float) -> pd.DataFrame:
        """The columns of tidy at given times; unknown (nan) beyond the end of observation."""
        asked = np.sort(np.atleast_1d(np.asarray(times, float)))
        parts = []
        for name, curve in zip(self.levels, self.fitted, strict=True):
            over = bool(np.isclose(curve.estimate[:, -1].sum(), 1.0))
            parts += [
                _frame_at(self._frame(name, curve, j), asked, start=0.0, known_end=over)
                for j in range(len(self.causes))
            ]
        return pd.concat(parts, ignore_index=True)

    def series(self, cause: str) -> tuple[Series, ...]:
        """The curves of one cause as a figure takes them, from time 0."""
        if cause not in self.causes:
            raise UsageError(unknown("cause", cause, self.causes))
        j = self.causes.index(cause)
        return tuple(
            _series(
                name,
                c.table,
                c.estimate[j],
                *self.limits(c.estimate[j], c.std_error[j]),
                first=0.0,
            )
            for name, c in zip(self.levels, self.fitted, strict=True)
        )

    def gray_test(self, rho: float = 0) -> GrayTest:
        """Test for each cause that the groups share its incidence.

        rho: weights (1 - F)^rho, so that above 0 early differences count more. Raises
        NotEstimable with one group, late entries or weights.
        """
        tables = [curve.table for curve in self.fitted]
        tests = tuple(gray.gray(tables, j + 1, rho=rho) for j in range(len(self.causes)))
        return GrayTest(self.group, self.levels, self.causes, tests)

    def __repr__(self) -> str:
        n = sum(c.table.n for c in self.fitted)
        return f"<Cumulative incidence of {', '.join(self.causes)}: {n} rows>"


@dataclass(frozen=True)
class GrayTest:
    """For each cause, the test that the groups share its cumulative incidence."""

    group: str
    levels: tuple[str, ...]
    causes: tuple[str, ...]
    tests: tuple[gray.Gray, ...]

    def tidy(self) -> pd.DataFrame:
        """cause, statistic, df, p_value."""
        rows = [(c, t.statistic, t.df, t.p) for c, t in zip(self.causes, self.tests, strict=True)]
        return pd.DataFrame(rows, columns=["cause", "statistic", "df", "p_value"])

    def __repr__(self) -> str:
        found = "; ".join(
            f"{c}: {t.statistic:.4f} on {t.df} df, p {t.p:.3g}"
            for c, t in zip(self.causes, self.tests, strict=True)
        )
        return f"<Gray's test of {self.group}: {found}>"


# --- log-rank --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogRankTest:
    """Observed and expected events by group, and their test.

    observation, codes (n,), rho, gamma: what was compared, for tests of pairs.
    """

    group: str
    levels: tuple[str, ...]
    test: LogRank
    observation: Observation = field(repr=False)
    codes: IntArray = field(repr=False)
    rho: float = 0
    gamma: float = 0

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
        score = np.arange(1.0, G + 1) if scores is None else np.asarray(scores, float)
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
            test = _compare(self.observation, self.codes, rows, self.rho, self.gamma)
        except NotEstimable:
            return float("nan"), 1, float("nan")
        return test.statistic, test.df, test.p

    def __repr__(self) -> str:
        t = self.test
        return f"<Log-rank test of {self.group}: {t.statistic:.4f} on {t.df} df, p {t.p:.3g}>"
