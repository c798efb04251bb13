"""Portable files: our own reader keeps the user-missing codes that pyreadstat loses."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from recovery_stats.core.codebook import MissingRule
from recovery_stats.data.sav import read_spss
from recovery_stats.errors import DataError

# written by GNU PSPP 1.6.2 from: numbers with F8.0, A10, F5.1, DATE11, F9.2 formats;
# MISSING VALUES q (9, 97 THRU 99) sex ("x") dep (LOWEST THRU -3); WEIGHT BY id
MADE_BY_PSPP = """\
ASCII SPSS PORT FILE                    ASCII SPSS PORT FILE
ASCII SPSS PORT FILE                    ASCII SPSS PORT FILE
ASCII SPSS PORT FILE                    0000000000000000000000000000000000000000
0000000000000000000000000123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst
uvwxyz .<(+|&[]!$*);^-/|,%_>?`:$@'="000000~-0000123456789000-()0{}\\0000000000000
00000000000000000000000000000000000000000000000000000000SPSSPORTA8/202611226/210
7281E/GNU pspp 1.6.23J/x86_64-pc-linux-gnu62/ID45/5B/70/2/ID5/8/0/5/8/0/C6/Numbe
r7A/3/SEX1/A/0/1/A/0/88/x       70/1/Q5/5/1/5/5/1/B37/39/89/C9/How often70/1/DK/
B/0/K/B/0/70/3/DEP5/9/2/5/9/2/9-3/D1/3/SEX2/A/female    6/FemaleA/male      4/Ma
leD1/1/Q2/1/4/once9/7/refusedE2/K/DOCUMENT First line.O/   (Entered 22 Nov 2026)
F1/A/male      1.F/IRNI+3/-83-5/2/A/x         9/I0N7I00/2Q1579B8IS+B/3/A/zz
   39/*.52CE69.3KL/4/A/          *.HIOPI00/7/5/A/female    38/HIOPI00/-3/ZZZZZZZ
"""


def test_codes_ranges_labels_and_weight(tmp_path: Path) -> None:
    path = tmp_path / "t.por"
    path.write_text(MADE_BY_PSPP)
    read = read_spss(path)
    assert list(read.frame) == ["ID", "SEX", "Q", "D", "DEP"]
    assert read.weight == "ID"
    assert read.variable("Q").missing == MissingRule((9.0,), 97.0, 99.0)
    assert read.variable("DEP").missing == MissingRule((), float("-inf"), -3.0)
    assert read.variable("SEX").values == {"female": "Female", "male": "Male"}
    assert read.reasons("Q") == {"refused": 1, "99": 1, "98": 1, "system-missing": 1}
    assert read.missing["SEX"].to_dict() == {2: "x"}
    assert read.frame["D"].iloc[0] == pd.Timestamp("2020-01-01")
    assert read.frame["DEP"].tolist()[1] == pytest.approx(1e30, rel=1e-12)
    assert read.codebook.documents[0] == "DOCUMENT First line."


def test_agrees_with_pyreadstat_where_it_can(tmp_path: Path) -> None:
    path = tmp_path / "t.por"
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "A": np.concatenate([rng.normal(size=50) * 10.0 ** rng.integers(-9, 9, 50), [np.nan]]),
            "B": np.arange(51.0),
            "S": ["text " * (i % 3) + "." for i in range(51)],
        }
    )
    pyreadstat.write_por(frame, str(path))
    theirs, _ = pyreadstat.read_por(str(path))
    ours = read_spss(path).frame
    np.testing.assert_allclose(ours["A"], theirs["A"], rtol=1e-14)
    assert ours["B"].tolist() == theirs["B"].tolist()
    assert ours["S"].tolist() == [t.rstrip(" ") for t in theirs["S"]]


def test_cut_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "t.por"
    rng = np.random.default_rng(1)
    for _ in range(200):
        raw = bytearray(MADE_BY_PSPP.encode())
        for at in rng.integers(480, len(raw) - 90, 5):
            raw[at] = int(rng.integers(32, 256))
        path.write_bytes(raw[: int(rng.integers(500, len(raw)))])
        with suppress(DataError):
            read_spss(path)
