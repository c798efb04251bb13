"""Data and values of survival_sweep.R (survival 3.5-3, cmprsk 2.2-11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tolerance import CONVERGED, EXACT

_R: dict[str, Any] = json.loads(Path(__file__).with_name("survival_sweep.json").read_text())
VALUES: dict[str, Any] = _R["values"]
COLUMNS = {"surv": "estimate", "se": "std_error", "low": "conf_low", "high": "conf_high"}


def data(name: str) -> pd.DataFrame:
    return pd.DataFrame(_R["data"][name])


def same(ours: Any, theirs: Any, rel: float = CONVERGED) -> None:
    """Equal in order, missing where R has none."""
    found = np.asarray(ours, dtype=float).ravel()
    known = np.array(theirs, dtype=object).ravel()
    known = np.array([np.nan if v is None else v for v in known], dtype=float)
    assert found == pytest.approx(known, rel=rel, abs=EXACT, nan_ok=True)


def sorted_like(ours: Any, theirs: Any, rel: float = CONVERGED) -> None:
    """Equal as sets: R and we put the coefficients in other orders."""
    same(np.sort(np.asarray(ours, float), axis=0), np.sort(np.asarray(theirs, float), axis=0), rel)


def curve(found: pd.DataFrame, theirs: dict[str, Any]) -> None:
    for key, column in COLUMNS.items():
        if key in theirs:
            same(found[column], theirs[key])


def blocks(found: pd.DataFrame, by: str, names: Any, column: str) -> Any:
    """Rows of group and time, a column for each cause or state, as R's pstate has them."""
    table = found.pivot_table(
        index=["group", "time"], columns=by, values=column, sort=True, dropna=False
    )
    return table[list(names)].to_numpy()
