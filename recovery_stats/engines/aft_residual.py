"""Residuals of accelerated failure time models for any censoring.

Source: Cox & Snell 1968; Farrington 2000 (interval censoring); Therneau & Lumley, survreg
(deviance). Checked: closed forms; survreg's deviance residuals (tests/engines/test_aft.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.aft_law import Law
from recovery_stats.engines.aft_likelihood import Spans, row_terms
from recovery_stats.engines.censoring import Censored

Array = NDArray[np.float64]


def cumulative_hazards(law: Law, rows: Censored, eta: Array, tau: Array) -> tuple[Array, Array]:
    """Cumulative hazard gathered since entry by low and by high, (n,) each; inf where high is."""
    with np.errstate(divide="ignore"):
        s = np.exp(-tau)
        low, high = (-law.log_survival((np.log(t) - eta) * s) for t in (rows.low, rows.high))
    if rows.entry is not None:
        with np.errstate(divide="ignore"):
            before = -law.log_survival((np.log(rows.entry) - eta) * s)
        low, high = low - before, high - before
    return low, high


def cox_snell(low: Array, high: Array) -> Array:
    """Cumulative hazard at the event; where only an interval is known, its mean over that.

    A censored row keeps the hazard that it had gathered. low, high: cumulative hazards.
    """
    return np.where(np.isinf(high), low, 1 - martingale(low, high))


def martingale(low: Array, high: Array) -> Array:
    """Events seen minus expected: (S log S at low - at high)/(S at low - at high)."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        gap = high - low
        # 1 - low - gap e^-gap/(1 - e^-gap) + ... : mean of a unit exponential cut to (low, high)
        inside = np.where(gap > 0, gap / np.expm1(gap), 1.0)
    between = inside - low
    return np.where(np.isinf(high), -low, between)


def deviance(law: Law, spans: Spans, eta: Array, tau: Array) -> Array:
    """Signed root of twice what each row's log-likelihood lacks of the best eta it could have."""
    rows = spans.rows
    plain = Spans.of(Censored(rows.low, rows.high))
    value = row_terms(law, plain, eta, tau).value
    best = np.zeros(len(rows))
    centre = np.array(eta)
    sigma = np.exp(tau)
    exact, between = rows.exact, rows.between
    best[exact] = law.log_density(np.zeros(exact.size))[0] - tau[exact] - np.log(rows.low[exact])
    centre[exact] = np.log(rows.low[exact])
    if between.size:
        width = (np.log(rows.high[between]) - np.log(rows.low[between])) / sigma[between]
        centre[between] = np.log(rows.low[between]) - sigma[between] * law.densest(width)
        best[between] = row_terms(
            law, Spans.of(Censored(rows.low[between], rows.high[between])),
            centre[between], tau[between],
        ).value  # fmt: skip
    sign = np.sign(centre - eta)
    sign[rows.right], sign[rows.left] = 1.0, -1.0
    return np.asarray(sign * np.sqrt(2 * np.maximum(best - value, 0.0)))
