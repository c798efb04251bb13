"""Every published column of a quarter of the CTN-0094 participants, and what the library tells."""

from pathlib import Path

import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.data.endpoints import ENDPOINTS
from tests.tolerance import EXACT

SHARED = Path(__file__).parents[4] / "shared/data/ctn0094"
beside = pytest.mark.skipif(not SHARED.exists(), reason="the trial data are not beside the project")


@pytest.fixture(scope="module")
def published():
    table = pd.read_csv(SHARED / "published_endpoints_quarter.csv", dtype={"usePatternUDS": str})
    assert len(table) == 890
    return table


@beside
@pytest.mark.parametrize("name", ENDPOINTS)
def test_published_results_of_a_quarter_of_the_participants(published, name):
    found = rs.endpoint(published["usePatternUDS"], name)
    parts = (found["time"], found["event"]) if isinstance(found, pd.DataFrame) else (found,)
    for column, values in zip(ENDPOINTS[name].columns, parts, strict=True):
        assert values.astype(float).to_numpy() == pytest.approx(
            published[column].astype(float).to_numpy(), abs=EXACT
        )


@beside
def test_all_columns_are_there_and_no_other(published):
    columns = {c for entry in ENDPOINTS.values() for c in entry.columns}
    assert columns == set(published.columns[2:])
    assert len(columns) == 62


@beside
def test_each_definition_in_words_has_its_entry():
    words = pd.read_csv(SHARED / "endpoint_definitions.csv")
    names = words["columns"].str.split(", ").explode()
    library = rs.endpoints().set_index("name")
    told = {c for entry in ENDPOINTS.values() for c in entry.columns}
    assert set(names) <= told
    for row in words.itertuples():
        entry = library.loc[row.columns.split(",")[0].replace("T_", "_")]
        dois = (entry["doi"], *entry["citation"].split("("))
        assert any(str(row.doi).endswith(d.rstrip(")")) for d in dois if d) or row.doi != row.doi


def test_the_table_of_the_library():
    table = rs.endpoints()
    assert len(table) == 54
    assert table["name"].is_unique
    assert set(table["class"]) == {"logical", "count", "ratio", "time and event"}
    assert list(table.columns[:4]) == ["name", "group", "kind", "class"]
    untold = set(table.loc[table["text"] == "", "name"])
    assert untold == {"Ab_ctnNinetyFour_2023", "Rd_lingB_1976"}
    assert (table["computed"] != "").all()
    assert table.loc[table["doi"] == "", "citation"].str.startswith("CTN-0094").all()
