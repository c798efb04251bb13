"""Curves over time: Kaplan-Meier, Nelson-Aalen, Aalen-Johansen, restricted means, log-rank tests.

Everything starts from `tabulate`: for each group the distinct times at which somebody leaves
observation, and how many are at risk, have the event, are censored. A row is at risk on
(start, stop]. Counts are sums of weights where weights are given; frequency weights give the
variances of the repeated rows, any other kind the robust ones (infinitesimal jackknife).

Source: Kaplan & Meier 1958; Greenwood 1926; Aalen & Johansen 1978; Fleming & Harrington 1991;
Tarone & Ware 1977; Klein & Moeschberger 2003, table 7.3 (weights of tests);
Therneau & Grambsch 2000, ch. 2; Royston & Parmar 2013 (restricted means).
Checked: on paper; brute force; R survival 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from recovery_stats.engines.risk_set import (
    PIECE,
    Array,
    Ints,
    are_whole,
    merge_close,
    number_times,
    rank,
)
from recovery_stats.errors import NotEstimable

Interval = Literal["log-log", "log", "plain"]
Weighing = Literal["logrank", "gehan", "tarone-ware", "peto", "modified-peto"]

SPARSE = 8  # cells a row from which counting by group is cheaper than a table of them all
CELLS = 2_000_000  # clusters by times held at once
FLAT = 1.5e-8  # a curve this close to a quantile's level lies on it (R's tolerance)


@dataclass(frozen=True, slots=True, eq=False)
class LifeTable:
    """One group's counts at its T distinct exit times; events (J, T) by cause, J >= 1.

    exit, entry (m,): for each row the position of its last time, and of the first time at
    which it is at risk. weight (m,), cause (m,) from 1, 0 censored. n: rows; those that are
    alike may stand as one with their number as weight.
    """

    time: Array
    n_risk: Array
    events: Array
    n_censor: Array
    exit: Ints
    entry: Ints
    weight: Array
    cause: Ints
    n: int

    @property
    def n_event(self) -> Array:
        """Events of any cause."""
        return np.asarray(self.events.sum(axis=0))


def tabulate(
    stop: Array,
    cause: Ints,
    *,
    start: Array | None = None,
    weights: Array | None = None,
    causes: int = 1,
) -> LifeTable:
    """Count one group. cause (n,) 0 censored, 1 … `causes`."""
    if start is None:
        (stop,) = merge_close(stop)
    else:
        stop, start = merge_close(stop, start)
    weight = np.ones(len(stop)) if weights is None else weights
    time, exit_ = number_times(stop)
    T = len(time)
    left: Array = np.bincount(exit_, weight, T).astype(float)
    entry = np.zeros(len(stop), np.int64)
    n_risk: Array = np.cumsum(left[::-1], dtype=float)[::-1]
    if start is not None:
        entry = rank(start, time)
        n_risk = n_risk - _tail_after(np.bincount(entry, weight, T + 1)[:T].astype(float))
    events = np.stack(
        [
            np.bincount(exit_[cause == j], weight[cause == j], T).astype(float)
            for j in range(1, causes + 1)
        ]
    )
    n_censor = np.bincount(exit_[cause == 0], weight[cause == 0], T).astype(float)
    return LifeTable(time, n_risk, events, n_censor, exit_, entry, weight, cause, len(stop))


def tabulate_groups(
    stop: Array, died: NDArray[np.bool_], group: Ints, G: int
) -> tuple[LifeTable, ...]:
    """Count groups 0 … G-1 at once: everyone observed from the start, no weights, one event."""
    time, cells = _count_cells(stop, died, group, G)
    if cells is None:
        return tuple(tabulate(stop[group == g], died[group == g].astype(int)) for g in range(G))
    return tuple(_from_cells(time, *c) for c in cells)


def _count_cells(
    stop: Array, died: NDArray[np.bool_], group: Ints, G: int
) -> tuple[Array, Ints | None]:
    """Distinct times (T,) and rows by group, end and time (G, 2, T); None where most are empty."""
    low, high = (float(end) for end in (stop.min(), stop.max()))
    if SPARSE * len(stop) >= 2 * G * (high - low + 1) and are_whole(stop):
        cells = _count_days(stop - low if low else stop, died, group, G, int(high - low) + 1)
        seen = np.flatnonzero(cells.any(axis=(0, 1)))
        if len(seen) < cells.shape[2]:
            cells = cells[..., seen]
        return np.asarray(seen + low, dtype=float), cells
    (stop,) = merge_close(stop)
    time, place = number_times(stop)
    if SPARSE * len(stop) < 2 * G * len(time):
        return time, None
    return time, _count_days(place, died, group, G, len(time))


def _count_days(day: NDArray[Any], died: NDArray[np.bool_], group: Ints, G: int, T: int) -> Ints:
    """Rows by group, end and day 0 … T-1: (G, 2, T), in pieces that stay in the cache."""
    cells = np.zeros(2 * G * T, np.int64)
    for begin in range(0, len(day), PIECE):
        rows = slice(begin, begin + PIECE)
        cell = 2 * group[rows]
        cell += died[rows]
        cell *= T
        np.add(cell, day[rows], out=cell, casting="unsafe")
        cells += np.bincount(cell, minlength=2 * G * T)
    return cells.reshape(G, 2, T)


def _from_cells(time: Array, censored: Ints, died: Ints) -> LifeTable:
    """The table of one group; rows of one time and end stand as one."""
    here = np.flatnonzero(censored + died)
    c, d = censored[here].astype(float), died[here].astype(float)
    n_risk: Array = np.cumsum((c + d)[::-1])[::-1]
    T = len(here)
    exit_ = np.tile(np.arange(T), 2)
    cause = np.repeat([0, 1], T)
    entry, weight = np.zeros(2 * T, np.int64), np.concatenate([c, d])
    return LifeTable(time[here], n_risk, d[None], c, exit_, entry, weight, cause, int(n_risk[0]))


def _tail_after(bins: Array) -> Array:
    """Sum of `bins` at later positions than each."""
    return np.concatenate((np.cumsum(bins[::-1])[::-1][1:], [0.0]))


# --- Kaplan-Meier and Nelson-Aalen -----------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """Kaplan-Meier at every time of the table; sigma is the standard error of log S.

    robust: errors by the infinitesimal jackknife, not Greenwood's formula. cluster (m,): codes of
    independent clusters of the table's rows, None where each row is one.
    """

    table: LifeTable
    estimate: Array
    sigma: Array
    cumulative_hazard: Array
    hazard_se: Array
    robust: bool = False
    cluster: Ints | None = None

    @property
    def std_error(self) -> Array:
        """Standard error of the survival probability; nan once nobody is left."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.estimate * self.sigma)


