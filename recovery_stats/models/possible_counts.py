"""Which whole numbers of people can stand behind a published percentage?

A percentage printed to one decimal allows few counts where groups are small, and none at all for
some denominators: then the denominator, or the percentage, is not what the paper says. Two
percentages of parts and the one of their whole allow fewer still.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import ceil, floor

import pandas as pd

from recovery_stats.errors import UsageError

PERCENT = re.compile(r"\s*(\d+)(?:[.,·](\d+))?\s*%?\s*")
PEOPLE = (1, 1000)
MOST_PAIRS = 4_000_000  # combinations of the parts' counts that are tried


def possible_counts(
    *percentages: str, people: int | tuple[int, int] = PEOPLE, whole: str | None = None
) -> pd.DataFrame:
    """Every count and denominator that each percentage, as printed, may stand for.

    percentages: as the paper prints them ("31.3 %"): their decimals say how they were rounded.
    people: the denominators tried, up to a number or from one to another. whole: the percentage
    of all the parts together, whose denominator is within `people` as well; then the rows are
    those combinations of the parts whose sum rounds to it.

    One percentage: columns events, n. Several with a whole: events_1, n_1, … and events, n of the
    sum. A percentage that lies half way may have been rounded up or down: both are allowed.
    Raises UsageError for what is no percentage, several without a whole, or too wide a search.
    Source: Brown & Heathers 2017 (the test is theirs, for means). Checked: Oxford House trial,
    15.6 % and 45.7 % of 31.3 %: 5/32 and 16/35 alone; brute force.
    """
    low, high = (1, people) if isinstance(people, int) else people
    if not 1 <= low <= high:
        raise UsageError(f"People run from 1 or more upward, not from {low} to {high}.")
    if not percentages or (len(percentages) > 1) != (whole is not None):
        raise UsageError(
            "Give one percentage alone, or those of the parts with `whole`, the percentage of all."
        )
    found = [list(_counts(text, low, high)) for text in percentages]
    if whole is None:
        return pd.DataFrame(found[0], columns=["events", "n"])
    return _together(found, whole, high)


def _counts(text: str, low: int, high: int) -> Iterator[tuple[int, int]]:
    """(events, n) for every n from low to high whose share rounds to the percentage."""
    least, most = _bounds(text)
    for n in range(low, high + 1):
        for events in range(max(ceil(least * n), 0), min(floor(most * n), n) + 1):
            yield events, n


def _bounds(text: str) -> tuple[Fraction, Fraction]:
    """The shares that print as `text`: half a unit of its last digit to either side."""
    read = PERCENT.fullmatch(str(text))
    if read is None or not 0 <= (value := Fraction(f"{read[1]}.{read[2] or 0}")) <= 100:
        raise UsageError(f"{text!r} is no percentage from 0 to 100, such as '31.3 %'.")
    half = Fraction(1, 2 * 10 ** len(read[2] or ""))
    return (value - half) / 100, (value + half) / 100


def _together(parts: list[list[tuple[int, int]]], whole: str, most: int) -> pd.DataFrame:
    """The combinations of the parts' counts whose sums print as the whole."""
    tried = 1
    for part in parts:
        tried *= max(len(part), 1)
    if tried > MOST_PAIRS:
        raise UsageError(
            f"{tried} combinations of counts would have to be tried, more than {MOST_PAIRS}; "
            "say with `people` how large the groups can be."
        )
    least, largest = _bounds(whole)
    rows = []
    for chosen in product(*parts):
        events, n = (sum(part) for part in zip(*chosen, strict=True))
        if n <= most and least * n <= events <= largest * n:
            rows.append((*(x for pair in chosen for x in pair), events, n))
    names = [f"{kind}_{i}" for i in range(1, len(parts) + 1) for kind in ("events", "n")]
    return pd.DataFrame(rows, columns=[*names, "events", "n"])
