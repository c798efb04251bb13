"""Numbers of two other packages for test_staggered.py: run with csdid 0.4.3, honestdid 0.1.1.

python staggered_peer.py > staggered_peer.json
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

import numpy as np
import pandas as pd

KINDS = {"dr": "dr", "regression": "reg", "ipw": "ipw"}
CONTROLS = {"not-yet": "notyettreated", "never": "nevertreated"}
SUMS = {"event": "dynamic", "group": "group", "time": "calendar"}


def rows(units: int = 120, periods: int = 5, seed: int = 3) -> pd.DataFrame:
    """Units of 24 sites that open in 2002, 2003, 2004 or never; trends differ by x."""
    r = np.random.default_rng(seed)
    site = r.integers(0, 24, units)
    opened = r.choice([np.nan, 2002.0, 2003.0, 2004.0], 24, p=[0.3, 0.25, 0.25, 0.2])
    first = opened[site]
    x = r.normal(size=units) + 0.4 * np.isfinite(first)
    own = r.normal(size=units)
    parts = []
    for t in 2000.0 + np.arange(periods):
        effect = np.where(t >= first, 1 + 0.5 * (t - first), 0.0)
        y = own + (0.3 + 0.2 * x) * (t - 2000.0) + effect + r.normal(size=units)
        parts.append(
            pd.DataFrame(
                {"pid": np.arange(units), "site": site, "time": t, "first": first, "x": x, "y": y}
            )
        )
    return pd.concat(parts, ignore_index=True).round({"x": 6, "y": 6})


def effects() -> dict[str, Any]:
    from csdid.att_gt import ATTgt

    data = rows().assign(first=lambda d: d["first"].fillna(0))
    found = {}
    for method, kind in KINDS.items():
        for controls, group in CONTROLS.items():
            for base in ("universal", "varying"):
                with contextlib.redirect_stdout(io.StringIO()):
                    fit = ATTgt(
                        yname="y", tname="time", idname="pid", gname="first", data=data.copy(),
                        control_group=group, xformla="y~x",
                    ).fit(est_method=kind, base_period=base, bstrap=False)  # fmt: skip
                    sums = {
                        name: fit.aggte(how, bstrap=False, cband=False).atte
                        for name, how in SUMS.items()
                    }
                cells = sorted(
                    zip(*(map(float, fit.results[k]) for k in ("group", "year", "att", "se")),
                        strict=True)
                )  # fmt: skip
                found[f"{method} {controls} {base}"] = {
                    "cells": cells,
                    **{
                        name: [
                            [float(v) for v in row]
                            for row in zip(s["egt"], s["att_egt"], np.ravel(s["se_egt"]),
                                           strict=True)
                        ]
                        for name, s in sums.items()
                    },
                    "overall": [
                        float(sums["group"]["overall_att"]),
                        float(np.ravel(sums["group"]["overall_se"])[0]),
                    ],
                }  # fmt: skip
    return found


def bounds() -> dict[str, Any]:
    """Three periods before and three after; variances that rise away from the reference."""
    import honestdid

    estimate = np.array([0.10, -0.05, 0.08, 0.9, 1.2, 1.7])
    shape = np.array([0.20, 0.16, 0.12, 0.12, 0.16, 0.20])
    V = 0.5 * np.outer(shape, shape) + 0.5 * np.diag(shape**2)
    target = np.full((3, 1), 1 / 3)
    smooth = {
        str(most): [float(v) for v in honestdid.find_optimal_flci(
            estimate, V, M=most, numPrePeriods=3, numPostPeriods=3, l_vec=target,
            numPoints=1000)["FLCI"]]
        for most in (0.0, 0.05, 0.1, 0.2)
    }  # fmt: skip
    relative = honestdid.createSensitivityResults_relativeMagnitudes(
        estimate, V, 3, 3, Mbarvec=[0.0, 0.5, 1.0], l_vec=target, gridPoints=1500,
        grid_lb=-3.0, grid_ub=5.0,
    )  # fmt: skip
    return {
        "estimate": estimate.tolist(),
        "covariance": V.tolist(),
        "smooth": smooth,
        "relative": {
            str(m): [float(lo), float(hi)]
            for m, lo, hi in zip(relative["Mbar"], relative["lb"], relative["ub"], strict=True)
        },
    }


if __name__ == "__main__":
    json.dump({"effects": effects(), "bounds": bounds()}, sys.stdout, indent=1)
