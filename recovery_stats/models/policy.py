"""Beside sustained strategies: one more meeting a week, a marginal structural model, and lags.

None of them asks people to do what they would never do, so they hold where few keep to a
strategy; each has an assumption of its own, which its docstring names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.interpolate import BSpline
from scipy.stats import chi2, norm

from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines import kernel_cox as engine
from recovery_stats.engines.kernel import Exposed, weigh_by_lag
from recovery_stats.engines.marginal_weight import stabilised
from recovery_stats.engines.policy import Followed, PolicyRisk, policy_risk
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.columns import Array
from recovery_stats.models.formula import Formula
from recovery_stats.models.hazard import CoxFit, cox
from recovery_stats.models.kernel import YEAR, PersonDays, match_diary, read_person_days
from recovery_stats.models.strategy import Courses

STEPS = (1, 3, 7, 14, 28)  # last days of the step windows: 1, 2-3, 4-7, 8-14, 15-28
CLASSES = (2.0, 7.0, 12.0)  # meetings a block of 28 days from which a higher class begins


def one_more_meeting(
    formula: Formula | str,
    rows: Dataset | pd.DataFrame,
    *,
    exposure: str = "meetings_last7",
    window: int = 7,
    person: str = "person",
    weights: str | None = None,
    more: float = 1.0,
    horizon: int = YEAR,
    replicates: int = 200,
    seed: int = 1,
) -> PolicyRisk:
    """Risk by the horizon if everyone had attended `more` meetings a week than they did.

    rows: person-days as `reshape.person_days(..., daily=True)` makes them. exposure: meetings in
    the `window` days before, linear in the log hazard, as the model of `formula` (covariates
    only) adjusts it. Assumes that extra meetings do not change later attendance or covariates.
    Raises UsageError, DataError, NotEstimable.
    """
    rows = as_dataset(rows)
    rows.require(exposure)
    known = rows.with_frame(rows.frame[rows.frame[exposure].notna()])
    read = read_person_days(formula, known, person, weights)
    # rows must lie person by person, in order of days, for the running hazard
    order = np.lexsort((read.day, read.person))
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    values = known.frame[exposure].loc[read.seen.index].to_numpy(dtype=float)
    followed = Followed(read.person[order], read.day[order], place[read.kept], window)
    return policy_risk(
        read.days, values[read.kept], followed, more=more, horizon=horizon,
        replicates=replicates, seed=seed,
    )  # fmt: skip


def marginal_structural(
    people: Courses, *, classes: Sequence[float] = CLASSES, truncate: float = 0.0
) -> CoxFit:
    """Cox model of the event on weekly attendance in the block before, weighted for its causes.

    Weights are stabilised, from continuation-ratio models of the class of each block's count
    given the history of `courses`; errors are robust, by person. The term is `weekly`.
    truncate: share of the largest weights cut to the next lower.
    Assumes that the history holds every common cause of attendance and the event.
    """
    course = people.course
    fixed = np.array(people.fixed, dtype=bool)
    weight = stabilised(course, tuple(classes), fixed)
    seen = course.at_risk & np.concatenate(
        [np.zeros((len(people), 1), dtype=bool), course.completed[:, :-1]], axis=1
    )
    seen &= ~course.interrupted  # the count of a block in custody is no choice
    seen[:, 1:] &= ~course.interrupted[:, :-1]
    person, block = np.nonzero(seen)
    used = weight[person, block]
    used = np.minimum(used, np.quantile(used, 1.0 - truncate)) if len(used) else used
    start = course.width * block.astype(float)
    stop = np.minimum(course.time[person], start + course.width)
    ended = course.time[person] <= start + course.width
    frame = pd.DataFrame(
        {
            "person": person,
            "start": start,
            "stop": stop,
            "event": (ended & (course.cause[person] == 1)).astype(float),
            "weekly": course.count[person, block - 1] * 7.0 / course.width,
            "weight": used,
        }
    )
    names = [f"x{j}" for j in np.flatnonzero(fixed)]
    for name, j in zip(names, np.flatnonzero(fixed), strict=True):
        frame[name] = course.history[person, block, j]
    if not frame["event"].any():
        raise NotEstimable("No event after the first block: nothing follows a completed block.")
    terms = " + ".join(["weekly", *names])
    return cox(
        f"Surv(start, stop, event) ~ {terms}", frame, weights="weight", cluster="person",
        person="person",
    )  # fmt: skip


# --- what each of the last days contributes -----------------------------------------------------


def lag_cox(
    formula: Formula | str,
    rows: Dataset | pd.DataFrame,
    *,
    meetings: Dataset | pd.DataFrame,
    meeting_person: str,
    meeting_day: str,
    meeting_count: str | None = None,
    person: str = "person",
    weights: str | None = None,
    steps: Sequence[int] | None = STEPS,
    longest: int = 28,
    pieces: int = 3,
    level: float = 0.95,
) -> LagFit:
    """Cox model in which a meeting acts by how many days ago it was, whatever the shape.

    steps: last days of windows within which a meeting counts the same; None fits a smooth
    curve instead, a cubic spline of `pieces` pieces over 1 … `longest` days that ends at zero
    (weighted cumulative exposure: Sylvestre & Abrahamowicz 2009).
    """
    rows, meetings = as_dataset(rows), as_dataset(meetings)
    read = read_person_days(formula, rows, person, weights)
    who, when, count = match_diary(read, rows, meetings, person, meeting_person, meeting_day,
                                   meeting_count)  # fmt: skip
    kept = read.kept
    exposed = Exposed.of(read.person[kept], read.day[kept], who, when, count)
    basis = _steps(steps) if steps is not None else _spline(longest, pieces)
    columns = weigh_by_lag(exposed, basis)
    at, point = engine.maximise(read.days, columns)
    V = np.asarray(np.linalg.inv(point.information))[-len(columns) :, -len(columns) :]
    return LagFit(at[-len(columns) :], V, basis, level, point.loglik)


def _steps(ends: Sequence[int]) -> Array:
    """Indicators (lags, windows)."""
    if not ends or any(b <= a for a, b in zip((0, *ends), ends, strict=False)):
        raise UsageError("steps are increasing numbers of days, the last days of the windows.")
    lag = np.arange(1, ends[-1] + 1)
    return np.stack([(lag > a) & (lag <= b) for a, b in zip((0, *ends), ends, strict=False)],
                    axis=1).astype(float)  # fmt: skip


def _spline(longest: int, pieces: int) -> Array:
    """Cubic B-splines over the lags (lags, pieces + 1), those at the far end left out.

    Without the last two, the curve and its slope are zero where it ends.
    """
    if pieces < 1 or longest < 2 * pieces:
        raise UsageError("A curve over the lags needs a piece or more, of two days or more each.")
    inner = np.linspace(1.0, longest + 1.0, pieces + 1)
    knots = np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])
    lag = np.arange(1.0, longest + 1.0)
    return np.asarray(BSpline.design_matrix(lag, knots, 3).toarray()[:, :-2])


@dataclass(frozen=True)
class LagFit:
    """Log hazard ratio of one meeting by how many days ago it was; see `lag_cox`."""

    coefficient: Array
    covariance: Array = field(repr=False)
    basis: Array = field(repr=False)
    level: float
    log_likelihood: float

    def curve(self) -> pd.DataFrame:
        """Hazard ratio of a meeting 1, 2, … days ago against none, with its interval."""
        value = self.basis @ self.coefficient
        se = np.sqrt(np.einsum("lj,jk,lk->l", self.basis, self.covariance, self.basis))
        half = float(norm.isf((1.0 - self.level) / 2.0)) * se
        return pd.DataFrame(
            {
                "lag": np.arange(1, len(value) + 1),
                "estimate": np.exp(value),
                "std_error": se,
                "conf_low": np.exp(value - half),
                "conf_high": np.exp(value + half),
            }
        )

    def test(self) -> pd.DataFrame:
        """Wald test that a meeting acts at no lag."""
        b = self.coefficient
        statistic = float(b @ np.linalg.solve(self.covariance, b))
        return pd.DataFrame(
            [{"statistic": statistic, "df": len(b), "p_value": float(chi2.sf(statistic, len(b)))}]
        )


__all__ = [
    "LagFit",
    "PersonDays",
    "PolicyRisk",
    "lag_cox",
    "marginal_structural",
    "one_more_meeting",
]
