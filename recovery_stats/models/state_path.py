"""Who was in which state from when to when: `Surv(start, stop, state)` read as paths of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.multistate import CENSORED, Paths, follow
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.cause import code_categories, refuse_censored_as_cause
from recovery_stats.models.columns import Columns, IntArray
from recovery_stats.models.formula import Formula
from recovery_stats.models.observation import (
    Observation,
    observe,
    read_survival,
)

ENTRY = "(entry)"  # the state of everybody at first, where no column tells
FINAL = ("death", "dead", "died", "deceased")


@dataclass(frozen=True, slots=True)
class StateRows:
    """Rows observed, the names of the S states, and the rows as paths through them."""

    seen: Observation
    states: tuple[str, ...]
    paths: Paths

    def moves(self) -> list[tuple[int, int]]:
        """The transitions that occur, from and to, in the order of the states."""
        p = self.paths
        moved = p.to != CENSORED
        pairs = np.unique(p.origin[moved] * p.S + p.to[moved])
        return [(int(x) // p.S, int(x) % p.S) for x in pairs]

    def name(self, move: tuple[int, int]) -> str:
        """A transition in words: from -> to."""
        return f"{self.states[move[0]]} -> {self.states[move[1]]}"


def read_states(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    what: str,
    person: str,
    initial: str | None = None,
    absorbing: Sequence[str] | None = None,
    possible: Sequence[tuple[str, str]] | None = None,
    complete: tuple[str, ...] = (),
    **more: Any,
) -> StateRows:
    """Read rows whose last column says where each ends: 0 in the same state, else a state.

    The codebook's value labels name the states; in a Categorical the first category is "no
    move". initial: column with the state at a person's first row. absorbing: states that nobody
    leaves (default: those called death, dead, died). possible: the transitions that may occur.
    Raises DataError for rows after an absorbing state and for impossible transitions.
    """
    asked = read_survival(formula, what)
    surv = asked.response
    if surv.event is None or surv.event.equals is not None:  # type: ignore[union-attr]
        raise UsageError(f"{what} takes Surv(start, stop, state), the state as a plain column.")
    column = surv.event.column  # type: ignore[union-attr]
    coded, names = _coded(data, column)
    seen = observe(
        asked,
        coded,
        what=what,
        person=person,
        complete=(*complete, *((initial,) if initial else ())),
        competing=True,
        **more,
    )
    if not seen.cause.any():
        raise NotEstimable(f"Nobody moves: column {column!r} says so in every row.")
    return _follow(seen, names, initial, absorbing, possible, more.get("weights"))


def _coded(
    data: pd.DataFrame | Dataset, column: str
) -> tuple[pd.DataFrame | Dataset, dict[int, str]]:
    """The data with codes in the column of states, and the names of the codes from 1."""
    columns = Columns.of(data)
    series = columns.series(column)
    coded = code_categories(data, column)
    if coded is not None:
        return coded, {int(k): v for k, v in coded.codebook[column].values.items()}
    if not pd.api.types.is_numeric_dtype(series.dtype) and not isinstance(
        series.dtype, pd.CategoricalDtype
    ):
        raise UsageError(
            f"Column {column!r} holds text; make it codes with value labels (0: no move), or a "
            "Categorical whose first category means no move."
        )
    refuse_censored_as_cause(columns, column)
    labels = columns.codebook[column].values
    return data, {int(k): str(v) for k, v in labels.items() if isinstance(k, float | int)}


def _follow(
    seen: Observation,
    names: dict[int, str],
    initial: str | None,
    absorbing: Sequence[str] | None,
    possible: Sequence[tuple[str, str]] | None,
    weights: str | None,
) -> StateRows:
    """Number the states, those of the start that nobody moves to first, and follow people."""
    assert seen.person is not None
    codes = np.unique(seen.cause[seen.cause > 0]).tolist()
    reached = [names.get(c, str(c)) for c in codes]
    at_first = _at_first(seen, initial, weights)
    before = [n for n in at_first.levels if n not in reached]
    states = (*before, *reached)
    if len(states) < 2:
        raise NotEstimable("There is one state only; give the states at the start with initial=.")
    place = {n: j for j, n in enumerate(states)}
    by_code = np.full(max(codes) + 1, CENSORED)
    by_code[codes] = [place[n] for n in reached]
    start = np.full(len(seen), -1.0) if seen.start is None else seen.start
    to = by_code[seen.cause]
    origin = follow(
        seen.person, start, to, np.array([place[n] for n in at_first.levels])[at_first.codes]
    )
    to = np.where(to == origin, CENSORED, to)
    weight = np.ones(len(seen)) if seen.weights is None else seen.weights
    paths = Paths(start, seen.stop, origin, to, seen.person, weight, len(states))
    found = StateRows(seen, states, paths)
    _refuse_return(found, absorbing)
    _refuse_impossible(found, possible)
    return found


@dataclass(frozen=True, slots=True)
class _AtFirst:
    codes: IntArray
    levels: tuple[str, ...]


def _at_first(seen: Observation, initial: str | None, weights: str | None) -> _AtFirst:
    """The initial state by row, only levels of people's first rows kept."""
    if initial is None:
        return _AtFirst(np.zeros(len(seen), np.intp), (ENTRY,))
    found = seen.design.groups[initial]
    codes = found.codes
    if weights is not None and len(codes) != len(seen):
        codes = codes[seen.design.numbers[weights] > 0]
    assert seen.person is not None
    start = np.zeros(len(seen)) if seen.start is None else seen.start
    order = np.lexsort((start, seen.person))
    who = seen.person[order]
    first = order[np.append(True, who[1:] != who[:-1])]
    used, there = np.unique(codes[first], return_inverse=True)
    by_person = there.reshape(-1)
    return _AtFirst(by_person[seen.person], tuple(found.levels[u] for u in used.tolist()))


def _refuse_return(found: StateRows, absorbing: Sequence[str] | None) -> None:
    """Nobody is observed after the end."""
    for name in absorbing or ():
        if name not in found.states:
            raise UsageError(unknown("state", name, found.states))
    final = [
        j
        for j, n in enumerate(found.states)
        if (n.casefold() in FINAL if absorbing is None else n in absorbing)
    ]
    after = np.isin(found.paths.origin, final)
    if after.any():
        names = ", ".join(found.states[j] for j in np.unique(found.paths.origin[after]))
        raise DataError(
            f"{len(np.unique(found.paths.person[after]))} people have {int(after.sum())} rows "
            f"after they came to an absorbing state ({names}). Leave these rows out, or name the "
            "states that nobody leaves in absorbing=."
        )


def _refuse_impossible(found: StateRows, possible: Sequence[tuple[str, str]] | None) -> None:
    if possible is None:
        return
    known = set()
    for pair in possible:
        for name in pair:
            if name not in found.states:
                raise UsageError(unknown("state", name, found.states))
        known.add((found.states.index(pair[0]), found.states.index(pair[1])))
    wrong = [m for m in found.moves() if m not in known]
    if wrong:
        p = found.paths
        rows = np.zeros(len(p.to), dtype=bool)
        for j, k in wrong:
            rows |= (p.origin == j) & (p.to == k)
        raise DataError(
            f"{len(np.unique(p.person[rows]))} people make transitions that are not possible: "
            f"{', '.join(found.name(m) for m in wrong)}."
        )


def only(found: StateRows, rows: IntArray) -> StateRows:
    """Some of the rows, with the same states."""
    return replace(found, paths=found.paths.some(rows))
