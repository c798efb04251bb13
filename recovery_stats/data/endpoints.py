"""Relapse endpoints over weekly patterns of urine screens, by their published names.

A pattern has one symbol a week: + positive, - negative, * mixed, o missed, _ not scheduled. Only
scheduled weeks are in it: strings are never padded, because a padded week would count as missed.
A week that was not scheduled neither makes nor breaks a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from recovery_stats.errors import DataError, UsageError, rows_phrase, unknown

SYMBOLS = "+-*o_"
_POSITIVE = str.maketrans({"o": "+", "*": "+"})


@dataclass(frozen=True, slots=True)
class RunEndpoint:
    """Weeks to the first run of `length` positive weeks that starts in week `first` or later.

    Missed and mixed weeks count as positive. Without a run the person is censored at the last
    week in which one could have begun.
    """

    name: str
    text: str
    citation: str
    doi: str
    length: int
    first: int

    def time_and_event(self, pattern: str) -> tuple[int, int]:
        """Week of relapse (or of censoring) counted from 1, and 1 where relapse was reached."""
        weeks = pattern.translate(_POSITIVE)
        run = re.compile(r"(?:\+_*){" + str(self.length - 1) + r"}\+")
        found = run.search(weeks, self.first - 1)
        if found:
            return found.start() + 1, 1
        return max(len(weeks) - self.length + 1, 0), 0


ENDPOINTS: Mapping[str, RunEndpoint] = {
    e.name: e
    for e in (
        RunEndpoint(
            "Rs_ctnFiftyOne_2018",
            "Weeks to relapse: from day 21 after randomisation, four consecutive weeks with a "
            "positive, mixed or missed screen",
            "Lee et al. 2018, Lancet 391:309 (CTN-0051)",
            "10.1016/S0140-6736(17)32812-X",
            4,
            3,
        ),
        RunEndpoint(
            "Rs_ctnNinetyFour_2023",
            "Weeks to relapse: four consecutive weeks with a positive, mixed or missed screen",
            "CTN-0094 (public.ctn0094data)",
            "",
            4,
            1,
        ),
    )
}


def endpoint(patterns: Iterable[str | None], name: str) -> pd.DataFrame:
    """Columns `time` (weeks) and `event` for each pattern; NaN where there is no pattern.

    Raises UsageError for an unknown definition and DataError for a symbol that is not one of
    `+ - * o _`. Checked: published results of a quarter of the CTN-0094 participants.
    """
    if name not in ENDPOINTS:
        raise UsageError(unknown("endpoint", name, ENDPOINTS))
    series = patterns if isinstance(patterns, pd.Series) else pd.Series(list(patterns))
    known = series.notna() & (series.fillna("") != "")
    wrong = known & ~series.fillna("").str.fullmatch(rf"[{re.escape(SYMBOLS)}]*")
    if wrong.any():
        raise DataError(
            f"A weekly pattern has a symbol other than {' '.join(SYMBOLS)} in "
            f"{rows_phrase(list(series.index[wrong]))}."
        )
    definition = ENDPOINTS[name]
    pairs = [definition.time_and_event(p) for p in series[known]]
    found = pd.DataFrame(pairs, index=series.index[known], columns=["time", "event"], dtype=float)
    return found.reindex(series.index)
