"""Nested frailty: integration by brute force, models it collapses to, recovery of the truth."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from recovery_stats.cli.selftest.question import table
from recovery_stats.engines import frailty, frailty_nested
from recovery_stats.engines.cox_likelihood import prepare
from recovery_stats.engines.frailty_nested import Nesting, Profiler
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, HALF_DIGITS, MONTE_CARLO_SES


def draw(seed: int, sites: int, houses: int, people: int, t: tuple[float, float]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    n = sites * houses * people
    site, house = np.arange(n) // (houses * people), np.arange(n) // people
    x = rng.normal(size=n)
    omega = rng.normal(0, np.sqrt(t[0]), sites)[site]
    omega = omega + rng.normal(0, np.sqrt(t[1]), sites * houses)[house]
    time, end = rng.exponential(np.exp(-0.5 * x - omega)), rng.exponential(2.0, n)
    return {
        "X": x[:, None],
        "stop": np.minimum(time, end),
        "event": (time <= end).astype(int),
        "house": house,
        "site": site,
    }


def profiler(data: dict[str, Any]) -> Profiler:
    problem = prepare(data["X"], data["stop"], data["event"], None, None, None, None, "efron")
    shared = frailty.Shared.of(problem, "gaussian", data["house"])
    return Profiler(shared, Nesting.of(data["house"], data["site"]))


def test_the_root_is_a_root() -> None:
    nesting = Nesting.of(np.array([0, 1, 2, 3, 4]), np.array([0, 0, 0, 1, 1]))
    for t in ([0.3, 0.2], [0.3, 0.0], [0.0, 0.2]):
        L = nesting.root(np.array(t))
        same = nesting.site[:, None] == nesting.site
        assert pytest.approx(t[0] * same + t[1] * np.eye(5), abs=CLOSED_FORM) == L @ L
        omega = L @ np.arange(5.0)
        V = L @ L + 1e-12 * np.eye(5)
        prior = t[0] * (np.arange(2)[:, None] == nesting.site)
        expected = prior @ np.linalg.solve(V, omega)
        assert nesting.sites(np.array(t)) @ omega == pytest.approx(expected, abs=1e-6)


def integrate(data: dict[str, Any], beta: Any, t: Any, nodes: int) -> float:
    """log ∫ exp(partial likelihood) over two sites and four houses, node by node; no ties."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    order = np.argsort(-data["stop"])
    xb, event = (data["X"] @ beta)[order], data["event"][order]
    house, site = data["house"][order], data["site"][order]
    total = []
    for part in np.array_split(np.array(list(product(range(nodes), repeat=6))), 20):
        effects = z[part]
        eta = xb + np.sqrt(t[0]) * effects[:, site] + np.sqrt(t[1]) * effects[:, 2:][:, house]
        loglik = ((eta - np.logaddexp.accumulate(eta, axis=1)) * event).sum(axis=1)
        total.append(logsumexp(loglik + np.log(w[part] / w.sum()).sum(axis=1)))
    return float(logsumexp(total))


def test_laplace_comes_near_the_integral_and_nearer_with_less_variance() -> None:
    """The error of Laplace's approximation vanishes faster than the variances do."""
    data, gaps = draw(5, 2, 2, 12, (0.2, 0.1)), []
    found = profiler(data)
    for t in ((0.2, 0.1), (0.05, 0.025)):
        top = found(np.array(t))
        beta = top.at[:1] / found.shared.problem.scale
        gaps.append(abs(top.loglik - integrate(data, beta, t, 5)))
    assert gaps[0] < 0.02
    assert gaps[1] < gaps[0] / 3


