"""The simulations of meetings and relapse run, and do not depend on the number of processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
QUICK = ("--persons", "150", "--draws", "2", "--replicates", "4")
PARTS = ("sum", "strategies_null")


def tables(*options: str) -> str:
    chosen = [word for part in PARTS for word in ("--part", part)]
    command = [sys.executable, str(SCRIPTS / "meeting_recovery.py"), *QUICK, *chosen, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_any_number_of_processes_tells_the_same() -> None:
    """Four studies of two parts, in one process and in two."""
    alone = tables("--jobs", "1")
    assert alone.count("studies of 150 people") == len(PARTS)
    assert "| Log half-life | 0.6931 |" in alone
    assert tables("--jobs", "2") == alone


def test_the_committed_tables_are_of_every_part() -> None:
    text = (SCRIPTS / "meeting_recovery.md").read_text(encoding="utf-8")
    assert text.count("\n## ") >= 10
