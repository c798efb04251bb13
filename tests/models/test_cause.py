"""How causes of competing events may be told: codes, labels, a Categorical; what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable

WORDS = ("censored", "relapse", "death")


@pytest.fixture
def coded() -> pd.DataFrame:
    rng, n = np.random.default_rng(3), 90
    return pd.DataFrame(
        {
            "time": rng.integers(1, 30, n).astype(float),
            "cause": rng.integers(0, 3, n),
            "x": rng.normal(size=n),
            "arm": rng.choice(["a", "b"], n),
        }
    )


@pytest.fixture
def named(coded: pd.DataFrame) -> pd.DataFrame:
    return coded.assign(cause=pd.Categorical.from_codes(coded["cause"], WORDS))


def test_a_categorical_names_the_causes(coded: pd.DataFrame, named: pd.DataFrame) -> None:
    """As value labels do; its first category is censoring, as in R's Surv of a factor."""
    values = {float(k): word for k, word in enumerate(WORDS)}
    labelled = Dataset(coded, Codebook({"cause": Variable("cause", values=values)}))
    formula = "Surv(time, cause) ~ arm"
    before = named.copy()
    for estimate in (rs.cumulative_incidence, rs.gray_test):
        found, theirs = (estimate(formula, d).tidy() for d in (named, labelled))
        assert set(found["cause"]) == {"relapse", "death"}
        pd.testing.assert_frame_equal(found, theirs)
    fit = rs.fine_gray("Surv(time, cause) ~ x", named, cause="death")
    plain = rs.fine_gray("Surv(time, cause) ~ x", coded, cause=2)
    pd.testing.assert_frame_equal(fit.tidy(), plain.tidy())
    pd.testing.assert_frame_equal(named, before)


def test_a_missing_category_is_a_missing_value(named: pd.DataFrame) -> None:
    gone = named["cause"].where(named.index >= 10)
    found = rs.cumulative_incidence("Surv(time, cause) ~ arm", named.assign(cause=gone)).tidy()
    some = rs.cumulative_incidence("Surv(time, cause) ~ arm", named.iloc[10:]).tidy()
    pd.testing.assert_frame_equal(found, some)


def test_a_cause_that_nobody_had_leaves_the_others_to_be_tested(coded: pd.DataFrame) -> None:
    formula = "Surv(time, cause) ~ arm"
    doubled = coded.assign(cause=coded["cause"] * 2)
    plain = rs.gray_test(formula, coded).tidy()
    for test in (
        rs.gray_test(formula, doubled),
        rs.cumulative_incidence(formula, doubled).gray_test(),
    ):
        found = test.tidy().set_index("cause")
        assert found.loc[["1", "3"], "p_value"].isna().all()
        assert list(found.loc[["2", "4"], "statistic"]) == list(plain["statistic"])
    with pytest.raises(NotEstimable, match="two groups"):
        rs.gray_test("Surv(time, cause) ~ 1", coded)


@pytest.mark.parametrize("estimate", [rs.cumulative_incidence, rs.gray_test])
def test_words_and_codes_of_missing_are_refused(estimate, coded: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    formula = "Surv(time, cause) ~ arm"
    words = coded["cause"].map(dict(enumerate(WORDS)))
    with pytest.raises(DataError, match=r"'cause' holds text; make it a Categorical whose first"):
        estimate(formula, coded.assign(cause=words))
    missing = coded["cause"].where(coded.index != 4, 10**9)  # a curve each would fill the memory
    with pytest.raises(DataError, match=r"codes above 99 in 1 rows \(row 5\); .* leave a code"):
        estimate(formula, coded.assign(cause=missing))


def test_words_of_one_event_are_named_in_the_formula(coded: pd.DataFrame) -> None:
    words = coded.assign(event=np.where(coded["cause"] > 0, "yes", "no"))
    with pytest.raises(DataError, match=r"holds text; .* name the event: event == 'relapse'\."):
        rs.cox("Surv(time, event) ~ x", words)
    plain = rs.cox("Surv(time, event) ~ x", coded.assign(event=(coded["cause"] > 0).astype(int)))
    assert rs.cox("Surv(time, event == 'yes') ~ x", words).beta == plain.beta
