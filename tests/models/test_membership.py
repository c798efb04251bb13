"""Residents of several houses: lme4, the dense likelihood, the collapse to one house, days."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.membership import first_house
from tests.tolerance import CLOSED_FORM, CONVERGED, HALF_DIGITS, R_DIGITS

R = json.loads(Path(__file__).with_name("membership.json").read_text())
DAYS = {"person": "pid", "house": "house", "start": "in", "stop": "out"}


def residents(moves=0.4, seed=8):
    """15 houses, 120 residents of whom some move once or twice, 60 people alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for pid in range(120):
        day = 0.0
        for _ in range(1 + rng.binomial(2, moves)):
            length = float(rng.integers(20, 200))
            rows.append((pid, float(rng.integers(15)), day, day + length))
            day += length
    stays = pd.DataFrame(rows, columns=["pid", "house", "in", "out"])
    lived = rs.membership_weights(stays, **DAYS)
    u = rng.normal(0, 0.8, 15)
    pull = (lived["weight"] * u[lived["house"].astype(int)]).groupby(lived["pid"]).sum()
    people = pd.DataFrame({"pid": np.arange(180), "arm": (np.arange(180) < 120) * 1.0,
                           "x": rng.normal(size=180)})  # fmt: skip
    people["y"] = (
        1 - 0.5 * people["arm"] + 0.4 * people["x"] + people["pid"].map(pull).fillna(0.0)
        + rng.normal(size=180)
    )  # fmt: skip
    return people, stays, lived


def wide(people, lived):
    table = lived.pivot_table(index="pid", columns="house", values="weight", fill_value=0.0)
    return table.reindex(people["pid"], fill_value=0.0)


def fit(people, lived, formula="y ~ arm + x", **more):
    return rs.multiple_membership(formula, people, lived, person="pid", group="house", **more)


def test_it_is_lme4_with_its_matrix_replaced():
    people, _, lived = residents()
    found = fit(people, lived, df="satterthwaite")
    table = found.tidy()
    assert table["estimate"].to_numpy() == pytest.approx(R["beta"], rel=R_DIGITS)
    assert table["std_error"].to_numpy() == pytest.approx(R["se"], rel=R_DIGITS)
    assert found.engine.tau2 == pytest.approx(R["tau2"], rel=R_DIGITS)
    assert found.engine.sigma2 == pytest.approx(R["sigma2"], rel=R_DIGITS)
    assert found.engine.criterion == pytest.approx(R["criterion"], rel=R_DIGITS)
    assert found.random_effects()["estimate"].to_numpy() == pytest.approx(R["effects"], rel=1e-4)


def dense(people, lived):
    X = np.column_stack([np.ones(len(people)), people["arm"], people["x"]])
    W = wide(people, lived).to_numpy()
    return X, people["y"].to_numpy(), W @ W.T


def deviance(X, y, V):
    """The REML deviance, written out."""
    inverse = np.linalg.inv(V)
    S = X.T @ inverse @ X
    beta = np.linalg.solve(S, X.T @ inverse @ y)
    r = y - X @ beta
    return (
        np.linalg.slogdet(V)[1] + np.linalg.slogdet(S)[1] + r @ inverse @ r
        + (len(y) - X.shape[1]) * np.log(2 * np.pi)
    )  # fmt: skip


def test_it_is_the_minimum_of_the_dense_likelihood():
    people, _, lived = residents()
    e = fit(people, lived).engine
    X, y, K = dense(people, lived)
    at = deviance(X, y, e.tau2 * K + e.sigma2 * np.eye(len(y)))
    assert e.criterion == pytest.approx(at, rel=CLOSED_FORM)
    best = minimize_scalar(
        lambda t: deviance(X, y, t * K + e.sigma2 * np.eye(len(y))), bounds=(1e-6, 5),
        method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert e.tau2 == pytest.approx(best.x, rel=HALF_DIGITS)


def kenward_roger_dense(X, parts, gamma, j):
    """Kenward & Roger 1997 for coefficient j with V = sum gamma part: its error, and 2 / A2."""
    V = sum(g * part for g, part in zip(gamma, parts, strict=True))
    inverse = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ inverse @ X)
    P = [X.T @ inverse @ D @ inverse @ X for D in parts]
    Q = [[X.T @ inverse @ A @ inverse @ B @ inverse @ X for B in parts] for A in parts]
    projector = inverse - inverse @ X @ Phi @ X.T @ inverse
    information = 0.5 * np.array(
        [[np.trace(projector @ A @ projector @ B) for B in parts] for A in parts]
    )
    W = np.linalg.inv(information)
    each = range(len(parts))
    bias = sum(W[r, s] * (Q[r][s] - P[r] @ Phi @ P[s]) for r in each for s in each)
    adjusted = Phi + 2 * Phi @ bias @ Phi
    slope = np.array([(Phi @ M @ Phi)[j, j] / Phi[j, j] for M in P])
    return np.sqrt(adjusted[j, j]), 2 / (slope @ W @ slope)


