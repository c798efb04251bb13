"""A Python peer's turn on the mixed ladder, in the peers' interpreter: RUNG CSV PEER.

Every peer does the nearest it can to the model: gpboost has no covariance between intercept and
slope and no REML; mixedlm-rs and statsmodels have one grouping factor.
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

from benchmark_ladder.mixed_model import FACTORS, FORMULAS

GROUPS = {"a": ["Subject"], "c": ["id", "site"], "e": ["s", "d", "ds"]}
SLOPE = {"a": "Days", "e": None, "logit": None}
REPEATS = {"a": 10, "b": 5}  # and once where a turn takes seconds


def mixedlm(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    import mixedlm

    if rung == "logit":
        family = mixedlm.families.Binomial()
        return lambda: mixedlm.glmer(FORMULAS[rung], data, family=family)
    return lambda: mixedlm.lmer(FORMULAS[rung], data)


def mixedlm_rs(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    from mixedlm_rs import MixedLM

    return lambda: MixedLM.from_formula(*_split(rung, data)[:2], **_split(rung, data)[2]).fit(
        reml=True
    )


def statsmodels(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    from statsmodels.regression.mixed_linear_model import MixedLM

    return lambda: MixedLM.from_formula(*_split(rung, data)[:2], **_split(rung, data)[2]).fit(
        reml=True
    )


def _split(rung: str, data: pd.DataFrame) -> tuple[str, pd.DataFrame, dict[str, Any]]:
    fixed = FORMULAS[rung].split(" + (")[0]
    slope = SLOPE.get(rung, "time")
    return fixed, data, {"groups": GROUPS.get(rung, ["id"])[0], "re_formula": f"~{slope}"}


def lme_python(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    import lme_python
    import polars

    table = polars.from_pandas(data)
    if rung == "logit":
        return lambda: lme_python.glmer(FORMULAS[rung], data=table, family_name="binomial")
    return lambda: lme_python.lmer(FORMULAS[rung], data=table, reml=True)


def gpboost(rung: str, data: pd.DataFrame) -> Callable[[], Any]:
    import gpboost

    names = FORMULAS[rung].split(" + (")[0].split(" ~ ")[1].split(" + ")
    X = pd.get_dummies(data[names], drop_first=True).to_numpy(dtype=float)
    X = np.column_stack([np.ones(len(X)), X])
    y = data[FORMULAS[rung].split(" ~ ")[0]].to_numpy(dtype=float)
    groups, slope = GROUPS.get(rung, ["id"]), SLOPE.get(rung, "time")
    given: dict[str, Any] = {"group_data": data[groups].astype(str).to_numpy()}
    if slope:
        given["group_rand_coef_data"] = np.column_stack([data[slope]] * len(groups))
        given["ind_effect_group_rand_coef"] = list(range(1, len(groups) + 1))
    likelihood = "bernoulli_logit" if rung == "logit" else "gaussian"

    def work() -> None:
        gpboost.GPModel(likelihood=likelihood, **given).fit(y=y, X=X)

    return work


def main() -> None:
    rung, path, peer = sys.argv[1:4]
    data = pd.read_csv(path, dtype=dict.fromkeys(FACTORS.get(rung, ()), "category"))
    work = globals()[peer](rung, data)
    taken = []
    for _ in range(1 if peer == "statsmodels" else REPEATS.get(rung, 1)):
        gc.collect()
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    print(json.dumps({peer: min(taken)}))


if __name__ == "__main__":
    main()
