"""An outcome at every wave in the housing report: the function's numbers, by design, refused."""

from dataclasses import replace

import numpy as np
import pytest

import recovery_stats as rs
from recovery_stats import analyses
from recovery_stats.analyses import _housing_waves
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Heading
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.report import render
from recovery_stats.report.compose import compose
from tests.models.test_over_time import trial
from tests.tolerance import CLOSED_FORM

ASKED = {"person": "pid", "arm": "arm", "adjust": ("x",), "outcome": "late", "repeated": "y",
         "wave": "wave", "cluster": "house", "design": "randomised"}  # fmt: skip
BOOK = Codebook({"wave": Variable("wave", "Interview", {6.0: "6 months"})})


def study():
    waves = trial(120, sd_house=0.5, missing=0.1)
    people = waves[waves["wave"] == 0][["pid", "arm", "x", "house"]].reset_index(drop=True)
    people["late"] = np.random.default_rng(1).normal(size=120)
    tables = {"persons": Dataset(people), "waves": Dataset(waves[["pid", "wave", "y"]], BOOK)}
    roles = {"persons": {"house": "house"}, "waves": {"person": "pid"}}
    return Study(tables, Protocol(tables={k: TableSpec(k, roles=v) for k, v in roles.items()}))


def ask(**more):
    result = answer(Question(**ASKED | more), study())
    analysis = analyses.get("collaborative_housing")
    return result, compose(result, analysis.title, analysis.template)


def test_the_numbers_are_those_of_the_function():
    result, page = ask()
    both = trial(120, sd_house=0.5, missing=0.1)
    found = rs.compare_over_time(
        both, outcome="y", arm="arm", wave="wave", person="pid", adjust=["x"], cluster="house"
    ).tidy()
    values = [result["wave[3]"].value, result["wave_primary"].value]
    assert values == pytest.approx(found["estimate"].tolist(), rel=CLOSED_FORM)
    assert [e.name for e in result.estimates if e.level == "primary"] == ["mean_difference"]
    text = render(page, "md").decode()
    assert "At the primary wave (6 months)" in text
    assert "6 months (primary)" in text
    assert "Mallinckrodt" in text
    assert {"over_time", "over_time_tests"} <= set(result.tables)
    assert result.figures["over_time_means"].series[0].n_at[0] == 60


def test_arms_that_were_chosen_are_compared_in_change():
    result, page = ask(design="chosen")
    assert "difference in the change of" in render(page, "md").decode()
    both = trial(120, sd_house=0.5, missing=0.1)
    found = rs.compare_over_time(
        both, outcome="y", arm="arm", wave="wave", person="pid", adjust=["x"], cluster="house",
        means="unconstrained",
    ).tidy()  # fmt: skip
    assert result["wave_primary"].value == pytest.approx(found["estimate"].iloc[1], rel=CLOSED_FORM)


def test_the_primary_wave_is_declared():
    result, _ = ask(wave_primary=3.0)
    assert [r.label for r in result.tables["over_time"].rows] == ["0", "3 (primary)", "6 months"]


def test_nothing_is_told_where_nothing_was_named():
    result, page = ask(repeated=None)
    assert "over_time" not in result.tables
    assert "At every wave" not in [b.text for b in page.blocks if isinstance(b, Heading)]


def test_the_wave_must_be_named():
    with pytest.raises(UsageError, match="repeated_at"):
        ask(wave=None)


def test_what_cannot_be_fitted_at_every_wave_does_not_take_the_report_away(monkeypatch):
    def fails(*_, **__):
        raise NotEstimable("12 people of one arm have no wave.")

    monkeypatch.setattr(_housing_waves, "compare_over_time", fails)
    told_with_reason(*ask(), "the model has no answer on these data")


def test_a_constant_outcome_at_every_wave_keeps_its_place_and_its_reason():
    one = study()
    waves = one["waves"].with_frame(one["waves"].frame.assign(y=4.0))
    result = answer(Question(**ASKED), replace(one, tables={**one.tables, "waves": waves}))
    analysis = analyses.get("collaborative_housing")
    page = compose(result, analysis.title, analysis.template)
    told_with_reason(result, page, "it varies too little among the people analysed")
    assert [e.name for e in result.estimates if e.level == "primary"] == ["mean_difference"]


def told_with_reason(result, page, reason):
    told = [c for c in result.checks if c.name == "outcome at every wave"]
    assert [c.verdict for c in told] == ["caution"]
    assert "At every wave" in [b.text for b in page.blocks if isinstance(b, Heading)]
    text = render(page, "md").decode()
    assert text.count(f"has no estimate: {reason}") == 2
    assert "12 people" not in text
