"""Levels that share Z'Z, taken as one: the sums over them need only the sum of c c'.

Where waves are scheduled a hundred thousand people have a thousand patterns of attendance. Levels
with the same R have the same N, so that every sum of `lmm_single` is linear in sum c_i c_i' over
the levels of a pattern: nothing is approximated, and a visit costs patterns instead of levels.
Checked: the same model level by level (tests/engines/test_lmm_alike.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recovery_stats.engines.linalg import Array, IntArray

FEWEST = 2_048  # levels below which a visit to each costs no more than the search for patterns
LOOK = 512  # levels that tell whether the search can pay


@dataclass(frozen=True, slots=True)
class Alike:
    """R (q, q, k) of k patterns, count (k,) of levels, products (q, q, k, s, s): sums of c_a c_b'.

    The same means to the last digit: waves in the same order within each level.
    """

    R: Array
    count: Array
    products: Array


def alike(R: Array, c: Array) -> Alike | None:
    """The patterns of R (q, q, m) with c (q, s, m); None where they would take more room than c."""
    q, s, m = c.shape
    room = m // (q * s)  # patterns whose products are as many numbers as c
    if m < FEWEST:
        return None
    entries = R[np.triu_indices(q)]
    if _patterns(entries[:, : LOOK * (m // LOOK) : m // LOOK])[1].size > min(LOOK // 2, room):
        return None
    order, starts = _patterns(entries)
    if starts.size > room:
        return None
    flat = c.reshape(q * s, m)[:, order]
    stops = np.append(starts[1:], m)
    products = np.empty((starts.size, q * s, q * s))
    for k, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        part = flat[:, start:stop]
        np.matmul(part, part.T, out=products[k])
    by_pair = products.reshape(-1, q, s, q, s).transpose(1, 3, 0, 2, 4)
    return Alike(
        np.ascontiguousarray(R[:, :, order[starts]]),
        (stops - starts).astype(float),
        np.ascontiguousarray(by_pair),
    )


def _patterns(entries: Array) -> tuple[IntArray, IntArray]:
    """The order in which equal columns of `entries` follow each other, and where each run starts.

    Sorted by one number of each column; runs are told apart by all of them.
    """
    order = np.argsort(np.sin(np.arange(1.0, 1.0 + len(entries))) @ entries, kind="stable")
    ordered = entries[:, order]
    new = (ordered[:, 1:] != ordered[:, :-1]).any(0)
    return order, np.flatnonzero(np.concatenate([[True], new]))
