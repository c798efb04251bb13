"""alpha, omega total and item-rest correlations: by hand, closed form, psych and lavaan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as fisher

from recovery_stats.errors import NotEstimable
from recovery_stats.models.reliability import alpha, item_rest, omega_total
from tests.tolerance import CLOSED_FORM, R_DIGITS

R = json.loads((Path(__file__).parents[1] / "engines" / "factor.json").read_text())
ITEMS = pd.DataFrame(R["data"]).astype(float)


def parallel(n, k, loading, seed=1):
    """Items of equal loadings with an exact sample covariance: alpha = omega = Spearman-Brown."""
    raw = np.random.default_rng(seed).standard_normal((n, k))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    wanted = np.full((k, k), loading**2) + np.diag(np.full(k, 1 - loading**2))
    return pd.DataFrame(white @ np.linalg.cholesky(wanted).T)


def test_parallel_items_give_spearman_and_brown():
    k, r = 6, 0.7**2
    items = parallel(200, k, 0.7)
    brown = k * r / (1 + (k - 1) * r)
    assert alpha(items).value == pytest.approx(brown, abs=CLOSED_FORM)
    assert omega_total(items).value == pytest.approx(brown, abs=CLOSED_FORM)


def test_alpha_is_psychs_and_its_interval_feldts():
    found = alpha(ITEMS)
    assert found.value == pytest.approx(R["alpha"], abs=CLOSED_FORM)
    n, k = ITEMS.shape
    low = 1 - (1 - found.value) * fisher.isf(0.025, n - 1, (n - 1) * (k - 1))
    assert found.low == pytest.approx(low, abs=CLOSED_FORM)
    assert found.low < found.value < found.high


def test_omega_is_lavaans_with_its_error():
    found = omega_total(ITEMS)
    assert found.value == pytest.approx(R["omega"], rel=R_DIGITS)
    # lavaan has n in the covariance: its error is the same for a ratio of the parameters
    assert found.se == pytest.approx(R["omega_se"], rel=R_DIGITS)
    assert 0 < found.low < found.value < found.high < 1


def test_omega_of_standardised_items_is_that_of_r_on_the_correlations():
    loading, unique = np.array(R["standardised"]), np.array(R["standardised_uniqueness"])
    by_hand = loading.sum() ** 2 / (loading.sum() ** 2 + unique.sum())
    found = omega_total((ITEMS - ITEMS.mean()) / ITEMS.std())
    assert found.value == pytest.approx(by_hand, rel=R_DIGITS)
    assert abs(found.value - omega_total(ITEMS).value) > 0.01  # items on two scales


def test_unequal_loadings_put_alpha_below_omega():
    assert alpha(ITEMS).value < omega_total(ITEMS).value


def test_incomplete_rows_count_in_nothing():
    more = pd.concat([ITEMS, ITEMS.head(50).assign(V1=np.nan)], ignore_index=True)
    for coefficient in (alpha, omega_total):
        one, other = coefficient(ITEMS), coefficient(more)
        assert (other.value, other.low, other.n) == (one.value, one.low, one.n)


def test_an_item_turned_the_wrong_way_goes_against_the_rest():
    wrong = ITEMS.assign(V2=6 - ITEMS["V2"])
    assert (item_rest(ITEMS) > 0).all()
    assert item_rest(wrong).idxmin() == "V2"
    assert item_rest(wrong)["V2"] < 0


def test_item_rest_by_hand():
    rest = ITEMS.drop(columns="V3").sum(axis=1)
    assert item_rest(ITEMS)["V3"] == pytest.approx(np.corrcoef(ITEMS["V3"], rest)[0, 1])


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (ITEMS[["V1", "V2"]], "3 items or more"),
        (ITEMS.assign(V1=3.0), "V1 never varies"),
        (ITEMS.assign(V8=ITEMS["V1"] + ITEMS["V2"]), "others determine"),
        (ITEMS.head(5), "more rows than items|never varies"),
        (ITEMS.assign(V1=np.nan), "0 rows answered every item"),
    ],
)
def test_what_cannot_be_told_is_refused(items, words):
    with pytest.raises(NotEstimable, match=words):
        omega_total(items)


def test_the_intervals_hold_the_truth():
    """95% of 400 samples of 120 people; 4 Monte Carlo errors are 4.4 points."""
    rng, loadings = np.random.default_rng(3), np.array([0.8, 0.7, 0.6, 0.5, 0.4])
    truth = loadings.sum() ** 2 / (loadings.sum() ** 2 + (1 - loadings**2).sum())
    held = 0
    for _ in range(400):
        common = rng.standard_normal((120, 1)) * loadings
        noise = rng.standard_normal((120, 5)) * np.sqrt(1 - loadings**2)
        found = omega_total(pd.DataFrame(common + noise))
        held += found.low <= truth <= found.high
    assert abs(held / 400 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400)


# --- within people ---------------------------------------------------------------------------

WITHIN = json.loads(Path(__file__).with_name("reliability_within.json").read_text())


def test_within_people_it_is_lavaans_two_level_factor():
    data = pd.DataFrame(WITHIN["data"])
    found = omega_total(data.drop(columns="pid"), person=data["pid"])
    assert found.value == pytest.approx(WITHIN["omega"], rel=R_DIGITS)
    assert found.se == pytest.approx(WITHIN["se"], rel=2e-4)  # lavaan's information is observed


def test_where_everybody_has_one_mean_within_is_all_there_is():
    items = ITEMS.drop(index=ITEMS.index[0])
    doubled = pd.concat([items - items.mean(), items.mean() - items], ignore_index=True)
    person = pd.Series(np.tile(np.arange(len(items)), 2))
    assert alpha(doubled, person=person).value == pytest.approx(alpha(doubled).value)


def test_differences_between_people_do_not_count_within():
    rng = np.random.default_rng(9)
    person = pd.Series(np.repeat(np.arange(60), 5))
    change = rng.standard_normal((300, 1)) * np.array([0.8, 0.7, 0.6])
    items = pd.DataFrame(change + rng.standard_normal((300, 3)) * 0.6)
    moved = items.add(rng.standard_normal(60)[person] * 30, axis=0)
    for coefficient in (alpha, omega_total):
        one, other = coefficient(items, person=person), coefficient(moved, person=person)
        assert other.value == pytest.approx(one.value, abs=1e-8)
        assert coefficient(moved).value > 0.99


def test_a_person_seen_once_says_nothing_of_change():
    data = pd.DataFrame(WITHIN["data"])
    more = pd.concat([data, data.head(20).assign(pid=lambda d: 1000 + d.index)], ignore_index=True)
    for coefficient in (alpha, omega_total):
        one = coefficient(data.drop(columns="pid"), person=data["pid"])
        other = coefficient(more.drop(columns="pid"), person=more["pid"])
        assert (other.value, other.n) == (one.value, one.n)
    with pytest.raises(NotEstimable, match="No item changes within people"):
        alpha(ITEMS, person=pd.Series(range(len(ITEMS))))
