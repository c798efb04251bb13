"""Generalised mixed models: derivatives, brute force, dense algebra, collapse, known truth."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit

from recovery_stats.engines import glmm, glmm_hessian, glmm_laplace, glmm_quadrature, glmm_search
from recovery_stats.engines.glm import Separation
from recovery_stats.engines.glmm_family import (
    BetaBinomial,
    Binomial,
    Family,
    NegativeBinomial,
    Ordinal,
    Poisson,
)
from recovery_stats.engines.glmm_laplace import Point, Problem
from recovery_stats.engines.glmm_population import mean_over
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import ConvergenceError
from tests.tolerance import (
    CLOSED_FORM,
    CONVERGED,
    DERIVATIVE,
    EXACT,
    HALF_DIGITS,
    INVARIANCE,
    MONTE_CARLO_SES,
)

N = 120


def example_families(seed: int = 1, n: int = N) -> dict[str, tuple[Family, Array]]:
    """A family with its outcome, and values of its own parameters, by name."""
    rng = np.random.default_rng(seed)
    trials = rng.integers(1, 20, n).astype(float)
    successes = rng.binomial(trials.astype(int), 0.4).astype(float)
    counts = rng.poisson(3.0, n).astype(float)
    w = rng.uniform(0.5, 2.0, n)
    return {
        "binomial": (Binomial(successes, trials, w), np.empty(0)),
        "poisson": (Poisson(counts, w), np.empty(0)),
        "negative-binomial": (NegativeBinomial(counts, w), np.array([0.6])),
        "nearly poisson": (NegativeBinomial(counts, w), np.array([1e-4])),
        "beta-binomial": (BetaBinomial(successes, trials, w), np.array([0.4])),
        "nearly binomial": (BetaBinomial(successes, trials, w), np.array([1e-4])),
        "ordinal": (Ordinal(rng.integers(0, 4, n), w, 4), np.array([-1.0, 0.2, 1.0])),
    }


FAMILIES = sorted(example_families())


def close(ours: object, theirs: object, rel: float) -> None:
    scale = max(1.0, float(np.abs(np.asarray(theirs)).max()))
    assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() <= rel * scale


# --- the families ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_derivatives_of_a_row_by_differences(name: str) -> None:
    family, own = example_families()[name]
    eta, h = np.random.default_rng(2).normal(0.0, 1.5, family.n), 1e-5
    at, up, down = (family.rows(eta + d, own) for d in (0.0, h, -h))
    close((up.log_f - down.log_f) / (2 * h), at.slope, DERIVATIVE)
    close((down.slope - up.slope) / (2 * h), at.curvature, DERIVATIVE)
    close((up.curvature - down.curvature) / (2 * h), at.bend, DERIVATIVE)
    close(family.log_f(eta, own), at.log_f, EXACT)
    close(family.steps(eta, own)[0], at.slope, EXACT)
    close(family.steps(eta, own)[1], at.curvature, EXACT)


@pytest.mark.parametrize("name", FAMILIES)
def test_derivatives_in_its_own_parameters_by_differences(name: str) -> None:
    family, own = example_families()[name]
    eta, h = np.random.default_rng(2).normal(0.0, 1.5, family.n), 1e-5
    for change, d in zip(family.rows(eta, own).changes, h * np.eye(own.size), strict=True):
        up, down = family.rows(eta, own + d), family.rows(eta, own - d)
        close((up.log_f - down.log_f) / (2 * h), change.log_f, HALF_DIGITS)
        close((up.slope - down.slope) / (2 * h), change.slope, HALF_DIGITS)
        close((up.curvature - down.curvature) / (2 * h), change.curvature, HALF_DIGITS)


def test_likelihoods_are_those_of_scipy() -> None:
    eta = np.random.default_rng(2).normal(0.0, 1.0, N)
    for name, (family, own) in example_families().items():
        y = family.outcome
        if isinstance(family, NegativeBinomial):
            size = 1.0 / own[0] ** 2
            theirs = stats.nbinom.logpmf(y, size, size / (size + np.exp(eta)))
        elif isinstance(family, Poisson):
            theirs = stats.poisson.logpmf(y, np.exp(eta))
        elif isinstance(family, BetaBinomial):
            a, b = expit(eta) / own[0] ** 2, expit(-eta) / own[0] ** 2
            theirs = stats.betabinom.logpmf(y, family.trials, a, b)
        elif isinstance(family, Binomial):
            theirs = stats.binom.logpmf(y, family.trials, expit(eta))
        else:
            edges = np.concatenate([[-np.inf], own, [np.inf]])
            k = family.outcome.astype(int)
            theirs = np.log(expit(edges[k + 1] - eta) - expit(edges[k] - eta))
        ours = float(family.log_f(eta, own).sum()) + family.constant
        digits = INVARIANCE if name.startswith("nearly") else CLOSED_FORM  # scipy's cancel
        assert ours == pytest.approx(float(family.weights @ theirs), rel=digits)


# --- the criterion -------------------------------------------------------------------------------


def groups(seed: int, levels: int, n: int = N) -> IntArray:
    rng = np.random.default_rng(seed)
    return np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)])


def example_factors(kind: str) -> list[glmm.RandomFactor]:
    rng = np.random.default_rng(5)
    one, x = np.ones(N), rng.normal(size=N)
    g, h = groups(1, 15), groups(2, 4)

    def factor(codes: IntArray, *columns: Array, apart: bool = False) -> glmm.RandomFactor:
        q = len(columns)
        blocks = tuple((j,) for j in range(q)) if apart else (tuple(range(q)),)
        return glmm.RandomFactor(codes, int(codes.max()) + 1, np.column_stack(columns), blocks)

    return {
        "intercept": [factor(g, one)],
        "slope": [factor(g, one, x)],
        "slope apart": [factor(g, one, x, apart=True)],
        "three": [factor(g, one, x, x**2)],
        "crossed": [factor(g, one), factor(h, one)],
        "nested": [factor(g // 4, one), factor(g, one)],
        "slopes crossed": [factor(g, one, x), factor(h, one, x), factor(g // 4, x)],
    }[kind]


STRUCTURES = ("intercept", "slope", "slope apart", "three", "crossed", "nested", "slopes crossed")


def example(kind: str, family: Family) -> Problem:
    rng = np.random.default_rng(7)
    X = np.column_stack([np.ones(N), rng.normal(size=N)])
    offset = rng.normal(0.0, 0.2, N)
    return glmm.prepare(X, family, example_factors(kind), offset=offset)[0]


def somewhere(problem: Problem, own: Array) -> Array:
    theta = np.random.default_rng(9).uniform(0.2, 0.8, problem.n_theta)
    return np.concatenate([theta, [-0.3, 0.4], own])


def dense(problem: Problem, psi: Array, u: Array) -> tuple[float, Array]:
    """Laplace with every matrix written out: the criterion and the slope of h at u."""
    L, beta, own = problem.parts(psi)
    columns = np.stack([problem.layout.rows(row) for row in np.eye(problem.layout.size)], axis=-1)
    E = np.einsum("an,ank->nk", L.T @ problem.Z, columns)
    rows = problem.family.rows(problem.Xt.T @ beta + problem.offset + E @ u, own)
    H = np.eye(u.size) + E.T @ (rows.curvature[:, None] * E)
    value = 0.5 * u @ u - rows.log_f.sum() + 0.5 * np.linalg.slogdet(H)[1]
    return float(value), u - E.T @ rows.slope


@pytest.mark.parametrize(("kind", "name"), list(product(STRUCTURES, FAMILIES)))
def test_laplace_is_its_dense_formula(kind: str, name: str) -> None:
    family, own = example_families()[name]
    problem = example(kind, family)
    at = glmm_laplace.evaluate(problem, somewhere(problem, own))
    value, slope = dense(problem, at.psi, at.mode.u)
    assert at.value == pytest.approx(value, rel=CLOSED_FORM)
    close(slope, np.zeros_like(slope), CONVERGED)


def at_nodes(problem: Problem, psi: Array, nodes: int) -> Point:
    if nodes == 1:
        return glmm_laplace.evaluate(problem, psi)
    return glmm_quadrature.evaluate(problem, psi, None, nodes)


def differences(problem: Problem, psi: Array, nodes: int, h: float = 1e-5) -> Array:
    return np.array(
        [
            (at_nodes(problem, psi + d, nodes).value - at_nodes(problem, psi - d, nodes).value)
            / (2 * h)
            for d in h * np.eye(psi.size)
        ]
    )


@pytest.mark.parametrize(("kind", "name"), list(product(STRUCTURES, FAMILIES)))
def test_gradient_by_differences(kind: str, name: str) -> None:
    family, own = example_families()[name]
    problem = example(kind, family)
    psi = somewhere(problem, own)
    close(at_nodes(problem, psi, 1).gradient, differences(problem, psi, 1), HALF_DIGITS)


@pytest.mark.parametrize(
    ("kind", "nodes", "name"),
    [
        *product(("intercept",), (2, 3, 9), FAMILIES),
        *product(("slope",), (2, 5), FAMILIES),
        ("three", 2, "binomial"),
    ],
)
def test_gradient_of_quadrature_by_differences(kind: str, nodes: int, name: str) -> None:
    family, own = example_families()[name]
    problem = example(kind, family)
    psi = somewhere(problem, own)
    close(at_nodes(problem, psi, nodes).gradient, differences(problem, psi, nodes), HALF_DIGITS)


@pytest.mark.parametrize("name", ["binomial", "poisson"])
@pytest.mark.parametrize("theta", [0.7, -0.4, 0.0])
@pytest.mark.parametrize("even", [False, True])
def test_exact_hessian_by_differences(name: str, theta: float, even: bool) -> None:
    family = example_families()[name][0]
    problem = example("intercept", family)
    if even:
        codes = np.repeat(np.arange(15), 8)
        factors = [glmm.RandomFactor(codes, 15, np.ones((N, 1)), ((0,),), "person", ("1",))]
        X = np.column_stack([np.ones(N), np.random.default_rng(3).normal(size=N)])
        problem = glmm.prepare(X, family, factors)[0]
    assert glmm_hessian.offered(problem)
    psi = somewhere(problem, np.empty(0))
    psi[0] = theta
    exact, moved = glmm_hessian.hessian(problem, glmm_laplace.evaluate(problem, psi))
    for j, d in enumerate(1e-5 * np.eye(psi.size)):
        above, below = (glmm_laplace.evaluate(problem, psi + s * d) for s in (1, -1))
        close(exact[j], (above.gradient - below.gradient) / 2e-5, HALF_DIGITS)
        close(moved[j], (above.mode.u - below.mode.u) / 2e-5, HALF_DIGITS)


def test_blocks_of_levels_cover_the_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    family = example_families()["binomial"][0]
    problem = example("intercept", family)
    at = glmm_laplace.evaluate(problem, somewhere(problem, np.empty(0)))
    whole = glmm_hessian.hessian(problem, at)
    monkeypatch.setattr(glmm_hessian, "ROWS", 10)
    for a, b in zip(whole, glmm_hessian.hessian(problem, at), strict=True):
        close(a, b, CLOSED_FORM)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_node_is_laplace(name: str) -> None:
    family, own = example_families()[name]
    problem = example("intercept", family)
    psi = somewhere(problem, own)
    ours, plain = glmm_quadrature.evaluate(problem, psi, None, 1), at_nodes(problem, psi, 1)
    assert ours.value == pytest.approx(plain.value, rel=EXACT)
    close(ours.gradient, plain.gradient, CLOSED_FORM)


@pytest.mark.parametrize("name", FAMILIES)
def test_many_nodes_are_the_integral(name: str) -> None:
    """Every group's integral by scipy's adaptive rule."""
    family, own = example_families()[name]
    problem = example("intercept", family)
    psi = somewhere(problem, own)
    fixed = psi[1:3] @ problem.Xt + problem.offset
    total = 0.0
    for g in range(15):
        rows = np.flatnonzero(problem.layout.codes == g)  # type: ignore[union-attr]
        part = problem.family.take(rows)
        E = psi[0] * problem.Z[0, rows]
        mode = glmm_laplace.evaluate(problem, psi).mode.u[g]

        def height(u: float, rows: IntArray = rows, part: Family = part, E: Array = E) -> float:
            return float(part.log_f(fixed[rows] + E * u, own).sum()) + stats.norm.logpdf(u)

        top = height(mode)
        area = quad(lambda u, f=height, t=top: np.exp(f(u) - t), mode - 9, mode + 9, epsabs=1e-13)
        total -= np.log(area[0]) + top
    assert at_nodes(problem, psi, 25).value == pytest.approx(total, rel=CONVERGED)


@pytest.mark.parametrize("kind", ["slope", "slope apart"])
def test_many_nodes_of_two_effects_are_the_integral(kind: str) -> None:
    """Every group's double integral by the trapezoidal rule, exact to rounding for such curves."""
    family, own = example_families()["binomial"]
    problem = example(kind, family)
    psi = somewhere(problem, own)
    L, beta, _ = problem.parts(psi)
    fixed, E = beta @ problem.Xt + problem.offset, L.T @ problem.Z
    line = np.arange(-8.0, 8.0 + 1e-9, 0.1)
    u, v = (a.ravel() for a in np.meshgrid(line, line))
    total = 0.0
    for g in range(15):
        height = -0.5 * (u**2 + v**2) + np.log(0.01 / (2.0 * np.pi))
        for row in np.flatnonzero(problem.layout.codes == g):  # type: ignore[union-attr]
            eta = fixed[row] + E[0, row] * u + E[1, row] * v
            height += family_row(problem.family, int(row), eta)
        total -= np.log(np.exp(height - height.max()).sum()) + height.max()
    assert at_nodes(problem, psi, 21).value == pytest.approx(total, rel=CONVERGED)


