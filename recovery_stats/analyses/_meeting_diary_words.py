"""What the report with a diary says: its estimand, the facts of its sentences, what holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recovery_stats.analyses import _meeting_tables as pages
from recovery_stats.analyses._meeting_curves import Groups
from recovery_stats.analyses._meeting_custody import custody_said
from recovery_stats.analyses._meeting_landmark import LEAST, MOST
from recovery_stats.analyses._meeting_models import MAIN
from recovery_stats.analyses._meeting_people import EVENT, Asked
from recovery_stats.analyses._meeting_strategy import PRIMARY, Strategies
from recovery_stats.analyses._meeting_strategy import estimand as strategy_estimand
from recovery_stats.analyses._wording import holding, plural
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.study import Study

NOT_DONE = ("weekly_counts", "told_once", "few_lost", "no_future")
ANSWERS = {-1: "Yes: rarer", 0: "No association shown", 1: "No: more frequent"}


@dataclass(frozen=True, slots=True)
class Case:
    """What one report is written from. rows: all days at risk; known: those the diary covers."""

    asked: Asked
    study: Study
    people: Dataset
    rows: Dataset
    known: Dataset


def estimand(case: Case) -> Estimand:
    """The primary estimand as declared before the run."""
    if case.asked.by_strategy:
        return strategy_estimand(case.asked, case.study)
    name = case.asked.q.meeting_name
    return Estimand(
        population=case.study.protocol.population,
        treatment=f"one more {name} in the seven days before the day at risk, against that many "
        "less, at equal covariates",
        endpoint="first relapse, in days from entry",
        intercurrent=f"{_ends(case.asked)} end observation (cause-specific "
        f"hazard); {plural(name)} after relapse are not counted",
        summary=f"hazard ratio of relapse per {name} in the last seven days",
    )


def _ends(asked: Asked) -> str:
    if asked.custody.suspended:
        return "time in custody is no time at risk; death and loss to follow-up"
    return "death, incarceration and loss to follow-up"


def facts(case: Case, groups: Groups | None, named: Mapping[str, Estimate]) -> dict[str, Cell]:
    q, frame = case.asked.q, case.known.frame
    days = frame["stop"] - frame["start"]
    found: dict[str, Cell] = {
        "people": Count(len(case.people)),
        "relapses": Count(int(case.people.frame[EVENT].sum()), "events"),
        "person_years": Quantity(pages.person_years(case.known, "start", "stop")),
        "meeting": q.meeting_name,
        "meetings": plural(q.meeting_name),
        "mean_meetings": Quantity(float((frame["meetings_last7"] * days).sum() / days.sum())),
        "covered": Quantity(pages.covered(case.rows, case.known), "percent"),
        "late": Count(pages.late_entry(case.asked, case.people)),
        "landmark": Quantity(float(q.landmark), "whole"),
        "horizon": Quantity(groups.horizon if groups else float(q.horizon), "whole"),
        "half_life": Quantity(float(q.half_life), "df"),
        "confidence": Quantity(100 * q.level, "df"),
        "exposure_source": q.exposure_source,
        "notes": " ".join(q.notes),
    }
    if "from_day_7" in named:
        found["later_answer"] = ANSWERS[_verdict(named["from_day_7"])]
    if groups is not None:
        for fact, label in (("free_most", MOST), ("free_least", LEAST)):
            if f"free[{label}]" in named:
                found[fact] = Ref(f"free[{label}]", "per_100")
    return found


def said(case: Case, groups: Groups | None, named: Mapping[str, Estimate]) -> frozenset[str]:
    q, main, naive = case.asked.q, named[MAIN], named.get("naive_weekly")
    shown = _rejects(main)
    conditions = {
        "diary": True,
        "shown": shown,
        "not_shown": not shown,
        "lower": main.value < 1,
        "higher": main.value >= 1,
        "stays": case.asked.stays,
        "weekday": case.asked.weekday,
        "known": q.known is not None,
        "adjusted": bool(q.adjust),
        "undescribed": not q.described,
        "stratified": q.site is not None,
        "weighted": q.weights is not None,
        "late_entry": pages.late_entry(case.asked, case.people) > 0,
        "landmark": groups is not None,
        "contrast": "free_difference" in named,
        "first_week": "from_day_7" in named and _verdict(named["from_day_7"]) != _verdict(main),
        "naive_fooled": naive is not None and _rejects(naive) and not shown,
        "notes": bool(q.notes),
        "weekly_counts": not case.asked.daily_diary,
        "told_once": "recurrent" not in named and q.sensitivity,
        "few_lost": "lost_relapse" not in named and q.sensitivity,
        "no_future": "future" not in named and q.sensitivity,
    }
    conditions |= custody_said(q, case.asked.custody)
    conditions["not_done"] = any(conditions[n] for n in NOT_DONE)
    return holding(conditions) | named.keys()


def _rejects(estimate: Estimate) -> bool:
    return estimate.p < 1 - estimate.confidence


def _verdict(estimate: Estimate) -> int:
    """What the report says of a ratio: -1 rarer, 1 more frequent, 0 not shown."""
    return (1 if estimate.value >= 1 else -1) if _rejects(estimate) else 0


def strategy_said(emulated: Strategies | None, named: Mapping[str, Estimate]) -> dict[str, bool]:
    """What may be said of the primary estimand, where it is that of the strategies."""
    found = named.get(PRIMARY)
    shown = found is not None and (found.high < 0 or found.low > 0)
    return {
        "strategy": emulated is not None,
        "strategy_estimated": found is not None,
        "strategy_refused": emulated is not None and found is None,
        "strategy_lower": shown and found is not None and found.high < 0,
        "strategy_higher": shown and found is not None and found.low > 0,
        "strategy_not_shown": found is not None and not shown,
        "weekly_primary": emulated is None,
    }
