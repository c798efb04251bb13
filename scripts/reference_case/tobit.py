"""Models of the time itself (Tobin's): of its exponential they are those of its logarithm.

With T = exp(c y), log T = c x'b + c sigma z: coefficients are divided by c, and the density of y
is that of T times c T.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recovery_stats.models.aft import AftFit

from .case import CannotAnswer, Values

LAW = {"gaussian": "log-normal", "normal": "log-normal", "logistic": "log-logistic"}
STEEPEST = 30.0  # logarithm of the longest time to which the line is bent
TIMES = re.compile(r"(Surv\(\s*)`?([\w.]+)`?(\s*,\s*)(?:`([^`]+)`|([\w.]+))")


@dataclass(frozen=True)
class Bent:
    """A formula and a frame whose times are exp(c y)."""

    formula: str
    frame: pd.DataFrame
    c: float

    @classmethod
    def of(cls, formula: str, frame: pd.DataFrame) -> Bent:
        found = TIMES.match(formula)
        if found is None:
            raise CannotAnswer("the response is not understood")
        between = "interval2" in formula
        other = found[4] or found[5]
        names = [found[2], other] if between else [found[2]]
        c = STEEPEST / float(np.nanmax(np.abs(frame[names].to_numpy())))
        bent = frame.assign(**{f"({n})": np.exp(c * frame[n]) for n in names})
        second = f"`({other})`" if between else f"`{other}`"
        left = f"{found[1]}`({found[2]})`{found[3]}{second}"
        return cls(left + formula[found.end() :], bent, c)

    def straighten(self, values: Values, fit: AftFit) -> Values:
        """What was said of log T, said of y."""
        log_c, rows = float(np.log(self.c)), fit.observation.rows
        slope = float(rows.w[rows.exact] @ (log_c + np.log(rows.low[rows.exact])))
        shift = {"beta[Log(scale)]": -log_c, "aic": -2 * slope, "bic": -2 * slope}
        shift |= {"loglik": slope, "loglik_null": slope}
        out = {k: v if v is None else v + shift.get(k, 0.0) for k, v in values.items()}
        for key, value in values.items():
            of_x = re.match(r"(beta|\w*se\w*)\[", key) and "Log(scale)" not in key
            if value is not None and (of_x or key.startswith("scale")):
                out[key] = value / self.c
        se = values.get("se[Log(scale)]")
        if se:
            out["z[Log(scale)]"] = (out["beta[Log(scale)]"] or 0.0) / se
        median, error = values.get("median"), values.get("median_se")
        if median and error:
            out |= {"median": np.log(median) / self.c, "median_se": error / median / self.c}
        return out
