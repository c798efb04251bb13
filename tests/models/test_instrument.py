"""Complier-average effects: Wald's ratio, bounds, Anderson-Rubin, refusals."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import recovery_stats as rs
from recovery_stats.engines.instrument import balke_pearl, compliance, two_stage
from recovery_stats.errors import NotEstimable
from tests.tolerance import CLOSED_FORM, CONVERGED, MONTE_CARLO_SES

KINDS = list(product(range(4), range(4)))  # treatment by assignment, outcome by treatment


def houses(seed=3, G=14, outside=60, weak=1.0):
    """A trial in which motivation moves people in and keeps them well."""
    rng = np.random.default_rng(seed)
    rows = []
    for g in range(G):
        u = rng.normal(0, 0.5)
        rows += [(1, f"h{g}", u)] * int(rng.integers(4, 9))
    rows += [(0, f"alone{i}", 0.0) for i in range(outside)]
    d = pd.DataFrame(rows, columns=["arm", "house", "u"])
    will = rng.normal(size=len(d))
    d["age"] = rng.normal(35, 8, len(d))
    d["moved"] = ((will + weak * 2 * d["arm"] - 1) > 0).astype(int)
    d["months"] = d["moved"] * rng.gamma(2, 3, len(d))
    d["score"] = 10 - 2 * d["moved"] - will + d["u"] + 0.05 * d["age"] + rng.normal(size=len(d))
    d["used"] = (d["score"] > d["score"].median()).astype(int)
    return d


def table_of(weights):
    p = np.zeros((2, 2, 2))
    for z, (w, (r, s)) in product((0, 1), zip(weights, KINDS, strict=True)):
        d = (r >> z) & 1
        p[(s >> d) & 1, d, z] += w
    return p


def programme(p):
    """Bounds by linear programming over sixteen kinds of people."""
    cells = list(product((0, 1), repeat=3))
    A = [[float((r >> z) & 1 == d and (s >> d) & 1 == y) for r, s in KINDS] for y, d, z in cells]
    c = np.array([((s >> 1) & 1) - (s & 1) for _, s in KINDS], float)
    b = [p[cell] for cell in cells]
    return tuple(sign * linprog(sign * c, A_eq=A, b_eq=b, bounds=(0, 1)).fun for sign in (1, -1))


@pytest.mark.parametrize("seed", range(20))
def test_bounds_are_those_of_the_linear_programme(seed):
    rng = np.random.default_rng(seed)
    p = table_of(rng.dirichlet(np.full(16, rng.choice([0.1, 0.3, 1.0]))))
    found = balke_pearl(p)
    assert (found.low, found.high) == pytest.approx(programme(p), abs=1e-7)
    assert found.worst <= 1 + 1e-12


def test_bounds_of_the_vitamin_a_trial():
    p = np.zeros((2, 2, 2))
    p[0, :, 0], p[1, :, 0] = (0.0064, 0), (0.9936, 0)
    p[0, :, 1], p[1, :, 1] = (0.0028, 0.001), (0.1972, 0.799)
    found = balke_pearl(p)
    assert (found.low, found.high) == pytest.approx((-0.1946, 0.0054), abs=1e-10)


def test_a_table_no_instrument_can_make_is_seen():
    p = np.zeros((2, 2, 2))
    p[1, 0, 0] = p[0, 0, 1] = 1.0
    assert balke_pearl(p).worst == 2.0


def test_without_covariates_it_is_walds_ratio():
    d = houses()
    found = rs.complier_effect(d, outcome="score", assigned="arm", treatment="moved")
    means = d.groupby("arm")[["score", "moved"]].mean().diff().iloc[1]
    assert found.engine.effect == pytest.approx(means["score"] / means["moved"], rel=CLOSED_FORM)
    c = found.compliance
    assert c.treated - c.untreated == pytest.approx(found.engine.effect, rel=CLOSED_FORM)
    assert c.compliers + c.always + c.never == pytest.approx(1.0)


def test_dense_two_stage_least_squares_with_clusters():
    """The IV sandwich written out: (Z'X)^-1 (sum Z_g'u_g u_g'Z_g) (X'Z)^-1."""
    d = houses()
    y, t = d["score"].to_numpy(), d["moved"].to_numpy(float)
    Z = np.column_stack([np.ones(len(d)), d["arm"], d["age"] - d["age"].mean()])
    X = Z.copy()
    X[:, 1] = t
    found = two_stage(y, t, Z, 1, d["house"].to_numpy(), kind="CR0")
    beta = np.linalg.solve(Z.T @ X, Z.T @ y)
    u = y - X @ beta
    sums = pd.DataFrame(Z * u[:, None]).groupby(d["house"].to_numpy()).sum().to_numpy()
    bread = np.linalg.inv(Z.T @ X)
    V = bread @ (sums.T @ sums) @ bread.T
    assert (found.effect, found.se) == pytest.approx((beta[1], np.sqrt(V[1, 1])), rel=CONVERGED)


def test_as_r_has_it():
    """AER's ivreg with sandwich's HC0 and CR0 by house (instrument.R)."""
    here = Path(__file__).with_name("instrument.json")
    expected = json.loads(here.read_text())
    d = houses()
    Z = np.column_stack([np.ones(len(d)), d["arm"], d["age"]])
    y, t = d["score"].to_numpy(), d["moved"].to_numpy(float)
    for name, cluster in (("HC0", None), ("CR0", d["house"].to_numpy())):
        found = two_stage(y, t, Z, 1, cluster, kind="CR0")
        assert found.effect == pytest.approx(expected["effect"], rel=CONVERGED)
        assert found.se == pytest.approx(expected[f"se_{name}"], rel=CONVERGED)


def test_limits_are_where_the_test_stands_at_its_level():
    found = rs.complier_effect(
        houses(), outcome="used", assigned="arm", treatment="moved", cluster="house"
    )
    limits = found.anderson_rubin(0.95)
    assert limits.shape == "interval"
    assert limits.low < found.engine.effect < limits.high
    assert [found.engine.test(b) for b in (limits.low, limits.high)] == pytest.approx([0.05] * 2)


def test_a_weak_instrument_leaves_no_interval():
    found = rs.complier_effect(
        houses(weak=0.02), outcome="score", assigned="arm", treatment="moved"
    )
    assert found.engine.first_stage_f < 10
    assert found.anderson_rubin().shape != "interval"
    assert {c.name: c.verdict for c in found.checks()}["strength of the instrument"] == "caution"


@pytest.mark.parametrize("weak", [0.15, 1.0])
def test_anderson_rubin_covers_the_truth(weak):
    """400 trials of the effect -2: the limits keep their level, the instrument weak or strong."""
    covered = 0
    for seed in range(400):
        d = houses(seed=seed, G=20, weak=weak)
        X = np.column_stack([np.ones(len(d)), d["arm"]])
        e = two_stage(
            d["score"].to_numpy(), d["moved"].to_numpy(float), X, 1, d["house"].to_numpy()
        )
        covered += e.test(-2.0) > 0.05
    error = MONTE_CARLO_SES * np.sqrt(0.95 * 0.05 / 400)
    assert abs(covered / 400 - 0.95) < error


def test_months_are_a_linear_average_and_say_so():
    found = rs.complier_effect(houses(), outcome="score", assigned="arm", treatment="months")
    assert found.bounds is None
    assert "linear average causal response" in found.method
    assert "what the instrument tells" in {c.name for c in found.checks() if c.verdict == "caution"}


@pytest.mark.parametrize("name", ["stayed_6_months", "stay6", "six_months", "los_180"])
def test_a_length_of_stay_made_yes_or_no_is_refused_by_its_name(name):
    d = houses()
    d[name] = (d["months"] > 6).astype(int)
    with pytest.raises(NotEstimable, match="exclusion fails"):
        rs.complier_effect(d, outcome="used", assigned="arm", treatment=name)


def test_it_is_refused_by_the_stays_whatever_its_name():
    d = houses()
    d["well_housed"] = (d["months"] > 6).astype(int)
    with pytest.raises(NotEstimable, match="counted as untreated lived in a house"):
        rs.complier_effect(
            d, outcome="used", assigned="arm", treatment="well_housed", stay="months"
        )


def test_an_assignment_that_moves_nobody_is_refused():
    d = houses().assign(moved=lambda x: np.arange(len(x)) % 2)
    d = d[d.groupby("arm").cumcount() < 40]
    d["moved"] = np.tile([0, 1], len(d) // 2)
    with pytest.raises(NotEstimable, match="does not differ between the arms"):
        rs.complier_effect(d, outcome="score", assigned="arm", treatment="moved")


def test_shares_of_kinds_by_hand():
    z = np.repeat([0, 1], 10)
    d = np.r_[np.repeat([0, 1], [8, 2]), np.repeat([0, 1], [3, 7])].astype(float)
    y = np.r_[np.zeros(8), np.ones(2), np.zeros(3), np.ones(4), np.zeros(3)]
    found = compliance(y, d, z)
    assert (found.compliers, found.always, found.never) == pytest.approx((0.5, 0.2, 0.3))
    assert found.treated == pytest.approx((0.4 - 0.2) / 0.5)
