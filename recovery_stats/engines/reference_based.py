"""Reference-based imputation in a randomised trial: what becomes of people who left it.

Visits after the last one seen follow a course built from the two arms, m being the mean of an arm
given covariates, j the last visit seen, k > j:

    MAR  everybody goes on in the own arm
    J2R  jump to reference: the mean is the reference's from k on
    CR   copy reference: as if in the reference arm from the start
    CIR  copy increments in reference: m_own(j) + m_reference(k) - m_reference(j)

In J2R, CR and CIR what is left at k follows what is left before it as in the reference arm. The
reference arm goes on at random under each. Who held no visit has the reference's mean in all
three. The answer is the arm's coefficient at the last visit in a linear model (ANCOVA).
Sources: Carpenter, Roger & Kenward 2013 (J Biopharm Stat 23:1352); Cro et al. 2020 (Stat Med
39:2815); Cro, Carpenter & Kenward 2019 (JRSS A 182:623), Rubin's variance as information-anchored;
von Hippel & Bartlett 2021 (Stat Sci 36:400), bootstrap then impute; Wolbers et al. 2022 (Pharm
Stat 21:1246), conditional means and the jackknife. Checked: closed forms, brute force
(tests/engines/test_reference_based.py); variances in scripts/reference_based_recovery.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.visit_normal import Chain, Visits, draw, fill, fit
from recovery_stats.errors import NotEstimable

MAR, J2R, CR, CIR = STRATEGIES = ("MAR", "J2R", "CR", "CIR")
ARM = 1  # column of the design
TWO = 2  # imputations of a bootstrap sample: all that its two variances need
AGAIN = 20  # samples drawn in place of one in which a model could not be fitted
LOOSE = 1e-6  # EM's tolerance in samples: far below what sampling moves


@dataclass(frozen=True, slots=True)
class Trial:
    """X (n, p): constant, arm (0 reference, 1), covariates; Y (n, J) with nan, the last is asked.

    at_random (n,): who goes on in the own arm whatever the strategy.
    """

    X: Array
    Y: Array
    at_random: NDArray[np.bool_]

    @property
    def arm(self) -> Array:
        return self.X[:, ARM]

    def rows(self, kept: Any) -> Trial:
        return Trial(self.X[kept], self.Y[kept], self.at_random[kept])

    def arms(self) -> tuple[Visits, Visits]:
        """The visits of the reference and of the compared arm, without the column of the arm."""
        covariates = np.delete(self.X, ARM, axis=1)
        own = (self.arm == 0, self.arm == 1)
        return Visits.of(covariates[own[0]], self.Y[own[0]]), Visits.of(
            covariates[own[1]], self.Y[own[1]]
        )


Chains = tuple[Chain, Chain]


@dataclass(frozen=True, slots=True)
class Varied:
    """Answers (s,) of the strategies, their variances (s,) and degrees of freedom (s,)."""

    estimate: Array
    variance: Array
    df: Array


# --- the course of who left ----------------------------------------------------------------------


def course(
    strategy: str, own: Chain, reference: Chain, X: Array, Y: Array, last: IntArray,
    noise: Array | None = None,
) -> Array:  # fmt: skip
    """Y (n, J) completed after the visit `last` (n,) of each; means, or with `noise` (n, J).

    X (n, p) covariates with their constant. Y has no holes before `last`.
    """
    out, J = Y.copy(), Y.shape[1]
    chain = own if strategy == MAR else reference
    for j in np.unique(last[last < J]):
        rows = last == j
        mean = _mean(strategy, X[rows] @ own.slopes, X[rows] @ reference.slopes, int(j))
        left = np.zeros_like(mean)
        left[:, :j] = out[rows, :j] - mean[:, :j]
        for k in range(j, J):
            left[:, k] = left[:, :k] @ chain.phi[k, :k]
            if noise is not None:
                left[:, k] += chain.sigma[k] * noise[rows, k]
        out[rows, j:] = (mean + left)[:, j:]
    return out


def _mean(strategy: str, own: Array, reference: Array, j: int) -> Array:
    """Means (n, J) of people who left after j visits, before and after."""
    if strategy == MAR:
        return own
    if strategy == CR:
        return reference
    mean = own.copy()
    mean[:, j:] = reference[:, j:]
    if strategy == CIR and j > 0:
        mean[:, j:] += (own - reference)[:, [j - 1]]
    return mean


def complete(
    trial: Trial, chains: Chains, filled: tuple[Array, Array], strategies: tuple[str, ...],
    noise: Array | None = None,
) -> Array:  # fmt: skip
    """Y of everybody under each strategy (s, n, J); `filled` has the holes of the two arms."""
    usual, compared = trial.arms()
    reference, own = chains
    in_arm = trial.arm == 1
    out = np.empty((len(strategies), *trial.Y.shape))
    parts = (None, None) if noise is None else (noise[~in_arm], noise[in_arm])
    out[:, ~in_arm] = course(MAR, reference, reference, usual.X, filled[0], usual.last, parts[0])
    spared = trial.at_random[in_arm]
    at_random = course(MAR, own, reference, compared.X, filled[1], compared.last, parts[1])
    for s, strategy in enumerate(strategies):
        whole = at_random if strategy == MAR else course(
            strategy, own, reference, compared.X, filled[1], compared.last, parts[1]
        )  # fmt: skip
        out[s, in_arm] = np.where(spared[:, None], at_random, whole)
    return out


def ancova(X: Array, Y: Array) -> tuple[Array, Array]:
    """Coefficient of the arm and its variance for outcomes (s, n), by least squares."""
    Q, R = np.linalg.qr(X)
    inverse = np.linalg.inv(R)
    within = Y @ Q
    left = Y - within @ Q.T
    scale = np.sum(left**2, axis=1) / (X.shape[0] - X.shape[1])
    return within @ inverse[ARM], scale * float(inverse[ARM] @ inverse[ARM])


# --- one answer ----------------------------------------------------------------------------------


def estimate(trial: Trial, start: Chains | None = None, *, tol: float = 1e-9) -> Chains:
    """Maximum likelihood of both arms."""
    usual, compared = trial.arms()
    first, second = start or (None, None)
    return fit(usual, first, tol=tol), fit(compared, second, tol=tol)


def conditional(trial: Trial, chains: Chains, strategies: tuple[str, ...]) -> Array:
    """The answers (s,) with what is missing at its conditional mean: no draw is made."""
    filled = _filled(trial, chains)
    return ancova(trial.X, complete(trial, chains, filled, strategies)[..., -1])[0]


def _filled(trial: Trial, chains: Chains, rng: np.random.Generator | None = None) -> Any:
    return tuple(fill(v, c, rng) for v, c in zip(trial.arms(), chains, strict=True))


def imputed(
    trial: Trial, start: Chains, strategies: tuple[str, ...], sweeps: int,
    seed: np.random.SeedSequence,
) -> Array:  # fmt: skip
    """Y under each strategy (s, n, J), from a draw of both arms' models; the same noise in each."""
    rng = np.random.default_rng(seed)
    drawn = [draw(v, c, rng, sweeps) for v, c in zip(trial.arms(), start, strict=True)]
    chains, filled = (drawn[0][0], drawn[1][0]), (drawn[0][1], drawn[1][1])
    return complete(trial, chains, filled, strategies, rng.standard_normal(trial.Y.shape))


