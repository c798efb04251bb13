"""The second reader of .sav files: it agrees, disagrees, crashes or refuses, and says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recovery_stats.cli import recovery_stats
from recovery_stats.cli.ending import ended
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data import sav_crosscheck
from recovery_stats.data.sav import write_spss
from recovery_stats.data.sav_crosscheck import compare, cross_check
from recovery_stats.errors import UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Numbers with codes and gaps, and text."""
    frame = pd.DataFrame(
        {"a": [1.0, np.nan, 2.5, np.nan], "s": ["x", "yy", None, "Ä"], "b": [-1e9, 0, 1, 2.0]},
        index=range(1, 5),
    )
    variables = {
        "a": Variable("a", missing=MissingRule((-99.0,))),
        "s": Variable("s", kind="string", width=8),
        "b": Variable("b"),
    }
    codes = {"a": pd.Series([-99.0], index=[2])}
    write_spss(Dataset(frame, Codebook(variables), codes), tmp_path / "t.sav")
    return tmp_path / "t.sav"


def test_two_readers_agree(file: Path) -> None:
    assert compare(file) == sav_crosscheck.Comparison(3, 4)
    assert cross_check(file).verdict == "ok"


def test_cells_that_differ_are_told_by_column_and_row(file: Path, monkeypatch: Any) -> None:
    real = sav_crosscheck.read_cells

    def altered(*given: Any) -> Any:
        cells = real(*given)
        cells["a"][2], cells["s"][0] = 7.0, "other"
        return cells

    monkeypatch.setattr(sav_crosscheck, "read_cells", altered)
    assert compare(file).differing == {"a": [3], "s": [1]}
    check = cross_check(file)
    assert check.verdict == "fail"
    assert "a in row 3; s in row 1" in str(check.parts)
    assert ended(lambda: _inspect(file)) == 7


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
        ("raise SystemExit(1)", "refused"),
    ],
)
def test_a_crash_there_is_none_here(file: Path, monkeypatch: Any, child: str, said: str) -> None:
    monkeypatch.setattr(sav_crosscheck, "CHILD", child)
    check = cross_check(file)
    assert check.verdict == "caution"
    assert said in str(check.parts)


def test_other_files_have_one_reader(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(UsageError, match="only those have two readers"):
        compare(tmp_path / "t.csv")


def test_inspect_asks_the_second_reader(file: Path, capsys: Any) -> None:
    assert ended(lambda: _inspect(file)) == 0
    assert "same 12 cells" in capsys.readouterr().out


def _inspect(file: Path) -> Any:
    return recovery_stats.main(["inspect", str(file), "--cross-check"], standalone_mode=False)
