"""Scoring as users meet it: rs.score, a column of the study file, the verb."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import recovery_stats as rs
from recovery_stats.cli import recovery_stats
from recovery_stats.core.dataset import Dataset
from recovery_stats.data.table import read_table
from recovery_stats.errors import DataError, UsageError
from recovery_stats.study.selection import select

STUDY = """schema = 1
[tables.waves]
file = "waves.sav"
[tables.persons]
file = "waves.sav"
[derive.waves]
{derive}
[roles.persons]
person = "pid"
[roles.waves]
person = "pid"
wave = "wave"
outcome = "pacs"
satisfaction = "{satisfaction}"
[[analysis]]
kind = "relationship_satisfaction"
"""


def waves(people=40, seed=3):
    """Four waves a person of RAS items with a common factor, and craving that follows it."""
    rng = np.random.default_rng(seed)
    n = people * 4
    level = 3 + rng.normal(0, 0.6, people).repeat(4) + rng.normal(0, 0.5, n)
    items = np.clip(np.round(level[:, None] + rng.normal(0, 0.5, (n, 7))), 1, 5)
    items[:, [3, 6]] = 6 - items[:, [3, 6]]
    frame = pd.DataFrame(items, columns=[f"ras{i}" for i in range(1, 8)])
    frame.insert(0, "wave", np.tile(np.arange(4.0), people))
    frame.insert(0, "pid", np.repeat(np.arange(people) + 1.0, 4))
    frame["pacs"] = np.round(20 - 2 * level + rng.normal(0, 2, n))
    return frame


@pytest.fixture
def folder(tmp_path):
    rs.write_spss(Dataset(waves()), tmp_path / "waves.sav")
    return tmp_path


def study(folder, derive, satisfaction="sat"):
    path = folder / "study.toml"
    path.write_text(STUDY.format(derive=derive, satisfaction=satisfaction), encoding="utf-8")
    return path


# --- Python ----------------------------------------------------------------------------------


def test_scores_come_indexed_as_the_data_and_labelled():
    data = waves().set_index(pd.Index(range(100, 260)))
    scored = rs.score(data, "RAS")
    assert scored.frame.columns.tolist() == ["ras_total", "ras_mean"]
    assert scored.frame.index.equals(data.index)
    assert scored.data.label("ras_total") == "Relationship Assessment Scale: total"
    assert "RAS scored" in repr(scored)
    assert "iframe" in scored._repr_html_()


def test_quality_counts_what_was_filled_left_out_and_at_the_ends():
    data = waves()
    data.loc[0, "ras1"] = np.nan
    data.loc[1, ["ras1", "ras2"]] = np.nan
    data.loc[2, [f"ras{i}" for i in range(1, 8)]] = [5, 5, 5, 1, 5, 5, 1]
    data.loc[3, "ras2"] = 9
    found = rs.score(data, "RAS").quality().set_index("score").loc["total"]
    assert (found["prorated"], found["left_out"]) == (2, 1)
    assert found["ceiling"] >= 1
    items = rs.score(data, "RAS").items().set_index("column")
    assert items.loc["ras2", "out_of_range"] == 1
    assert items["reversed"].sum() == 2


def test_reliability_by_wave():
    found = rs.score(waves(), "RAS").reliability(by="wave")
    assert found["wave"].tolist() == ["0", "1", "2", "3"]
    assert (found["n"] == 40).all()
    assert found["omega"].between(0.7, 1).all()


def test_checks_tell_of_an_item_reversed_before():
    data = waves()
    data["ras4"] = 6 - data["ras4"]
    checks = {c.name: c for c in rs.score(data, "RAS").checks()}
    assert checks["item direction"].verdict == "caution"
    assert "ras4" in str(checks["item direction"].parts)
    assert {c.verdict for c in rs.score(waves(), "RAS").checks()} == {"ok"}


def test_every_check_is_explained():
    from recovery_stats.cli.explain import find

    rng = np.random.default_rng(1)
    choices = pd.DataFrame(
        rng.integers(0, 2, (30, 27)).astype(float), columns=[f"mcq{i}" for i in range(1, 28)]
    )
    found = [*rs.score(waves(), "RAS").checks(), *rs.score(choices, "MCQ-27").checks()]
    assert {"scoring key", "item range", "reliability", "consistency of choices"} <= {
        c.name for c in found
    }
    assert all(find(c.name).doubt for c in found)
    assert find("item totals").doubt


def test_choices_are_accounted_for_as_items_are():
    choices = pd.DataFrame(np.tile(np.arange(27) % 2, (6, 1)).astype(float))
    choices.columns = [f"mcq{i}" for i in range(1, 28)]
    choices.iloc[0], choices.iloc[1], choices.iloc[2] = 1.0, 0.0, np.nan
    choices.iloc[3, 4] = np.nan
    scored = rs.score(choices, "MCQ-27")
    assert scored.quality().to_dict("records") == [
        {"score": "k", "scored": 4, "prorated": 0, "left_out": 1, "floor": 1, "ceiling": 1}
    ]
    assert scored.frame["mcq27_k"].idxmin() == 0
    assert scored.frame["mcq27_k"].idxmax() == 1
    names = [c.name for c in scored.checks()]
    assert {"missing items", "floor and ceiling", "consistency of choices"} <= set(names)


def test_instruments_is_a_table_with_sources():
    table = rs.instruments()
    assert {"RAS", "PSS-10", "WHOQOL-BREF", "MCQ-27"} <= set(table["name"])
    assert (table["source"].str.len() > 10).all()


# --- study file ------------------------------------------------------------------------------


def test_a_study_file_scores_a_scale_and_uses_it(folder):
    read = rs.read_study(study(folder, 'sat = { scale = "RAS", score = "mean" }'))
    expected = rs.score(waves(), "RAS").frame["ras_mean"]
    assert np.allclose(read["waves"].frame["sat"], expected)
    result = rs.answer("relationship_satisfaction", read)
    label = read["waves"].label("sat")
    told = {c.name: c for c in result.checks if c.about == label}
    assert {"scoring key", "item range", "missing items", "reliability"} <= set(told)
    assert result.estimates[0].value < 0


def test_a_run_reads_the_items_although_it_reads_only_what_is_mentioned(folder):
    path = study(folder, 'sat = { scale = "RAS", score = "mean" }')
    selected = select(path)
    assert "ras3" in selected.study["waves"].frame
    assert any(c.name == "reliability" for c in selected.study.checks)


def test_totals_of_the_file_are_held_against_the_items(folder):
    data = waves()
    data["old"] = rs.score(data, "RAS").frame["ras_mean"].round(1)
    rs.write_spss(Dataset(data), folder / "waves.sav")
    derive = 'sat = { scale = "RAS", score = "mean", against = "old" }'
    checks = {c.name: c for c in rs.read_study(study(folder, derive)).checks}
    assert checks["item totals"].verdict == "ok"
    data.loc[:20, "old"] += 0.2
    rs.write_spss(Dataset(data), folder / "waves.sav")
    checks = {c.name: c for c in rs.read_study(study(folder, derive)).checks}
    assert checks["item totals"].verdict == "caution"


@pytest.mark.parametrize(
    ("derive", "words"),
    [
        ('sat = { scale = "PSS" }', "which version"),
        ('sat = { scale = "RSA" }', "Did you mean 'RAS'"),
        ('sat = { scale = "RAS", score = "sum" }', "No score of RAS named 'sum'"),
        ('sat = { scale = "RAS", rule = "syntax" }', "No rule for missing items of RAS"),
        ('sat = { scale = "RAS", items = ["ras1"] }', "7 items; 1 columns"),
        ('sat = { scale = "RAS", items = "ras" }', "pattern"),
        ('sat = { scale = "RAS", part = "event" }', "part has no meaning beside scale"),
        ('sat = { scale = "RAS", coded_from = "one" }', "a number"),
        ('sat = { scale = "RAS", reversed_already = 1 }', "true or false"),
    ],
)
def test_faults_of_the_study_file_are_told_with_their_line(folder, derive, words):
    with pytest.raises(UsageError, match=words) as refusal:
        rs.read_study(study(folder, derive))
    assert "study.toml:7:" in str(refusal.value)


def test_a_missing_item_of_the_data_is_named(folder):
    rs.write_spss(Dataset(waves().drop(columns="ras5")), folder / "waves.sav")
    path = study(folder, 'sat = { scale = "RAS" }')
    for reading in (rs.read_study, select):
        with pytest.raises(DataError, match="table 'waves' for item 5"):
            reading(path)


# --- command line ----------------------------------------------------------------------------


def call(*arguments):
    return CliRunner().invoke(recovery_stats, ["score", *map(str, arguments)])


def test_the_verb_prints_the_account_and_writes_the_scores(folder):
    target = folder / "scored.sav"
    done = call(folder / "waves.sav", "--scale", "ras", "--by", "wave", "-o", target)
    assert done.exit_code == 0
    assert "omega" in done.output
    read = rs.read_spss(target)
    assert np.allclose(read.frame["ras_total"], rs.score(waves(), "RAS").frame["ras_total"])
    assert read.label("ras_mean") == "Relationship Assessment Scale: mean"


@pytest.mark.parametrize("name", ["scored.csv", "scored.parquet"])
def test_the_verb_writes_the_scores_as_any_table(folder, name):
    assert call(folder / "waves.sav", "--scale", "ras", "-o", folder / name).exit_code == 0
    read = read_table(folder / name)
    assert np.allclose(read.frame["ras_total"], rs.score(waves(), "RAS").frame["ras_total"])


def test_the_verb_lists_the_scales_and_speaks_json(folder):
    assert "WHOQOL-BREF" in call().output
    assert json.loads(call("--json").output)[0]["name"] == "AUDIT"
    account = json.loads(call(folder / "waves.sav", "--scale", "RAS", "--json").output)
    assert account


def test_the_verb_hides_small_counts(folder):
    data = waves()
    data.loc[0, "ras2"] = 9
    rs.write_spss(Dataset(data), folder / "waves.sav")
    shown = call(folder / "waves.sav", "--scale", "RAS").output
    assert "fewer than 11 in ras2" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scale", "PSS"], "which version"),
        ([], "--scale NAME"),
        (["--scale", "PSS-10"], "PSS_01"),
    ],
)
def test_the_verb_refuses_with_the_cure(folder, arguments, words):
    done = call(folder / "waves.sav", *arguments)
    assert words in str(done.exception)


def test_the_verb_does_not_write_over_a_file(folder):
    done = call(folder / "waves.sav", "--scale", "RAS", "-o", folder / "waves.sav")
    assert "--force" in str(done.exception)


def test_the_verb_for_missing_values(tmp_path):
    data = waves(people=60)
    data.loc[data.index % 5 == 0, "pacs"] = np.nan
    rs.write_spss(Dataset(data.drop(index=range(3, 200, 8))), tmp_path / "waves.sav")
    page = tmp_path / "missing.html"
    done = CliRunner().invoke(
        recovery_stats,
        ["missing", str(tmp_path / "waves.sav"), "--column", "pacs", "--person", "pid", "--wave",
         "wave", "-o", str(page)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "Little" in page.read_text(encoding="utf-8")