def imputation(
    trial: Trial, start: Chains, strategies: tuple[str, ...], sweeps: int,
    seed: np.random.SeedSequence,
) -> Array:  # fmt: skip
    """Answers and their variances (2, s) in one completed trial."""
    return np.array(ancova(trial.X, imputed(trial, start, strategies, sweeps, seed)[..., -1]))


# --- variance over samples -----------------------------------------------------------------------


def resample(
    trial: Trial, start: Chains, strategies: tuple[str, ...], seed: np.random.SeedSequence
) -> Array:  # fmt: skip
    """Answers (2, s) of two imputations of a sample of people, drawn within arms."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(trial.arm == a) for a in (0, 1)]
    for _ in range(AGAIN):
        sample = trial.rows(np.concatenate([rng.choice(rows, rows.size) for rows in members]))
        try:
            return _twice(sample, start, strategies, rng)
        except NotEstimable:
            continue
    raise NotEstimable(
        f"In {AGAIN} samples of the people one after the other a visit's model could not be "
        "fitted: covariates are too many, or a visit was held by too few."
    )


def _twice(
    sample: Trial, start: Chains, strategies: tuple[str, ...], rng: np.random.Generator
) -> Array:
    if np.linalg.matrix_rank(sample.X) < sample.X.shape[1]:
        raise NotEstimable("The sample lacks a level of a covariate.")
    chains = estimate(sample, start, tol=LOOSE)
    found = []
    for _ in range(TWO):
        filled = _filled(sample, chains, rng)
        noise = rng.standard_normal(sample.Y.shape)
        whole = complete(sample, chains, filled, strategies, noise)
        found.append(ancova(sample.X, whole[..., -1])[0])
    return np.array(found)


def bootstrap_variance(answers: Array) -> Varied:
    """From answers (B, M, s) of M imputations of each of B samples.

    The variance of their mean, by the mean squares between and within samples, and Satterthwaite's
    df. Source: von Hippel & Bartlett 2021, section 4.
    """
    B, M, _ = answers.shape
    means = answers.mean(axis=1)
    between = M * means.var(axis=0, ddof=1)
    within = ((answers - means[:, None]) ** 2).sum(axis=(0, 1)) / (B * (M - 1))
    one, two = (B + 1) / (B * M) * between, within / M
    variance = np.maximum(one - two, 0.0)
    df = (one - two) ** 2 / (one**2 / (B - 1) + two**2 / (B * (M - 1)))
    return Varied(means.mean(axis=0), variance, df)


def leave_out(trial: Trial, chains: Chains, strategies: tuple[str, ...], person: int) -> Array:
    """The answers (s,) at conditional means without one person."""
    kept = np.delete(np.arange(len(trial.Y)), person)
    less = trial.rows(kept)
    usual, compared = less.arms()
    if trial.arm[person] == 0:
        refitted = (fit(usual, chains[0], tol=LOOSE), chains[1])
    else:
        refitted = (chains[0], fit(compared, chains[1], tol=LOOSE))
    return conditional(less, refitted, strategies)


def jackknife_variance(answer: Array, left_out: Array) -> Varied:
    """From the answers (n, s) without each person; normal, as Wolbers et al. 2022."""
    n = len(left_out)
    variance = (n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    return Varied(answer, variance, np.full(len(answer), np.inf))
