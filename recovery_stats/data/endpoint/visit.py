"""Patterns from tables with a row a visit or a day, and several visits a week put into weeks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.data.endpoint.pattern import (
    CODE,
    MISSED,
    MIXED,
    NEGATIVE,
    NO_VISIT,
    POSITIVE,
    Codes,
    read_patterns,
    write_patterns,
)
from recovery_stats.errors import DataError, UsageError, rows_phrase, unknown

Kind = Literal["screen", "diary"]
KINDS = ("screen", "diary")


@dataclass(frozen=True, slots=True)
class Meaning:
    """Codes of results; a cell that is empty is a missed visit."""

    negative: tuple[float, ...] = (0.0,)
    positive: tuple[float, ...] = (1.0,)
    mixed: tuple[float, ...] = (2.0,)
    not_scheduled: tuple[float, ...] = ()


def visit_patterns(
    data: Dataset | pd.DataFrame,
    *,
    person: str,
    time: str,
    result: str,
    kind: Kind = "screen",
    start: str | None = None,
    scheduled: int | Mapping[Any, int] | pd.Series | None = None,
    negative: Sequence[float] = (0,),
    positive: Sequence[float] = (1,),
    mixed: Sequence[float] = (2,),
    not_scheduled: Sequence[float] = (),
) -> pd.Series:
    """The pattern of each person, from a table with a row for each person and visit (or day).

    time: the place of the visit, counted from 1: a week, a day, a number of a visit; or a date,
    with `start` the column of each person's first day. kind: "screen", a code (negative,
    positive, mixed) or a symbol; "diary", an amount of which more than 0 is positive, as in a
    timeline follow-back. An empty result is a missed visit, unless its missing code is among
    `not_scheduled`.

    A place without a row is not scheduled. Where rows tell only of visits that took place, give
    `scheduled`, the number of places scheduled (one number, or one a person): the places without
    a row up to it are missed, and a person without any row has missed them all.

    Returns a Series indexed by person, for `rs.endpoint`. Put days or several visits a week into
    weeks with `rs.weekly_patterns` or `per_week`. Raises DataError for a person with two rows in
    one place, a place below 1 or behind the scheduled ones, a result that is none.
    A person who is in no row is known to this table from `scheduled` alone: what was screened
    outside the visits it holds cannot be in the pattern.
    Checked: the weekly table of CTN-0094, whose weeks count from randomisation, gives the patterns
    that stand in its table of people for everybody randomised. Of the 1,068 never randomised, who
    have no week there, 45 (all of CTN-0027) have one positive screen in the table of people
    ("+ooo…"), made before anybody was drawn; from the weeks they have missed all. Nothing is
    guessed: an analysis of people never randomised takes the patterns of the table of people.
    """
    data = as_dataset(data)
    data.require(person, time, result, *((start,) if start else ()))
    if kind not in KINDS:
        raise UsageError(unknown("kind of visits", kind, KINDS))
    frame = data.frame
    _refuse(frame[person].isna(), f"have no person in column {person!r}", "Give each row one.")
    place = _places(frame, time, start)
    again = pd.DataFrame({"person": frame[person], "place": place}).duplicated(keep=False)
    cure = "Give a finer time, and put it into weeks with rs.weekly_patterns."
    _refuse(again, f"share person and place in {person!r} and {time!r}", cure)
    meaning = Meaning(*(tuple(map(float, c)) for c in (negative, positive, mixed, not_scheduled)))
    codes = _amounts(frame[result]) if kind == "diary" else _screens(frame[result], meaning)
    codes = _unscheduled(codes, data, result, meaning)
    return _patterns(frame[person], place, codes, scheduled)


def weekly_patterns(patterns: Iterable[str | None], per_week: int, mixed: str = "*") -> pd.Series:
    """Patterns of one symbol a week, from patterns of `per_week` symbols a week (3, 7).

    A week with positive and negative visits, or a mixed one, is `mixed`: "*"; "+" makes a week
    with any use positive, as a diary's weeks of use are counted. Visits missed in a week with a
    result do not count; a week with every scheduled visit missed is missed.
    """
    if mixed not in ("*", "+", "-"):
        raise UsageError(f"mixed is one of * + -, not {mixed!r}.")
    series = (
        patterns if isinstance(patterns, pd.Series) else pd.Series(list(patterns), dtype=object)
    )
    codes = weekly_codes(read_patterns(series), per_week)
    codes[codes == MIXED] = CODE[mixed]
    return pd.Series(write_patterns(codes), index=series.index, dtype=object, name=series.name)


def weekly_codes(codes: Codes, per_week: int) -> Codes:
    """One code a week from `per_week` places a week, (n, weeks); see `weekly_patterns`."""
    if per_week < 1:
        raise UsageError(f"per_week is the number of visits a week, 1 or more, not {per_week}.")
    if per_week == 1:
        return codes.copy()
    people, width = codes.shape
    weeks = -(-width // per_week)
    room = np.zeros((people, weeks * per_week), dtype=codes.dtype)
    room[:, :width] = codes
    cube = room.reshape(people, weeks, per_week)
    has = {code: (cube == code).any(axis=2) for code in (POSITIVE, NEGATIVE, MIXED, MISSED)}
    mixed = has[MIXED] | (has[POSITIVE] & has[NEGATIVE])
    choices = (mixed, has[POSITIVE], has[NEGATIVE], has[MISSED])
    return np.select(choices, (MIXED, POSITIVE, NEGATIVE, MISSED), NO_VISIT).astype(codes.dtype)


def _refuse(wrong: pd.Series, what: str, cure: str) -> None:
    """DataError naming the rows where `wrong` holds, if there are any."""
    if wrong.any():
        rows = rows_phrase(list(wrong.index[wrong]))
        raise DataError(f"{int(wrong.sum())} of {len(wrong)} visits {what}: {rows}. {cure}")


def _places(frame: pd.DataFrame, time: str, start: str | None) -> pd.Series:
    """The place of each visit in the calendar of its person, counted from 1."""
    values = frame[time]
    if pd.api.types.is_datetime64_any_dtype(values):
        if start is None:
            raise UsageError(
                f"Column {time!r} holds dates: name the column of each person's first day (start)."
            )
        place = (values.dt.normalize() - frame[start].dt.normalize()).dt.days + 1
    else:
        place = pd.to_numeric(values, errors="coerce") + (1 - frame[start] if start else 0)
    odd = place.isna() | (place != np.floor(place)) | (place < 1)
    cure = "Places are whole numbers from 1; keep earlier visits out of the table."
    _refuse(odd, f"have no place from 1 on in {time!r}", cure)
    return place.astype(int)


def _amounts(values: pd.Series) -> Codes:
    amounts = pd.to_numeric(values, errors="coerce")
    odd = (amounts < 0) | (amounts.isna() & values.notna())
    _refuse(odd, "have an amount that is none", "An amount is a number, 0 or more.")
    use = np.where(amounts > 0, POSITIVE, NEGATIVE)
    return np.where(amounts.isna(), MISSED, use).astype(np.uint8)


def _screens(values: pd.Series, meaning: Meaning) -> Codes:
    """Codes of results given as numbers or as symbols."""
    codes = np.full(len(values), MISSED, dtype=np.uint8)
    known = values.isna().to_numpy()
    symbols = not pd.api.types.is_numeric_dtype(values)
    read: Iterable[tuple[Sequence[Any], int]] = (
        [((symbol,), code) for symbol, code in CODE.items()]
        if symbols
        else [
            (meaning.negative, NEGATIVE),
            (meaning.positive, POSITIVE),
            (meaning.mixed, MIXED),
            (meaning.not_scheduled, NO_VISIT),
        ]
    )
    for results, code in read:
        here = values.isin(results).to_numpy()
        codes[here], known = code, known | here
    cure = "Name the codes: negative, positive, mixed, not_scheduled."
    _refuse(pd.Series(~known, values.index), "have a result that is none", cure)
    return codes


def _unscheduled(codes: Codes, data: Dataset, result: str, meaning: Meaning) -> Codes:
    """Empty results whose missing code says that no visit was scheduled."""
    reasons = data.missing.get(result)
    if reasons is None or not meaning.not_scheduled:
        return codes
    there = reasons.reindex(data.frame.index).isin(meaning.not_scheduled).to_numpy()
    return np.where(there & (codes == MISSED), np.uint8(NO_VISIT), codes)


def _patterns(
    person: pd.Series,
    place: pd.Series,
    codes: Codes,
    scheduled: int | Mapping[Any, int] | pd.Series | None,
) -> pd.Series:
    number, people = pd.factorize(person, sort=False)
    due = _due(scheduled, people)
    found = np.zeros((len(due), max([*place, *due, 0])), dtype=np.uint8)
    found[np.arange(found.shape[1]) < due.to_numpy()[:, np.newaxis]] = MISSED
    late = (due.to_numpy()[number] < place) & (scheduled is not None)
    _refuse(late, "lie behind the places scheduled for their person", "Correct `scheduled`.")
    found[number, place.to_numpy() - 1] = codes
    return pd.Series(write_patterns(found), index=due.index, name="pattern", dtype=object)


def _due(scheduled: int | Mapping[Any, int] | pd.Series | None, people: pd.Index) -> pd.Series:
    """Places scheduled for each person; people without a row come last."""
    if scheduled is None or isinstance(scheduled, int):
        return pd.Series(scheduled or 0, index=people)
    given = pd.Series(scheduled)
    if given.index.duplicated().any() or not people.isin(given.index).all():
        raise DataError(
            "`scheduled` gives one number of places for each person: "
            f"{int((~people.isin(given.index)).sum())} people have none, "
            f"{int(given.index.duplicated().sum())} come again."
        )
    rest = given.index[~given.index.isin(people)]
    return given.reindex([*people, *rest]).astype(int)
