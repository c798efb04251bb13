"""Accelerated failure time models: log t = x'beta + offset + sigma z, censored in any way.

Newton's method on centred and scaled covariates, with the log of sigma by stratum and, for the
generalised gamma, its shape. What leaves is on the caller's scale.

Source: Kalbfleisch & Prentice 2002, ch. 3; Prentice 1974; Lin & Wei 1989 (robust errors).
Checked: the exponential's closed form; finite differences; R survival's survreg; the collapses of
the generalised gamma (tests/engines/test_aft.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recovery_stats.engines.aft_law import (
    ExtremeValue,
    GeneralisedGamma,
    Law,
    Logistic,
    Normal,
    Shaped,
)
from recovery_stats.engines.aft_likelihood import RowTerms, Spans, row_terms
from recovery_stats.engines.censoring import Censored, Ints
from recovery_stats.engines.linear_scale import LinearScale, refuse_runaway, weighted_gram
from recovery_stats.engines.newton import climb
from recovery_stats.errors import NotEstimable

Array = NDArray[np.float64]
Distribution = Literal[
    "weibull", "exponential", "rayleigh", "log-logistic", "log-normal", "generalised-gamma"
]
DISTRIBUTIONS: tuple[str, ...] = get_args(Distribution)
FIXED_SCALE = {"exponential": 1.0, "rayleigh": 0.5}

STEP = 0.01  # of the shape, in central differences of order six: errors near 1e-12 and 1e-10
FIRST = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
SECOND = np.array([2, -27, 270, -490, 270, -27, 2]) / 180
SAMPLE = 20_000
FARTHEST_SHAPE = 12.0


def law_of(distribution: str, q: float = 1.0) -> Law:
    """The law of z of a distribution by name; q: shape of the generalised gamma."""
    match distribution:
        case "log-normal":
            return Normal()
        case "log-logistic":
            return Logistic()
        case "generalised-gamma":
            return GeneralisedGamma(q)
    return ExtremeValue()


@dataclass(frozen=True, eq=False)
class AftFit:
    """A maximised likelihood.

    theta (k,): beta (p,), log sigma of each stratum unless it is fixed, the shape if there is
    one; covariance (k, k), inverse observed information. log_sigma (S,), also where it is fixed.
    model and scaled: the rows, with covariates on the working scale.
    """

    distribution: str
    law: Law
    theta: Array
    covariance: Array
    loglik: float
    p: int
    log_sigma: Array
    steps: int
    model: Model
    scaled: LinearScale

    @property
    def beta(self) -> Array:
        """Coefficients of log time (p,)."""
        return self.theta[: self.p]

    @property
    def q(self) -> float | None:
        """Shape of a generalised gamma."""
        return self.law.q if isinstance(self.law, Shaped) else None

    @property
    def scales_free(self) -> int:
        """How many log sigma are estimated."""
        return len(self.theta) - self.p - (self.q is not None)

    @cached_property
    def loglik_null(self) -> float:
        """Log-likelihood with an intercept alone (and the offset)."""
        if self.p == 1 and np.ptp(self.model.Z[:, 0]) == 0:
            return self.loglik
        small = replace(self.model, Z=np.ones((len(self.model.Z), 1)))
        return climb(small.evaluate, small.start()).at.value

    @cached_property
    def scores(self) -> Array:
        """Gradient of the log-likelihood of each row (n, k), unweighted."""
        back = np.linalg.inv(self.scaled.widened(len(self.theta) - self.p))
        return np.asarray(self.model.scores(back @ self.theta) @ back)


@dataclass(frozen=True, slots=True)
class _At:
    value: float
    score: Array
    information: Array


@dataclass(frozen=True)
class Model:
    """The rows with covariates on the working scale, and what of theta is free."""

    law: Law
    spans: Spans
    Z: Array
    offset: Array
    stratum: Ints
    strata: int
    fixed_log_sigma: float | None

    @property
    def w(self) -> Array:
        return self.spans.rows.w

    def unpack(self, theta: Array) -> tuple[Array, Array, Law]:
        """eta (n,), tau (n,), and the law with its shape."""
        p = self.Z.shape[1]
        eta = self.Z @ theta[:p] + self.offset
        if self.fixed_log_sigma is not None:
            tau = np.full(len(eta), self.fixed_log_sigma)
        elif self.strata == 1:
            tau = np.full(len(eta), theta[p])
        else:
            tau = theta[p : p + self.strata][self.stratum]
        law = self.law.shaped(float(theta[-1])) if isinstance(self.law, Shaped) else self.law
        return eta, tau, law

    def evaluate(self, theta: Array) -> _At | None:
        eta, tau, law = self.unpack(theta)
        if isinstance(law, Shaped) and abs(law.q) > FARTHEST_SHAPE:
            return None
        rows = row_terms(law, self.spans, eta, tau)
        value = float(self.w @ rows.value)
        if not np.isfinite(value):
            return None
        if not isinstance(law, Shaped):
            return _At(value, self._score(rows), -self._curvature(rows))
        first, second = _by_shape(law, self.spans, eta, tau)
        score = np.append(self._score(rows), self.w @ first.value)
        k = len(score)
        H = np.zeros((k, k))
        H[:-1, :-1] = self._curvature(rows)
        H[:-1, -1] = H[-1, :-1] = self._score(first)
        H[-1, -1] = self.w @ second.value
        return _At(value, score, -H)

    def take(self, rows: slice) -> Model:
        """The same model of some rows."""
        return replace(
            self,
            spans=Spans.of(self.spans.rows.take(rows)),
            Z=self.Z[rows],
            offset=self.offset[rows],
            stratum=self.stratum[rows],
        )

    def start(self) -> Array:
        """Least squares on a time near each row's event, and the spread left."""
        rows, Z = self.spans.rows, self.Z
        y = np.log(np.maximum(rows.middle, 1e-8 * rows.middle.max())) - self.offset
        gamma = np.linalg.lstsq(Z.T @ (Z * rows.w[:, None]), Z.T @ (rows.w * y), rcond=None)[0]
        spread = np.sqrt(np.average((y - Z @ gamma) ** 2, weights=rows.w))
        free = 0 if self.fixed_log_sigma is not None else self.strata
        tau = np.full(free, np.log(np.clip(spread, 0.05, 5.0)))
        shape = [0.5] if isinstance(self.law, Shaped) else []
        return np.concatenate([gamma, tau, shape])

    def _score(self, rows: RowTerms) -> Array:
        g = self.Z.T @ (self.w * rows.eta)
        if self.fixed_log_sigma is not None:
            return np.asarray(g)
        return np.append(g, np.bincount(self.stratum, self.w * rows.tau, self.strata))

    def _curvature(self, rows: RowTerms) -> Array:
        Z, w, p = self.Z, self.w, self.Z.shape[1]
        inner = weighted_gram(Z, w * rows.eta_eta)
        if self.fixed_log_sigma is not None:
            return np.asarray(inner)
        H = np.zeros((p + self.strata, p + self.strata))
        H[:p, :p] = inner
        cross = w * rows.eta_tau
        for s in range(self.strata):
            mixed = Z.T @ (cross if self.strata == 1 else cross * (self.stratum == s))
            H[:p, p + s] = H[p + s, :p] = mixed
        own = np.bincount(self.stratum, w * rows.tau_tau, self.strata)
        H[range(p, p + self.strata), range(p, p + self.strata)] = own
        return H

    def scores(self, theta: Array) -> Array:
        """Gradient of each row (n, k), unweighted."""
        eta, tau, law = self.unpack(theta)
        rows = row_terms(law, self.spans, eta, tau)
        parts = [self.Z * rows.eta[:, None]]
        if self.fixed_log_sigma is None:
            parts.append(rows.tau[:, None] * (self.stratum[:, None] == np.arange(self.strata)))
        if isinstance(law, Shaped):
            parts.append(_by_shape(law, self.spans, eta, tau)[0].value[:, None])
        return np.hstack(parts)


