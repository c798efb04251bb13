"""Sort many numbers by their digits: a stable sort of 16 bits takes a tenth of a comparing sort.

A number's place in the range of all, in 2^32 steps, never falls as the number rises, so sorting
by it sorts the numbers but for those that share a step; they are compared afterwards.

Source: radix sort, least significant digit first (Knuth 1998, section 5.2.5).
Checked: np.argsort (tests/engines/test_digits.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.risk_set import Array, Ints

MANY = 1 << 16  # numbers from which on this is the shorter way
TOP = 2.0**32 - 2  # the last step; rounding lifts it by less than one


def sort_numbers(x: Array) -> tuple[Ints, Array]:
    """The order of x (n,), none of it missing, and x in that order."""
    found = _by_digits(x) if len(x) >= MANY else None
    if found is not None:
        return found
    order = np.argsort(x)
    return order, x[order]


def _by_digits(x: Array) -> tuple[Ints, Array] | None:
    """The same; None where the steps of the range hold too many numbers each to tell them."""
    low = float(x.min())
    width = float(x.max()) - low
    if not 0 < width < np.inf or TOP / width == np.inf:
        return None
    place = np.subtract(x, low)
    place *= TOP / width
    step = place.astype(np.uint32)
    order = np.argsort((step & 0xFFFF).astype(np.uint16), kind="stable")
    order = order[np.argsort((step >> 16).astype(np.uint16)[order], kind="stable")]
    ascending = x[order]
    wrong = ascending[1:] < ascending[:-1]
    if not wrong.any():
        return order, ascending
    if not _compare_within(x, step[order], wrong, order):
        return None
    return order, x[order]


def _compare_within(
    x: Array, step: NDArray[np.uint32], wrong: NDArray[np.bool_], order: Ints
) -> bool:
    """Put numbers that share a step in order (in place); False where they are too many.

    step (n,): of the numbers as ordered; wrong (n - 1,): where the next of them is smaller.
    """
    shared = np.unique(step[1:][wrong])
    begins, ends = (np.searchsorted(step, shared, side=side) for side in ("left", "right"))
    if int((ends - begins).sum()) > len(x) // 8:
        return False
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        run = order[begin:end]
        order[begin:end] = run[np.argsort(x[run])]
    return True
