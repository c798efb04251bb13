"""Patterns of visits that a study file makes from another table, and endpoints from them."""

from pathlib import Path

import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.data.derive import derived
from recovery_stats.errors import RecoveryError
from recovery_stats.study.examination import examine
from recovery_stats.study.table import load_study

SHARED = Path(__file__).parents[3] / "shared/data/ctn0094"
ANALYSIS = '[[analysis]]\nkind = "relationship_satisfaction"\nname = "any"'
SCREENS = [(1, 1, 0), (1, 2, 1), (1, 4, 2), (2, 1, 0), (2, 2, None), (2, 3, 0), (2, 4, 0)]


def study_file(tmp_path, entry, rows=SCREENS, people=((1, 4), (2, 4)), more=""):
    pd.DataFrame(people, columns=["id", "due"]).to_csv(tmp_path / "persons.csv", index=False)
    table = pd.DataFrame(rows, columns=["id", "week", "uds"])
    table.to_csv(tmp_path / "weeks.csv", index=False)
    (tmp_path / "study.toml").write_text(
        f"""schema = 1
[tables.persons]
file = "persons.csv"
key = ["id"]
[tables.weeks]
file = "weeks.csv"
[roles.persons]
person = "id"
[roles.weeks]
person = "id"
week = "week"
[derive.persons]
screens = {{ {entry} }}
{more}
{ANALYSIS}
"""
    )
    return tmp_path / "study.toml"


def made(tmp_path, entry, **changes):
    study = load_study(study_file(tmp_path, entry, **changes))
    return study["persons"].frame.set_index("id")


ENTRY = 'result = "uds", table = "weeks", time = "week"'


def test_patterns_are_made_and_endpoints_read_from_them(tmp_path):
    more = 'share = { endpoint = "Rd_fiellin_2006", pattern = "screens" }'
    found = made(tmp_path, f'{ENTRY}, scheduled = "due"', more=more)
    assert found["screens"].to_dict() == {1: "-+o*", 2: "-o--"}
    by_hand = rs.endpoint(found["screens"], "Rd_fiellin_2006")
    assert found["share"].tolist() == by_hand.tolist()


def test_scheduled_is_carried_for_each_person_and_never_padded(tmp_path):
    found = made(tmp_path, f'{ENTRY}, scheduled = "due"', people=((1, 5), (2, 4), (3, 2)))
    assert found["screens"].to_dict() == {1: "-+o*o", 2: "-o--", 3: "oo"}
    found = made(tmp_path, ENTRY)
    assert found["screens"].to_dict() == {1: "-+_*", 2: "-o--"}


def test_a_diary_of_days_is_put_into_weeks(tmp_path):
    rows = [(1, d, 3.5 if d == 9 else 0) for d in range(1, 15)]
    diary = f'{ENTRY}, kind = "diary", scheduled = 21, per_week = 7'
    people = ((1, 0), (2, 0))
    assert made(tmp_path, diary, rows=rows, people=people)["screens"].tolist() == ["-*o", "ooo"]
    found = made(tmp_path, f'{diary}, mixed_week = "+"', rows=rows, people=people)
    assert found["screens"].tolist() == ["-+o", "ooo"]


@pytest.mark.parametrize(
    ("entry", "changes", "words"),
    [
        (ENTRY, {"people": ((1, 4), (2, 4), (3, 4))}, "1 of 3 people have no visit. Give sched"),
        (ENTRY, {"rows": [*SCREENS, (1, 2, 0)]}, "share person and place"),
        (ENTRY, {"rows": [*SCREENS, (1, 5, 7)]}, "not_scheduled"),
        (f"{ENTRY}, scheduled = 3", {}, "behind the places scheduled"),
        (f'{ENTRY}, scheduled = "do"', {}, "No column of table 'persons' named 'do'"),
        (ENTRY.replace("uds", "udz"), {}, "No column of table 'weeks' named 'udz'"),
        (ENTRY.replace('time = "week"', 'time = "weak"'), {}, "table 'weeks' named 'weak'"),
        (f'{ENTRY}, scheduled = "due"', {"people": ((1, None), (2, 4))}, "whole numbers, 0 or"),
        (ENTRY.replace("weeks", "visits"), {}, "other table in"),
        (ENTRY.replace('"weeks"', '"persons"'), {}, "other table in"),
        (f"{ENTRY}, visits = 3", {}, "visits has no meaning beside result"),
        (f"{ENTRY}, scheduled = 0", {}, "1 or more"),
        (f'{ENTRY}, kind = "dairy"', {}, "diary"),
        (f'{ENTRY}, kind = "diary", positive = [2]', {}, "leave codes out"),
        (f'{ENTRY}, mixed_week = "+"', {}, "needs per_week"),
        ('result = "uds"', {}, "table names the table"),
    ],
)
def test_what_does_not_fit_is_named_with_the_cure(tmp_path, entry, changes, words):
    path = study_file(tmp_path, entry, **changes)
    with pytest.raises(RecoveryError) as told:
        load_study(path)
    assert words in str(told.value)
    assert any(words in p.message or words in str(p) for p in examine(path).problems)


