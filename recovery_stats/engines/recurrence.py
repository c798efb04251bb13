"""Rows of recurrent events laid out for the four models: numbers, gap times, marginal copies.

A row leads to event number k when its person had k - 1 events before it. Gap time restarts when
a person comes under observation for the next event: at the last event, or at the return after it.
Marginal copies (Wei, Lin & Weissfeld) put everybody at risk of every event from entry on: for
event k the rows up to and with number k, of which only that one's end counts.

Source: Andersen & Gill 1982; Prentice, Williams & Peterson 1981; Wei, Lin & Weissfeld 1989.
Checked: by hand; rows of survival::bladder, bladder2.
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.risk_set import Array, Ints


def number_events(person: Ints, start: Array, event: Ints) -> Ints:
    """Number, from 1, of the event that each row (n,) leads to. event (n,): 1 at its end."""
    order, first = _by_person(person, start)
    had = np.cumsum(event[order]) - event[order]
    number = np.empty(len(person), np.int64)
    number[order] = 1 + had - np.repeat(had[first], np.diff(np.append(first, len(person))))
    return number


def gap_origin(person: Ints, start: Array, number: Ints) -> Array:
    """When each row's clock of gap time was set (n,): its person's first start with its number."""
    order = np.lexsort((start, number, person))
    who, k = person[order], number[order]
    first = np.flatnonzero(np.append(True, (who[1:] != who[:-1]) | (k[1:] != k[:-1])))
    origin = np.empty(len(start))
    origin[order] = np.repeat(start[order[first]], np.diff(np.append(first, len(start))))
    return origin


def copy_marginally(number: Ints, event: Ints, K: int) -> tuple[Ints, Ints, Ints]:
    """Rows at risk of each event 1 … K: positions among the rows, event, and its number."""
    rows = [np.flatnonzero(number <= k) for k in range(1, K + 1)]
    copied = np.concatenate(rows)
    k = np.repeat(np.arange(1, K + 1), [len(r) for r in rows])
    return copied, event[copied] * (number[copied] == k), k


def _by_person(person: Ints, start: Array) -> tuple[Ints, Ints]:
    """Rows sorted by person and time, and where each person begins among them."""
    order = np.lexsort((start, person))
    who = person[order]
    return order, np.flatnonzero(np.append(True, who[1:] != who[:-1]))
