"""The log-likelihood of log t = eta + sigma z for censored rows, with all second derivatives.

Every row contributes log f (exact), log S (right), log F (left) or log(F - F) (between), less
log S at entry for one that came late. Derivatives run over (eta, log sigma) by row; the shape of
a generalised gamma by central differences of order six of these analytic ones.

Source: Kalbfleisch & Prentice 2002, ch. 3. Checked: finite differences; brute force
(tests/engines/test_aft.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.aft_law import Law
from recovery_stats.engines.censoring import Censored, Ints

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spans:
    """Logarithms of the times by kind of row; rows of one kind lie together."""

    rows: Censored
    log_exact: Array
    log_right: Array
    log_left: Array
    log_low: Array
    log_high: Array
    log_entry: Array

    @classmethod
    def of(cls, rows: Censored) -> Spans:
        late = rows.entry[rows.late] if rows.entry is not None else np.zeros(0)
        parts = (
            rows.low[rows.exact],
            rows.low[rows.right],
            rows.high[rows.left],
            rows.low[rows.between],
            rows.high[rows.between],
            late,
        )
        with np.errstate(divide="ignore"):  # a row censored at 0 says nothing: log S(0) = 0
            return cls(rows, *(np.log(p) for p in parts))


@dataclass(frozen=True, slots=True)
class RowTerms:
    """By row: log-likelihood, its gradient in (eta, tau = log sigma) and second derivatives."""

    value: Array
    eta: Array
    tau: Array
    eta_eta: Array
    eta_tau: Array
    tau_tau: Array

    def stack(self) -> Array:
        """(6, n)"""
        return np.stack([self.value, self.eta, self.tau, self.eta_eta, self.eta_tau, self.tau_tau])


def row_terms(law: Law, spans: Spans, eta: Array, tau: Array) -> RowTerms:
    """Evaluate every row at its eta (n,) and tau (n,); unweighted."""
    rows = spans.rows
    out = np.zeros((6, len(rows)))

    def add(where: Ints, log_times: Array, kind: str, sign: float = 1.0) -> None:
        if not where.size:
            return
        s = np.exp(-tau[where])
        z = (log_times - eta[where]) * s
        value, d1, d2 = _ONE_TIME[kind](law, z)
        if kind == "exact":
            out[0, where] -= log_times + tau[where]
            out[2, where] -= 1.0
        out[0, where] += sign * value
        dz = sign * np.where(np.isfinite(z), d1, 0.0)
        zf = np.where(np.isfinite(z), z, 0.0)
        d2 = sign * np.where(np.isfinite(z), d2, 0.0)
        out[1, where] -= dz * s
        out[2, where] -= dz * zf
        out[3, where] += d2 * s * s
        out[4, where] += s * (d2 * zf + dz)
        out[5, where] += zf * (d2 * zf + dz)

    add(rows.exact, spans.log_exact, "exact")
    add(rows.right, spans.log_right, "right")
    add(rows.left, spans.log_left, "left")
    add(rows.late, spans.log_entry, "right", -1.0)
    if rows.between.size:
        _add_between(out, law, spans, eta, tau)
    return RowTerms(*out)


def _exact(law: Law, z: Array) -> tuple[Array, Array, Array]:
    return law.log_density(z)


def _right(law: Law, z: Array) -> tuple[Array, Array, Array]:
    """log S and its derivatives: -h and -h (log f' + h) with the hazard h = f/S."""
    logS = law.log_survival(z)
    hazard, slope = _against(law, z, logS)
    return logS, -hazard, -hazard * (slope + hazard)


def _left(law: Law, z: Array) -> tuple[Array, Array, Array]:
    logF = law.log_distribution(z)
    r, slope = _against(law, z, logF)
    return logF, r, r * (slope - r)


_ONE_TIME = {"exact": _exact, "right": _right, "left": _left}


def _against(law: Law, z: Array, log_mass: Array) -> tuple[Array, Array]:
    """f over a probability, and the slope of log f; 0 where z is infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        log_f, slope, _ = law.log_density(z)
        ratio = np.exp(log_f - log_mass)
    known = np.isfinite(z)
    return np.where(known, ratio, 0.0), np.where(known, slope, 0.0)


def log_between(law: Law, low: Array, high: Array) -> Array:
    """log(F(high) - F(low)), from whichever tail is the smaller."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        S_low, S_high = law.log_survival(low), law.log_survival(high)
        F_low, F_high = law.log_distribution(low), law.log_distribution(high)
        above = S_low + np.log(-np.expm1(np.minimum(S_high - S_low, 0.0)))
        below = F_high + np.log(-np.expm1(np.minimum(F_low - F_high, 0.0)))
    return np.where(F_high < S_low, below, above)


def _add_between(out: Array, law: Law, spans: Spans, eta: Array, tau: Array) -> None:
    where = spans.rows.between
    s = np.exp(-tau[where])
    z = [(t - eta[where]) * s for t in (spans.log_low, spans.log_high)]
    log_p = log_between(law, *z)
    (a, slope_a), (b, slope_b) = (_against(law, x, log_p) for x in z)
    # d log P / dz_low = -a, dz_high = b; with z scaled by sigma both move with eta and tau.
    za, zb = z
    e, t = b - a, b * zb - a * za
    out[0, where] += log_p
    out[1, where] -= s * e
    out[2, where] -= t
    curve = b * slope_b - a * slope_a
    turn = b * (slope_b * zb + 1) - a * (slope_a * za + 1)
    twist = zb * b * (slope_b * zb + 1) - za * a * (slope_a * za + 1)
    out[3, where] += s * s * (curve - e * e)
    out[4, where] += s * (turn - e * t)
    out[5, where] += twist - t * t