def test_the_columns_it_is_made_of_are_read_though_no_analysis_names_them(tmp_path):
    path = study_file(tmp_path, f'{ENTRY}, scheduled = "due"')
    found = load_study(path, prune=True)["persons"].frame
    assert found["screens"].tolist() == ["-+o*", "-o--"]


def test_the_report_names_the_file_the_patterns_are_made_of(tmp_path):
    people = [(i, 8, i % 2, 20 + i % 7) for i in range(40)]
    rows = [(i, w, (7 * i + w * w) % 5 < i % 5) for i in range(40) for w in range(1, 9)]
    path = study_file(tmp_path, ENTRY, rows=[(i, w, int(r)) for i, w, r in rows])
    table = pd.DataFrame(people, columns=["id", "due", "arm", "age"])
    table.to_csv(tmp_path / "persons.csv", index=False)
    text = path.read_text().replace('person = "id"', 'person = "id"\narm = "arm"', 1)
    more = '\nshare = { endpoint = "Rd_fiellin_2006", pattern = "screens" }'
    path.write_text(text.replace("\n[[analysis", f"{more}\n[[analysis"))
    found = rs.answer("collaborative_housing", load_study(path), outcome="share", sensitivity=False)
    assert [s.name for s in found.sources] == ["persons.csv", "weeks.csv"]


def test_a_pattern_belongs_to_the_persons(tmp_path):
    path = study_file(tmp_path, ENTRY)
    path.write_text(path.read_text().replace("[derive.persons]", "[derive.weeks]"))
    with pytest.raises(RecoveryError, match=r"put it in \[derive.persons\]"):
        load_study(path)


def test_every_code_may_be_named():
    spec, faults = derived(
        "x", {"result": "r", "table": "weeks", "time": "t", "negative": 5, "positive": [6, 7]}
    )
    assert not faults
    assert spec.source.negative == (5.0,)
    assert spec.source.positive == (6.0, 7.0)


@pytest.mark.skipif(not SHARED.exists(), reason="the trial data are not beside the project")
def test_the_week_file_of_a_trial_gives_the_patterns_of_its_table_of_people(tmp_path):
    """Everybody with a row in the week file has the pattern of the table of people (UDSWEEKS).

    The published patterns (UDSPUB) count their weeks otherwise and cannot be made from this file.
    """
    people = rs.read_spss(SHARED / "ctn0094_person.sav").frame
    people.assign(due=people["UDSWEEKS"].str.len()).to_csv(tmp_path / "persons.csv", index=False)
    weeks = (SHARED / "ctn0094_week.sav").read_bytes()
    (tmp_path / "week.sav").write_bytes(weeks)
    entry = 'result = "UDS", table = "weeks", time = "WEEK", not_scheduled = [8]'
    (tmp_path / "study.toml").write_text(
        f"""schema = 1
[tables.persons]
file = "persons.csv"
key = ["ID"]
[tables.weeks]
file = "week.sav"
[derive.persons]
screens = {{ {entry}, scheduled = "due" }}
longest = {{ endpoint = "Ab_ctnNinetyFour_2023", pattern = "screens" }}
{ANALYSIS}
"""
    )
    found = load_study(tmp_path / "study.toml")["persons"].frame
    assert len(found) == 3560
    seen = found["ID"].isin(rs.read_spss(tmp_path / "week.sav").frame["ID"])
    assert seen.sum() == 2492
    assert (found["screens"] == found["UDSWEEKS"])[seen].all()
    assert (found["screens"] == found["due"].map(lambda n: "o" * int(n)))[~seen].all()
    by_hand = rs.endpoint(found["screens"], "Ab_ctnNinetyFour_2023").astype(float)
    pd.testing.assert_series_equal(found["longest"], by_hand, check_names=False, check_dtype=False)


@pytest.mark.parametrize("given", [None, "", "+-+"])
def test_one_pattern_that_is_no_list_is_refused(given):
    with pytest.raises(RecoveryError, match="put a single pattern into a list"):
        rs.endpoint(given, "Ab_kosten_1993")


def test_a_person_without_a_pattern_has_a_missing_value():
    found = rs.endpoint([None, "", "___", "---"], "Ab_kosten_1993")
    assert found.isna().tolist() == [True, True, True, False]