def kaplan_meier(
    table: LifeTable, *, robust: bool = False, cluster: Ints | None = None
) -> Survival:
    """Survival and cumulative hazard; Greenwood's variance, or the robust one for weights.

    cluster (m,): codes of the clusters whose rows are not independent; the robust errors sum
    their rows first.
    """
    d, n = table.n_event, table.n_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = np.where(n > 0, d / n, 0.0)
        estimate = np.cumprod(1 - np.minimum(hazard, 1.0))
        terms = np.where(d > 0, d / (n * (n - d)), 0.0)
        variance = np.cumsum(np.where(np.isclose(d, n) & (d > 0), np.inf, terms))
        hazard_variance = np.cumsum(np.where(d > 0, d / n**2, 0.0))
    if robust:
        variance = _robust_log_survival(table, cluster)
        hazard_variance = _robust_hazard(table, cluster)
    estimate[np.cumsum(np.isclose(d, n) & (d > 0)) > 0] = 0.0
    sigma, hazard_se = (np.sqrt(np.maximum(v, 0.0)) for v in (variance, hazard_variance))
    return Survival(table, estimate, sigma, np.cumsum(hazard), hazard_se, robust, cluster)


def limits(
    estimate: Array, sigma: Array, *, level: float = 0.95, kind: Interval = "log-log"
) -> tuple[Array, Array]:
    """Pointwise limits of survival; sigma is the standard error of log S. S = 0 has none."""
    z = norm.isf((1 - level) / 2)
    with np.errstate(all="ignore"):
        if kind == "plain":
            half = z * estimate * sigma
            low, high = np.maximum(estimate - half, 0), np.minimum(estimate + half, 1)
        elif kind == "log":
            low = np.exp(np.log(estimate) - z * sigma)
            high = np.minimum(np.exp(np.log(estimate) + z * sigma), 1)
        else:
            turn = np.exp(z * sigma / -np.log(estimate))
            low, high = estimate**turn, estimate ** (1 / turn)
    sure = estimate == 1
    none = ~np.isfinite(sigma) | (estimate == 0)
    low, high = np.where(sure, 1.0, low), np.where(sure, 1.0, high)
    return np.where(none, np.nan, low), np.where(none, np.nan, high)


