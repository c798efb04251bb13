"""Does going to more recovery meetings go with later relapse, without fooling anyone?

Attendance is counted strictly before the day at risk, from a diary, in (start, stop] rows. Coded
at baseline from the whole follow-up it would manufacture an effect: who relapses stops attending,
and who stays abstinent has time to attend (immortal time). That naive answer is printed beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.analyses._question import Common, column, option
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, Step
from recovery_stats.core.document import (
    Cell,
    Column,
    Count,
    CurveFigure,
    Figure,
    ForestFigure,
    Quantity,
    Ref,
    Row,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, NotEstimable, UsageError, rows_phrase
from recovery_stats.models import reshape, survival
from recovery_stats.models.formula import quote
from recovery_stats.models.summary import (
    is_factor,
    level_label,
    levels_of,
    missing_table,
    table_one,
)

TABLES = {
    "persons": "One row a person: time to relapse, event, entry, baseline covariates, site.",
    "meetings": "The diary: one row a meeting (person, day), or counts a day or week (optional).",
    "stays": "Stays in recovery houses: person, first and last day (optional).",
}

TIME, EVENT, GROUP = "days to relapse", "relapse", "meeting group"
WINDOWS = (7, 14, 28)
# Bounds of meetings a week that make the groups the literature speaks of.
Bounds = tuple[tuple[float, float, str], ...]
GROUPS: Bounds = ((0.0, 1.0, "Less than 1"), (1.0, 3.0, "1 or 2"), (3.0, 5.0, "3 or 4"),
          (5.0, np.inf, "5 or more"))  # fmt: skip
REFERENCE_GROUP = "1 or 2"
LANDMARK_GROUPS = (GROUPS[0], GROUPS[1], (3.0, np.inf, "3 or more"))
TIME_Q, EVENT_Q = quote(TIME), quote(EVENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Common):
    """What is asked, of which columns."""

    person: str | None = column(
        "Person identifier.", table="persons", role="person", default="pid", required=True
    )
    time: str | None = column(
        "Days from entry to relapse or end of observation.", table="persons", role="time"
    )
    event: str | None = column(
        "1 relapse, 0 censored.", table="persons", role="event", required=True
    )
    entry: str | None = column(
        "Day on which observation began, where later than day 0.", table="persons", role="entry"
    )
    entry_date: str | None = column(
        "Date of entry (with an exit date, instead of a time).", table="persons",
        role="entry_date",
    )  # fmt: skip
    exit_date: str | None = column(
        "Date of relapse or end of observation.", table="persons", role="exit_date"
    )
    frequency: str | None = column(
        "Without a diary: meetings a week, or a group, known at entry.", table="persons",
        role="frequency",
    )  # fmt: skip
    site: str | None = column("Site; the baseline hazard may differ between sites.",
                              table="persons", role="site")  # fmt: skip
    diary_from: str | None = column(
        "First day the diary covers.", table="persons", role="diary_from"
    )
    diary_to: str | None = column("Last day the diary covers.", table="persons", role="diary_to")
    meeting_person: str | None = column(
        "Person identifier in the diary.", table="meetings", role="person", default="pid"
    )
    meeting_day: str | None = column(
        "Day (or week) of the meeting, counted from entry.", table="meetings",
        role="meeting_day",
    )  # fmt: skip
    meeting_count: str | None = column(
        "Meetings in the row, where a row is a day or a week.", table="meetings", role="count"
    )
    stay_person: str | None = column(
        "Person identifier in the stays.", table="stays", role="person", default="pid"
    )
    stay_start: str | None = column("First day of the stay.", table="stays", role="start")
    stay_stop: str | None = column("Day of leaving.", table="stays", role="stop")
    period: str = option("What meeting_day counts.", default="day", choices=("day", "week"))
    landmark: int = option("Day at which attendance so far makes the groups.", default=28)
    horizon: int = option("Days to which risks and mean times are told.", default=365)
    half_life: float = option("Days in which protection after a meeting halves.", default=2.0)
    exposure_source: str = option(
        "Which records tell attendance (for example 'clinic visits').", default=""
    )
    event_source: str = option(
        "Which records tell relapse; the same source as attendance spoils the comparison.",
        default="",
    )


def answer(question: Question, study: Study) -> Result:
    """Hazard of relapse by meetings in the days before, and its rivals."""
    asked = _Asked.of(question, study)
    people = _people(asked, study)
    if asked.diary:
        return _Diary(asked, study, people).result()
    return _Baseline(asked, study, people).result()


# --- what is asked, of whom --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question with its required columns known to be named."""

    q: Question
    person: str
    event: str
    diary: bool
    stays: bool

    @classmethod
    def of(cls, q: Question, study: Study) -> _Asked:
        if q.person is None or q.event is None:
            raise UsageError("meeting_frequency needs columns for 'person' and 'event'.")
        if q.time is None and (q.entry_date is None or q.exit_date is None):
            raise UsageError(
                "meeting_frequency needs a column for 'time', or both 'entry_date' and "
                "'exit_date' to count the days from."
            )
        diary = q.meeting_day is not None and "meetings" in study and q.frequency is None
        if not diary and q.frequency is None:
            raise UsageError(
                "meeting_frequency needs attendance: a diary (table 'meetings' with "
                "'meeting_day') or a column known at entry ('frequency')."
            )
        stays = q.stay_start is not None and q.stay_stop is not None and "stays" in study
        return cls(q, q.person, q.event, diary, stays)

    @property
    def shared_source(self) -> bool:
        """Attendance and relapse read off the same records: the answer would be circular."""
        q = self.q
        return bool(q.exposure_source) and q.exposure_source == q.event_source


