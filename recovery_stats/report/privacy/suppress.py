"""Complementary suppression: hide as few further counts as keep the hidden ones from being solved.

An attacker has every printed count, every sum the table implies, and the rule itself: a cell
printed "< 11" is from 1 to 10. A hidden count is exposed when the sums fix it, either exactly
(linear algebra over the rationals) or to fewer than three possible values (interval
propagation). One more count of its sum is then hidden, the smallest first and a whole last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from recovery_stats.report.privacy.visit import Place

LEAST_POSSIBLE = 3
ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Sum:
    """`parts` add up to `whole` (a place) or to `total` (a number known from elsewhere).

    counted: the terms are counts, so that bounds apply; else weighted means and the like.
    """

    parts: tuple[Place, ...]
    whole: Place | None = None
    total: int | None = None
    counted: bool = True

    @property
    def places(self) -> tuple[Place, ...]:
        return self.parts if self.whole is None else (*self.parts, self.whole)


@dataclass(frozen=True, slots=True)
class Problem:
    """Counts by place, the sums they obey, and what of them is hidden.

    small: hidden because small, printed with its bound. linked: hidden because another hidden
    count would follow from it; must not be solved either. blurred: hidden only to protect.
    """

    counts: Mapping[Place, int]
    sums: tuple[Sum, ...]
    minimum: int
    small: frozenset[Place]
    linked: frozenset[Place] = frozenset()
    blurred: frozenset[Place] = frozenset()
    unbounded: frozenset[Place] = frozenset()

    @property
    def hidden(self) -> frozenset[Place]:
        return self.small | self.linked | self.blurred

    @property
    def secret(self) -> frozenset[Place]:
        return self.small | self.linked


def protect(problem: Problem) -> Problem:
    """Hide further counts until nothing secret is exposed; what cannot be helped loses its bound.

    A small count whose sum has nothing left to hide is printed without its bound ("withheld"
    instead of "< 11"), which widens what it may be.
    """
    while True:
        found = exposed(problem)
        if not found:
            return problem
        place = min(found, key=repr)
        partner = _partner(problem, place)
        if partner is not None:
            problem = replace(problem, blurred=problem.blurred | {partner})
        elif place in problem.small - problem.unbounded:
            around = {p for s in problem.sums if place in s.places for p in s.places}
            problem = replace(problem, unbounded=problem.unbounded | (around & problem.small))
        else:
            return problem


def exposed(problem: Problem) -> set[Place]:
    """The secret counts that an attacker can work out."""
    return (_solved(problem) | _squeezed(problem)) & problem.secret


def _partner(problem: Problem, place: Place) -> Place | None:
    """What to hide beside `place`: the smallest visible part of its sums, else their whole."""
    around = [s for s in problem.sums if place in s.places]
    for candidates in ([p for s in around for p in s.parts], [s.whole for s in around]):
        visible = [p for p in candidates if p is not None and p not in problem.hidden]
        useful = [p for p in visible if problem.counts[p] > 0]
        if useful:
            return min(useful, key=lambda p: (problem.counts[p], repr(p)))
    return None


# --- exact solutions ---------------------------------------------------------------------


def _solved(problem: Problem) -> set[Place]:
    """Hidden counts that have one value in every solution of the sums."""
    unknown = sorted(problem.hidden & {p for s in problem.sums for p in s.places}, key=repr)
    index = {place: j for j, place in enumerate(unknown)}
    rows = []
    for s in problem.sums:
        row = [Fraction(0)] * len(unknown)
        for part in s.parts:
            if part in index:
                row[index[part]] += 1
        if s.whole is not None and s.whole in index:
            row[index[s.whole]] -= 1
        if any(row):
            rows.append(row)
    return {unknown[j] for j in _determined(rows)}


def _determined(rows: list[list[Fraction]]) -> set[int]:
    """Unknowns whose unit vector lies in the row space: reduced rows with a single entry."""
    rank = 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        lead = rows[rank][column]
        rows[rank] = [x / lead for x in rows[rank]]
        for i, row in enumerate(rows):
            if i != rank and row[column]:
                factor = row[column]
                rows[i] = [x - factor * y for x, y in zip(row, rows[rank], strict=True)]
        rank += 1
    singles = ([j for j, x in enumerate(row) if x] for row in rows[:rank])
    return {entries[0] for entries in singles if len(entries) == 1}


# --- narrow ranges -----------------------------------------------------------------------

_Range = tuple[float, float]


def _squeezed(problem: Problem) -> set[Place]:
    """Hidden counts that bounds and sums leave fewer than three values."""
    ranges = {place: _first_range(problem, place) for place in problem.hidden}
    for _ in range(ROUNDS):
        before = dict(ranges)
        for s in problem.sums:
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
