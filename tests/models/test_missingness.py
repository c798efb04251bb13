"""What is missing: by variable, wave, reason and arm, patterns, dropout; by hand and by truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.cli.explain import find
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import PROFILES
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.report import render
from recovery_stats.report.disclose import disclose

NAN = np.nan
# person: what was seen at waves 0, 1, 2; "-" is an absent row, "n" not applicable, "r" refused
STORIES = {1: "+++", 2: "+o-", 3: "+-+", 4: "+r+", 5: "n+n", 6: "---", 7: "-o-", 8: "+++"}
CODES = {"n": -97.0, "r": -98.0}


def waves():
    rows, codes = [], {}
    for person, story in STORIES.items():
        for wave, sign in enumerate(story):
            if sign == "-":
                continue
            rows.append((person, wave, person % 2, 10.0 + wave if sign == "+" else NAN))
            if sign in CODES:
                codes[len(rows)] = CODES[sign]
    frame = pd.DataFrame(rows, columns=["pid", "wave", "arm", "y"]).astype(float)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    values = {-97.0: "Not applicable", -98.0: "Refused"}
    book = Codebook(
        {"y": Variable("y", "Craving", values, MissingRule((-97.0, -98.0)), "scale"),
         "arm": Variable("arm", "Arm", {0.0: "Usual", 1.0: "House"})}
    )  # fmt: skip
    return Dataset(frame, book, {"y": pd.Series(codes)})


def described():
    return rs.missing(waves(), ["y"], person="pid", wave="wave", arm="arm")


def test_absent_rows_count_as_missing_and_what_does_not_apply_as_nothing():
    # seven people have a row at all (6 has none and is not known); 21 cells, 2 not applicable
    total = described().tidy().loc[0]
    assert (total["cells"], total["not_applicable"]) == (19, 2)
    assert total["missing"] == 2 + 1 + 1 + 3
    assert total["share"] == pytest.approx(7 / 19)


def test_reasons_are_told_apart():
    found = described().reasons().set_index("reason")["cells"]
    assert found.to_dict() == {
        "Not applicable": 2, "Refused": 1, "no row": 4, "system-missing": 2,
    }  # fmt: skip
    assert np.isnan(described().reasons().set_index("reason").loc["Not applicable", "share"])


def test_by_wave_and_by_arm_add_up():
    found = described()
    for by in ("wave", "arm"):
        parts = found.tidy(by=by)
        assert parts["missing"].sum() == 7
        assert parts["cells"].sum() == 19
    assert found.tidy(by="arm")["arm"].tolist() == ["Usual", "House"]
    assert found.tidy(by="wave")["missing"].tolist() == [1, 4, 2]


def test_patterns_over_the_waves_by_hand():
    table = described().patterns("y").set_index("pattern")
    assert table.loc["+++", ["n", "kind"]].tolist() == [2, "complete"]
    assert table.loc["+o+", ["n", "kind"]].tolist() == [2, "intermittent"]
    assert table.loc["+oo", ["n", "kind"]].tolist() == [1, "monotone"]
    assert table.loc["_+_", ["n", "kind"]].tolist() == [1, "complete"]
    assert table.loc["ooo", ["n", "kind"]].tolist() == [1, "never"]
    kinds = described().monotone().set_index("kind")
    assert kinds["people"].to_dict() == {
        "complete": 3, "monotone": 1, "intermittent": 2, "never": 1,
    }  # fmt: skip
    assert (kinds["of"] == 7).all()


def test_patterns_across_variables_need_no_waves():
    frame = pd.DataFrame({"a": [1, NAN, 3, NAN], "b": [1, 2, NAN, NAN]})
    table = rs.missing(frame).patterns().set_index("pattern")["n"]
    assert table.to_dict() == {"++": 1, "+o": 1, "o+": 1, "oo": 1}


def test_a_structural_code_without_a_label_is_told_by_number():
    data = waves()
    plain = Dataset(data.frame, Codebook(), data.missing)
    found = rs.missing(plain, ["y"], person="pid", wave="wave", structural=[-97.0])
    assert found.tidy().loc[0, "not_applicable"] == 2


def test_little_over_waves_is_the_engine_on_a_row_a_person():
    from recovery_stats.engines.normal_missing import little

    rng = np.random.default_rng(1)
    Y = rng.standard_normal((80, 3)).cumsum(axis=1)
    Y[rng.random((80, 3)) < 0.2] = NAN
    long = pd.DataFrame(
        {"pid": np.repeat(range(80), 3), "wave": np.tile(range(3), 80), "y": Y.ravel()}
    ).dropna()  # absent rows
    found = rs.missing(long, ["y"], person="pid", wave="wave").little("y").loc[0]
    some = np.isfinite(Y).any(axis=1)
    assert found["statistic"] == pytest.approx(little(Y[some]).statistic)
    assert found["rows"] == some.sum()


def cohort(people=1500, seed=2):
    """Waves lost with log odds -1.5 + 0.8 (value at the wave before); a third come back."""
    rng = np.random.default_rng(seed)
    level = rng.standard_normal(people)
    rows, seen = [], np.ones(people, dtype=bool)
    before = np.zeros(people)
    for wave in range(5):
        value = level + rng.standard_normal(people) * 0.5
        if wave:
            lost = rng.random(people) < 1 / (1 + np.exp(1.5 - 0.8 * before))
            seen = np.where(seen, ~lost, rng.random(people) < 0.35)
        rows.append(
            pd.DataFrame({"pid": range(people), "wave": wave, "y": value, "x": level})[seen]
        )
        before = np.where(seen, value, before)
    return pd.concat(rows, ignore_index=True)


def test_what_goes_before_a_missed_wave_is_recovered():
    data = cohort()
    fit = rs.missing(data, ["y"], person="pid", wave="wave").dropout("y", event="next")
    table = fit.tidy().set_index("term")
    assert abs(table.loc["before", "estimate"] - 0.8) < 4 * table.loc["before", "std_error"]
    assert abs(table.loc["Intercept", "estimate"] + 1.5) < 4 * table.loc["Intercept", "std_error"]


def test_dropout_counts_each_person_once_and_takes_what_was_known_before():
    data = cohort(300)
    found = rs.missing(data, ["y"], person="pid", wave="wave")
    fit = found.dropout("y", ["x"])
    rows = found._transitions("y", ("x",), "dropout").frame
    gone = found.monotone("y").set_index("kind")["people"]
    last = data.groupby("pid")["wave"].max()
    assert rows["dropout"].sum() == (last < 4).sum() >= gone["monotone"]
    assert rows.groupby("person")["dropout"].sum().max() == 1
    person = int(last[last == 1].index[0])
    own = rows[rows["person"] == person].sort_values("wave_")
    assert own["dropout"].tolist() == [0.0, 1.0]
    expected = data[data["pid"] == person].sort_values("wave")["y"].tolist()
    assert own["before"].tolist() == pytest.approx(expected)
    assert "x" in fit.tidy()["term"].tolist()


def test_checks_are_explained_and_caution_where_they_should():
    checks = {c.name: c for c in described().checks()}
    assert set(checks) == {"share missing", "missing by arm", "monotone patterns"}
    assert checks["share missing"].verdict == "caution"
    assert all(find(name).doubt for name in (*checks, "Little's test"))


def test_the_document_hides_small_counts_and_shows_in_a_notebook():
    data = cohort(300).assign(arm=lambda d: d["pid"] % 2)
    found = rs.missing(data, ["y"], person="pid", wave="wave", arm="arm")
    page = render(disclose(found.document(), PROFILES["cms"]), "txt").decode()
    assert "Little's test" in page
    assert "< 11" in page
    assert "Share observed at each wave" in page
    assert "iframe" in found._repr_html_()


@pytest.mark.parametrize(
    ("change", "how", "error", "words"),
    [
        ({}, {"person": None}, UsageError, "Waves need a person"),
        ({}, {"columns": ["z"]}, DataError, "No column named 'z'"),
        ({"wave": 0.0}, {}, DataError, "repeat the person and wave"),
        ({"wave": NAN}, {}, DataError, "is empty in rows"),
        ({"arm": range(17)}, {"arm": "arm"}, DataError, "changes within"),
    ],
)
def test_wrong_keys_are_told(change, how, error, words):
    data = waves()
    frame = data.frame.assign(**change)
    asked = {"columns": ["y"], "person": "pid", "wave": "wave", **how}
    with pytest.raises(error, match=words):
        rs.missing(Dataset(frame), **asked)


def test_what_cannot_be_asked_is_told():
    found = rs.missing(waves(), ["y"])
    with pytest.raises(UsageError, match="person=…, wave=…"):
        found.patterns("y")
    with pytest.raises(UsageError, match="No arm was named"):
        found.tidy(by="arm")
    with pytest.raises(NotEstimable, match="two numeric columns"):
        found.little()
    with pytest.raises(DataError, match="No column named 'yy'"):
        found.little(["y", "yy"])
    with pytest.raises(NotEstimable, match="Nothing is missing"):
        rs.missing(pd.DataFrame({"a": [1.0, 2, 3], "b": [1.0, 3, 2]})).little()
