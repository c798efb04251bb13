"""The panel on loss to follow-up: its bounds, and one table for every difference."""

from __future__ import annotations

import pytest
from numpy.testing import assert_allclose

from recovery_stats.core.document import Row, Table
from recovery_stats.core.result import Result
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


def test_without_sensitivity_there_is_no_panel() -> None:
    study, _, _ = loss_study()
    assert "missing_panel" not in ask(study, sensitivity=False, **FEW).tables
