"""Complementary suppression: hide as few further counts as keep the hidden ones from being solved.

An attacker has every printed count, every sum the table implies, and the rule itself: a cell
printed "< 11" is from 1 to 10. A hidden count is exposed when the sums fix it, either exactly
(linear algebra) or to fewer than three possible values (interval propagation), or when the
hidden counts of a sum are together a small count. One more count of its sum is then hidden, the
smallest first and a whole last; a count that a mean beside it gives back protects nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from recovery_stats.report.privacy.visit import Place

LEAST_POSSIBLE = 3
ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Sum:
    """`parts` add up to `whole` (a place) or to `total` (a number known from elsewhere).

    counted: the terms are counts, so that bounds apply; else weighted means and the like.
    printed: where the total stands; hidden there, the sum is no longer known. Empty: known anyway.
    """

    parts: tuple[Place, ...]
    whole: Place | None = None
    total: int | None = None
    counted: bool = True
    printed: tuple[Place, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        return self.parts if self.whole is None else (*self.parts, self.whole)


@dataclass(frozen=True, slots=True)
class Problem:
    """Counts by place, the sums they obey, and what of them is hidden.

    small: hidden because small, printed with its bound. linked: hidden because another hidden
    count would follow from it; must not be solved either. blurred: hidden only to protect.
    betrayed: what a mean, a deviation or an interval gives back; hidden only if nothing else can.
    """

    counts: Mapping[Place, int]
    sums: tuple[Sum, ...]
    minimum: int
    small: frozenset[Place]
    linked: frozenset[Place] = frozenset()
    blurred: frozenset[Place] = frozenset()
    unbounded: frozenset[Place] = frozenset()
    betrayed: frozenset[Place] = frozenset()

    @property
    def hidden(self) -> frozenset[Place]:
        return self.small | self.linked | self.blurred

    @property
    def known(self) -> tuple[Sum, ...]:
        """The sums whose total an attacker has."""
        hidden = self.hidden
        return tuple(s for s in self.sums if not s.printed or not hidden.issuperset(s.printed))

    @property
    def secret(self) -> frozenset[Place]:
        return self.small | self.linked


def protect(problem: Problem) -> Problem:
    """Hide further counts until nothing secret is exposed, then show again what need not hide.

    A small count whose sum has nothing left to hide is printed without its bound ("hidden"
    instead of "< 11"), which widens what it may be.
    """
    helpless: set[Place] = set()
    spent: set[Sum] = set()
    while found := exposed(problem) - helpless:
        target = _weakest(problem, found, spent)
        if target is None:
            bounded = _around(problem, found) - problem.unbounded
            problem = replace(problem, unbounded=problem.unbounded | bounded)
            helpless |= found if not bounded else set()
        elif partners := _partners(problem, target):
            problem = replace(problem, blurred=problem.blurred | partners)
        else:
            spent.add(target)
    return _pruned(problem, helpless)


def exposed(problem: Problem) -> set[Place]:
    """The secret counts that an attacker can work out, alone or a few together."""
    return worked_out(problem) | _scanty(problem)


def worked_out(problem: Problem) -> set[Place]:
    """The secret counts that have one possible value, or nearly."""
    return (_solved(problem) | _squeezed(problem)) & problem.secret


def _scanty(problem: Problem) -> set[Place]:
    """The secret counts of sums whose hidden parts are known to be a small number together."""
    found: set[Place] = set()
    for s in problem.known:
        hidden = problem.hidden.intersection(s.parts)
        if s.counted and s.whole not in problem.hidden:
            together = sum(problem.counts[p] for p in hidden)
            found |= hidden if 0 < together < problem.minimum else set()
    return found & problem.secret


def _around(problem: Problem, found: set[Place]) -> frozenset[Place]:
    """The small counts that share a sum with one of `found`."""
    sums = [s for s in problem.sums if not found.isdisjoint(s.places)]
    return problem.small.intersection(p for s in sums for p in s.places)


def _weakest(problem: Problem, found: set[Place], spent: set[Sum]) -> Sum | None:
    """The sum to mend first: the one with fewest hidden terms, with an exposed one if it can be."""
    hidden = problem.hidden

    def weakness(s: Sum) -> tuple[int, bool, str]:
        return len(hidden.intersection(s.places)), found.isdisjoint(s.places), repr(s.places)

    open_ = (s for s in problem.known if s not in spent and not hidden.isdisjoint(s.places))
    return min(open_, key=weakness, default=None)


def _partners(problem: Problem, s: Sum) -> frozenset[Place]:
    """What to hide in `s`: the smallest visible part, else the whole unless it is known anyway.

    A part that is zero comes next, then what is betrayed; last, the total wherever it is printed.
    """
    known = any(set(t.parts) == set(s.parts) and t.whole is None for t in problem.known)
    whole = [s.whole] if s.whole is not None and not known else []
    parts = [p for p in s.parts if problem.counts[p] > 0]
    zeros = [p for p in s.parts if problem.counts[p] == 0]
    steadfast = [[p for p in group if p not in problem.betrayed] for group in (parts, whole)]
    for candidates in (*steadfast, zeros, parts, whole):
        if visible := [p for p in candidates if p not in problem.hidden]:
            return frozenset({min(visible, key=lambda p: (problem.counts[p], p))})
    return frozenset(s.printed) - problem.hidden


def _pruned(problem: Problem, helpless: set[Place]) -> Problem:
    """Without the blurred counts that later ones made unnecessary, the largest first."""
    for place in sorted(problem.blurred, key=lambda p: (-problem.counts[p], p)):
        lighter = replace(problem, blurred=problem.blurred - {place})
        if exposed(lighter) <= helpless:
            problem = lighter
    return problem


# --- exact solutions ---------------------------------------------------------------------

# Elimination modulo a prime: with entries 0, 1 and −1 the rank is that over the rationals but
# for a vanishing chance, and no fraction grows.
PRIME = 2**61 - 1


def _solved(problem: Problem) -> set[Place]:
    """Hidden counts that have one value in every solution of the sums."""
    unknown = sorted(problem.hidden & {p for s in problem.known for p in s.places})
    index = {place: j for j, place in enumerate(unknown)}
    rows = {tuple(sorted(_row(s, index).items())) for s in problem.known}
    return {unknown[j] for j in _determined([dict(row) for row in sorted(rows) if row])}


def _row(s: Sum, index: Mapping[Place, int]) -> dict[int, int]:
    """The coefficients of the hidden terms of a sum, by column."""
    row = {index[part]: 1 for part in s.parts if part in index}
    if s.whole is not None and s.whole in index:
        row[index[s.whole]] = PRIME - 1
    return row


def _determined(rows: list[dict[int, int]]) -> set[int]:
    """Unknowns whose unit vector lies in the row space: reduced rows with a single entry."""
    reduced: dict[int, dict[int, int]] = {}  # pivot column to row
    for row in rows:
        rest = dict(row)
        for pivot in [column for column in row if column in reduced]:
            _subtract(rest, reduced[pivot], pivot)
        if not rest:
            continue
        pivot = min(rest)
        inverse = pow(rest[pivot], -1, PRIME)
        rest = {column: x * inverse % PRIME for column, x in rest.items()}
        for other in reduced.values():
            if pivot in other:
                _subtract(other, rest, pivot)
        reduced[pivot] = rest
    return {pivot for pivot, row in reduced.items() if len(row) == 1}


def _subtract(row: dict[int, int], pivot_row: Mapping[int, int], pivot: int) -> None:
    """Clear column `pivot` of `row`."""
    factor = row.get(pivot, 0)
    for column, x in pivot_row.items():
        left = (row.get(column, 0) - factor * x) % PRIME
        if left:
            row[column] = left
        else:
            row.pop(column, None)


# --- narrow ranges -----------------------------------------------------------------------

_Range = tuple[float, float]


def _squeezed(problem: Problem) -> set[Place]:
    """Hidden counts that bounds and sums leave fewer than three values."""
    ranges = {place: _first_range(problem, place) for place in problem.hidden}
    for _ in range(ROUNDS):
        before = dict(ranges)
        for s in problem.known:
            if s.counted:
                _narrow(s, problem.counts, ranges)
        if ranges == before:
            break
    least = min(LEAST_POSSIBLE, problem.minimum - 1)
    return {place for place, (low, high) in ranges.items() if high - low + 1 < least}


def _first_range(problem: Problem, place: Place) -> _Range:
    if place in problem.small - problem.unbounded:
        return (min(1, problem.counts[place]), problem.minimum - 1)
    return (0, math.inf)


def _narrow(s: Sum, counts: Mapping[Place, int], ranges: dict[Place, _Range]) -> None:
    """Tighten the range of each hidden term from those of the others."""

    def span(place: Place) -> _Range:
        return ranges.get(place, (counts.get(place, 0), counts.get(place, 0)))

    total = (s.total or 0, s.total or 0) if s.whole is None else span(s.whole)
    for part in s.parts:
        if part in ranges:
            others = [span(p) for p in s.parts if p != part]
            low = total[0] - sum(high for _, high in others)
            high = total[1] - sum(low for low, _ in others)
            ranges[part] = (max(ranges[part][0], low), min(ranges[part][1], high))
    if s.whole in ranges:
        low, high = (sum(span(p)[i] for p in s.parts) for i in (0, 1))
        was = ranges[s.whole]
        ranges[s.whole] = (max(was[0], low), min(was[1], high))
