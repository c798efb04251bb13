"""One analysis over many definitions: each is what the analysis alone says, failures are told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import recovery_stats as rs
from recovery_stats.cli import recovery_stats as command_line
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import SpecificationFigure
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.data.endpoints import ENDPOINTS
from recovery_stats.errors import DataError, UsageError
from recovery_stats.report import figure_data
from recovery_stats.report.figures import svg
from recovery_stats.study import workflow
from tests.tolerance import EXACT

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / "shared/data/ctn0094"
beside = pytest.mark.skipif(not SHARED.exists(), reason="the trial data are not beside the project")
ANALYSIS = "collaborative_housing"
ARM = Variable("arm", "Arm", {0.0: "usual", 1.0: "house"}, measure="nominal")


def screens(rng, use, people=60, weeks=20):
    """Patterns in which a screen is positive with chance `use`, missed with 0.03."""
    chances = [use, 0.92 - use, 0.05, 0.03]
    return ["".join(rng.choice([*"+-*o"], weeks, p=chances)) for _ in range(people)]


def study_of(patterns, **columns):
    arm = np.repeat([0.0, 1.0], len(patterns) // 2)
    frame = pd.DataFrame({"id": range(len(arm)), "arm": arm, "uds": patterns, **columns})
    frame.index += 1
    data = Dataset(frame, Codebook().with_variables(ARM))
    roles = {"person": "id", "arm": "arm", "outcome": "id", "time": "id", "event": "arm"}
    protocol = Protocol(tables={"persons": TableSpec("persons", roles=roles)})
    return Study({"persons": data}, protocol)


@pytest.fixture(scope="module")
def worse_in_the_house():
    rng = np.random.default_rng(7)
    return study_of(screens(rng, 0.1) + screens(rng, 0.25))


@pytest.fixture(scope="module")
def result(worse_in_the_house):
    return rs.multiverse(ANALYSIS, worse_in_the_house, pattern="uds")


@pytest.mark.parametrize(
    "name", ["Rd_fiellin_2006", "Ab_ctnThirty_2011", "Rs_lee_2016", "Rs_johnson_1992"]
)
def test_a_specification_is_the_analysis_with_that_endpoint(worse_in_the_house, result, name):
    data = worse_in_the_house["persons"]
    found = rs.endpoint(data.frame["uds"], name)
    if name == "Rs_lee_2016":
        columns = {"t": found["time"] * 7, "e": found["event"]}
        options = {"time": "t", "event": "e"}
    else:
        columns, options = {"y": found.astype(float)}, {"outcome": "y"}
    frame = data.frame.assign(**columns)
    protocol = Protocol(
        tables={"persons": TableSpec("persons", roles={"person": "id", "arm": "arm"})}
    )
    alone = rs.answer(ANALYSIS, Study({"persons": replace(data, frame=frame)}, protocol), **options)
    primary = next(e for e in alone.estimates if e.level == "primary")
    sign = -1 if name == "Rs_johnson_1992" else 1  # told as the share without relapse
    assert result[name].value == pytest.approx(sign * primary.value, abs=EXACT)
    ends = sorted(sign * x for x in (primary.low, primary.high))
    assert (result[name].low, result[name].high) == pytest.approx(ends, abs=EXACT)
    assert result[name].n == 120


def test_every_definition_finds_a_strong_effect_on_its_side(result):
    told = {e.name: e for e in result.estimates}
    assert set(told) | _failed(result) == set(ENDPOINTS)
    against = {n: (e.value > 1) if e.scale == "ratio" else (e.value < 0) for n, e in told.items()}
    against.pop("Dr_ctnNinetyFour_2023", None)  # nobody's screens were made to be missed
    assert all(against.values())
    assert "one_side" in result.said or "Dr_ctnNinetyFour_2023" in told


def test_with_the_arms_exchanged_every_estimate_changes_its_side(worse_in_the_house, result):
    data = worse_in_the_house["persons"]
    turned = data.frame.assign(arm=1 - data.frame["arm"])
    other = Study({"persons": replace(data, frame=turned)}, worse_in_the_house.protocol)
    exchanged = rs.multiverse(ANALYSIS, other, pattern="uds")
    assert exchanged.facts["more"] == result.facts["less"]
    assert exchanged.facts["less_clear"] == result.facts["more_clear"]


def _failed(result):
    return (
        {row.key for row in result.tables["failures"].rows}
        if "failures" in result.tables
        else set()
    )


def test_a_specification_that_fails_is_listed_with_the_reason_and_no_number():
    patterns = ["-" * 20, "-" * 19 + "+"] * 10 + ["-" * 20, "+" + "-" * 18 + "+"] * 10
    found = rs.multiverse(ANALYSIS, study_of(patterns), pattern="uds")
    failed = {row.key: row for row in found.tables["failures"].rows}
    assert {"Rs_krupitsky_2004", "Rs_lee_2016", "Ab_kosten_1993"} <= set(failed)
    assert "Rd_zaks_1972" not in failed
    for row in failed.values():
        why = row.cells[-1]
        assert why
        assert not re.search(r"\d", why)
    assert found.checks[0].verdict == "caution"
    text = workflow.render(workflow.report(found), "x", ["md"])["x.md"].decode()
    assert "listed with the reason, not left out" in text
    assert "Rs\\_krupitsky\\_2004" in text


def test_missing_rules_multiply_the_specifications(worse_in_the_house):
    found = rs.multiverse(
        ANALYSIS,
        worse_in_the_house,
        pattern="uds",
        endpoints=["Rd_fiellin_2006", "Dr_ctnNinetyFour_2023"],
        missing=["published", "ignored"],
    )
    names = {e.name for e in found.estimates} | _failed(found)
    assert names == {"Rd_fiellin_2006", "Rd_fiellin_2006, ignored", "Dr_ctnNinetyFour_2023"}
    data = worse_in_the_house["persons"].frame
    kept = rs.endpoint(data["uds"], "Rd_fiellin_2006", missing="ignored")
    means = kept.groupby(data["arm"]).mean()
    assert found["Rd_fiellin_2006, ignored"].value == pytest.approx(means[1] - means[0])


def test_several_processes_give_the_same_result(worse_in_the_house, result):
    again = rs.multiverse(ANALYSIS, worse_in_the_house, pattern="uds", jobs=2)
    one, two = (workflow.render(workflow.report(r), "x", ["html", "md"]) for r in (result, again))
    assert one == two


def test_an_analysis_of_times_gets_the_definitions_with_a_time(worse_in_the_house):
    found = rs.multiverse(
        "meeting_frequency", worse_in_the_house, pattern="uds", frequency="arm", endpoints=["all"]
    )
    timed = {n for n, e in ENDPOINTS.items() if e.class_ == "time and event"}
    assert {e.name for e in found.estimates} | _failed(found) == timed
    named = rs.multiverse(
        "meeting_frequency",
        worse_in_the_house,
        pattern="uds",
        frequency="arm",
        endpoints=["Rs_lee_2016", "Rd_fiellin_2006"],
    )
    (row,) = named.tables["failures"].rows
    assert "one value and no time" in row.cells[-1]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"endpoints": ["Rs_lee_2017"]}, UsageError, "Did you mean 'Rs_lee_2016'"),
        ({"endpoints": []}, UsageError, "None of the definitions"),
        ({"missing": ["locf"]}, UsageError, "No rule for missed visits"),
        ({"pattern": "udss"}, DataError, "Did you mean 'uds'"),
        ({"pattern": "id"}, DataError, "are not text"),
        ({"outcome": "id"}, UsageError, "take the place of outcome"),
        ({"per_week": 0}, UsageError, "1 or more"),
        ({"horizn": 3}, UsageError, "No option of collaborative_housing"),
        ({"estimate": "risk_raito", "endpoints": ["Ab_ctnThirty_2011"]}, None, "gave no estimate"),
    ],
)
def test_what_is_asked_is_checked_before_anything_is_computed(
    worse_in_the_house, options, error, words
):
    asked = {"pattern": "uds", **options}
    if error is None:
        found = rs.multiverse(ANALYSIS, worse_in_the_house, **asked)
        assert words in found.tables["failures"].rows[0].cells[-1]
        return
    with pytest.raises(error, match=words):
        rs.multiverse(ANALYSIS, worse_in_the_house, **asked)


def test_an_analysis_of_waves_has_no_endpoint_to_replace(worse_in_the_house):
    with pytest.raises(UsageError, match="Ask an analysis of people"):
        rs.multiverse("relationship_satisfaction", worse_in_the_house, pattern="uds")


def test_one_wrong_symbol_stops_everything_once():
    patterns = ["-" * 20] * 20 + ["-" * 19 + "+"] * 19 + ["x---"]
    with pytest.raises(DataError, match="column 'uds' of table 'persons': 1 of 40 patterns"):
        rs.multiverse(ANALYSIS, study_of(patterns), pattern="uds")


def test_the_figure_stands_in_order_with_its_numbers_under_it(result):
    document = workflow.report(result)
    figures = [b for b in document.blocks if isinstance(b, SpecificationFigure)]
    assert len(figures) == 4
    for figure in figures:
        values = [e.value for e in figure_data.estimates(figure)]
        assert values == sorted(values)
        table = figure_data.table(figure)
        assert len(table.rows) == len(values)
        assert len(table.columns) == 5
        assert f"{len(values)} estimates in order" in figure_data.alt_text(figure)
        drawing = svg(figure, "f")
        assert "less recovery" in drawing
        assert "#0072B2".lower() in drawing.lower() or "#d55e00" in drawing.lower()
    times = figures[0]
    assert (times.below, times.good_below) == ("more recovery", True)  # a hazard ratio below 1


STUDY = """schema = 1
[tables.persons]
file = "people.csv"
key = ["id"]
[roles.persons]
person = "id"
arm = "arm"
[[analysis]]
kind = "collaborative_housing"
name = "many"
pattern = "uds"
endpoints = ["abstinence", "Rd_fiellin_2006"]
missing = ["published", "positive"]
"""


@pytest.fixture
def folder(tmp_path, worse_in_the_house):
    worse_in_the_house["persons"].frame.to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def run(*words):
    return CliRunner().invoke(command_line, [str(w) for w in words], standalone_mode=False)


def test_a_study_file_asks_for_many_definitions(folder):
    done = run("run", folder / "study.toml", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    text = (folder / "out/many.md").read_text()
    assert "28 specifications" in text
    assert run("check", folder / "study.toml", "-o", folder / "out").return_value == 0
    assert run("validate", folder / "study.toml").return_value == 0


def test_the_command_repeats_an_analysis(folder):
    words = ("multiverse", folder / "study.toml", ANALYSIS, "-o", folder / "out", "--format", "md")
    done = run(*words, "--endpoints", "relapse")
    assert done.exit_code == 0, done.output
    assert (folder / "out/many_multiverse.md").exists()
    text = (folder / "out/many_multiverse.md").read_text()
    assert "Rs\\_krupitsky\\_2004" in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('pattern = "uds"', "", "no pattern"),
        ('"Rd_fiellin_2006"', '"Rd_fielin_2006"', "Did you mean 'Rd_fiellin_2006'"),
        ('"positive"', '"positiv"', "positive"),
        ('pattern = "uds"', 'pattern = "udz"', "Did you mean 'uds'"),
    ],
)
def test_a_wrong_study_file_is_told(folder, old, new, words):
    (folder / "study.toml").write_text(STUDY.replace(old, new))
    done = run("validate", folder / "study.toml")
    assert done.return_value in (2, 3) or done.exit_code in (2, 3)
    assert words in done.output + str(done.exception or "")


@beside
def test_naltrexone_against_buprenorphine_as_the_papers_and_r_have_it():
    study = rs.read_study(HERE / "studies/ctn0051/study.toml", allow_outside=True)
    spec = next(a for a in study.protocol.analyses if a.name == "every_definition")
    options = {k: v for k, v in spec.options.items() if k != "title"}
    found = rs.multiverse(spec.kind, study, **options)
    assert len(found.estimates) == 54
    assert found["Rs_ctnFiftyOne_2018"].value == pytest.approx(1.4053, abs=5e-5)
    assert all(e.n == 570 for e in found.estimates)


@beside
def test_share_of_negative_weeks_in_ctn_0051_by_the_rule_for_missed_screens():
    """11.6 points with missing = positive, 6.6 with observed weeks only, as published."""
    people = rs.read_spss(SHARED / "ctn0094_person.sav").frame
    arms = people[(people["PROJECT"] == 51) & (people["RANDDAY"] >= 0)]
    rule = rs.VISITS.weeks(1, 24).share("-")
    for missing, points in (("positive", 11.6), ("ignored", 6.6)):
        share = rs.endpoint(arms["UDSPUB"], rule, missing=missing)
        means = share.groupby(arms["ARM"]).mean()
        assert 100 * (means[1.0] - means[2.0]) == pytest.approx(points, abs=0.05)
