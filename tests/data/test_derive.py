"""Columns that a study file derives from others."""

import pandas as pd
import pytest

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.derive import derive, derived
from recovery_stats.errors import DataError

DATA = Dataset(
    pd.DataFrame(
        {"trial": [30.0, 30, 51, None], "site": [2.0, 1, 2, 2], "uds": ["-oooo", "-----", "", None]}
    )
)


def read(name, **body):
    found, faults = derived(name, body)
    assert not faults
    return found


def test_a_site_number_in_two_trials_is_two_clusters():
    cluster = derive(DATA, [read("cluster", cross=["trial", "site"])]).frame["cluster"]
    assert cluster[:3].tolist() == [2, 1, 3]
    assert cluster.isna()[3]


def test_an_endpoint_gives_event_and_days():
    specs = [
        read(part, endpoint="Rs_ctnNinetyFour_2023", pattern="uds", part=part)
        for part in ("event", "days")
    ]
    frame = derive(DATA, specs).frame
    assert frame["event"][:2].tolist() == [1, 0]
    assert frame["days"][:2].tolist() == [14, 14]
    assert frame[["event", "days"]][2:].isna().all(axis=None)


def test_an_endpoint_of_one_value_is_a_column_under_any_missing_rule():
    specs = [
        read("run", endpoint="Ab_kosten_1993", pattern="uds"),
        read("share", endpoint="Rd_fiellin_2006", pattern="uds"),
        read("kept", endpoint="Rd_fiellin_2006", pattern="uds", missing="ignored"),
        read("weeks", endpoint="Ab_fiellin_2006", pattern="uds", per_week=5),
    ]
    data = derive(DATA, specs)
    assert data.frame["run"][:2].tolist() == [0, 1]
    assert data.frame["share"][:2].tolist() == [0.2, 1]
    assert data.frame["kept"][:2].tolist() == [1, 1]
    assert data.frame["weeks"][:2].tolist() == [1, 1]
    assert data.variable("run").values == {0.0: "No", 1.0: "Yes"}
    assert "missed visits are left out" in data.label("kept")


def test_a_pattern_that_is_none_is_told_with_its_column_table_and_row():
    data = Dataset(pd.DataFrame({"uds": ["--", "-x"]}, index=[4, 7]))
    with pytest.raises(DataError, match=r"column 'uds' of table 'persons': 1 of 2.*in row 7"):
        derive(data, [read("x", endpoint="Ab_kosten_1993", pattern="uds")], "persons")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Give either cross"),
        ({"cross": ["a"]}, "two columns"),
        ({"endpoint": "Rs_ctnNinetyFour_2024", "pattern": "u", "part": "event"}, "Did you mean"),
        ({"endpoint": "Rs_ctnNinetyFour_2023", "pattern": "u", "part": "month"}, "part is one of"),
        ({"endpoint": "Ab_kosten_1993", "pattern": "u", "part": "event"}, "leave part out"),
        ({"endpoint": "Ab_kosten_1993", "pattern": "u", "missing": "locf"}, "rule for missed"),
        ({"endpoint": "Ab_kosten_1993", "pattern": "u", "per_week": 0}, "per_week is the number"),
        (
            {
                "endpoint": "Dr_ctnNinetyFour_2023",
                "pattern": "u",
                "part": "event",
                "missing": "positive",
            },
            "leave missing out",
        ),
        ({"cros": ["a", "b"]}, "Did you mean 'cross'"),
    ],
)
def test_faults_are_told_with_their_cure(body, words):
    found, faults = derived("x", body)
    assert found is None
    assert any(words in fault for fault in faults)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match="Did you mean 'trial'"):
        derive(DATA, [read("cluster", cross=["trail", "site"])])


def test_visits_are_counted_and_a_share_is_of_those_among():
    data = Dataset(pd.DataFrame({"uds": ["-+o*-", "oo", "_-", "", None]}))
    specs = [
        read("negative", count="-", pattern="uds"),
        read("early", count="-", pattern="uds", visits=2),
        read("clean", count="-", among="+-*o", pattern="uds"),
        read("seen", count="-", among="+-*", pattern="uds"),
    ]
    frame = derive(data, specs).frame
    assert frame["negative"][:3].tolist() == [2, 0, 1]
    assert frame["early"][:3].tolist() == [1, 0, 1]
    assert frame["clean"][:3].tolist() == [0.4, 0, 1]
    assert frame["seen"][0] == 0.5
    assert frame["seen"][1:2].isna().all()
    assert frame[["negative", "clean"]][3:].isna().all(axis=None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"count": "x"}, "count takes symbols of visits"),
        ({"count": "-", "among": "+*"}, "among holds every symbol of count"),
        ({"count": "-", "visits": -1}, "visits is how many of the first visits"),
        ({"count": "-", "part": "days"}, "part has no meaning beside count"),
    ],
)
def test_a_count_that_cannot_be_made_is_told(body, said):
    found, faults = derived("x", {"pattern": "uds", **body})
    assert found is None
    assert said in " ".join(faults)
