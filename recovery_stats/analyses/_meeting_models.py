"""Cox models of relapse on attendance known before the day at risk, and their rivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recovery_stats.analyses._meeting_groups import COUNTS, GROUP, REFERENCE_GROUP, grouped
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked, terms
from recovery_stats.analyses._meeting_rows import (
    WINDOWS,
    diary_rows,
    known_rows,
    model_formula,
    naive_data,
)
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.reshape import PERSON
from recovery_stats.models.survival import CoxFit, cox

MAIN = f"weekly_{WINDOWS[0]}"
LAGS = (7, 14, 30)
WHOLE_WEEK = 7  # the first day at risk whose seven days before, 0 to 6, all follow entry


@dataclass(frozen=True, slots=True)
class Models:
    """Cox models over the (start, stop] rows of a diary; the main one is fitted once."""

    asked: Asked
    study: Study
    people: Dataset
    rows: Dataset
    main: CoxFit

    @classmethod
    def of(cls, asked: Asked, study: Study, people: Dataset, rows: Dataset) -> Models:
        """Fit the main model; NotEstimable names the diary where attendance cannot tell."""
        try:
            main = fit_hazard(asked, rows, (MAIN,))
        except NotEstimable as error:
            raise NotEstimable(
                f"Attendance in the last seven days, from column {asked.q.meeting_day!r} of table "
                f"'meetings': {error}"
            ) from None
        return cls(asked, study, people, rows, main)

    def estimates(self) -> tuple[Estimate, ...]:
        """Main answer, other windows, groups and recency; with sensitivity the rivals too."""
        found = (*self._windows(), *self._groups(), *self._recency())
        return (*found, *self._others(), *self._naive()) if self.asked.q.sensitivity else found

    def _windows(self) -> Iterator[Estimate]:
        rank: Level = "secondary" if self.asked.by_strategy else "primary"
        yield self.row(self.main, MAIN, MAIN, "In the last 7 days", rank)
        for window in WINDOWS[1:]:
            name = f"weekly_{window}"
            fit = fit_hazard(self.asked, self.rows, (name,))
            yield self.row(fit, name, name, f"Weekly, last {window} days", "secondary")

    def _groups(self) -> Iterator[Estimate]:
        """Groups of attendance in the last seven days against one meeting."""
        data = grouped(self.rows, f"meetings_last{WINDOWS[0]}", COUNTS, first=REFERENCE_GROUP)
        if data is None:
            return
        try:
            fit = fit_hazard(self.asked, data, (GROUP,))
        except NotEstimable:
            return
        for _, label in COUNTS:
            term = f"{GROUP}[T.{label}]"
            if term in fit.terms:
                yield self.row(fit, term, f"group[{label}]", label, "secondary")

    def _recency(self) -> Iterator[Estimate]:
        if not self.asked.daily_diary:
            return
        try:
            fit = fit_hazard(self.asked, self.rows, ("recency",))
        except NotEstimable:
            return
        yield self.row(fit, "recency", "recency", "Just after one", "secondary")

    def _others(self) -> Iterator[Estimate]:
        """The main model with less beside it, and with attendance counted earlier."""
        if self.asked.q.adjust:
            fit = fit_hazard(self.asked, self.rows, (MAIN,), adjust=False)
            yield self.row(fit, MAIN, "unadjusted", "Without covariates")
        if self.asked.stays:
            fit = fit_hazard(self.asked, self.rows, (MAIN,), house=False)
            yield self.row(fit, MAIN, "no_house", "Without house residence")
        yield from self._later()
        for lag in LAGS:
            try:
                rows = known_rows(self.asked, diary_rows(self.asked, self.study, self.people, lag))
                fit = fit_hazard(self.asked, rows, (MAIN,))
            except (NotEstimable, DataError):
                continue
            yield self.row(fit, MAIN, f"lag_{lag}", f"Counted {lag} days earlier")

    def _later(self) -> Iterator[Estimate]:
        """The main model without the first days, whose window begins before the diary."""
        late = self.rows.with_frame(self.rows.frame[self.rows.frame["start"] >= WHOLE_WEEK - 1])
        try:
            fit = fit_hazard(self.asked, late, (MAIN,))
        except (NotEstimable, DataError):
            return
        yield self.row(fit, MAIN, "from_day_7", "From day 7 on (whole week)")

    def _naive(self) -> Iterator[Estimate]:
        """What is usually run: mean attendance over the whole follow-up, as if known at entry."""
        data = naive_data(self.asked, self.study, self.people)
        for name, column, step, label in (
            ("naive_weekly", "meetings_per_week", 1.0, "Naive: weekly average"),
            ("naive_total", "meetings_total", 10.0, "Naive: total, per 10"),
        ):
            formula = f"Surv({quote(TIME)}, {quote(EVENT)}) ~ {terms(column, *self.asked.q.adjust)}"
            try:
                fit = cox(formula + self.asked.strata, data)
            except NotEstimable:
                continue
            yield self.row(fit, column, name, label, "naive", step)

    def row(
        self,
        fit: CoxFit,
        term: str,
        name: str,
        label: str,
        rank: Level = "sensitivity",
        step: float = 1.0,
    ) -> Estimate:
        """A hazard ratio of `step` units of a term."""
        return fit.estimate(
            {term: step}, name=name, label=label, level=self.asked.q.level, rank=rank
        )


def fit_hazard(
    asked: Asked,
    rows: Dataset,
    exposure: tuple[str, ...],
    *,
    event: str = "event",
    adjust: bool = True,
    house: bool = True,
) -> CoxFit:
    """Cox of an event on attendance, covariates and residence, stratified by site."""
    formula = model_formula(asked, *exposure, event=event, adjust=adjust, house=house)
    return cox(formula, rows, weights=asked.q.weights, person=PERSON)


def cause_specific(models: Models, event: str) -> CoxFit:
    """The main model for another event of the same rows."""
    return fit_hazard(models.asked, models.rows, (MAIN,), event=event)
