"""What else ended the follow-up: other events compete with relapse, and some ends are losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, UsageError, unknown

LOST_WORD = "lost"


@dataclass(frozen=True, slots=True)
class Ends:
    """Codes of `column` that compete with relapse, and that mean loss; labels by code."""

    column: str
    competing: tuple[float, ...]
    lost: tuple[float, ...]
    labels: Mapping[float, str]

    @property
    def arguments(self) -> dict[str, Any]:
        """As `models.course.courses` takes them; without a code of loss every other end is one."""
        return {
            "cause": self.column,
            "competing": list(self.competing),
            "lost": list(self.lost) if self.lost else None,
        }


def read_ends(
    people: Dataset, event: str, column: str, lost_cause: str, also_lost: Sequence[float] = ()
) -> Ends:
    """The codes of people without the event; one called lost is a loss, whatever its code.

    lost_cause: code or label that means loss, "" for the word itself.
    """
    if not pd.api.types.is_numeric_dtype(people.frame[column]):
        raise DataError(
            f"Cause {column!r} of table 'persons' is text; it is read as codes, 0 for none, with "
            "labels in the codebook."
        )
    values = people.frame[column][people.frame[event] == 0].dropna().unique()
    variable = people.variable(column)
    labels = {float(c): variable.level(float(c)) for c in sorted(values) if c}
    lost = lost_codes(lost_cause, labels)
    lost += [c for c in also_lost if c not in lost]
    return Ends(column, tuple(c for c in labels if c not in lost), tuple(lost), labels)


def lost_codes(wanted: str, names: Mapping[float, str]) -> list[float]:
    """The codes among `names` that mean loss to follow-up."""
    if not wanted:
        return [code for code, name in names.items() if LOST_WORD in name.casefold()]
    found = [c for c, n in names.items() if wanted in (n, f"{c:g}")]
    if not found and names:
        raise UsageError(unknown("cause", wanted, names.values()))
    return found


def refuse_disagreement(people: Dataset, event: str, cause: str, shown: str) -> None:
    """DataError where cause and event contradict each other; shown: what the event is called."""
    code, relapsed = people.frame[cause], people.frame[event] == 1
    codes = set(code[relapsed].dropna().unique())
    other = int((code[~relapsed].isin(codes)).sum())
    if len(codes) != 1 or other:
        raise DataError(
            f"Columns {cause!r} and {shown!r} of table 'persons' do not agree: "
            f"{_disagreement(len(codes), other)}. Leave 'cause' out, or correct the file."
        )


def _disagreement(codes: int, other: int) -> str:
    """How cause and event contradict each other: no cause, several, or one shared with others."""
    if not codes:
        return "no relapse has a cause"
    if codes > 1:
        return f"people who relapsed have {codes} different causes, and a relapse is one cause"
    return f"{other} people without a relapse carry the cause of a relapse"