def _people(asked: _Asked, study: Study) -> Dataset:
    """One row a person with time and event checked; every loss written into the flow."""
    q, data = asked.q, study["persons"]
    wanted = (q.person, q.event, q.time, q.entry, q.entry_date, q.exit_date, q.frequency, q.site,
              q.diary_from, q.diary_to, q.weights, *q.adjust)  # fmt: skip
    data.require(*(c for c in wanted if c), table="persons")
    data = replace(data, flow=(Step("People in the file", len(data), "people", len(data)),))
    data = _with_time(asked, data)
    _check_event(asked, data)
    if q.entry:
        known = replace(data.variable(q.entry), missing=data.variable(q.entry).missing)
        data = data.with_column(known, data.frame[q.entry].fillna(0.0))
    needed = [TIME, asked.event, *q.adjust, *(c for c in (q.site, q.frequency, q.weights) if c)]
    data = data.complete(*needed, person=asked.person)
    if not len(data):
        raise DataError("No row of table 'persons' has time, event and the covariates together.")
    _check_times(asked, data)
    return data.with_column(Variable(EVENT, data.label(asked.event)),
                            data.frame[asked.event].astype(float))  # fmt: skip


def _with_time(asked: _Asked, data: Dataset) -> Dataset:
    q = asked.q
    if q.time is not None:
        values = data.frame[q.time]
        if not pd.api.types.is_numeric_dtype(values):
            raise DataError(
                f"Column {q.time!r} of table 'persons' is text; a time must be a number of days."
            )
        return data.with_column(Variable(TIME, data.label(q.time), unit="days"),
                                values.astype(float))  # fmt: skip
    entry, leave = data.frame[q.entry_date], data.frame[q.exit_date]
    for name, values in ((q.entry_date, entry), (q.exit_date, leave)):
        if not pd.api.types.is_datetime64_any_dtype(values):
            raise DataError(f"Column {name!r} of table 'persons' is not a date.")
    days = (leave - entry).dt.total_seconds() / 86_400
    return data.with_column(Variable(TIME, "Days from entry to exit", unit="days"), days)


def _check_event(asked: _Asked, data: Dataset) -> None:
    values = data.frame[asked.event].dropna()
    if pd.api.types.is_numeric_dtype(values) and set(values.unique()) <= {0.0, 1.0}:
        return
    found = values.nunique()
    raise DataError(
        f"Column {asked.event!r} of table 'persons' must be 1 (relapse) or 0 (censored); it has "
        f"{found} different values, not all of them 0 and 1. Recode it in the file."
    )


def _check_times(asked: _Asked, data: Dataset) -> None:
    name = asked.q.time or asked.q.exit_date
    negative = data.frame.index[data.frame[TIME] < 0]
    if len(negative):
        raise DataError(
            f"Column {name!r} of table 'persons' is negative in {rows_phrase(list(negative))}; "
            "time runs from entry (day 0)."
        )
    if asked.q.entry is None:
        return
    late = data.frame.index[data.frame[asked.q.entry] >= data.frame[TIME]]
    if len(late):
        raise DataError(
            f"Column {asked.q.entry!r} of table 'persons' is not before {name!r} in "
            f"{rows_phrase(list(late))}; observation must begin before it ends."
        )


