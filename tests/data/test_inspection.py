"""What `inspect` says of a table, and what it must never say."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.cell import Count, Spread
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Checks, Document, Table
from recovery_stats.data.inspection import inspect
from recovery_stats.data.suspicion import suspicious
from recovery_stats.data.table import read_table
from recovery_stats.errors import DataError
from tests.data.conftest import shared


def cohort(**columns: Any) -> Dataset:
    frame = pd.DataFrame(columns)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return Dataset(frame)


def table(document: Document, name: str) -> Table:
    return next(b for b in document.blocks if isinstance(b, Table) and b.name == name)


def row(document: Document, name: str, key: str) -> tuple[Any, ...]:
    return next(r.cells for r in table(document, name).rows if r.key == key)


def checks(document: Document, name: str) -> list[Check]:
    found = [c for b in document.blocks if isinstance(b, Checks) for c in b.checks]
    return [c for c in found if c.name == name]


def test_counts_levels_and_means() -> None:
    variable = Variable("sex", "Sex", {1.0: "woman", 2.0: "man"}, measure="nominal")
    data = cohort(id=np.arange(30.0), sex=[1.0] * 12 + [2.0] * 18, days=np.arange(30) + 0.5)
    data = dataclasses.replace(data, codebook=Codebook({"sex": variable}))
    found = inspect(data, name="persons", key=("id",))
    assert row(found, "values", "sex=1") == (Count(12, "rows"),)
    (mean,) = row(found, "values", "days.mean")
    assert isinstance(mean, Spread)
    assert mean.mean == pytest.approx(15.0)
    assert not [r for r in table(found, "values").rows if r.key == "id.mean"]
    assert row(found, "codebook", "sex")[3] == "1 = woman; 2 = man"


def test_every_total_adds_up() -> None:
    rng = np.random.default_rng(1)
    person, wave = np.repeat(np.arange(40.0), 3), np.tile([0.0, 1.0, 2.0], 40)
    score = np.where(rng.random(120) < 0.2, np.nan, rng.integers(0, 5, 120))
    data = cohort(person=person, wave=wave, score=score, arm=person % 2)
    codes = pd.Series([99.0] * 5, index=data.frame.index[data.frame["score"].isna()][:5])
    data = dataclasses.replace(data, missing={"score": codes})
    found = inspect(data, name="t", person="person", wave="wave", by="arm")
    for block in found.blocks:
        if isinstance(block, Table):
            _add_up(block)
    assert row(found, "missing", "score.99")[0] == Count(5, "rows")
    assert row(found, "waves", "rows.3") == (Count(40, "people"),)


def _add_up(block: Table) -> None:
    cells = {r.key: r.cells for r in block.rows if r.cells}
    keys = [c.key for c in block.columns]
    for total in block.totals:
        if total.axis == "rows":
            for i in range(len(keys)):
                parts = sum(cells[k][i].n for k in total.parts)  # type: ignore[union-attr]
                assert parts == cells[total.whole][i].n  # type: ignore[union-attr]
            continue
        for each in cells.values():
            if isinstance(each[0], Count):
                at = [keys.index(k) for k in total.parts]
                assert sum(each[i].n for i in at) == each[keys.index(total.whole)].n  # type: ignore[union-attr]


def test_keys() -> None:
    data = cohort(id=[1.0, 1.0, np.nan, 2.0, 1.0], wave=[0.0, 1.0, 0.0, 0.0, 1.0])
    repeated = checks(inspect(data, name="t", person="id", wave="wave"), "key")
    assert [c.verdict for c in repeated] == ["fail", "fail"]
    assert "row 3" in str(repeated[0].parts)
    assert "row 5" in str(repeated[1].parts)
    with pytest.raises(DataError, match="Did you mean 'wave'"):
        inspect(data, name="t", wave="wav")


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([0, 1, 2, 3, 4, 99], [99]),
        ([1, 2, 3, 4, 5, 9], [9]),
        ([0, 10.5, 300, -9], [-9]),
        ([18, 25, 40, 62, 999], [999]),
        ([0, 1, 2, 3, 97, 99], [97, 99]),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], []),
        ([18.0, 30, 45, 60, 75, 98, 99], []),
        ([0, 1], []),
        ([-3, -1, 0, 2], []),
        ([5, 9], []),
        ([0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8], []),  # the tail of a count
    ],
)
def test_suspicious_codes(values: list[float], codes: list[float]) -> None:
    data = cohort(x=np.array(values * 4, dtype=float))
    assert [code for _, code, _ in suspicious(data)] == codes


def test_a_label_of_a_missing_code_is_no_end_of_a_scale() -> None:
    data = cohort(x=[0.0, 1, 2, 3, 4, 5, 6, 7] * 3)
    book = Codebook({"x": Variable("x", values={-97.0: "n/a"}, missing=MissingRule((-97.0,)))})
    assert not list(suspicious(dataclasses.replace(data, codebook=book)))


def test_labelled_codes_are_not_suspicious() -> None:
    data = cohort(x=[0.0, 1, 2, 99] * 3)
    labelled = Codebook({"x": Variable("x", values={99.0: "often"})})
    assert not list(suspicious(dataclasses.replace(data, codebook=labelled)))


def test_nothing_about_one_person() -> None:
    names = [f"person number {i}" for i in range(40)]
    rare = ["common"] * 38 + ["rare one", "rare two"]
    data = cohort(note=names, group=rare, age=[*range(60, 97), 98, 99, 101])
    said = str(inspect(data, name="t"))
    for word in ("person number", "rare one", "rare two", "101", "98"):
        assert word not in said
    assert "90+" in said


def test_impossible_dates_and_weight() -> None:
    stamps = pd.to_datetime(pd.Series(["2020-01-01", None]))
    data = cohort(d=stamps.to_numpy(), w=[1.0, 2.0])
    book = Codebook({"d": Variable("d", kind="date")}, weight="w")
    data = dataclasses.replace(data, codebook=book, missing={"d": pd.Series([1e15], index=[2])})
    found = inspect(data, name="t")
    assert checks(found, "dates")
    assert checks(found, "weight")
    assert "1e+15" not in str(found)


def test_declared_missing_in_the_codebook() -> None:
    rule = MissingRule((-1.0,), 97.0, float("inf"))
    data = cohort(x=[1.0, 2.0])
    data = dataclasses.replace(data, codebook=Codebook({"x": Variable("x", missing=rule)}))
    assert row(inspect(data, name="t"), "codebook", "x")[4] == "-1, 97 to highest"


def test_shared_inputs() -> None:
    age = inspect(read_table(shared("badinput/J05_age_over_89/t.csv")), name="t", person="id")
    assert "90+" in str(age)
    note = inspect(read_table(shared("badinput/J06_free_text/t.csv")), name="t", person="id")
    assert "Denver" not in str(note)
