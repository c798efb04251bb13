"""Stabilised weights for a marginal structural model of attendance, block by block.

Attendance in a block falls into one of several classes of its count. Its chance, given history
or given the baseline alone, is a chain of logistic models: the first class, the second if not
the first, and so on (continuation ratios). A person's weight at the start of a block is the
product over earlier blocks of chance given baseline and class before / chance given history.

Source: Robins, Hernán & Brumback 2000; Hernán, Brumback & Robins 2000.
Checked: mean 1, exact chances in a two-block example (tests/engines/test_marginal_weight.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.strategy_course import Course
from recovery_stats.engines.strategy_weight import ridge_logistic, standardised


def stabilised(course: Course, cuts: Sequence[float], fixed: NDArray[np.bool_]) -> Array:
    """Weights (n, B) at the start of each block, 1 in the first.

    cuts: increasing lower bounds of all classes but the first. fixed (h,): columns of history
    that are known at time zero, the only ones of the numerator.
    """
    done = course.completed
    label = np.digitize(np.nan_to_num(course.count), cuts)
    person, block = np.nonzero(done)
    before = np.where(block > 0, label[person, np.maximum(block - 1, 0)], -1)
    past = (before[:, None] == np.arange(len(cuts) + 1)).astype(float)
    time = (block / max(done.shape[1] - 1, 1))[:, None]
    history = course.history[person, block]
    common = np.column_stack([time, time**2, past])
    own = label[person, block]
    ratio = np.ones(done.shape)
    numerator = _chance(np.column_stack([common, history[:, fixed]]), own, len(cuts))
    denominator = _chance(np.column_stack([common, history]), own, len(cuts))
    ratio[person, block] = numerator / denominator
    earlier = np.cumprod(ratio, axis=1)[:, :-1]
    return np.concatenate([np.ones((len(done), 1)), earlier], axis=1)


def _chance(X: Array, label: IntArray, top: int) -> Array:
    """Fitted chance (m,) of each row's own class, classes 0 … top."""
    design = standardised(X)
    chance = np.ones(len(label))
    for step in range(top):
        here = label >= step
        if not here.any():
            break
        stops = (label[here] == step).astype(float)
        beta = ridge_logistic(design[here], stops, np.ones(len(stops)))
        p = expit(design[here] @ beta)
        chance[here] *= np.where(stops > 0, p, 1.0 - p)
    return chance
