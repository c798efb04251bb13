"""Shared frailty: the marginal likelihood written out, derivatives, what must collapse, R."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln

from recovery_stats.engines import cox, frailty
from recovery_stats.engines.cox_likelihood import prepare
from recovery_stats.errors import NotEstimable
from tests.tolerance import (
    CLOSED_FORM,
    CONVERGED,
    DERIVATIVE,
    HALF_DIGITS,
    MONTE_CARLO_SES,
    R_DIGITS,
)

Array = NDArray[np.float64]
STORED = json.loads(Path(__file__).with_name("frailty.json").read_text(encoding="utf-8"))


def draw(seed: int, n: int = 120, groups: int = 12, *, entry: bool = False) -> dict[str, Any]:
    """Rows in groups with a gamma frailty of variance 0.5; whole days, so tied."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % groups
    X = rng.normal(size=(n, 2))
    u = rng.gamma(2.0, 0.5, groups)[group]
    stop = np.ceil(rng.exponential(10 / u * np.exp(-0.5 * X[:, 0]))) + 1
    start = np.floor(stop * rng.random(n) * 0.8) if entry else None
    more = {"start": start, "strata": rng.integers(0, 2, n)} if entry else {}
    return {
        "X": X,
        "stop": stop,
        "event": (rng.random(n) < 0.7).astype(int),
        "group": group,
        "weights": rng.integers(1, 3, n).astype(float),
        **more,
    }


def share(data: dict[str, Any], law: frailty.Law, ties: Any = "efron") -> frailty.Shared:
    keys = ("X", "stop", "event", "start", "strata", "weights", "offset")
    problem = prepare(*(data.get(k) for k in keys), ties)  # type: ignore[arg-type]
    return frailty.Shared.of(problem, law, data["group"])


LAWS: tuple[frailty.Law, ...] = ("gamma", "gaussian")


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("entry", [False, True])
def test_derivatives(law: frailty.Law, entry: bool) -> None:
    shared = share(draw(1, entry=entry), law)
    rng = np.random.default_rng(2)
    at = rng.normal(size=shared.p + shared.J) / 3
    here = frailty.evaluate(shared, 0.4, at)
    assert here is not None
    step = 1e-5
    for j in range(len(at)):
        e = np.eye(len(at))[j] * step
        up, down = (frailty.evaluate(shared, 0.4, at + s * e) for s in (1, -1))
        assert up is not None
        assert down is not None
        slope = (up.loglik - down.loglik) / (2 * step)
        assert here.score[j] == pytest.approx(slope, rel=DERIVATIVE, abs=HALF_DIGITS)
        row = -(up.score - down.score) / (2 * step)
        np.testing.assert_allclose(here.information[j], row, atol=HALF_DIGITS)


def test_sums_by_tree_are_those_by_subtraction() -> None:
    shared = share(draw(3, entry=True), "gamma")
    at = np.zeros(shared.p + shared.J)
    here = frailty.evaluate(shared, 1.0, at)
    assert here is not None
    z = here.moments.hazard
    tree = frailty._groups_at_risk(shared, frailty.replace(z, by_tree=True))
    np.testing.assert_allclose(tree[0], frailty._groups_at_risk(shared, z)[0], atol=CLOSED_FORM)


def marginal(data: dict[str, Any], theta: float, beta: Array, log_jump: Array) -> float:
    """Log-likelihood of a gamma frailty with hazard jumps at the event times, integrated."""
    X, stop, event, w = data["X"], data["stop"], data["event"], data["weights"]
    times = np.unique(stop[event == 1])
    hazard = np.exp(X @ beta)
    total = (
        w[event == 1] @ (X @ beta + log_jump[np.searchsorted(times, stop) % len(times)])[event == 1]
    )
    cumulative = (np.exp(log_jump)[None] * (times[None] <= stop[:, None])).sum(axis=1)
    nu = 1 / theta
    for j in np.unique(data["group"]):
        here = data["group"] == j
        d, H = (w * event)[here].sum(), (w * hazard * cumulative)[here].sum()
        total += gammaln(nu + d) - gammaln(nu) + nu * np.log(nu) - (nu + d) * np.log(nu + H)
    return float(total)


