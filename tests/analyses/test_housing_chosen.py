"""Where the arm was chosen: rows by weights and pairs, the study's own stop rule, no overlap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from recovery_stats.errors import UsageError
from recovery_stats.report.markdown import render
from recovery_stats.study import workflow
from tests.analyses.test_collaborative_housing import ask, check, names, study

WEIGHTED = {"weighted_overlap", "weighted_ate", "weighted_att", "entropy_ate", "entropy_att",
            "matched", "doubly_robust"}  # fmt: skip


def _chosen(**columns):
    """Houses of both arms; the severe choose the house less."""
    rng = np.random.default_rng(8)
    sev = rng.normal(size=400)
    arm = (rng.random(400) < expit(-0.9 * sev)).astype(float)
    return study(n=400, clusters=25, arm=arm, sev=sev, **columns)


def text(result) -> str:
    return render(workflow.report(result)).decode()


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


@pytest.mark.parametrize(("design", "drawn"), [("chosen", False), ("randomised", True)])
def test_a_chosen_arm_has_a_difference_and_no_effect_or_treatment(design, drawn):
    said = text(_ask(_chosen(), outcome="used", design=design))
    assert ("Effect of the arm" in said, "Difference between the arms" in said) == (
        drawn,
        not drawn,
    )
    claims = ("The number needed to treat is", "(number needed to treat,")
    assert any(claim in said for claim in claims) == drawn
    assert ("Only if the difference were the arm's doing" in said) == (not drawn)


def test_balance_within_the_rule_lets_the_effect_be_shown():
    assert "weighted_ate" in names(_ask(_chosen(), outcome="used", balance_stop=0.1))


@pytest.mark.parametrize("asked", [
    {"outcome": "used"}, {"outcome": "used", "time": "time", "event": "event"},
    {"time": "time", "event": "event"},
])  # fmt: skip
def test_the_stop_rule_shows_the_groups_and_withholds_every_effect(asked):
    result = _ask(_chosen(), weighting="ate", balance_stop=1e-4, **asked)
    told = check(result, "stop rule")
    assert told.verdict == "fail"
    assert "The effect is not shown because the rule stopped it" in told.parts[-1]
    assert not result.estimates
    assert {"weighted_balance", "balance", "table_one"} <= set(result.tables)
    assert set(result.figures) == {"propensity", "love_weighted"}
    said = text(result)
    assert said.index("No effect is shown") < said.index("Balance before any effect")
    for withheld in ("Main result", "## Sensitivity", "Time to relapse\n", "Declared", "interval"):
        assert withheld not in said, withheld
    assert workflow.refusal(workflow.report(result)).startswith("After weighting")


def test_a_stopped_report_reads_no_outcome():
    """The same report whatever became of the people: only who has an outcome may matter."""
    data = _chosen()
    asked = {"outcome": "used", "weighting": "ate", "balance_stop": 1e-4}
    turned = study(n=400, clusters=25, **{
        c: data["persons"].frame[c].to_numpy() for c in ("arm", "sev")
    }, used=1 - data["persons"].frame["used"].to_numpy())  # fmt: skip
    first, second = (text(_ask(d, **asked)) for d in (data, turned))
    assert first.split("## Provenance")[0] == second.split("## Provenance")[0]


def test_the_rule_holds_for_weights_that_the_study_brings():
    data = _chosen(w=np.ones(400))
    found = _ask(data, outcome="used", weights="w", balance_stop=0.1)
    assert not found.estimates
    assert check(found, "stop rule").parts[0] == "After weighting by “w”, "


def test_a_rule_without_a_covariate_to_be_balanced_is_refused():
    with pytest.raises(UsageError, match="balance of covariates, and none is named"):
        ask(_chosen(), adjust=(), outcome="used", balance_stop=0.1)


def test_a_propensity_of_one_is_named_and_counted():
    sev = np.random.default_rng(3).normal(size=400)
    data = study(n=400, clusters=25, arm=(sev > 0.2).astype(float), sev=np.where(sev > 0.2, 1, 0)
                 + np.r_[np.zeros(398), [0.5, 0.5]])  # fmt: skip
    told = check(_ask(data, outcome="used"), "positivity")
    assert told.verdict == "caution"
    assert "'sev' a propensity of exactly 0 or 1" in told.parts[0]
    assert told.parts[1].of == 400
    stopped = _ask(data, outcome="used", balance_stop=0.1)
    assert not stopped.estimates
    assert "no weights exist" in "".join(map(str, check(stopped, "stop rule").parts))
    assert check(stopped, "positivity").parts == told.parts
    assert "no weights can make these groups alike" in text(stopped)


def test_where_chance_decided_nothing_is_weighted():
    found = names(_ask(_chosen(), outcome="used", design="randomised"))
    assert not WEIGHTED & set(found)