def hazard_limits(H: Array, se: Array, *, level: float = 0.95) -> tuple[Array, Array]:
    """Limits of a cumulative hazard by its logarithm; none where it is 0."""
    z = norm.isf((1 - level) / 2)
    with np.errstate(all="ignore"):
        turn = np.exp(z * se / H)
        none = ~(H > 0)
        return np.where(none, np.nan, H / turn), np.where(none, np.nan, H * turn)


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below."""
    power = 10.0 ** np.floor(np.log10(least)) if least > 0 else 1.0
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= least))


def position(time: Array, at: Array) -> Ints:
    """The last time <= each `at`, as a position; -1 before the first."""
    return np.asarray(np.searchsorted(time, at, side="right") - 1)


def quantile(time: Array, survival: Array, p: float) -> float:
    """First time at which survival is <= 1 - p; the middle of the step where it equals it."""
    level = 1 - p
    below = np.flatnonzero(survival <= level + FLAT)
    if not len(below):
        return float("nan")
    first = below[0]
    if abs(survival[first] - level) < FLAT:
        later = np.flatnonzero(survival < survival[first] - FLAT)
        if len(later):
            return float(time[first] + time[later[0]]) / 2
    return float(time[first])


def restricted_mean(curve: Survival, tau: float) -> tuple[float, float]:
    """Area under the curve up to tau and its standard error.

    The variance sums (area from t to tau)² d / (n (n - d)) over event times t <= tau, or the
    squares of what rows (or clusters) add to the area where the curve's errors are robust.
    Raises NotEstimable where the curve is unknown before tau.
    """
    mean, beyond = _areas(curve, tau)
    if curve.robust:
        influence = mean_influence(curve, tau)
        return mean, float(np.sqrt(influence @ influence))
    d, n = curve.table.n_event[: len(beyond)], curve.table.n_risk[: len(beyond)]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((d > 0) & (beyond > 0), beyond**2 * d / (n * (n - d)), 0.0)
    return mean, float(np.sqrt(terms.sum()))


def mean_influence(curve: Survival, tau: float, clusters: int | None = None) -> Array:
    """What each row (or cluster, 0 … clusters-1) adds to the area up to tau, by its weight."""
    table = curve.table
    beyond = _areas(curve, tau)[1]
    d, n = table.n_event[: len(beyond)], table.n_risk[: len(beyond)]
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = np.where((d > 0) & (beyond > 0), beyond / (n - d), 0.0)
        path = np.cumsum(np.where(n > 0, jump * d / n, 0.0))
    spare = len(table.time) - len(beyond)
    jump = np.append(jump, np.zeros(spare))
    path = np.append(path, np.full(spare, path[-1] if len(path) else 0.0))
    own = path[table.exit] - _before(path, table.entry) - (table.cause > 0) * jump[table.exit]
    own = np.asarray(table.weight * own)
    if curve.cluster is None:
        return own
    return np.asarray(np.bincount(curve.cluster, own, clusters or 0), dtype=float)


def _areas(curve: Survival, tau: float) -> tuple[float, Array]:
    """Area up to tau, and what of it lies after each time < tau."""
    time, S = curve.table.time, curve.estimate
    if tau > time[-1] and S[-1] > 0:
        raise NotEstimable(
            f"The restricted mean to {tau:g} is unknown: observation ends at {time[-1]:g} with "
            "people still at risk. Choose an earlier time."
        )
    inside = time < tau
    knots = np.concatenate(([0.0], time[inside], [tau]))
    height = np.concatenate(([1.0], S[inside]))
    areas = np.diff(knots) * height
    mean = float(areas.sum())
    return mean, np.cumsum(areas[1:][::-1])[::-1]


# --- competing events ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Incidence:
    """Aalen-Johansen probabilities (J, T) of having had each event, and standard errors."""

    table: LifeTable
    estimate: Array
    std_error: Array


def cumulative_incidence(table: LifeTable) -> Incidence:
    """Probability of each cause in the presence of the others, with jackknife errors."""
    d, n = table.n_event, table.n_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.cumprod(np.where(n > 0, 1 - d / n, 1.0))
        before = np.concatenate(([1.0], survival[:-1]))
        steps = np.where(n > 0, before * table.events / n, 0.0)
    estimate = np.cumsum(steps, axis=1)
    variance = np.stack(
        [_incidence_variance(table, before, table.events[j], j + 1) for j in range(len(steps))]
    )
    return Incidence(table, estimate, np.sqrt(np.maximum(variance, 0.0)))


# The infinitesimal jackknife: the variance at t is Σ_i w_i² (dF(t)/dw_i)². At risk, row i's
# derivative moves along one path common to all; once it has left, only the fall in survival
# it caused goes on working. So the sum over rows is a quadratic form in a few running totals.


def _log_survival_path(table: LifeTable) -> tuple[Array, Array]:
    """c: running Σ d/(n(n-d)) of a row at risk; jump: 1/(n-d) of a row with the event."""
    d, n = table.n_event, table.n_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = np.where(n - d > 1e-9 * n, 1 / (n - d), 0.0)
        c = np.cumsum(np.where(n > 0, jump * d / n, 0.0))
    return c, jump


def _before(path: Array, entry: Ints) -> Array:
    """Value of a running total just before each row's entry."""
    return np.concatenate(([0.0], path))[entry]


