"""Our turn on the mixed ladder: RUNG CSV. Prints the best CPU times as one line of JSON.

ours fit: the engine from arrays to a fitted model. ours object: formula and frame to the result
object. ours call: that, and the table of coefficients with Satterthwaite's df. ours df:
Satterthwaite and Kenward–Roger on top of a fit. ours MB: the most memory above the data during a
call (what NumPy and Python allocate).
"""

from __future__ import annotations

import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import recovery_stats as rs
from benchmark_ladder.mixed_model import FACTORS, FORMULAS, REPEATS
from recovery_stats.engines import glmm as glmm_engine
from recovery_stats.engines import glmm_family, lmm_df
from recovery_stats.engines import lmm as engine
from recovery_stats.models.design import build_design
from recovery_stats.models.mixed import random_factors


def best(work: Callable[[], Any], repeats: int) -> float:
    """The shortest CPU time of several runs."""
    taken = []
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def peak(work: Callable[[], Any]) -> float:
    """Megabytes allocated at the most during `work`."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


def linear(rung: str, data: pd.DataFrame) -> dict[str, float]:
    formula, repeats = FORMULAS[rung], REPEATS[rung]
    design = build_design(formula, data)
    X, y, factors = design.X, design.response.y, random_factors(design)
    found = {"ours fit": best(lambda: engine.fit(X, y, factors), repeats)}
    found["ours object"] = best(lambda: rs.lmm(formula, data), repeats)
    found["ours call"] = best(lambda: rs.lmm(formula, data).tidy(), repeats)
    fitted, each = engine.fit(X, y, factors), np.eye(X.shape[1])

    def degrees() -> None:
        information = lmm_df.information(fitted)
        lmm_df.satterthwaite(information, each)
        lmm_df.adjusted_covariance(information)
        lmm_df.kenward_roger(information, each)

    found["ours df"] = best(degrees, min(repeats, 5))
    if rung == "d":
        found["ours MB"] = peak(lambda: rs.lmm(formula, data).tidy())
    return found


def logit(data: pd.DataFrame) -> dict[str, float]:
    formula = FORMULAS["logit"]
    design = build_design(formula, data)
    X, y, factors = design.X, design.response.y, random_factors(design)
    family = glmm_family.Binomial(y, np.ones_like(y), np.ones_like(y))
    return {
        "ours fit": best(lambda: glmm_engine.fit(X, family, factors), REPEATS["logit"]),
        "ours call": best(
            lambda: rs.glmm(formula, data, family="binomial").tidy(), REPEATS["logit"]
        ),
    }


def main() -> None:
    rung, path = sys.argv[1:3]
    data = pd.read_csv(path, dtype=dict.fromkeys(FACTORS.get(rung, ()), "category"))
    print(json.dumps(logit(data) if rung == "logit" else linear(rung, data)))


if __name__ == "__main__":
    main()
