"""Curves of people free of relapse by group: Kaplan–Meier, log-rank, restricted mean times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import hypot, isfinite, nan
from statistics import NormalDist

import numpy as np

from recovery_stats.analyses._meeting_groups import GROUP
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import CurveFigure, Series
from recovery_stats.core.estimate import Estimate, Scale
from recovery_stats.errors import NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.survival import Curves, kaplan_meier, logrank

LONG_FOLLOW_UP = 200  # days from which the axis is marked every 90 instead of every 30


@dataclass(frozen=True, slots=True)
class Groups:
    """People in groups that are told apart before the curves begin.

    data: one row a person; pieces: one row for each part of follow-up at risk, which begins at
    column `start` (late entry, the landmark, release). most, least: the two groups that are
    compared in words.
    """

    asked: Asked
    data: Dataset
    pieces: Dataset
    curves: Curves
    most: str
    least: str
    start: str | None

    @classmethod
    def of(cls, asked: Asked, data: Dataset, most: str, least: str, start: str | None) -> Groups:
        pieces, start = asked.custody.pieces(data, asked.person, start, TIME, (EVENT,))
        curves = kaplan_meier(
            f"Surv({_times(start)}, {quote(EVENT)}) ~ {quote(GROUP)}",
            pieces,
            level=asked.q.level,
            weights=asked.q.weights,
        )
        return cls(asked, data, pieces, curves, most, least, start)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(str(c) for c in self.data.frame[GROUP].cat.categories)

    @property
    def begin(self) -> float:
        """The day on which the curves begin."""
        return float(self.asked.q.landmark) if self.asked.diary else 0.0

    @property
    def horizon(self) -> float:
        """The day to which risks are told: as asked, but not past the shortest group."""
        longest = self.data.frame.groupby(GROUP, observed=True)[TIME].max().min()
        return float(min(self.asked.q.horizon, longest))

    def of_group(self, label: str) -> Dataset:
        return self.data.with_frame(self.data.frame[self.data.frame[GROUP] == label])

    def person_years(self, label: str) -> float:
        frame = self.pieces.frame[self.pieces.frame[GROUP] == label]
        begin = frame[self.start] if self.start else 0.0
        return float((frame[TIME] - begin).sum()) / 365.25


def _times(start: str | None) -> str:
    return f"{quote(start)}, {quote(TIME)}" if start else quote(TIME)


def curve_estimates(groups: Groups) -> tuple[Estimate, ...]:
    """Share free of relapse and mean time by group, differences of two groups, log-rank test."""
    each = (*_shares(groups), *_mean_times(groups))
    return (*each, *_differences(groups, {e.name: e for e in each}), *_logrank(groups))


def _estimate(
    groups: Groups,
    name: str,
    label: str,
    values: tuple[float, float, float, float],
    scale: Scale,
    method: str,
    group: str = "",
) -> Estimate:
    """values: point, low, high, standard error. group: whose people stand behind it."""
    data = groups.of_group(group) if group else groups.data
    value, low, high, se = values
    return Estimate(
        name,
        label,
        value,
        low,
        high,
        se,
        scale=scale,
        level="descriptive",
        method=method,
        confidence=groups.asked.q.level,
        n=len(data),
        events=int(data.frame[EVENT].sum()),
    )


def _shares(groups: Groups) -> Iterator[Estimate]:
    for row in groups.curves.at([groups.horizon]).itertuples(index=False):
        values = (row.estimate, row.conf_low, row.conf_high, row.std_error)
        label = f"Free of relapse at the horizon: {row.group}"
        name = f"free[{row.group}]"
        yield _estimate(groups, name, label, values, "probability", "Kaplan–Meier", row.group)


def _mean_times(groups: Groups) -> Iterator[Estimate]:
    for row in groups.curves.rmst(groups.horizon).itertuples(index=False):
        if row.group not in groups.labels:
            continue  # its own difference is the second group minus the first
        values = (row.estimate, row.conf_low, row.conf_high, row.std_error)
        label = f"Mean days free of relapse: {row.group}"
        name = f"rmst[{row.group}]"
        yield _estimate(groups, name, label, values, "time", "restricted mean", row.group)


def _differences(groups: Groups, named: dict[str, Estimate]) -> Iterator[Estimate]:
    """The most against the least attending: share at the horizon, and mean time until it."""
    z = NormalDist().inv_cdf((1 + groups.asked.q.level) / 2)
    words = f"{groups.most} minus {groups.least}"
    for name, part, scale, label in (
        ("free_difference", "free", "difference", "Share free of relapse"),
        ("rmst_difference", "rmst", "time", "Mean days free of relapse"),
    ):
        one, other = (named.get(f"{part}[{g}]") for g in (groups.most, groups.least))
        if one is None or other is None:
            continue
        value, se = one.value - other.value, hypot(one.se, other.se)
        if not (isfinite(value) and se > 0):
            continue
        values = (value, value - z * se, value + z * se, se)
        found = _estimate(groups, name, f"{label}: {words}", values, scale, one.method)  # type: ignore[arg-type]
        n, events = (min(x or 0, y or 0) for x, y in ((one.n, other.n), (one.events, other.events)))
        # The smaller group stands behind a difference, as disclosure control must see.
        yield replace(found, p=2 * NormalDist().cdf(-abs(value) / se), n=n, events=events)


def _logrank(groups: Groups) -> Iterator[Estimate]:
    """The log-rank test; its value is chi-squared."""
    if groups.asked.q.weights:
        return
    formula = f"Surv({_times(groups.start)}, {quote(EVENT)}) ~ {quote(GROUP)}{groups.asked.strata}"
    try:
        row = logrank(formula, groups.pieces).tidy().iloc[0]
    except NotEstimable:
        return
    method = "log-rank test" + (", stratified by site" if groups.asked.q.site else "")
    values = (float(row["statistic"]), nan, nan, nan)
    label = "Log-rank test of the curves (chi-squared)"
    found = _estimate(groups, "logrank", label, values, "variance", method)
    yield replace(found, p=float(row["p_value"]), df=float(row["df"]))


def curve_figure(groups: Groups) -> CurveFigure:
    """The curves up to the horizon, groups in their order, with the number at risk."""
    end, begin = groups.horizon, groups.begin
    series = {s.name: between(s, begin, end) for s in groups.curves.series()}
    return CurveFigure(
        "curves",
        "Share of people who have not relapsed",
        "Days since entry",
        "Free of relapse",
        tuple(series[label] for label in groups.labels if label in series),
        marked_days(begin, end),
    )


def marked_days(begin: float, end: float) -> tuple[float, ...]:
    """The days that the axis and its risk table show."""
    ticks = np.arange(0.0, end + 1, 90.0 if end > LONG_FOLLOW_UP else 30.0)
    return (begin, *map(float, ticks[ticks > begin]))


def between(series: Series, begin: float, end: float) -> Series:
    """The part of a curve from where observation begins to the horizon, with who is there."""
    n = sum(x <= end for x in series.x)
    cut = Series(
        series.name,
        x=(max(series.x[0], begin), *series.x[1:n]),
        y=series.y[:n],
        low=series.low[:n],
        high=series.high[:n],
        n_at=series.n_at[:n],
        events_at=series.events_at[:n],
        censored_at=series.censored_at[:n],
    )
    if n == len(series.x) or cut.x[-1] == end:
        return cut
    # The curve is flat until the next time of the group, and whoever leaves then is still there.
    return replace(
        cut,
        x=(*cut.x, end),
        y=(*cut.y, cut.y[-1]),
        low=(*cut.low, cut.low[-1]),
        high=(*cut.high, cut.high[-1]),
        n_at=(*cut.n_at, series.n_at[n]),
        events_at=(*cut.events_at, 0),
        censored_at=(*cut.censored_at, 0),
    )
