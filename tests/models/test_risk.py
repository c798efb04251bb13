"""Risks, ratios and means of two arms: closed forms, published tables, R, simulation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import DataError, NotEstimable
from recovery_stats.models.risk import (
    approximate_risk_ratio,
    count_effects,
    e_value,
    e_value_limit,
    number_needed,
    standardise,
)
from recovery_stats.models.sample import read_sample
from tests.tolerance import CLOSED_FORM, CONVERGED, EXACT

FROM_R = json.loads((Path(__file__).parent / "standardised_risk.json").read_text())
SHOW = {"level": 0.95, "rank": "primary", "method": ""}


def people(n=60, seed=0, **columns):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"arm": rng.permutation(np.arange(n) % 2).astype(float)})
    frame["used"] = (rng.random(n) < 0.5 - 0.2 * frame["arm"]).astype(float)
    frame["age"] = rng.normal(38, 9, n)
    return Dataset(frame.assign(**columns).set_axis(pd.RangeIndex(1, n + 1)))


# --- from counts ---------------------------------------------------------------------------


def test_oxford_house_trial_from_its_counts():
    """Jason 2006: 21 of 67 against 35 of 54, to the last printed digit."""
    difference, ratio, odds = count_effects(21, 67, 35, 54)
    assert [round(x, 3) for x in (ratio.value, ratio.low, ratio.high)] == [0.484, 0.322, 0.725]
    assert [round(x, 3) for x in (odds.value, odds.low, odds.high)] == [0.248, 0.116, 0.530]
    points = [round(100 * x, 1) for x in (difference.value, difference.low, difference.high)]
    assert points == [-33.5, -50.4, -16.6]
    assert round(number_needed(difference).value, 2) == 2.99
    assert round(e_value(ratio.value), 2) == 3.55


@pytest.mark.parametrize(
    ("counts", "rr", "or_", "rd"),
    [
        ((21, 67, 46, 71), (0.484, 0.326, 0.717), (0.248, 0.122, 0.504), (-33.4, -49.2, -17.7)),
        ((185, 283, 163, 287), (1.151, 1.009, 1.313), (1.436, 1.024, 2.014), (8.6, 0.6, 16.6)),
    ],
    ids=["Oxford House with 71 controls", "X:BOT"],
)
def test_other_published_tables(counts, rr, or_, rd):
    difference, ratio, odds = count_effects(*counts)
    # domain tables print 1.0089 as 1.009 and 1.3132 as 1.313
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx(rr, abs=6e-4)
    assert (odds.value, odds.low, odds.high) == pytest.approx(or_, abs=6e-4)
    points = [100 * x for x in (difference.value, difference.low, difference.high)]
    assert points == pytest.approx(rd, abs=0.06)


def test_impossible_and_empty_tables_are_refused():
    with pytest.raises(DataError, match="between 0 and"):
        count_effects(5, 4, 1, 9)
    with pytest.raises(NotEstimable, match="empty"):
        count_effects(0, 10, 4, 9)


def test_number_needed_runs_through_infinity():
    crossing = number_needed(Estimate("d", "", 0.10, -0.05, 0.25))
    assert crossing.crosses
    assert (crossing.value, crossing.low, crossing.high, crossing.other) == pytest.approx(
        (10, 4, np.inf, 20)
    )
    clear = number_needed(Estimate("d", "", -0.2, -0.25, -0.1))
    assert (clear.low, clear.high, clear.crosses) == (4, 10, False)


def test_e_values_of_the_reference_case():
    folder = Path(__file__).parents[3] / "shared" / "reference"
    if not folder.exists():
        pytest.skip("the reference cases are not beside this checkout")
    case = json.loads((folder / "evalue_formulas.json").read_text())
    kinds = {"OR_common": "odds_ratio", "HR_common": "hazard_ratio"}
    for i, row in pd.read_csv(folder / "evalue_formulas.csv").iterrows():
        values = [row["est"], row["lo"], row["hi"]]
        if row["kind"] == "SMD":
            d, se = row["est"], row["se"]
            ratio = approximate_risk_ratio(d, "smd")
            low, high = np.exp(0.91 * d - 1.78 * se), np.exp(0.91 * d + 1.78 * se)
        else:
            kind = kinds.get(row["kind"])
            ratio, low, high = (approximate_risk_ratio(v, kind) if kind else v for v in values)
        expected = case["values"]
        assert e_value(ratio) == pytest.approx(expected[f"evalue[{i + 1}]"], rel=EXACT)
        limit = e_value_limit(Estimate("r", "", ratio, low, high, scale="ratio"))
        assert limit == pytest.approx(expected[f"evalue_ci[{i + 1}]"], rel=EXACT)


# --- standardised --------------------------------------------------------------------------


def test_without_covariates_risks_are_proportions():
    data = people()
    y, arm = data.frame["used"], data.frame["arm"] == 1
    found = standardise(read_sample(data, "used", "arm"), "binomial")
    np.testing.assert_allclose(found.means, [y[~arm].mean(), y[arm].mean()], rtol=CLOSED_FORM)
    difference = found.effect("difference", "d", "", **SHOW)
    # HC2 of two proportions: unbiased variances, each over its own n
    by_hand = np.sqrt(y[~arm].var() / (~arm).sum() + y[arm].var() / arm.sum())
    assert difference.se == pytest.approx(by_hand, rel=CLOSED_FORM)
    odds = found.effect("odds_ratio", "o", "", **SHOW)
    p0, p1 = found.means
    assert odds.value == pytest.approx(p1 / (1 - p1) * (1 - p0) / p0, rel=CLOSED_FORM)


def test_without_covariates_logistic_and_linear_agree_under_clusters():
    """Residual adjustment cannot depend on the model where it is saturated."""
    cluster = np.repeat(np.arange(12), 5)
    data = people(arm=(np.arange(60) >= 30).astype(float))
    sample = read_sample(data, "used", "arm", cluster=cluster)
    logit, linear = standardise(sample, "binomial"), standardise(sample, "gaussian")
    one, other = (f.effect("difference", "d", "", **SHOW) for f in (logit, linear))
    assert (one.value, one.se) == pytest.approx((other.value, other.se), rel=CONVERGED)
    means = data.frame["used"].groupby(cluster).mean().to_numpy()
    by_hand = np.sqrt(means[:6].var(ddof=1) / 6 + means[6:].var(ddof=1) / 6)
    assert one.se == pytest.approx(by_hand, rel=CONVERGED)
    assert other.df == pytest.approx(10, rel=CLOSED_FORM)


def test_adjusted_risks_equal_r():
    data = Dataset(pd.DataFrame(FROM_R["data"]).astype(float))
    found = standardise(read_sample(data, "used", "arm", ["age", "sex"]), "binomial")
    np.testing.assert_allclose(found.means, [FROM_R["risk0"], FROM_R["risk1"]], rtol=CONVERGED)
    for kind in ("difference", "ratio", "odds_ratio"):
        effect = found.effect(kind, kind, "", **SHOW)
        assert effect.value == pytest.approx(FROM_R[kind]["value"], rel=CONVERGED)
        assert effect.se == pytest.approx(FROM_R[kind]["se"], rel=CONVERGED)


def test_weights_of_two_equal_a_person_twice_in_one_cluster():
    data = people(40)
    data = data.with_frame(data.frame.assign(w=np.where(data.frame.index % 3 == 0, 2.0, 1.0)))
    weighted = standardise(read_sample(data, "used", "arm", ["age"], weights="w"), "binomial")
    twice = data.with_frame(data.frame.loc[data.frame.index.repeat(data.frame["w"].astype(int))])
    repeated = standardise(read_sample(twice, "used", "arm", ["age"]), "binomial")
    np.testing.assert_allclose(weighted.means, repeated.means, rtol=CONVERGED)


def test_factors_enter_by_level_and_a_dependent_covariate_is_named():
    codebook = Codebook(
        {"race": Variable("race", "Race", {1.0: "A", 2.0: "B", 3.0: "C"}, measure="nominal")}
    )
    data = people(race=np.arange(60) % 3 + 1.0, again=1.0)
    data = Dataset(data.frame.assign(again=2 * data.frame["age"] + 1), codebook)
    sample = read_sample(data, "used", "arm", ["race", "age"])
    assert sample.names == ("Intercept", "arm", "race[T.B]", "race[T.C]", "age")
    with pytest.raises(NotEstimable, match="'again' is constant, or determined"):
        read_sample(data, "used", "arm", ["age", "again"])


def test_separation_names_the_column():
    data = people()
    data = data.with_frame(data.frame.assign(score=data.frame["used"] * 3 + data.frame["age"] / 99))
    with pytest.raises(NotEstimable, match="separated by 'score'"):
        standardise(read_sample(data, "used", "arm", ["score"]), "binomial")


def test_weights_must_be_positive():
    data = people(w=1.0)
    data.frame.loc[7, "w"] = 0.0
    with pytest.raises(DataError, match="'w' is zero, negative or infinite in 1 rows"):
        read_sample(data, "used", "arm", weights="w")


def test_thin_strata_are_taken_together():
    data = people(60)
    cluster = np.repeat([0, 1, 2, 3], [28, 28, 2, 2])
    strata = read_sample(data, "used", "arm", cluster=cluster).stratified()
    assert strata.names == ("Intercept", "arm", "stratum", "stratum")
    assert strata.cluster is None


@pytest.mark.parametrize(("clusters", "most"), [(8, 0.07), (20, 0.07)])
def test_type_one_error_with_few_randomised_clusters(clusters, most):
    """No effect, intraclass correlation about 0.1: the naive test rejects far too often."""
    rng = np.random.default_rng(clusters)
    size, replicates = 15, 600
    cluster = np.repeat(np.arange(clusters), size)
    rejected = np.zeros(2)
    for _ in range(replicates):
        arm = rng.permutation(np.arange(clusters) % 2)[cluster].astype(float)
        risk = 1 / (1 + np.exp(-rng.normal(0, 0.6, clusters)))
        y = (rng.random(len(cluster)) < risk[cluster]).astype(float)
        data = Dataset(pd.DataFrame({"y": y, "arm": arm}))
        sample = read_sample(data, "y", "arm", cluster=cluster)
        for k, each in enumerate((sample, sample.alone())):
            rejected[k] += (
                standardise(each, "binomial").effect("difference", "d", "", **SHOW).p < 0.05
            )
    robust, naive = rejected / replicates
    error = np.sqrt(0.05 * 0.95 / replicates)
    assert robust < most + 2 * error
    assert naive > 0.10
