"""A Python peer's turn on the survival ladder, in the peers' interpreter: RUNG DATA PEER.

lifelines' concordance has no error, scikit-survival's Cox model no standard errors; statsmodels'
(start, stop] rows are at risk a moment too early. Time counts all the same.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmark_ladder.survival_model import FORMULAS, read

REPEATS = {"lung": 10, "km": 3, "logrank": 3}  # and once where a turn takes seconds


def lifelines(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    import lifelines
    from lifelines.statistics import multivariate_logrank_test
    from lifelines.utils import concordance_index

    if rung == "km":
        return lambda: [
            lifelines.KaplanMeierFitter().fit(part["time"], part["event"])
            for _, part in data.groupby("group")
        ]
    if rung == "logrank":
        return lambda: multivariate_logrank_test(data["time"], data["group"], data["event"])
    if rung == "pairs":
        return lambda: concordance_index(data["time"], data["lp"], data["event"])
    if rung == "stops":
        return lambda: lifelines.CoxTimeVaryingFitter().fit(
            data, id_col="id", event_col="event", start_col="start", stop_col="stop"
        )
    used = data[[*_times(rung), *_terms(rung)]].dropna()
    time_name, event = _times(rung)
    if rung == "aft":
        return lambda: lifelines.WeibullAFTFitter().fit(used, time_name, event)
    return lambda: lifelines.CoxPHFitter().fit(used, time_name, event)


def sksurv(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    from sksurv.compare import compare_survival
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.metrics import concordance_index_censored
    from sksurv.nonparametric import kaplan_meier_estimator
    from sksurv.util import Surv

    time_name, event = _times(rung)
    used = data[[time_name, event, *_terms(rung)]].dropna()
    died = used[event].to_numpy() == used[event].max()
    if rung == "km":
        group = used["group"].to_numpy()
        when = used[time_name].to_numpy()
        return lambda: [
            kaplan_meier_estimator(died[group == g], when[group == g], conf_type="log-log")
            for g in np.unique(group)
        ]
    if rung == "pairs":
        return lambda: concordance_index_censored(died, used[time_name], used["lp"])
    y = Surv.from_arrays(died, used[time_name])
    if rung == "logrank":
        return lambda: compare_survival(y, used["group"].to_numpy())
    return lambda: CoxPHSurvivalAnalysis(ties="efron").fit(used[_terms(rung)], y)


def statsmodels(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    from statsmodels.duration.hazard_regression import PHReg
    from statsmodels.duration.survfunc import SurvfuncRight, survdiff

    if rung == "km":
        return lambda: [
            SurvfuncRight(part["time"], part["event"]) for _, part in data.groupby("group")
        ]
    if rung == "logrank":
        return lambda: survdiff(data["time"], data["event"], data["group"])
    *_, event = _times(rung)
    used = data.dropna(subset=_terms(rung))
    stop = used["stop" if rung == "stops" else "time"]
    entry = used["start"] if rung == "stops" else None
    died = (used[event] == used[event].max()).astype(int)
    return lambda: PHReg(stop, used[_terms(rung)], died, entry=entry, ties="efron").fit()


def _times(rung: str) -> list[str]:
    return FORMULAS[rung].split("(")[1].split(")")[0].split(", ")


def _terms(rung: str) -> list[str]:
    return FORMULAS[rung].split(" ~ ")[1].split(" + ")


def main() -> None:
    rung, path, peer = sys.argv[1:4]
    work = globals()[peer](rung, read(path))
    taken = []
    for _ in range(REPEATS.get(rung, 1)):
        gc.collect()
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    print(json.dumps({peer: min(taken)}))


if __name__ == "__main__":
    main()
