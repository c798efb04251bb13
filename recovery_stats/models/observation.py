"""Times and events of a survival formula, checked before any engine sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.cox import ColumnsNotEstimable
from recovery_stats.engines.cox_likelihood import NoEvent
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.columns import Array, Columns, Grouping, IntArray
from recovery_stats.models.design import Design, Times, build_design
from recovery_stats.models.formula import INTERCEPT, Formula, Surv, Variable, parse
from recovery_stats.models.time_check import FollowUp

Mask = NDArray[np.bool_]
WITHOUT_PENALTY = ("leave it out, or fit with penalty='firth'", "or leave it out")
MOST_NAMED = 6  # terms in one message


@dataclass(frozen=True, slots=True)
class Observation:
    """When each row was observed, on (start, stop], how that ended, and what goes with it.

    start is None where every row is observed from the beginning. cause (n,): 0 censored, 1
    event, or 1 … J for competing events. X (n, p) with `design.names`. strata, cluster, person
    (n,): whole numbers from 0, None where not asked for. taken (n,): where in the data the rows
    are, None for those of the design. weightless: rows left out because their weight is 0.
    frailty: groups of the formula's frailty term, frailty_outer: those they lie within. surv:
    the formula's left side, for rows not yet seen. source: all the data.
    """

    start: Array | None
    stop: Array
    cause: IntArray
    X: Array
    weights: Array | None
    offset: Array | None
    strata: IntArray | None
    cluster: IntArray | None
    person: IntArray | None
    taken: IntArray | None
    design: Design
    cluster_name: str = ""
    weightless: int = 0
    frailty: Grouping | None = None
    frailty_outer: Grouping | None = None
    surv: Surv | None = None
    source: pd.DataFrame | Dataset | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.stop)

    @property
    def places(self) -> IntArray:
        """Where in the data the rows are (n,)."""
        return np.flatnonzero(self.design.kept) if self.taken is None else self.taken

    @property
    def index(self) -> NDArray[Any]:
        """Labels of the rows (n,)."""
        return np.asarray(self.design.index.to_numpy()[self.places])

    @property
    def people(self) -> int | None:
        """How many people the rows belong to; None where rows of one person cannot be told."""
        if self.person is not None:
            return int(self.person.max(initial=-1)) + 1
        return len(self) if self.start is None else None

    @property
    def counted(self) -> str:
        """How many people, or rows of how many clusters where people cannot be told."""
        if self.people is not None:
            return f"{self.people} people"
        if self.cluster is None:
            return f"{len(self)} rows"
        return f"{len(self)} rows of {int(self.cluster.max(initial=-1)) + 1} clusters"

    def refuse_no_event(self, cannot: str) -> None:
        """NotEstimable where nobody had the event; cannot: what then has no estimate."""
        if not self.cause.any():
            raise NotEstimable(_no_event(self, cannot))


def observe(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    what: str,
    person: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
    cluster: str | None = None,
    complete: tuple[str, ...] = (),
    competing: bool = False,
    once: bool = False,
) -> Observation:
    """Read a survival formula's columns and check the times.

    what: the caller's name, for messages. complete: further columns that rows must have. once:
    a person's follow-up ends with the event. Raises UsageError without Surv on the left;
    DataError for negative times, start >= stop, event codes other than 0 and 1, overlapping rows
    of one person, and rows after the event.
    """
    asked = read_survival(formula, what)
    for name in (person, weights, offset, cluster):
        if name is not None and not isinstance(name, str):
            raise UsageError(
                f"person, weights, offset and cluster name columns; {name!r} is no name."
            )
    if offset:  # as in the formula, so that predictions for new rows count it too
        asked = replace(asked, offsets=(*asked.offsets, Variable(offset)))
    design = build_design(
        asked,
        data,
        numbers=(weights,) if weights else (),
        groups=tuple(c for c in (person, cluster, *complete) if c),
        drop_intercept=True,
        penalised=what == "cox",
    )
    times = design.response
    assert isinstance(times, Times)
    assert isinstance(asked.response, Surv)
    grouping = design.groups[cluster] if cluster else design.cluster
    people = design.groups[person] if person else None
    who = people.codes if people else None
    strata = design.strata.codes if design.strata else None

    def count(where: Mask) -> str:
        return RowNames(Columns.of(data), design, people, grouping).count(where)

    FollowUp(times, asked.response, who, strata, count, competing, once).refuse_faults()
    whole = Observation(
        times.start,
        times.stop,
        times.event.astype(np.intp),
        design.X,
        read_weights(design.numbers[weights], weights, count) if weights else None,
        design.offset,
        strata,
        grouping.codes if grouping else None,
        who,
        None,
        design,
        grouping.name if grouping else "",
        frailty=design.frailty,
        frailty_outer=design.frailty_outer,
        surv=asked.response,
        source=data,
    )
    return whole if whole.weights is None else _with_weight(whole, whole.weights > 0)


def add_offset(design: Design, column: str | None) -> Array | None:
    if column is None:
        return design.offset
    return design.numbers[column] + (0.0 if design.offset is None else design.offset)


def _with_weight(seen: Observation, kept: Mask) -> Observation:
    """Leave out the rows whose weight is 0: they are in no risk set."""
    if kept.all():
        return seen

    def of(values: NDArray[Any] | None) -> Any:
        return None if values is None else values[kept]

    def codes(values: IntArray | None) -> Any:
        return None if values is None else np.unique(values[kept], return_inverse=True)[1]

    def groups(found: Grouping | None) -> Any:
        if found is None:
            return None
        levels = tuple(found.levels[c] for c in np.unique(found.codes[kept]))
        return Grouping(found.name, codes(found.codes), levels)

    return replace(
        seen,
        start=of(seen.start),
        stop=of(seen.stop),
        cause=of(seen.cause),
        X=of(seen.X),
        weights=of(seen.weights),
        offset=of(seen.offset),
        strata=of(seen.strata),
        cluster=codes(seen.cluster),
        person=codes(seen.person),
        taken=of(seen.places),
        weightless=int((~kept).sum()),
        frailty=groups(seen.frailty),
        frailty_outer=groups(seen.frailty_outer),
    )


def read_survival(
    formula: Formula | str, what: str, kinds: tuple[str, ...] = ("right", "counting")
) -> Formula:
    """Parse and make sure that it is about times, of the kinds that the model reads."""
    if not isinstance(formula, str | Formula):
        raise UsageError(f"A formula is text, as 'Surv(time, event) ~ x'; {formula!r} is none.")
    asked = parse(formula) if isinstance(formula, str) else formula
    if not isinstance(asked.response, Surv):
        raise UsageError(
            f"{what} needs times on the left of the formula: Surv(time, event) ~ … or "
            "Surv(start, stop, event) ~ …"
        )
    if asked.response.kind not in kinds:
        raise UsageError(
            f"{what} does not read interval-censored or left-censored times; turnbull, aft, "
            "flexible_survival and discrete_time do."
        )
    if asked.random:
        raise UsageError(f"{what} has no random terms; frailty(x) and strata(x) group the rows.")
    # the baseline hazard is the intercept, whatever the formula says: factors need a reference
    return asked if asked.intercept else replace(asked, terms=(INTERCEPT, *asked.terms))


class Designed(Protocol):
    """Rows that know their design."""

    @property
    def design(self) -> Design: ...


@contextmanager
def naming_columns(seen: Designed, *, firth: bool = False) -> Iterator[None]:
    """Give the columns that an engine refuses the names of their terms.

    firth: whether the caller has the penalty that the engine offers as a cure.
    """
    try:
        yield
    except ColumnsNotEstimable as error:
        names = ", ".join(repr(seen.design.names[j]) for j in error.columns[:MOST_NAMED])
        if len(error.columns) > MOST_NAMED:
            names += f" and {len(error.columns) - MOST_NAMED} more"
        word = "Terms" if len(error.columns) > 1 else "Term"
        who = f" ({seen.counted})" if isinstance(seen, Observation) else ""
        cure = error.reason if firth else error.reason.replace(*WITHOUT_PENALTY)
        raise NotEstimable(f"{word} {names}{who}: {cure}.") from None
    except NoEvent:
        raise NotEstimable(_no_event(seen, "no hazard ratio can be estimated")) from None


def _no_event(seen: Designed, cannot: str) -> str:
    """Who was observed without an event, and what may be wrong."""
    surv = seen.surv if isinstance(seen, Observation) else None
    counted = seen.counted if isinstance(seen, Observation) else f"{len(seen.design.X)} rows"
    column = f" by column {surv.event.column!r}" if surv is not None and surv.event else ""
    lost = sum(seen.design.lost.values())
    rest = f" {lost} further rows lack a value of the model's columns." if lost else ""
    return (
        f"None of the {counted} had the event{column}, so {cannot}; check "
        f"which code is the event, as in Surv(time, event == 2).{rest}"
    )


@dataclass(frozen=True, slots=True)
class RowNames:
    """Says which rows of the file, and how many people, a condition on the analysed rows concerns.

    person, cluster: whose rows they are, where it is known.
    """

    columns: Columns
    design: Design
    person: Grouping | None = None
    cluster: Grouping | None = None

    def __call__(self, where: Mask) -> str:
        everywhere = np.zeros(len(self.columns), dtype=bool)
        everywhere[np.flatnonzero(self.design.kept)[where]] = True
        return self.columns.rows(everywhere)

    def count(self, where: Mask) -> str:
        """How many rows and people, never who they are: '3 rows of 2 people (rows 4, 9 and 11)'."""
        n = int(where.sum())
        said = f"{n} row{'' if n == 1 else 's'}"
        if self.person is not None:
            people = _distinct(self.person, where)
            said += f" of {people} {'person' if people == 1 else 'people'}"
        elif self.cluster is not None:
            clusters = _distinct(self.cluster, where)
            said += f" of {clusters} cluster{'' if clusters == 1 else 's'} of {self.cluster.name!r}"
        return f"{said} ({self(where)})"


def _distinct(grouping: Grouping, where: Mask) -> int:
    return len(np.unique(grouping.codes[where]))


def read_weights(weight: Array, column: str, count: Callable[[Mask], str]) -> Array:
    wrong = ~(weight >= 0)
    if wrong.any():
        raise DataError(
            f"Weight {column!r} is negative in {count(wrong)}; leave those rows out, or give them "
            "weights of 0 or more."
        )
    if not (weight > 0).any():
        raise DataError(f"Weight {column!r} is 0 in every row.")
    return weight
