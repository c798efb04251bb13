"""Equivalence, Bayes factors, net benefit: by hand, by integration, by normal theory."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import recovery_stats as rs
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.evidence import half_normal_factor


def difference(value, se, df=np.inf):
    return Estimate("d", "", value, value - 2 * se, value + 2 * se, se, df=df)


@pytest.mark.parametrize("df", [np.inf, 7.0])
@pytest.mark.parametrize(("value", "se", "scale"), [(-0.3, 0.1, 0.2), (0.02, 0.1, 3.0), (2, 1, 1)])
def test_bayes_factor_is_the_integral(value, se, scale, df):
    def density(theta):
        law = stats.norm if np.isinf(df) else stats.t(df)
        return law.pdf((value - theta) / se) * stats.halfnorm.pdf(theta, scale=scale)

    above = integrate.quad(density, 0, 30, points=[0.01, max(value, 0.02), 1], limit=500)[0]
    law = stats.norm if np.isinf(df) else stats.t(df)
    expected = above / law.pdf(value / se)
    assert half_normal_factor(value, se, scale, df) == pytest.approx(expected, rel=1e-6)


def test_bayes_factor_says_none_where_the_data_do():
    found = rs.bayes_factor(difference(0.0, 0.02), expected=-0.2)
    assert found["prior_scale"].tolist() == [-0.1, -0.2, -0.4]
    assert set(found["says"]) == {"none"}
    assert set(rs.bayes_factor(difference(-0.3, 0.05), expected=-0.2)["says"]) == {"effect"}
    # With no data to speak of, nothing is learned: the factor is one.
    assert rs.bayes_factor(difference(0.0, 1e6), -0.2)["bf10"].to_numpy() == pytest.approx(1)
    with pytest.raises(UsageError, match="none"):
        rs.bayes_factor(difference(0.1, 0.1), 0.0)


def test_ratio_and_its_logarithm_have_one_factor():
    ratio = Estimate("r", "", 0.5, 0.3, 0.8, 0.25, scale="ratio")
    log = difference(np.log(0.5), 0.25)
    ours = rs.bayes_factor(ratio, 0.7)["bf10"]
    np.testing.assert_allclose(ours, rs.bayes_factor(log, np.log(0.7))["bf10"])


def test_equivalence_by_hand():
    found = rs.equivalence(difference(0.01, 0.02), 0.05, reason="half of what costs a bed")
    assert found.verdict == "shown"
    assert found.p == pytest.approx(stats.norm.sf(2.0))  # (0.05 - 0.01) / 0.02
    assert (found.low, found.high) == pytest.approx(
        (0.01 - 1.6449 * 0.02, 0.01 + 1.6449 * 0.02), abs=1e-5
    )
    assert rs.equivalence(difference(0.2, 0.02), 0.05, reason="x").verdict == "refuted"
    unclear = rs.equivalence(difference(0.01, 0.2), 0.05, reason="x")
    assert unclear.verdict == "not shown"
    with pytest.raises(UsageError, match="reason"):
        rs.equivalence(difference(0.0, 0.1), 0.1, reason=" ")
    with pytest.raises(UsageError, match="above 1"):
        rs.equivalence(Estimate("r", "", 1, 0.9, 1.1, 0.05, scale="ratio"), 0.9, reason="x")


def test_non_inferiority_looks_one_way():
    worse, better = difference(0.2, 0.01), difference(-0.2, 0.01)
    how = {"reason": "x", "aim": "non-inferiority", "better": "lower"}
    assert rs.equivalence(worse, 0.1, **how).verdict == "refuted"
    assert rs.equivalence(better, 0.1, **how).verdict == "shown"
    assert rs.equivalence(better, 0.1, **{**how, "better": "higher"}).verdict == "refuted"


# --- net benefit ---------------------------------------------------------------------------


def patients(n=300, seed=1):
    rng = np.random.default_rng(seed)
    arm = np.repeat([0, 1], n // 2)
    months = rng.binomial(24, 0.5 + 0.1 * arm)
    cost = rng.gamma(2, 500, n) + 300 * arm + 20 * months
    return pd.DataFrame({"arm": arm, "months": months, "cost": cost})


def test_net_benefit_is_a_difference_of_means():
    data = patients()
    found = rs.net_benefit(data, "cost", "months", "arm", willingness=[0, 200], replicates=4000)
    rows = found.tidy().set_index("term")
    for w in (0, 200):
        own = w * data["months"] - data["cost"]
        a, b = own[data["arm"] == 1], own[data["arm"] == 0]
        row = rows.loc[f"net_benefit[{w}]"]
        assert row["estimate"] == pytest.approx(a.mean() - b.mean())
        se = np.sqrt(a.var(ddof=0) / len(a) + b.var(ddof=0) / len(b))
        assert row["std_error"] == pytest.approx(se, rel=4 / np.sqrt(2 * 4000))
        chance = found.acceptability([w])["probability"].iloc[0]
        expected = stats.norm.cdf((a.mean() - b.mean()) / se)
        assert chance == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(4000) + 0.01)
    assert found.quadrants()["share"].sum() == pytest.approx(1)


def test_cost_per_month_and_fieller():
    data = patients()
    found = rs.net_benefit(data, "cost", "months", "arm", replicates=4000)
    means = data.groupby("arm")[["cost", "months"]].mean()
    d = means.loc[1] - means.loc[0]
    assert found.ratio == pytest.approx(d["cost"] / d["months"])
    low, high = found.ratio_limits()
    # Fieller: at a limit w, the net benefit is z errors from zero
    S = np.cov(found.draws.T)
    for w in (low, high):
        z = (w * d["months"] - d["cost"]) / np.sqrt(w**2 * S[1, 1] - 2 * w * S[0, 1] + S[0, 0])
        assert abs(z) == pytest.approx(1.95996, rel=1e-4)


def test_clusters_of_one_and_of_many():
    data = patients()
    alone = rs.net_benefit(data, "cost", "months", "arm", seed=3)
    each = rs.net_benefit(data.assign(h=range(300)), "cost", "months", "arm", cluster="h", seed=3)
    pd.testing.assert_frame_equal(alone.tidy(), each.tidy())
    five = rs.net_benefit(data.assign(h=np.arange(300) // 30), "cost", "months", "arm", cluster="h")
    assert five.units == (5, 5)
    assert {c.name: c.verdict for c in five.checks()}["units resampled"] == "caution"
    one = data.assign(h=data["arm"])
    with pytest.raises(NotEstimable, match="1 unit"):
        rs.net_benefit(one, "cost", "months", "arm", cluster="h")