def test_the_gamma_is_integrated_out_in_closed_form() -> None:
    """The profile is the marginal likelihood at its maximum over beta and the hazard's jumps."""
    data = draw(4, 60, 8)
    shared = share(data, "gamma", "breslow")
    theta = 0.7
    top = frailty.Profiler(shared)(theta)
    z, problem = top.point.moments.hazard, shared.problem
    beta = top.at[:2] / problem.scale
    jump = np.log(z.h * np.exp(-z.shift)) - problem.centre @ beta
    D = problem.risk.deaths.sum(problem.weight[problem.risk.died])
    best = marginal(data, theta, beta, jump)
    # a partial likelihood leaves out what the jumps D/S0 put in: Σ D log D - D
    assert top.loglik == pytest.approx(best - D @ np.log(D) + D.sum(), rel=CLOSED_FORM)
    step = 1e-5
    for j in range(2 + len(jump)):
        e = np.zeros(2 + len(jump))
        e[j] = step
        up, down = (marginal(data, theta, beta + s * e[:2], jump + s * e[2:]) for s in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(0, abs=HALF_DIGITS)


def test_laplace_is_its_definition() -> None:
    shared = share(draw(5), "gaussian")
    top = frailty.Profiler(shared)(0.6)
    p, J = shared.p, shared.J
    omega = top.at[p:]
    density = -omega @ omega / 1.2 - J * np.log(2 * np.pi * 0.6) / 2
    curvature = top.point.information[p:, p:]
    laplace = top.point.partial + density + J * np.log(2 * np.pi) / 2
    laplace -= np.linalg.slogdet(curvature)[1] / 2
    assert top.loglik == pytest.approx(laplace, rel=CLOSED_FORM)


def test_slope_is_the_derivative_of_the_profile() -> None:
    shared = share(draw(6), "gamma")
    profile = frailty.Profiler(shared)
    for theta in (0.05, 0.5, 3.0):
        step = 1e-4
        up, down = (profile(theta * np.exp(s)).loglik for s in (step, -step))
        first, second = frailty.slope(shared, profile(theta))
        assert first == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=HALF_DIGITS)
        up, down = (frailty.slope(shared, profile(theta * np.exp(s)))[0] for s in (step, -step))
        assert second == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=HALF_DIGITS)


@pytest.mark.parametrize("law", LAWS)
def test_theta_0_is_the_model_without_and_its_slope_is_known(law: frailty.Law) -> None:
    data = draw(7)
    plain = cox.fit(**{k: v for k, v in data.items() if k != "group"})
    shared = share(data, law)
    profile = frailty.Profiler(shared)
    assert plain.moments is not None
    slope = frailty.slope_at_zero(shared, plain.moments)
    for theta in (1e-5, 1e-4):
        gain = profile(theta).loglik - plain.loglik
        assert gain / theta == pytest.approx(slope, rel=100 * theta)


@pytest.mark.parametrize("name", ["kidney", "rats"])
def test_gamma_frailty_of_r(name: str) -> None:
    r = STORED[name]
    data = r["data"]
    columns = [c for c in data[0] if c not in ("time", "status")]
    X = np.array([[row[c] for c in columns] for row in data], float)
    stop, event = (np.array([row[c] for row in data], float) for c in ("time", "status"))
    group = np.unique(r["group"], return_inverse=True)[1]
    fit = frailty.fit(X, stop, event, group)
    assert fit.theta == pytest.approx(r["theta"], rel=R_DIGITS)
    assert fit.cox.loglik == pytest.approx(r["loglik"], rel=CLOSED_FORM)
    np.testing.assert_allclose(fit.cox.beta, np.atleast_1d(r["beta"]), rtol=R_DIGITS)
    np.testing.assert_allclose(fit.covariance_fixed, r["var"], rtol=R_DIGITS)
    np.testing.assert_allclose(fit.omega, r["omega"], atol=R_DIGITS)


@pytest.mark.parametrize("law", LAWS)
def test_errors_count_that_theta_is_estimated(law: frailty.Law) -> None:
    """Inverse of the Hessian of the profile likelihood in beta and log theta, by differences."""
    data = draw(8, 200, 20)
    fit = frailty.fit(**data, law=law)
    at = np.append(fit.cox.beta, np.log(fit.theta))

    def profile(place: Array) -> Any:
        moved = data | {"X": np.zeros((200, 0)), "offset": data["X"] @ place[:2]}
        return frailty.Profiler(share(moved, law))(float(np.exp(place[2])))

    step, H = 1e-3, np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            a, b = np.eye(3)[i] * step, np.eye(3)[j] * step
            signs = ((a + b, 1), (a - b, -1), (b - a, -1), (-a - b, 1))
            H[i, j] = sum(s * profile(at + m).loglik for m, s in signs) / (4 * step**2)
    expected = np.linalg.inv(-H)
    # Laplace's beta maximises the penalised likelihood, which the determinant moves a little
    slack = HALF_DIGITS if law == "gamma" else 0.02
    np.testing.assert_allclose(fit.cox.covariance, expected[:2, :2], rtol=slack, atol=slack / 100)
    assert fit.log_theta_se == pytest.approx(np.sqrt(expected[2, 2]), rel=max(slack, 1e-4))


