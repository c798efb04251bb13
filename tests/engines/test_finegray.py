"""Fine and Gray's model and Gray's test: brute force, derivatives, what must collapse, cmprsk."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recovery_stats.engines import cox, cox_residual, curves, finegray, finegray_influence
from recovery_stats.engines.finegray_risk import evaluate, prepare
from recovery_stats.engines.gray import gray
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, DERIVATIVE, EXACT, MONTE_CARLO_SES

Array = NDArray[np.float64]


def draw(seed: int, n: int = 70, *, ties: bool = True) -> dict[str, Any]:
    """Two covariates, causes 1 and 2, a third censored; with ties, days from 1 to about 20."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    stop = rng.exponential(6.0 * np.exp(-0.4 * X[:, 0])) + 0.01
    return {
        "X": X,
        "stop": np.ceil(stop) if ties else stop,
        "cause": rng.choice([0, 1, 2], n, p=[0.3, 0.4, 0.3]),
        "weights": rng.uniform(0.5, 2.0, n),
        "offset": rng.normal(size=n) / 3,
        "censoring": rng.integers(0, 2, n),
    }


def censoring_before(data: dict[str, Any], group: int, t: float) -> float:
    """Kaplan-Meier of being censored just before t, as its definition reads."""
    here = data["censoring"] == group
    stop, w = data["stop"][here], data["weights"][here]
    out = 1.0
    for u in np.unique(stop[stop < t]):
        left = w[(stop == u) & (data["cause"][here] == 0)].sum()
        out *= 1 - left / w[stop >= u].sum()
    return out


def brute_weights(data: dict[str, Any]) -> tuple[Array, Array]:
    """Event times (K,) and w_i(t) of every row: (n, K)."""
    stop, cause = data["stop"], data["cause"]
    times = np.unique(stop[cause == 1])
    w = np.zeros((len(stop), len(times)))
    for i, (T, c, g) in enumerate(zip(stop, cause, data["censoring"], strict=True)):
        for k, t in enumerate(times):
            if t <= T:
                w[i, k] = 1.0
            elif c == 2:
                w[i, k] = censoring_before(data, g, t) / censoring_before(data, g, T)
    return times, w


def brute_loglik(data: dict[str, Any], beta: Array) -> float:
    times, w = brute_weights(data)
    eta = data["X"] @ beta + data["offset"]
    total = 0.0
    for k, t in enumerate(times):
        own = (data["stop"] == t) & (data["cause"] == 1)
        at_risk = (data["weights"] * w[:, k]) @ np.exp(eta)
        total += data["weights"][own] @ (eta[own] - np.log(at_risk))
    return float(total)


def fit(data: dict[str, Any], **more: Any) -> finegray.FineGrayFit:
    return finegray.fit(**{**data, **more})


@pytest.mark.parametrize("seed", range(4))
def test_likelihood_and_derivatives_by_brute_force(seed: int) -> None:
    data = draw(seed)
    found = fit(data)
    beta, scale = np.array([0.3, -0.2]), found.problem.scale
    at = evaluate(found.problem, beta * scale)
    assert at is not None
    assert at.loglik == pytest.approx(brute_loglik(data, beta), rel=EXACT)
    step = 1e-5
    for j in range(2):
        e = np.eye(2)[j] * step
        slope = (brute_loglik(data, beta + e) - brute_loglik(data, beta - e)) / (2 * step)
        assert (at.score * scale)[j] == pytest.approx(slope, rel=DERIVATIVE, abs=DERIVATIVE)
        up, down = (evaluate(found.problem, (beta + s * e) * scale) for s in (1, -1))
        assert up is not None
        assert down is not None
        row = -(up.score - down.score) * scale / (2 * step)
        np.testing.assert_allclose(
            (at.information * np.outer(scale, scale))[j], row, atol=DERIVATIVE * len(data["stop"])
        )


def test_score_residuals_by_brute_force() -> None:
    """Both parts of a row's contribution, from explicit weights and sums over u and s."""
    data = draw(5)
    found = fit(data)
    P, at = found.problem, found.last
    times, w = brute_weights(data)
    stop, cause, weight, X = data["stop"], data["cause"], data["weights"], P.X
    step = P.d / at.S0
    expected = np.zeros_like(X)
    for i in range(len(stop)):
        for k, t in enumerate(times):
            event = float(stop[i] == t and cause[i] == 1)
            expected[i] += (X[i] - at.mean[:, k]) * (event - w[i, k] * at.r[i] * step[k])
    for i in range(len(stop)):
        group = data["censoring"] == data["censoring"][i]
        for u in np.unique(stop[group & (stop <= stop[i])]):
            pull = np.zeros(2)
            for j in np.flatnonzero(group & (cause == 2) & (stop < u)):
                for k in np.flatnonzero(times >= u):
                    pull += weight[j] * (X[j] - at.mean[:, k]) * w[j, k] * at.r[j] * step[k]
            at_risk = weight[group & (stop >= u)].sum()
            left = weight[group & (stop == u) & (cause == 0)].sum()
            own = float(stop[i] == u and cause[i] == 0)
            expected[i] += pull / at_risk * (own - left / at_risk)
    residual = finegray_influence.score_residuals(P, at)
    np.testing.assert_allclose(residual, expected, atol=CLOSED_FORM)
    assert weight @ residual == pytest.approx([0, 0], abs=CONVERGED)


