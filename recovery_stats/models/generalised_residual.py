"""Residuals and simulated outcomes of a generalised mixed model.

Randomised quantile residuals are standard normal under a right model whatever the family: the
chance below the outcome, drawn uniformly over the jump that a count makes.
Source: Dunn & Smyth 1996. Checked: scipy's distributions, normality under the truth
(tests/models/test_generalised_after.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, ndtri

from recovery_stats.engines.glmm_family import (
    BetaBinomial,
    Binomial,
    NegativeBinomial,
    Ordinal,
    Poisson,
)
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import UsageError, unknown

if TYPE_CHECKING:
    from recovery_stats.models.generalised_fit import GlmmFit

KINDS = ("quantile", "pearson", "response")
EFFECTS = ("new", "predicted")


def residuals(fit: GlmmFit, kind: str, seed: int) -> pd.Series[float]:
    """By the rows analysed, around the predictions with random effects."""
    if kind not in KINDS:
        raise UsageError(unknown("kind of residual", kind, KINDS))
    eta = fit.engine.eta
    if kind == "quantile":
        below, at = _chances(fit, eta)
        drawn = below + np.random.default_rng(seed).uniform(size=eta.size) * at
        edge = np.finfo(float).tiny
        return pd.Series(ndtri(np.clip(drawn, edge, 1.0 - 1e-16)), index=fit.design.rows)
    if isinstance(fit.law, Ordinal):
        raise UsageError("An ordinal outcome has residuals of kind 'quantile' alone.")
    mean, variance = moments(fit, eta)
    left = fit.law.outcome - mean
    return pd.Series(left if kind == "response" else left / np.sqrt(variance), fit.design.rows)


def moments(fit: GlmmFit, eta: Array) -> tuple[Array, Array]:
    """Mean and variance of every row's outcome (of its successes) at a predictor."""
    law, own = fit.law, fit.engine.own
    spread = float(own[0] ** 2) if own.size else 0.0
    if isinstance(law, Poisson):
        mu = np.exp(eta)
        return mu, mu * (1.0 + spread * mu)
    assert isinstance(law, Binomial)
    p = expit(eta)
    shared = spread / (1.0 + spread)
    return law.trials * p, law.trials * p * (1.0 - p) * (1.0 + (law.trials - 1.0) * shared)


def _chances(fit: GlmmFit, eta: Array) -> tuple[Array, Array]:
    """The chance of less than the outcome, and of the outcome."""
    if isinstance(fit.law, Ordinal):
        edges = np.concatenate([[-np.inf], fit.engine.own, [np.inf]])
        k = fit.law.category
        below = expit(edges[k] - eta)
        return below, expit(edges[k + 1] - eta) - below
    law = distribution(fit, eta)
    y = fit.law.outcome
    return np.asarray(law.cdf(y - 1.0)), np.asarray(law.pmf(y))


def distribution(fit: GlmmFit, eta: Array) -> stats.rv_discrete:
    """Every row's law at a predictor, of scipy."""
    law, own = fit.law, fit.engine.own
    spread = float(own[0] ** 2) if own.size else 0.0
    if isinstance(law, Poisson):
        mu = np.exp(np.minimum(eta, 40.0))
        if isinstance(law, NegativeBinomial) and spread > 0:
            return stats.nbinom(1.0 / spread, 1.0 / (1.0 + spread * mu))
        return stats.poisson(mu)
    assert isinstance(law, Binomial)
    p, trials = np.clip(expit(eta), 1e-15, 1.0 - 1e-15), law.trials.astype(int)
    if isinstance(law, BetaBinomial) and spread > 0:
        return stats.betabinom(trials, p / spread, (1.0 - p) / spread)
    return stats.binom(trials, p)


def simulate(fit: GlmmFit, n: int, seed: int, effects: str) -> pd.DataFrame:
    """New outcomes for the rows analysed: columns `sim_1` to `sim_n` (categories by number)."""
    if effects not in EFFECTS:
        raise UsageError(unknown("kind of effects", effects, EFFECTS))
    if n < 1:
        raise UsageError(f"n={n}: simulate at least one outcome.")
    rng = np.random.default_rng(seed)
    fixed = fit.predict(random=False, type="link").to_numpy()
    table = {}
    for k in range(1, n + 1):
        eta = fit.engine.eta if effects == "predicted" else fixed + _drawn(fit, rng)
        if isinstance(fit.law, Ordinal):
            latent = eta + rng.logistic(size=eta.size)
            table[f"sim_{k}"] = np.searchsorted(fit.engine.own, latent).astype(float)
        else:
            table[f"sim_{k}"] = distribution(fit, eta).rvs(random_state=rng).astype(float)
    return pd.DataFrame(table, index=fit.design.rows)


def _drawn(fit: GlmmFit, rng: np.random.Generator) -> Array:
    """New random effects on the rows."""
    total = np.zeros(fit.n_obs)
    for factor, psi in zip(fit.factors, fit.engine.psi, strict=True):
        values, vectors = np.linalg.eigh(psi)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        b = rng.normal(size=(factor.levels, factor.q)) @ root.T
        total += np.einsum("nq,nq->n", factor.Z, b[factor.codes])
    return total
