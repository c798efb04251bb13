"""How much of the variation a generalised mixed model explains, on the scale of its link.

The outcome's own variance there is that of the latent logistic variable (pi²/3), or, for counts,
what a Poisson or negative binomial law around the mean lambda adds to a log rate: by the
log-normal ("log-normal"), by the delta method ("delta") or by the trigamma function. Chances
may take the delta method too: 1 / (m p (1 - p)) for m trials. lambda and p are the population's
mean, integrated over the random effects.
Source: Nakagawa, Johnson & Schielzeth 2017, table 2 and eq. 6 to 8; Johnson 2014 for slopes.
Checked: the formulas by hand (tests/models/test_generalised_after.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import polygamma

from recovery_stats.engines.glmm_family import Binomial
from recovery_stats.errors import UsageError, unknown

if TYPE_CHECKING:
    from recovery_stats.models.generalised_fit import GlmmFit

LATENT = np.pi**2 / 3.0  # variance of the standard logistic distribution
COUNTS = ("log-normal", "delta", "trigamma")
CHANCES = ("latent", "delta")


def random_variances(fit: GlmmFit) -> dict[str, float]:
    """The mean over rows of z'Psi z for every random factor."""
    return {
        f.name: float(np.einsum("nq,qr,nr->n", f.Z, psi, f.Z).mean())
        for f, psi in zip(fit.factors, fit.engine.psi, strict=True)
    }


def own_variance(fit: GlmmFit, method: str | None) -> float:
    """The variance that the outcome's law adds on the scale of the link."""
    counts = fit.link == "log"
    known = COUNTS if counts else CHANCES
    chosen = method or known[0]
    if chosen not in known:
        raise UsageError(unknown("variance", chosen, known))
    if chosen == "latent":
        return LATENT
    if fit.family == "ordinal":
        raise UsageError("The variance of an ordinal outcome is the latent one; leave method= out.")
    mean = float(np.average(fit.predict(random="average"), weights=fit.law.weights))
    spread = float(fit.engine.own[0] ** 2) if fit.engine.own.size else 0.0
    if counts:
        ratio = 1.0 / mean + spread
        if chosen == "trigamma":
            return float(polygamma(1, 1.0 / ratio))
        return float(np.log1p(ratio)) if chosen == "log-normal" else ratio
    assert isinstance(fit.law, Binomial)
    trials = float(np.average(fit.law.trials, weights=fit.law.weights))
    shared = spread / (1.0 + spread)  # the correlation between the trials of a row
    return (1.0 + (trials - 1.0) * shared) / (trials * mean * (1.0 - mean))


def icc(fit: GlmmFit, group: str | None, method: str | None) -> float:
    """Share of the variance around the fixed effects that lies between groups."""
    parts = random_variances(fit)
    if group is not None and group not in parts:
        raise UsageError(unknown("random factor", group, parts))
    wanted = sum(v for name, v in parts.items() if group in (None, name))
    return wanted / (sum(parts.values()) + own_variance(fit, method))


def r2(fit: GlmmFit, method: str | None) -> pd.Series[float]:
    """Marginal R² (fixed effects) and conditional R² (fixed and random effects)."""
    fixed = float(np.var(fit.X @ fit.engine.beta, ddof=1))
    random = sum(random_variances(fit).values())
    total = fixed + random + own_variance(fit, method)
    return pd.Series({"marginal": fixed / total, "conditional": (fixed + random) / total})
