"""The fast lane gives the cells, reasons and codebook of the default reader, or is not taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data import sav_fast
from recovery_stats.data.sav import read_spss, write_spss
from recovery_stats.data.sav_codebook import read_dictionary
from recovery_stats.data.sav_data import read_cells
from recovery_stats.errors import DataError, UsageError
from tests.data.conftest import same, shared

REAL = ("data/uis.sav", "data/ctn0094/ctn0094_person.sav", "data/ctn0094/ctn0094_week.sav")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the fast lane; the test is skipped where it is not installed."""
    pytest.importorskip("polars_readstat")
    monkeypatch.setenv(sav_fast.VARIABLE, "fast")


def agree(path: Path) -> int:
    """Assert equal cells in every column that the lane takes; say how many it took."""
    dictionary = read_dictionary(path)
    taken = [n for n in dictionary.places if sav_fast.fits(dictionary, [n])]
    if not taken:
        return 0
    ours, theirs = (
        read_cells(path, dictionary, taken),
        sav_fast._read(path, dictionary, taken),
    )
    assert theirs is not None
    for name in taken:
        if isinstance(ours[name], list):
            assert theirs[name] == ours[name]
        else:
            np.testing.assert_array_equal(theirs[name], ours[name])
    return len(taken)


def varied(rows: int) -> Dataset:
    """Numbers of every size, codes, texts of many lengths."""
    rng = np.random.default_rng(rows)
    index = pd.RangeIndex(1, rows + 1)
    texts = [
        "" if i % 7 == 0 else "  é" + "x" * int(k) for i, k in enumerate(rng.integers(0, 400, rows))
    ]
    frame = pd.DataFrame(
        {
            "whole": rng.integers(-200, 300, rows).astype(float),
            "real": rng.normal(size=rows) * 10.0 ** rng.integers(-300, 300, rows),
            "coded": np.where(rng.random(rows) < 0.3, np.nan, 1.5),
            "text": pd.Series([t or None for t in texts], index=index, dtype=object),
            "short": pd.Series(["a", None] * (rows // 2), index=index, dtype=object),
        },
        index=index,
    )
    absent = index[frame["coded"].isna() & (rng.random(rows) < 0.5)]
    codes = pd.Series(rng.choice([-9.0, 99.25, 0.1], len(absent)), absent)
    blank = index[frame["short"].isna()]
    reasons = {"coded": codes, "short": pd.Series(["zz"] * len(blank), blank, dtype=object)}
    variables = (
        Variable("coded", values={-9.0: "Refused"}, missing=MissingRule((-9.0, 99.25, 0.1))),
        Variable("short", kind="string", missing=MissingRule(("zz",))),
    )
    return Dataset(frame, Codebook({v.name: v for v in variables}), reasons)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
@pytest.mark.parametrize("rows", [2, 1000])
def test_made_files(rows: int, name: str, tmp_path: Path) -> None:
    write_spss(varied(rows), tmp_path / name)
    assert agree(tmp_path / name) == 5


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("place", REAL)
def test_real_files(place: str) -> None:
    assert agree(shared(place)) > 0


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("name", ["x.sav", "x.zsav"])
def test_everything(
    everything: Dataset, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_spss(everything, tmp_path / name)
    agree(tmp_path / name)
    found = read_spss(tmp_path / name)
    monkeypatch.delenv(sav_fast.VARIABLE)
    same(read_spss(tmp_path / name), found)


@pytest.mark.usefixtures("fast")
def test_a_damaged_file_is_refused_as_by_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.sav"
    write_spss(varied(100), path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match="cut short"):
        read_spss(path)


def test_not_installed(
    everything: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_spss(everything, tmp_path / "x.sav")
    monkeypatch.setattr(sav_fast, "find_spec", lambda name: None)
    monkeypatch.setenv(sav_fast.VARIABLE, "fast")
    with pytest.raises(UsageError, match=r"recovery_stats\[fast\]"):
        read_spss(tmp_path / "x.sav")


def test_unknown_reader(
    everything: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_spss(everything, tmp_path / "x.sav")
    monkeypatch.setenv(sav_fast.VARIABLE, "quick")
    with pytest.raises(UsageError, match="default or fast"):
        read_spss(tmp_path / "x.sav")
