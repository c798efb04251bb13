"""Does the hazard of leaving a state depend on when it was entered? A test of the Markov property.

In the time since entry to the study, the hazard of each transition out of a state is compared
among those in the state by the time at which they came into it: the score test of Cox's model
with that time as covariate. Transitions are tested apart; under the Markov property their
statistics are independent, so that they add up.

Source: Kay 1986; Putter, Fiocco & Geskus 2007, sec. 4. Checked: Cox's model on the same rows;
its size and power in simulated processes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines import cox
from recovery_stats.engines.multistate import CENSORED, Paths
from recovery_stats.engines.risk_set import Array
from recovery_stats.errors import NotEstimable


def stays(paths: Paths) -> tuple[Array, NDArray[np.bool_]]:
    """When each row's stay in its state began (n,), and whether it was seen to begin."""
    order = np.lexsort((paths.start, paths.person))
    who, moved = paths.person[order], paths.to[order] != CENSORED
    first = np.append(True, who[1:] != who[:-1])
    came = np.append(False, moved[:-1]) & ~first
    place = np.maximum.accumulate(np.where(first | came, np.arange(len(order)), 0))
    began, seen = np.empty(len(order)), np.empty(len(order), dtype=bool)
    began[order], seen[order] = paths.start[order][place], came[place]
    return began, seen


def entry_time_test(paths: Paths, origin: int, to: int) -> float:
    """Score statistic (1 df) of the time of entry to `origin` on the hazard of `to`.

    nan where no such transition has anybody to be compared with.
    """
    began, seen = stays(paths)
    rows = np.flatnonzero(seen & (paths.origin == origin))
    if not len(rows):
        return float("nan")
    try:
        fit = cox.fit(
            began[rows, None],
            paths.stop[rows],
            (paths.to[rows] == to).astype(np.int64),
            start=paths.start[rows],
            weights=paths.weight[rows],
        )
    except NotEstimable:
        return float("nan")
    return fit.score_statistic
