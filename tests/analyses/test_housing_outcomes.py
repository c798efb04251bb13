"""What a housing study declares beyond its primary difference, and nothing that it did not."""

import numpy as np
import pytest

from recovery_stats import analyses
from recovery_stats.analyses._refusal import CONSTANT, NO_ANSWER
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.document import Heading
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models import comparison
from recovery_stats.models.evidence import bayes_factor
from recovery_stats.models.subgroup import subgroups
from recovery_stats.report.compose import compose
from recovery_stats.report.markdown import render
from tests.analyses.test_collaborative_housing import study
from tests.tolerance import CONVERGED

ASKED = {"person": "pid", "arm": "arm", "cluster": "house", "adjust": ("sev",)}


def test_nothing_undeclared_is_told():
    found = answer(Question(outcome="used", **ASKED), study())
    assert not {"subgroups", "equivalence", "bayes"} & set(found.tables)
    assert "declared" not in found.said


def test_subgroups_margin_and_bayes():
    rng = np.random.default_rng(1)
    data = study(sex=np.where(rng.random(240) < 0.5, "man", "woman"), ace=rng.poisson(3, 240) * 1.0)
    found = answer(
        Question(
            outcome="income", subgroup=("sex", "ace"), margin=500.0,
            margin_reason="what a room costs", expected=100.0, better="higher", **ASKED,
        ),
        data,
    )  # fmt: skip
    named = {e.name: e for e in found.estimates}
    assert {"subgroup[sex,0]", "subgroup[sex,1]", "subgroup[ace,2]"} <= set(named)
    assert {"subgroups", "interactions", "equivalence", "bayes"} <= set(found.tables)
    # the effects of both sexes straddle that of all
    ends = sorted(named[f"subgroup[sex,{i}]"].value for i in (0, 1))
    assert ends[0] - 1 <= named["mean_difference"].value <= ends[1] + 1
    verdict = {r.key: r.cells[0] for r in found.tables["equivalence"].rows}["verdict"]
    assert str(verdict).startswith("Shown")
    printed = [r.cells[1].value for r in found.tables["bayes"].rows]
    assert printed == bayes_factor(named["mean_difference"], 100.0)["bf10"].tolist()
    analysis = analyses.get("collaborative_housing")
    page = compose(found, analysis.title, analysis.template)
    headings = [b.text for b in page.blocks if isinstance(b, Heading)]
    assert "Declared beforehand" in headings


def test_what_was_declared_and_has_no_answer_keeps_its_row_and_its_reason():
    """One value; one arm only; as many tests in Holm's family as were declared."""
    people = study()["persons"].frame
    arm, kin = people["arm"].to_numpy(), np.arange(240) % 3 + 1.0
    data = study(one=7.0, half=np.where(arm == 1, kin, np.nan), kin=kin, same=1.0, side=arm + 1.0)
    found = answer(
        Question(outcome="used", secondary=("income", "one", "half"),
                 subgroup=("same", "side", "kin"), **ASKED), data,
    )  # fmt: skip
    rows = {r.key: r.cells for r in found.tables["secondary_outcomes"].rows}
    p = next(e.p for e in found.estimates if e.name == "secondary[income]")
    assert rows["secondary[income]"][3].value == pytest.approx(min(1.0, 3 * p))
    assert rows["secondary[one]"][1] == f"no estimate: {CONSTANT}"
    assert rows["secondary[half]"][1] == f"no estimate: {NO_ANSWER}"
    why = {r.key: r.cells[0] for r in found.tables["subgroups_refused"].rows}
    assert why["refused[same]"] == CONSTANT
    assert "one arm only" in why["refused[side]"]
    (row,) = found.tables["interactions"].rows
    assert row.cells[4].value == pytest.approx(min(1.0, 3 * row.cells[3].value))
    cautions = {c.name for c in found.checks if c.verdict == "caution"}
    assert {"secondary outcomes", "declared subgroups"} <= cautions
    analysis = analyses.get("collaborative_housing")
    text = render(compose(found, analysis.title, analysis.template)).decode()
    assert f"no estimate: {CONSTANT}" in text


def test_times_and_treatment_without_an_answer_leave_the_outcome_its_report():
    arm = study()["persons"].frame["arm"].to_numpy()
    data = study(moved=1.0, days=np.arange(240) + 1.0, back=(arm == 1) * 1.0)
    asked = {"outcome": "used", "design": "randomised"} | ASKED
    found = answer(Question(treatment="moved", time="days", event="back", **asked), data)
    assert (
        found["risk_difference"].value == answer(Question(**asked), data)["risk_difference"].value
    )
    assert {"time to relapse", "treatment taken"} <= {c.name for c in found.checks}
    with pytest.raises(NotEstimable, match="did not occur"):
        answer(Question(time="days", event="back", **ASKED), data)


def test_a_margin_needs_its_reason():
    with pytest.raises(UsageError, match="reason"):
        answer(Question(outcome="income", margin=100.0, **ASKED), study())


def drawn_within_sites():
    """Arms drawn by lot within 24 sites, which are the clusters."""
    rng = np.random.default_rng(5)
    data = study(arm=rng.permutation(np.arange(240) % 2) * 1.0)
    used = data["persons"].frame["used"].to_numpy()
    return study(arm=data["persons"].frame["arm"].to_numpy(), used=used, again=used)


@pytest.mark.parametrize("design", ["randomised", "chosen"])
def test_a_secondary_outcome_is_compared_as_the_primary_one(design):
    asked = Question(outcome="used", secondary=("again",), design=design, **ASKED)
    found = answer(asked, drawn_within_sites())
    first, again = found["risk_difference"], found["secondary[again]"]
    assert ("stratified" in found.said) == (design == "randomised")
    for part in ("value", "low", "high", "se", "df", "p", "n"):
        assert getattr(again, part) == pytest.approx(getattr(first, part), rel=CONVERGED), part


def test_subgroups_are_within_the_strata_of_the_primary_difference():
    data = drawn_within_sites()
    frame = data["persons"].frame
    half = study(arm=frame["arm"].to_numpy(), used=frame["used"].to_numpy(),
                 sex=np.where(np.arange(240) % 3, "man", "woman"))  # fmt: skip
    found = answer(Question(outcome="used", subgroup=("sex",), design="randomised", **ASKED), half)
    direct = subgroups(half["persons"], "used", "arm", ["sex"], adjust=["sev"], cluster="house",
                       strata="house").tidy()  # fmt: skip
    for i, row in enumerate(direct.itertuples()):
        e = found[f"subgroup[sex,{i}]"]
        assert (e.value, e.se) == pytest.approx((row.estimate, row.std_error), rel=CONVERGED)


def test_clusters_too_many_to_be_left_out_in_turn_are_said(monkeypatch):
    asked = Question(outcome="used", **ASKED)
    assert "left_out_skipped" not in answer(asked, study()).said
    monkeypatch.setattr(comparison, "MOST_WORK", 100)
    found = answer(asked, study())
    assert "left_out_low" not in {e.name for e in found.estimates}
    analysis = analyses.get("collaborative_housing")
    page = render(compose(found, analysis.title, analysis.template)).decode()
    assert "No house was left out in turn" in page
