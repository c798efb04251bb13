"""Data on which a linear mixed model has no answer: a message that names the term and the cure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations

import numpy as np

from recovery_stats.engines.linalg import LARGEST, Array, IntArray
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.errors import ConvergenceError, DataError, NotEstimable

SPANNED = 1e-8  # share of a column's length that is rounding after a projection


def check_outcome(name: str, y: Array) -> None:
    """NotEstimable for a constant outcome, DataError where squares would overflow."""
    if y.size and np.ptp(y) == 0:
        raise NotEstimable(
            f"The outcome {name!r} has the same value in all {y.size} rows, so there is nothing to "
            "explain; take another outcome or other rows."
        )
    if y.size and float(np.abs(y).max()) > LARGEST:
        raise DataError(
            f"The outcome {name!r} has values above {LARGEST:g}; state it in larger units."
        )


def check_groups(factors: Sequence[RandomFactor], n: int) -> None:
    """NotEstimable where a factor has too few or too many levels, or repeats another."""
    for factor in factors:
        m = factor.levels
        if m < 2:
            raise NotEstimable(
                f"Grouping column {factor.name!r} has one level in these {n} rows; a variance "
                "between groups needs at least two. Take its random term out."
            )
        if m >= n:
            raise NotEstimable(
                f"Grouping column {factor.name!r} has as many levels as there are rows ({n}): "
                "nothing is repeated, so its variance cannot be told from the residual. Take its "
                "random term out, or group the rows by something that repeats."
            )
        widest = max(len(b) for b in factor.blocks)
        if m * widest >= n:
            raise NotEstimable(
                f"The random term of {factor.name!r} has {m * widest} effects ({widest} for each "
                f"of {m} levels) for {n} rows; keep fewer random slopes."
            )
    check_distinct(factors, n)


def check_distinct(factors: Sequence[RandomFactor], n: int) -> None:
    """NotEstimable where two factors group the n rows alike and share an effect."""
    for one, other in combinations(factors, 2):
        if _same_groups(one, other):
            raise NotEstimable(
                f"Grouping columns {one.name!r} and {other.name!r} make the same groups of these "
                f"{n} rows, so their variances cannot be told apart; keep the random term of one."
            )


def check_left(factors: Sequence[RandomFactor], X: Array) -> None:
    """NotEstimable where the predictors X (n, p) tell every level of a factor apart.

    REML sees only what the predictors leave, so nothing is known of such a variance; lme4 prints
    the number at which its search stopped.
    """
    for factor in factors:
        if factor.levels * min(len(b) for b in factor.blocks) > X.shape[1]:
            continue
        at = factor.codes[:, None] == np.arange(factor.levels)
        for block in factor.blocks:
            columns = np.hstack([factor.Z[:, [j]] * at for j in block])
            left = columns - X @ np.linalg.lstsq(X, columns, rcond=None)[0]
            if (np.linalg.norm(left, axis=0) <= SPANNED * np.linalg.norm(columns, axis=0)).all():
                raise NotEstimable(
                    f"The predictors tell all {factor.levels} levels of {factor.name!r} apart, so "
                    "nothing is left for the variance between them; take its random term out, or "
                    "the predictors that name its levels."
                )


def _same_groups(one: RandomFactor, other: RandomFactor) -> bool:
    """Whether two factors group the rows alike and share an effect."""
    if one.levels != other.levels:
        return False
    pairs = np.unique(one.codes.astype(np.int64) * other.levels + other.codes).size
    shared = any(np.array_equal(a, b) for a in one.Z.T for b in other.Z.T)
    return pairs == one.levels and shared


@contextmanager
def naming(outcome: str, y: Array, factors: Sequence[RandomFactor]) -> Iterator[None]:
    """Say of which outcome and factor an engine found no residual variance."""
    try:
        yield
    except ConvergenceError as error:
        for factor in factors:
            if _constant_within(y, factor.codes, factor.levels):
                raise NotEstimable(
                    f"The outcome {outcome!r} has one value within every level of "
                    f"{factor.name!r}, so nothing is left over within levels. Keep one row a "
                    "level, and take the random term out."
                ) from None
        raise type(error)(f"Outcome {outcome!r}: {error}") from None
    except NotEstimable as error:
        text = str(error)
        if not text.startswith("The outcome has no variation left"):
            raise
        raise NotEstimable(
            text.replace("The outcome", f"The outcome {outcome!r}", 1)
            + " Leave out the predictors that it was computed from."
        ) from None


def _constant_within(y: Array, codes: IntArray, levels: int) -> bool:
    low, high = np.full(levels, np.inf), np.full(levels, -np.inf)
    np.minimum.at(low, codes, y)
    np.maximum.at(high, codes, y)
    return bool((low == high).all())