# --- attendance from a diary -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Diary:
    """The analysis with a diary: attendance changes over time."""

    asked: _Asked
    study: Study
    people: Dataset

    def result(self) -> Result:
        if self.asked.shared_source:
            return self._refused()
        rows = self._rows(0)
        known = _known_rows(rows)
        fits = _Fits(self, known)
        landmark = self._landmark()
        estimates = (*fits.primary(), *fits.windows(), *fits.groups(), *fits.recency())
        if self.asked.q.sensitivity:
            estimates += (*fits.sensitivity(), *self._naive())
        estimates += tuple(_landmark_estimates(self.asked, landmark))
        named = {e.name: e for e in estimates}
        return Result(
            analysis="meeting_frequency",
            estimand=self._estimand(),
            estimates=estimates,
            checks=tuple(self._checks(rows, known, fits)),
            flow=self.people.flow,
            facts=self._facts(known, landmark),
            said=frozenset(self._said(named, landmark)),
            tables={t.name: t for t in self._tables(known, landmark, named)},
            figures=_figures(self.asked, landmark, named),
            sources=tuple(t.source for t in self.study.tables.values()),
            synthetic=self.study.protocol.synthetic,
        )

    def _rows(self, lag: int) -> Dataset:
        """(start, stop] rows with attendance strictly before the day at risk."""
        q = self.asked.q
        stays: dict[str, Any] = {}
        if self.asked.stays:
            stays = {"stays": self.study["stays"], "stay_person": q.stay_person,
                     "stay_start": q.stay_start, "stay_stop": q.stay_stop}  # fmt: skip
        return reshape.person_days(
            self.people, person=self.asked.person, stop=TIME, event=EVENT, start=q.entry,
            meetings=self._meetings(), meeting_person=q.meeting_person,
            meeting_day=q.meeting_day, meeting_count=q.meeting_count, windows=WINDOWS,
            half_life=q.half_life, diary_from=q.diary_from, diary_to=q.diary_to, lag=lag, **stays,
        )  # fmt: skip

    def _meetings(self) -> Dataset:
        """The diary with days; a weekly count stands on the last day of its week."""
        q, diary = self.asked.q, self.study["meetings"]
        diary.require(str(q.meeting_person), str(q.meeting_day), table="meetings")
        if q.period == "day":
            return diary
        days = diary.frame[q.meeting_day] * 7.0 - 1.0
        return diary.with_column(replace(diary.variable(str(q.meeting_day)), unit="days"), days)

    def _landmark(self) -> Dataset | None:
        """Those event-free at the landmark, grouped by attendance before it."""
        q = self.asked.q
        at = float(q.landmark)
        data = reshape.landmark(
            self.people, at=at, person=self.asked.person, stop=TIME, event=EVENT, start=q.entry,
            meetings=self._meetings(), meeting_person=q.meeting_person,
            meeting_day=q.meeting_day, meeting_count=q.meeting_count, diary_from=q.diary_from,
            diary_to=q.diary_to,
        )  # fmt: skip
        return _grouped(data, "meetings_per_week", LANDMARK_GROUPS)

    def _naive(self) -> Iterator[Estimate]:
        """What is usually run: mean attendance over the whole follow-up, as if known at entry."""
        q = self.asked.q
        data = reshape.naive_frequency(
            self.people, person=self.asked.person, stop=TIME, start=q.entry,
            meetings=self._meetings(), meeting_person=q.meeting_person,
            meeting_day=q.meeting_day, meeting_count=q.meeting_count,
        )  # fmt: skip
        for name, term, label in (
            ("naive_weekly", "meetings_per_week",
             "Naive: meetings a week over the whole follow-up, coded at entry"),
            ("naive_total", "meetings_total",
             "Naive: all meetings of the follow-up, coded at entry (per 10)"),
        ):  # fmt: skip
            fit = survival.cox(
                f"Surv({TIME_Q}, {EVENT_Q}) ~ {_terms(term, *q.adjust)}{_strata(q.site)}", data
            )
            times = 10.0 if term == "meetings_total" else 1.0
            yield fit.estimate({term: times}, name=name, label=label, level=q.level, rank="naive")

    def _refused(self) -> Result:
        """Attendance and relapse come from the same records: describe, fail the check, stop."""
        q = self.asked.q
        landmark = None
        rows = self._rows(0)
        check = Check(
            "shared source", "fail",
            (f"Attendance and relapse are both read off {q.exposure_source}: a person who does "
             "not come is counted as not attending and, by the endpoint's missing rule, as "
             "relapsing (or as not known to relapse). Any effect would be made by that, so none "
             "is shown. Use a relapse endpoint from other records.",),
            about=str(q.meeting_day),
        )  # fmt: skip
        known = _known_rows(rows)
        return Result(
            analysis="meeting_frequency",
            estimand=self._estimand(),
            estimates=(),
            checks=(check, _coverage(rows, known)),
            flow=self.people.flow,
            facts=self._facts(known, landmark),
            said=frozenset({"refused", "diary", *(("notes",) if q.notes else ())}),
            tables={t.name: t for t in self._descriptions(known)},
            sources=tuple(t.source for t in self.study.tables.values()),
            synthetic=self.study.protocol.synthetic,
        )

    def _estimand(self) -> Estimand:
        return Estimand(
            population=self.study.protocol.population,
            treatment="one more meeting in the seven days before the day at risk, against that "
            "many less, at equal covariates",
            endpoint="first relapse, in days from entry",
            intercurrent="death, incarceration and loss to follow-up end observation "
            "(cause-specific hazard); meetings after relapse are not counted",
            summary="hazard ratio of relapse per meeting a week",
        )

    def _checks(self, rows: Dataset, known: Dataset, fits: _Fits) -> Iterator[Check]:
        yield _coverage(rows, known)
        yield from fits.main.checks()
        zero = int(((self.people.frame[TIME] <= 0) & (self.people.frame[EVENT] == 1)).sum())
        if zero:
            yield Check(
                "events on day 0", "caution",
                (Count(zero), " people relapsed on the day of entry; there is no day before it "
                 "on which attendance could have been counted, so they are in the flow and not "
                 "in the model."),
            )  # fmt: skip

    def _facts(self, known: Dataset, landmark: Dataset | None) -> Mapping[str, Cell]:
        q, people = self.asked.q, self.people
        frame = known.frame
        days = float((frame["stop"] - frame["start"]).sum())
        mean = float((frame["meetings_last7"] * (frame["stop"] - frame["start"])).sum() / days)
        facts: dict[str, Cell] = {
            "people": Count(len(people)),
            "relapses": Count(int(people.frame[EVENT].sum()), "events"),
            "person_years": Quantity(days / 365.25),
            "mean_meetings": Quantity(mean),
            "landmark": Quantity(float(q.landmark), "whole"),
            "horizon": Quantity(float(q.horizon), "whole"),
            "half_life": Quantity(float(q.half_life)),
            "confidence": Quantity(100 * q.level, "whole"),
            "exposure_source": q.exposure_source,
            "notes": " ".join(q.notes),
        }
        if landmark is not None:
            facts["at_landmark"] = Count(len(landmark))
            for name, label in (("free_most", "3 or more"), ("free_least", "Less than 1")):
                if label in landmark.frame[GROUP].cat.categories:
                    facts[name] = Ref(f"survival[{label}]", "per_100")
        return facts

    def _said(self, named: Mapping[str, Estimate], landmark: Dataset | None) -> Iterator[str]:
        main = named["weekly_7"]
        yield "diary"
        if self.asked.q.notes:
            yield "notes"
        yield "shown" if main.p < 1 - main.confidence else "not_shown"
        yield "lower" if main.value < 1 else "higher"
        if self.asked.stays:
            yield "stays"
        if self.asked.q.adjust:
            yield "adjusted"
        if self.asked.q.site:
            yield "stratified"
        if landmark is not None:
            yield "landmark"
            if {"3 or more", "Less than 1"} <= set(landmark.frame[GROUP].cat.categories):
                yield "contrast"
        naive = named.get("naive_weekly")
        if naive is not None and naive.p < 1 - naive.confidence and main.p >= 1 - main.confidence:
            yield "naive_fooled"
        yield from named

    def _tables(
        self, known: Dataset, landmark: Dataset | None, named: Mapping[str, Estimate]
    ) -> Iterator[Table]:
        yield from self._descriptions(known)
        if landmark is not None:
            yield _landmark_table(self.asked, landmark, named)
        order = [n for n in named if not n.startswith(("survival[", "rmst", "median["))]
        main = [n for n in order if named[n].level in ("primary", "secondary")]
        yield _ratio_table("ratios", "Hazard of relapse by recent attendance", main, named)
        rest = [n for n in order if named[n].level in ("sensitivity", "naive")]
        yield _ratio_table(
            "rivals", "The same question asked in other ways", ["weekly_7", *rest], named,
            ("Attendance coded at entry from the whole follow-up uses the future: who relapses "
             "early had less time to attend and attends less afterwards.",),
        )  # fmt: skip

    def _descriptions(self, known: Dataset) -> Iterator[Table]:
        q = self.asked.q
        described = list(dict.fromkeys([*q.adjust, *((q.site,) if q.site else ())]))
        yield table_one(self.people, described, caption="The people analysed, at entry")
        yield _attendance_table(known, self.asked.person)
        yield missing_table(self.study["persons"], [c for c in (q.time, self.asked.event, *q.adjust)
                                                    if c])  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Fits:
    """Cox models over the (start, stop] rows; the main one is fitted once."""

    diary: _Diary
    rows: Dataset
    main: Any

    def __init__(self, diary: _Diary, rows: Dataset) -> None:
        object.__setattr__(self, "diary", diary)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "main", self.fit("weekly_7"))

    @property
    def q(self) -> Question:
        return self.diary.asked.q

    def fit(self, *exposure: str, data: Dataset | None = None, adjust: bool = True,
            house: bool = True) -> Any:  # fmt: skip
        """Cox of relapse on attendance, covariates, residence, stratified by site."""
        terms = [*exposure, *(self.q.adjust if adjust else ())]
        if house and self.diary.asked.stays:
            terms.append("in_house")
        formula = f"Surv(start, stop, event) ~ {_terms(*terms)}{_strata(self.q.site)}"
        return survival.cox(formula, data or self.rows, weights=self.q.weights)

    def primary(self) -> Iterator[Estimate]:
        yield self.main.estimate(
            {"weekly_7": 1.0}, name="weekly_7", level=self.q.level, rank="primary",
            label="Per meeting in the last 7 days",
        )  # fmt: skip

    def windows(self) -> Iterator[Estimate]:
        for window in WINDOWS[1:]:
            name = f"weekly_{window}"
            yield self.fit(name).estimate(
                {name: 1.0}, name=name, level=self.q.level,
                label=f"Per meeting a week over the last {window} days",
            )  # fmt: skip

    def groups(self) -> Iterator[Estimate]:
        """Groups of attendance in the last seven days against one or two meetings."""
        data = _grouped(self.rows, "meetings_last7")
        if data is None:
            return
        try:
            fit = self.fit(GROUP, data=data)
        except NotEstimable:
            return
        present = data.frame[GROUP].cat.categories
        for *_, label in GROUPS:
            if label != REFERENCE_GROUP and label in present:
                yield fit.estimate(
                    {f"{GROUP}[T.{label}]": 1.0}, name=f"group[{label}]", level=self.q.level,
                    label=f"{label} in the last 7 days against {REFERENCE_GROUP.lower()}",
                )  # fmt: skip

    def recency(self) -> Iterator[Estimate]:
        yield self.fit("recency").estimate(
            {"recency": 1.0}, name="recency", level=self.q.level,
            label="Just after a meeting against long after the last one",
        )  # fmt: skip

    def sensitivity(self) -> Iterator[Estimate]:
        options: list[tuple[str, str, dict[str, Any]]] = []
        if self.q.adjust:
            options.append(("unadjusted", "Without covariates", {"adjust": False}))
        if self.diary.asked.stays:
            options.append(("no_house", "Without residence in a house", {"house": False}))
        for name, label, how in options:
            fit = self.fit("weekly_7", **how)
            yield self._row(fit, name, label)
        for lag in (7, 14):
            fit = self.fit("weekly_7", data=_known_rows(self.diary._rows(lag)))
            yield self._row(fit, f"lag_{lag}", f"Attendance {lag} days earlier")

    def _row(self, fit: Any, name: str, label: str) -> Estimate:
        found: Estimate = fit.estimate(
            {"weekly_7": 1.0}, name=name, label=label, level=self.q.level, rank="sensitivity"
        )
        return found


