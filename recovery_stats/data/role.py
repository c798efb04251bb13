"""The tables a study may have and the roles a column may play in them: one list to extend.

Everything that reads a study file, checks its data or drafts a new one goes by this list. The
patterns are English; they only make suggestions in a draft, nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Nature = Literal["id", "number", "time", "event", "code", "count", "day", "weight", "group", "any"]
"""What the values of a column must be.

id: any, never empty in a key. number: numeric. time: numeric, not negative. event: 0 or 1.
code: numeric codes. count: whole, not negative. day: a study day or a date. weight: above
zero. group: levels. any: no demand.
"""


@dataclass(frozen=True, slots=True)
class TableKind:
    """A table: what a row is, the roles that make its key, the columns that betray it."""

    name: str
    says: str
    key: tuple[str, ...]
    needs: tuple[str, ...]
    names: str


TABLES: Mapping[str, TableKind] = {
    t.name: t
    for t in (
        TableKind("persons", "one row a person", ("person",), ("person",), r"person|baseline|subj"),
        TableKind(
            "waves",
            "one row a person and interview wave",
            ("person", "wave"),
            ("person", "wave"),
            r"wave|visit|week|long|follow",
        ),
        TableKind(
            "meetings",
            "one row a meeting attended (a diary)",
            (),
            ("person", "meeting_day"),
            r"meet|diary|attend",
        ),
        TableKind(
            "stays",
            "one row a stay in a house",
            (),
            ("person", "start", "stop"),
            r"stay|housing|resid|spell",
        ),
        TableKind(
            "events",
            "one row an event of a person",
            (),
            ("person", "day", "cause"),
            r"event|relapse|outcome",
        ),
        TableKind("houses", "one row a house", ("house",), ("house",), r"^houses?\b"),
        TableKind("sites", "one row a site", ("site",), ("site",), r"^sites?\b|centre|center"),
    )
}


@dataclass(frozen=True, slots=True)
class Role:
    """What a column is for, in which tables, and how to recognise one.

    varies: a constant column cannot play it. names, labels: patterns for column names and
    variable labels, case ignored.
    """

    name: str
    tables: tuple[str, ...]
    nature: Nature
    says: str
    many: bool = False
    varies: bool = False
    names: str = ""
    labels: str = ""


ROLES: tuple[Role, ...] = (
    Role(
        "person",
        ("persons", "waves", "meetings", "stays", "events"),
        "id",
        "identifies a person",
        names=r"(p|person|patient|participant|subject|subj|case|resp\w*|client|u|i)?_?(id|nr|no|num\w*|code)|who|person|patient|participant|subject",
        labels=r"(person|patient|participant|subject|respondent|client|case)('s)?\s*(id\w*|number|code|key)",
    ),
    Role(
        "wave",
        ("waves",),
        "number",
        "which interview it is, in order",
        names=r"wave\d?|visit(_?n\w*)?|week(_?n\w*)?|occasion|assess\w*|timepoint|round|tpoint",
        labels=r"\b(interview|assessment|survey|study)?\s*(wave|visit|week|occasion|time ?point)\b(?! (of|to|in|used|with))",
    ),
    Role(
        "time",
        ("persons",),
        "time",
        "days (or any unit) from entry to relapse or to the end of observation",
        names=r"(t|time|days?|dur\w*|surv\w*|fu)_?(to_?)?(relapse|rel|event|lapse|use)?|followup(_?days)?|survtime|time_?to_\w+",
        labels=r"(time|days?|weeks?|months?) (from \w+( \w+)? )?(to|until|till) |(follow.?up|survival) (time|days)|length of follow",
    ),
    Role(
        "event",
        ("persons",),
        "event",
        "1 relapse seen, 0 censored",
        names=r"(relapse|relapsed|event|status|lapse|failure|censor(ed)?|cens|delta)(_?(ind\w*|flag|yn|status))?|ev_?relapse",
        labels=r"\b(relapsed?|censor\w*|event) ?(indicator|observed|status|flag|seen)?\b(?!.*(days|date|time))",
    ),
    Role(
        "entry",
        ("persons",),
        "time",
        "time at which observation began, on the clock of `time` (delayed entry)",
        names=r"(t_?)?(entry|enrol\w*_?day|late_?entry|t0|tstart)",
        labels=r"(delayed|late) entry|left.truncat|time (at|of) (entry|enrol)",
    ),
    Role(
        "entry_date",
        ("persons",),
        "day",
        "study day or date of entry (the diary's clock)",
        names=r"(entry|enrol\w*|admit|admission|intake|baseline|start)_?(date|dt|day)",
        labels=r"(date|study day|day) (of|at) (\w+ )?(entry|enrol\w*|admission|intake|baseline)",
    ),
    Role(
        "exit_date",
        ("persons",),
        "day",
        "study day or date of the end of observation",
        names=r"(exit|end|last|discharge|leave|dropout|censor)_?(date|dt|day|contact)",
        labels=r"(date|study day|day) (of|at) (\w+ )?(exit|end|last|discharge|leaving|censoring)|end of observation",
    ),
    Role(
        "cause",
        ("persons", "events"),
        "code",
        "which event it was; 0 = censored",
        names=r"(e|event|end)?_?(type|cause|kind|reason)|cause\w*|etype",
        labels=r"(type|cause|kind) of (event|end|failure)|event type|cause",
    ),
    Role(
        "arm",
        ("persons",),
        "group",
        "the groups compared",
        varies=True,
        names=r"(arm|treat\w*|trt\w*|group|grp|condition|rand\w*)(_\w+)?",
        labels=r"\b(arm|treatment (arm|group|assign\w*|condition)|randomi[sz]\w+|allocat\w+|housing (arm|group|condition))\b",
    ),
    Role(
        "frequency",
        ("persons",),
        "group",
        "meetings a week at baseline, a number or a group",
        varies=True,
        names=r"(meet\w*|mtg\w*|attend\w*|aa|na)_?(freq\w*|per_?w\w*|pw|wk|week\w*|base\w*|0|n|grp|group|cat)?|freq\w*",
        labels=r"meetings? (a|per|each|attended|frequency)|(frequency|number) of (\w+ )?(meetings?|attendance)|attendance frequency",
    ),
    Role(
        "site",
        ("persons", "waves", "houses", "sites"),
        "group",
        "where the person was recruited or treated",
        names=r"(site|centre|center|clinic|hospital|programme?)(_?(id|no|nr|code|num\w*))?",
        labels=r"\b(site|centre|center|clinic|programme?)( (id\w*|number|code))?$",
    ),
    Role(
        "house",
        ("persons", "waves", "stays", "houses"),
        "group",
        "the house the person lives in",
        names=r"(house|home|residence|dwelling)(_?(id|no|nr|code|num\w*))?",
        labels=r"\b(house|residence)( (id\w*|number|code)| \(current\))?$|current house",
    ),
    Role(
        "cluster",
        ("persons", "waves"),
        "group",
        "people in one cluster resemble each other: house or site",
        varies=True,
        names=r"cluster\w*",
        labels=r"\bcluster\b",
    ),
    Role(
        "outcome",
        ("persons", "waves"),
        "number",
        "what the analysis is about",
        many=True,
        varies=True,
        names=r"outcome\w*|pacs(_?tot\w*|_?sum|_?score)?|crav\w*|pda|abst\w*|days_?abst\w*|qol\w*|whoqol\w*|phq9?\w*|use_?days",
        labels=r"craving|days? abstinent|abstinen\w+|quality of life|days of (\w+ )?use|percent days",
    ),
    Role(
        "satisfaction",
        ("waves",),
        "number",
        "relationship satisfaction at the wave",
        varies=True,
        names=r"(ras|csi|das|rel_?sat|relsat|sat)\w*?(_?(tot\w*|sum|score|mean))?|satisf\w*",
        labels=r"relationship (satisfaction|assessment scale|quality)|couples? satisfaction|satisfaction with (the )?(relationship|partner)",
    ),
    Role(
        "partnered",
        ("persons", "waves"),
        "group",
        "has a partner at that wave",
        names=r"partner(ed)?(_?(yn|status|now))?|has_?partner|in_?relationship|cohab\w*",
        labels=r"\b(has a partner|partnered|in a relationship|lives with (a )?partner|partner status)\b",
    ),
    Role(
        "day",
        ("waves", "events"),
        "day",
        "the day it happened or was asked",
        names=r"(e|s|int|interview|visit|event|study)?_?(day|date|dt)|day_?(int|of_?\w+)?",
        labels=r"(study )?(day|date) of (the )?(interview|event|assessment|visit)|study day",
    ),
    Role(
        "meeting_day",
        ("meetings",),
        "day",
        "the day of the meeting",
        names=r"(m|meeting|meet|mtg|s|att\w*|visit)_?(day|date|dt)|day|date",
        labels=r"(study )?(day|date) of (the )?(meeting|attendance|session)|study day",
    ),
    Role(
        "kind",
        ("meetings",),
        "group",
        "what sort of meeting",
        names=r"m?_?(type|kind)|meeting_?(type|kind)",
        labels=r"(type|kind) of meeting|meeting (type|kind)",
    ),
    Role(
        "count",
        ("meetings",),
        "count",
        "meetings on that day, where a row may stand for several",
        names=r"(n|num|count|times)(_?(meet\w*|mtg\w*|att\w*))?",
        labels=r"number of meetings|times attended",
    ),
    Role(
        "start",
        ("stays",),
        "day",
        "the day the stay began",
        names=r"(in|start|from|move_?in|entry|admit\w*|begin)_?(day|date|dt)?",
        labels=r"(day|date) (of )?(moved in|moving in|move.?in|start|entry|admission)|first day",
    ),
    Role(
        "stop",
        ("stays",),
        "day",
        "the day the stay ended",
        names=r"(out|stop|end|to|move_?out|exit|leave|left)_?(day|date|dt)?",
        labels=r"(day|date) (of )?(moved out|moving out|move.?out|end|exit|leaving|discharge)|last day",
    ),
    Role(
        "reason",
        ("stays",),
        "group",
        "why the stay ended",
        names=r"(exit|end|leave|left|stop)(_?(reason|type|why|by))?|reason\w*",
        labels=r"reason|why .*(left|ended)|how the stay ended|exit",
    ),
    Role(
        "weights",
        ("persons", "waves"),
        "weight",
        "sampling or analysis weight",
        names=r"(w|wt|wgt|weights?|pweight|sampw\w*|finalwt)(_\w+)?",
        labels=r"\bweight(s|ing)?\b(?!.*(kg|lb|body|pounds))",
    ),
    Role(
        "adjust",
        ("persons", "waves"),
        "any",
        "baseline covariates to adjust for",
        many=True,
        varies=True,
        names=r"age(_\w+)?|sex|gender|female|male|race|ethnic\w*|educ\w*|sev\w*|employ\w*|marital\w*|prior_?(tx|treat\w*)|years_?use|ndrugtx|ivhx",
        labels=r"^age\b|\b(sex|gender|race|ethnicity|education|severity|employment|marital status|prior treatment)\b",
    ),
    Role(
        "diary_from",
        ("persons",),
        "day",
        "first day the person kept the diary (a day without a row is then no meeting)",
        names=r"diary_?(from|start|first|begin)",
        labels=r"(first|start).*diary|diary (start|from|began)",
    ),
    Role(
        "diary_to",
        ("persons",),
        "day",
        "last day the person kept the diary",
        names=r"diary_?(to|end|last|stop)",
        labels=r"(last|end).*diary|diary (end|to|stopped)",
    ),
)


def roles_of(table: str) -> Mapping[str, Role]:
    """The roles that columns of `table` may play, by name, in the order of the list."""
    return {r.name: r for r in ROLES if table in r.tables}


def nature_of(role: str) -> Nature:
    """What values a column in `role` must hold; 'any' for a role only an analysis knows."""
    return next((r.nature for r in ROLES if r.name == role), "any")
