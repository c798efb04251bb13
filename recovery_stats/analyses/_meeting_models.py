"""Cox models of relapse on attendance known before the day at risk, and their rivals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from recovery_stats.analyses._meeting_groups import COUNTS, GROUP, REFERENCE_GROUP, grouped
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked, terms
from recovery_stats.analyses._meeting_rows import (
    WINDOWS,
    diary_rows,
    known_rows,
    model_formula,
    naive_data,
)
from recovery_stats.analyses._missing_rows import Attempt, attempted
from recovery_stats.analyses._refusal import safely
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.core.study import Study
from recovery_stats.errors import NotEstimable
from recovery_stats.models.formula import quote
from recovery_stats.models.reshape import PERSON
from recovery_stats.models.survival import CoxFit, cox

MAIN = f"weekly_{WINDOWS[0]}"
LAGS = (7, 14, 30)
GROUPED, GROUPED_LABEL = "groups", "Groups of attendance"
Made = Callable[[], CoxFit]
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

    def attempts(self) -> Iterator[Attempt]:
        """Main answer, other windows, groups and recency; with sensitivity the rivals too."""
        yield from self._windows()
        yield from self._groups()
        if self.asked.daily_diary:
            yield self._tried("recency", "Just after one", "recency", rank="secondary")
        if self.asked.q.sensitivity:
            yield from self._others()
            yield from self._naive()

    def _tried(
        self, name: str, label: str, term: str, *, made: Made | None = None,
        rank: Level = "sensitivity", step: float = 1.0,
    ) -> Attempt:  # fmt: skip
        """A hazard ratio of `term`, from `made` or the model of it alone, or why there is none."""

        def fitted() -> Estimate:
            fit = made() if made else fit_hazard(self.asked, self.rows, (term,))
            return self.row(fit, term, name, label, rank, step)

        return attempted(name, label, fitted)

    def _windows(self) -> Iterator[Attempt]:
        rank: Level = "secondary" if self.asked.by_strategy else "primary"
        yield self._tried(MAIN, "In the last 7 days", MAIN, made=lambda: self.main, rank=rank)
        for window in WINDOWS[1:]:
            name = f"weekly_{window}"
            yield self._tried(name, f"Weekly, last {window} days", name, rank="secondary")

    def _groups(self) -> Iterator[Attempt]:
        """Groups of attendance in the last seven days against one meeting."""
        data = grouped(self.rows, f"meetings_last{WINDOWS[0]}", COUNTS, first=REFERENCE_GROUP)
        if data is None:
            yield Attempt(GROUPED, GROUPED_LABEL, reason="Attendance differs too little.")
            return
        try:
            fit = fit_hazard(self.asked, data, (GROUP,))
        except NotEstimable as error:
            yield Attempt(GROUPED, GROUPED_LABEL, reason=safely(error))
            return
        for _, label in COUNTS:
            term, name = f"{GROUP}[T.{label}]", f"group[{label}]"
            if term in fit.terms:
                yield self._tried(name, label, term, made=lambda: fit, rank="secondary")

    def _others(self) -> Iterator[Attempt]:
        """The main model with less beside it, and with attendance counted earlier."""
        if self.asked.q.adjust:
            yield self._tried(
                "unadjusted", "Without covariates", MAIN,
                made=lambda: fit_hazard(self.asked, self.rows, (MAIN,), adjust=False),
            )  # fmt: skip
        if self.asked.stays:
            yield self._tried(
                "no_house", "Without house residence", MAIN,
                made=lambda: fit_hazard(self.asked, self.rows, (MAIN,), house=False),
            )  # fmt: skip
        # Without the first days, whose window begins before the diary.
        late = self.rows.with_frame(self.rows.frame[self.rows.frame["start"] >= WHOLE_WEEK - 1])
        yield self._tried(
            "from_day_7", "From day 7 on (whole week)", MAIN,
            made=lambda: fit_hazard(self.asked, late, (MAIN,)),
        )  # fmt: skip
        for lag in LAGS:
            name, label = f"lag_{lag}", f"Counted {lag} days earlier"
            yield self._tried(name, label, MAIN, made=partial(self._lagged, lag))

    def _lagged(self, lag: int) -> CoxFit:
        rows = known_rows(self.asked, diary_rows(self.asked, self.study, self.people, lag))
        return fit_hazard(self.asked, rows, (MAIN,))

    def _naive(self) -> Iterator[Attempt]:
        """What is usually run: mean attendance over the whole follow-up, as if known at entry."""
        data = naive_data(self.asked, self.study, self.people)
        for name, column, step, label in (
            ("naive_weekly", "meetings_per_week", 1.0, "Naive: weekly average"),
            ("naive_total", "meetings_total", 10.0, "Naive: total, per 10"),
        ):
            formula = f"Surv({quote(TIME)}, {quote(EVENT)}) ~ {terms(column, *self.asked.q.adjust)}"
            made = partial(cox, formula + self.asked.strata, data)
            yield self._tried(name, label, column, made=made, rank="naive", step=step)

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