def test_laplace_is_its_definition() -> None:
    """Minus half the log-determinant of the numeric second derivatives in (a, b), sites apart."""
    data = draw(6, 2, 2, 12, (0.3, 0.2))
    t = np.array([0.3, 0.2])
    found = profiler(data)
    top = found(t)
    shared, p = found.shared, 1
    beta, omega = top.at[:p], top.root @ top.at[p:]
    A = np.zeros((4, 6))
    A[np.arange(4), found.nesting.site] = np.sqrt(t[0])
    A[:, 2:] = np.sqrt(t[1]) * np.eye(4)

    def penalised(z: Any) -> float:
        inside = frailty.curvature(shared, beta, A @ z)
        assert inside is not None
        return float(inside[0].loglik - z @ z / 2)

    z = A.T @ np.linalg.solve(A @ A.T, omega)
    h, E = 1e-3, np.eye(6)
    H = np.empty((6, 6))
    for i, j in product(range(6), repeat=2):
        steps = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        H[i, j] = -sum(
            a * b * penalised(z + h * (a * E[i] + b * E[j])) for a, b in steps
        ) / (4 * h**2)  # fmt: skip
    expected = penalised(z) - np.linalg.slogdet(H)[1] / 2
    assert top.loglik == pytest.approx(expected, abs=HALF_DIGITS)


def test_with_one_variance_it_is_shared_frailty() -> None:
    data = draw(7, 6, 3, 15, (0.3, 0.2))
    found = profiler(data)
    keys = {k: v for k, v in data.items() if k not in ("house", "site")}
    for code, t in (("house", lambda v: [0.0, v]), ("site", lambda v: [v, 0.0])):
        alone = frailty.fit(**keys, group=data[code], law="gaussian")
        both = found(np.array(t(alone.theta)))
        assert both.loglik == pytest.approx(alone.cox.loglik, abs=CONVERGED)
        scaled = both.at[:1] / found.shared.problem.scale
        assert scaled == pytest.approx(alone.cox.beta, rel=1e-6)


def test_no_variation_between_sites_leaves_the_houses() -> None:
    """Every site holds the same houses: the variance of sites is 0."""
    one = draw(8, 1, 4, 12, (0.0, 0.5))
    data = {k: np.concatenate([v] * 4) for k, v in one.items()}
    data["site"] = np.repeat(np.arange(4), len(one["stop"]))
    data["house"] = np.concatenate([one["house"] + 4 * s for s in range(4)])
    fit = frailty_nested.fit(**data)
    assert fit.variance[0] == 0
    assert fit.variance[1] > 0.05
    assert np.isnan(fit.log_se[0])
    assert fit.site.tolist() == [0.0] * 4
    assert fit.cox.loglik == pytest.approx(fit.loglik_houses, abs=CONVERGED)


def test_truth_is_recovered() -> None:
    truth = np.array([0.36, 0.16])
    data = draw(9, 30, 4, 15, (0.36, 0.16))
    fit = frailty_nested.fit(**data)
    assert np.all(np.abs(np.log(fit.variance / truth)) < MONTE_CARLO_SES * fit.log_se)
    se = np.sqrt(fit.cox.covariance[0, 0])
    assert abs(fit.cox.beta[0] - 0.5) < MONTE_CARLO_SES * se
    assert fit.cox.loglik > max(fit.loglik_sites, fit.loglik_houses) > fit.loglik_without
    assert fit.cox.problem.offset == pytest.approx(
        (fit.house + fit.site[Nesting.of(data["house"], data["site"]).site])[
            data["house"][fit.cox.problem.risk.order]
        ]
    )


def test_what_has_no_nesting() -> None:
    data = draw(10, 4, 1, 10, (0.3, 0.1))
    with pytest.raises(NotEstimable, match="two houses"):
        frailty_nested.fit(**data)


def test_a_variance_that_fades_with_its_slope_is_none() -> None:
    """Slope and curvature in log t fall together; the steps are not to shrink with them."""
    people = table("people")
    X = np.column_stack([people["x"], people["arm"] == "usual"]).astype(float)
    house = np.unique(people["house"], return_inverse=True)[1]
    event = (people["cause"] == 1).to_numpy(int)
    fit = frailty_nested.fit(X, people["days"].to_numpy(float), event, house, house // 2)
    assert fit.variance[0] == 0
    assert fit.cox.loglik == pytest.approx(fit.loglik_houses, abs=CONVERGED)