def _known_rows(rows: Dataset) -> Dataset:
    """Rows whose attendance windows the diary covers, with attendance per week added."""
    frame = rows.frame
    known = frame[[f"meetings_last{w}" for w in WINDOWS[:1]]].notna().all(axis=1)
    data = rows.with_frame(frame[known])
    for window in WINDOWS:
        weekly = data.frame[f"meetings_last{window}"] * (7.0 / window)
        label = f"Meetings a week, last {window} days"
        data = data.with_column(Variable(f"weekly_{window}", label), weekly)
    return data


def _grouped(data: Dataset, column: str, groups: Bounds = GROUPS) -> Dataset | None:
    """Add the attendance group, its reference first; None when nobody can be compared."""
    data = data.with_frame(data.frame[data.frame[column].notna()])
    labels = [label for *_, label in groups]
    codes = np.digitize(data.frame[column], [low for low, *_ in groups[1:]])
    seen = [labels[i] for i in np.unique(codes)]
    if len(seen) < 2:
        return None
    order = sorted(seen, key=lambda s: (s != REFERENCE_GROUP, labels.index(s)))
    values = pd.Categorical([labels[c] for c in codes], categories=order)
    return data.with_column(Variable(GROUP, "Meetings a week"), values)


# --- attendance known at entry -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Baseline:
    """The analysis without a diary: one column known at entry."""

    asked: _Asked
    study: Study
    people: Dataset

    def result(self) -> Result:
        asked, q = self.asked, self.asked.q
        data, group = self._data()
        estimates = (*self._ratios(data), *_curve_estimates(asked, group))
        named = {e.name: e for e in estimates}
        primary = next(e for e in estimates if e.level == "primary")
        frequency = data.label(str(q.frequency))
        return Result(
            analysis="meeting_frequency",
            estimand=Estimand(
                population=self.study.protocol.population,
                treatment=f"{frequency}, as known at entry",
                endpoint="first relapse, in days from entry",
                intercurrent="death, incarceration and loss to follow-up end observation",
                summary="hazard ratio of relapse",
            ),
            estimates=estimates,
            checks=tuple(self._checks(data)),
            flow=self.people.flow,
            facts={
                "people": Count(len(data)),
                "relapses": Count(int(data.frame[EVENT].sum()), "events"),
                "frequency": frequency,
                "notes": " ".join(q.notes),
                "primary": Ref(primary.name, "interval"),
                "primary_label": primary.label,
                "primary_p": Ref(primary.name, "p"),
                "horizon": Quantity(float(q.horizon), "whole"),
                "confidence": Quantity(100 * q.level, "whole"),
            },
            said=frozenset(
                {
                    "baseline",
                    "shown" if primary.p < 1 - primary.confidence else "not_shown",
                    "lower" if primary.value < 1 else "higher",
                    *(("adjusted",) if q.adjust else ()),
                    *(("notes",) if q.notes else ()),
                    *(("stratified",) if q.site else ()),
                }
            ),
            tables={t.name: t for t in self._tables(data, group, named)},
            figures=_figures(asked, group, named),
            sources=tuple(t.source for t in self.study.tables.values()),
            synthetic=self.study.protocol.synthetic,
        )

    def _data(self) -> tuple[Dataset, Dataset]:
        """The people, and the same with the groups of the curves."""
        name = str(self.asked.q.frequency)
        if not is_factor(self.people, name):
            grouped = _grouped(self.people, name)
            if grouped is None:
                raise NotEstimable(
                    f"Column {name!r} puts all {len(self.people)} complete rows in one group; "
                    "there is nothing to compare."
                )
            return self.people, grouped
        levels = levels_of(self.people, name)
        if len(levels) < 2:
            lost = len(self.study["persons"]) - len(self.people)
            raise NotEstimable(
                f"Column {name!r} has one level left among {len(self.people)} complete rows "
                f"({lost} rows were dropped for missing values); a comparison needs two."
            )
        variable = self.people.variable(name)
        labels = [level_label(variable, v) for v in levels]
        order = _with_reference(labels, self.asked.q.reference, name)
        values = self.people.frame[name].map(dict(zip(levels, labels, strict=True)))
        groups = pd.Categorical(values, categories=order)
        data = self.people.with_column(Variable(GROUP, variable.title), groups)
        return data, data

    def _ratios(self, data: Dataset) -> Iterator[Estimate]:
        q = self.asked.q
        exposure = GROUP if GROUP in data.frame.columns else str(q.frequency)
        fit = self._fit(data, exposure)
        if exposure != GROUP:
            yield fit.estimate(
                {exposure: 1.0}, name="frequency", label=f"Per unit of {data.label(exposure)}",
                level=q.level, rank="primary",
            )  # fmt: skip
            return
        reference, *others = data.frame[GROUP].cat.categories
        for i, label in enumerate(others):
            yield fit.estimate(
                {f"{GROUP}[T.{label}]": 1.0}, name=f"group[{label}]",
                label=f"{label} against {reference}", level=q.level,
                rank="primary" if i == 0 else "secondary",
            )  # fmt: skip

    def _fit(self, data: Dataset, exposure: str) -> Any:
        q = self.asked.q
        times = f"{quote(q.entry)}, {TIME_Q}" if q.entry else TIME_Q
        formula = f"Surv({times}, {EVENT_Q}) ~ {_terms(exposure, *q.adjust)}{_strata(q.site)}"
        return survival.cox(formula, data, weights=q.weights)

    def _checks(self, data: Dataset) -> Iterator[Check]:
        q = self.asked.q
        exposure = GROUP if GROUP in data.frame.columns else str(q.frequency)
        fit = self._fit(data, exposure)
        yield Check(
            "exposure known at entry", "caution",
            (f"Column {q.frequency!r} is taken as known on the day of entry. Counted over the "
             "follow-up instead, it would manufacture an effect: give the diary then.",),
            about=str(q.frequency),
        )  # fmt: skip
        yield from fit.checks()

    def _tables(
        self, data: Dataset, group: Dataset, named: Mapping[str, Estimate]
    ) -> Iterator[Table]:
        q = self.asked.q
        described = list(dict.fromkeys([*q.adjust, *((q.site,) if q.site else ())]))
        yield table_one(group, described, GROUP, caption="The people analysed, at entry")
        yield _landmark_table(self.asked, group, named)
        ratios = [n for n in named if not n.startswith(("survival[", "rmst", "median["))]
        yield _ratio_table("ratios", "Hazard of relapse", ratios, named)
        yield missing_table(
            self.study["persons"],
            [c for c in (q.time, self.asked.event, q.frequency, *q.adjust) if c],
        )


