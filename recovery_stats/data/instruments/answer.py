"""The answers to a scale's items: in range or counted and emptied, all pointing one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.instruments.scale import Answers, Scale
from recovery_stats.errors import DataError

Bool = NDArray[np.bool_]
Array = NDArray[np.float64]
TOO_MANY_OUTSIDE = 0.2  # so many answers out of range mean another coding, not slips of the hand
A_SLIP = 0.01  # up to here, answers one step out of range are slips


@dataclass(frozen=True, slots=True)
class Keyed:
    """Answers in range, reversed items turned; columns 1, 2, … in the order of the items.

    columns: where each item stood. outside: how many answers of each item were out of range
    (emptied here, never guessed).
    """

    frame: pd.DataFrame
    columns: tuple[str, ...]
    outside: tuple[int, ...]

    @property
    def answered(self) -> pd.Series[int]:
        """How many items each row answered."""
        return self.frame.notna().sum(axis=1)


def keyed(
    data: Dataset,
    scale: Scale,
    columns: Sequence[str],
    *,
    coded_from: float | None = None,
    reversed_already: bool = False,
) -> Keyed:
    """Read the items in `columns` of `data`.

    coded_from: the code of the lowest answer where the file begins elsewhere than the scale
    (1 for a 0-to-4 scale typed as 1 to 5). reversed_already: reversed items were turned before.
    Raises DataError for text, and where so many answers are out of range that the coding must be
    another one.
    """
    raw = data.frame[list(columns)]
    _refuse_text(raw, scale)
    lowest = min(a.low for a in scale.answers)
    shift = 0.0 if coded_from is None else lowest - coded_from
    given = raw.to_numpy(dtype=float) + shift
    outside = np.column_stack([_outside(given[:, i], a) for i, a in enumerate(scale.answers)])
    _refuse_other_coding(outside, given, scale, columns, coded_from)
    inside = np.where(outside, np.nan, given)
    for item in () if reversed_already else scale.reversed:
        ends = scale.answers[item - 1]
        inside[:, item - 1] = ends.low + ends.high - inside[:, item - 1]
    frame = pd.DataFrame(inside, index=raw.index, columns=range(1, scale.items + 1))
    return Keyed(frame, tuple(columns), tuple(int(n) for n in outside.sum(axis=0)))


def _outside(given: Array, answers: Answers) -> Bool:
    known = np.isfinite(given)
    if answers.values:
        return known & ~np.isin(given, answers.values)
    return known & ((given < answers.low) | (given > answers.high))


def _refuse_text(raw: pd.DataFrame, scale: Scale) -> None:
    text = [str(c) for c in raw.columns if not pd.api.types.is_numeric_dtype(raw[c])]
    if text:
        raise DataError(
            f"Items of {scale.name} must be numbers; text in {', '.join(text)}. Give the file "
            "numeric codes with value labels."
        )


def _refuse_other_coding(
    outside: Bool,
    given: Array,
    scale: Scale,
    columns: Sequence[str],
    coded_from: float | None,
) -> None:
    """Refuse what slips of the hand do not explain, and name the coding that would."""
    answers, wrong = int(np.isfinite(given).sum()), int(outside.sum())
    cure = _begins_elsewhere(given, scale) if coded_from is None else None
    if not answers or (cure is None and wrong <= TOO_MANY_OUTSIDE * answers):
        return
    worst = columns[int(outside.sum(axis=0).argmax())]
    low, high = (min(a.low for a in scale.answers), max(a.high for a in scale.answers))
    told = _cure(scale, cure)
    raise DataError(
        f"{wrong} of {answers} answers lie outside {low:g} to {high:g}, which is what items of "
        f"{scale.name} hold (most of them in {worst!r}). {told}"
    )


def _cure(scale: Scale, begins: float | None) -> str:
    """What to do; a yes coded 1 and a no coded 2 must be recoded, a shift would turn them round."""
    if begins is not None and {(a.low, a.high) for a in scale.answers} == {(0.0, 1.0)}:
        if not scale.choices:
            return f"Recode them to 0 and 1. {scale.trap}".strip()
        return f"{scale.trap} If 1 means now and 2 later, say coded_from = {begins:g}."
    if begins is not None:
        return f"Are the answers coded from {begins:g} on? Then say coded_from = {begins:g}."
    return "Say with coded_from which code means the lowest answer, or declare missing codes."


def _begins_elsewhere(given: Array, scale: Scale) -> float | None:
    """The code that the lowest answer seems to have, where answers stand one step too high or low.

    So it looks when more of them lie just beyond one end of their range than at the other end.
    """
    low, high = (np.array([getattr(a, end) for a in scale.answers]) for end in ("low", "high"))
    answers = np.isfinite(given).sum()
    lowest = min(a.low for a in scale.answers)
    for side, beyond, other in ((1, high + 1, low), (-1, low - 1, high)):
        over, there = int((given == beyond).sum()), int((given == other).sum())
        if over > there and over >= A_SLIP * answers:
            return lowest + side
    return None


def reasons(data: Dataset, columns: Sequence[str], empty: pd.Series[bool]) -> pd.Series[object]:
    """The user-missing code of the rows `empty` in which every item has that same code.

    What is true of all items is true of the score: a question that does not apply stays so.
    """
    rows = empty.index[empty]
    coded = [data.missing[c].reindex(rows) for c in columns if c in data.missing]
    if len(coded) < len(columns) or rows.empty:
        return pd.Series(dtype=object)
    codes = pd.concat(coded, axis=1)
    first = codes.iloc[:, 0]
    alike = first.notna() & codes.eq(first, axis=0).all(axis=1)
    return first[alike].astype(object)
