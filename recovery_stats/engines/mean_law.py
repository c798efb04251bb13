"""How an outcome's mean follows the predictor (link) and its variance the mean (family).

What estimating equations need of a generalised linear model, and its quasi-likelihood.
Source: McCullagh & Nelder 1989, tables 2.1 and 9.1. Checked: finite differences
(tests/engines/test_gee.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri, xlog1py, xlogy

from recovery_stats.engines.linalg import Array

Curve = Callable[[Array], Array]
LARGEST = 500.0  # of a log mean: beyond it only a search gone astray comes


@dataclass(frozen=True, slots=True)
class Link:
    """forward: mean to predictor; inverse: back; slope: of the inverse, in the predictor."""

    name: str
    forward: Curve
    inverse: Curve
    slope: Curve


@dataclass(frozen=True, slots=True)
class Law:
    """variance: of the mean, up to the scale; within: which means are possible.

    quasi: quasi-log-likelihood of outcome and mean at scale 1; start: a mean to begin from.
    """

    name: str
    link: str
    variance: Curve
    within: Callable[[Array], bool]
    quasi: Callable[[Array, Array], Array]
    start: Callable[[Array], Array]


def _bounded_exp(eta: Array) -> Array:
    return np.asarray(np.exp(np.clip(eta, -LARGEST, LARGEST)))


def _normal_density(eta: Array) -> Array:
    return np.asarray(np.exp(-0.5 * eta**2) / np.sqrt(2.0 * np.pi))


def _ones(values: Array) -> Array:
    return np.ones_like(values)


def _same(values: Array) -> Array:
    return values


def _between(mu: Array) -> bool:
    return bool(((mu > 0) & (mu < 1)).all())


def _positive(mu: Array) -> bool:
    return bool(((mu > 0) & np.isfinite(mu)).all())


LINKS = {
    link.name: link
    for link in (
        Link("identity", _same, _same, _ones),
        Link("log", np.log, _bounded_exp, _bounded_exp),
        Link("logit", logit, expit, lambda eta: expit(eta) * expit(-eta)),
        Link("probit", ndtri, ndtr, _normal_density),
        Link(
            "cloglog",
            lambda mu: np.log(-np.log1p(-mu)),
            lambda eta: -np.expm1(-_bounded_exp(eta)),
            lambda eta: np.exp(np.clip(eta, -LARGEST, LARGEST) - _bounded_exp(eta)),
        ),
        Link("inverse", lambda mu: 1.0 / mu, lambda eta: 1.0 / eta, lambda eta: -1.0 / eta**2),
    )
}

LAWS = {
    law.name: law
    for law in (
        Law(
            "gaussian", "identity", _ones, lambda mu: bool(np.isfinite(mu).all()),
            lambda y, mu: -0.5 * (y - mu) ** 2, _same,
        ),
        Law(
            "binomial", "logit", lambda mu: mu * (1.0 - mu), _between,
            lambda y, mu: xlogy(y, mu) + xlog1py(1.0 - y, -mu), lambda y: 0.25 + 0.5 * y,
        ),
        Law(
            "poisson", "log", _same, _positive,
            lambda y, mu: xlogy(y, mu) - mu, lambda y: y + 0.5 * y.mean(),
        ),
        Law(
            "gamma", "log", lambda mu: mu**2, _positive,
            lambda y, mu: -y / mu - np.log(mu), _same,
        ),
    )
}  # fmt: skip
