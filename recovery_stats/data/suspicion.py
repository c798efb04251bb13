"""Codes that look like undeclared missing values: a 9, 99 or -9 far from everything else."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from recovery_stats.core import progress
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset

CONVENTIONAL = np.array(
    [
        s * (10**k - d)
        for s in (1, -1)
        for k in (1, 2, 3, 4, 5)
        for d in (1, 2, 3)  # 9, 8, 7; 99, 98, 97; …
    ]
    + [77, 88, 66, 777, 888, 7777, 8888, -1, -66, -77, -88, -777, -888],
    dtype=float,
)
FAR = 0.25  # of the range of the other values, where the code repeats and leaves a clear gap
STEP = "columns searched for odd codes"
CLEAR_GAPS = 3  # times the widest gap among the other values


def suspicious(dataset: Dataset, skip: Collection[str] = ()) -> Iterator[tuple[str, float, int]]:
    """Yield column, code and how often it occurs, for every column of numbers."""
    names = list(map(str, dataset.frame.columns))
    for number, column in enumerate(names):
        progress.tell(STEP, number, len(names))
        values = dataset.frame[column]
        if column in skip or values.dtype.kind not in "fiu":
            continue
        numbers = values.dropna().to_numpy(float)
        for code in np.intersect1d(numbers, CONVENTIONAL):
            if _stands_alone(numbers, code, dataset.variable(column)):
                yield column, float(code), int((numbers == code).sum())


def _stands_alone(numbers: Any, code: float, variable: Variable) -> bool:
    if code in variable.values:
        return False  # the codebook says what it means
    others = np.unique(numbers[~np.isin(numbers, CONVENTIONAL) | _within(numbers, code)])
    if len(others) < 2:
        return False
    low, high = others[0], others[-1]
    if low <= code <= high:
        return False
    if code < 0:
        return bool(low >= 0)
    gap = code - high
    if gap <= np.diff(others).max():
        return False  # the tail of a count thins out without a gap
    return _is_far(gap, others, int((numbers == code).sum())) or _unlabelled(code, variable)


def _within(numbers: Any, code: float) -> Any:
    """Conventional codes below 10 are ordinary values where the suspect is a larger one."""
    return (numbers >= 0) & (numbers < 10) & (abs(code) >= 10)


def _is_far(gap: float, others: Any, count: int) -> bool:
    spread = others[-1] - others[0]
    widest = np.diff(others).max()
    return bool(gap >= spread or (gap >= FAR * spread and count > 2 and gap > CLEAR_GAPS * widest))


def _unlabelled(code: float, variable: Variable) -> bool:
    """A scale whose labels end two or more below the code."""
    declared = variable.missing.covers
    labelled = [c for c in variable.values if not isinstance(c, str) and not declared(c)]
    return len(labelled) > 1 and code - max(labelled) >= 2
