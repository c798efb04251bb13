"""Pooled fits of completed data sets in the vocabulary of the reference cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.errors import RecoveryError
from recovery_stats.models.generalised import glmm
from recovery_stats.models.glm import glm
from recovery_stats.models.hazard import cox
from recovery_stats.models.linear import ols
from recovery_stats.models.mixed import lmm
from recovery_stats.models.pool import PooledFit, pool

from .case import CannotAnswer, Case, Values
from .naming import Names

COLUMNS = {
    "estimate": "estimate", "se": "std_error", "t": "statistic", "df": "df", "p": "p_value",
    "lo": "conf_low", "hi": "conf_high",
}  # fmt: skip
PARTS = {
    "fmi": "fmi", "riv": "riv", "lambda": "lambda", "ubar": "within", "b": "between",
    "total": "total", "dfcom": "df_complete",
}  # fmt: skip
TEST = {"F": "statistic", "df1": "num_df", "df2": "den_df", "p": "p_value", "riv": "riv"}
SPELLINGS = {"F": ("F", "F.value", "stat"), "p": ("p", "P(>F)"), "riv": ("riv", "RIV", "r")}
SMALLER = ("null", "formula0", "smaller", "reduced", "formula_null", "null_formula", "versus")


def pooled(case: Case) -> Values:
    """mice's pool(): coefficients with Barnard and Rubin's df, and D1 to D3 where asked."""
    column = str(case.option("imputation", "imp", default=".imp"))
    if column not in case.frame:
        raise CannotAnswer("the case has no column that numbers the completed data sets")
    sets = [d.reset_index(drop=True) for _, d in case.frame.groupby(column) if len(d)]
    fit = _fitted(case, case.formula, sets)
    names = [Names(case.formula, case.wrapped).term(t) for t in fit.terms]
    values: Values = {}
    for table, keys in ((fit.tidy(), COLUMNS), (fit.information(), PARTS)):
        for key, name in keys.items():
            found = table[name].to_numpy(float).tolist()
            values |= {f"{key}[{n}]": v for n, v in zip(names, found, strict=True)}
    return values | _tests(case, fit, sets)


def _fitted(case: Case, formula: str, sets: list[pd.DataFrame]) -> PooledFit:
    model = _model(case, formula)
    found: PooledFit = pool([model(d) for d in sets], df_complete=case.option("dfcom"))
    return found


def _model(case: Case, formula: str) -> Callable[[pd.DataFrame], Any]:
    family = str(case.option("family", default="gaussian")).partition("(")[0]
    if "Surv(" in formula:
        return lambda d: cox(formula, d)
    if "|" in formula:
        if family != "gaussian":
            return lambda d: glmm(formula, d, family=family)  # type: ignore[arg-type]
        return lambda d: lmm(formula, d)
    if family != "gaussian":
        return lambda d: glm(formula, d, family=family)  # type: ignore[arg-type]
    return lambda d: ols(formula, d)


def _tests(case: Case, fit: PooledFit, sets: list[pd.DataFrame]) -> Values:
    """D1, D2 and D3 against the smaller model of the case, else against an intercept alone."""
    response = case.formula.partition("~")[0]
    smaller = str(case.option(*SMALLER, default=f"{response.strip()} ~ 1"))
    smaller = smaller if "~" in smaller else f"{response}~ {smaller}"
    values: Values = {}
    for method in ("D1", "D2", "D3"):
        try:
            found = fit.compare(_fitted(case, smaller, sets), method).iloc[0]
        except (RecoveryError, np.linalg.LinAlgError):
            continue
        for key, name in TEST.items():
            for spelling in SPELLINGS.get(key, (key,)):
                values[f"{method}_{spelling}"] = values[f"{method}[{spelling}]"] = found[name]
        values[method] = found["statistic"]
    return values