def _with_reference(labels: Sequence[str], reference: str | None, column: str) -> list[str]:
    """The levels with the reference first; UsageError listing the levels when it is not one."""
    if reference is None:
        return list(labels)
    if reference not in labels:
        raise UsageError(
            f"Reference level {reference!r} is not among the levels of {column!r}: "
            f"{', '.join(labels[:12])}."
        )
    return [reference, *(label for label in labels if label != reference)]


# --- curves, tables, figures -------------------------------------------------------------


def _landmark_estimates(asked: _Asked, landmark: Dataset | None) -> Iterator[Estimate]:
    if landmark is not None:
        yield from _curve_estimates(asked, landmark)


def _start_of(asked: _Asked) -> str | None:
    """Curves of a diary start at the landmark; without one at entry, which may be late."""
    return "landmark" if asked.diary else asked.q.entry


def _curves(asked: _Asked, data: Dataset) -> Any:
    start = _start_of(asked)
    times = f"{quote(start)}, {TIME_Q}" if start else TIME_Q
    return survival.kaplan_meier(
        f"Surv({times}, {EVENT_Q}) ~ {quote(GROUP)}", data, level=asked.q.level
    )


def _curve_estimates(asked: _Asked, data: Dataset) -> Iterator[Estimate]:
    """Share relapse-free at the horizon and mean time until then, by group; log-rank test."""
    q, curves = asked.q, _curves(asked, data)
    sizes = data.frame.groupby(GROUP, observed=True).size()
    events = data.frame.groupby(GROUP, observed=True)[EVENT].sum()
    horizon = _horizon(asked, data)
    for row in curves.at([horizon]).itertuples(index=False):
        yield Estimate(
            f"survival[{row.group}]", f"{row.group}", row.estimate, row.conf_low, row.conf_high,
            row.std_error, scale="probability", level="descriptive", method="Kaplan–Meier",
            confidence=q.level, n=int(sizes[row.group]), events=int(events[row.group]),
        )  # fmt: skip
    for row in curves.rmst(horizon).itertuples(index=False):
        known = row.group in sizes.index
        yield Estimate(
            f"rmst[{row.group}]", f"Mean days free of relapse, {row.group}", row.estimate,
            row.conf_low, row.conf_high, row.std_error, scale="time", level="descriptive",
            method="restricted mean", confidence=q.level,
            n=int(sizes[row.group]) if known else len(data),
        )  # fmt: skip


