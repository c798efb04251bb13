"""Drift: which statistic moved, and by how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recovery_stats.analyses import Analysis
from recovery_stats.study import batch, drift
from recovery_stats.study.folder import opened
from tests.toy import study, toy

__all__ = ["toy"]


def results(*values: Any) -> bytes:
    rows = [
        {"group": "t", "variable": f"v{i}", "level": "", "statistic": "mean", "value": v, "n": 10}
        for i, v in enumerate(values)
    ]
    return json.dumps(rows).encode()


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (1.0, 1.0 + 1e-10, True),
        (1.0, 1.0 + 1e-8, False),
        (1e-5, 1e-5 + 1e-12, True),
        (1e-5, 1.001e-5, False),
        (1e-17, -3e-16, True),
        (100, 101, False),
        (10_000_000_000, 10_000_000_001, False),
        (3, 3.0, True),
        (None, None, True),
        (None, 11, False),
        (None, 0.5, False),
        ("ok", "ok", True),
        ("ok", "fail", False),
        (True, 1, False),
        ("1", 1, False),
    ],
)
def test_agreement(old: Any, new: Any, same: bool) -> None:
    assert drift.agrees(old, new) is same


def test_moves_are_named_with_their_amount() -> None:
    (move,) = drift.moved(results(1.0, 2.0), results(1.0, 2.5))
    assert move.place == "t / v1 / mean"
    assert move.change == 0.5


def test_new_and_gone_statistics() -> None:
    assert [m.note for m in drift.moved(results(1.0, 2.0), results(1.0))] == ["gone"]
    assert [m.note for m in drift.moved(results(1.0), results(1.0, 2.0))] == ["new"]


def test_rows_that_share_a_place_are_told_apart() -> None:
    row = {"group": "t", "variable": "v", "level": "", "statistic": "mean", "n": None}
    old = json.dumps([{**row, "value": 1.0}, {**row, "value": 2.0}]).encode()
    new = json.dumps([{**row, "value": 1.0}, {**row, "value": 3.0}]).encode()
    assert [(m.old, m.new) for m in drift.moved(old, new)] == [(2.0, 3.0)]


def test_numbers_apart_from_layout(toy: Analysis, tmp_path: Path) -> None:
    data = study()
    specs = batch.chosen(data, ())
    with opened(tmp_path, force=False, made_with={}) as out:
        list(batch.run(data, batch.plan(data, specs, ("md",), out), out, ("md",)))

    def state() -> str:
        return drift.compare(data, specs, tmp_path, ("md",))[0].state

    assert state() == "same"
    page = (tmp_path / "toy.md").read_bytes()
    (tmp_path / "toy.md").write_bytes(page + b"\n")
    assert state() == "layout"
    (tmp_path / "toy.md").write_bytes(page)
    file = tmp_path / "toy.results.json"
    numbers = file.read_bytes()
    file.write_bytes(numbers.replace(b": 3.5,", b": 3.5000000000000004,"))
    assert file.read_bytes() != numbers
    found = drift.compare(data, specs, tmp_path, ("md",))[0]
    assert (found.state, found.files) == ("same", ("toy.results.json",))
    file.write_bytes(numbers.replace(b": 3.5,", b":  3.5,"))
    assert state() == "layout"
    file.write_bytes(numbers)
    file.write_bytes(file.read_bytes().replace(b"3.5", b"3.6"))
    found = drift.compare(data, specs, tmp_path, ("md",))[0]
    assert found.state == "moved"
    assert [round(m.change or 0, 3) for m in found.moves] == [-0.1]
    file.unlink()
    assert state() == "absent"
