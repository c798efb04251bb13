"""The Cox engine: on paper, by brute force, by derivatives, and where it must refuse."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recovery_stats.engines import concordance as concordance_engine
from recovery_stats.engines import cox, cox_exact, cox_likelihood, cox_residual, risk_set
from recovery_stats.errors import NotEstimable
from tests.tolerance import (
    CLOSED_FORM,
    CONVERGED,
    DERIVATIVE,
    EXACT,
    HALF_DIGITS,
    INVARIANCE,
    MONTE_CARLO_SES,
)

Array = NDArray[np.float64]

# Therneau & Grambsch 2000, appendix E.1: six people, one tied pair of events
TIME = np.array([1.0, 1, 6, 6, 8, 9])
EVENT = np.array([1, 0, 1, 1, 0, 1])
X = np.array([[1.0], [1], [1], [0], [0], [0]])


def draw(
    seed: int, n: int = 60, p: int = 2, *, ties: bool = True, entry: bool = False
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    stop = rng.exponential(8.0, n) + 0.01
    start = np.zeros(n)
    if ties:
        stop = np.ceil(stop)
    if entry:
        start = np.maximum(stop - rng.integers(1, 7, n), 0) if ties else stop * rng.random(n)
    return {
        "X": rng.normal(size=(n, p)),
        "stop": stop,
        "event": (rng.random(n) < 0.7).astype(int),
        "start": start if entry else None,
        "strata": rng.integers(0, 3, n),
        "weights": rng.uniform(0.5, 2.0, n),
        "offset": rng.normal(size=n) / 2,
    }


def brute_loglik(data: dict[str, Any], beta: Array, ties: str) -> float:
    """The partial likelihood as its definition reads."""
    X, stop, event = data["X"], data["stop"], data["event"]
    n = len(stop)
    start = np.full(n, -np.inf) if data.get("start") is None else data["start"]
    strata = np.zeros(n, int) if data.get("strata") is None else data["strata"]
    w = np.ones(n) if data.get("weights") is None else data["weights"]
    eta = X @ beta + (0 if data.get("offset") is None else data["offset"])
    total = 0.0
    for s in np.unique(strata):
        for t in np.unique(stop[(strata == s) & (event == 1)]):
            at_risk = (strata == s) & (start < t) & (stop >= t)
            died = at_risk & (stop == t) & (event == 1)
            d = int(died.sum())
            if ties == "exact":
                sums = [eta[list(c)].sum() for c in combinations(np.flatnonzero(at_risk), d)]
                total += eta[died].sum() - np.log(np.sum(np.exp(sums)))
                continue
            r = w * np.exp(eta)
            total += w[died] @ eta[died]
            for j in range(d):
                share = j / d if ties == "efron" else 0.0
                total -= w[died].mean() * np.log(r[at_risk].sum() - share * r[died].sum())
    return float(total)


def gradient(data: dict[str, Any], beta: Array, ties: str) -> Array:
    step = 1e-6
    unit = np.eye(len(beta)) * step
    return np.array(
        [
            (brute_loglik(data, beta + u, ties) - brute_loglik(data, beta - u, ties)) / (2 * step)
            for u in unit
        ]
    )


def evaluate(data: dict[str, Any], beta: Array, ties: str) -> tuple[float, Array, Array]:
    """Log-likelihood, score and information of the engine on the caller's scale."""
    keys = ("X", "stop", "event", "start", "strata", "weights", "offset")
    problem = cox_likelihood.prepare(*(data.get(k) for k in keys), ties)  # type: ignore[arg-type]
    at = cox_exact.evaluate_exact if ties == "exact" else cox_likelihood.evaluate_moments
    point = at(problem, beta * problem.scale)
    assert point is not None
    s = problem.scale
    return point.loglik, point.score * s, point.information * np.outer(s, s)


# --- on paper --------------------------------------------------------------------------------


def test_breslow_of_appendix_e1() -> None:
    fit = cox.fit(X, TIME, EVENT, ties="breslow")
    r = (3 + np.sqrt(33)) / 2
    assert fit.beta[0] == pytest.approx(np.log(r), rel=CLOSED_FORM)
    loglik = 2 * np.log(r) - np.log(3 * r + 3) - 2 * np.log(r + 3)
    assert fit.loglik == pytest.approx(loglik, rel=CLOSED_FORM)
    assert fit.loglik_null == pytest.approx(-np.log(6) - 2 * np.log(4), rel=CLOSED_FORM)
    information = r / (r + 1) ** 2 + 6 * r / (r + 3) ** 2
    assert fit.covariance[0, 0] == pytest.approx(1 / information, rel=CLOSED_FORM)


