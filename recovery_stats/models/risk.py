"""Compare two arms: standardised risks or means with cluster-robust, small-sample inference.

A model of the outcome on arm and covariates gives every person two predictions, one in each arm;
their averages are the standardised risks (g-computation), and every effect follows from them:
risk difference, risk ratio, odds ratio, number needed to treat, or a difference of means. The
error counts both the coefficients and the people whom the sample happens to hold.

Counts alone, as a published table gives them, go through `count_effects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recovery_stats.core.estimate import Estimate, Level, Scale
from recovery_stats.engines.cluster import two_sided
from recovery_stats.engines.glm import (
    Fit,
    Separation,
    least_squares,
    logistic,
    separating_direction,
)
from recovery_stats.engines.log_linear import log_linear
from recovery_stats.engines.robust import Sandwich, sandwich
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.sample import ARM, INTERCEPT, Sample

Array = NDArray[np.floating[Any]]
Family = Literal["binomial", "gaussian", "poisson", "gamma", "fraction"]
SHARES = ("binomial", "fraction")  # means between 0 and 1, logistic
POWER = {"poisson": 1.0, "gamma": 2.0}  # of the mean, as the variance goes; log link
Effect = Literal["difference", "ratio", "odds_ratio"]


# --- standardisation -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standardised:
    """Average predictions under each arm, with what inference about them needs.

    means (2,): usual arm, compared arm. J (2, p): their gradients in the coefficients.
    people (G, 2): what the people of each cluster add to the error beyond the coefficients.
    """

    means: Array
    J: Array
    people: Array
    robust: Sandwich
    family: Family
    n: int
    events: int | None

    def error(self, gradient: Array) -> tuple[float, float]:
        """Standard error and degrees of freedom of a function of the means with this gradient.

        The two sources of error are summed within clusters, so that their covariance counts;
        degrees of freedom combine as in Welch and Satterthwaite.
        """
        c = gradient @ self.J
        model, people = self.robust.influence @ c, self.people @ gradient
        G = len(people)
        variance = float(np.sum((model + np.sqrt(G / (G - 1)) * people) ** 2))
        inner, outer = float(model @ model), float(people @ people) * G / (G - 1)
        df = self.robust.df(c)
        combined = (inner + outer) ** 2 / (inner**2 / df + outer**2 / (G - 1)) if outer else df
        return float(np.sqrt(variance)), float(combined)

    def effect(
        self, kind: Effect, name: str, label: str, *, level: float, rank: Level, method: str
    ) -> Estimate:
        """The compared arm against the usual one; ratios are built on the log scale."""
        r0, r1 = self.means
        if kind == "difference":
            value, gradient = r1 - r0, np.array([-1.0, 1.0])
        elif kind == "ratio":
            value, gradient = np.log(r1 / r0), np.array([-1 / r0, 1 / r1])
        else:
            v0, v1 = r0 * (1 - r0), r1 * (1 - r1)
            value = np.log(r1 / (1 - r1)) - np.log(r0 / (1 - r0))
            gradient = np.array([-1 / v0, 1 / v1])
        se, df = self.error(gradient)
        scale: Scale = "difference" if kind == "difference" else "ratio"
        return estimate(
            name, label, float(value), se, df, scale=scale, level=level, rank=rank,
            method=method, n=self.n, events=self.events,
        )  # fmt: skip

    def mean(self, arm: int, name: str, label: str, *, level: float, method: str) -> Estimate:
        """The average prediction under one arm; a risk has its interval on the log odds scale."""
        se, df = self.error(np.eye(2)[arm])
        value = float(self.means[arm])
        low, high, _ = two_sided(value, se, df, level)
        if self.family in SHARES:
            spread = se / (value * (1 - value))
            centre = np.log(value / (1 - value))
            low, high = (float(expit(x)) for x in two_sided(centre, spread, df, level)[:2])
        if self.family in POWER:
            ends = two_sided(np.log(value), se / value, df, level)[:2]
            low, high = (float(np.exp(x)) for x in ends)
        scale: Scale = "probability" if self.family in SHARES else "difference"
        return Estimate(
            name, label, value, low, high, se, df=df, scale=scale, level="descriptive",
            method=method, confidence=level, n=self.n, events=self.events,
        )  # fmt: skip


def standardise(sample: Sample, family: Family) -> Standardised:
    """Fit the outcome model and average its predictions with everyone in one arm, then the other.

    Logistic for "binomial" and for shares of days ("fraction", 0 to 1), linear for "gaussian",
    log-linear for counts ("poisson") and money ("gamma"): of these only the mean has to be right.
    CR2 by cluster, or HC2 without clusters.
    Raises NotEstimable naming the column that separates the outcome.
    Checked: with no covariate the risks are the proportions and the error that of cluster
    means; R (script in tests).
    """
    fit = _fit(sample, family)
    robust = sandwich(
        fit.X_white, fit.residual_white, sample.cluster, weights=sample.weights, kind="CR2"
    )
    w = np.ones(len(sample.y)) if sample.weights is None else sample.weights
    w = w / w.sum()
    predictions, gradients = [], []
    for arm in (0.0, 1.0):
        X = sample.X.copy()
        X[:, ARM] = arm
        mu, slope = _mean(X @ fit.beta, family)
        predictions.append(mu)
        gradients.append((w * slope) @ X)
    P = np.column_stack(predictions)
    means = w @ P
    return Standardised(
        means,
        np.array(gradients),
        _cluster_sums(w[:, None] * (P - means), sample.cluster),
        robust,
        family,
        len(sample.y),
        int(sample.y.sum()) if family == "binomial" else None,
    )


def _fit(sample: Sample, family: Family) -> Fit:
    if family in SHARES:
        return _logistic(sample)
    if family in POWER:
        return log_linear(sample.X, sample.y, POWER[family], weights=sample.weights)
    return least_squares(sample.X, sample.y, weights=sample.weights)


def _mean(eta: Array, family: Family) -> tuple[Array, Array]:
    """The mean and its slope in the linear predictor."""
    if family in SHARES:
        mu = expit(eta)
        return mu, mu * (1 - mu)
    if family in POWER:
        return np.exp(eta), np.exp(eta)
    return eta, np.ones(len(eta))


def _logistic(sample: Sample) -> Fit:
    try:
        return logistic(sample.X, sample.y, weights=sample.weights)
    except Separation as separated:
        named = _listed(_separating(sample, separated.direction))
        raise NotEstimable(
            f"The outcome is perfectly separated by {named}: among some of its values everybody "
            "or nobody had the outcome, so that no finite odds ratio exists. Leave it out, or "
            "join its levels."
        ) from None


def _separating(sample: Sample, direction: Array) -> list[str]:
    """The columns without which there is no separation; where there is none such, all that help."""
    helping = [j for j in np.flatnonzero(direction).tolist() if j != INTERCEPT]
    needed = [
        j for j in helping if separating_direction(np.delete(sample.X, j, 1), sample.y) is None
    ]
    return [sample.names[j] for j in needed or helping]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(n) for n in names[:4]) + (" …" if len(names) > 4 else "")


def _cluster_sums(values: Array, cluster: NDArray[Any] | None) -> Array:
    """Column sums within clusters, in the order that `sandwich` has them."""
    if cluster is None:
        return values
    ids = np.unique(cluster, return_inverse=True)[1]
    return np.column_stack([np.bincount(ids, column) for column in values.T])


# --- estimates -----------------------------------------------------------------------------


def estimate(
    name: str,
    label: str,
    value: float,
    se: float,
    df: float,
    *,
    scale: Scale = "difference",
    level: float,
    rank: Level = "secondary",
    method: str = "",
    n: int | None = None,
    events: int | None = None,
) -> Estimate:
    """An Estimate from a value, error and df on the linear scale; a ratio comes as its log."""
    low, high, p = two_sided(value, se, df, level)
    if scale == "ratio":
        value, low, high = (float(np.exp(x)) for x in (value, low, high))
    return Estimate(name, label, value, low, high, se, p, df, scale, rank, method, level, n, events)


@dataclass(frozen=True, slots=True)
class NumberNeeded:
    """Number needed to treat, with its interval; `crosses` when the difference may be none.

    value, low, high > 0. Where it crosses, the interval runs from `low` through infinity (no
    difference) to `other` in the opposite direction (Altman 1998), and `high` is inf.
    """

    value: float
    low: float
    high: float
    crosses: bool
    other: float


def number_needed(difference: Estimate) -> NumberNeeded:
    """How many people must be treated for one to have a different outcome: 1 / |difference|.

    Source: Altman 1998 (BMJ 317:1309). Checked: Oxford House trial, 2.99.
    """
    sign = 1.0 if difference.value >= 0 else -1.0
    near, far = sorted((sign * difference.low, sign * difference.high))
    value = 1 / abs(difference.value) if difference.value else float("inf")
    if near > 0:
        return NumberNeeded(value, 1 / far, 1 / near, False, float("nan"))
    return NumberNeeded(value, 1 / far, float("inf"), True, -1 / near if near else float("inf"))


def e_value(ratio: float) -> float:
    """How strongly an unmeasured confounder must go with arm and outcome to explain `ratio`.

    On the risk-ratio scale, for the ratio or for the limit of its interval that is nearer 1.
    Source: VanderWeele & Ding 2017. Checked: their example (3.9: 7.26); reference case.
    """
    above = ratio if ratio >= 1 else 1 / ratio
    return float(above + np.sqrt(above * (above - 1)))


def e_value_limit(ratio: Estimate) -> float:
    """The E-value of the limit nearer 1; 1 where the interval covers 1."""
    nearer = ratio.low if ratio.value >= 1 else ratio.high
    covers = ratio.low <= 1 <= ratio.high
    return 1.0 if covers else e_value(nearer)


def approximate_risk_ratio(
    value: float, kind: Literal["odds_ratio", "hazard_ratio", "smd"]
) -> float:
    """A risk ratio that a common outcome's odds ratio, hazard ratio or SMD stands for.

    Source: VanderWeele 2017; VanderWeele & Ding 2017, table 2.
    """
    if kind == "odds_ratio":
        return float(np.sqrt(value))
    if kind == "smd":
        return float(np.exp(0.91 * value))
    return float((1 - 0.5 ** np.sqrt(value)) / (1 - 0.5 ** np.sqrt(1 / value)))


def count_effects(
    events: int, n: int, events_usual: int, n_usual: int, *, level: float = 0.95
) -> tuple[Estimate, Estimate, Estimate]:
    """Risk difference, risk ratio and odds ratio from the counts of a published table.

    Wald for the difference, Katz for the ratio, Woolf for the odds ratio: what papers print.
    Raises DataError for impossible counts, NotEstimable for a ratio with an empty cell.
    Checked: Oxford House trial 21/67 and 35/54; X:BOT 185/283 and 163/287.
    """
    if not (0 <= events <= n and 0 <= events_usual <= n_usual and n > 0 and n_usual > 0):
        raise DataError("Events must lie between 0 and the number of people in each arm.")
    if 0 in (events, events_usual, n - events, n_usual - events_usual):
        raise NotEstimable("A cell of the two-by-two table is empty: its odds ratio is 0 or ∞.")
    p1, p0 = events / n, events_usual / n_usual
    spread = np.sqrt(p1 * (1 - p1) / n + p0 * (1 - p0) / n_usual)
    katz = np.sqrt((1 - p1) / events + (1 - p0) / events_usual)
    woolf = np.sqrt(1 / events + 1 / (n - events) + 1 / events_usual + 1 / (n_usual - events_usual))
    odds = np.log(p1 / (1 - p1)) - np.log(p0 / (1 - p0))
    people, happened, inf = n + n_usual, events + events_usual, float("inf")
    rows: tuple[tuple[str, str, float, float, Scale, str], ...] = (
        ("risk_difference", "Risk difference", p1 - p0, spread, "difference", "Wald"),
        ("risk_ratio", "Risk ratio", np.log(p1 / p0), katz, "ratio", "Katz"),
        ("odds_ratio", "Odds ratio", odds, woolf, "ratio", "Woolf"),
    )
    difference, ratio, odds_ratio = (
        estimate(
            name, label, float(value), float(se), inf, scale=scale, level=level, method=method,
            n=people, events=happened,
        )
        for name, label, value, se, scale, method in rows
    )  # fmt: skip
    return difference, ratio, odds_ratio
