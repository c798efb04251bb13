"""Generalised estimating equations: marginal means under a working correlation.

Solve sum_i D_i' V_i⁻¹ (y_i - mu_i) = 0 with V = scale · A^½ R(alpha) A^½ / weights, by Fisher
scoring for beta and moments for scale and correlation in turn, to a fixed point. Rows whitened by
V^-½ make it a least-squares problem, and `robust.sandwich` of those rows the robust covariance:
CR0 is Liang & Zeger's, CR2 Kauermann & Carroll's, CR3 Mancl & DeRouen's (the power of I - H
commutes with whitening). Scale and correlation without degrees-of-freedom correction, as R's
geepack has them.
Sources: Liang & Zeger 1986; Kauermann & Carroll 2001; Mancl & DeRouen 2001; Pan 2001 (QIC).
Checked: dense formulas, collapse to regression with HC0, HC2, HC3, R geepack
(tests/engines/test_gee.py, tests/models/test_gee.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from recovery_stats.engines.gee_correlation import (
    Clusters,
    Correlation,
    Independence,
    Structure,
    working,
)
from recovery_stats.engines.linalg import Array, IntArray, single_thread
from recovery_stats.engines.mean_law import Law, Link
from recovery_stats.engines.robust import Kind, Sandwich, sandwich
from recovery_stats.errors import ConvergenceError

STEPS = 200
DONE = 1e-20  # the score's length in errors of the coefficients, squared, per row
SETTLED = 1e-12  # change of a correlation
EXACT = 1e-20  # mean squared residual over the squared range of the outcome: rounding
FLAT = 1e-6  # information of the flattest direction, as a root, that separation alone undercuts


@dataclass(frozen=True, slots=True)
class GeeFit:
    """Solved estimating equations.

    beta (p,); mu, eta (n,) rows as given; alpha: the working correlation's parameters; scale phi;
    naive (p, p): covariance if the working correlation holds; robust: sandwich of the whitened
    rows in orthogonal units, X = Xo A⁻¹; quasi: quasi-log-likelihood over the scale, under
    independence; cic: trace of naive⁻¹ under independence times robust (Hin & Wang 2009).
    """

    beta: Array
    mu: Array
    eta: Array
    alpha: Array
    scale: float
    naive: Array
    robust: Sandwich
    A: Array
    pearson: Array
    quasi: float
    cic: float
    steps: int

    @property
    def covariance(self) -> Array:
        """Robust covariance (p, p) in the user's units."""
        return np.asarray(self.A @ self.robust.covariance @ self.A.T)

    def df(self, contrast: Array) -> float:
        """Satterthwaite's degrees of freedom of a linear combination; see `robust`."""
        return self.robust.df(self.A.T @ contrast)

    @property
    def qic(self) -> float:
        """Pan's criterion (2001): smaller is better, across correlations and predictors."""
        return -2.0 * self.quasi + 2.0 * self.cic


@dataclass(frozen=True, slots=True)
class Equations:
    """Rows sorted by cluster and time, in orthogonal units."""

    X: Array
    y: Array
    offset: Array
    weights: Array
    law: Law
    link: Link

    def whitened(self, eta: Array) -> tuple[Array, Array]:
        """Rows and residuals of unit working variance, correlation apart: (n, p) and (n,)."""
        mu = self.link.inverse(eta)
        root = np.sqrt(self.weights / self.law.variance(mu))
        return self.X * (self.link.slope(eta) * root)[:, None], (self.y - mu) * root

    def pearson(self, eta: Array) -> Array:
        mu = self.link.inverse(eta)
        return np.asarray((self.y - mu) / np.sqrt(self.law.variance(mu)))

    def quasi(self, eta: Array) -> float:
        return float(self.weights @ self.law.quasi(self.y, self.link.inverse(eta)))

    def possible(self, eta: Array) -> bool:
        if not np.isfinite(eta).all() or (self.link.name == "inverse" and (eta <= 0).any()):
            return False
        return self.law.within(self.link.inverse(eta))


def fit(
    X: Array,
    y: Array,
    law: Law,
    link: Link,
    cluster: IntArray,
    *,
    structure: Structure = "exchangeable",
    time: Array | None = None,
    weights: Array | None = None,
    offset: Array | None = None,
    scale: float | None = None,
    kind: Kind = "CR0",
) -> GeeFit:
    """Solve the equations; kind: of the robust covariance.

    X (n, p) of full column rank; cluster (n,) codes; time (n,): the order of a cluster's rows,
    distinct within it (their order in the data if None); weights (n,) > 0 divide the variance;
    scale: phi where it is known. Raises NotEstimable where the working correlation is none,
    ConvergenceError where the equations do not settle.
    """
    n = len(y)
    when = _places(cluster) if time is None else time
    order = np.lexsort((when, cluster))
    w = np.ones(n) if weights is None else weights
    Q, R = np.linalg.qr(X / _length(X))
    A = solve_triangular(R, np.eye(X.shape[1])) / _length(X)[:, None] * np.sqrt(n)
    shift = np.zeros(n) if offset is None else offset
    codes = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    clusters = Clusters(codes[order], when[order], w[order])
    equations = Equations(
        Q[order] * np.sqrt(n), y[order], shift[order], w[order], law, link
    )  # fmt: skip
    with single_thread(), np.errstate(over="ignore", under="ignore"):
        search = _Search(equations, working(structure, clusters), clusters, scale)
        search.run()
        return _finish(search, A, order, kind)


