"""What happens to true values before a researcher sees them; every piece can be switched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mess:
    """Rates of everything that goes wrong between the world and the file.

    dropout: people miss waves (log odds rise with wave and severity, fall with work; in preset
    mnar with use on the day) and come back with probability `returns`. lost_per_year: rate of
    loss to follow-up, more in the severely affected. refused: an answer refused (-98).
    item_skip, page_skip: one RAS item, or the page, left out (-99). straight_line: all RAS
    items alike. miskeyed: a RAS item typed outside 1 to 5. heaped: days of 30 rounded to 0, 1,
    4, 14 or 30. late_entry: share who enter observation after day 0. house_moves: residents
    who move to another house of the site. houses_closed: houses that close during the study.
    week_known: share of relapses dated to the end of their week (off unless asked for: it
    biases analyses that take the day at its word). duplicates: repeated person rows.
    conflicting: stays that end before they begin.
    """

    dropout: bool = True
    returns: float = 0.35
    lost_per_year: float = 0.05
    refused: float = 0.01
    item_skip: float = 0.015
    page_skip: float = 0.005
    straight_line: float = 0.02
    miskeyed: float = 0.001
    heaped: float = 0.40
    late_entry: float = 0.10
    house_moves: float = 0.15
    houses_closed: float = 0.05
    week_known: float = 0.0
    duplicates: float = 0.0
    conflicting: float = 0.0


REALISTIC = Mess()
NO_MESS = Mess(False, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
DIRTY = Mess(week_known=0.40, duplicates=0.002, conflicting=0.002)


def choose(mess: bool | Mess) -> Mess:
    """The rates asked for: True is the realistic mess, False none."""
    if isinstance(mess, Mess):
        return mess
    return REALISTIC if mess else NO_MESS
