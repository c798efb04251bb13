"""Models of the hazard in periods between visits: grouped proportional hazards, and logistic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import curves
from recovery_stats.engines import discrete_hazard as engine
from recovery_stats.engines.score_sandwich import sandwich
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.design import Design, Outcome, build_design
from recovery_stats.models.formula import Formula, Surv, Term, columns_of, parse
from recovery_stats.models.maximum import MaximumFit
from recovery_stats.models.observation import RowNames, add_offset, naming_columns, read_weights
from recovery_stats.models.parametric import clusters_of
from recovery_stats.models.person_period import (
    END,
    PERIOD,
    PersonPeriods,
    expand,
    periods_of,
    refuse_certain_periods,
)
from recovery_stats.models.span import observe_spans

Link = Literal["cloglog", "logit"]
Baseline = Literal["factor", "linear", "log", "spline"]
BASELINES = {
    "factor": "~ 0 + {}",
    "linear": "~ 1 + {}",
    "log": "~ 1 + log({})",
    "spline": "~ 1 + ns({}, 3)",
}
LINK_NAMES = {
    "cloglog": "grouped proportional hazards (complementary log-log)",
    "logit": "discrete-time logistic",
}


@dataclass(frozen=True)
class PeriodRows:
    """The person-period rows analysed; implements what a fit's tables need.

    event (n,) as the engine takes it; place (n,): period from 1; ends (K,): when each ends.
    period: its column, a factor or not. people: how many, where known. dropped: people of whom no
    whole period was seen.
    """

    design: Design
    event: IntArray
    place: IntArray
    period: str
    factor: bool
    weights: Array | None
    offset: Array | None
    offset_name: str
    ends: Array
    people: int | None
    cluster_name: str
    weightless: int
    dropped: int

    def __len__(self) -> int:
        return len(self.event)

    def labelled(self, place: IntArray) -> object:
        """The period's column for rows in these places: a factor's levels, or numbers."""
        values = (
            numbers_of(self.ends) if self.period != PERIOD else list(range(1, 1 + len(self.ends)))
        )
        found = [values[k - 1] for k in place.tolist()]
        return pd.Categorical(found, categories=values) if self.factor else np.array(found, float)

    @property
    def n_events(self) -> int:
        """Events, however many periods each may lie in."""
        return int(self.event.max(initial=-1)) + 1


def discrete_time(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    visits: Sequence[float] | None = None,
    link: Link = "cloglog",
    baseline: Baseline = "factor",
    period: str | None = None,
    entry: str | None = None,
    cluster: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
) -> DiscreteFit:
    """Fit the hazard of each period between visits.

    formula: Surv of any kind, `Surv(low, high, type="interval2") ~ x`: people become one row a
    period at risk; an event known to an interval of several periods (a missed visit) counts as
    just that. Terms may use `period` (1, 2, …) and `period_end`, as in `x:log(period_end)`.
    Or `event ~ x` on rows that are periods already, with `period` the name of their column.
    visits: ends of the periods; without, every time at which an event is known to begin or end.
    link: "cloglog" gives log hazard ratios, "logit" log odds ratios of the period's chance.
    baseline: a coefficient for each period, or a smooth one. Further arguments as in `aft`.
    Raises UsageError, DataError, NotEstimable (a period without events, a runaway term).
    """
    if link not in LINK_NAMES:
        raise UsageError(unknown("link", link, LINK_NAMES))
    if baseline not in BASELINES:
        raise UsageError(unknown("baseline", baseline, BASELINES))
    asked = parse(formula) if isinstance(formula, str) else formula
    if isinstance(asked.response, Surv):
        if period is not None:
            raise UsageError("period names a column of rows that are periods; Surv makes its own.")
        rows, clusters = _from_times(
            asked, data, visits, baseline, entry=entry, cluster=cluster, weights=weights,
            offset=offset,
        )  # fmt: skip
    else:
        if period is None or visits is not None or entry is not None:
            raise UsageError(
                "discrete_time needs times on the left of the formula, Surv(…), or period= with "
                "the column that numbers the periods of ready person-period rows."
            )
        rows, clusters = _from_periods(asked, data, period, baseline, cluster, weights, offset)
    found = _maximise(rows, rows.design.X, link)
    robust = None if clusters is None else sandwich(found.scores, found.covariance, clusters)
    return DiscreteFit(rows, found.covariance, clusters, robust, found, baseline)


def _from_times(
    asked: Formula,
    data: pd.DataFrame | Dataset,
    visits: Sequence[float] | None,
    baseline: str,
    *,
    entry: str | None,
    cluster: str | None,
    weights: str | None,
    offset: str | None,
) -> tuple[PeriodRows, IntArray | None]:
    used = [n for t in asked.terms for f in t.factors for n in columns_of(f)]
    used += [n for o in asked.offsets for n in columns_of(o)]
    needed = tuple(dict.fromkeys(n for n in used if n not in (PERIOD, END)))
    bare = replace(asked, terms=(), offsets=(), strata=())
    if asked.strata:
        raise UsageError("discrete_time has no strata(); add the column, or period:column.")
    seen = observe_spans(
        bare, data, what="discrete_time", entry=entry, weights=weights, cluster=cluster,
        complete=needed, zero_events=True,
    )  # fmt: skip
    ends = periods_of(seen.rows, visits)
    if asked.response.kind == "counting":  # type: ignore[union-attr]
        _refuse_between_visits(seen.rows.entry, ends)
    expanded = expand(seen.rows, ends)
    if baseline == "factor":
        refuse_certain_periods(expanded)
    long = expanded.columns(seen.analysed, factor=baseline == "factor")
    design = _design(asked, long, PERIOD, baseline, offset)
    row_clusters = clusters_of(seen)
    rows = PeriodRows(
        replace(design, lost=seen.design.lost), expanded.event, expanded.period, PERIOD,
        baseline == "factor",
        None if seen.rows.weights is None else seen.rows.weights[expanded.row],
        add_offset(design, offset), offset or "", ends,
        len(seen) if asked.response.kind != "counting" else None,  # type: ignore[union-attr]
        seen.cluster_name, seen.weightless, expanded.dropped,
    )  # fmt: skip
    return rows, None if row_clusters is None else _renumbered(row_clusters[expanded.row])


def _renumbered(codes: IntArray) -> IntArray:
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)


def _refuse_between_visits(entry: Array | None, ends: Array) -> None:
    assert entry is not None
    off = ~np.isin(entry, np.append(0.0, ends))
    if off.any():
        raise DataError(
            f"{int(off.sum())} rows start between two visits; rows of Surv(start, stop, event) "
            "must start at a visit, because a period has one value of each covariate."
        )


def _from_periods(
    asked: Formula,
    data: pd.DataFrame | Dataset,
    period: str,
    baseline: str,
    cluster: str | None,
    weights: str | None,
    offset: str | None,
) -> tuple[PeriodRows, IntArray | None]:
    columns = Columns.of(data)
    numbers = columns.numbers(period)
    frame = columns.frame
    if baseline == "factor":
        key = next(c for c in frame.columns if str(c) == period)
        known = np.unique(numbers[~np.isnan(numbers)])
        levels = numbers_of(known)
        frame = frame.assign(**{str(key): pd.Categorical(frame[key], categories=levels)})
    long = data.with_frame(frame) if isinstance(data, Dataset) else frame
    design = _design(asked, long, period, baseline, offset, weights, cluster)
    assert isinstance(design.response, Outcome)
    y = design.response.y
    if not np.isin(y, (0, 1)).all():
        wrong = int((~np.isin(y, (0, 1))).sum())
        raise DataError(
            f"Column {design.response.name!r} must be 1 in a period with the event and 0 in one "
            f"without; {wrong} rows are neither."
        )
    name = RowNames(columns, design)
    w = read_weights(design.numbers[weights], weights, name.count) if weights else None
    event = np.full(len(y), -1, np.intp)
    event[y == 1] = np.arange(int(y.sum()))
    grouping = design.groups[cluster] if cluster else design.cluster
    kept = numbers[design.kept]
    ends = np.unique(kept)
    place = np.searchsorted(ends, kept) + 1
    if baseline == "factor":
        refuse_certain_periods(PersonPeriods(np.arange(len(y)), place, event, ends, 0))
    rows = PeriodRows(
        design, event, place, period, baseline == "factor", w, add_offset(design, offset),
        offset or "", ends, None, grouping.name if grouping else "", 0, 0,
    )  # fmt: skip
    if grouping is not None:
        return rows, grouping.codes
    partial = w is not None and bool(np.any(w % 1))
    return rows, np.arange(len(y)) if partial else None


def _design(
    asked: Formula,
    long: pd.DataFrame | Dataset,
    period: str,
    baseline: str,
    offset: str | None,
    weights: str | None = None,
    cluster: str | None = None,
) -> Design:
    """The baseline's terms, unless the formula says them itself, then the formula's."""
    single = len(Columns.of(long).series(period).unique()) == 1
    own = parse("~ 1" if single else BASELINES[baseline].format(f"`{period}`"))
    said = any(_of_time(t, period) for t in asked.terms if t.factors)
    plain = tuple(t for t in asked.terms if t.factors)
    terms = asked.terms if said else (*own.terms, *plain)
    response = None if isinstance(asked.response, Surv) else asked.response
    return build_design(
        replace(asked, response=response, terms=terms, cluster=asked.cluster if response else None),
        long,
        numbers=tuple(c for c in (weights, offset) if c),
        groups=tuple(c for c in (cluster,) if c),
    )


def numbers_of(values: Array) -> list[float]:
    """Whole numbers as such, so that levels are named 1 and not 1.0."""
    return [int(v) if float(v).is_integer() else float(v) for v in values]


def _maximise(rows: PeriodRows, X: Array, link: str) -> engine.DiscreteFit:
    with naming_columns(rows):
        return engine.fit(X, rows.event, link=link, weights=rows.weights, offset=rows.offset)


@dataclass(frozen=True, repr=False)
class DiscreteFit(MaximumFit):
    """A fitted model of the hazard by period.

    Coefficients are log hazard ratios (cloglog) or log odds ratios (logit) per unit of the term.
    """

    observation: PeriodRows
    engine: engine.DiscreteFit = field(repr=False)
    baseline: str = "factor"

    @property
    def link(self) -> str:
        """cloglog or logit."""
        return self.engine.link

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the coefficients, those of the baseline first."""
        return self.terms

    @property
    def theta(self) -> Array:
        """The coefficients (p,)."""
        return self.engine.beta

    @property
    def loglik(self) -> float:
        """Maximised log-likelihood."""
        return self.engine.loglik

    @property
    def loglik_null(self) -> float:
        """The same with the baseline alone."""
        return self._loglik_of([j for j in range(len(self.terms)) if j not in self._covariates])

    @property
    def _covariates(self) -> list[int]:
        design = self.observation.design
        return [
            j
            for j, a in enumerate(design.assign)
            if not _of_time(design.recipe.coded[a].term, self.observation.period)
        ]

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        words = f"{LINK_NAMES[self.link]} model of {len(self.observation.ends)} periods"
        if self.robust is None:
            return words
        return words + f", {'cluster-' if self.observation.cluster_name else ''}robust errors"

    def _loglik_of(self, columns: list[int]) -> float:
        return _maximise(self.observation, self.observation.design.X[:, columns], self.link).loglik

    def glance(self) -> pd.DataFrame:
        """The whole model in one row; n_obs counts person-periods."""
        return super().glance().assign(n_people=self.observation.people, link=self.link)

    def periods(self) -> pd.DataFrame:
        """period, end, n_risk, n_event: an event of several periods counts in each in part."""
        rows, K = self.observation, len(self.observation.ends)
        happened = rows.event >= 0
        share = 1 / np.maximum(np.bincount(rows.event[happened]), 1)
        part = np.zeros(len(rows))
        part[happened] = share[rows.event[happened]]
        return pd.DataFrame(
            {
                "period": range(1, K + 1),
                "end": rows.ends,
                "n_risk": np.bincount(rows.place, minlength=K + 1)[1:],
                "n_event": np.bincount(rows.place, part, minlength=K + 1)[1:],
            }
        )

    def survival(self, new_data: pd.DataFrame | Dataset, *, level: float = 0.95) -> pd.DataFrame:
        """Survival of new rows at the end of each period; limits on the log-log scale.

        row (label in new_data), period, time (the end), estimate, std_error, conf_low, conf_high.
        """
        S, J, _, _ = self._curves(new_data)
        se = self._errors(J)
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = curves.limits(S, se / S, level=level, kind="log-log")
        return self._table(new_data, S, se, low, high)

    def hazard(self, new_data: pd.DataFrame | Dataset, *, level: float = 0.95) -> pd.DataFrame:
        """Chance of the event in each period, given survival to it; limits on the logit scale."""
        _, _, h, J = self._curves(new_data)
        se = self._errors(J)
        half = norm.isf((1 - level) / 2) * se / (h * (1 - h))
        low, high = (expit(logit(h) + sign * half) for sign in (-1, 1))
        return self._table(new_data, h, se, low, high)

    def _errors(self, J: Array) -> Array:
        return np.asarray(np.sqrt(np.einsum("mkp,pq,mkq->mk", J, self.covariance_matrix, J)))

    def _curves(self, new_data: pd.DataFrame | Dataset) -> tuple[Array, Array, Array, Array]:
        rows = self.observation
        frame = new_data.frame if isinstance(new_data, Dataset) else new_data
        m, K = len(frame), len(rows.ends)
        place = np.tile(np.arange(1, K + 1), m)
        long = frame.iloc[np.repeat(np.arange(m), K)].reset_index(drop=True)
        long = long.assign(**{rows.period: rows.labelled(place), END: rows.ends[place - 1]})
        moved = new_data.with_frame(long) if isinstance(new_data, Dataset) else long
        recipe = rows.design.recipe
        offset = recipe.offset(moved)
        if rows.offset_name:
            offset = offset + Columns.of(moved).numbers(rows.offset_name)
        return engine.survival(self.link, self.theta, recipe.matrix(moved), offset, K)

    def _table(
        self, new_data: pd.DataFrame | Dataset, value: Array, se: Array, low: Array, high: Array
    ) -> pd.DataFrame:
        index = (new_data.frame if isinstance(new_data, Dataset) else new_data).index.to_numpy()
        K = len(self.observation.ends)
        return pd.DataFrame(
            {
                "row": np.repeat(index, K),
                "period": np.tile(np.arange(1, K + 1), len(index)),
                "time": np.tile(self.observation.ends, len(index)),
                "estimate": value.ravel(),
                "std_error": se.ravel(),
                "conf_low": low.ravel(),
                "conf_high": high.ravel(),
            }
        )

    def _checks(self) -> Iterator[Check]:
        yield from super()._checks()
        if dropped := self.observation.dropped:
            yield Check(
                "whole periods",
                "caution",
                (Count(dropped), " people were not observed for a whole period and do not count."),
            )

    def __repr__(self) -> str:
        rows = self.observation
        return (
            f"<Discrete-time model ({self.link}): {', '.join(self.terms)}; {len(rows)} "
            f"person-periods, {rows.n_events} events, log-likelihood {self.loglik:.3f}"
            f"{self._word_errors()}>"
        )


def _of_time(term: Term, period: str) -> bool:
    """Whether the term is of time alone; the intercept is."""
    return {n for f in term.factors for n in columns_of(f)} <= {period, END}
