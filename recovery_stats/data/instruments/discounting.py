"""Delay discounting from binary choices: k by consistency, for each size of reward and over all.

Who is indifferent at rate k prefers the delayed reward wherever its own k at indifference is
higher. Each place between two choices (ordered by k) predicts 0 before it and 1 from it on; the
place with most choices as predicted is the person's, its k the geometric mean of the two choices
around it; ties are joined by their geometric mean. Someone who always waits gets the first k,
someone who never waits the last one.

Source: Kirby, Petry & Bickel 1999; Kaplan et al. 2016, whose order of the 27 items and whose last
step over all items (0.25) are kept. Checked: the worked example of beezdiscounting; brute force.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.data.instruments.scale import Choice

Array = NDArray[np.float64]
SIZES = ("small", "medium", "large")
PARTS = ("k", "consistency", "delayed")
CHOICE_SCORES = ("k", "ln_k", *(f"{of}_{part}" for of in ("overall", *SIZES) for part in PARTS))
STEEPEST = 0.25  # the end of the ladder over all items


def discounting(answers: pd.DataFrame, choices: Sequence[Choice]) -> pd.DataFrame:
    """k, ln k, consistency and share of delayed choices, over all items and by size.

    answers (n, items): 1 for the larger reward later, 0 for the smaller one now; columns are the
    numbers of the items. A person who left out a choice of a ladder has no k from it.
    """
    found = {}
    for size in SIZES:
        ladder = [c for c in choices if c.size == size]
        found.update(_ladder(answers, ladder, ladder[-1].k, size))
    logs = np.log(np.column_stack([found[f"{size}_k"] for size in SIZES]))
    geomean = np.exp(logs.mean(axis=1))
    overall = _ladder(answers, choices, STEEPEST, "overall")
    columns = {"k": geomean, "ln_k": np.log(geomean), **overall, **found}
    return pd.DataFrame(columns, index=answers.index)


def _ladder(
    answers: pd.DataFrame, ladder: Sequence[Choice], end: float, name: str
) -> dict[str, Array]:
    waits = answers[[c.item for c in ladder]].to_numpy(dtype=float)
    complete = np.isfinite(waits).all(axis=1)
    k, consistency = _best(waits[complete], np.array([c.k for c in ladder]), end)
    columns = {
        f"{name}_k": k,
        f"{name}_consistency": consistency,
        f"{name}_delayed": waits[complete].mean(axis=1),
    }
    return {column: _spread(values, complete) for column, values in columns.items()}


def _spread(values: Array, rows: NDArray[np.bool_]) -> Array:
    whole = np.full(len(rows), np.nan)
    whole[rows] = values
    return whole


def _best(waits: Array, k: Array, end: float) -> tuple[Array, Array]:
    """The most consistent k of each row of `waits` (n, m), and the share of choices it fits."""
    n, m = waits.shape
    now_before = np.column_stack([np.zeros(n), np.cumsum(1 - waits, axis=1)])
    later_from = waits.sum(axis=1, keepdims=True) - np.column_stack(
        [np.zeros(n), np.cumsum(waits, axis=1)]
    )
    fits = now_before + later_from
    best = fits.max(axis=1, keepdims=True)
    ends = np.concatenate(([k[0]], k, [end]))
    log_k = np.log(ends[:-1] * ends[1:]) / 2
    tied = fits == best
    return np.exp((tied * log_k).sum(axis=1) / tied.sum(axis=1)), best[:, 0] / m
