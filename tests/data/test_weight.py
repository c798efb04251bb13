"""The weight of an SPSS file: used as the study file says, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from recovery_stats import analyses
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data.sav import write_spss
from recovery_stats.errors import DataError
from recovery_stats.study.binding import bind
from recovery_stats.study.table import read_study

PERSONS = {
    "pid": [1.0, 2, 3, 4],
    "days": [9.0, 8, 7, 6],
    "relapse": [1.0, 0, 1, 0],
    "meets": [0.0, 1, 0, 1],
    "w": [1.0, 2, 3, 4],
    "w2": [0.5, 2, 3, 4],
}
STUDY = """
[tables.persons]
file = "persons.sav"
key = ["pid"]
{weight}
[roles.persons]
person = "pid"
time = "days"
event = "relapse"
frequency = "meets"
{role}
[[analysis]]
kind = "meeting_frequency"
"""


@pytest.fixture
def weights(tmp_path: Path):  # type: ignore[no-untyped-def]
    """The column that plays `weights` in the analysis, with these lines in the study file."""
    variables = {name: Variable(name) for name in PERSONS}
    frame = pd.DataFrame(PERSONS, index=range(1, 5))

    def found(weight: str, role: str = "", of_file: str | None = "w") -> str | None:
        book = replace(Codebook(variables), weight=of_file)
        write_spss(Dataset(frame, book), tmp_path / "persons.sav")
        text = STUDY.format(weight=weight and f'weight = "{weight}"', role=role)
        (tmp_path / "study.toml").write_text(text)
        study = read_study(tmp_path / "study.toml", prune=True)
        chosen: str | None = bind(analyses.get("meeting_frequency"), study, {}).weights
        return chosen

    return found


def test_undecided_is_refused(weights) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="weighted by 'w'"):
        weights("")


@pytest.mark.parametrize("word", ["sampling", "frequency"])
def test_used_where_wanted(weights, word: str) -> None:  # type: ignore[no-untyped-def]
    assert weights(word) == "w"


def test_none_leaves_it(weights) -> None:  # type: ignore[no-untyped-def]
    assert weights("none") is None


def test_a_named_role_comes_first(weights) -> None:  # type: ignore[no-untyped-def]
    assert weights("sampling", 'weights = "w2"') == "w2"
    assert weights("none", 'weights = "w2"') == "w2"


def test_frequencies_are_whole(weights) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="Not whole in row 1"):
        weights("frequency", 'weights = "w2"')


def test_a_weight_to_use_exists(weights) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="none switched on"):
        weights("sampling", of_file=None)
