"""Residents of several houses in the housing report; the first house told by the stays alone."""

import numpy as np
import pytest

import recovery_stats as rs
from recovery_stats import analyses
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.cell import Count
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import DataError
from recovery_stats.report import render
from recovery_stats.report.compose import compose
from tests.models.test_membership import residents
from tests.tolerance import CLOSED_FORM

ASKED = {"person": "pid", "arm": "arm", "adjust": ("x",), "outcome": "y", "stay_start": "in",
         "stay_stop": "out"}  # fmt: skip


def moved(*, house_of_stays=True, house_of_persons=False):
    people, stays, _ = residents()
    roles = {"person": "pid", "start": "in", "stop": "out"}
    tables = {
        "persons": TableSpec("persons", roles={"house": "home"} if house_of_persons else {}),
        "stays": TableSpec("stays", roles=roles | ({"house": "house"} if house_of_stays else {})),
    }  # fmt: skip
    if house_of_persons:
        people["home"] = np.where(people["arm"] == 1, people["pid"] % 10, np.nan)
    return Study({"persons": Dataset(people), "stays": Dataset(stays)}, Protocol(tables=tables))


def ask(study, **more):
    result = answer(Question(**ASKED | {"design": "randomised"} | more), study)
    analysis = analyses.get("collaborative_housing")
    page = compose(result, analysis.title, analysis.template)
    return result, render(page, "md").decode()


def test_the_row_by_days_is_that_of_the_function():
    result, page = ask(moved())
    people, _, lived = residents()
    fit = rs.multiple_membership("y ~ arm + x", people, lived, person="pid", group="house")
    row = fit.tidy().set_index("term").loc["arm"]
    found = result["membership"]
    assert (found.value, found.se, found.df) == pytest.approx(
        (row["estimate"], row["std_error"], row["df"]), rel=CLOSED_FORM
    )
    assert "Browne" in page
    assert result["membership"].level == "sensitivity"
    assert "moves" in {c.name for c in result.checks}
    keys = [r.key for r in result.tables["sensitivity"].rows]
    assert keys.index("mixed") + 1 == keys.index("membership")


def test_who_moved_is_counted_among_one_set_of_people_only():
    """16 of all residents moved and 15 of those analysed: one of the few others did."""
    study = moved()
    times = np.random.default_rng(1).integers(40, 700, len(study["persons"].frame))
    persons = study["persons"].with_frame(
        study["persons"].frame.assign(t=times.astype(float), e=(times < 500) * 1.0)
    )
    timed = Study({**study.tables, "persons": persons}, study.protocol)
    for asked, numbers in (({}, 2), ({"time": "t", "event": "e"}, 0)):
        result, _ = ask(study if not asked else timed, **asked)
        (check,) = (c for c in result.checks if c.name == "moves")
        assert sum(isinstance(part, Count) for part in check.parts) == numbers
        assert ("overlapping stays" in {c.name for c in result.checks}) == bool(asked)


def test_the_house_first_assigned_comes_from_the_stays():
    """15 houses in one arm, as if the persons named them: clusters, and the mixed model of them."""
    result, _ = ask(moved())
    people, stays, _ = residents()
    first = stays.sort_values("in").groupby("pid")["house"].first()
    told = people.assign(house=people["pid"].map(first))
    study = Study({"persons": Dataset(told)}, Protocol(tables={
        "persons": TableSpec("persons", roles={"house": "house"})}))  # fmt: skip
    other = answer(
        Question(**{k: v for k, v in ASKED.items() if "stay" not in k}, design="randomised"), study
    )
    for name in ("mean_difference", "mixed", "mixed_by_arm"):
        assert result[name].low == pytest.approx(other[name].low, rel=CLOSED_FORM)


def test_with_sites_as_clusters_the_first_house_has_a_row_of_its_own():
    study = moved()
    study["persons"].frame["site"] = np.arange(180) % 9
    result, _ = ask(study, cluster="site")
    alone, _ = ask(moved())
    assert result["first_house"].value == pytest.approx(alone["mixed"].value, rel=1e-6)
    assert result["membership"].value == pytest.approx(alone["membership"].value, rel=1e-9)


def test_a_house_that_the_persons_name_stays():
    result, _ = ask(moved(house_of_persons=True))
    rows = {r.key: r.cells[0] for r in result.tables["clusters"].rows}
    assert rows["named"].n == 10


@pytest.mark.parametrize(
    ("study", "more"),
    [
        (moved(house_of_stays=False), {}),
        (moved(), {"design": "houses-randomised"}),
        (moved(), {"sensitivity": False}),
    ],
)
def test_nothing_is_told_where_it_cannot_be(study, more):
    result, page = ask(study, **more)
    assert "membership" not in {e.name for e in result.estimates}
    assert "multiple membership" not in page


def test_a_stay_without_a_house_is_told():
    study = moved()
    stays = study["stays"].frame
    stays.loc[3, "house"] = np.nan
    with pytest.raises(DataError, match="1 rows without"):
        ask(study)
