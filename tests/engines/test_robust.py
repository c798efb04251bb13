"""Cluster-robust covariance: brute force, collapse, closed form, R."""

import json
from pathlib import Path

import numpy as np
import pytest

from recovery_stats.engines.cluster import (
    design_effect,
    intraclass,
    two_sided,
    weighted_mean_t,
    welch,
)
from recovery_stats.engines.glm import (
    Separation,
    dependent_columns,
    least_squares,
    logistic,
    separating_direction,
)
from recovery_stats.engines.robust import sandwich
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, EXACT

FROM_R = json.loads((Path(__file__).parent / "cluster_robust.json").read_text())


def from_r():
    columns = {k: np.array([row[k] for row in FROM_R["data"]], float) for k in "gaxyz"}
    X = np.column_stack([np.ones(len(columns["x"])), columns["x"], columns["a"]])
    return X, columns


def se(matrix):
    return np.sqrt(np.diag(matrix))


def dense(X, e, cluster, w, contrast, power):
    """Covariance and Satterthwaite df by n x n projections, straight from the definition."""
    n, p = X.shape
    W, M = np.diag(w), np.linalg.inv(X.T @ np.diag(w) @ X)
    R = np.eye(n) - X @ M @ X.T @ W
    V, Q = np.zeros((p, p)), np.zeros((n, n))
    for g in np.unique(cluster):
        i = np.flatnonzero(cluster == g)
        values, vectors = np.linalg.eigh((R @ R.T)[np.ix_(i, i)])
        kept = values > 1e-10
        A = (vectors[:, kept] * values[kept] ** power) @ vectors[:, kept].T
        u = M @ X[i].T @ np.diag(w[i]) @ A
        V += np.outer(u @ e[i], u @ e[i])
        Q += np.outer(R[i].T @ u.T @ contrast, R[i].T @ u.T @ contrast)
    return V, np.trace(Q) ** 2 / np.trace(Q @ Q)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("own_coefficient", [False, True])
@pytest.mark.parametrize(("kind", "power"), [("CR2", -0.5), ("CR3", -1.0)])
def test_equals_dense_projections(weighted, own_coefficient, kind, power):
    rng = np.random.default_rng(7)
    n = 40
    cluster = np.r_[np.zeros(7), rng.integers(1, 9, n - 7)]
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2)), rng.normal(size=n)])
    if own_coefficient:  # the adjustment of that cluster is a pseudo-inverse
        X[:, 3] = cluster == 0
    w = rng.uniform(0.5, 3, n) if weighted else np.ones(n)
    y, contrast = rng.normal(size=n), rng.normal(size=4)
    e = y - X @ least_squares(X, y, weights=w).beta
    V, df = dense(X, e, cluster, w, contrast, power)
    ours = sandwich(X, e, cluster, weights=w, kind=kind)
    np.testing.assert_allclose(ours.covariance, V, rtol=0, atol=EXACT)
    assert ours.df(contrast) == pytest.approx(df, rel=CLOSED_FORM)
    np.testing.assert_allclose(ours.influence.T @ ours.influence, V, rtol=0, atol=EXACT)