def _length(X: Array) -> Array:
    return np.asarray(np.sqrt((X**2).sum(0)))


def _places(cluster: IntArray) -> Array:
    """The running number of every row within its cluster."""
    order = np.argsort(cluster, kind="stable")
    sizes = np.unique(cluster, return_counts=True)[1]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.empty(cluster.size)
    places[order] = np.arange(cluster.size) - starts
    return places


class _Search:
    """Fisher scoring for beta, moments for scale and correlation, in turn."""

    def __init__(
        self,
        equations: Equations,
        correlation: Correlation,
        clusters: Clusters,
        scale: float | None,
    ) -> None:
        self.equations, self.correlation, self.clusters = equations, correlation, clusters
        self.known_scale, self.steps = scale, 0
        self.gamma = np.zeros(equations.X.shape[1])
        self.alpha = np.empty(0)
        self.scale = 1.0

    @property
    def eta(self) -> Array:
        return np.asarray(self.equations.X @ self.gamma + self.equations.offset)

    def run(self) -> None:
        self._begin()
        self._moments()
        if isinstance(self.correlation, Independence):
            return
        for _ in range(STEPS):
            before = self.alpha
            gain = self._step(self.correlation)
            self._moments()
            change = float(np.abs(self.alpha - before).max(initial=0.0))
            if gain < DONE and change < SETTLED:
                return
            self.steps += 1
        raise ConvergenceError(
            f"The estimating equations did not settle in {STEPS} steps; a simpler working "
            "correlation ('exchangeable', 'independence') may."
        )

    def _begin(self) -> None:
        """The coefficients under independence: a generalised linear model."""
        e = self.equations
        level = np.full_like(e.y, float(e.link.forward(np.array([e.y.mean()]))[0]))
        curved = e.link.name not in ("identity", "inverse")
        start = e.link.forward(e.law.start(e.y)) if curved or e.law.name == "gaussian" else level
        for target in (start, level):
            self.gamma = np.asarray(np.linalg.lstsq(e.X, target - e.offset, rcond=None)[0])
            if e.possible(self.eta):
                break
        independent = Independence(self.clusters)
        for _ in range(STEPS):
            self.steps += 1
            if self._step(independent, uphill=True) < DONE:
                return
        raise ConvergenceError("The model without correlation has no maximum.")

    def _step(self, correlation: Correlation, *, uphill: bool = False) -> float:
        """One step, halved while means are impossible (or, uphill, the quasi-likelihood falls)."""
        e, eta = self.equations, self.eta
        X, r = self._whitened(correlation)
        step = np.linalg.lstsq(X, r, rcond=None)[0]
        gain = float(((X @ step) ** 2).sum()) / (max(self.scale, 1e-300) * len(e.y))
        value = e.quasi(eta)
        for _ in range(40):
            new = e.X @ (self.gamma + step) + e.offset
            if e.possible(new) and not (
                uphill and e.quasi(new) < value - 1e-10 * max(abs(value), 1.0)
            ):
                self.gamma = self.gamma + step
                return gain
            step = 0.5 * step
        raise ConvergenceError(
            "The means leave what the family allows; another link (such as 'logit' or 'log') keeps "
            "them inside."
        )

    def _whitened(self, correlation: Correlation) -> tuple[Array, Array]:
        X, r = self.equations.whitened(self.eta)
        both = correlation.whiten(np.column_stack([X, r]), self.alpha)
        return both[:, :-1], both[:, -1]

    def _moments(self) -> None:
        r, w = self.equations.pearson(self.eta), self.equations.weights
        found = float(w @ r**2) / float(w.sum())
        self.scale = found if self.known_scale is None else self.known_scale
        # a known scale needs no residuals: a saturated model of counts has an answer
        if self.known_scale is None and not found > EXACT * float(np.ptp(self.equations.y)) ** 2:
            raise ConvergenceError("The residuals are all zero: the model fits exactly.")
        self.alpha = self.correlation.estimate(r, self.scale, self.alpha)


def _finish(search: _Search, A: Array, order: IntArray, kind: Kind) -> GeeFit:
    e, scale, eta = search.equations, search.scale, search.eta
    X, r = search._whitened(search.correlation)
    sizes = np.linalg.svd(X, compute_uv=False)
    if sizes[-1] < FLAT * sizes[0]:
        raise ConvergenceError(
            "A coefficient has no finite estimate: the means do not depend on it."
        )
    found = sandwich(X, r, search.clusters.codes, kind=kind)
    plain = e.whitened(eta)[0]
    robust = sandwich(X, r, search.clusters.codes, kind="CR0").covariance
    back = np.empty(len(order), dtype=np.intp)
    back[order] = np.arange(len(order))
    return GeeFit(
        A @ search.gamma,
        e.link.inverse(eta)[back],
        eta[back],
        search.alpha,
        scale,
        scale * A @ found.bread @ A.T,
        found,
        A,
        search.equations.pearson(eta)[back],
        e.quasi(eta) / scale,
        float(np.sum((plain.T @ plain) * robust)) / scale,
        search.steps,
    )
