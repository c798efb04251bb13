"""A number at several visits: a normal distribution given covariates, from incomplete rows.

Mean and covariance have no pattern. They are kept as the regression of each visit on covariates
and the visits before it,

    y_k = x'gamma_k + sum_{l < k} phi_kl y_l + sigma_k e_k,

so that for people who leave for good maximum likelihood is a least-squares fit a visit, and the
posterior is drawn without iteration. Only holes before the last visit seen need EM or Gibbs steps.
Sources: Anderson 1957 (JASA 52:200); Liu 1993 (J Multivar Anal 46:198), monotone data
augmentation. Checked: `normal_missing`, moments of the posterior (tests/engines).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.impute_normal import draw_line
from recovery_stats.engines.linalg import RANK_TOLERANCE, Array, IntArray
from recovery_stats.errors import ConvergenceError, NotEstimable

Given = list[tuple[Array, Array]]
SWEEPS = 20  # over the holes: those are few, and people who left for good slow nothing


@dataclass(frozen=True, slots=True)
class Chain:
    """Regressions of the visits: gamma (J, p), phi (J, J) below its diagonal, sigma (J,)."""

    gamma: Array
    phi: Array
    sigma: Array

    @property
    def slopes(self) -> Array:
        """B (p, J): people with covariates x have the mean x'B."""
        return np.asarray(np.linalg.solve(np.eye(len(self.phi)) - self.phi, self.gamma).T)

    @property
    def covariance(self) -> Array:
        """Of the visits given covariates (J, J)."""
        root = np.linalg.solve(np.eye(len(self.phi)) - self.phi, np.diag(self.sigma))
        return root @ root.T


@dataclass(frozen=True, slots=True)
class Hole:
    """People who miss the same visits before the last one they held; seen (J,) is what is there."""

    rows: IntArray
    seen: NDArray[np.bool_]
    hidden: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Visits:
    """X (n, p) with its constant, Y (n, J) with nan; last (n,): visits up to the last one seen."""

    X: Array
    Y: Array
    last: IntArray
    holes: tuple[Hole, ...]

    @classmethod
    def of(cls, X: Array, Y: Array) -> Visits:
        seen = np.isfinite(Y)
        J = Y.shape[1]
        last = np.where(seen.any(axis=1), J - np.argmax(seen[:, ::-1], axis=1), 0)
        return cls(X, Y, last, tuple(_holes(seen, last)))

    def reaching(self, k: int) -> NDArray[np.bool_]:
        """Who held visit k or a later one (n,). Raises NotEstimable where they are too few."""
        rows = self.last > k
        if int(rows.sum()) <= self.X.shape[1] + k:
            raise NotEstimable(
                f"Too few people of an arm held visit {k + 1} or a later one for the coefficients "
                "of its model; leave out covariates or visits."
            )
        return np.asarray(rows)


def _holes(seen: NDArray[np.bool_], last: IntArray) -> Iterator[Hole]:
    before = np.arange(seen.shape[1]) < last[:, None]
    holed = np.flatnonzero((before & ~seen).any(axis=1))
    if not holed.size:
        return
    kinds, which = np.unique(seen[holed], axis=0, return_inverse=True)
    for k, kind in enumerate(kinds):
        rows = holed[which.ravel() == k]
        yield Hole(rows, kind, before[rows[0]] & ~kind)


# --- holes ---------------------------------------------------------------------------------------


def fill(visits: Visits, chain: Chain, rng: np.random.Generator | None = None) -> Array:
    """Y with its holes at their mean given every visit seen, or drawn."""
    return _filled(visits, chain, _given(visits, chain), rng)


def _filled(
    visits: Visits, chain: Chain, given: Given, rng: np.random.Generator | None = None
) -> Array:
    Y, slopes = visits.Y.copy(), chain.slopes
    for hole, (weight, rest) in zip(visits.holes, given, strict=True):
        mean = visits.X[hole.rows] @ slopes
        values = mean[:, hole.hidden] + (Y[hole.rows] - mean)[:, hole.seen] @ weight
        if rng is not None:
            noise = rng.standard_normal(values.shape)
            values = values + noise @ np.linalg.cholesky(rest).T
        Y[np.ix_(hole.rows, hole.hidden)] = values
    return Y


def _given(visits: Visits, chain: Chain) -> Given:
    """Of each hole the weights of the visits seen, and the covariance that is left."""
    covariance, found = chain.covariance if visits.holes else chain.phi, []
    for hole in visits.holes:
        s, h = np.flatnonzero(hole.seen), np.flatnonzero(hole.hidden)
        among, across = covariance[s][:, s], covariance[s][:, h]
        weight = np.linalg.solve(among, across)
        found.append((np.asarray(weight), covariance[h][:, h] - across.T @ weight))
    return found


