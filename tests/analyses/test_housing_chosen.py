"""Where the arm was chosen: rows by weights and pairs, the study's own stop rule, no overlap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from recovery_stats.errors import NotEstimable
from tests.analyses.test_collaborative_housing import ask, check, names, study

WEIGHTED = {"weighted_overlap", "weighted_ate", "weighted_att", "entropy_ate", "entropy_att",
            "matched", "doubly_robust"}  # fmt: skip


def _chosen(**columns):
    """Houses of both arms; the severe choose the house less."""
    rng = np.random.default_rng(8)
    sev = rng.normal(size=400)
    arm = (rng.random(400) < expit(-0.9 * sev)).astype(float)
    return study(n=400, clusters=25, arm=arm, sev=sev, **columns)


def _ask(data, **options):
    return ask(data, adjust=("sev",), cluster="house", **options)


def test_every_way_is_a_row_of_the_sensitivity_table_and_none_is_the_answer():
    found = {e.name: e for e in _ask(_chosen(), outcome="used").estimates}
    assert set(found) >= WEIGHTED
    assert {found[n].level for n in WEIGHTED} == {"sensitivity"}
    assert found["risk_difference"].level == "primary"


def test_balance_after_weights_is_shown_before_any_effect():
    result = _ask(_chosen(), outcome="used")
    before, after = result.tables["weighted_balance"].rows[0].cells[:2]
    assert abs(before.value) > 0.3
    assert after.value == pytest.approx(0, abs=1e-6)
    assert set(result.figures) >= {"propensity", "love_weighted"}
    assert check(result, "balance after weighting").verdict == "ok"


def test_the_stop_rule_of_the_study():
    data = _chosen()
    assert "weighted_ate" in names(_ask(data, outcome="used", balance_stop=0.1))
    with pytest.raises(NotEstimable, match=r"stop rule holds .*No effect was looked at"):
        _ask(data, outcome="used", weighting="ate", balance_stop=1e-4)


def test_a_propensity_of_one_is_named_and_counted():
    sev = np.random.default_rng(3).normal(size=400)
    data = study(n=400, clusters=25, arm=(sev > 0.2).astype(float), sev=np.where(sev > 0.2, 1, 0)
                 + np.r_[np.zeros(398), [0.5, 0.5]])  # fmt: skip
    told = check(_ask(data, outcome="used"), "positivity")
    assert told.verdict == "caution"
    assert "'sev' a propensity of exactly 0 or 1" in told.parts[0]
    assert told.parts[1].of == 400
    with pytest.raises(NotEstimable, match="no weights exist"):
        _ask(data, outcome="used", balance_stop=0.1)


def test_where_chance_decided_nothing_is_weighted():
    found = names(_ask(_chosen(), outcome="used", design="randomised"))
    assert not WEIGHTED & set(found)
