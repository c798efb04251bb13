"""A residual structure met with data: waves, levels of variance, groups, people as arrays.

Checked: every refusal below (tests/models/test_mixed_residual.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.lmm_pattern import Rows
from recovery_stats.engines.residual import Residual, Separable, Unstructured
from recovery_stats.engines.residual_correlation import Correlation
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.residual_request import Request

MOST_WAVES = 40  # unstructured: 820 covariances
TOLERANCE = 1e-6  # of the widest gap between waves: typed with six digits or more
MOST_STEPS = 10_000
WIDEST_GAP = 40  # steps between neighbouring waves, beyond which the step is an accident


@dataclass(frozen=True, slots=True)
class Structure:
    """A request met with data: the engine's structure, its rows, and what things are called.

    people: the name of the subject; persons: how many. waves, levels, groups: names. scale: units
    of time per unit of the engine's. step: what one lag is in the wave's own units, 0 for labels.
    pairs (groups, K, K): people seen at both waves.
    """

    request: Request
    residual: Residual
    rows: Rows
    people: str
    persons: int
    waves: tuple[str, ...]
    levels: tuple[str, ...]
    groups: tuple[str, ...]
    scale: float
    step: float
    pairs: Array


@dataclass(frozen=True, slots=True)
class Waves:
    """Names, numbers (n,) and places (n,) of the waves: values of numbers, order of labels."""

    names: tuple[str, ...]
    codes: IntArray
    times: Array


def build_structure(
    request: Request, columns: Columns, random: Sequence[tuple[str, IntArray]]
) -> Structure:
    """Meet the request with the rows analysed; random: name and codes of each random factor.

    Raises DataError (duplicate or uneven waves, text for time), NotEstimable (too little data).
    """
    people, person = _people(request, columns, random)
    group_names, group = _levels(request.groups, columns)
    waves = _waves(request, columns, person)
    steps, scale, step = _steps(request, waves, person)
    _refuse_duplicates(request, columns, person, waves)
    _refuse_mixed_groups(request, person, group)
    largest = int(np.bincount(person).max())
    if request.correlated and largest < 2:
        raise NotEstimable(
            f"No level of {people!r} has two rows, so nothing shows how residuals are correlated."
        )
    pairs = _pairs(person, waves, group, len(group_names))
    level_names, level = _variance_levels(request, columns, waves, (group_names, group))
    residual: Residual
    if request.family in (None, "free"):
        _refuse_sparse_pairs(request, waves, pairs)
    if request.family is None:
        residual = Unstructured(len(waves.names), len(group_names))
    else:
        correlation = Correlation(request.family, steps, largest)
        paired = not request.by_wave and request.variance is None
        residual = Separable(correlation, len(level_names), len(group_names), paired)
    if residual.size == 0:
        raise NotEstimable(
            f"Column {request.wave!r} has one level in these rows, so residual="
            f"{request.kind!r} asks for nothing; leave it out."
        )
    place = waves.times / scale if request.family == "car1" else waves.codes.astype(float)
    return Structure(
        request, residual, Rows(person, waves.codes, level, group, place), people,
        int(person.max()) + 1, waves.names, level_names, group_names, scale, step, pairs,
    )  # fmt: skip


def _people(
    request: Request, columns: Columns, random: Sequence[tuple[str, IntArray]]
) -> tuple[str, IntArray]:
    if request.person:
        found = columns.grouping(request.person)
        return found.name, found.codes
    if random:
        return max(random, key=lambda part: int(part[1].max()))
    return "row", np.arange(len(columns), dtype=np.intp)


def _levels(column: str | None, columns: Columns) -> tuple[tuple[str, ...], IntArray]:
    if column is None:
        return ("",), np.zeros(len(columns), dtype=np.intp)
    found = columns.levels(column)
    return found.names, found.codes


def _waves(request: Request, columns: Columns, person: IntArray) -> Waves:
    if request.wave is None:
        return _in_row_order(person)
    factor = columns.is_factor(request.wave)
    if request.family == "car1":
        if factor:
            raise DataError(
                f"Column {request.wave!r} holds labels; residual='car1' needs time as a number."
            )
        times = columns.numbers(request.wave)
        return Waves(("",), np.zeros(len(times), dtype=np.intp), times)
    found = columns.levels(request.wave)
    places = found.codes.astype(float) if factor else columns.numbers(request.wave)
    return Waves(found.names, found.codes, places)


def _in_row_order(person: IntArray) -> Waves:
    order = np.argsort(person, kind="stable")
    first = np.r_[True, np.diff(person[order]) != 0]
    start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    number = np.empty(len(order), dtype=np.intp)
    number[order] = np.arange(len(order)) - start
    names = tuple(str(j + 1) for j in range(int(number.max()) + 1))
    return Waves(names, number, number.astype(float))


def _steps(request: Request, waves: Waves, person: IntArray) -> tuple[Array, float, float]:
    """Places of the waves in steps, the engine's unit of time, and the width of a step."""
    if request.family == "car1":
        order = np.lexsort((waves.times, person))
        gaps = np.diff(waves.times[order])[np.diff(person[order]) == 0]
        gaps = gaps[gaps > 0]
        return np.zeros(1), float(np.median(gaps)) if gaps.size else 1.0, 0.0
    places = np.unique(waves.times)
    if request.family not in ("ar1", "toeplitz") or len(places) < 2:
        return np.arange(len(waves.names), dtype=float), 1.0, 0.0
    step = _common_step(np.diff(places))
    if step is None:
        raise DataError(
            f"The waves in column {request.wave!r} are not whole steps apart, which "
            f"residual={request.kind!r} needs; use residual='car1' for times as they are."
        )
    steps = np.rint((places - places[0]) / step)
    if request.family == "toeplitz" and not np.array_equal(steps, np.arange(len(steps))):
        raise DataError(
            f"The waves in column {request.wave!r} are not equally spaced, which "
            f"residual={request.kind!r} needs; use 'ante-dependence' or 'unstructured'."
        )
    return steps, 1.0, step


