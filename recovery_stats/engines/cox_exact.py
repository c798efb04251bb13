"""Cox's model for tied events as a discrete-time (conditional logistic) likelihood.

At an event time with d events among m at risk the likelihood is ∏_{events} θ_i / e_d(θ), with
e_d the elementary symmetric polynomial of θ = exp(eta). With p_i = ρθ_i / (1 + ρθ_i), e_d(θ) is
P(N = d) ∏(1 + ρθ_i) / ρ^d for N the number of successes in independent trials with these p_i;
choosing ρ so that E N = d keeps every number near one, however large m and d are. Score and
information are the events' covariate sum against mean and variance of that sum given N = d.

Source: Cox 1972; Gail, Lubin & Rubinstein 1981 (the recursion). Checked: all subsets
enumerated on small data; CTN-0051.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from recovery_stats.engines.risk_set import Array

if TYPE_CHECKING:
    from recovery_stats.engines.cox_likelihood import Problem


@dataclass(frozen=True, slots=True, eq=False)
class ExactMoments:
    """Log-likelihood, score (p,) and information (p, p) at a point."""

    loglik: float
    score: Array
    information: Array


def evaluate_exact(problem: Problem, beta: Array) -> ExactMoments | None:
    """Discrete partial likelihood at beta (scaled); None where it is not finite."""
    eta = beta @ problem.X + problem.offset
    if not np.all(np.isfinite(eta)):
        return None
    risk = problem.risk
    p = len(problem.X)
    loglik, score, information = 0.0, np.zeros(p), np.zeros((p, p))
    for k in range(risk.K):
        rows = np.flatnonzero((risk.entry <= k) & (risk.exit >= k))
        died = risk.died[risk.died_at == k]
        log_e, mean, variance = sum_given_count(problem.X[:, rows].T, eta[rows], len(died))
        loglik += float(eta[died].sum()) - log_e
        score += problem.X[:, died].sum(axis=1) - mean
        information += variance
    return ExactMoments(loglik, score, information) if np.isfinite(loglik) else None


def sum_given_count(X: Array, eta: Array, d: int) -> tuple[float, Array, Array]:
    """log e_d(exp eta), and mean (p,) and variance (p, p) of the covariate sum of d chosen rows.

    X (m, p), eta (m,), 1 <= d <= m.
    """
    if d == len(eta):
        return float(eta.sum()), X.sum(axis=0), np.zeros((X.shape[1], X.shape[1]))
    if d == 1:
        return _single(X, eta)
    log_rho = _balance(eta, d)
    # 1 - p by itself: subtracting would lose the digits of a row that is almost sure to be chosen.
    p, q = expit(eta + log_rho), expit(-(eta + log_rho))
    log_product = float(np.logaddexp(0.0, eta + log_rho).sum())
    pmf, first, second = _recursion(X - X.mean(axis=0), p, q, d)
    mean = first[d] / pmf[d]
    variance = second[d] / pmf[d] - np.outer(mean, mean)
    log_e = float(np.log(pmf[d])) + log_product - d * log_rho
    return log_e, mean + d * X.mean(axis=0), variance


def _single(X: Array, eta: Array) -> tuple[float, Array, Array]:
    top = eta.max()
    r = np.exp(eta - top)
    share = r / r.sum()
    mean = share @ X
    return float(top + np.log(r.sum())), mean, ((X - mean).T * share) @ (X - mean)


def _balance(eta: Array, d: int) -> float:
    """log ρ such that the trials have d successes on average."""
    low, high = -eta.max() - 40.0, -eta.min() + 40.0
    return float(brentq(lambda t: expit(eta + t).sum() - d, low, high, xtol=1e-8))


def _recursion(X: Array, p: Array, q: Array, d: int) -> tuple[Array, Array, Array]:
    """P(N = j) and the first two moments of the chosen rows' sum on N = j, for j = 0 … d.

    p (m,), q (m,): the chances of each row to be chosen and not to be.
    """
    k = X.shape[1]
    pmf, first, second = np.zeros(d + 1), np.zeros((d + 1, k)), np.zeros((d + 1, k, k))
    pmf[0] = 1.0
    for x, chance, otherwise in zip(X, p, q, strict=True):
        took_first = first[:-1] + pmf[:-1, None] * x
        cross = first[:-1, :, None] * x
        took_second = (
            second[:-1] + cross + cross.transpose(0, 2, 1) + pmf[:-1, None, None] * np.outer(x, x)
        )
        pmf_up = pmf[:-1] * chance
        for part in (pmf, first, second):
            part *= otherwise
        pmf[1:] += pmf_up
        first[1:] += chance * took_first
        second[1:] += chance * took_second
    return pmf, first, second