def test_efron_of_appendix_e1() -> None:
    fit = cox.fit(X, TIME, EVENT)
    r = max(np.roots([1, 0, -23, -30]).real)
    assert fit.beta[0] == pytest.approx(np.log(r), rel=CLOSED_FORM)
    information = r / (r + 1) ** 2 + 3 * r / (r + 3) ** 2 + 5 * r / (r + 5) ** 2
    assert fit.covariance[0, 0] == pytest.approx(1 / information, rel=CLOSED_FORM)
    null_score, null_information = 52 / 48, 1 / 4 + 3 / 16 + 5 / 36
    assert fit.score_statistic == pytest.approx(null_score**2 / null_information, rel=CLOSED_FORM)


def test_martingale_residuals_of_appendix_e1() -> None:
    fit = cox.fit(X, TIME, EVENT, ties="breslow")
    r = np.exp(fit.beta[0])
    first, second = 1 / (3 * r + 3), 2 / (r + 3)
    expected = np.array([r * first, r * first, r * (first + second), first + second,
                         first + second, first + second + 1])  # fmt: skip
    np.testing.assert_allclose(cox_residual.martingale(fit), EVENT - expected, atol=CLOSED_FORM)
    fit = cox.fit(X, TIME, EVENT)
    r = np.exp(fit.beta[0])
    whole, half = 1 / (r + 3), 1 / ((r + 5) / 2)
    first = 1 / (3 * r + 3)
    tied = whole + half / 2
    expected = np.array([r * first, r * first, r * (first + tied), first + tied,
                         first + whole + half, first + whole + half + 1])  # fmt: skip
    np.testing.assert_allclose(cox_residual.martingale(fit), EVENT - expected, atol=CLOSED_FORM)


def test_schoenfeld_residuals_of_appendix_e1() -> None:
    fit = cox.fit(X, TIME, EVENT)
    r = np.exp(fit.beta[0])
    mean = (r / (r + 3) + r / (r + 5)) / 2
    residual, rows, time = cox_residual.schoenfeld(fit)
    assert rows.tolist() == [0, 2, 3, 5]
    assert time.tolist() == [1, 6, 6, 9]
    expected = [1 - r / (r + 1), 1 - mean, -mean, 0]
    np.testing.assert_allclose(residual[:, 0], expected, atol=CLOSED_FORM)


def test_a_model_without_terms_has_the_nelson_aalen_hazard() -> None:
    fit = cox.fit(np.zeros((6, 0)), TIME, EVENT, ties="breslow")
    hazard = cox_residual.baseline(fit).hazard
    np.testing.assert_allclose(hazard, [1 / 6, 2 / 4, 1], rtol=EXACT)
    assert fit.loglik == fit.loglik_null


