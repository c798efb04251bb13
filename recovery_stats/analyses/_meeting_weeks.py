"""Attendance described week by week until relapse, and what the diary holds that is not used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from recovery_stats.analyses._meeting_groups import COUNTS
from recovery_stats.analyses._meeting_people import EVENT, TIME, Asked
from recovery_stats.analyses._meeting_rows import diary_columns
from recovery_stats.analyses._wording import opening, plural
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.models.attendance import WEEK, mean_by_person, person_weeks

PERIODS = ((1, 4), (5, 12), (13, 26), (27, 52), (53, 104), (105, None))
LAST_WEEKS = 4  # before relapse
ROUND = (5, 7, 10)  # weekly counts on which memory heaps
HEAPED = 2.0  # times as frequent as its neighbours from which a heap is called one
FEWEST_WEEKS = 20  # of the neighbours below which a heap is luck


@dataclass(frozen=True, slots=True)
class Weeks:
    """Whole covered weeks before relapse, one row each, in parts that have a name and a label."""

    asked: Asked
    frame: pd.DataFrame

    @classmethod
    def of(cls, asked: Asked, study: Study, people: Dataset) -> Weeks:
        q = asked.q
        found = person_weeks(
            people, person=asked.person, stop=TIME, event=EVENT, start=q.entry,
            diary_from=q.diary_from, diary_to=q.diary_to, **diary_columns(asked, study),
        )  # fmt: skip
        return cls(asked, _outside(asked, people, found.frame))

    def parts(self) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
        """(head, key, label, rows) of each line of the table; a part without a week is left out."""
        frame, event = self.frame, self.frame["to_event"].notna()
        last = event & (frame["to_event"] < LAST_WEEKS)
        for low, high in PERIODS:
            inside = (frame["week"] >= low) & (frame["week"] <= (high or np.inf))
            label = f"Weeks {low} to {high}" if high else f"From week {low} on"
            yield "By time since entry", f"week_{low}", label, frame[inside]
        head = "By what came later"
        yield head, "relapsed", "Of those who relapsed", frame[event]
        yield head, "last_weeks", f"Their last {LAST_WEEKS} weeks", frame[last]
        yield head, "not_relapsed", "Of those who did not", frame[~event]


def _outside(asked: Asked, people: Dataset, weeks: pd.DataFrame) -> pd.DataFrame:
    """The weeks that hold no day in custody."""
    if asked.custody.away is None:
        return weeks
    at = weeks["person"].to_numpy()
    entry = people.frame[asked.q.entry].to_numpy(float)[at] if asked.q.entry else 0.0
    first = np.floor(entry) + WEEK * (weeks["week"].to_numpy() - 1)
    inside = asked.custody.away.days(people.frame[asked.person].to_numpy()[at], first - 1.0, WEEK)
    return weeks[~inside.any(axis=1)]


def week_estimates(weeks: Weeks) -> Iterator[Estimate]:
    """Mean attendance a week, all together and in each part, with its interval."""
    for _, key, label, rows in (("", "all", "All weeks", weeks.frame), *weeks.parts()):
        people = rows["person"].nunique()
        if people < 2:
            continue
        mean, se = mean_by_person(rows["attended"].to_numpy(), rows["person"].to_numpy())
        half = NormalDist().inv_cdf((1 + weeks.asked.q.level) / 2) * se
        yield Estimate(
            f"attended[{key}]", f"Mean a week: {label}", mean, max(mean - half, 0.0), mean + half,
            se, scale="time", level="descriptive", method="mean of person-weeks, robust by person",
            confidence=weeks.asked.q.level, n=people,
        )  # fmt: skip


def week_table(weeks: Weeks, named: dict[str, Estimate]) -> Table:
    """Mean and distribution of weekly attendance over time and by what came later."""
    rows: list[Row] = [_row("all", "All weeks until relapse", weeks.frame, named)]
    head = ""
    for title, key, label, part in weeks.parts():
        if f"attended[{key}]" not in named:
            continue
        if title != head:
            rows.append(Row(f"head[{title}]", title))
            head = title
        rows.append(_row(key, label, part, named, 1))
    name = plural(weeks.asked.q.meeting_name)
    return Table(
        "weeks",
        f"{opening(name)} a week, until relapse or the end of observation",
        (
            Column("mean", "Mean [CI]"),
            *(Column(f"share_{int(low)}", label, "Share of weeks with") for low, label in COUNTS),
        ),
        tuple(rows),
        (
            "Whole weeks before relapse that the diary covers. Who relapsed early gives few and "
            "early weeks, so that lines by what came later describe and do not compare.",
        ),
    )


def _row(
    key: str, label: str, part: pd.DataFrame, named: dict[str, Estimate], depth: int = 0
) -> Row:
    ends = [low for low, _ in COUNTS[1:]] + [np.inf]
    shares: list[Cell] = []
    for (low, _), high in zip(COUNTS, ends, strict=True):
        inside = (part["attended"] >= low) & (part["attended"] < high)
        people = int(part.loc[inside, "person"].nunique())
        shares.append(Quantity(float(inside.mean()), "percent", people))
    return Row(f"weeks[{key}]", label, (Ref(f"attended[{key}]", "interval"), *shares), depth)


def week_checks(weeks: Weeks, study: Study, people: Dataset) -> Iterator[Check]:
    """Heaps of round numbers, and rows of the diary that say something else than it seems."""
    yield _heaping(weeks)
    yield _records(weeks.asked, study, people)


def _heaping(weeks: Weeks) -> Check:
    """The largest of the named counts over the mean of its two neighbours."""
    tally = np.bincount(weeks.frame["attended"].round().astype(int), minlength=max(ROUND) + 2)
    beside = {c: (tally[c - 1] + tally[c + 1]) / 2 for c in ROUND}
    ratios = [tally[c] / beside[c] for c in ROUND if beside[c] >= FEWEST_WEEKS]
    if not ratios:
        return Check("heaping", "ok", ("Too few weeks with many attended to look for heaps.",))
    largest = float(max(ratios))
    return Check(
        "heaping",
        "caution" if largest > HEAPED else "ok",
        (
            "Weeks with 5, 7 or 10 attended are at most ",
            Quantity(largest),
            " times as frequent as weeks with one more or less; a count recalled in round numbers "
            "would heap there.",
        ),
    )


def _records(asked: Asked, study: Study, people: Dataset) -> Check:
    """Rows before entry, after the end, of strangers, repeated: counted, each with its rule."""
    q = asked.q
    diary = diary_columns(asked, study)["meetings"]
    frame = diary.frame
    persons = people.frame.set_index(asked.person)
    stop = frame[q.meeting_person].map(persons[TIME])
    start = frame[q.meeting_person].map(persons[q.entry]) if q.entry else stop * 0.0
    day = frame[q.meeting_day]
    columns = [c for c in frame.columns if frame[c].notna().any()]
    counts = (
        (int((day < np.floor(start)).sum()), "before entry (they count in the windows that reach "
         "back, and in no strategy)"),
        (int((day >= stop).sum()), "on or after the day on which observation ends (they act on no "
         "day at risk)"),
        (int(frame.duplicated(columns).sum()), "like an earlier row in every column (each counts, "
         "as two on one day may be meant; the sensitivity table counts one a day at most)"),
        (int(day.isna().sum()), "without a day (left out)"),
        (int((stop.isna() & frame[q.meeting_person].notna()).sum()), "of people not analysed"),
    )  # fmt: skip
    parts: list[Cell] = ["Rows of the diary: ", Count(len(frame), "rows")]
    for number, words in counts:
        parts += ["; " if len(parts) > 2 else ". Of these ", Count(number, "rows"), f" {words}"]
    repeated = counts[2][0] > 0.05 * len(frame)
    return Check("diary rows", "caution" if repeated else "ok", (*parts, "."), str(q.meeting_day))
