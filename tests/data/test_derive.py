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


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Give either cross"),
        ({"cross": ["a"]}, "two columns"),
        ({"endpoint": "Rs_ctnNinetyFour_2024", "pattern": "u", "part": "event"}, "Did you mean"),
        ({"endpoint": "Rs_ctnNinetyFour_2023", "pattern": "u", "part": "month"}, "part is one of"),
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
