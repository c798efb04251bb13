"""Wald tests of the terms of an ordinal mixed model, whose thresholds stand for an intercept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from tests.tolerance import CONVERGED, R_DIGITS

FROM_R = json.loads((Path(__file__).parent / "ordinal_anova.json").read_text())
DATA = pd.DataFrame(FROM_R["data"])
BOTH, MAIN = "arm * site + x", "arm + site + x"


def anova(terms: str, type: int, data: pd.DataFrame) -> pd.DataFrame:
    fit = rs.glmm(f"grade ~ {terms} + (1 | person)", data, family="ordinal", quadrature=15)
    return fit.anova(type).set_index("term")


def test_type_3_is_that_of_clmm_under_sums_to_zero() -> None:
    table = anova(BOTH, 3, DATA)
    assert table.statistic[["arm", "site", "x", "arm:site"]].to_numpy() == pytest.approx(
        FROM_R["both"], rel=10 * R_DIGITS
    )
    assert table.num_df.to_list() == [2, 1, 1, 2]
    assert np.isinf(table.den_df).all()


def test_without_interactions_all_terms_are_tested_as_clmm_does() -> None:
    for type in (2, 3):
        table = anova(MAIN, type, DATA)
        assert table.statistic.to_numpy() == pytest.approx(FROM_R["main"], rel=10 * R_DIGITS)


@pytest.mark.parametrize("type", [2, 3])
def test_the_level_of_reference_does_not_matter(type: int) -> None:
    """Type 3 is dense algebra in any coding; type 2 as well."""
    other = DATA.assign(
        arm=pd.Categorical(DATA.arm, ["usual", "clinic", "house"]),
        site=pd.Categorical(DATA.site, ["south", "north"]),
    )
    one, two = anova(BOTH, type, DATA), anova(BOTH, type, other)
    assert two.statistic.to_numpy() == pytest.approx(one.statistic.to_numpy(), rel=1e3 * CONVERGED)


def test_type_2_is_close_to_the_likelihood_ratio_against_the_model_without_interaction() -> None:
    """A term is adjusted for those that do not contain it; the two tests agree at order 1/n."""
    table = anova(MAIN, 2, DATA)
    fits = [
        rs.glmm(f"grade ~ {terms} + (1 | person)", DATA, family="ordinal")
        for terms in ("arm + site", MAIN)
    ]
    ratio = 2.0 * (fits[1].engine.log_likelihood - fits[0].engine.log_likelihood)
    assert table.statistic["x"] == pytest.approx(ratio, rel=0.1)
