"""Name the columns that tell the outcome apart, so that no finite coefficient exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from recovery_stats.engines.glm import separating_direction
from recovery_stats.engines.glmm_family import Family, Poisson
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import NotEstimable


def refuse_if_separated(X: Array, law: Family, names: Sequence[str]) -> None:
    """Raise NotEstimable, naming the columns, where X (n, p) separates the law's outcome."""
    rows, y = law.comparisons(X)
    direction = separating_direction(rows, y)
    if direction is not None and direction[: X.shape[1]].any():
        refuse_separated(X, law, names, np.asarray(direction[: X.shape[1]], dtype=float))


def refuse_separated(X: Array, law: Family, names: Sequence[str], direction: Array) -> NoReturn:
    """Name the columns without which there is no separation, or all that take part."""
    helping = [j for j in np.flatnonzero(direction).tolist() if names[j] != "Intercept"]
    needed = []
    for j in helping:
        rows, y = law.comparisons(np.delete(X, j, 1))
        rest = separating_direction(rows, y)
        if rest is None or not rest[: X.shape[1] - 1].any():
            needed.append(j)
    named = ", ".join(repr(names[j]) for j in (needed or helping)[:4]) or "the predictors"
    what = (
        "all counts are 0" if isinstance(law, Poisson) else "the outcome is the same in every row"
    )
    raise NotEstimable(
        f"The outcome is perfectly separated by {named}: among some of its values {what}, so that "
        "no finite coefficient exists. Leave it out, or join its levels."
    )
