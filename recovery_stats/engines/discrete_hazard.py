"""Hazards of periods between visits: survived, ended by the event, or ended in one of several.

A row is one person in one period with cumulative hazard H(eta): e^eta (complementary log-log: log
hazard ratios of the continuous time behind it) or log(1 + e^eta) (logit). A row that was survived
adds -H; the rows of one event, one or more where visits were missed, add log(1 - e^-B), B = sum H.

With events known to their period the errors come from the expected information, as a binary
regression's; where an event spans several periods from the observed one.
Source: Prentice & Gloeckler 1978; Finkelstein 1986; Singer & Willett 1993.
Checked: R glm; finite differences; closed form without covariates (tests/engines).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recovery_stats.engines.linear_scale import LinearScale, refuse_runaway, weighted_gram
from recovery_stats.engines.newton import climb
from recovery_stats.errors import NotEstimable

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


def _cloglog(eta: Array) -> tuple[Array, Array, Array]:
    with np.errstate(over="ignore"):
        h = np.exp(eta)
    return h, h, h


def _logit(eta: Array) -> tuple[Array, Array, Array]:
    p = expit(eta)
    return np.logaddexp(0.0, eta), p, p * (1 - p)


# link: H(eta) with two derivatives
LINKS: dict[str, Callable[[Array], tuple[Array, Array, Array]]] = {
    "cloglog": _cloglog,
    "logit": _logit,
}


@dataclass(frozen=True, eq=False)
class DiscreteFit:
    """beta (p,) and covariance (p, p); scores (n, p): weighted gradients by row; steps."""

    link: str
    beta: Array
    covariance: Array
    loglik: float
    scores: Array
    steps: int


@dataclass(frozen=True, slots=True)
class _At:
    value: float
    score: Array
    information: Array


@dataclass(frozen=True)
class _Model:
    """Rows with those of events last, events one after the other; starts: where each begins."""

    link: str
    Z: Array
    offset: Array
    w: Array
    survived: int
    starts: Ints

    def evaluate(self, gamma: Array) -> _At | None:
        H, H1, H2 = LINKS[self.link](self.Z @ gamma + self.offset)
        s = self.survived
        B = np.add.reduceat(H[s:], self.starts)
        value = float(-self.w[:s] @ H[:s] + self.w[s:][self.starts] @ np.log(-np.expm1(-B)))
        if not np.isfinite(value):
            return None
        r = self._spread(1 / np.expm1(B))
        g = self.w * H1 * np.append(np.full(s, -1.0), r)
        bend = self.w * H2 * np.append(np.ones(s), -r)
        information = weighted_gram(self.Z, bend) + self._between(H1, B, 1.0)
        return _At(value, self.Z.T @ g, information)

    def _spread(self, per_event: Array) -> Array:
        sizes = np.diff(np.append(self.starts, len(self.Z) - self.survived))
        return np.repeat(per_event, sizes)

    def _between(self, H1: Array, B: Array, share: float) -> Array:
        """Sum over events of r (1 + r) g g', g the gradient of B, r = 1/(e^B - 1)."""
        s = self.survived
        r = 1 / np.expm1(B)
        G = np.add.reduceat(self.Z[s:] * H1[s:, None], self.starts)
        return weighted_gram(G, share * self.w[s:][self.starts] * r * (1 + r))

    def expected(self, gamma: Array) -> Array:
        """Expected information of rows that each have one period."""
        H, H1, _ = LINKS[self.link](self.Z @ gamma + self.offset)
        with np.errstate(over="ignore"):
            return weighted_gram(self.Z, self.w * H1**2 / np.expm1(H))

    def row_scores(self, gamma: Array) -> Array:
        H, H1, _ = LINKS[self.link](self.Z @ gamma + self.offset)
        with np.errstate(over="ignore"):
            r = self._spread(1 / np.expm1(np.add.reduceat(H[self.survived :], self.starts)))
        g = self.w * H1 * np.append(np.full(self.survived, -1.0), r)
        return np.asarray(self.Z * g[:, None])


def fit(
    X: Array,
    event: Ints,
    *,
    link: str = "cloglog",
    weights: Array | None = None,
    offset: Array | None = None,
) -> DiscreteFit:
    """Maximise the likelihood of person-period rows.

    X (n, p). event (n,): -1 where the period was survived, else the number of the event, from 0,
    that happened in this period or in another row of the same number. weights (n,) > 0.
    Raises NotEstimable without events, ColumnsNotEstimable, ConvergenceError.
    """
    if event.max(initial=-1) < 0:
        raise NotEstimable("No period has the event; no model of its hazard can be fitted.")
    scaled = LinearScale.of(X)
    order = np.argsort(event, kind="stable")
    kind = event[order]
    s = int((kind < 0).sum())
    starts = np.flatnonzero(np.append(True, np.diff(kind[s:]) > 0))
    w = np.ones(len(X)) if weights is None else weights[order]
    shift = np.zeros(len(X)) if offset is None else offset[order]
    model = _Model(link, scaled.Z[order], shift, w, s, starts)
    top = climb(model.evaluate, _start(model))
    refuse_runaway(top.at.information, scaled, float(w.sum()))
    single = len(starts) == len(X) - s
    information = model.expected(top.theta) if single else top.at.information
    A = scaled.A
    scores = np.empty_like(X)
    scores[order] = model.row_scores(top.theta) @ np.linalg.inv(A)
    covariance = A @ np.linalg.inv(information) @ A.T
    return DiscreteFit(link, A @ top.theta, covariance, top.at.value, scores, top.steps)


def _start(model: _Model) -> Array:
    """The eta at which every period has the crude hazard, as near as the columns allow."""
    n, events = len(model.Z), len(model.starts)
    crude = min(max(events / n, 1e-6), 0.9)
    level = np.log(-np.log1p(-crude)) if model.link == "cloglog" else np.log(crude / (1 - crude))
    Z = model.Z
    target = Z.T @ (level - model.offset)
    return np.asarray(np.linalg.lstsq(Z.T @ Z, target, rcond=None)[0])


def survival(
    link: str, beta: Array, X: Array, offset: Array, periods: int
) -> tuple[Array, Array, Array, Array]:
    """For m people in K periods, X (m K, p) person by person: S at each period's end (m, K) with
    gradient (m, K, p), and the hazard (chance) of each period with its gradient."""
    m, p = len(X) // periods, X.shape[1]
    H, H1, _ = (v.reshape(m, periods) for v in LINKS[link](X @ beta + offset))
    dH = H1[:, :, None] * X.reshape(m, periods, p)
    S = np.exp(-np.cumsum(H, axis=1))
    stay = np.exp(-H)
    return S, -S[:, :, None] * np.cumsum(dH, axis=1), 1 - stay, stay[:, :, None] * dH