def test_arms_of_balanced_clusters_have_clusters_minus_two_df():
    """8 clusters of 5, 4 in each arm: CR2 is the t test on cluster means."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(8), 5)
    arm = (cluster >= 4).astype(float)
    y = rng.normal(size=40) + rng.normal(size=8)[cluster]
    X = np.column_stack([np.ones(40), arm])
    fit = least_squares(X, y)
    ours = sandwich(X, y - fit.mu, cluster)
    means = y.reshape(8, 5).mean(axis=1)
    by_hand = np.sqrt(means[:4].var(ddof=1) / 4 + means[4:].var(ddof=1) / 4)
    assert se(ours.covariance)[1] == pytest.approx(by_hand, rel=CLOSED_FORM)
    assert ours.df(np.array([0.0, 1.0])) == pytest.approx(6, rel=CLOSED_FORM)


def test_one_row_clusters_give_the_mean_its_textbook_error():
    y = np.random.default_rng(2).normal(size=9)
    X = np.ones((9, 1))
    ours = sandwich(X, y - y.mean())
    assert se(ours.covariance)[0] == pytest.approx(y.std(ddof=1) / 3, rel=CLOSED_FORM)
    assert ours.df(np.ones(1)) == pytest.approx(8, rel=CLOSED_FORM)


def test_row_order_does_not_matter():
    X, d = from_r()
    shuffled = np.random.default_rng(3).permutation(len(X))
    e = d["z"] - least_squares(X, d["z"]).mu
    np.testing.assert_allclose(
        sandwich(X, e, d["g"]).covariance,
        sandwich(X[shuffled], e[shuffled], d["g"][shuffled]).covariance,
        rtol=CLOSED_FORM,
    )


@pytest.mark.parametrize(("model", "outcome"), [("linear", "z"), ("logistic", "y")])
def test_equals_r(model, outcome):
    X, d = from_r()
    fit = (least_squares if model == "linear" else logistic)(X, d[outcome])
    expected = FROM_R[model]
    np.testing.assert_allclose(fit.beta, expected["beta"], rtol=CONVERGED)
    # R's own standard errors come from the weights one step before its last.
    np.testing.assert_allclose(se(fit.covariance), expected["se"], rtol=CONVERGED)
    if model == "logistic":
        assert fit.log_likelihood == pytest.approx(expected["loglik"], rel=CLOSED_FORM)
    # For logistic regression sandwich's HC2 and HC3 by cluster are other matrices than these:
    # they are held by the definition in the next test.
    for kind in ("CR0",) if model == "logistic" else ("CR0", "CR2", "CR3"):
        ours = sandwich(fit.X_white, fit.residual_white, d["g"], kind=kind)
        np.testing.assert_allclose(se(ours.covariance), expected[kind], rtol=CONVERGED)


def test_logistic_cr3_is_mancl_and_derouen():
    """M [sum D_g' V_g^-1 (I - H_gg)^-1 r r' (I - H_gg)^-T V_g^-1 D_g] M, never whitened."""
    X, d = from_r()
    fit = logistic(X, d["y"])
    V = fit.mu * (1 - fit.mu)
    D = X * V[:, None]
    M = np.linalg.inv(D.T @ (D / V[:, None]))
    H = D @ M @ (D / V[:, None]).T
    meat = np.zeros((3, 3))
    for g in np.unique(d["g"]):
        i = np.flatnonzero(d["g"] == g)
        r = np.linalg.solve(np.eye(len(i)) - H[np.ix_(i, i)], (d["y"] - fit.mu)[i])
        u = D[i].T @ (r / V[i])
        meat += np.outer(u, u)
    ours = sandwich(fit.X_white, fit.residual_white, d["g"], kind="CR3")
    np.testing.assert_allclose(ours.covariance, M @ meat @ M, rtol=CONVERGED)


@pytest.mark.parametrize(("kind", "column"), [("CR0", 0), ("CR1", 1), ("CR2", 2), ("CR3", 3)])
def test_every_row_a_cluster_is_heteroscedasticity_robust(kind, column):
    X, d = from_r()
    ours = sandwich(X, d["z"] - least_squares(X, d["z"]).mu, kind=kind)
    expected = np.array(FROM_R["linear_HC"])[:, column]
    np.testing.assert_allclose(se(ours.covariance), expected, rtol=CLOSED_FORM)


def test_reference_case_of_18_clusters():
    folder = Path(__file__).parents[3] / "shared" / "reference"
    if not folder.exists():
        pytest.skip("the reference cases are not beside this checkout")
    case = json.loads((folder / "ols_robust_cluster.json").read_text())
    rows = [line.split(",") for line in (folder / case["data"]).read_text().split()[1:]]
    y, days = (np.array([float(row[k]) for row in rows]) for k in (0, 1))
    cluster = np.array([row[2] for row in rows])
    X = np.column_stack([np.ones(len(y)), days])
    e = y - least_squares(X, y).mu
    for label, kind, by in [
        ("HC0", "CR0", None), ("HC1", "CR1", None), ("HC2", "CR2", None), ("HC3", "CR3", None),
        ("cl_CR0", "CR0", cluster), ("cl_CR1", "CR1", cluster),
    ]:  # fmt: skip
        expected = [case["values"][f"se_{label}[{t}]"] for t in ("(Intercept)", "Days")]
        np.testing.assert_allclose(
            se(sandwich(X, e, by, kind=kind).covariance), expected, rtol=case["tol"]["se"]
        )


def test_logistic_of_two_groups_is_woolf():
    """7 of 20 against 12 of 18: log odds ratio and the root of the sum of reciprocals."""
    y = np.repeat([1.0, 0, 1, 0], [7, 13, 12, 6])
    X = np.column_stack([np.ones(38), np.repeat([0.0, 1], [20, 18])])
    fit = logistic(X, y)
    assert fit.beta[1] == pytest.approx(np.log(12 / 6 * 13 / 7), rel=CLOSED_FORM)
    woolf = np.sqrt(1 / 7 + 1 / 13 + 1 / 12 + 1 / 6)
    assert se(fit.covariance)[1] == pytest.approx(woolf, rel=CLOSED_FORM)


def test_logistic_keeps_its_digits_for_calendar_years():
    X, d = from_r()
    shifted = X.copy()
    shifted[:, 1] = X[:, 1] * 1e-3 + 2015
    plain, year = logistic(X, d["y"]), logistic(shifted, d["y"])
    assert year.beta[1] == pytest.approx(plain.beta[1] * 1e3, rel=1e-7)
    assert year.log_likelihood == pytest.approx(plain.log_likelihood, rel=CLOSED_FORM)


def test_separation_is_found_and_located():
    rng = np.random.default_rng(4)
    x, other = np.r_[np.arange(-5.0, 0), np.arange(1.0, 6)], rng.normal(size=10)
    X = np.column_stack([np.ones(10), x, other])
    with pytest.raises(Separation) as caught:
        logistic(X, (x > 0).astype(float))
    assert caught.value.direction[1] != 0


def test_quasi_separation_is_found_and_mere_strength_is_not():
    group = np.repeat([0.0, 1], 20)
    X = np.column_stack([np.ones(40), group])
    nobody = np.r_[np.tile([0.0, 1], 10), np.zeros(20)]  # no event in the second group
    with pytest.raises(Separation) as caught:
        logistic(X, nobody)
    assert caught.value.direction[1] < 0
    strong = np.r_[np.zeros(19), 1, np.ones(19), 0]
    assert separating_direction(X, strong) is None
    assert logistic(X, strong).beta[1] == pytest.approx(2 * np.log(19), rel=CLOSED_FORM)


def test_dependent_columns_are_numbered():
    x = np.random.default_rng(5).normal(size=30)
    X = np.column_stack([np.ones(30), x, 1 - 2 * x, np.zeros(30), x**2])
    for unit in (1.0, 1e10, 1e-10):  # the rank of a matrix has no unit
        assert dependent_columns(X * unit) == (2, 3)


def test_intraclass_from_the_analysis_of_variance():
    _, d = from_r()
    expected = FROM_R["anova"]
    ours = intraclass(d["z"], d["g"], d["a"], level=0.95)
    size = np.bincount(d["g"].astype(int))[1:].astype(float)
    arm = np.arange(1, 13) > 6
    squares = sum((size[arm == a] ** 2).sum() / size[arm == a].sum() for a in (False, True))
    n0 = (size.sum() - squares) / 10
    between, within = expected["between"], expected["within"]
    assert ours.icc == pytest.approx(
        (between - within) / (between + (n0 - 1) * within), rel=CLOSED_FORM
    )
    assert ours.low < ours.icc < ours.high
    assert (ours.clusters, ours.mean_size) == (12, 5)
    assert ours.design_effect == pytest.approx(
        1 + ((1 + ours.cv_size**2) * 5 - 1) * ours.icc, rel=CLOSED_FORM
    )


def test_clusters_all_alike_inside_have_icc_one():
    y = np.array([1.0, 1, 3, 3, 2, 2, 7, 7])
    ours = intraclass(y, np.repeat(np.arange(4), 2), np.zeros(8), level=0.95)
    assert ours.icc == ours.high == 1.0
    assert ours.design_effect == pytest.approx(2.0, rel=EXACT)


def test_singletons_have_no_intraclass_correlation():
    with pytest.raises(NotEstimable, match="clusters of two"):
        intraclass(np.arange(5.0), np.arange(5), np.zeros(5), level=0.95)
    assert design_effect(np.ones(5), 0.3) == 1.0


def test_cluster_summaries():
    _, d = from_r()
    expected = FROM_R["welch"]
    means = np.array([d["z"][d["g"] == g].mean() for g in range(1, 13)])
    ours = welch(means[:6], means[6:])
    for part in ("difference", "se", "df"):
        assert getattr(ours, part) == pytest.approx(expected[part], rel=CLOSED_FORM)
    equal = weighted_mean_t(means, np.ones(12))
    assert equal.se == pytest.approx(means.std(ddof=1) / np.sqrt(12), rel=CLOSED_FORM)
    two = weighted_mean_t(np.array([1.0, 4.0]), np.ones(2))  # half the distance apart
    assert (two.difference, two.se, two.df) == pytest.approx((2.5, 1.5, 1.0), rel=EXACT)
    with pytest.raises(NotEstimable, match="two clusters in which both arms meet"):
        weighted_mean_t(np.ones(1), np.ones(1))
    low, high, p = two_sided(2.0, 1.0, float("inf"), 0.95)
    assert (low, high) == pytest.approx((2 - 1.959963984540054, 2 + 1.959963984540054))
    assert p == pytest.approx(0.04550026389635842, rel=CLOSED_FORM)


def test_reference_case_of_537_children():
    """Independence estimating equations with a sandwich by child: logistic regression and CR0."""
    folder = Path(__file__).parents[3] / "shared" / "reference"
    if not folder.exists():
        pytest.skip("the reference cases are not beside this checkout")
    case = json.loads((folder / "gee_ohio_indep.json").read_text())
    head, *rows = (folder / case["data"]).read_text().replace('"', "").split()
    table = np.array([[float(x) for x in row.split(",")] for row in rows])
    column = dict(zip(head.split(","), table.T, strict=True))
    age, smoke = column["age"], column["smoke"]
    X = np.column_stack([np.ones(len(age)), age, smoke, age * smoke])
    fit = logistic(X, column["resp"])
    robust = sandwich(fit.X_white, fit.residual_white, column["id"], kind="CR0")
    terms = ("(Intercept)", "age", "smoke", "age:smoke")
    values, tol = case["values"], case["tol"]
    np.testing.assert_allclose(fit.beta, [values[f"beta[{t}]"] for t in terms], rtol=tol["beta"])
    np.testing.assert_allclose(
        se(robust.covariance), [values[f"se_robust[{t}]"] for t in terms], rtol=tol["se_robust"]
    )


def test_reference_case_of_separation():
    folder = Path(__file__).parents[3] / "shared" / "reference"
    if not folder.exists():
        pytest.skip("the reference cases are not beside this checkout")
    head, *rows = (folder / "glm_separation.csv").read_text().replace('"', "").split()
    table = np.array([[float(x) for x in row.split(",")] for row in rows])
    column = dict(zip(head.split(","), table.T, strict=True))
    X = np.column_stack([np.ones(len(table)), column["x"]])
    with pytest.raises(Separation):
        logistic(X, column["y"])