def _landmark_table(asked: _Asked, data: Dataset, named: Mapping[str, Estimate]) -> Table:
    rows = []
    frame = data.frame
    for label in frame[GROUP].cat.categories:
        here = frame[frame[GROUP] == label]
        cells: tuple[Cell, ...] = (
            Count(len(here)), Count(int(here[EVENT].sum()), "events"),
            *(Ref(name, "interval") if name in named else None
              for name in (f"survival[{label}]", f"rmst[{label}]")),
        )  # fmt: skip
        rows.append(Row(f"group[{label}]", str(label), cells))
    return Table(
        "curves_table", "Relapse by attendance",
        (Column("n", "People"), Column("events", "Relapses"),
         Column("survival", "Relapse-free at the horizon"),
         Column("rmst", "Mean days relapse-free")),
        tuple(rows),
        ("Kaplan–Meier share and restricted mean time, with confidence intervals.",),
        (), data.label(GROUP),
    )  # fmt: skip


def _ratio_table(
    name: str, caption: str, names: Sequence[str], named: Mapping[str, Estimate],
    notes: tuple[str, ...] = (),
) -> Table:  # fmt: skip
    parts, heads = ("value", "range", "p"), ("HR", "CI", "p")
    rows = tuple(Row(n, named[n].label, tuple(Ref(n, p) for p in parts)) for n in names)
    columns = tuple(Column(p, h) for p, h in zip(parts, heads, strict=True))
    return Table(name, caption, columns, rows, ("HR: hazard ratio of relapse.", *notes))


