"""Endpoints against the published results, and the rules of a pattern."""

from pathlib import Path

import pandas as pd
import pytest

from recovery_stats.data.endpoints import endpoint
from recovery_stats.errors import DataError, UsageError

PUBLISHED = Path(__file__).parents[3] / "shared/data/ctn0094/published_endpoints_quarter.csv"


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the trial data are not beside the project")
@pytest.mark.parametrize("stem", ["ctnFiftyOne_2018", "ctnNinetyFour_2023"])
def test_published_results_of_a_quarter_of_the_participants(stem):
    published = pd.read_csv(PUBLISHED, dtype={"usePatternUDS": str})
    found = endpoint(published["usePatternUDS"], f"Rs_{stem}")
    assert len(found) > 800
    assert (found["time"] == published[f"RsT_{stem}"]).all()
    assert (found["event"] == published[f"RsE_{stem}"]).all()


@pytest.mark.parametrize(
    ("pattern", "time", "event"),
    [
        ("-oooo", 2, 1),
        ("-----", 2, 0),  # the last week in which a run of four could begin
        ("-+_*o+", 2, 1),  # a week not scheduled neither makes nor breaks the run
        ("-+-*o+", 3, 0),
    ],
)
def test_four_weeks_make_a_relapse(pattern, time, event):
    found = endpoint([pattern], "Rs_ctnNinetyFour_2023").iloc[0]
    assert (found["time"], found["event"]) == (time, event)


def test_unknown_symbols_and_names_are_refused_without_showing_the_pattern():
    with pytest.raises(DataError, match="row 1") as error:
        endpoint(pd.Series(["--x"], index=[1]), "Rs_ctnFiftyOne_2018")
    assert "--x" not in str(error.value)
    with pytest.raises(UsageError, match="Did you mean 'Rs_ctnFiftyOne_2018'"):
        endpoint(["---"], "Rs_ctnFiftyOne_2019")
