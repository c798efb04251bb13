"""Turnbull's curves by group from a formula, with bootstrap intervals, and tests of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Series
from recovery_stats.engines import interval_test
from recovery_stats.engines import turnbull as engine
from recovery_stats.engines.censoring import Censored
from recovery_stats.engines.interval_test import Scores
from recovery_stats.engines.turnbull_bootstrap import Draws, draw
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.argument import read_level, read_shares, read_times
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.formula import Formula
from recovery_stats.models.life_table import EVERYONE, group_columns
from recovery_stats.models.observation import read_survival
from recovery_stats.models.span import KINDS, Spans, observe_spans

Errors = Literal["bootstrap", "information", "none"]
ERRORS = ("bootstrap", "information", "none")
DRAWS = 200


def turnbull(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    entry: str | None = None,
    weights: str | None = None,
    errors: Errors = "bootstrap",
    draws: int = DRAWS,
    seed: int = 1,
    level: float = 0.95,
) -> TurnbullCurves:
    """Estimate survival by group from intervals: `Surv(low, high, type="interval2") ~ group`.

    Any Surv will do; without intervals the curve is Kaplan and Meier's. entry: column with the
    time from which a row was under observation. weights: numbers of people like the row. errors:
    "bootstrap" draws people with replacement, `draws` times from `seed` (percentile limits);
    "information" inverts second derivatives, right where everyone is visited at the same few
    times. Raises UsageError, DataError, NotEstimable (a group without events).
    """
    if errors not in ERRORS:
        raise UsageError(unknown("kind of errors", errors, ERRORS))
    level = read_level(level)
    if not isinstance(draws, int) or draws < 2:
        raise UsageError("draws is a whole number from 2: how often people are drawn.")
    seen, names, codes, title = _read(formula, data, "turnbull", entry, weights)
    fitted = []
    for g, name in enumerate(names):
        rows = seen.rows.take(np.flatnonzero(codes == g))
        try:
            found = engine.fit(rows)
        except NotEstimable as error:
            raise type(error)(
                f"Group {name!r}: {error}" if len(names) > 1 else str(error)
            ) from None
        drawn = (
            draw(rows, found, draws, np.random.default_rng([seed, g]))
            if errors == "bootstrap"
            else None
        )
        fitted.append(Curve(name, rows, found, drawn))
    return TurnbullCurves(title, tuple(fitted), errors, level, seen, codes)


def interval_logrank(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    weigh: Literal["logrank", "wilcoxon"] = "logrank",
    permutations: int = 0,
    seed: int = 1,
) -> IntervalTest:
    """Test that groups share one survival curve, from intervals: `Surv(...) ~ group`.

    Scores of a common Turnbull curve: "logrank" is the score test of grouped proportional hazards
    (Finkelstein 1986), "wilcoxon" looks at early differences more (Peto & Peto 1972). The p-value
    is that of the permutation distribution, by its chi-squared limit or by so many random
    `permutations`; it holds where visits happen alike in all groups. Source: Fay & Shaw 2010.
    """
    if weigh not in ("logrank", "wilcoxon"):
        raise UsageError(unknown("weighing", weigh, ("logrank", "wilcoxon")))
    seen, names, codes, title = _read(formula, data, "interval_logrank", None, None)
    if seen.rows.entry is not None:
        raise UsageError("interval_logrank has no delayed entry: groups entering at other times "
                         "cannot be exchanged. Use aft or flexible_survival.")  # fmt: skip
    found = engine.fit(seen.rows)
    score = engine.scores(found, seen.rows, weigh)
    generator = np.random.default_rng(seed)
    test = interval_test.compare(score, codes, len(names), permutations, generator)
    return IntervalTest(title, names, test, weigh)


def _read(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    what: str,
    entry: str | None,
    weights: str | None,
) -> tuple[Spans, tuple[str, ...], IntArray, str]:
    """Rows, names of the groups, each row's group, and what the groups are."""
    columns = group_columns(formula, what, kinds=KINDS)
    bare = replace(
        read_survival(formula, what, KINDS), terms=(), offsets=(), strata=(), frailty=None
    )
    seen = observe_spans(
        bare, data, what=what, entry=entry, weights=weights, complete=columns, zero_events=True
    )
    if not columns:
        return seen, (EVERYONE,), np.zeros(len(seen), np.intp), ""
    groups = Columns.of(seen.analysed).grouping(columns)
    return seen, groups.levels, groups.codes, groups.name


