"""How strong an unmeasured confounder must be to move an estimate to no effect.

    needed_difference    a confounder and a hazard ratio (Lin, Psaty & Kronmal 1998)
    needed_ratio         any confounder and a risk ratio (Ding & VanderWeele 2016)

The confounder (motivation, say) goes with more of the exposure and with rarer events. All
are bias formulas, exact for the stated confounder where events are rare, else close.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from recovery_stats.errors import UsageError


def bias_factor(ratio: float, share_exposed: float, share_unexposed: float) -> float:
    """Observed over true hazard ratio where a binary confounder multiplies the hazard by `ratio`.

    share_exposed, share_unexposed: how many carry it. Source: Lin, Psaty & Kronmal 1998, eq. 2.3.
    Checked: exact mixture of two exponential hazards at time 0 (tests/models/test_tipping.py).
    """
    return (1 + (ratio - 1) * share_exposed) / (1 + (ratio - 1) * share_unexposed)


def needed_difference(
    observed: float, ratio: float, kind: Literal["binary", "normal"] = "binary"
) -> float:
    """What separates exposed and unexposed where the observed hazard ratio is bias alone.

    ratio: hazard ratio of the confounder (of one standard deviation, if normal). binary: the
    difference of its shares, placed evenly around a half; above 1 no share is enough and nan
    comes back. normal: the difference of its means in standard deviations. Positive: more of it
    among the exposed.
    """
    if not (observed > 0 and ratio > 0) or ratio == 1:
        raise UsageError("Hazard ratios are above 0, and that of a confounder is not 1.")
    if kind == "normal":
        return float(np.log(observed) / np.log(ratio))
    g = ratio - 1
    gap = 2 * (1 + g / 2) * (observed - 1) / (g * (observed + 1))
    return float(gap) if abs(gap) <= 1 else float("nan")


def needed_ratio(observed: float, with_exposure: float) -> float:
    """The confounder's risk ratio with the event that explains `observed` away, nan where none can.

    with_exposure: its risk ratio with the exposure. Inverse of the bounding factor
    B = ab / (a + b - 1). Source: Ding & VanderWeele 2016. Checked: at the E-value both are equal.
    """
    B = observed if observed >= 1 else 1 / observed
    if with_exposure <= B:
        return float("nan")
    return float(B * (with_exposure - 1) / (with_exposure - B))
