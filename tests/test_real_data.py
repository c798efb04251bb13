"""Study files of real data: published numbers, and the traps that the reports must name.

The data are not part of this project; without them beside it the tests are skipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats import analyses
from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError
from recovery_stats.study import workflow
from recovery_stats.study.binding import bind

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
FOUR_DIGITS = 5e-5  # as printed by the source
UIS_HAZARD_RATIO = 0.7826  # R 4.2.2, survival: 0.78262605

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no real data beside the project")


def study(name: str) -> Study:
    return rs.read_study(HERE / "studies" / name / "study.toml", allow_outside=True)


def answered(name: str, analysis: str) -> Result:
    """One analysis of a study file, with the options written there."""
    asked = study(name)
    spec = next(a for a in asked.protocol.analyses if a.name == analysis)
    found = analyses.get(spec.kind)
    return workflow.answer_question(found, bind(found, asked, spec.options), asked)


def first_screen(result: Result) -> str:
    text = workflow.render(workflow.report(result), "x", ["md"])["x.md"].decode()
    return text.split("## What is estimated")[0]


def everything(result: Result) -> str:
    return workflow.render(workflow.report(result), "x", ["md"])["x.md"].decode()


@pytest.fixture(scope="module")
def arms() -> Result:
    return answered("ctn0051", "relapse_by_arm")


def test_relapse_by_arm_of_xbot_has_the_hazard_ratio_of_efron_ties(arms):
    """R survival::coxph on the same rows: 1.4053 (1.140 to 1.732); Lancet 391:309 has 1.36."""
    found = arms.estimates[0]
    assert_allclose(found.value, 1.4053, atol=FOUR_DIGITS)
    assert_allclose((found.low, found.high), (1.140, 1.732), atol=5e-4)
    assert (found.n, found.events) == (570, 353)


def test_within_sites_it_is_the_stratified_one():
    found = answered("ctn0051", "relapse_by_arm_within_sites").estimates[0]
    assert_allclose(found.value, 1.431, atol=5e-4)
    assert_allclose((found.low, found.high), (1.160, 1.765), atol=5e-4)


def test_relapses_by_arm_are_the_recoded_counts(arms):
    cells = {row.label: row.cells[:2] for row in arms.tables["curves_table"].rows}
    counts = {label: (n.n, events.n) for label, (n, events) in cells.items() if n is not None}
    assert counts["Inpatient extended-release naltrexone"] == (283, 187)
    assert counts["Inpatient buprenorphine"] == (287, 166)


def test_first_trap_what_is_known_at_baseline_only_is_named():
    result = answered("ctn0094", "opioid_days_on_visits_and_partner")
    assert "Marital status is known at baseline only" in first_screen(result)
    once = next(c for c in result.checks if c.name == "known once a person")
    assert "Marital status" in str(once.parts)
    living = answered("ctn0094", "relapse_by_living_arrangement")
    assert "Living arrangement is known at baseline only" in first_screen(living)


def test_second_trap_days_of_use_without_a_visit_are_unknown():
    result = answered("ctn0094", "opioid_days_on_visits_and_partner")
    assert "unknown, not 0, in weeks without a clinic visit" in first_screen(result)
    visits = study("ctn0094")["waves"].frame["VISITS"]
    assert visits.min() >= 1
    assert result.facts["rows"].n <= len(visits)
    assert next(c for c in result.checks if c.name == "bounded outcome").verdict == "caution"


def test_third_trap_a_shared_source_fails_and_shows_no_effect():
    result = answered("ctn0094", "relapse_by_visits")
    assert result.estimates == ()
    assert workflow.failed_checks(result) == ("shared source",)
    assert "No estimate is given" in first_screen(result)
    assert not {"ratios", "rivals", "curves_table"} & set(result.tables)


def test_living_arrangement_is_thin_and_says_so():
    """47 unstable among 1,385 randomised people with an answer; site numbers recur in trials."""
    result = answered("ctn0094", "relapse_by_living_arrangement")
    text = everything(result)
    assert "1,385" in text
    assert "47" in text
    assert "Only 47 of 1,385 people are in “No”" in first_screen(result)
    assert "15 of 32 sites" in first_screen(result)
    assert {"risk_difference", "risk_ratio", "odds_ratio"} <= {e.name for e in result.estimates}


def test_residential_programmes_of_uis():
    """R survival::coxph(Surv(TIME, CENSOR) ~ TREAT + strata(SITE), ties = "efron")."""
    result = answered("uis", "return_to_use_by_programme")
    assert result.facts["people"].n == 575
    assert result.facts["relapses"].n == 464
    assert_allclose(result.estimates[0].value, UIS_HAZARD_RATIO, atol=FOUR_DIGITS)


def test_a_column_that_does_not_exist_is_named():
    with pytest.raises(DataError, match="partner"):
        rs.answer("relationship_satisfaction", study("ctn0094"), partnered="partner")


def test_missed_screens_of_xbot_show_what_the_missing_rule_does():
    """11.6 points with missing as positive, which is declared; 6.6 among the attended."""
    result = answered("ctn0051", "missed_screens")
    values = {n: result[f"screens[{n}]"].value for n in ("positive", "observed")}
    assert_allclose([*values.values()], [0.116, 0.066], atol=5e-4)
    assert result["mean_difference"].value == values["positive"]
    table = result.tables["screens_panel"]
    assert [r.key for r in table.rows if "(declared)" in r.label] == ["screens[positive]"]