@dataclass(frozen=True)
class Curve:
    """One group's estimate, and its draws where there are some."""

    name: str
    rows: Censored = field(repr=False)
    found: engine.Turnbull = field(repr=False)
    draws: Draws | None = field(repr=False)


@dataclass(frozen=True)
class TurnbullCurves:
    """Turnbull's curves, one for each group."""

    group: str
    fitted: tuple[Curve, ...]
    errors: str
    level: float
    observation: Spans = field(repr=False)
    codes: IntArray = field(repr=False)

    def tidy(self) -> pd.DataFrame:
        """One row for each group and interval that holds probability.

        group, low, high: the event falls into (low, high] (a single time where they are equal)
        with chance `mass`; estimate: survival after it; std_error, conf_low, conf_high of that.
        Within an interval the curve may fall in any way.
        """
        return pd.concat([self._frame(c) for c in self.fitted], ignore_index=True)

    def _frame(self, curve: Curve) -> pd.DataFrame:
        found = curve.found
        held = np.flatnonzero(found.mass > 0)
        S = found.survival[held]
        se, low, high = self._limits(curve, found.layout.right[held], S, held)
        return pd.DataFrame(
            {
                "group": curve.name,
                "low": found.layout.left[held],
                "high": found.layout.right[held],
                "mass": found.mass[held],
                "estimate": S,
                "std_error": se,
                "conf_low": low,
                "conf_high": high,
            }
        )

    def _limits(
        self, curve: Curve, times: Array, S: Array, held: IntArray | None
    ) -> tuple[Array, Array, Array]:
        unknown_ = np.full(len(S), np.nan)
        if curve.draws is not None:
            drawn = curve.draws.survival(times)
            tail = (1 - self.level) / 2
            low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
            return drawn.std(axis=0, ddof=1), low, high
        if self.errors == "none":
            return unknown_, unknown_, unknown_
        V = engine.survival_covariance(curve.found)
        if held is None:
            held = np.searchsorted(curve.found.layout.right, times, side="right") - 1
        se = np.where(held < 0, 0.0, np.sqrt(np.maximum(np.diag(V)[np.maximum(held, 0)], 0.0)))
        z = norm.isf((1 - self.level) / 2)
        inside = (S > 0) & (S < 1) & (se > 0)
        safe = np.where(inside, S, 0.5)
        turn = np.exp(z * np.where(inside, se, 0.0) / (safe * -np.log(safe)))
        return se, np.where(inside, safe**turn, S), np.where(inside, safe ** (1 / turn), S)

    def at(self, times: Sequence[float] | float) -> pd.DataFrame:
        """Survival at given times: group, time, estimate, lowest, std_error, conf_low, conf_high.

        Inside an interval with probability the curve lies anywhere from `lowest` to `estimate`.
        Beyond the last interval that ends, survival is only known to lie below the estimate.
        """
        asked = np.sort(read_times(times))
        frames = []
        for curve in self.fitted:
            lowest, highest = curve.found.at(asked)
            se, low, high = self._limits(curve, asked, highest, None)
            frames.append(
                pd.DataFrame(
                    {
                        "group": curve.name,
                        "time": asked,
                        "estimate": highest,
                        "lowest": lowest,
                        "std_error": se,
                        "conf_low": low,
                        "conf_high": high,
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def quantile(self, p: Sequence[float] | float) -> pd.DataFrame:
        """Times by which a share p has had the event.

        group, quantile, estimate: the end of the interval in which the curve passes 1 - p; since:
        its beginning; conf_low, conf_high: percentiles of the draws (nan without). nan where the
        curve stays above 1 - p.
        """
        rows = []
        for curve in self.fitted:
            for q in read_shares(p):
                since, estimate = curve.found.passes(1 - float(q))
                low = high = np.nan
                if curve.draws is not None:
                    tail = (1 - self.level) / 2
                    drawn = curve.draws.passing(1 - float(q))
                    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
                rows.append((curve.name, float(q), *_known(estimate, since, low, high)))
        names = ["group", "quantile", "estimate", "since", "conf_low", "conf_high"]
        return pd.DataFrame(rows, columns=names)

    def median(self) -> pd.DataFrame:
        """group, median, since, conf_low, conf_high; as quantile."""
        return self.quantile(0.5).rename(columns={"estimate": "median"}).drop(columns="quantile")

    def series(self) -> tuple[Series, ...]:
        """The curves as a figure takes them: falling at the end of each interval."""
        out = []
        for curve in self.fitted:
            frame = self._frame(curve)
            known = frame[np.isfinite(frame["high"])]
            rows = curve.rows
            x = np.append(0.0, known["high"])
            at_risk = [int((rows.high > t).sum()) for t in x]
            gone = [int(((rows.high <= t) & np.isfinite(rows.high)).sum()) for t in x]
            lost = [int((np.isinf(rows.high) & (rows.low <= t)).sum()) for t in x]
            y = np.append(1.0, known["estimate"])
            low, high = (np.append(1.0, known[k].fillna(known["estimate"]))
                         for k in ("conf_low", "conf_high"))  # fmt: skip
            out.append(
                Series(
                    curve.name,
                    x=_floats(x),
                    y=_floats(y),
                    low=_floats(low),
                    high=_floats(high),
                    n_at=tuple(at_risk),
                    events_at=_steps(gone),
                    censored_at=_steps(lost),
                )
            )
        return tuple(out)

    @cached_property
    def log_likelihood(self) -> float:
        """Sum over groups."""
        return float(sum(c.found.loglik for c in self.fitted))

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the curves."""
        found = []
        for curve in self.fitted:
            rows = curve.rows
            vague = int(np.sum(np.isfinite(rows.high) & (rows.low < rows.high)))
            found.append(
                Check(
                    "unique estimate",
                    "ok" if curve.found.unique else "caution",
                    (
                        Count(vague, "rows"),
                        " rows know the event to an interval only; the curve is "
                        + ("the only one" if curve.found.unique else "one of several")
                        + " of greatest likelihood.",
                    ),
                    curve.name,
                )
            )
        lost = sum(self.observation.design.lost.values())
        if lost:
            found.append(
                Check("complete rows", "caution",
                      (Count(lost, "rows"), " rows lack a value that is needed and were left out."))
            )  # fmt: skip
        return tuple(found)

    def __repr__(self) -> str:
        parts = [
            f"{c.name}: {len(c.rows)} rows, {int((c.found.mass > 0).sum())} intervals"
            for c in self.fitted
        ]
        return f"<Turnbull: {'; '.join(parts)}>"


def _known(*values: float) -> tuple[float, ...]:
    return tuple(v if np.isfinite(v) else float("nan") for v in values)


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(map(float, values))


def _steps(running: list[int]) -> tuple[int, ...]:
    return tuple(int(v) for v in np.diff(running, prepend=0))


@dataclass(frozen=True)
class IntervalTest:
    """Scores of groups against a common curve, and their test."""

    group: str
    levels: tuple[str, ...]
    test: Scores
    weigh: str

    def tidy(self) -> pd.DataFrame:
        """statistic, df, p_value."""
        t = self.test
        return pd.DataFrame({"statistic": [t.statistic], "df": [t.df], "p_value": [t.p]})

    def groups(self) -> pd.DataFrame:
        """group, n, score: above 0 where events come early."""
        return pd.DataFrame({"group": self.levels, "n": self.test.n, "score": self.test.score})

    def __repr__(self) -> str:
        t = self.test
        return (
            f"<{self.weigh} test of {self.group} for intervals: {t.statistic:.4f} on {t.df} df, "
            f"p {t.p:.3g}>"
        )
