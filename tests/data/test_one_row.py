"""People out of a long file: one row each where the rows agree, untouched where they do not."""

from __future__ import annotations

import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.data.one_row import one_row_a_person, varying

LONG = pd.DataFrame(
    {
        "pid": [1.0, 1, 2, 2, None],
        "arm": [0.0, 0, 1, 1, 1],
        "age": [30.0, 31, 40, 41, 50],
        "gap": [1.0, None, 2, 2, 2],
    },
    index=range(1, 6),
)


def study(**roles: str) -> Study:
    spec = TableSpec("persons", roles={"person": "pid", **roles})
    return Study({"persons": Dataset(LONG)}, Protocol(tables={"persons": spec}))


def test_rows_that_agree_become_one_and_no_row_number_changes() -> None:
    made = one_row_a_person(study(arm="arm"), ())
    assert list(made["persons"].frame.index) == [1, 3, 5]  # who has no identifier stays, to be told
    assert [(c.name, c.verdict) for c in made.checks] == [("one row a person", "ok")]


def test_rows_that_disagree_are_left_alone() -> None:
    for made in (study(adjust="age"), study(adjust="gap")):
        assert one_row_a_person(made, ()) is made
    made = study(arm="arm")
    assert one_row_a_person(made, ("age",)) is made


def test_columns_that_vary_are_named() -> None:
    assert varying(Dataset(LONG), "pid", ("arm", "age", "gap", "pid", "none")) == ("age", "gap")