def _running(table: LifeTable, at: Ints, values: Array) -> Array:
    """Total of `values` (n,) over rows up to and with each time, placed at `at`."""
    T = len(table.time)
    return np.cumsum(np.bincount(np.minimum(at, T), values, T + 1)[:T])


def _robust_log_survival(table: LifeTable, cluster: Ints | None = None) -> Array:
    """Variance of log S from each row's (or cluster's) influence."""
    c, jump = _log_survival_path(table)
    return _path_variance(table, c, jump * (table.n_event > 0), table.cause > 0, cluster)


def _robust_hazard(table: LifeTable, cluster: Ints | None = None) -> Array:
    """Variance of the cumulative hazard from each row's (or cluster's) influence."""
    d, n = table.n_event, table.n_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = np.where(n > 0, 1 / n, 0.0)
    return _path_variance(table, np.cumsum(d * jump**2), jump, table.cause > 0, cluster)


def _path_variance(
    table: LifeTable,
    path: Array,
    jump: Array,
    event: NDArray[np.bool_],
    cluster: Ints | None = None,
) -> Array:
    """Σ w² u² where u = -(path - path at entry) while at risk, plus `jump` at an event."""
    if cluster is not None:
        return _clustered_variance(table, path, jump, event, cluster)
    w2, c0 = table.weight**2, _before(path, table.entry)
    final = event * jump[table.exit] - (path[table.exit] - c0)
    gone = _running(table, table.exit, w2 * final**2)

    def present(values: Array) -> Array:
        return _running(table, table.entry, values) - _running(table, table.exit, values)

    return gone + path**2 * present(w2) - 2 * path * present(w2 * c0) + present(w2 * c0**2)


