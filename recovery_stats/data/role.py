"""The tables a study may have and the roles a column may play in them: one list to extend.

Everything that reads a study file, checks its data or drafts a new one goes by this list; the
words by which a draft recognises a role are in `wording`.
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
    """A table: what a row is, the roles that make its key, those it is nothing without.

    names: a pattern found in the names of such files.
    """

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
            "spells",
            "one row a spell in custody or a controlled environment (or one row a day inside)",
            (),
            ("person", "start"),
            r"custod|jail|prison|incarc|controlled",
        ),
        TableKind(
            "events",
            "one row an event of a person",
            (),
            ("person", "day", "cause"),
            r"event|relapse|outcome",
        ),
        TableKind(
            "weeks",
            "one row a person and week, with covariates that change",
            ("person", "week"),
            ("person", "week"),
            r"^weeks?$",
        ),
        TableKind("houses", "one row a house", ("house",), ("house",), r"^houses?\b"),
        TableKind("sites", "one row a site", ("site",), ("site",), r"^sites?\b|centre|center"),
    )
}


@dataclass(frozen=True, slots=True)
class Role:
    """What a column is for, and in which tables.

    varies: a constant column cannot play it.
    """

    name: str
    tables: tuple[str, ...]
    nature: Nature
    says: str
    many: bool = False
    varies: bool = False


ROLES: tuple[Role, ...] = (
    Role(
        "person",
        ("persons", "waves", "meetings", "stays", "spells", "events", "weeks"),
        "id",
        "identifies a person",
    ),
    Role("wave", ("waves",), "number", "which interview it is, in order"),
    Role("week", ("weeks",), "number", "which week it is, in order"),
    Role(
        "time",
        ("persons",),
        "time",
        "days (or any unit) from entry to relapse or to the end of observation",
    ),
    Role("event", ("persons",), "event", "1 relapse seen, 0 censored"),
    Role(
        "entry",
        ("persons",),
        "time",
        "time at which observation began, on the clock of `time` (delayed entry)",
    ),
    Role("other_time", ("persons",), "time", "time under another definition of relapse", many=True),
    Role("other_event", ("persons",), "event", "relapse by another definition: 1 or 0", many=True),
    Role("entry_date", ("persons",), "day", "study day or date of entry (the diary's clock)"),
    Role("exit_date", ("persons",), "day", "study day or date of the end of observation"),
    Role("cause", ("persons", "events"), "code", "which event it was; 0 = censored"),
    Role("arm", ("persons",), "group", "the groups compared", varies=True),
    Role(
        "frequency",
        ("persons",),
        "group",
        "meetings a week at baseline, a number or a group",
        varies=True,
    ),
    Role(
        "site",
        ("persons", "waves", "houses", "sites"),
        "group",
        "where the person was recruited or treated",
    ),
    Role(
        "house", ("persons", "waves", "stays", "houses"), "group", "the house the person lives in"
    ),
    Role(
        "cluster",
        ("persons", "waves"),
        "group",
        "people in one cluster resemble each other: house or site",
        varies=True,
    ),
    Role(
        "outcome",
        ("persons", "waves"),
        "number",
        "what the analysis is about",
        many=True,
        varies=True,
    ),
    Role(
        "satisfaction", ("waves",), "number", "relationship satisfaction at the wave", varies=True
    ),
    Role("partnered", ("persons", "waves"), "group", "has a partner at that wave"),
    Role("day", ("waves", "events"), "day", "the day it happened or was asked"),
    Role("meeting_day", ("meetings",), "day", "the day of the meeting"),
    Role("kind", ("meetings",), "group", "what sort of meeting"),
    Role(
        "count", ("meetings",), "count", "meetings on that day, where a row may stand for several"
    ),
    Role("start", ("stays", "spells"), "day", "the day the stay began"),
    Role("stop", ("stays", "spells"), "day", "the day the stay ended"),
    Role("reason", ("stays",), "group", "why the stay ended"),
    Role(
        "characteristic",
        ("persons", "houses"),
        "any",
        "characteristics: of people, to describe them; of houses, by which an effect may differ",
        many=True,
        varies=True,
    ),
    Role("weights", ("persons", "waves"), "weight", "sampling or analysis weight"),
    Role(
        "adjust",
        ("persons", "waves"),
        "any",
        "baseline covariates to adjust for",
        many=True,
        varies=True,
    ),
    Role(
        "diary_from",
        ("persons",),
        "day",
        "first day the person kept the diary (a day without a row is then no meeting)",
    ),
    Role("diary_to", ("persons",), "day", "last day the person kept the diary"),
    Role("known", ("persons", "events"), "day", "last day known free of relapse"),
    Role(
        "randomised_cluster",
        ("persons",),
        "group",
        "whole clusters were randomised: house or site",
        varies=True,
    ),
    Role(
        "changing",
        ("weeks",),
        "number",
        "covariates that change from week to week",
        many=True,
        varies=True,
    ),
)


def roles_of(table: str) -> Mapping[str, Role]:
    """The roles that columns of `table` may play, by name, in the order of the list."""
    return {r.name: r for r in ROLES if table in r.tables}


def nature_of(role: str) -> Nature:
    """What values a column in `role` must hold; 'any' for a role only an analysis knows."""
    return next((r.nature for r in ROLES if r.name == role), "any")
