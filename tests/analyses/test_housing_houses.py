"""Kinds of houses in the housing report: told where declared, refused in words, never a number
of few houses or people."""

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats import analyses
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Heading
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import UsageError
from recovery_stats.report import render
from recovery_stats.report.compose import compose
from recovery_stats.study.binding import bind
from recovery_stats.study.loose_file import study_from_files
from tests.tolerance import CLOSED_FORM

ASKED = {"person": "pid", "arm": "arm", "adjust": ("sev",), "design": "randomised",
         "outcome": "income"}  # fmt: skip


def trial(houses=16, residents=12, *, roles=True):
    """Residents of houses against people alone; rents differ by house."""
    rng = np.random.default_rng(2)
    n = houses * residents
    house = np.r_[np.repeat(np.arange(houses) + 101.0, residents), np.full(n, np.nan)]
    people = pd.DataFrame({
        "pid": np.arange(2 * n) + 1.0, "arm": np.repeat([1.0, 0.0], n), "house": house,
        "sev": rng.normal(size=2 * n),
    })  # fmt: skip
    effect = np.r_[np.repeat(rng.normal(0, 60, houses), residents), np.zeros(n)]
    people["income"] = 500 + effect - 40 * people["sev"] + rng.normal(0, 150, 2 * n)
    people["used"] = (rng.random(2 * n) < 0.4) * 1.0
    homes = pd.DataFrame({
        "house": np.arange(houses) + 101.0, "beds": rng.integers(6, 15, houses) * 1.0,
        "rule": np.arange(houses) % 2 * 1.0,
    })  # fmt: skip
    book = Codebook({"rule": Variable("rule", "30 days abstinent", {0.0: "No", 1.0: "Yes"})})
    named = {"persons": TableSpec("persons", roles={"house": "house"} if roles else {}),
             "houses": TableSpec("houses", roles={"house": "house"})}  # fmt: skip
    return Study({"persons": Dataset(people), "houses": Dataset(homes, book)},
                 Protocol(tables=named))  # fmt: skip


def ask(study, **more):
    result = answer(Question(**ASKED | {"house_by": ("beds", "rule")} | more), study)
    analysis = analyses.get("collaborative_housing")
    return result, compose(result, analysis.title, analysis.template)


def headings(page):
    return [b.text for b in page.blocks if isinstance(b, Heading)]


def test_what_was_declared_is_told_and_nothing_else():
    result, page = ask(trial(), cross_level=("sev",))
    assert "Kinds of houses" in headings(page)
    assert {"house_kinds", "house_slopes", "house_tests"} <= set(result.tables)
    assert "house_refused" not in result.tables
    assert {"house_one_arm", "house_slopes"} <= result.said
    assert [e.name for e in result.estimates if e.level == "primary"] == ["mean_difference"]
    text = render(page, "md").decode()
    assert "Roberts" in text
    assert "Heisig" in text
    result, page = ask(trial(), house_by=())
    assert "Kinds of houses" not in headings(page)
    assert not [t for t in result.tables if t.startswith("house_")]


def test_the_numbers_are_those_of_the_function():
    study = trial()
    result, _ = ask(study, cross_level=("sev",))
    found = rs.house_moderators(
        study["persons"], study["houses"], outcome="income", arm="arm", house="house",
        by=["beds", "rule"], cross_level=["sev"], adjust=["sev"],
    )  # fmt: skip
    rows = found.tidy()
    effect = rows[(rows["by"] == "rule") & (rows["across"] == "")]["estimate"].tolist()
    assert [result[f"house_by[rule,{i}]"].value for i in (0, 1)] == pytest.approx(
        effect, rel=CLOSED_FORM
    )
    printed = [r.cells[5].value for r in result.tables["house_tests"].rows]
    assert printed == pytest.approx(found.tests()["p_holm"].tolist(), rel=CLOSED_FORM)


def test_houses_too_few_are_refused_in_words_and_the_report_stands():
    result, page = ask(trial(5, 20))
    assert "house_tests" not in result.tables
    rows = {r.label: r.cells[1] for r in result.tables["house_refused"].rows}
    assert rows == dict.fromkeys(("beds", "30 days abstinent"), "too few houses with people")
    assert "Not asked" in render(page, "md").decode()
    assert result["mean_difference"].level == "primary"


def test_a_yes_no_outcome_is_asked_as_a_difference_in_risk():
    result, _ = ask(trial(), outcome="used")
    assert -1 < result["house_by[rule,0]"].low < result["house_by[rule,0]"].high < 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"house_by": (), "cross_level": ("sev",)}, "--house-by"),
        ({"outcome": None, "time": "income", "event": "used"}, "goes with an outcome"),
    ],
)
def test_what_cannot_be_asked_is_refused(more, says):
    with pytest.raises(UsageError, match=says):
        ask(trial(), **more)


def test_the_house_of_people_must_be_named():
    with pytest.raises(UsageError, match=r"\[roles\.persons\]"):
        ask(trial(roles=False), cluster="house")


def test_without_a_study_file_the_house_is_named_by_an_option(tmp_path):
    study = trial()
    files = {name: tmp_path / f"{name}.csv" for name in ("persons", "houses")}
    for name, path in files.items():
        study[name].frame.to_csv(path, index=False)
    analysis = analyses.get("collaborative_housing")
    options = ASKED | {"house_by": ("beds",)}
    with pytest.raises(UsageError, match=r"^--house-by .* add --houses FILE"):
        study_from_files(analysis, {"persons": files["persons"]}, options)
    loose = study_from_files(analysis, files, options)
    with pytest.raises(UsageError, match="--house COLUMN"):
        answer(bind(analysis, loose, options), loose)
    options |= {"house": "house"}
    loose = study_from_files(analysis, files, options)
    result = answer(bind(analysis, loose, options), loose)
    assert result["mean_difference"].n == len(study["persons"])
    assert "house_tests" in result.tables