def _clustered_variance(
    table: LifeTable, path: Array, jump: Array, event: NDArray[np.bool_], cluster: Ints
) -> Array:
    """The same with u summed by cluster before it is squared, some clusters at a time."""
    T, w, c0 = len(table.time), table.weight, _before(path, table.entry)
    final = event * jump[table.exit] - (path[table.exit] - c0)
    code = np.unique(cluster, return_inverse=True)[1]
    step = max(CELLS // (T + 1), 1)
    total = np.zeros(T)
    for first in range(0, int(code.max(initial=-1)) + 1, step):
        rows = np.flatnonzero((code >= first) & (code < first + step))
        own = (code[rows] - first) * (T + 1)
        size = (int(own.max(initial=0)) // (T + 1) + 1) * (T + 1)

        def running(at: Ints, values: Array, own: Ints = own, size: int = size) -> Array:
            cells = np.bincount(own + np.minimum(at, T), values, size)
            return np.cumsum(cells.reshape(-1, T + 1)[:, :T], axis=1)

        come, leave = table.entry[rows], table.exit[rows]
        here = running(come, w[rows]) - running(leave, w[rows])
        began = running(come, (w * c0)[rows]) - running(leave, (w * c0)[rows])
        total += ((running(leave, (w * final)[rows]) - path * here + began) ** 2).sum(axis=0)
    return total


def _incidence_variance(table: LifeTable, before: Array, d: Array, cause: int) -> Array:
    """Variance of the cumulative incidence F of one cause; `before` is S just before each time."""
    n = table.n_risk
    c, jump = _log_survival_path(table)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(n > 0, before * d / n, 0.0)
        per_event = np.where(n > 0, before / n, 0.0)
    F = np.cumsum(rate)
    c_before = np.concatenate(([0.0], c[:-1]))
    G = np.cumsum(rate * c_before - rate * np.where(n > 0, 1 / np.maximum(n, 1e-300), 0.0))
    c0, F0, G0 = (_before(path, table.entry) for path in (c, F, G))
    # at risk: G - G0 - c0 (F - F0); afterwards: value at exit + u (F - F at exit)
    flat = G0 - c0 * F0
    at = table.exit
    value = G[at] - c0 * F[at] - flat + per_event[at] * (table.cause == cause)
    u = (c[at] - c0) - (table.cause > 0) * jump[at]
    rest = value - u * F[at]
    w2 = table.weight**2
    gone = [_running(table, at, w2 * part) for part in (rest**2, rest * u, u**2)]

    def present(values: Array) -> Array:
        return _running(table, table.entry, values) - _running(table, table.exit, values)

    here = (
        G**2 * present(w2)
        + F**2 * present(w2 * c0**2)
        + present(w2 * flat**2)
        - 2 * G * F * present(w2 * c0)
        - 2 * G * present(w2 * flat)
        + 2 * F * present(w2 * c0 * flat)
    )
    return np.asarray(gone[0] + 2 * F * gone[1] + F**2 * gone[2] + here)


# --- log-rank tests --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class LogRank:
    """Observed and expected events (G,) by group, and the test that the groups share a hazard."""

    observed: Array
    expected: Array
    n: Ints
    variance: Array
    statistic: float
    df: int
    p: float


def logrank(
    stop: Array,
    event: NDArray[Any],
    group: Ints,
    *,
    start: Array | None = None,
    strata: Ints | None = None,
    rho: float = 0.0,
    gamma: float = 0.0,
    weigh: Weighing = "logrank",
) -> LogRank:
    """Compare G groups by weighted observed-minus-expected events, summed over strata.

    group (n,) 0 … G-1. Weights S(t-)^rho (1 - S(t-))^gamma with S the stratum's Kaplan-Meier
    (Fleming & Harrington; rho = 1 is R's Peto & Peto), times 1, or what `weigh` says: n at risk
    (Gehan, Breslow), √n (Tarone & Ware), ∏(1 - d/(n+1)) (Peto & Peto), that times n/(n+1)
    (Andersen). Raises NotEstimable with one group or when
    no time has two groups at risk.
    """
    G = int(group.max(initial=-1)) + 1
    if G < 2:
        raise NotEstimable("A log-rank test compares at least two groups; there is one.")
    observed, expected, variance = np.zeros(G), np.zeros(G), np.zeros((G, G))
    n, parts = _count_strata(stop, event != 0, group, start, strata, G)
    for at_risk, d in parts:
        part = _logrank_sums(at_risk, d, rho, gamma, weigh)
        observed, expected, variance = (
            observed + part[0],
            expected + part[1],
            variance + part[2],
        )
    statistic, df = chi_squared(observed - expected, variance)
    return LogRank(observed, expected, n, variance, statistic, df, float(chi2.sf(statistic, df)))


def _rows_by(codes: Ints) -> list[Ints]:
    """Row numbers of each code."""
    order = np.argsort(codes, kind="stable")
    ends = np.flatnonzero(np.diff(codes[order])) + 1
    return np.split(order, ends)


def _count_strata(
    stop: Array,
    died: NDArray[np.bool_],
    group: Ints,
    start: Array | None,
    strata: Ints | None,
    G: int,
) -> tuple[Ints, Iterator[tuple[Array, Array]]]:
    """Rows by group (G,); at risk and events by group (G, K) at the event times of each stratum
    that has any."""
    if start is None:
        S = 1 if strata is None else int(strata.max()) + 1
        both = group if strata is None else strata * G + group
        cells = _count_cells(stop, died, both, S * G)[1]
        if cells is not None:
            by_stratum = cells.reshape(S, G, 2, -1)
            n = by_stratum.sum(axis=(0, 2, 3))
            return n, (_at_events(c) for c in by_stratum if c[:, 1].any())
    return np.bincount(group, minlength=G), _count_rows(stop, died, group, start, strata, G)


def _count_rows(
    stop: Array,
    died: NDArray[np.bool_],
    group: Ints,
    start: Array | None,
    strata: Ints | None,
    G: int,
) -> Iterator[tuple[Array, Array]]:
    """The same counts without a table of all times."""
    if start is None:
        (stop,) = merge_close(stop)
    else:
        stop, start = merge_close(stop, start)
    for rows in _rows_by(np.zeros(len(stop), np.int64) if strata is None else strata):
        if died[rows].any():
            began = None if start is None else start[rows]
            yield _count_at_events(stop[rows], died[rows], group[rows], began, G)


def _at_events(cells: Ints) -> tuple[Array, Array]:
    """From rows by group, end and time (G, 2, T) to those at risk and events at event times."""
    at_risk = np.cumsum(cells.sum(axis=1)[:, ::-1], axis=1)[:, ::-1]
    events = cells[:, 1].sum(axis=0) > 0
    return at_risk[:, events].astype(float), cells[:, 1][:, events].astype(float)


def _count_at_events(
    stop: Array, died: NDArray[np.bool_], group: Ints, start: Array | None, G: int
) -> tuple[Array, Array]:
    time, place = number_times(stop[died])
    K = len(time)
    d = _count(place, group[died], K, G)
    left = _count(rank(stop, time), group, K + 1, G)
    at_risk = np.cumsum(left[:, ::-1], axis=1)[:, ::-1][:, 1:]
    if start is not None:
        come = _count(rank(start, time), group, K + 1, G)
        at_risk = at_risk - np.cumsum(come[:, ::-1], axis=1)[:, ::-1][:, 1:]
    return at_risk, d


def _logrank_sums(
    at_risk: Array, d: Array, rho: float, gamma: float, weigh: Weighing
) -> tuple[Array, Array, Array]:
    """Weighted events observed and expected by group (G,), and their variance."""
    n, deaths = at_risk.sum(axis=0), d.sum(axis=0)
    survival = np.concatenate(([1.0], np.cumprod(1 - deaths / n)[:-1]))
    weight = survival**rho * (1 - survival) ** gamma
    if weigh != "logrank":
        weight *= _weight_of(weigh, n, deaths)
    share = at_risk / n
    spread = np.where(n > 1, deaths * (n - deaths) / np.maximum(n - 1, 1), 0.0) * weight**2
    variance = np.diag(share @ spread) - (share * spread) @ share.T
    return d @ weight, share @ (deaths * weight), variance


def _weight_of(weigh: Weighing, n: Array, deaths: Array) -> Array:
    if weigh == "gehan":
        return n
    if weigh == "tarone-ware":
        return np.sqrt(n)
    smooth = np.cumprod(1 - deaths / (n + 1))
    return np.asarray(smooth if weigh == "peto" else smooth * n / (n + 1))


def _count(at: Ints, group: Ints, size: int, G: int) -> Array:
    """Rows by group and position: (G, size)."""
    return np.bincount(group * size + at, minlength=G * size).reshape(G, size).astype(float)


def chi_squared(difference: Array, variance: Array) -> tuple[float, int]:
    """Quadratic form over the groups that were ever at risk beside another."""
    compared = np.flatnonzero(np.diag(variance) > 0)
    if len(compared) < 2:
        raise NotEstimable(
            "No event happened while two groups were at risk, so they cannot be compared."
        )
    use = compared[1:]
    solved = np.linalg.solve(variance[np.ix_(use, use)], difference[use])
    return float(difference[use] @ solved), len(use)
