"""Our turn on the survival ladder: RUNG DATA. Prints the best CPU times as one line of JSON.

ours: the call from formula and frame, and the table of what it found; of Cox models the fit
object, as R's coxph is one. ours with concordance: that, and the concordance with its error.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

import recovery_stats as rs
from benchmark_ladder.survival_model import FORMULAS, IN_A_ROW, REPEATS, read
from recovery_stats.core.dataset import Dataset
from recovery_stats.models.policy import lag_cox
from recovery_stats.models.reshape import person_days


def best(work: Callable[[], Any], repeats: int, inner: int = 1) -> float:
    """The shortest CPU time of several turns, each of `inner` calls."""
    taken = []
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        for _ in range(inner):
            work()
        taken.append((time.process_time() - start) / inner)
    return min(taken)


def cox(formula: str, data: pd.DataFrame, *turns: int) -> dict[str, float]:
    rs.cox(formula, data)
    return {
        "ours": best(lambda: rs.cox(formula, data), *turns),
        "ours table": best(lambda: rs.cox(formula, data).tidy(), *turns),
        "ours with concordance": best(lambda: rs.cox(formula, data).concordance, *turns),
    }


def lags(persons: Dataset, meetings: Dataset) -> dict[str, float]:
    rows = person_days(persons, person="id", stop="day", event="relapse", meetings=meetings,
                       meeting_day="day", daily=True)  # fmt: skip
    return {
        "rows": float(len(rows)),
        "ours": best(
            lambda: lag_cox(
                "Surv(start, stop, relapse) ~ housing", rows, meetings=meetings,
                meeting_person="id", meeting_day="day", steps=None,
            ).curve(),
            5,
        ),
    }  # fmt: skip


def days(persons: Dataset, meetings: Dataset) -> dict[str, float]:
    def work() -> Dataset:
        return person_days(persons, person="id", stop="day", event="relapse", meetings=meetings,
                           meeting_day="day", daily=True)  # fmt: skip

    return {"rows": float(len(work())), "ours": best(work, 3)}


def table(call: Callable[..., Any], rung: str, data: pd.DataFrame) -> dict[str, float]:
    repeats = REPEATS.get(rung, 3)
    return {"ours": best(lambda: call(FORMULAS[rung], data).tidy(), repeats)}


TABLES: dict[str, Callable[..., Any]] = {
    "km": rs.kaplan_meier,
    "logrank": rs.logrank,
    "frailty": rs.cox,
    "pairs": rs.concordance,
    "aft": rs.aft,
    "recurrent": partial(rs.recurrent, person="id", method="andersen-gill"),
    "multistate": partial(rs.multistate, person="id", initial="from"),
}


def main() -> None:
    rung, path = sys.argv[1:3]
    data = read(path)
    if rung in ("lags", "days"):
        meetings = Dataset(read(path.replace(".bin", "_meetings.bin")))
        found = (lags if rung == "lags" else days)(Dataset(data), meetings)
    elif rung in TABLES:
        found = table(TABLES[rung], rung, data)
    else:
        formula = FORMULAS[rung].replace("status)", "status == 2)")
        found = cox(formula, data, REPEATS[rung], IN_A_ROW.get(rung, 1))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
