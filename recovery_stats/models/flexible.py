"""Flexible parametric (Royston-Parmar) models of time from a formula."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import royston_parmar as engine
from recovery_stats.engines.cox import ColumnsNotEstimable
from recovery_stats.engines.royston_parmar import SCALES, Scale, Shape
from recovery_stats.engines.score_sandwich import sandwich
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_level, read_times
from recovery_stats.models.columns import Array
from recovery_stats.models.formula import Formula
from recovery_stats.models.parametric import ParametricFit, People, clusters_of
from recovery_stats.models.span import Spans, observe_spans

SCALE_NAMES = {"hazard": "log cumulative hazard", "odds": "log cumulative odds", "normal": "probit"}
MOST_DF = 10


def flexible_survival(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    df: int = 3,
    scale: Scale = "hazard",
    time_varying: Mapping[str, int] | Sequence[str] = (),
    entry: str | None = None,
    cluster: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
) -> FlexibleFit:
    """Fit a flexible parametric model: a restricted cubic spline of log time for the baseline.

    formula: any Surv, as in `aft`. df: degrees of freedom of the baseline, 1 … 10, with df - 1
    inner knots at centiles of the events' log times; 1 is Weibull, log-logistic or log-normal.
    scale: "hazard" (coefficients are log hazard ratios), "odds" (log cumulative odds ratios) or
    "normal" (probit). time_varying: columns whose effects change with log time, by a spline of so
    many degrees of freedom (1, where only names are given). Further arguments as in `aft`.
    Raises UsageError, DataError, NotEstimable.
    """
    if scale not in SCALES:
        raise UsageError(unknown("scale", scale, SCALES))
    seen = observe_spans(
        formula, data, what="flexible_survival", entry=entry, weights=weights, offset=offset,
        cluster=cluster, drop_intercept=True,
    )  # fmt: skip
    if seen.strata is not None:
        raise UsageError(
            "flexible_survival has no strata(); time_varying= gives a column a baseline of its own."
        )
    moving = _moving(seen, time_varying)
    _know_df(seen, [df, *moving.values()])
    shape = _shape(seen, df, moving, list(range(seen.X.shape[1])))
    found = _maximise(seen, shape, scale, list(range(seen.X.shape[1])))
    clusters = clusters_of(seen)
    robust = (
        None
        if clusters is None
        else sandwich(found.scores, found.covariance, clusters, seen.rows.weights)
    )
    return FlexibleFit(seen, found.covariance, clusters, robust, found, df, tuple(moving.items()))


def _moving(seen: Spans, asked: Mapping[str, int] | Sequence[str]) -> dict[str, int]:
    """Degrees of freedom by data column, in the order asked for."""
    if isinstance(asked, str):
        asked = (asked,)
    if not isinstance(asked, Mapping | Sequence):
        raise UsageError("time_varying names columns: ['arm'], or {'arm': 2} with their df.")
    given = dict(asked) if isinstance(asked, Mapping) else dict.fromkeys(asked, 1)
    for name in given:
        if not seen.design.named(name):
            raise UsageError(unknown("column among the terms", name, seen.design.terms))
    return given


def _know_df(seen: Spans, asked: list[int]) -> None:
    wrong = [d for d in asked if not (isinstance(d, int) and 1 <= d <= MOST_DF)]
    if wrong:
        raise UsageError(f"Degrees of freedom of a spline are whole numbers from 1 to {MOST_DF}.")
    event = np.isfinite(seen.rows.high)
    distinct = len(np.unique(seen.rows.middle[event]))
    if distinct <= max(asked):
        raise NotEstimable(
            f"The events have {distinct} different times; a spline of {max(asked)} degrees of "
            "freedom needs more. Take a smaller df."
        )


def _shape(seen: Spans, df: int, moving: Mapping[str, int], columns: list[int]) -> Shape:
    """The predictor of a model with these columns of X."""
    place = {j: i for i, j in enumerate(columns)}
    with_time = tuple(
        (place[j], engine.knots(seen.rows, d))
        for name, d in moving.items()
        for j in seen.design.named(name)
        if j in place
    )
    baseline = engine.knots(seen.rows, df)
    for spline in (baseline, *(s for _, s in with_time)):
        if len(set(spline.knots)) < len(spline.knots):
            raise NotEstimable(
                "Knots of the spline coincide, because many events share a time; take a smaller df."
            )
    return Shape(baseline, len(columns), with_time)


def _maximise(seen: Spans, shape: Shape, scale: str, columns: list[int]) -> engine.FlexibleFit:
    names = _names(seen, shape, columns)
    X = seen.X[:, columns]
    try:
        return engine.fit(X, seen.rows, shape, scale=scale, offset=seen.offset)
    except ColumnsNotEstimable as error:
        told = ", ".join(repr(names[j]) for j in error.columns if j < len(names))
        raise NotEstimable(f"Terms {told}: {error.reason}.") from None


def _names(seen: Spans, shape: Shape, columns: list[int]) -> tuple[str, ...]:
    terms = [seen.design.names[j] for j in columns]
    spline = [f"spline(log time)[{k + 1}]" for k in range(shape.baseline.df)]
    moving = [f"{terms[j]}:spline(log time)[{k + 1}]" for j, s in shape.moving for k in range(s.df)]
    return ("Intercept", *spline, *terms, *moving)


@dataclass(frozen=True, repr=False)
class FlexibleFit(ParametricFit):
    """A fitted flexible parametric model.

    Coefficients of terms are log hazard ratios (scale "hazard"), log cumulative odds ratios or
    probit differences; with a time-varying effect they hold at log time 0 and `hazard_ratio` says
    what they mean at other times.
    """

    engine: engine.FlexibleFit = field(repr=False)
    df: int
    moving: tuple[tuple[str, int], ...]

    @property
    def scale(self) -> str:
        """hazard, odds or normal."""
        return self.engine.scale

    @property
    def parameters(self) -> tuple[str, ...]:
        """Intercept, spline of log time, terms, then terms by time."""
        every = list(range(len(self.terms)))
        return _names(self.observation, self.engine.shape, every)

    @property
    def theta(self) -> Array:
        """All parameters (k,)."""
        return self.engine.theta

    @property
    def beta(self) -> Array:
        """Coefficients of the terms (p,)."""
        first = 1 + self.df
        return self.theta[first : first + len(self.terms)]

    @property
    def knots(self) -> tuple[float, ...]:
        """Knots of the baseline, in units of time."""
        return tuple(float(np.exp(k)) for k in self.engine.shape.baseline.knots)

    @property
    def loglik(self) -> float:
        """Maximised log-likelihood."""
        return self.engine.loglik

    @property
    def loglik_null(self) -> float:
        """The same with the baseline alone."""
        return self._loglik_of([])

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        words = f"flexible parametric model ({SCALE_NAMES[self.scale]}, {self.df} df)"
        if self.robust is None:
            return words
        return words + f", {'cluster-' if self.observation.cluster_name else ''}robust errors"

    def _loglik_of(self, columns: list[int]) -> float:
        shape = _shape(self.observation, self.df, dict(self.moving), columns)
        return _maximise(self.observation, shape, self.scale, columns).loglik

    def _places_of(self, columns: list[int]) -> list[int]:
        first = 1 + self.df
        at, found = first + len(self.terms), [first + j for j in columns]
        for j, spline in self.engine.shape.moving:
            if j in columns:
                found += range(at, at + spline.df)
            at += spline.df
        return found

    def predict(self, new_data: pd.DataFrame | Dataset | None = None) -> pd.Series[float]:
        """x'b of the terms (with the offset), the time-varying parts left out."""
        people = self._people(new_data)
        value = people.X @ self.beta + people.offset
        return pd.Series(value, people.index, name="linear_predictor")

    def hazard_ratio(
        self,
        new_data: pd.DataFrame | Dataset,
        reference: pd.DataFrame | Dataset,
        *,
        times: Sequence[float] | float,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Hazard of new rows over that of one reference row at `times`; limits on the log scale.

        row, time, estimate, std_error (of the log), conf_low, conf_high.
        """
        at, level = read_times(times), read_level(level)
        if not (at > 0).all():
            raise UsageError("Hazards are compared at times above 0.")
        base = self._people(reference)
        if len(base.X) != 1:
            raise UsageError(f"The reference is one row; {len(base.X)} were given.")
        people = self._people(new_data)
        a, J = self._log_hazard(people, at)
        b, G = self._log_hazard(base, at)
        value, se = (a - b).ravel(), self._surface(people).errors(J - G).ravel()
        half = norm.isf((1 - level) / 2) * se
        return pd.DataFrame(
            {
                "row": np.repeat(people.index, len(at)),
                "time": np.tile(at, len(people.index)),
                "estimate": np.exp(value),
                "std_error": se,
                "conf_low": np.exp(value - half),
                "conf_high": np.exp(value + half),
            }
        )

    def _survival(self, people: People, times: Array) -> tuple[Array, Array]:
        return engine.survival(self.engine, people.X, people.offset, times)

    def _log_hazard(self, people: People, times: Array) -> tuple[Array, Array]:
        return engine.log_hazard(self.engine, people.X, people.offset, times)

    def _log_quantile(self, people: People, p: Array) -> tuple[Array, Array]:
        return engine.log_quantile(self.engine, people.X, people.offset, p)

    def _checks(self) -> Iterator[Check]:
        yield from super()._checks()
        rises = self.engine.least_slope < 0
        yield Check(
            "falling survival",
            "fail" if rises else "ok",
            (
                "The least slope of the transformed curve in log time is ",
                Quantity(self.engine.least_slope, "ratio"),
                "; survival would rise there: take a smaller df." if rises else ".",
            ),
        )

    def __repr__(self) -> str:
        seen = self.observation
        return (
            f"<Flexible parametric model ({self.scale}, {self.df} df): "
            f"{', '.join(self.terms) or 'no terms'}; {len(seen)} rows, {seen.n_events} events, "
            f"log-likelihood {self.loglik:.3f}{self._word_errors()}>"
        )
