"""Does going to more recovery meetings go with later relapse, without fooling anyone?

Attendance is counted strictly before the day at risk, from a diary, in (start, stop] rows. Coded
at baseline from the whole follow-up it would manufacture an effect: who relapses stops attending,
and who stays abstinent has time to attend (immortal time). That naive answer is printed beside.
"""

from __future__ import annotations

from dataclasses import dataclass

from recovery_stats.analyses import _meeting_baseline, _meeting_diary
from recovery_stats.analyses._meeting_people import Asked, read_people
from recovery_stats.analyses._question import Common, column, columns, option
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.models.missing_figure import with_missing_bars

TABLES = {
    "persons": "One row a person: time to relapse, event, entry, baseline covariates, site.",
    "meetings": "The diary: one row a meeting (person, day), or counts a day or week (optional).",
    "stays": "Stays in recovery houses: person, first and last day (optional).",
    "weeks": "Covariates that change: one row a person and week (optional).",
    "events": "Relapses and other events, first and later: person, day, kind (optional).",
    "spells": "Spells in custody or a controlled environment: person, first and last day, or one "
    "row a day inside (optional).",
}


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
    cause: str | None = column(
        "Cause of the first event, 0 for none; with it all causes are tabulated.",
        table="persons",
        role="cause",
    )
    other_time: tuple[str, ...] = columns(
        "Time under another definition of relapse (repeatable, in the order of the events).",
        table="persons",
        role="other_time",
    )
    other_event: tuple[str, ...] = columns(
        "Relapse by another definition: 1 relapse, 0 censored (repeatable).",
        table="persons",
        role="other_event",
    )
    entry: str | None = column(
        "Day on which observation began, where later than day 0.", table="persons", role="entry"
    )
    entry_date: str | None = column(
        "Day or date of entry: beside a time it tells the weekday; with an exit date it "
        "replaces the time.",
        table="persons",
        role="entry_date",
    )
    exit_date: str | None = column(
        "Date of relapse or end of observation.", table="persons", role="exit_date"
    )
    frequency: str | None = column(
        "Without a diary: meetings a week, or a group, known at entry.",
        table="persons",
        role="frequency",
    )
    site: str | None = column(
        "Site; the baseline hazard may differ between sites.", table="persons", role="site"
    )
    diary_from: str | None = column(
        "First day the diary covers.", table="persons", role="diary_from"
    )
    diary_to: str | None = column("Last day the diary covers.", table="persons", role="diary_to")
    known: str | None = column(
        "Last day known free of relapse, where the recorded day of relapse is later.",
        table="persons",
        role="known",
    )
    cluster: str | None = column(
        "Where whole clusters were randomised: drawn together by the bootstrap.",
        table="persons",
        role="randomised_cluster",
    )
    meeting_person: str | None = column(
        "Person identifier in the diary.", table="meetings", role="person", default="pid"
    )
    meeting_day: str | None = column(
        "Day (or week) of the meeting, counted from entry.", table="meetings", role="meeting_day"
    )
    meeting_count: str | None = column(
        "Meetings in the row, where a row is a day or a week.", table="meetings", role="count"
    )
    stay_person: str | None = column(
        "Person identifier in the stays.", table="stays", role="person", default="pid"
    )
    stay_start: str | None = column("First day of the stay.", table="stays", role="start")
    stay_stop: str | None = column("Day of leaving.", table="stays", role="stop")
    week_person: str | None = column(
        "Person identifier in the table of weeks.", table="weeks", role="person", default="pid"
    )
    week: str | None = column("Week, counted from entry (0).", table="weeks", role="week")
    changing: tuple[str, ...] = columns(
        "Covariate that changes from week to week and may drive attendance (repeatable).",
        table="weeks",
        role="changing",
    )
    event_person: str | None = column(
        "Person identifier in the table of events.", table="events", role="person", default="pid"
    )
    event_day: str | None = column("Day of the event.", table="events", role="day")
    event_kind: str | None = column("What happened.", table="events", role="cause")
    event_known: str | None = column(
        "Last day known free of it, where the recorded day is later.", table="events", role="known"
    )
    event_code: str = option("Code or label of the kind of event that is a relapse.", default="")
    custody_person: str | None = column(
        "Person identifier in the spells.", table="spells", role="person", default="pid"
    )
    custody_start: str | None = column(
        "Day of going in (or, without a last day, the day inside).", table="spells", role="start"
    )
    custody_stop: str | None = column("Last day inside.", table="spells", role="stop")
    design: str = option(
        "How people came into the groups of --frequency.", default="chosen",
        choices=("chosen", "randomised"),
    )  # fmt: skip
    custody: str = option(
        "Custody: an event that competes with relapse, or time not at risk.",
        default="competing",
        choices=("competing", "suspended"),
    )
    custody_cause: str = option("Code or label of the cause that means custody.", default="")
    primary: str = option(
        "The primary estimand, declared before the run.",
        default="strategy",
        choices=("strategy", "weekly"),
    )
    more_from: int = option("Higher strategy: fewest meetings in a completed block.", default=12)
    more_to: int = option("Higher strategy: most meetings in a block (0: no limit).", default=0)
    fewer_from: int = option("Lower strategy: fewest meetings in a completed block.", default=2)
    fewer_to: int = option("Lower strategy: most meetings in a block (0: no limit).", default=6)
    block_days: int = option("Days of a block in which attendance is judged.", default=28)
    grace_blocks: int = option("Blocks running out of range that are forgiven.", default=1)
    strategy_days: int = option("Days for which the strategies are kept.", default=365)
    truncate: float = option("Share of the largest weights that are cut.", default=0.01)
    replicates: int = option("Bootstrap draws of people.", default=500)
    lost_cause: str = option("Code or label of the cause that means loss to follow-up.", default="")
    meeting_name: str = option("What a meeting is called in the text.", default="meeting")
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
    """Hazard of relapse by attendance known before the day at risk, and its rivals."""
    asked = Asked.of(question, study)
    people = read_people(asked, study)
    way = _meeting_diary if asked.diary else _meeting_baseline
    return with_missing_bars(way.answer(asked, study, people), "Share of people")
