"""The panel on loss to follow-up: its bounds, and one table for every difference."""

from __future__ import annotations

import pytest
from numpy.testing import assert_allclose

from recovery_stats.analyses import _meeting_rivals, _meeting_strategy_rivals
from recovery_stats.core.document import Row, Table
from recovery_stats.core.result import Result
from recovery_stats.errors import ConvergenceError
from tests.analyses.test_meeting_frequency import ask, words
from tests.analyses.test_meeting_sensitivity import FEW, loss_study
from tests.tolerance import CLOSED_FORM


@pytest.fixture(scope="module")
def lossy() -> Result:
    study, _, _ = loss_study()
    return ask(study, adjust=["age"], **FEW)


def rows_of(table: Table) -> dict[str, Row]:
    return {r.key: r for r in table.rows}


def test_the_bounds_cross_the_two_ends(lossy: Result) -> None:
    """Worst and best swap which group relapsed, so that their sum is that of the two ends."""
    worst, best, none, all_ = (
        lossy[f"loss[{n}]"].value for n in ("lowest", "highest", "0", "as relapse")
    )
    assert_allclose(worst + best, none + all_, rtol=CLOSED_FORM, atol=1e-12)
    inner = [e.value for e in lossy.estimates if e.name.startswith("loss[")]
    assert worst == min(inner)
    assert best == max(inner)


def test_one_table_holds_every_row_on_loss(lossy: Result) -> None:
    rows = rows_of(lossy.tables["missing_panel"])
    wanted = {"lost_relapse", "loss_weighted", "loss[1]", "loss[lowest]", "strategy[loss_2]"}
    assert wanted <= rows.keys()
    others = (t for n, t in lossy.tables.items() if n != "missing_panel")
    assert not any(wanted & rows_of(t).keys() for t in others)


def test_each_row_with_a_number_is_in_a_figure_of_its_scale(lossy: Result) -> None:
    keys = {
        k for k in rows_of(lossy.tables["missing_panel"]) if k in {e.name for e in lossy.estimates}
    }
    drawn = {}
    for name, scale in (("missing_forest", "difference"), ("missing_hazards", "ratio")):
        figure = lossy.figures[name]
        own = {r.name for r in figure.rows}
        assert {lossy[n].scale for n in own} == {scale}
        assert figure.log_x == (scale == "ratio")
        drawn |= dict.fromkeys(own, name)
    assert drawn.keys() == keys


def test_one_assumption_has_one_label(lossy: Result) -> None:
    same = [("loss[2]", "strategy[loss_2]"), ("loss[0]", "strategy[loss_0]")]
    same += [("loss[as relapse]", "lost_relapse"), ("lost_relapse", "strategy[lost_relapse]")]
    for one, other in same:
        assert lossy[one].label == lossy[other].label


def test_what_does_not_apply_is_said(lossy: Result) -> None:
    assert "no later value is there to be drawn or modelled" in words(lossy)


def fails(*_: object, **__: object) -> None:
    raise ConvergenceError("The search ended nowhere.")


def test_rows_that_cannot_be_fitted_stand_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_meeting_rivals, "censoring_weights", fails)
    monkeypatch.setattr(_meeting_strategy_rivals, "sustained", fails)
    study, _, _ = loss_study()
    result = ask(study, adjust=["age"], **FEW)
    panel = {(r.label, r.cells) for r in result.tables["missing_panel"].rows}
    why = ("not estimable", None, "The search ended nowhere.")
    relapse = "Missing = relapse: each loss one at once"
    assert {("Censored, with weights for loss", why), (relapse, why)} <= panel
    otherwise = result.tables["strategy_rivals"]
    assert rows_of(otherwise)["strategy[past]"].cells == ("not estimable",)
    (note,) = (n for n in otherwise.notes if "past attendance" in n)
    assert note.endswith("not estimable. The search ended nowhere.")
    page = words(result)
    assert "The search ended nowhere." in page


def test_a_rival_that_cannot_be_fitted_stands_among_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_meeting_rivals, "cox", fails)
    study, _, _ = loss_study()
    table = ask(study, site="site", primary="weekly", **FEW).tables["rivals"]
    assert rows_of(table)["site_frailty"].cells == ("not estimable", None, None)
    assert table.notes[-1] == "Site as a shared frailty is not estimable. The search ended nowhere."


def test_strategies_that_nobody_kept_are_a_row_that_says_so() -> None:
    study, _, _ = loss_study()
    result = ask(study, **FEW | {"more_from": 60})
    cells = [r.cells for r in result.tables["missing_panel"].rows]
    assert ("not estimable", None, _meeting_strategy_rivals.REFUSED) in cells
    assert "strategy_rivals" not in result.tables


def test_without_sensitivity_there_is_no_panel() -> None:
    study, _, _ = loss_study()
    assert "missing_panel" not in ask(study, sensitivity=False, **FEW).tables
