"""What is examined about every generalised mixed model, one Check each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit
from scipy.stats import chi2, norm

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.engines import glmm_laplace, glmm_quadrature
from recovery_stats.engines.glmm import GlmmFit
from recovery_stats.engines.glmm_family import (
    BetaBinomial,
    Binomial,
    Family,
    NegativeBinomial,
    Poisson,
)
from recovery_stats.engines.glmm_population import REACH, STEP
from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_groups import RandomFactor
from recovery_stats.models.mixed_check import FEW_GROUPS, boundary, left_out, rows_lost

Factors = Sequence[RandomFactor]
EXCESS = 1.2  # a ratio of observed to expected from which it matters
UNLIKELY = 0.05
FINE = (25, 11)  # nodes an effect that Laplace is held against, by effects of a group
SAMPLE = 500  # groups that it is tried on
MOVED = 0.25  # standard errors by which an estimate may move


def examine(
    factors: Factors, law: Family, fit: GlmmFit, dropped: Sequence[str], lost: Mapping[str, int]
) -> tuple[Check, ...]:
    """Boundary, groups, columns left out, overdispersion, zeros, and Laplace against quadrature."""
    return (
        *_singular(factors, fit),
        *_few(factors),
        *left_out(dropped),
        *rows_lost(lost),
        *_dispersion(law, fit),
        *_zeros(law, factors, fit),
        *_approximation(law, factors, fit),
    )


def _singular(factors: Factors, fit: GlmmFit) -> list[Check]:
    found = []
    for name, what in boundary(factors, fit.psi, fit.rank):
        words = f"For {name}, {what}. The estimate stands; the data show no more."
        found.append(Check("singular", "caution", (words,), name))
    return found or [Check("singular", "ok", ("No variance is estimated at its boundary.",))]


def _dispersion(law: Family, fit: GlmmFit) -> list[Check]:
    """Pearson's chi-squared over the degrees of freedom that are left."""
    if isinstance(law, NegativeBinomial | BetaBinomial):
        if fit.own[0] > 0:
            return []
        words = "The overdispersion is estimated as zero: the simpler family says the same."
        return [Check("overdispersion", "caution", (words,), "family")]
    moments = _moments(law, fit.eta)
    if moments is None:
        return []
    mean, variance, weights = moments
    left = max(fit.n - fit.p - fit.effective, 1.0)
    statistic = float(weights @ ((law.outcome - mean) ** 2 / variance))
    ratio, p = statistic / left, float(chi2.sf(statistic, left))
    more = ratio > EXCESS and p < UNLIKELY
    other = "beta-binomial" if isinstance(law, Binomial) else "negative-binomial"
    words = (
        f" times what the family allows. Errors are too small; use family={other!r}."
        if more
        else " times what the family allows."
    )
    return [
        Check(
            "overdispersion",
            "caution" if more else "ok",
            ("The outcome varies ", Quantity(ratio, "ratio"), words),
            "family",
        )
    ]


def _moments(law: Family, eta: Array) -> tuple[Array, Array, Array] | None:
    """Mean, variance and weight of every row; None where a single yes or no shows no excess."""
    if isinstance(law, Poisson):
        mu = np.exp(eta)
        return mu, mu, law.weights
    if isinstance(law, Binomial) and not law.single:
        p = expit(eta)
        return law.trials * p, law.trials * p * (1.0 - p), law.weights
    return None


def _zeros(law: Family, factors: Factors, fit: GlmmFit) -> list[Check]:
    """Zeros observed against those expected of the population, errors by group."""
    if not isinstance(law, Poisson):
        return []
    sd = np.sqrt(
        sum(np.einsum("nq,qr,nr->n", f.Z, P, f.Z) for f, P in zip(factors, fit.psi, strict=True))
    )
    effects = sum(
        np.einsum("nq,nq->n", f.Z, e[f.codes]) for f, e in zip(factors, fit.effects, strict=True)
    )
    expected = _chance_of_zero(law, fit.own, fit.eta - effects, np.asarray(sd))
    largest = max(factors, key=lambda f: f.levels)
    surplus = np.bincount(largest.codes, (law.counts == 0) - expected)
    ratio = float((law.counts == 0).sum() / max(expected.sum(), 1e-12))
    z = float(surplus.sum() / max(np.sqrt(surplus @ surplus), 1e-12))
    more = ratio > EXCESS and 2.0 * float(norm.sf(abs(z))) < UNLIKELY
    words = " times as many as expected"
    words += ": more zeros than the family has. Part of the people may never be at risk." * more
    return [
        Check(
            "zeros",
            "caution" if more else "ok",
            ("Zeros are ", Quantity(ratio, "ratio"), words if more else words + "."),
            "family",
        )
    ]


def _chance_of_zero(law: Poisson, own: Array, eta: Array, sd: Array) -> Array:
    points = np.arange(-REACH, REACH + STEP / 2.0, STEP)
    weights = np.exp(-0.5 * points**2)
    alpha = own[0] ** 2 if isinstance(law, NegativeBinomial) else 0.0
    total = np.zeros_like(eta)
    for t, weight in zip(points, weights / weights.sum(), strict=True):
        mu = np.exp(np.minimum(eta + sd * t, 200.0))
        total += weight * np.exp(-np.log1p(alpha * mu) / alpha if alpha > 0 else -mu)
    return total


def _approximation(law: Family, factors: Factors, fit: GlmmFit) -> list[Check]:
    """How far quadrature would move the estimates: its gradient there, in standard errors."""
    q = factors[0].q
    if fit.nodes > 1 or len(factors) > 1 or q > len(FINE):
        return []
    nodes, u = FINE[q - 1], fit.point.mode.u.reshape(q, -1)
    psi = fit.point.psi
    levels = factors[0].levels
    chosen = np.linspace(0, levels - 1, min(levels, SAMPLE)).astype(np.intp)
    some = fit.problem.subset(chosen)
    start = u[:, chosen].ravel()
    fine = glmm_quadrature.evaluate(some, psi, start, nodes).gradient
    rough = glmm_laplace.evaluate(some, psi, start).gradient
    shift = fit.joint @ (fine - rough) * (levels / chosen.size)
    se = np.sqrt(np.diag(fit.joint))
    moved = float(np.abs(shift[se > 0] / se[se > 0]).max(initial=0.0))
    matters = moved > MOVED
    words = (
        f" standard errors: too rough for groups this small; use quadrature={nodes}."
        if matters
        else " standard errors: Laplace is close enough."
    )
    return [
        Check(
            "approximation",
            "caution" if matters else "ok",
            ("Quadrature would move an estimate by about ", Quantity(moved), words),
            factors[0].name,
        )
    ]


def _few(factors: Factors) -> list[Check]:
    found = []
    for factor in factors:
        few = factor.levels < FEW_GROUPS
        words = (
            " levels: their variance is poorly known, and normal intervals are too short."
            if few
            else " levels."
        )
        parts = (f"{factor.name} has ", Quantity(float(factor.levels), "whole"), words)
        found.append(Check("groups", "caution" if few else "ok", parts, factor.name))
    return found