def _common_step(gaps: Array) -> float | None:
    """The greatest common divisor of the gaps; None when there is none worth the name."""
    step = float(gaps[0])
    for gap in gaps[1:].tolist():
        a, b = max(step, gap), min(step, gap)
        while b > TOLERANCE * float(gaps.max()):
            a, b = b, abs(a - round(a / b) * b)
        step = a
    counts = gaps / step
    uneven = float(np.abs(counts - np.rint(counts)).max()) > 1e-3
    odd = counts.sum() > MOST_STEPS or counts.min() > WIDEST_GAP
    return None if uneven or odd else step


def _variance_levels(
    request: Request, columns: Columns, waves: Waves, groups: tuple[tuple[str, ...], IntArray]
) -> tuple[tuple[str, ...], IntArray]:
    """The levels with a variance of their own: groups, by wave and by residual_variance=."""
    names, codes = groups
    parts = [(waves.names, waves.codes)] if request.by_wave else []
    if request.variance is not None:
        parts.append(_levels(request.variance, columns))
    for more, code in parts:
        seen, again = np.unique(codes * len(more) + code, return_inverse=True)
        names = tuple(named([names[j // len(more)], more[j % len(more)]]) for j in seen.tolist())
        codes = again.reshape(-1).astype(np.intp)
    counts = np.bincount(codes, minlength=len(names))
    if len(names) > 1 and counts.min() < 2:
        raise NotEstimable(
            f"Level {names[int(counts.argmin())]!r} has one row; its residual variance cannot be "
            "told from that. Join it with another level."
        )
    return names, codes


def named(parts: Sequence[str]) -> str:
    """Names joined by a colon, empty ones left out."""
    return ":".join(p for p in parts if p)


# --- refusals ------------------------------------------------------------------------------------


def _refuse_duplicates(request: Request, columns: Columns, person: IntArray, waves: Waves) -> None:
    if not request.correlated or request.wave is None:
        return
    place = waves.times if request.family == "car1" else waves.codes
    order = np.lexsort((place, person))
    again = (np.diff(person[order]) == 0) & (np.diff(place[order]) == 0)
    if again.any():
        twice: NDArray[np.bool_] = np.zeros(len(person), dtype=bool)
        twice[order[1:][again]] = True
        raise DataError(
            f"{int(again.sum())} rows repeat a value of {request.wave!r} that their person has "
            f"already ({columns.rows(twice)}). One row for each person and wave is needed; check "
            "the person column (ids may be unique only together, as in 'wave | site:person')."
        )


def _refuse_mixed_groups(request: Request, person: IntArray, group: IntArray) -> None:
    pairs = np.unique(person.astype(np.int64) * (int(group.max()) + 1) + group)
    if pairs.size > np.unique(person).size:
        raise DataError(
            f"Column {request.groups!r} changes within people; residual_groups= takes groups of "
            "people. For a variance that changes within people use residual_variance=."
        )


def _pairs(person: IntArray, waves: Waves, group: IntArray, groups: int) -> Array:
    """People of each group who have both waves, (G, K, K); empty for many waves."""
    K = len(waves.names)
    if K > MOST_WAVES:
        return np.zeros((0, 0, 0))
    seen = np.zeros((int(person.max()) + 1, K))
    seen[person, waves.codes] = 1.0
    mine = np.zeros(len(seen), dtype=np.intp)
    mine[person] = group
    return np.stack([seen[mine == g].T @ seen[mine == g] for g in range(groups)])


def _refuse_sparse_pairs(request: Request, waves: Waves, pairs: Array) -> None:
    names = waves.names
    if not pairs.size:
        raise NotEstimable(
            f"Column {request.wave!r} has {len(names)} levels; an unstructured covariance takes at "
            f"most {MOST_WAVES}. Use residual='ar1' or 'car1'."
        )
    if pairs.min() < 2:
        _, a, b = np.unravel_index(int(pairs.argmin()), pairs.shape)
        where = f" within a level of {request.groups!r}" if request.groups else ""
        raise NotEstimable(
            f"Waves {names[a]!r} and {names[b]!r} of column {request.wave!r} are seen together in "
            f"fewer than two people{where}; an unstructured covariance needs every pair. Use "
            "residual='heterogeneous-ar1' or 'ante-dependence', or leave a wave out."
        )
    if int(np.diagonal(pairs, axis1=1, axis2=2).max(1).min()) <= len(names):
        raise NotEstimable(
            f"An unstructured covariance of {len(names)} waves needs more people than waves in "
            "every group. Use a structure with fewer parameters."
        )
