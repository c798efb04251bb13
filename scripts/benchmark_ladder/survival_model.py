"""The models of the survival ladder. Read by every interpreter, so it imports nothing of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FIVE = " + ".join(f"x{j}" for j in range(5))
TEN = " + ".join(f"x{j}" for j in range(10))
FORMULAS = {
    "lung": "Surv(time, status) ~ age + sex + ph.ecog",
    "stops": "Surv(start, stop, event) ~ meetings + age + female + housing + severity + prior",
    "recurrent": "Surv(start, stop, event) ~ meetings + age + female + housing + severity + prior",
    "multistate": "Surv(start, stop, state) ~ 1",
    "million": f"Surv(time, event) ~ {TEN}",
    "km": "Surv(time, event) ~ group",
    "logrank": "Surv(time, event) ~ group",
    "frailty": f"Surv(time, event) ~ {FIVE} + frailty(site)",
    "pairs": "Surv(time, event) ~ lp",
    "aft": f"Surv(time, event) ~ {TEN}",
}
REPEATS = {
    "lung": 10,
    "stops": 9,
    "recurrent": 5,
    "million": 4,
    "frailty": 3,
}  # turns, of ours and of R; and three otherwise
IN_A_ROW = {"lung": 100}  # calls that make one turn where a call is short


def read(path: str) -> pd.DataFrame:
    """The columns that `survival_data` wrote: names in one file, doubles in the other."""
    names = Path(path).with_suffix(".names").read_text(encoding="utf-8").split()
    values = np.fromfile(path).reshape(len(names), -1)
    return pd.DataFrame(dict(zip(names, values, strict=True)))
