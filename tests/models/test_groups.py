"""Several groups, repeated measures, adjusted p: closed forms, scipy, R, simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import recovery_stats as rs
from recovery_stats.engines.repeated import mauchly_p
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.effect_size import partial_eta_squared
from tests.tolerance import CLOSED_FORM


def groups(n=(9, 14, 11), seed=1):
    rng = np.random.default_rng(seed)
    g = np.repeat([chr(97 + i) for i in range(len(n))], n)
    return pd.DataFrame({"g": g, "y": rng.normal(size=len(g)) * (1 + (g == "b"))})


def test_two_groups_are_the_t_tests():
    data = groups((9, 14))
    a, b = (data.loc[data.g == k, "y"] for k in "ab")
    found = rs.one_way(data, "y", "g")
    whole = found.tidy().set_index("term")
    for term, equal in (("f", True), ("welch", False)):
        t = stats.ttest_ind(b, a, equal_var=equal)
        row = whole.loc[term]
        assert (row["statistic"], row["p_value"]) == pytest.approx((t.statistic**2, t.pvalue))
    welch = stats.ttest_ind(b, a, equal_var=False)
    pair = found.pairwise("games-howell").iloc[0]
    assert (pair["statistic"], pair["df"]) == pytest.approx((welch.statistic, welch.df))
    assert pair["p_value"] == pytest.approx(welch.pvalue, rel=1e-6)  # the studentised range
    limits = welch.confidence_interval()
    assert (pair["conf_low"], pair["conf_high"]) == pytest.approx(tuple(limits), rel=1e-6)


def test_pairs_against_scipy():
    data = groups()
    parts = [data.loc[data.g == k, "y"] for k in "abc"]
    tukey = stats.tukey_hsd(*parts)
    found = rs.one_way(data, "y", "g").pairwise("tukey")
    for (i, j), row in zip([(0, 1), (0, 2), (1, 2)], found.itertuples(), strict=True):
        assert row.estimate == pytest.approx(tukey.statistic[j, i], rel=CLOSED_FORM)
        assert row.p_value == pytest.approx(tukey.pvalue[j, i], rel=1e-6)


def test_dunn_of_two_groups_squares_to_kruskal_wallis():
    data = groups((8, 13)).round(0)  # with ties
    found = rs.one_way(data, "y", "g")
    z = found.pairwise("dunn")["statistic"].iloc[0]
    h = found.tidy().set_index("term").loc["kruskal-wallis", "statistic"]
    assert z**2 == pytest.approx(h, rel=CLOSED_FORM)


def test_groups_too_small_are_refused():
    with pytest.raises(NotEstimable, match="2 groups"):
        rs.one_way(groups((5, 1)), "y", "g")


def test_step_up_by_hand():
    """k p_(j) / j from the largest downward; Hochberg (k - j + 1) p_(j)."""
    p = [0.01, np.nan, 0.04, 0.03]
    np.testing.assert_allclose(rs.adjust_p(p, "bh"), [0.03, np.nan, 0.04, 0.04])
    np.testing.assert_allclose(rs.adjust_p(p, "hochberg"), [0.03, np.nan, 0.04, 0.04])
    np.testing.assert_allclose(rs.adjust_p(p, "holm"), [0.03, np.nan, 0.06, 0.06])
    factor = 1 + 1 / 2 + 1 / 3
    np.testing.assert_allclose(rs.adjust_p(p, "by"), np.array([0.03, np.nan, 0.04, 0.04]) * factor)
    with pytest.raises(DataError):
        rs.adjust_p([0.2, 1.2])


def test_limits_of_partial_eta_squared_invert_the_noncentral_f():
    found = partial_eta_squared(6.6, 2, 42, sides=2, level=0.9)
    for limit, chance in ((found.low, 0.95), (found.high, 0.05)):
        c = limit * 42 / (1 - limit)
        assert stats.ncf.cdf(6.6, 2, 42, c) == pytest.approx(chance, rel=1e-8)
    assert partial_eta_squared(1.0, 2, 42).low == 0.0


def measures(n=12, k=4, seed=2):
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + rng.normal(size=(n, 1))
    return pd.DataFrame(Y, columns=[f"m{j}" for j in range(k)])


def test_two_measures_are_the_paired_t():
    data = measures(k=2)
    row = rs.repeated_anova(data, ["m0", "m1"]).tidy().set_index("term").loc["measure"]
    t = stats.ttest_rel(data.m0, data.m1)
    assert (row["statistic"], row["p_value"]) == pytest.approx((t.statistic**2, t.pvalue))
    assert row["p_gg"] == pytest.approx(row["p_value"])


def test_people_with_gaps_are_left_out_and_told():
    data = measures()
    data.loc[0, "m2"] = np.nan
    found = rs.repeated_anova(data, list(data))
    assert found.n == 11
    assert "incomplete people" in {c.name for c in found.checks()}


def test_mauchly_is_exact():
    """Uniform where sphericity holds: 20,000 samples of 10 people with 4 contrasts."""
    rng = np.random.default_rng(5)
    Z = rng.normal(size=(20_000, 9, 4))
    S = np.einsum("rij,rik->rjk", Z, Z)
    w = np.linalg.det(S) / (np.trace(S, axis1=1, axis2=2) / 4) ** 4
    for share in (0.05, 0.5):
        at = float(np.quantile(w, share))
        error = np.sqrt(share * (1 - share) / len(w))
        assert abs(mauchly_p(at, 4, 9) - share) < 3 * error
    # two contrasts: w to the power (df - 1) / 2
    assert mauchly_p(0.4, 2, 9) == pytest.approx(0.4**4)