def _unknown(visits: Visits, given: Given) -> list[Array]:
    """For each visit k the summed covariance (J, J) of what is missing in who reached k."""
    J = visits.Y.shape[1]
    total = np.zeros((J + 1, J, J))  # by the last visit seen
    for hole, (_, rest) in zip(visits.holes, given, strict=True):
        own = total[visits.last[hole.rows[0]]]
        own[np.ix_(hole.hidden, hole.hidden)] += hole.rows.size * rest
    return [total[k + 1 :].sum(axis=0) for k in range(J)]


# --- estimate and draw ---------------------------------------------------------------------------


def fit(
    visits: Visits, start: Chain | None = None, *, tol: float = 1e-9, steps: int = 5000
) -> Chain:
    """Maximum likelihood; by EM over the holes, from `start`, until nothing moves by `tol`.

    Columns should be near 0 with a spread near 1. Raises NotEstimable where a visit has too few
    people or its covariates and earlier visits determine each other, ConvergenceError.
    """
    if not visits.holes:
        return _regressions(visits, visits.Y, None)
    chain = start or _regressions(visits, _centred(visits.Y), None)
    for _ in range(steps):
        given = _given(visits, chain)
        new = _regressions(visits, _filled(visits, chain, given), _unknown(visits, given))
        moved = max(
            float(np.abs(a - b).max()) for a, b in zip(_parts(new), _parts(chain), strict=True)
        )
        chain = new
        if moved < tol:
            return chain
    raise ConvergenceError(
        "The distribution of the visits did not settle: too much is missing between visits held. "
        "Leave out a visit that few people held."
    )


def _parts(chain: Chain) -> tuple[Array, Array, Array]:
    return chain.gamma, chain.phi, chain.sigma


def _centred(Y: Array) -> Array:
    """Holes at the mean of their visit: where EM starts."""
    counts = np.maximum(np.isfinite(Y).sum(axis=0), 1)
    return np.where(np.isfinite(Y), Y, np.nansum(Y, axis=0) / counts)


def _regressions(visits: Visits, Y: Array, unknown: list[Array] | None) -> Chain:
    """Each visit on covariates and earlier ones; `unknown` adds what the holes leave open."""
    p, J = visits.X.shape[1], Y.shape[1]
    gamma, phi, sigma = np.zeros((J, p)), np.zeros((J, J)), np.zeros(J)
    for k in range(J):
        rows = visits.reaching(k)
        Z, y = np.column_stack([visits.X[rows], Y[rows, :k]]), Y[rows, k]
        G, g, s = Z.T @ Z, Z.T @ y, float(y @ y)
        if unknown is not None:
            extra = unknown[k]
            G[p:, p:] += extra[:k, :k]
            g[p:] += extra[:k, k]
            s += float(extra[k, k])
        beta = _solve(G, g, k)
        gamma[k], phi[k, :k] = beta[:p], beta[p:]
        sigma[k] = np.sqrt(max(s - float(beta @ g), 0.0) / rows.sum())
    return Chain(gamma, phi, sigma)


def _solve(G: Array, g: Array, k: int) -> Array:
    scale = np.sqrt(np.diag(G))
    try:
        if not scale.all():
            raise np.linalg.LinAlgError
        factor = np.linalg.cholesky(G / np.outer(scale, scale))
        if not np.diag(factor).min() ** 2 > RANK_TOLERANCE:
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError:
        raise NotEstimable(
            f"Among the people of an arm who held visit {k + 1} or a later one, covariates and "
            "earlier visits determine each other; leave out a covariate or merge its levels."
        ) from None
    whitened = np.linalg.solve(factor, g / scale)
    return np.asarray(np.linalg.solve(factor.T, whitened) / scale)


def draw(
    visits: Visits, start: Chain, rng: np.random.Generator, sweeps: int = SWEEPS
) -> tuple[Chain, Array]:
    """A chain from its posterior, and Y with its holes drawn.

    Each visit's coefficients and log sd have a flat prior. Without holes the draw is exact;
    with them, after `sweeps` Gibbs steps from `start`.
    """
    chain, Y = start, visits.Y
    for _ in range(sweeps if visits.holes else 1):
        Y = fill(visits, chain, rng)
        chain = _drawn(visits, Y, rng)
    return chain, Y


def _drawn(visits: Visits, Y: Array, rng: np.random.Generator) -> Chain:
    p, J = visits.X.shape[1], Y.shape[1]
    gamma, phi, sigma = np.zeros((J, p)), np.zeros((J, J)), np.zeros(J)
    for k in range(J):
        rows = visits.reaching(k)
        line = draw_line(np.column_stack([visits.X[rows], Y[rows, :k]]).T, Y[rows, k], rng)
        gamma[k], phi[k, :k], sigma[k] = line.drawn[:p], line.drawn[p:], line.sigma
    return Chain(gamma, phi, sigma)