@pytest.mark.parametrize("law", LAWS)
def test_truth_is_recovered(law: frailty.Law) -> None:
    rng = np.random.default_rng(9)
    n, J, theta = 4000, 100, 0.5
    group, x = np.arange(n) % J, rng.normal(size=n)
    omega = (
        np.log(rng.gamma(1 / theta, theta, J))
        if law == "gamma"
        else rng.normal(0, np.sqrt(theta), J)
    )
    time = np.ceil(100 * rng.exponential(np.exp(-0.7 * x - omega[group])))
    end = rng.integers(1, 300, n)
    fit = frailty.fit(x[:, None], np.minimum(time, end), time <= end, group, law=law)
    assert abs(np.log(fit.theta / theta)) < MONTE_CARLO_SES * fit.log_theta_se
    se = np.sqrt(fit.cox.covariance[0, 0])
    assert abs(fit.cox.beta[0] - 0.7) < MONTE_CARLO_SES * se
    low, high = frailty.limits(fit)
    assert low < fit.theta < high
    z = np.log([low, high]) - np.log(fit.theta)
    np.testing.assert_allclose(np.abs(z), 1.96 * fit.log_theta_se, rtol=0.05)


@pytest.mark.parametrize("law", LAWS)
def test_groups_alike_have_no_frailty(law: frailty.Law) -> None:
    """The same rows in every group: the variance is 0 and the model the one without."""
    one = draw(10, 20, 1)
    data = {k: np.concatenate([v] * 4) for k, v in one.items()} | {"group": np.repeat(range(4), 20)}
    fit = frailty.fit(**data, law=law)
    assert (fit.theta, fit.omega.tolist()) == (0.0, [0.0] * 4)
    plain = cox.fit(**{k: v for k, v in data.items() if k != "group"})
    np.testing.assert_allclose(fit.cox.covariance, plain.covariance, rtol=CONVERGED)
    assert frailty.limits(fit)[0] == 0


def test_what_has_no_frailty() -> None:
    data = draw(11)
    with pytest.raises(NotEstimable, match="two groups"):
        frailty.fit(**data | {"group": np.zeros(120, int)})
    with pytest.raises(NotEstimable, match="exact ties"):
        frailty.fit(**data | {"weights": None, "event": data["event"] * (data["stop"] > 9)},
                    ties="exact")  # fmt: skip


@pytest.mark.parametrize("sparse", [True, False])
def test_reml_solves_its_equation(sparse: bool) -> None:
    data = draw(14)
    fit = frailty.fit(**data, law="gaussian", reml=True, sparse=sparse)
    at = np.concatenate([fit.cox.scaled_beta, fit.omega])
    point = frailty.evaluate(fit.shared, fit.theta, at)
    assert point is not None
    information = point.information.copy()
    if sparse:
        information[2:, 2:] = np.diag(np.diag(information)[2:])
    inverse = np.linalg.inv(information)
    right = (fit.omega @ fit.omega + np.trace(inverse[2:, 2:])) / len(fit.omega)
    assert fit.theta == pytest.approx(right, rel=1e-6)
    low, high = frailty.limits(fit)
    assert np.sqrt(low * high) == pytest.approx(fit.theta)


def test_reml_of_r() -> None:
    """coxph(Surv(time, status) ~ age + sex + frailty(id, distribution = "gauss", sparse = FALSE,
    eps = 1e-9), kidney, control = coxph.control(eps = 1e-11, outer.max = 300, iter.max = 200))"""
    rows = [[row[c] for c in ("time", "status", "age", "sex")] for row in STORED["kidney"]["data"]]
    time, status, *X = np.array(rows, float).T
    group = np.unique(STORED["kidney"]["group"], return_inverse=True)[1]
    fit = frailty.fit(np.stack(X, 1), time, status, group, law="gaussian", reml=True)
    assert fit.theta == pytest.approx(0.592640530255, rel=1e-7)
    assert fit.cox.beta.tolist() == pytest.approx([0.0047950318101, -1.4212323876718], rel=1e-7)