def _attendance_table(known: Dataset, person: str) -> Table:
    """Share of the time at risk spent at each attendance in the seven days before."""
    frame = known.frame
    weight = frame["stop"] - frame["start"]
    rows = []
    for low, high, label in GROUPS:
        inside = (frame["meetings_last7"] >= low) & (frame["meetings_last7"] < high)
        people = frame.loc[inside, person].nunique()
        share = Quantity(float(weight[inside].sum() / weight.sum()), "percent", int(people))
        relapses = Count(int(frame.loc[inside, "event"].sum()), "events")
        rows.append(Row(f"attended[{label}]", label, (Count(int(people)), share, relapses)))
    return Table(
        "attendance", "Attendance in the seven days before, over the time at risk",
        (Column("people", "People ever"), Column("share", "Share of days at risk"),
         Column("events", "Relapses")), tuple(rows), (), (), "Meetings in 7 days",
    )  # fmt: skip


def _figures(
    asked: _Asked, data: Dataset | None, named: Mapping[str, Estimate]
) -> Mapping[str, Figure]:
    ratios = [n for n, e in named.items() if e.scale == "ratio"]
    figures: dict[str, Figure] = {}
    if ratios:
        figures["forest"] = ForestFigure(
            "forest", "Hazard ratio of relapse, asked in different ways",
            "Hazard ratio (below 1: later relapse)", tuple(Ref(n) for n in ratios), 1.0, True,
        )  # fmt: skip
    if data is not None:
        figures["curves"] = _curve_figure(asked, data)
    return figures


