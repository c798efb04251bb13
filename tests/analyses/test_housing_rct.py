"""Trials of houses in the report: methods for few clusters, the instrument, what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.dataset import Step
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.report import render
from tests.analyses.test_collaborative_housing import ask, study, words


def moved(n=240, seed=4):
    rng = np.random.default_rng(seed)
    base = study()["persons"].frame
    took = (rng.normal(size=n) + 2 * base["arm"].to_numpy() - 1 > 0).astype(float)
    months = took * np.ceil(rng.exponential(5, n))
    return study(moved_in=took, months=months, stay6=(months > 6).astype(float))


def page(result):
    return render(words(result), "md").decode()


def test_every_method_for_few_clusters_is_a_row():
    found = ask(study(), outcome="used", design="houses-randomised")
    rows = {e.name: e for e in found.estimates}
    for name in ("gee_kauermann_carroll", "gee_mancl_derouen", "gee_fay_graubard", "wild"):
        assert rows[name].low < rows[name].value < rows[name].high
    assert "by house" in rows["permutation"].method


def test_what_was_not_drawn_is_not_permuted():
    found = ask(study(), outcome="used", design="chosen")
    assert "permutation" not in {e.name for e in found.estimates}
    assert "smallest attainable p" not in {c.name for c in found.checks}


def test_four_against_four_say_what_p_can_be():
    found = ask(study(clusters=8), outcome="used", design="houses-randomised")
    checks = {c.name: c for c in found.checks}
    assert checks["smallest attainable p"].parts[3].value == 2 / 70
    assert checks["choice of errors"].verdict == "caution"


def test_three_against_three_are_told_without_a_limit():
    found = ask(study(clusters=6), outcome="used", design="houses-randomised")
    rows = {e.name: e for e in found.estimates}
    assert np.isinf(rows["permutation"].low)
    checks = {c.name: c for c in found.checks}
    assert checks["smallest attainable p"].verdict == "caution"
    assert "No result could have been called significant" in page(found)


def test_moving_in_by_instrument():
    found = ask(moved(), outcome="used", design="randomised", treatment="moved_in")
    rows = {e.name: e for e in found.estimates}
    assert rows["moving_in"].value < rows["risk_difference"].value
    assert {"instrument", "moved_in"} <= found.said
    assert {"cross-over", "exclusion"} <= {c.name for c in found.checks}
    assert "compliers" in {row.key for row in found.tables["instrument"].rows}
    assert "Among people who move in if assigned" in page(found)


def test_months_are_labelled():
    found = ask(moved(), outcome="used", design="randomised", treatment="months")
    assert "months" in found.said
    assert (
        "linear average causal response" in {e.name: e for e in found.estimates}["moving_in"].method
    )


def test_stayed_six_months_is_refused_with_the_reason():
    with pytest.raises(NotEstimable, match="exclusion fails"):
        ask(moved(), outcome="used", design="randomised", treatment="stay6")


def test_an_instrument_needs_chance():
    with pytest.raises(UsageError, match="chance"):
        ask(moved(), outcome="used", design="chosen", treatment="moved_in")


# --- the flow by arm -----------------------------------------------------------------------


def incomplete():
    """Rows 1 to 5 dead, 6 to 20 not asked, two without an arm, four of a file of 260 filtered."""
    base = moved()
    data = base["persons"]
    used, arm = (data.frame[c].copy() for c in ("used", "arm"))
    used.iloc[:20] = np.nan
    arm.iloc[-2:] = np.nan
    codes = pd.Series([-97.0] * 5, index=range(1, 6))
    data = replace(
        data.with_frame(data.frame.assign(used=used, arm=arm)),
        missing={"used": codes},
        flow=(Step("in the file", 260), Step("site == 1", 240)),
    )
    return replace(base, tables={"persons": data})


def test_the_flow_of_a_trial_splits_at_allocation():
    data = incomplete()
    frame = data["persons"].frame.dropna(subset="arm")
    found = ask(data, outcome="used", design="randomised", treatment="moved_in", sensitivity=False)
    assert [(s.reason, s.kept) for s in found.flow] == [
        ("People in the file", 260), ("site == 1", 240), ("Randomised", 238),
        ("Used drugs applies", 233), ("Used drugs observed", 218),
    ]  # fmt: skip
    for step, rows in zip(found.flow[2:], (frame, frame[5:], frame[20:]), strict=True):
        sizes = rows["arm"].value_counts()
        assert step.arms == (("Usual care", sizes[0.0]), ("House", sizes[1.0]))
    taken = frame["moved_in"].groupby(frame["arm"]).sum()
    yes, no = found.flow[2].details
    assert yes.arms == (taken[0.0], taken[1.0])
    assert yes.n + no.n == 238
    dead = frame["arm"][:5].value_counts()
    (died,) = found.flow[3].details
    assert (died.label, died.n) == ("Not applicable", 5)
    assert died.arms == (dead.get(0.0, 0), dead.get(1.0, 0))
    assert "Allocated to “House”" in render(words(found), "html").decode()


def test_the_flow_is_called_no_allocation_where_people_chose():
    found = ask(incomplete(), outcome="used", sensitivity=False)
    page = render(words(found), "html").decode()
    assert "In “House”" in page
    assert "Allocated to" not in page
    assert [s.reason for s in found.flow[:3]] == [
        "People in the file",
        "site == 1",
        "Housing known",
    ]