def family_row(family: Family, row: int, eta: Array) -> Array:
    """log f of one row at many predictors."""
    return family.take(np.full(eta.size, row, dtype=np.intp)).log_f(eta, np.empty(0))


# --- the fit -------------------------------------------------------------------------------------


def simulated(
    seed: int, m: int = 60, k: int = 8, sd: float = 0.9
) -> tuple[Array, Array, IntArray, np.random.Generator]:
    """X (n, 2), the true predictor, codes and the generator."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(m), k)
    X = np.column_stack([np.ones(m * k), rng.normal(size=m * k)])
    return X, X @ [0.3, 0.5] + rng.normal(0.0, sd, m)[codes], codes, rng


def drawn(family: str, eta: Array, rng: np.random.Generator) -> Family:
    n = eta.size
    w, trials = np.ones(n), np.full(n, 28.0)
    if family == "binomial":
        return Binomial((rng.random(n) < expit(eta)).astype(float), w, w)
    if family == "poisson":
        return Poisson(rng.poisson(np.exp(eta)).astype(float), w)
    if family == "negative-binomial":  # alpha 0.5
        return NegativeBinomial(rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, n)).astype(float), w)
    if family == "beta-binomial":  # gamma 0.25
        p = rng.beta(4.0 * expit(eta), 4.0 * expit(-eta))
        return BetaBinomial(rng.binomial(28, p).astype(float), trials, w)
    category = np.digitize(eta + rng.logistic(size=n), [-0.5, 1.0])
    return Ordinal(category, w, 3)


def intercepts(codes: IntArray) -> list[glmm.RandomFactor]:
    return [glmm.RandomFactor(codes, int(codes.max()) + 1, np.ones((codes.size, 1)), ((0,),))]


LAWS = ("binomial", "poisson", "negative-binomial", "beta-binomial", "ordinal")


@pytest.mark.parametrize(("law", "nodes"), list(product(LAWS, (1, 9))))
def test_the_fit_is_a_maximum_and_its_errors_are_the_full_hessian(law: str, nodes: int) -> None:
    X, eta, codes, rng = simulated(3)
    columns = X[:, 1:] if law == "ordinal" else X
    fitted = glmm.fit(columns, drawn(law, eta, rng), intercepts(codes), nodes=nodes)
    psi, problem = fitted.point.psi, fitted.problem
    found = at_nodes(problem, psi, nodes)
    H = np.array(
        [
            (
                at_nodes(problem, psi + d, nodes).gradient
                - at_nodes(problem, psi - d, nodes).gradient
            )
            / 2e-4
            for d in 1e-4 * np.eye(psi.size)
        ]
    )
    assert found.gradient @ np.linalg.solve(H, found.gradient) < CLOSED_FORM
    close(fitted.joint @ H, np.eye(psi.size), HALF_DIGITS)


@pytest.mark.parametrize("law", LAWS)
def test_no_variance_is_the_model_without_random_effects(law: str) -> None:
    X, _, codes, rng = simulated(11, sd=0.0)
    rng = np.random.default_rng(11)
    codes = rng.permutation(codes)
    for seed in range(30):  # the first sample whose variance is estimated as zero
        family = drawn(law, X @ [0.3, 0.5], np.random.default_rng(seed))
        fitted = glmm.fit(X[:, 1:] if law == "ordinal" else X, family, intercepts(codes))
        if fitted.singular:
            break
    assert fitted.singular
    assert fitted.psi[0][0, 0] == 0.0
    plain = family.log_f(fitted.eta, fitted.own).sum() + family.constant
    assert fitted.log_likelihood == pytest.approx(plain, rel=EXACT)
    slope = family.steps(fitted.eta, fitted.own)[0]
    close(X[:, 1:].T @ slope, 0.0, CONVERGED * X.shape[0])
    if law in ("binomial", "poisson"):
        information = (X.T * family.steps(fitted.eta, fitted.own)[1]) @ X
        close(fitted.covariance, np.linalg.inv(information), INVARIANCE)


def test_a_pilot_on_some_groups_ends_where_the_cold_start_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, eta, codes, rng = simulated(5, m=2000, k=4)
    family = drawn("binomial", eta, rng)
    piloted = glmm.fit(X, family, intercepts(codes))
    monkeypatch.setattr(glmm_search, "PILOT", 10_000)
    cold = glmm.fit(X, family, intercepts(codes))
    assert piloted.log_likelihood == pytest.approx(cold.log_likelihood, abs=CONVERGED)
    close(piloted.beta, cold.beta, CONVERGED)
    close(piloted.covariance, cold.covariance, CONVERGED)


@pytest.mark.parametrize("kind", ["shuffled", "units", "origin"])
def test_order_units_and_origin_do_not_matter(kind: str) -> None:
    X, eta, codes, rng = simulated(6)
    family = drawn("binomial", eta, rng)
    plain = glmm.fit(X, family, intercepts(codes))
    if kind == "shuffled":
        order = rng.permutation(codes.size)
        other = glmm.fit(X[order], family.take(order), intercepts(codes[order]))
        slope = 1.0
        close(other.eta, plain.eta[order], CONVERGED)
    else:
        slope = 1e6 if kind == "units" else 1.0
        moved = X * [1.0, slope] + [0.0, 0.0 if kind == "units" else 2015.0]
        other = glmm.fit(moved, family, intercepts(codes))
    assert other.log_likelihood == pytest.approx(plain.log_likelihood, abs=CONVERGED)
    assert other.beta[1] * slope == pytest.approx(plain.beta[1], rel=INVARIANCE)
    assert np.sqrt(other.covariance[1, 1]) * slope == pytest.approx(
        np.sqrt(plain.covariance[1, 1]), rel=INVARIANCE
    )


@pytest.mark.parametrize("law", LAWS)
def test_known_truth_is_recovered(law: str) -> None:
    """25 data sets: the mean error of slope and of the sd lies within its Monte Carlo error."""
    slopes, sds = [], []
    for seed in range(25):
        X, eta, codes, rng = simulated(100 + seed, m=60, k=6)
        family = drawn(law, eta, rng)
        columns = X[:, 1:] if law == "ordinal" else X
        fitted = glmm.fit(columns, family, intercepts(codes), nodes=9)
        slopes.append(fitted.beta[-1])
        sds.append(np.sqrt(fitted.psi[0][0, 0]))
    for values, truth, bias in ((slopes, 0.5, 0.01), (sds, 0.9, 0.02)):  # ML: of order 1 / groups
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - truth) < MONTE_CARLO_SES * error + bias


def test_slopes_and_their_correlation_are_recovered() -> None:
    rng = np.random.default_rng(21)
    m, k = 400, 10
    codes = np.repeat(np.arange(m), k)
    x = np.tile(np.linspace(-1, 1, k), m)
    X = np.column_stack([np.ones(m * k), x])
    b = rng.multivariate_normal([0, 0], [[0.6, 0.3], [0.3, 0.5]], m)[codes]
    family = Poisson(
        rng.poisson(np.exp(0.5 + 0.3 * x + (X * b).sum(1))).astype(float), np.ones(m * k)
    )
    fitted = glmm.fit(X, family, [glmm.RandomFactor(codes, m, X, ((0, 1),))])
    close(fitted.psi[0], [[0.6, 0.3], [0.3, 0.5]], 0.15)
    se = np.sqrt(np.diagonal(fitted.effect_variance[0], axis1=1, axis2=2))
    z = (fitted.effects[0] - b[::k]) / se
    assert z.std(0) == pytest.approx(1.0, abs=0.15)


def test_separation_is_found() -> None:
    X, _, codes, rng = simulated(8, m=20)
    y = (X[:, 1] > 0.2).astype(float)
    with pytest.raises(Separation) as caught:
        glmm.fit(X, Binomial(y, np.ones(y.size), np.ones(y.size)), intercepts(codes))
    assert caught.value.direction[1] != 0
    group = (X[:, 1] > 1.0).astype(float)
    counts = rng.poisson(2.0, y.size) * (1.0 - group)
    with pytest.raises(Separation) as caught:
        glmm.fit(
            np.column_stack([X[:, 0], group]), Poisson(counts, np.ones(y.size)), intercepts(codes)
        )
    assert caught.value.direction[1] != 0


def test_a_variance_without_bound_is_refused() -> None:
    """Every group but one answers the same throughout; quadrature sees no maximum."""
    codes = np.repeat(np.arange(30), 6)
    y = (codes % 2).astype(float)
    y[0] = 1.0
    X = np.ones((codes.size, 1))
    family = Binomial(y, np.ones(y.size), np.ones(y.size))
    try:
        fitted = glmm.fit(X, family, intercepts(codes))
    except ConvergenceError:
        return
    assert fitted.psi[0][0, 0] > 10


# --- the population -------------------------------------------------------------------------------


@pytest.mark.parametrize("sd", [0.0, 0.3, 1.0, 4.0])
def test_the_integrated_logistic_mean(sd: float) -> None:
    eta = np.array([-3.0, 0.0, 0.4, 2.0])
    value, slope, bend = mean_over("logit", eta, np.full(4, sd))
    for j, e in enumerate(eta.tolist()):
        theirs = quad(
            lambda t, e=e: expit(e + sd * t) * stats.norm.pdf(t), -12, 12, epsabs=1e-13, limit=500
        )
        assert value[j] == pytest.approx(theirs[0], rel=CLOSED_FORM)
    h = 1e-5
    up, down = (mean_over("logit", eta + d, np.full(4, sd))[0] for d in (h, -h))
    close((up - down) / (2 * h), slope, CONVERGED)
    if sd:
        up, down = (mean_over("logit", eta, np.full(4, np.sqrt(sd**2 + d)))[0] for d in (h, -h))
        close((up - down) / (2 * h), bend / 2, CONVERGED)