def _by_shape(law: Shaped, spans: Spans, eta: Array, tau: Array) -> tuple[RowTerms, RowTerms]:
    """First and second derivative in the shape of everything that row_terms gives."""
    first = second = np.zeros((6, len(eta)))
    for k in range(7):
        at = row_terms(law.shaped(law.q + STEP * (k - 3)), spans, eta, tau).stack()
        first = first + FIRST[k] / STEP * at
        second = second + SECOND[k] / STEP**2 * at
    return RowTerms(*first), RowTerms(*second)


def fit(
    X: Array,
    rows: Censored,
    *,
    distribution: str = "weibull",
    offset: Array | None = None,
    strata: Ints | None = None,
) -> AftFit:
    """Maximise the likelihood of a model whose scale may differ by stratum.

    X (n, p) with the intercept among its columns if there is one; offset (n,) of log time; strata
    (n,) from 0. Raises NotEstimable (no time known from above, or none from below),
    ColumnsNotEstimable (collinear, or no finite estimate), ConvergenceError.
    """
    _refuse_one_sided(rows)
    if distribution not in FIXED_SCALE:
        _refuse_one_time(rows)
    scaled = LinearScale.of(X)
    n, p = X.shape
    codes = np.zeros(n, np.intp) if strata is None else strata
    S = int(codes.max(initial=0)) + 1
    fixed = np.log(FIXED_SCALE[distribution]) if distribution in FIXED_SCALE else None
    shift = np.zeros(n) if offset is None else offset
    law = law_of(distribution)
    model = Model(law, Spans.of(rows), scaled.Z, shift, codes, S, fixed)
    top = climb(model.evaluate, _first_look(model))
    refuse_runaway(top.at.information, scaled, float(rows.w.sum()))
    back = scaled.widened(len(top.theta) - p)
    theta = back @ top.theta
    covariance = back @ np.linalg.inv(top.at.information) @ back.T
    *_, law = model.unpack(top.theta)
    log_sigma = np.full(S, fixed) if fixed is not None else theta[p : p + S]
    return AftFit(
        distribution, law, theta, covariance, top.at.value, p, log_sigma, top.steps, model, scaled
    )


def _first_look(model: Model) -> Array:
    """Starting values; of many rows, the estimate from a sample of them saves most of the work."""
    every = len(model.Z) // SAMPLE
    if every < 3:
        return model.start()
    try:
        few = model.take(slice(None, None, every))
        return climb(few.evaluate, few.start(), tol=1e-6).theta
    except NotEstimable:
        return model.start()


def _refuse_one_time(rows: Censored) -> None:
    """Events at one time that nobody is known to outlive: the scale falls to 0 without end."""
    exact = np.unique(rows.low[rows.low == rows.high])
    if len(exact) == 1 and (rows.low <= exact[0]).all() and (rows.high >= exact[0]).all():
        raise NotEstimable(
            "Every event that is known to the day may have happened at one and the same time, so "
            "the likelihood grows as the scale falls to 0 and no model of time can be fitted; "
            "take kaplan_meier or turnbull."
        )


def _refuse_one_sided(rows: Censored) -> None:
    if len(rows.right) == len(rows):
        raise NotEstimable(
            f"No row of {len(rows)} has the event: every time is right-censored, and no model of "
            "time can be fitted."
        )
    if len(rows.left) == len(rows):
        raise NotEstimable(
            f"All {len(rows)} rows are left-censored: nothing says how long anybody was without "
            "the event."
        )