def _curve_figure(asked: _Asked, data: Dataset) -> CurveFigure:
    end = _horizon(asked, data)
    start = float(asked.q.landmark) if asked.diary else 0.0
    step = 90.0 if end > 200 else 30.0
    ticks = np.arange(0.0, end + 1, step)
    return CurveFigure(
        "curves",
        "Share of people who have not relapsed",
        "Days since entry",
        "Relapse-free",
        tuple(_until(s, end) for s in _curves(asked, data).series()),
        (start, *map(float, ticks[ticks > start])),
    )


def _until(series: Series, end: float) -> Series:
    """The part of a curve up to the horizon."""
    n = sum(x <= end for x in series.x)
    parts = ("x", "y", "low", "high", "n_at", "events_at", "censored_at")
    return replace(series, **{part: getattr(series, part)[:n] for part in parts})


def _horizon(asked: _Asked, data: Dataset) -> float:
    """The day to which risks are told: as asked, but not past the shortest group."""
    longest = data.frame.groupby(GROUP, observed=True)[TIME].max().min()
    return float(min(asked.q.horizon, longest))


def _coverage(rows: Dataset, known: Dataset) -> Check:
    def days(data: Dataset) -> float:
        return float((data.frame["stop"] - data.frame["start"]).sum())

    covered = days(known) / days(rows)
    lost = int(rows.frame["event"].sum() - known.frame["event"].sum())
    verdict = "ok" if covered > 0.9 else "caution"
    return Check(
        "diary coverage", verdict,  # type: ignore[arg-type]
        ("The diary covers the seven days before for ", Quantity(covered, "percent"),
         " of the days at risk; the rest are unknown, not days without meetings, and are left "
         "out with ", Count(lost, "events"), " relapses on them."),
    )  # fmt: skip


def _terms(*names: str) -> str:
    return " + ".join(map(quote, names))


def _strata(site: str | None) -> str:
    return f" + strata({quote(site)})" if site else ""