# --- brute force -----------------------------------------------------------------------------


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("entry", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kept", [(), ("strata",), ("weights",), ("strata", "weights", "offset")])
def test_likelihood_by_definition(
    ties: str, entry: bool, tied: bool, kept: tuple[str, ...]
) -> None:
    data = draw(3, ties=tied, entry=entry)
    for name in ("strata", "weights", "offset"):
        data[name] = data[name] if name in kept else None
    for beta in (np.zeros(2), np.array([0.7, -0.4])):
        loglik, score, _ = evaluate(data, beta, ties)
        assert loglik == pytest.approx(brute_loglik(data, beta, ties), rel=CLOSED_FORM)
        np.testing.assert_allclose(
            score, gradient(data, beta, ties), rtol=HALF_DIGITS, atol=HALF_DIGITS
        )


@pytest.mark.parametrize("entry", [False, True])
def test_exact_likelihood_over_all_subsets(entry: bool) -> None:
    data = draw(5, n=14, entry=entry) | {"weights": None}
    data["stop"] = np.minimum(data["stop"], 6)
    if entry:
        data["start"] = np.minimum(data["start"], 4)
    beta = np.array([0.5, -1.0])
    loglik, score, _ = evaluate(data, beta, "exact")
    assert loglik == pytest.approx(brute_loglik(data, beta, "exact"), rel=CLOSED_FORM)
    np.testing.assert_allclose(
        score, gradient(data, beta, "exact"), rtol=HALF_DIGITS, atol=HALF_DIGITS
    )


def test_a_coefficient_that_runs_away_is_refused_without_a_warning() -> None:
    refused = 0
    for seed in range(340, 400):
        rng = np.random.default_rng(seed)
        X, stop = rng.normal(size=(9, 3)), rng.integers(1, 7, 9).astype(float)
        event = (rng.random(9) < 0.7).astype(int)
        for ties in ("efron", "breslow", "exact"):
            try:
                cox.fit(X, stop, event, ties=ties)
            except NotEstimable:
                refused += 1
    assert refused >= 5


@pytest.mark.parametrize("spread", [5.0, 50.0])
def test_exact_sums_keep_their_digits_when_some_rows_are_sure_to_be_chosen(spread: float) -> None:
    rng = np.random.default_rng(3)
    eta, X, d = np.linspace(-spread, spread, 9), rng.normal(size=(9, 2)), 4
    chosen = [list(c) for c in combinations(range(9), d)]
    log_each = np.array([eta[c].sum() for c in chosen])
    share = np.exp(log_each - log_each.max())
    log_e = log_each.max() + np.log(share.sum())
    sums = np.array([X[c].sum(axis=0) for c in chosen])
    mean = share @ sums / share.sum()
    variance = ((sums - mean).T * share) @ (sums - mean) / share.sum()
    found = cox_exact.sum_given_count(X, eta, d)
    assert found[0] == pytest.approx(log_e, rel=EXACT)
    np.testing.assert_allclose(found[1], mean, rtol=CLOSED_FORM)
    np.testing.assert_allclose(found[2], variance, rtol=CLOSED_FORM, atol=EXACT)


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_information_is_minus_the_derivative_of_the_score(ties: str) -> None:
    data = draw(7, n=40, p=3, entry=True)
    if ties == "exact":
        data["weights"] = None
    beta, step = np.array([0.3, -0.2, 0.5]), 1e-6
    _, _, information = evaluate(data, beta, ties)
    numeric = np.column_stack(
        [
            (evaluate(data, beta - u, ties)[1] - evaluate(data, beta + u, ties)[1]) / (2 * step)
            for u in np.eye(3) * step
        ]
    )
    np.testing.assert_allclose(information, numeric, rtol=DERIVATIVE, atol=DERIVATIVE)


def test_score_residuals_add_up_and_predict_what_leaving_a_row_out_does() -> None:
    data = draw(11, n=200, entry=True)
    fit = cox.fit(**data)
    residual = cox_residual.score(fit)
    np.testing.assert_allclose(data["weights"] @ residual, 0, atol=CONVERGED)
    martingale = cox_residual.martingale(fit)
    assert data["weights"] @ martingale == pytest.approx(0, abs=CLOSED_FORM)
    # dfbeta is the derivative of beta in a row's weight, times the weight
    row, step = int(np.argmax(np.abs(cox_residual.dfbeta(fit)[:, 0]))), 1e-5
    moved = []
    for sign in (1, -1):
        weights = data["weights"].copy()
        weights[row] *= 1 + sign * step
        moved.append(cox.fit(**(data | {"weights": weights}), ties="breslow").beta)
    derivative = (moved[0] - moved[1]) / (2 * step)
    breslow = cox.fit(**data, ties="breslow")
    np.testing.assert_allclose(cox_residual.dfbeta(breslow)[row], derivative, rtol=HALF_DIGITS)


def test_robust_errors_of_doubled_rows_are_those_of_the_rows() -> None:
    data = draw(13, n=80) | {"weights": None, "offset": None}
    single = cox.fit(**data, ties="breslow")
    twice = {k: None if v is None else np.concatenate([v, v]) for k, v in data.items()}
    double = cox.fit(**twice, ties="breslow")
    np.testing.assert_allclose(double.beta, single.beta, atol=CONVERGED)
    np.testing.assert_allclose(double.covariance, single.covariance / 2, rtol=CONVERGED)
    cluster = np.tile(np.arange(80), 2)
    np.testing.assert_allclose(
        cox_residual.robust_covariance(double, cluster),
        cox_residual.robust_covariance(single),
        rtol=CONVERGED,
    )


def test_whole_weights_are_repeated_rows_under_breslow() -> None:
    data = draw(17, n=50, entry=True) | {"offset": None}
    times = np.random.default_rng(1).integers(1, 4, 50)
    data["weights"] = times.astype(float)
    weighted = cox.fit(**data, ties="breslow")
    rows = np.repeat(np.arange(50), times)
    repeated = {k: None if v is None else v[rows] for k, v in data.items()} | {"weights": None}
    again = cox.fit(**repeated, ties="breslow")
    np.testing.assert_allclose(weighted.beta, again.beta, atol=CONVERGED)
    np.testing.assert_allclose(weighted.covariance, again.covariance, rtol=CONVERGED)


def test_proportionality_is_the_score_test_of_split_rows() -> None:
    """x * g(t) as a true time-varying covariate: one row per person and event time."""
    data = draw(19, n=50, p=2) | {"weights": None, "offset": None, "strata": None}
    fit = cox.fit(**data)
    g = np.log(fit.problem.risk.time)
    test = cox_residual.proportionality(fit, g, ((0,), (1,)))
    cuts = fit.problem.risk.time
    rows: list[tuple[float, float, int, Array, float]] = []
    for x, stop, event in zip(data["X"], data["stop"], data["event"], strict=True):
        before = 0.0
        for t, value in zip(cuts, g, strict=True):
            if t <= stop:
                rows.append((before, t, int(event and t == stop), x, value))
                before = t
    start, end, died, x, value = (np.array(v) for v in zip(*rows, strict=True))
    wide = np.column_stack([x, x * value[:, None]])
    problem = cox_likelihood.prepare(wide, end, died, start, None, None, None, "efron")
    beta = np.concatenate([fit.beta, np.zeros(2)])
    point = cox_likelihood.evaluate_moments(problem, beta * problem.scale)
    assert point is not None
    overall = point.score @ np.linalg.solve(point.information, point.score)
    assert test.overall == pytest.approx(overall, rel=CONVERGED)
    for j in (0, 1):
        use = [0, 1, 2 + j]
        one = point.score[use] @ np.linalg.solve(
            point.information[np.ix_(use, use)], point.score[use]
        )
        assert test.statistic[j] == pytest.approx(one, rel=CONVERGED)


def test_splitting_rows_changes_nothing() -> None:
    data = draw(23, n=60) | {"start": np.zeros(60)}
    whole = cox.fit(**data)
    middle = np.minimum(np.floor(data["stop"] / 2) + 0.5, data["stop"])
    inside = middle < data["stop"]
    both = {k: np.concatenate([v[inside], v]) for k, v in data.items()}
    both["stop"][: inside.sum()] = middle[inside]
    both["event"][: inside.sum()] = 0
    both["start"][inside.sum() :][inside] = middle[inside]
    split = cox.fit(**both)
    np.testing.assert_allclose(split.beta, whole.beta, atol=CONVERGED)
    assert split.loglik == pytest.approx(whole.loglik, rel=CLOSED_FORM)
    np.testing.assert_allclose(split.covariance, whole.covariance, rtol=CONVERGED)


# --- what must collapse ----------------------------------------------------------------------


def test_without_ties_the_three_methods_agree() -> None:
    data = draw(29, ties=False) | {"weights": None}
    fits = [cox.fit(**data, ties=t) for t in ("efron", "breslow", "exact")]
    for other in fits[1:]:
        np.testing.assert_allclose(other.beta, fits[0].beta, atol=CONVERGED)
        assert other.loglik == pytest.approx(fits[0].loglik, rel=CLOSED_FORM)


def test_units_and_origin_of_covariates_do_not_matter() -> None:
    data = draw(31, n=100)
    plain = cox.fit(**data)
    scale, shift = np.array([1e9, 1e-7]), np.array([5e10, -3.0])
    moved = cox.fit(**(data | {"X": data["X"] * scale + shift}))
    np.testing.assert_allclose(moved.beta * scale, plain.beta, rtol=INVARIANCE)
    assert moved.loglik == pytest.approx(plain.loglik, rel=CLOSED_FORM)
    order = np.random.default_rng(0).permutation(100)
    mixed = cox.fit(**{k: None if v is None else v[order] for k, v in data.items()})
    np.testing.assert_allclose(mixed.beta, plain.beta, atol=CONVERGED)
    np.testing.assert_allclose(
        cox_residual.martingale(mixed), cox_residual.martingale(plain)[order], atol=CONVERGED
    )


def test_sums_by_tree_are_sums_by_subtraction(monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw(37, n=150, entry=True)
    usual = cox.fit(**data)
    residual = cox_residual.score(usual)
    monkeypatch.setattr(cox_likelihood, "LOST_DIGITS", 0.0)
    tree = cox.fit(**data)
    assert tree.moments is not None
    assert tree.moments.hazard.by_tree
    np.testing.assert_allclose(tree.beta, usual.beta, atol=CONVERGED)
    np.testing.assert_allclose(tree.covariance, usual.covariance, rtol=CONVERGED)
    np.testing.assert_allclose(cox_residual.score(tree), residual, atol=CONVERGED)


def test_an_absurd_spread_of_the_predictor_keeps_its_digits() -> None:
    data = draw(41, n=80, entry=True, ties=False) | {"strata": None, "weights": None}
    data["offset"] = np.random.default_rng(2).normal(size=80) * 12
    loglik, _, _ = evaluate(data, np.zeros(2), "efron")
    assert loglik == pytest.approx(brute_loglik(data, np.zeros(2), "efron"), rel=CLOSED_FORM)


def test_times_that_differ_by_rounding_are_one_time() -> None:
    stop = np.array([0.1 + 0.2, 0.3, 0.5, 0.7])
    risk = risk_set.number(stop, np.array([True, True, False, True]))
    assert risk.n_events.tolist() == [2, 1]


def test_survival_of_new_rows_has_the_error_of_a_numeric_derivative() -> None:
    """Variance of the cumulative hazard: baseline given beta, plus the gradient in beta."""
    data = draw(43, n=120) | {"weights": None, "strata": None, "offset": None}
    fit = cox.fit(**data, ties="breslow")
    new = np.array([[0.5, -1.0]])
    _, H, se = cox_residual.cumulative_hazard(fit, new)

    def hazard(beta: Array) -> Array:
        r = np.exp(data["X"] @ beta)
        times = fit.problem.risk.time
        steps = [
            ((data["stop"] == t) & (data["event"] == 1)).sum() / r[data["stop"] >= t].sum()
            for t in times
        ]
        return np.cumsum(steps) * np.exp(new[0] @ beta)

    np.testing.assert_allclose(H[0], hazard(fit.beta), rtol=CONVERGED)
    step = 1e-6
    gradients = np.array(
        [(hazard(fit.beta + u) - hazard(fit.beta - u)) / (2 * step) for u in np.eye(2) * step]
    )
    r = np.exp(data["X"] @ fit.beta)
    own = [
        ((data["stop"] == t) & (data["event"] == 1)).sum() / r[data["stop"] >= t].sum() ** 2
        for t in fit.problem.risk.time
    ]
    variance = np.cumsum(own) * np.exp(2 * new[0] @ fit.beta) + np.einsum(
        "it,ij,jt->t", gradients, fit.covariance, gradients
    )
    np.testing.assert_allclose(se[0], np.sqrt(variance), rtol=HALF_DIGITS)


# --- what has no answer ----------------------------------------------------------------------


def test_no_events() -> None:
    with pytest.raises(NotEstimable, match="No event"):
        cox.fit(X, TIME, np.zeros(6))


def test_constant_and_repeated_columns_are_named() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    stop, event = rng.exponential(size=60), rng.integers(0, 2, 60)
    strata = rng.integers(0, 2, 60)
    with pytest.raises(cox.ColumnsNotEstimable) as caught:
        cox.fit(np.column_stack([x, np.full(60, 7.1)]), stop, event)
    assert caught.value.columns == (1,)
    with pytest.raises(cox.ColumnsNotEstimable, match="combination") as caught:
        cox.fit(np.column_stack([x, 2 * x + 3, x**2]), stop, event)
    assert caught.value.columns == (1,)
    with pytest.raises(cox.ColumnsNotEstimable, match="combination") as caught:
        cox.fit(np.column_stack([x, x + 1e-6 * x**2]), stop, event)
    assert caught.value.columns == (1,)
    with pytest.raises(cox.ColumnsNotEstimable) as caught:
        cox.fit(np.column_stack([x, strata]).astype(float), stop, event, strata=strata)
    assert caught.value.columns == (1,)


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_separation_is_refused_and_named(ties: Any) -> None:
    rng = np.random.default_rng(4)
    group = np.repeat([0.0, 1.0], 30)
    event = np.where(group == 1, 0, rng.integers(0, 2, 60))
    stop = np.ceil(rng.exponential(10, 60))
    with pytest.raises(cox.ColumnsNotEstimable, match="for ever") as caught:
        cox.fit(np.column_stack([rng.normal(size=60), group]), stop, event, ties=ties)
    assert caught.value.columns == (1,)


def test_a_strong_effect_is_not_taken_for_separation() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=2000)
    stop = rng.exponential(np.exp(-6 * x))
    fit = cox.fit(x[:, None], stop, np.ones(2000))
    se = np.sqrt(fit.covariance[0, 0])
    assert fit.beta[0] == pytest.approx(6, abs=MONTE_CARLO_SES * se)


def test_strata_without_events_are_counted() -> None:
    data = draw(47)
    data["event"] = np.where(data["strata"] == 2, 0, data["event"])
    assert cox.fit(**data).idle_strata == 1


# --- concordance -----------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [False, True])
def test_concordance_by_all_pairs(entry: bool) -> None:
    data = draw(53, n=70, entry=entry)
    x = np.round(data["X"][:, 0], 1)
    start = np.full(70, -1.0) if data["start"] is None else data["start"]
    stop, died, w = data["stop"], data["event"] == 1, data["weights"]
    kinds = np.zeros((3, 70, 70))
    for i in np.flatnonzero(died):
        t = stop[i]
        partner = (start < t) & ((stop > t) | ((stop == t) & ~died))
        partner &= data["strata"] == data["strata"][i]
        for j in np.flatnonzero(partner):
            kinds[int(1 - np.sign(x[i] - x[j])), i, j] = w[i] * w[j]
    found = concordance_engine.concordance(
        x, stop, data["event"], start=data["start"], strata=data["strata"], weights=w
    )
    total = kinds.sum(axis=(1, 2))
    assert (found.concordant, found.tied_x, found.discordant) == pytest.approx(tuple(total))
    C = (total[0] + total[1] / 2) / total.sum()
    wins = kinds[0] + kinds[1] / 2 - C * kinds.sum(axis=0)
    influence = (wins.sum(axis=0) + wins.sum(axis=1)) / total.sum()
    assert found.estimate == pytest.approx(C, rel=CLOSED_FORM)
    assert found.std_error == pytest.approx(np.sqrt(influence @ influence), rel=CLOSED_FORM)


def test_pairs_of_events_at_one_time_are_counted_apart() -> None:
    stop = np.array([3.0, 3, 3, 3, 5])
    event = np.array([1, 1, 1, 0, 1])
    x = np.array([1.0, 1, 2, 2, 0])
    found = concordance_engine.concordance(x, stop, event, weights=np.array([1.0, 2, 3, 1, 1]))
    assert (found.tied_y, found.tied_xy) == (9, 2)


def test_pairs_count_by_the_time_of_their_event() -> None:
    """Four people: events at 1 and 3, censored at 2 and 4; G is 1 at 1 and 2/3 at 3."""
    stop, event = np.array([1.0, 2, 3, 4]), np.array([1, 0, 1, 0])
    x = np.array([3.0, 9, 1, 2])  # the first event beats 1 and 2, loses to 9; the second loses to 2

    def share(kind: concordance_engine.TimeWeight) -> float:
        return concordance_engine.concordance(x, stop, event, count_by=kind).estimate

    assert share("n") == pytest.approx(2 / 4)
    assert share("I") == pytest.approx((2 / 4) / (3 / 4 + 1 / 2))
    assert share("S") == pytest.approx((2 / 4) / (3 / 4 + 3 / 4 / 2))
    assert share("n/G2") == pytest.approx(2 / (3 + 9 / 4))
