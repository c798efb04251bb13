"""Rules over the tables of a study: each fault is found, named by row, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset, Source
from recovery_stats.core.study import AnalysisSpec, Protocol, Study, TableSpec
from recovery_stats.data.problem import Problem, StudyDataError
from recovery_stats.data.rules import Use, enforce, recode_events, validate

BAD_INPUT = Path(__file__).parents[2].parent / "shared" / "badinput"
nan = float("nan")

ROLES: Mapping[str, Mapping[str, str | tuple[str, ...]]] = {
    "persons": {
        "person": "pid", "time": "days", "event": "relapse", "arm": "arm", "adjust": ("age",),
    },
    "waves": {"person": "pid", "wave": "wave", "outcome": "pacs", "house": "house"},
    "meetings": {"person": "pid", "meeting_day": "mday"},
    "stays": {"person": "pid", "start": "in_day", "stop": "out_day"},
    "events": {"person": "pid", "day": "eday", "cause": "etype"},
}  # fmt: skip

PERSONS = {
    "pid": [1.0, 2.0, 3.0, 4.0],
    "days": [10.0, 20.0, 30.0, 40.0],
    "relapse": [1.0, 1.0, 0.0, 1.0],
    "arm": [0.0, 1.0, 0.0, 1.0],
    "age": [30.0, 41.0, 52.0, 63.0],
}
WAVES = {
    "pid": [1.0, 1.0, 2.0, 2.0, 3.0],
    "wave": [0.0, 6.0, 0.0, 6.0, 0.0],
    "pacs": [12.0, 11.0, 15.0, 9.0, 14.0],
    "house": [1.0, 1.0, 2.0, 2.0, 1.0],
}
MEETINGS = {"pid": [1.0, 1.0, 2.0], "mday": [0.0, 4.0, 7.0]}
STAYS = {"pid": [1.0, 1.0, 2.0], "in_day": [0.0, 30.0, 5.0], "out_day": [30.0, 60.0, 9.0]}
EVENTS = {"pid": [1.0, 1.0, 2.0], "eday": [10.0, 90.0, 20.0], "etype": [1.0, 2.0, 1.0]}


def dataset(columns: Mapping[str, Any], *variables: Variable, weight: str | None = None) -> Dataset:
    frame = pd.DataFrame(dict(columns))
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    book = Codebook({v.name: v for v in variables}, weight=weight)
    return Dataset(frame, book, source=Source("t.sav", "", len(frame)))


def study(
    analyses: tuple[AnalysisSpec, ...] = (),
    roles: Mapping[str, Mapping[str, str]] | None = None,
    **tables: Dataset,
) -> Study:
    specs = {
        name: TableSpec(name, f"{name}.sav", roles={**ROLES[name], **(roles or {}).get(name, {})})
        for name in tables
    }
    return Study(tables, Protocol(tables=specs, analyses=analyses))


def persons(*variables: Variable, **changed: Any) -> Dataset:
    return dataset({**PERSONS, **changed}, *variables)


def waves(**changed: Any) -> Dataset:
    return dataset({**WAVES, **changed})


def problems(given: Study, *uses: tuple[str, str, str]) -> list[str]:
    return [f.text("") for f in validate(given, uses) if isinstance(f, Problem)]


def the_problem(given: Study, *uses: tuple[str, str, str]) -> str:
    found = problems(given, *uses)
    assert len(found) == 1, found
    with pytest.raises(StudyDataError) as caught:
        enforce(given, uses)
    assert caught.value.exit_code in (3, 4)
    return found[0]


def cautions(given: Study) -> list[Check]:
    found = validate(given)
    assert not [f for f in found if isinstance(f, Problem)]
    return [f for f in found if isinstance(f, Check)]


def words(check: Check) -> str:
    return "".join(str(p.n) if isinstance(p, Count) else str(p) for p in check.parts)


def test_clean_tables_have_nothing_to_tell() -> None:
    given = study(
        persons=persons(), waves=waves(), meetings=dataset(MEETINGS), stays=dataset(STAYS),
        events=dataset(EVENTS),
    )  # fmt: skip
    assert validate(given) == ()
    assert enforce(given) == ()


# --- columns and keys


def test_a_column_that_is_not_there_names_the_nearest() -> None:
    given = study(persons=persons(), roles={"persons": {"time": "dayz"}})
    assert "Did you mean 'days'" in the_problem(given)
    assert "'satisfation'" in the_problem(study(waves=waves()), ("waves", "outcome", "satisfation"))


def test_an_option_may_name_a_column_of_another_table() -> None:
    given = study(persons=persons(), waves=waves())
    assert problems(given, ("persons", "adjust", "house")) == []


def test_the_line_of_the_study_file_is_told() -> None:
    given = study(persons=persons(days=[-1.0, 2.0, 3.0, 4.0]))
    lines = {"roles.persons": 4, "roles.persons.time": 7, "analysis.0": 9}
    given = replace(given, protocol=replace(given.protocol, lines=lines, file="study.toml"))
    with pytest.raises(StudyDataError, match=r"^study\.toml:7: table 'persons', column 'days'"):
        enforce(given)
    (problem,) = validate(
        study_with(given, days=PERSONS["days"]), [Use("waves", "x", "z", "analysis.0.x")]
    )
    assert isinstance(problem, Problem)
    assert problem.line == 9


def study_with(given: Study, **changed: Any) -> Study:
    return replace(given, tables={"persons": persons(**changed)})


def test_wide_waves_are_to_be_reshaped() -> None:
    wide = dataset({"pid": [1.0, 2.0], "sat_0": [1.0, 2.0], "sat_1": [2.0, 3.0]})
    given = Study({"waves": wide}, Protocol())
    assert "reshape" in the_problem(given, ("waves", "wave", "wave"))


def test_key_columns_filters_and_codes_must_exist() -> None:
    spec = TableSpec(
        "persons", key=("pd",), where=(("ruled", "==", 1),), missing={"inc": (-9,), "*": (-8,)}
    )
    given = Study({"persons": persons()}, Protocol(tables={"persons": spec}))
    assert len(problems(given)) == 3


def test_empty_keys_are_named_by_row() -> None:
    assert "rows 2 and 3" in the_problem(study(persons=persons(pid=[1.0, nan, nan, 4.0])))
    assert "row 2" in the_problem(study(persons=persons(pid=["a", "  ", "c", "d"])))


def test_repeated_keys_are_counted_and_identical_rows_said_apart() -> None:
    rows = pd.DataFrame(WAVES)
    twice = pd.concat([rows, rows.iloc[[1]], rows.iloc[[2]].assign(pacs=1.0)], ignore_index=True)
    found = the_problem(study(waves=dataset({c: twice[c] for c in twice})))
    assert "2 rows repeat the key (pid, wave)" in found
    assert "rows 6 and 7" in found
    assert "1 of 2 identical" in found


def test_one_file_for_persons_and_waves_may_repeat_people() -> None:
    one = dataset({**WAVES, "days": [1.0, 1.0, 2.0, 2.0, 3.0], "relapse": [1.0, 1.0, 0.0, 0.0, 1.0],
                   "arm": [0.0, 0.0, 1.0, 1.0, 1.0], "age": [1.0, 1.0, 2.0, 2.0, 3.0]})  # fmt: skip
    assert problems(study(persons=one, waves=one)) == []
    assert "key" in the_problem(study(persons=one))


def test_a_totals_row_is_found() -> None:
    pid = ["1", "2", "3", "Total"]
    assert "totals row in row 4" in the_problem(study(persons=persons(pid=pid)))


def test_people_who_are_not_in_persons() -> None:
    (check,) = cautions(study(persons=persons(), waves=waves(pid=[1.0, 1.0, 2.0, 2.0, 9.0])))
    assert check.name == "people"
    assert Count(1, "rows") in check.parts
    nobody = study(persons=persons(), waves=waves(pid=[5.0, 5.0, 6.0, 6.0, 7.0]))
    assert "None of these people" in the_problem(nobody)
    text = study(persons=persons(), waves=waves(pid=["1", "1", "2", "2", "3"]))
    assert "same type" in the_problem(text)


def test_no_rows() -> None:
    assert "No rows" in the_problem(study(persons=persons().with_frame(persons().frame.iloc[:0])))


# --- values


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"days": ["10", "20 days", "30", "40"]}, "row 2"),
        ({"days": ["10", "20", "30", "40"]}, "numbers as text"),
        ({"days": [nan, nan, nan, nan]}, "All 4 values are missing"),
        ({"days": [10.0, -3.0, 30.0, 40.0]}, "Negative or infinite time in row 2"),
        ({"days": [10.0, np.inf, 30.0, 40.0]}, "row 2"),
        ({"relapse": [1.0, 2.0, 0.0, 1.0]}, "row 2"),
        ({"relapse": ["yes", "TRUE", "no", "0"]}, "4 spellings"),
        ({"arm": [1.0, 1.0, 1.0, nan]}, "Constant"),
        ({"age": [30.0, 30.0, 30.0, 30.0]}, "Constant"),
    ],
)
def test_values_of_persons(changed: dict[str, Any], named: str) -> None:
    found = the_problem(study(persons=persons(**changed)))
    assert named in found
    assert next(iter(changed)) in found
    assert "20 days" not in found


def test_event_codes_that_are_labelled_are_listed_and_can_be_declared() -> None:
    status = Variable("relapse", values={1.0: "Censored", 2.0: "Relapsed"})
    given = study(persons=persons(status, relapse=[2.0, 2.0, 1.0, nan]))
    found = the_problem(given)
    assert "event_code" in found
    assert "2 'Relapsed'" in found
    spec = replace(given.protocol.tables["persons"], options={"event_code": 2})
    given = recode_events(replace(given, protocol=Protocol(tables={"persons": spec})))
    assert validate(given) == ()
    relapse = given["persons"].frame["relapse"]
    assert relapse.to_list()[:3] == [1.0, 1.0, 0.0]
    assert np.isnan(relapse.iloc[3])
    assert given["persons"].variable("relapse").values == {0.0: "not Relapsed", 1.0: "Relapsed"}


def test_an_event_in_text_can_be_declared() -> None:
    given = study(persons=persons(relapse=["Y ", "N", None, "Y"]))
    spec = replace(given.protocol.tables["persons"], options={"event_code": "Y"})
    given = recode_events(replace(given, protocol=Protocol(tables={"persons": spec})))
    assert validate(given) == ()
    assert given["persons"].frame["relapse"].dtype == "float64"


def test_weights() -> None:
    for weight in (-1.0, 0.0, nan, np.inf):
        given = study(persons=persons(w=[1.0, weight, 2.0, 1.0]))
        assert "row 2" in the_problem(given, ("persons", "weights", "w"))


def test_the_files_own_weight_must_be_decided() -> None:
    given = study(persons=dataset(PERSONS, weight="w"))
    (check,) = cautions(given)
    assert "not applied" in words(check)
    given = replace(given, protocol=replace(given.protocol, file="study.toml"))
    assert 'weight = "none"' in the_problem(given)
    spec = replace(given.protocol.tables["persons"], options={"weight": "none"})
    given = replace(given, protocol=replace(given.protocol, tables={"persons": spec}))
    assert validate(given) == ()


def test_counts_and_families() -> None:
    given = study(meetings=dataset({**MEETINGS, "n": [1.0, -1.0, 2.5]}))
    assert "rows 2 and 3" in the_problem(given, ("meetings", "count", "n"))
    poisson = AnalysisSpec("a", "a", {"family": "poisson", "outcome": "pacs"})
    given = study((poisson,), waves=waves(pacs=[1.0, 2.0, -1.0, 2.5, 3.0]))
    assert "rows 3 and 4" in the_problem(given)
    binomial = AnalysisSpec("a", "a", {"family": "binomial"})
    assert "0 and 1" in the_problem(study((binomial,), waves=waves()))


def test_text_outcome() -> None:
    given = study(waves=waves(pacs=["low", "high", "low", "low", "high"]))
    assert "'pacs'" in the_problem(given)


def test_undeclared_codes_are_told_with_their_cure() -> None:
    (check,) = cautions(study(persons=persons(age=[30.0, 41.0, 999.0, 52.0])))
    assert check.name == "codes"
    assert "[missing.codes.persons]" in words(check)


# --- times


def test_entry_comes_before_the_end() -> None:
    given = study(persons=persons(start=[0.0, 20.0, 31.0, 1.0]))
    assert "rows 2 and 3" in the_problem(given, ("persons", "entry", "start"))


def test_time_zero_is_told() -> None:
    (check,) = cautions(study(persons=persons(days=[0.0, 20.0, 30.0, 40.0])))
    assert (check.name, check.parts[0]) == ("time", Count(1, "rows"))


DATES = [("persons", "entry_date", "came"), ("persons", "exit_date", "left")]


def test_dates_run_forward_and_events_come_before_the_exit() -> None:
    came = pd.to_datetime(["2020-01-01"] * 4)
    left = pd.to_datetime(["2020-03-01", "2019-12-31", "2020-03-01", "2020-03-01"])
    found = problems(study(persons=persons(came=came, left=left)), *DATES)
    assert ["Entry after" in f for f in found] == [True, False]
    assert "Event after the end of observation" in found[1]
    assert all("row 2" in f for f in found)


def test_recorded_events_come_before_exit_and_death() -> None:
    given = study(persons=persons(left=[50.0, 50.0, 50.0, 50.0]), events=dataset(EVENTS))
    assert "row 2" in the_problem(given, ("persons", "exit_date", "left"))
    cause = Variable("etype", values={1.0: "Relapse", 2.0: "Death"})
    late = {**EVENTS, "eday": [99.0, 90.0, 20.0]}
    given = study(persons=persons(), events=dataset(late, cause))
    assert "death in row 1" in the_problem(given)


def test_stays_run_forward_and_overlaps_are_told() -> None:
    bad = {**STAYS, "out_day": [30.0, 29.0, 9.0]}
    assert "row 2" in the_problem(study(stays=dataset(bad)))
    found = cautions(study(stays=dataset({**STAYS, "in_day": [0.0, 29.0, 9.0]})))
    assert [words(c)[:30] for c in found] == [
        "1 start and end on one day and", "1 begin before an earlier stay"
    ]  # fmt: skip


def test_an_overlap_with_a_stay_before_the_last_one() -> None:
    stays = {"pid": [1.0] * 3, "in_day": [0.0, 5.0, 20.0], "out_day": [100.0, 9.0, 30.0]}
    (check,) = cautions(study(stays=dataset(stays)))
    assert check.parts[0] == Count(2, "stays")


def test_meetings_outside_the_time_of_observation() -> None:
    meetings = dataset({"pid": [1.0, 1.0, 2.0, 2.0], "mday": [-2.0, 4.0, nan, 50.0]})
    given = study(persons=persons(end=[30.0] * 4), meetings=meetings)
    found = validate(given, [("persons", "diary_to", "end")])
    told = [words(c) for c in found if isinstance(c, Check)]
    assert len(told) == len(found) == 3
    assert "no day" in told[0]
    assert "before" in told[1]
    assert "last day of the diary" in told[2]


# --- groups


def test_one_person_and_one_cluster() -> None:
    one = {c: v[:2] for c, v in WAVES.items()}
    assert "One person" in the_problem(study(waves=dataset({**one, "house": [1.0, 2.0]})))
    given = study(waves=waves(house=[1.0] * 5))
    (check,) = cautions(given)
    assert check.name == "clusters"
    assert "One cluster" in the_problem(given, ("waves", "cluster", "house"))


def test_groups_without_events() -> None:
    arm = Variable("arm", values={0.0: "Usual", 1.0: "House"})
    (check,) = cautions(study(persons=persons(arm, relapse=[1.0, 0.0, 1.0, 0.0])))
    assert "arm = House" in words(check)
    assert Count(2) in check.parts
    (check,) = cautions(study(persons=persons(relapse=[0.0] * 4)))
    assert "No event" in words(check)


@pytest.mark.parametrize("reference", ["Usual", "0", 0, 0.0])
def test_a_reference_is_a_label_or_a_code(reference: object) -> None:
    arm = Variable("arm", values={0.0: "Usual", 1.0: "House"})
    analysis = AnalysisSpec("a", "a", {"reference": reference})
    assert validate(study((analysis,), persons=persons(arm))) == ()


def test_an_unknown_reference_lists_the_levels() -> None:
    arm = Variable("arm", values={0.0: "Usual", 1.0: "House"})
    analysis = AnalysisSpec("a", "a", {"reference": "H99"})
    found = the_problem(study((analysis,), persons=persons(arm)))
    assert "'H99'" in found
    assert "Usual, House" in found


def test_text_with_a_level_a_row_is_no_covariate() -> None:
    note = [f"note {i}" for i in range(40)]
    many = {c: [*range(40)] if c == "pid" else v * 10 for c, v in PERSONS.items()}
    given = study(persons=dataset({**many, "note": note}))
    assert "Text with 40 levels in 40 rows" in the_problem(given, ("persons", "adjust", "note"))


# --- privacy


def test_no_message_holds_an_identifier_or_a_value() -> None:
    secret = [70001.0, 70001.0, 70003.0, 70004.0]
    bad = persons(pid=secret, days=[-71234.5, 3.0, np.inf, 4.0], relapse=[1.0, 71717.0, 0.0, 1.0])
    strange = waves(pid=[79999.0, 79999.0, 70003.0, nan, 70003.0], pacs=["7 secret"] * 5)
    stays = dataset({"pid": [70001.0] * 2, "in_day": [78888.0, 1.0], "out_day": [1.0, 2.0]})
    found = validate(study(persons=bad, waves=strange, stays=stays))
    told = [f.text() if isinstance(f, Problem) else words(f) for f in found]
    assert len(told) >= 7
    assert not [t for t in told if "secret" in t or any(f"7{d}" in t for d in "01789")]


# --- the stored bad inputs


@pytest.mark.skipif(not BAD_INPUT.is_dir(), reason="the bad inputs are not beside the project")
@pytest.mark.parametrize(
    ("case", "table", "roles", "named"),
    [
        ("E01_negative_time", "persons", {}, "row 5"),
        ("E03_entry_after_exit", "persons", {"entry": "start"}, "start"),
        ("E14_negative_weights", "persons", {"weights": "w"}, "w"),
        ("B30_bool_mix", "persons", {}, "relapse"),
        ("B27_totals_row", "waves", {}, "row 181"),
        ("D05_missing_id", "waves", {}, "rows 5 and 6"),
        ("D02_exact_duplicate_row", "waves", {}, "wave"),
        ("D06_one_person", "waves", {}, "One person"),
        ("D10_wide_data", "waves", {}, "reshape"),
        ("F17_text_outcome", "waves", {}, "satisfaction"),
        ("F13_5000_levels", "waves", {"adjust": "code"}, "levels"),
        ("F02_constant_predictor", "waves", {"adjust": "meetings"}, "meetings"),
    ],
)
def test_stored_bad_inputs(case: str, table: str, roles: Mapping[str, str], named: str) -> None:
    frame = pd.read_csv(BAD_INPUT / case / "t.csv")
    usual = {
        "persons": {"person": "id", "time": "days", "event": "relapse", "arm": "arm"},
        "waves": {"person": "id", "wave": "wave", "outcome": "satisfaction"},
    }[table]
    spec = TableSpec(table, "t.csv", roles={**usual, **roles})
    given = Study({table: dataset({c: frame[c] for c in frame})}, Protocol(tables={table: spec}))
    assert named in " ".join(problems(given))


def test_somebody_is_observed() -> None:
    assert "All 4 times are 0" in the_problem(study(persons=persons(days=[0.0] * 4)))
    days = {"entered": [5.0] * 4, "left": [5.0] * 4}
    roles = {"persons": {"entry_date": "entered", "exit_date": "left"}}
    data = dataset({**PERSONS, **days, "relapse": [0.0] * 3 + [1.0], "days": [1.0, 2, 3, 1]})
    assert "for all 4 people" in the_problem(study(persons=data, roles=roles))


def test_people_who_disagree_with_themselves_are_told_by_column() -> None:
    data = dataset({**PERSONS, "pid": [1.0, 1.0, 2.0, 3.0]})
    assert "'days', 'arm', 'age' differ between rows of one person" in the_problem(
        study(persons=data)
    )
