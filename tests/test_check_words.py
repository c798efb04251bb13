"""Checks of a report name columns by their labels, never by the names they have in the file."""

from __future__ import annotations

import pytest

from recovery_stats.analyses._wording import reworded
from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Study
from recovery_stats.study.workflow import labelled


def told(text: str, **words: str) -> str:
    check = reworded(Check("c", "ok", (Count(3), text), text), words)
    assert check.parts == (Count(3), check.about)
    return check.about


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Leaving out one level of pid moves nothing.", "Leaving out one person moves nothing."),
        ("pid has levels enough.", "person has levels enough."),
        ("intercept effects of pid", "intercept effects of person"),
        ("lived in several levels of pid.", "lived in several persons."),
        ("they change most for pid, and", "they change most for person, and"),
        ("Robust errors from 8 clusters (pid)", "Robust errors from 8 clusters (person)"),
        ("for pid_2 and rapid", "for pid_2 and rapid"),
        ("A change over pid is no name", "A change over pid is no name"),
    ],
)
def test_names_of_columns_become_words_where_they_are_names(text: str, after: str) -> None:
    assert told(text, pid="person") == after


def test_a_check_is_about_labels_and_quotes_them() -> None:
    import pandas as pd

    codebook = Codebook({"sev_z": Variable("sev_z", "Severity (z score)")})
    data = Dataset(pd.DataFrame({"sev_z": [1.0], "age": [2.0]}), codebook)
    study = Study({"persons": data, "waves": data})
    words = "By 'sev_z' and 'age', of 'persons'."
    for about, label in (
        ("sev_z", "Severity (z score)"), ("waves.sev_z", "Severity (z score)"), ("age", "age"),
        ("waves.gone", "waves.gone"), ("residuals", "residuals"), ("", ""),
    ):  # fmt: skip
        found = labelled(Check("c", "ok", (words, Count(2)), about), study, ("persons", "waves"))
        assert found.about == label
        assert found.parts == ("By “Severity (z score)” and 'age', of 'persons'.", Count(2))