def test_influence_is_the_derivative_in_the_weight_of_a_row() -> None:
    """Without ties the residuals are the derivative but for 1/n of the censoring hazard's jumps."""
    n = 400
    data = draw(6, n, ties=False) | {"censoring": np.zeros(n, int), "offset": np.zeros(n)}
    found = fit(data)
    moved = []
    for i in range(0, n, 40):
        weights, step = data["weights"].copy(), 1e-5
        weights[i] += step
        moved.append((fit(data, weights=weights).beta - found.beta) / step * data["weights"][i])
    influence = found.influence / found.problem.scale
    np.testing.assert_allclose(moved, influence[::40], atol=5 / n * np.abs(influence).max())


def test_error_of_the_cumulative_hazard_is_the_jackknife() -> None:
    n = 300
    data = draw(7, n, ties=False) | {
        "censoring": None, "offset": None, "weights": None,
    }  # fmt: skip
    found = fit(data)
    x, times = np.array([[0.5, -0.3]]), np.array([1.0, 4.0, 9.0])
    _, se = finegray.cumulative_hazard(found, x, times)
    left_out = []
    for i in range(n):
        kept = np.arange(n) != i
        some = finegray.fit(data["X"][kept], data["stop"][kept], data["cause"][kept])
        left_out.append(finegray.cumulative_hazard(some, x, times)[0][0])
    spread = np.array(left_out) - np.mean(left_out, axis=0)
    jackknife = np.sqrt((spread**2).sum(axis=0) * (n - 1) / n)
    np.testing.assert_allclose(se[0], jackknife, rtol=10 / n)


def test_error_of_the_hazard_without_covariates_is_greenwoods() -> None:
    # Within a risk set of n with d events the residuals' squares sum to d (n - d) / n^3.
    stop = np.array([1.0, 2, 2, 3, 4, 4, 5, 6])
    problem = prepare(
        np.arange(8.0)[:, None], stop, np.array([1, 1, 0, 0, 1, 1, 1, 0]), 1, None, None, None
    )
    at = evaluate(problem, np.zeros(1))
    assert at is not None
    times = np.array([0.5, 1, 2, 3.5, 4, 9])
    found = finegray_influence.baseline(problem, at, np.zeros((8, 1)), None, times)
    d, n = np.array([1, 1, 2, 1]), np.array([8, 7, 4, 2])
    greenwood = np.concatenate(([0.0], np.cumsum(d * (n - d) / n**3)))[[0, 1, 2, 2, 3, 4]]
    np.testing.assert_allclose(found.variance, greenwood, rtol=EXACT)


@pytest.mark.parametrize("log_hazard", [-800.0, 800.0])
def test_hazards_beyond_the_numbers_have_no_likelihood(log_hazard: float) -> None:
    data = draw(14) | {"offset": np.full(70, log_hazard)}  # exp gives 0, or infinity
    keys = ("X", "stop", "cause")
    problem = prepare(*(data[k] for k in keys), 1, None, data["offset"], None)
    assert evaluate(problem, np.zeros(2)) is None


def test_without_other_causes_it_is_the_cox_model_of_breslow() -> None:
    data = draw(8) | {"censoring": None}
    data["cause"] = np.minimum(data["cause"], 1)
    found = fit(data)
    plain = cox.fit(data["X"], data["stop"], data["cause"], weights=data["weights"],
                    offset=data["offset"], ties="breslow")  # fmt: skip
    np.testing.assert_allclose(found.beta, plain.beta, rtol=CONVERGED)
    np.testing.assert_allclose(
        found.covariance, cox_residual.robust_covariance(plain), rtol=CONVERGED
    )
    pairs = np.arange(70) // 2
    np.testing.assert_allclose(
        fit(data, cluster=pairs).covariance,
        cox_residual.robust_covariance(plain, pairs),
        rtol=CONVERGED,
    )


def test_without_censoring_the_others_outlive_everyone() -> None:
    data = draw(9) | {"censoring": None}
    data["cause"] = np.maximum(data["cause"], 1)
    last = np.where(data["cause"] == 2, data["stop"].max() + 1, data["stop"])
    plain = cox.fit(data["X"], last, data["cause"] == 1, weights=data["weights"],
                    offset=data["offset"], ties="breslow")  # fmt: skip
    found = fit(data)
    np.testing.assert_allclose(found.beta, plain.beta, rtol=CONVERGED)
    np.testing.assert_allclose(
        found.covariance, cox_residual.robust_covariance(plain), rtol=CONVERGED
    )


