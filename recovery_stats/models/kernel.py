"""How long the protection of a meeting lasts: a Cox model whose exposure fades by half-lives.

    fit = kernel_cox("Surv(start, stop, event) ~ sev_z + in_house + strata(site)", rows,
                     meetings=diary, meeting_person="pid", meeting_day="mday")
    fit.test()        is there any effect, at half-lives named beforehand?
    fit.half_life()   how long, with the interval of its profile likelihood
    fit.risks()       12-month risk if everyone went k times a week

rows: one row a person-day, as `reshape.person_days(..., daily=True)` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check, Verdict
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines import kernel_cox as engine
from recovery_stats.engines import kernel_risk
from recovery_stats.engines.kernel import Exposed, Kernel, Shape
from recovery_stats.engines.kernel_risk import Spacing
from recovery_stats.engines.kernel_survivor import Courses
from recovery_stats.errors import DataError, UsageError, unknown
from recovery_stats.models.coefficient import tabulate_coefficients
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.follow_up import read_days
from recovery_stats.models.formula import Formula
from recovery_stats.models.observation import Observation, observe, read_survival

NAMED = (0.5, 1.0, 2.0, 4.0, 7.0)  # half-lives of the test of no effect, named before any run
GRID = tuple(np.geomspace(0.5, 60.0, 13).tolist())
WEEKLY = tuple(range(8))
YEAR = 365


def kernel_cox(
    formula: Formula | str,
    rows: Dataset | pd.DataFrame,
    *,
    meetings: Dataset | pd.DataFrame,
    meeting_person: str,
    meeting_day: str,
    meeting_count: str | None = None,
    person: str = "person",
    weights: str | None = None,
    shape: Shape = "last",
    half_lives: Sequence[float] = GRID,
    tested: Sequence[float] = NAMED,
    level: float = 0.95,
) -> KernelFit:
    """Fit log hazard = log baseline(stratum, day) + x'b + theta K_H, H the half-life in days.

    rows: person-days with Surv(start, stop, event) and `person`; rows whose `recency` is empty
    (last meeting unknown) are left out and counted. meetings: the diary, in days of the same
    clock, known before the day they act on. shape: "last" (2^(-lag/H) of the last meeting),
    "sum" over all, or "saturating". half_lives: the increasing grid of the profile; its ends
    bound what is looked at, and half a day is the least that whole-day diaries can tell.
    tested: half-lives of the test of no effect.
    Raises UsageError, DataError (rows longer than a day), NotEstimable.
    """
    if shape not in get_args(Shape):
        raise UsageError(unknown("shape of protection", shape, get_args(Shape)))
    grid = [float(h) for h in half_lives]
    if len(grid) < 3 or grid[0] <= 0 or any(a >= b for a, b in pairwise(grid)):
        raise UsageError("half_lives are three or more increasing numbers of days above 0.")
    rows = as_dataset(rows)
    known = _known(rows)
    read = read_person_days(formula, known, person, weights)
    who, when, count = match_diary(
        read, known, as_dataset(meetings), person, meeting_person, meeting_day, meeting_count
    )
    kept = read.kept
    kernel = Kernel.of(shape, Exposed.of(read.person[kept], read.day[kept], who, when, count))
    test = engine.test_no_effect(read.days, kernel.at, tested)
    found = engine.profile(read.days, kernel.at, grid, level=level)
    return KernelFit(read, kernel, found, test, len(rows) - len(known), level)


def _known(rows: Dataset) -> Dataset:
    if "recency" not in rows.frame:
        return rows
    kept = rows.frame["recency"].notna()
    if not kept.any():
        raise DataError("The diary covers no day at risk: the last meeting is nowhere known.")
    return rows if kept.all() else rows.with_frame(rows.frame[kept])


@dataclass(frozen=True)
class PersonDays:
    """Rows of a person-day each, and those of days with an event as the engine takes them.

    person, day, strata (n,) of every row; kept: the rows in `days`, in its order.
    """

    seen: Observation
    person: IntArray
    day: IntArray
    strata: IntArray
    days: engine.Days
    kept: IntArray

    @property
    def set_codes(self) -> tuple[IntArray, IntArray]:
        """Stratum and day of each set of `days`."""
        first = self.kept[self.days.first]
        return self.strata[first], self.day[first]


def read_person_days(
    formula: Formula | str, rows: Dataset, person: str, weights: str | None
) -> PersonDays:
    """Read Surv(start, stop, event) ~ covariates on person-days; DataError for longer rows."""
    seen = observe(
        read_survival(formula, "this model"), rows, what="this model", person=person,
        weights=weights,
    )  # fmt: skip
    assert seen.person is not None
    if seen.start is None or (seen.stop - seen.start > 1.0 + 1e-9).any():
        raise DataError(
            "This model needs one row a person-day, Surv(start, stop, event) with rows of a day "
            "at most; reshape.person_days(..., daily=True) makes them."
        )
    day = np.ceil(seen.stop).astype(np.intp)
    strata = np.zeros(len(seen), dtype=np.intp) if seen.strata is None else seen.strata
    days, kept = engine.Days.of(
        seen.X, strata * (int(day.max()) + 1) + day, seen.cause, seen.weights
    )
    return PersonDays(seen, seen.person, day, strata, days, kept)


def match_diary(
    read: PersonDays,
    rows: Dataset,
    meetings: Dataset,
    person: str,
    meeting_person: str,
    meeting_day: str,
    meeting_count: str | None,
) -> tuple[IntArray, IntArray, Array]:
    """Whose meeting (code of `read.person`), on which day, how many."""
    columns = [c for c in (meeting_person, meeting_day, meeting_count) if c]
    meetings.require(*columns, table="meetings")
    _, first = np.unique(read.person, return_index=True)
    key = pd.Index(rows.frame[person].loc[read.seen.index[first]])
    who = key.get_indexer(pd.Index(meetings.frame[meeting_person]))
    if not (who >= 0).any():
        raise DataError(
            f"No row of table 'meetings' belongs to a person at risk: column {meeting_person!r} "
            f"shares no value with column {person!r} of the rows. Are both numbers, or both text?"
        )
    when = read_days(meetings, meeting_day)
    many = read_days(meetings, meeting_count) if meeting_count else np.ones(len(meetings))
    ours = (who >= 0) & ~np.isnan(when) & (many > 0)
    return who[ours], np.floor(when[ours]).astype(np.intp), many[ours]


@dataclass(frozen=True)
class HalfLife:
    """A half-life in days with its profile-likelihood limits.

    open_low, open_high: the interval goes on beyond the shortest or longest half-life looked at.
    """

    value: float
    low: float
    high: float
    open_low: bool
    open_high: bool


@dataclass(frozen=True)
class KernelFit:
    """A fitted model of fading protection; see `kernel_cox`.

    Coefficients are log hazard ratios; `meeting` is that of full exposure: just after the last
    meeting for shape "last", against never. unknown: rows left out for an unknown last meeting.
    """

    rows: PersonDays = field(repr=False)
    kernel: Kernel = field(repr=False)
    likelihood: engine.Profile = field(repr=False)
    no_effect: engine.MaximumTest
    unknown: int
    level: float

    @property
    def observation(self) -> Observation:
        return self.rows.seen

    @property
    def days(self) -> engine.Days:
        return self.rows.days

    @property
    def shape(self) -> Shape:
        return self.kernel.shape

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients; the last is `meeting`."""
        return (*self.observation.design.names, "meeting")

    @property
    def best(self) -> engine.AtHalfLife:
        """The maximum of the likelihood."""
        return self.likelihood.best

    @property
    def people(self) -> int:
        return int(self.observation.people or 0)

    @property
    def n_events(self) -> int:
        return len(self.days.event)

    @property
    def method(self) -> str:
        words = {
            "last": "time since the last meeting",
            "sum": "sum over past meetings",
            "saturating": "saturating sum over past meetings",
        }[self.shape]
        return f"Cox model, Efron ties, {words}, half-life by profile likelihood"

    @cached_property
    def _joint(self) -> Array:
        return kernel_risk.joint_covariance(self.days, self.kernel.with_slope, self.best)

    # --- tables

    def tidy(self, level: float | None = None, exponentiate: bool = False) -> pd.DataFrame:
        """One row a coefficient, errors with the half-life estimated; see `half_life` for that."""
        beta = np.append(self.best.beta, self.best.theta)
        se = np.sqrt(np.diag(self._joint)[:-1])
        return tabulate_coefficients(
            self.terms, beta, se, level=self.level if level is None else level,
            exponentiate=exponentiate,
        )  # fmt: skip

    def glance(self) -> pd.DataFrame:
        """The model in one row."""
        k = len(self.terms) + 1
        row = {
            "n_obs": len(self.observation),
            "n_people": self.people,
            "n_events": self.n_events,
            "log_likelihood": self.best.loglik,
            "aic": 2.0 * k - 2.0 * self.best.loglik,
            "bic": k * np.log(self.n_events) - 2.0 * self.best.loglik,
            "converged": True,
            "half_life": self.best.half_life,
            "no_effect_p": self.no_effect.p,
        }
        return pd.DataFrame([row])

    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients and of the logarithm of the half-life."""
        names = [*self.terms, "log(half_life)"]
        return pd.DataFrame(self._joint, names, names)

    def half_life(self) -> HalfLife:
        """The half-life with its interval, which may be open on either side."""
        found = self.likelihood
        return HalfLife(
            found.best.half_life, found.low, found.high, found.open_low, found.open_high
        )

    def profile(self) -> pd.DataFrame:
        """The likelihood and the coefficient of full exposure at each half-life of the grid."""
        found = self.likelihood
        return pd.DataFrame(
            {
                "half_life": found.half_lives,
                "log_likelihood": found.loglik,
                "below_maximum": found.best.loglik - found.loglik,
                "coefficient": found.theta,
                "std_error": found.se,
                "hazard_ratio": np.exp(found.theta),
            }
        )

    def test(self) -> pd.DataFrame:
        """Test of no effect: the largest score statistic over half-lives named beforehand."""
        largest = float(np.abs(self.no_effect.z).max())
        return pd.DataFrame([{"statistic": largest, "p_value": self.no_effect.p}])

    # --- k meetings a week

    def hazard_ratios(
        self, weekly: Sequence[int] = WEEKLY, spacing: Spacing = "even"
    ) -> pd.DataFrame:
        """Mean hazard ratio over the week against never, for k meetings a week; shape "last"."""
        self._last_only("hazard_ratios")
        found = kernel_risk.mean_hazard_ratios(
            self.best, self._joint, np.array(weekly, dtype=float), _spacing(spacing)
        )
        return self._table(weekly, found.value, found.se, np.exp)

    def below_half(self, weekly: Sequence[int] = WEEKLY) -> pd.DataFrame:
        """Share of the week with less than half of the protection left, evenly spaced meetings."""
        self._last_only("below_half")
        k, h = np.array(weekly, dtype=float), self.half_life()
        longest = np.inf if h.open_high else h.high
        with np.errstate(invalid="ignore"):
            least = np.where(k > 0, kernel_risk.share_below_half(longest, np.maximum(k, 1.0)), 1.0)
        return pd.DataFrame(
            {
                "weekly": list(weekly),
                "estimate": kernel_risk.share_below_half(h.value, k),
                "conf_low": least,
                "conf_high": np.where(h.open_low, 1.0, kernel_risk.share_below_half(h.low, k)),
            }
        )

    def risks(
        self,
        weekly: Sequence[int] = WEEKLY,
        horizon: int = YEAR,
        spacing: Spacing = "even",
    ) -> pd.DataFrame:
        """Risk of the event by day `horizon` if everyone went k times a week; shape "last".

        Standardised over the people analysed, other events held off; covariates that change
        over time act as they would, on average, on those then at risk on the day.
        """
        found = self._risks(tuple(weekly), horizon, spacing)
        return self._table(weekly, found.value, found.se, lambda x: x)

    def risk_difference(
        self, more: int = 3, fewer: int = 1, horizon: int = YEAR, spacing: Spacing = "even"
    ) -> pd.DataFrame:
        """Risk under `more` meetings a week minus that under `fewer`, one row."""
        found = self._risks((more, fewer), horizon, spacing)
        V = found.covariance
        se = float(np.sqrt(V[0, 0] + V[1, 1] - 2.0 * V[0, 1]))
        value = float(found.value[0] - found.value[1])
        half = float(norm.isf((1.0 - self.level) / 2.0)) * se
        row = {
            "estimate": value,
            "std_error": se,
            "p_value": float(2.0 * norm.sf(abs(value) / se)) if se > 0 else float("nan"),
            "conf_low": value - half,
            "conf_high": value + half,
        }
        return pd.DataFrame([row])

    def _risks(
        self, weekly: tuple[int, ...], horizon: int, spacing: Spacing
    ) -> kernel_risk.Estimates:
        self._last_only("risks")
        return kernel_risk.risks(
            self.days, self.kernel.lag, self.best, self._joint, self._population,
            weekly=np.array(weekly, dtype=float), horizon=horizon, spacing=_spacing(spacing),
        )  # fmt: skip

    @cached_property
    def _population(self) -> kernel_risk.Population:
        """Each person by their first row; columns that change within anyone are `varying`."""
        read, seen = self.rows, self.observation
        order = np.lexsort((read.day, read.person))
        first = np.flatnonzero(np.diff(read.person[order], prepend=-1))
        X = seen.X[order]
        spread = np.maximum.reduceat(X, first, axis=0) - np.minimum.reduceat(X, first, axis=0)
        varying = np.asarray((spread > 0).any(0))
        weight = np.ones(len(first)) if seen.weights is None else seen.weights[order][first]
        return kernel_risk.Population(
            np.where(varying, 0.0, X[first]), varying, read.strata[order][first], *read.set_codes,
            weight, Courses.of(read.person[read.kept], read.day[read.kept]),
        )  # fmt: skip

    def _table(self, weekly: Sequence[int], value: Array, se: Array, turn: Any) -> pd.DataFrame:
        half = float(norm.isf((1.0 - self.level) / 2.0)) * se
        return pd.DataFrame(
            {
                "weekly": list(weekly),
                "estimate": turn(value),
                "std_error": se,
                "conf_low": turn(value - half),
                "conf_high": turn(value + half),
            }
        )

    def _last_only(self, what: str) -> None:
        if self.shape != "last":
            raise UsageError(
                f"{what} are told for shape='last' only: a sum over meetings is linear in their "
                "number, so it cannot tell one spacing from another."
            )

    def checks(self) -> tuple[Check, ...]:
        """Whether the half-life can be told at all."""
        parts = (
            "Test of no effect over the named half-lives: ",
            Quantity(self.no_effect.p, "p"),
            ".",
        )
        if self.no_effect.p >= 1.0 - self.level:
            return (Check("half-life identified", "caution", (*parts, UNIDENTIFIED)),)
        found = self.half_life()
        verdict: Verdict = "caution" if found.open_low or found.open_high else "ok"
        ends = (*(OPEN_LOW,) * found.open_low, *(OPEN_HIGH,) * found.open_high)
        return (Check("half-life identified", verdict, (*parts, *ends)),)


UNIDENTIFIED = " No effect is shown, and without one a half-life has no meaning; none is told."
OPEN_LOW = " The interval of the half-life has no lower limit."
OPEN_HIGH = " The interval of the half-life has no upper limit."


def _spacing(spacing: str) -> Any:
    if spacing not in get_args(Spacing):
        raise UsageError(unknown("spacing", spacing, get_args(Spacing)))
    return spacing
