"""How far reading, inspecting and validating are, told while they go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.progress import listening
from recovery_stats.data import distribution, inspection, rules, sav_data, suspicion, text
from recovery_stats.data.sav import write_spss
from recovery_stats.data.table import read_table
from tests.toy import study

Told = list[tuple[str, int, int]]
ROWS = 200
PLAIN = {**os.environ, "NO_COLOR": "1"}
COLUMNS = ("pid", "age", "score")


@pytest.fixture
def people() -> Dataset:
    rows = range(1, ROWS + 1)
    age = [30.0 + row % 7 for row in rows]
    score = [None if row % 5 else row / 3 for row in rows]
    frame = pd.DataFrame({"pid": list(rows), "age": age, "score": score}, index=rows, dtype=float)
    return Dataset(frame)


@pytest.fixture
def file(tmp_path: Path, people: Dataset) -> Path:
    path = tmp_path / "people.sav"
    write_spss(people, path)
    return path


def of(step: str, told: Told) -> list[tuple[int, int]]:
    return [(done, whole) for name, done, whole in told if name == step]


def test_rows_of_a_sav_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sav_data, "PIECE", 128)
    told: Told = []
    with listening(lambda *step: told.append(step)):
        read_table(file)
    steps = of(sav_data.STEP, told)
    done = [n for n, _ in steps]
    assert len(done) > 3
    assert done == sorted(done)
    assert steps[-1] == (ROWS, ROWS)
    assert {whole for _, whole in steps} == {ROWS}


def test_columns_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("a,b,c\n1,2,3\n", encoding="utf-8")
    told: Told = []
    with listening(lambda *step: told.append(step)):
        read_table(path)
    assert of(text.STEP, told) == [(1, 3), (2, 3), (3, 3)]


def test_columns_that_are_inspected(people: Dataset) -> None:
    told: Told = []
    with listening(lambda *step: told.append(step)):
        inspection.inspect(people, name="people.sav", person="pid")
    for step in (distribution.STEP, inspection.STEP, suspicion.STEP):
        assert of(step, told) == [(n, len(COLUMNS)) for n in range(len(COLUMNS))]


def test_rules_that_are_applied() -> None:
    told: Told = []
    with listening(lambda *step: told.append(step)):
        rules.validate(study())
    assert of(rules.STEP, told) == [(n + 1, len(rules.RULES)) for n in range(len(rules.RULES))]


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
@pytest.mark.parametrize(("words", "code"), [([], 0), (["--by", "absent"], 3)])
def test_a_terminal_shows_it_and_is_left_clean(file: Path, words: list[str], code: int) -> None:
    ours, theirs = os.openpty()
    try:
        command = [sys.executable, "-m", "recovery_stats", "inspect", str(file), *words]
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs, timeout=120, env=PLAIN
        )
        said = os.read(ours, 1 << 16).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert ended.returncode == code
    assert said.startswith("Reading the file …")
    if code:
        assert "\r\033[KError: No column" in said
    else:
        assert f"\r\033[K  {distribution.STEP}: 1 of 3" in said
        assert said.endswith("\r\033[K")
