"""The pieces from which every endpoint is put together: steps, measures and conditions.

A rule reads from left to right:

    VISITS.recode("o", "+").weeks(5, 15).share("-", half="*").at_least(0.5)

Steps choose and recode visits (`recode`, `weeks`, `last`, `first`, `observed`, …); a measure makes
one number of them (`longest_run`, `count`, `share`, `time_to`, …); `at_least`, `&` and `given`
make conditions. Symbols are written as in a pattern: "+*" is a positive or a mixed visit. A week
is a place in the pattern, counted from 1; `_` keeps its place and is no visit.

Where nothing was scheduled in the part looked at there is no value: NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recovery_stats.data.endpoint import measure, recoding
from recovery_stats.data.endpoint.measure import Numbers, counted, is_one_of, last_attended
from recovery_stats.data.endpoint.pattern import CODE, MISSED, NO_VISIT, Mask, Visits
from recovery_stats.data.endpoint.recoding import where_coded

Step = Callable[[Visits], Visits]


@dataclass(frozen=True, slots=True)
class Rule:
    """A measure of the visits of each person: (n,) numbers, NaN where there is no value.

    A logical rule gives 1 and 0.
    """

    of: Callable[[Visits], Numbers]

    def __call__(self, visits: Visits) -> Numbers:
        return self.of(visits)

    def at_least(self, limit: float) -> Rule:
        """1 where the measure is `limit` or more, else 0."""
        return Rule(lambda v: known(self.of(v), lambda x: x >= limit))

    def at_most(self, limit: float) -> Rule:
        """1 where the measure is `limit` or less, else 0."""
        return Rule(lambda v: known(self.of(v), lambda x: x <= limit))

    def __and__(self, other: Rule) -> Rule:
        """1 where both are 1; unknown where either is."""
        return Rule(lambda v: self.of(v) * other.of(v))

    def given(self, condition: Rule, otherwise: float = 0.0) -> Rule:
        """The measure where `condition` holds, else `otherwise`."""

        def measured(visits: Visits) -> Numbers:
            holds, value = condition.of(visits), self.of(visits)
            return np.where(np.isnan(holds), np.nan, np.where(holds == 1, value, otherwise))

        return Rule(measured)

    def complement(self) -> Rule:
        """One minus the measure: the share that is not."""
        return Rule(lambda v: 1.0 - self.of(v))


@dataclass(frozen=True, slots=True)
class TimeRule:
    """The week of an event, or of censoring, and 1 or 0 for which of them."""

    of: Callable[[Visits], tuple[Numbers, Numbers]]

    def __call__(self, visits: Visits) -> tuple[Numbers, Numbers]:
        return self.of(visits)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Visits after some steps; each step gives new Pieces, each measure a rule."""

    steps: tuple[Step, ...] = ()

    def __call__(self, visits: Visits) -> Visits:
        for step in self.steps:
            visits = step(visits)
        return visits

    def _then(self, step: Step) -> Pieces:
        return Pieces((*self.steps, step))

    def _measured(self, of: Callable[[Visits], Numbers]) -> Rule:
        """`of` the visits after the steps, where any of them was due."""

        def measured(visits: Visits) -> Numbers:
            visits = self(visits)
            return np.where(visits.due.any(axis=1), of(visits), np.nan)

        return Rule(measured)

    # Steps

    def recode(self, symbols: str, to: str) -> Pieces:
        """Read each of `symbols` as `to`."""
        return self._then(
            lambda v: replace(v, codes=where_coded(is_one_of(v.codes, symbols), CODE[to], v.codes))
        )

    def weeks(self, first: int, last: int) -> Pieces:
        """Look at the weeks from `first` to `last`."""
        return self.at_weeks(*range(first, last + 1))

    def from_week(self, first: int) -> Pieces:
        """Look at the weeks from `first` on."""
        return self._then(lambda v: _looked_at(v, ~_places(v, range(1, first))))

    def at_weeks(self, *weeks: int) -> Pieces:
        """Look at these weeks and no others."""
        return self._then(lambda v: _looked_at(v, _places(v, weeks)))

    def last(self, visits: int) -> Pieces:
        """Look at the last `visits` that were scheduled."""
        return self._then(lambda v: _looked_at(v, _count_from_end(v.due) <= visits))

    def first(self, visits: int) -> Pieces:
        """Read the first `visits` of those still there."""
        return self._then(lambda v: _reading(v, np.cumsum(v.codes != 0, axis=1) <= visits))

    def observed(self) -> Pieces:
        """Read the visits with a result: the missed ones are left out."""
        return self._then(lambda v: _reading(v, v.codes != MISSED))

    def until_dropout(self) -> Pieces:
        """Read the visits up to the last one attended."""
        return self._then(lambda v: _reading(v, _places_up_to(v, last_attended(v))))

    def bridged(self) -> Pieces:
        """Read a single missed visit between two negative ones as negative."""
        return self._then(lambda v: replace(v, codes=recoding.bridged(v.codes)))

    def like_most(self) -> Pieces:
        """Read missed visits as negative where more than half of those attended are, else positive.

        Mixed visits are among those that are not negative; a tie makes positive.
        """
        return self._then(lambda v: replace(v, codes=recoding.like_most(v.codes)))

    def standing_for_next(self, *weeks: int) -> Pieces:
        """Let the results of `weeks` stand for the week after as well, where one is scheduled."""
        return self._then(lambda v: replace(v, codes=recoding.standing_for_next(v.codes, weeks)))

    # Measures

    def count(self, symbols: str, half: str = "") -> Rule:
        """Number of visits that are one of `symbols`; those of `half` count one half."""
        return self._measured(lambda v: counted(v.codes, symbols, half))

    def share(self, symbols: str, half: str = "") -> Rule:
        """Their share of the visits read; 0 where all of those due were left out."""

        def share(visits: Visits) -> Numbers:
            there = np.count_nonzero(visits.codes, axis=1)
            found: Numbers = counted(visits.codes, symbols, half) / np.maximum(there, 1)
            return found

        return self._measured(share)

    def longest_run(self, symbols: str) -> Rule:
        """Length of the longest run of visits that are one of `symbols`."""
        return self._measured(lambda v: measure.longest_run(v.codes, symbols))

    def retained(self) -> Rule:
        """Week of the last visit attended; 0 where none was."""
        return self._measured(last_attended)

    def index(self, weights: Sequence[float], missed: float, top: float) -> Rule:
        """`top` with every visit negative, 0 with the worst: a weighted index of use.

        A positive visit in week i costs weights[i - 1], a mixed one half of it, a missed one
        `missed`; the sum is divided by that of the worst visit in each week scheduled.
        """
        return self._measured(
            lambda v: top * (1.0 - measure.cost(v.codes, np.array(weights), missed))
        )

    def time_to(
        self, symbols: str, needed: int, within: int = 0, start: int = 1, shown: int = 0
    ) -> TimeRule:
        """Week of the first `within` visits in a row of which `needed` are one of `symbols`.

        within: `needed` where not given, a run. start: the first week in which one may begin.
        shown: weeks from the beginning of those visits to the week told. Without an event the
        person is censored in the last week in which one could have begun, told the same way.
        """
        width = within or needed
        return TimeRule(lambda v: measure.time_to(self(v), symbols, needed, width, start, shown))


VISITS = Pieces()


def known(value: Numbers, holds: Callable[[Numbers], Mask]) -> Numbers:
    return np.where(np.isnan(value), np.nan, holds(value).astype(float))


def _reading(visits: Visits, mask: Mask) -> Visits:
    return replace(visits, codes=where_coded(~mask, NO_VISIT, visits.codes))


def _looked_at(visits: Visits, mask: Mask) -> Visits:
    return replace(_reading(visits, mask), due=visits.due & mask)


def _places(visits: Visits, weeks: Iterable[int]) -> Mask:
    return np.isin(np.arange(1, visits.codes.shape[1] + 1), list(weeks))[np.newaxis, :]


def _places_up_to(visits: Visits, week: Numbers) -> Mask:
    return np.arange(1, visits.codes.shape[1] + 1)[np.newaxis, :] <= week[:, np.newaxis]


def _count_from_end(due: Mask) -> npt.NDArray[np.int64]:
    """The how-manieth scheduled visit from the end each one is."""
    return np.cumsum(due[:, ::-1], axis=1, dtype=np.int64)[:, ::-1]