def test_scale_and_origin_are_of_no_account() -> None:
    data = draw(10)
    unit = np.array([1e4, 1e-5])
    moved = fit(data, X=data["X"] / unit + np.array([3.0, -7.0]))
    np.testing.assert_allclose(moved.beta, fit(data).beta * unit, rtol=CONVERGED)


def test_truth_is_recovered() -> None:
    """Fine and Gray's own design: the subdistribution of cause 1 has the hazard ratio exp(x)."""
    rng = np.random.default_rng(11)
    n, p, beta = 20_000, 0.5, 0.7
    x = rng.integers(0, 2, n).astype(float)
    r = np.exp(beta * x)
    first = rng.random(n) < 1 - (1 - p) ** r
    u = rng.random(n)
    inside = (1 - u * (1 - (1 - p) ** r)) ** (1 / r)
    time = np.where(first, -np.log(1 - (1 - inside) / p), rng.exponential(np.exp(0.3 * x)))
    end = rng.exponential(2.0, n)
    cause = np.where(time > end, 0, np.where(first, 1, 2))
    found = finegray.fit(x[:, None], np.minimum(time, end), cause)
    se = float(np.sqrt(found.covariance[0, 0]))
    assert abs(found.beta[0] - beta) < MONTE_CARLO_SES * se
    H, error = finegray.cumulative_hazard(found, np.array([[0.0]]), np.array([1.0]))
    expected = -np.log(1 - p * (1 - np.exp(-1.0)))
    assert abs(H[0, 0] - expected) < MONTE_CARLO_SES * error[0, 0]


def test_a_cause_without_events_and_a_term_without_variation() -> None:
    data = draw(12)
    with pytest.raises(NotEstimable, match="No event of cause 3"):
        fit(data, of=3)
    with pytest.raises(cox.ColumnsNotEstimable, match="Column 2"):
        fit(data, X=np.column_stack([data["X"][:, 0], np.ones(70)]))


def test_problem_of_one_censoring_group_is_the_default() -> None:
    data = draw(13)
    keys = ("X", "stop", "cause")
    one = prepare(*(data[k] for k in keys), 1, None, None, np.zeros(70, np.int64))
    none = prepare(*(data[k] for k in keys), 1, None, None, None)
    np.testing.assert_array_equal(one.G, none.G)


# --- Gray's test -----------------------------------------------------------------------------


def tables(data: dict[str, Any], group: NDArray[Any]) -> list[curves.LifeTable]:
    return [
        curves.tabulate(data["stop"][group == g], data["cause"][group == g], causes=2)
        for g in range(int(group.max()) + 1)
    ]


def test_one_cause_alone_has_the_scores_of_the_log_rank_test() -> None:
    data = draw(20, 400)
    data["cause"] = np.minimum(data["cause"], 1)
    group = np.arange(400) % 3
    test, plain = gray([tables(data, group)], 1), curves.logrank(data["stop"], data["cause"], group)
    np.testing.assert_allclose(test.score, plain.observed - plain.expected, atol=CLOSED_FORM)
    assert test.df == plain.df == 2


def test_the_order_of_groups_is_of_no_account() -> None:
    data = draw(21, 200)
    group = np.arange(200) % 3
    found = [
        gray([[tables(data, group)[g] for g in p]], 2, rho=0.5) for p in permutations(range(3))
    ]
    for other in found[1:]:
        assert other.statistic == pytest.approx(found[0].statistic, rel=CLOSED_FORM)
    np.testing.assert_allclose(found[0].variance.sum(axis=0), 0, atol=CLOSED_FORM)
    assert found[0].score.sum() == pytest.approx(0, abs=CLOSED_FORM)


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_gray_keeps_its_level_and_the_variance_of_its_scores(rho: float) -> None:
    """1,000 samples of two equal groups with different censoring; 5 % are rejected."""
    rng = np.random.default_rng(22)
    statistics, ratio = [], []
    for _ in range(1000):
        time, cause = rng.exponential(1.0, 120), rng.integers(1, 3, 120)
        group = np.arange(120) % 2
        end = rng.exponential(np.where(group == 1, 1.0, 4.0))
        data = {"stop": np.minimum(time, end), "cause": np.where(time > end, 0, cause)}
        test = gray([tables(data, group)], 1, rho=rho)
        statistics.append(test.p < 0.05)
        ratio.append((test.score[0] ** 2, test.variance[0, 0]))
    slack = MONTE_CARLO_SES * np.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(statistics) == pytest.approx(0.05, abs=slack)
    observed, expected = np.mean(ratio, axis=0)
    assert observed / expected == pytest.approx(1, abs=MONTE_CARLO_SES * np.sqrt(2 / 1000))


def test_gray_refuses_what_it_was_not_made_for() -> None:
    data = draw(23)
    group = np.arange(70) % 2
    with pytest.raises(NotEstimable, match="at least two groups"):
        gray([tables(data, group)[:1]], 1)
    late = curves.tabulate(data["stop"], data["cause"], start=data["stop"] - 0.5, causes=2)
    with pytest.raises(NotEstimable, match="from the start"):
        gray([[late, late]], 1)