def test_kenward_and_roger_by_their_dense_formulas():
    people, _, lived = residents()
    found = fit(people, lived)
    X, _, K = dense(people, lived)
    e = found.engine
    error, df = kenward_roger_dense(X, (K, np.eye(len(X))), (e.tau2, e.sigma2), 1)
    row = found.tidy().set_index("term").loc["arm"]
    assert row["std_error"] == pytest.approx(error, rel=1e-8)
    assert row["df"] == pytest.approx(df, rel=1e-8)


@pytest.mark.parametrize("df", ["kenward-roger", "satterthwaite"])
def test_one_house_each_is_the_mixed_model_of_the_house(df):
    people, _, lived = residents(moves=0.0)
    one = people.merge(lived[["pid", "house"]], on="pid", how="left")
    one["in_house"] = one["house"].notna() * 1.0
    one["house"] = one["house"].fillna(-1.0).astype(str)
    plain = rs.lmm("y ~ arm + x + (0 + in_house | house)", one, df=df).tidy()
    found = fit(people, lived, df=df)
    for column in ("estimate", "std_error", "df", "p_value"):
        assert found.tidy()[column].to_numpy() == pytest.approx(plain[column], rel=1e-6)
    assert found.glance()["n_movers"].iloc[0] == 0


def test_houses_alike_leave_least_squares():
    people, _, lived = residents()
    W = wide(people, lived).to_numpy()
    people["y"] -= 0.9 * W @ np.linalg.lstsq(W, people["y"])[0]
    found = fit(people, lived)
    assert found.engine.singular
    X, y, _ = dense(people, lived)
    assert found.engine.beta == pytest.approx(np.linalg.lstsq(X, y)[0], rel=CONVERGED)
    assert found.tidy()["df"].to_numpy() == pytest.approx(177, rel=CONVERGED)
    assert "singular" in {c.name for c in found.checks()}


def test_units_and_origins_do_not_matter():
    people, _, lived = residents()
    before = fit(people, lived).tidy()
    moved = people.assign(x=1e3 + people["x"] * 1e-2, y=people["y"] * 1e4 + 1e7)
    after = fit(moved, lived).tidy()
    assert after["p_value"][1:].to_numpy() == pytest.approx(before["p_value"][1:], rel=1e-6)
    assert after["df"][1:].to_numpy() == pytest.approx(before["df"][1:], rel=1e-6)


# --- days ----------------------------------------------------------------------------------------


def stays(*rows):
    return pd.DataFrame(rows, columns=["pid", "house", "in", "out"])


def test_weights_are_shares_of_days():
    lived = rs.membership_weights(
        stays((1, "a", 0, 30), (1, "b", 30, 90), (2, "a", 10, None), (3, "b", 0, 90)), **DAYS
    )
    assert lived["weight"].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert lived["house"].tolist() == ["a", "b", "a", "b"]


def test_a_house_left_and_entered_again_is_one():
    lived = rs.membership_weights(
        stays((1, "a", 0, 10), (1, "b", 10, 20), (1, "a", 20, 40)), **DAYS
    )
    assert lived["weight"].tolist() == pytest.approx([0.75, 0.25])


def test_days_outside_the_follow_up_do_not_count():
    rows = stays((1, "a", -50, 30), (1, "b", 60, 400), (2, "a", 150, 200))
    lived = rs.membership_weights(rows, first_day=0, last_day=100, **DAYS)
    assert lived["weight"].tolist() == pytest.approx([30 / 70, 40 / 70])
    of = rs.membership_weights(rows, first_day=0, last_day=100, of="follow-up", **DAYS)
    assert of["weight"].tolist() == pytest.approx([0.3, 0.4])


def test_the_first_house_is_that_of_the_first_day():
    found = first_house(
        stays((1, "b", 40, 60), (1, "a", 3, 40), (2, "c", 0, 9)), person="pid", house="house",
        start="in",
    )  # fmt: skip
    assert found.to_dict() == {1: "a", 2: "c"}


def test_bad_input_is_told():
    people, _, lived = residents()
    with pytest.raises(DataError, match="before"):
        rs.membership_weights(stays((1, "a", 9, 3)), **DAYS)
    with pytest.raises(DataError, match="1 rows without"):
        rs.membership_weights(stays((1, None, 0, 3)), **DAYS)
    with pytest.raises(UsageError, match="follow-up"):
        rs.membership_weights(stays((1, "a", 0, 3)), of="follow up", **DAYS)
    with pytest.raises(DataError, match="0 or more"):
        fit(people, lived.assign(weight=-1.0))
    with pytest.raises(NotEstimable, match="1 level of 'house'"):
        fit(people, lived[lived["house"] == 3])
    with pytest.raises(UsageError, match="leave"):
        fit(people, lived, "y ~ arm + (1 | house)")
