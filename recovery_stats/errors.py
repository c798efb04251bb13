"""Everything this package raises on purpose; each class knows its exit code.

RecoveryError
├── UsageError         the command line, an option or the study file is wrong        (2)
│   └── FormulaError   a model formula our grammar does not read                     (2)
├── DataError          a file, a key, a role or a value is wrong                     (3)
├── NotEstimable       the model has no answer on these data; nothing is reported    (4)
│   └── ConvergenceError   the optimiser stopped short of an optimum                 (4)
├── OutputError        disk full, no permission, folder in use                       (5)
└── DisclosureError    the privacy rules blocked an output                           (6)

A message says what was asked for, what exists, the nearest name and the cure. It names
table, column, row number, rule and counts; never a person's identifier or value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN_NAMES = 12
SHOWN_ROWS = 5


class RecoveryError(Exception):
    """Base of every error raised on purpose. `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(RecoveryError):
    """The command line, an option or the study file is wrong."""

    exit_code = 2


class FormulaError(UsageError):
    """A model formula that the grammar does not read."""


class DataError(RecoveryError):
    """A file, a key, a role or a value is wrong."""

    exit_code = 3


class NotEstimable(RecoveryError):  # noqa: N818 (the field's own word)
    """The model has no answer on these data: one group, separation, no events."""

    exit_code = 4


class ConvergenceError(NotEstimable):
    """The optimiser stopped short of an optimum."""


class OutputError(RecoveryError):
    """The system refused the output: disk full, no permission, folder in use."""

    exit_code = 5


class DisclosureError(RecoveryError):
    """The privacy rules blocked an output."""

    exit_code = 6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that reads most like `name`, or None."""
    names = sorted(set(known))
    folded = {n.casefold(): n for n in names}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Say what was asked for, the nearest spelling, and what exists."""
    names = sorted(set(known))
    close = nearest(str(name), names)
    hint = f" Did you mean {close!r}?" if close else ""
    shown = ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
    return f"No {what} named {name!r}.{hint} Known: {shown or 'none'}."


def rows_phrase(rows: Sequence[int]) -> str:
    """Name rows by number, counted from 1 in the data: 'row 3', 'rows 3, 8 and 4 more'."""
    numbers = [str(int(r)) for r in rows]
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    if len(numbers) <= SHOWN_ROWS:
        return f"rows {', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"rows {', '.join(numbers[:SHOWN_ROWS])} and {len(numbers) - SHOWN_ROWS} more"
