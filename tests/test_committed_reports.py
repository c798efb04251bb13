"""The committed reports are what the program writes today."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recovery_stats import analyses

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "reports"


def test_there_is_one_of_each_question() -> None:
    found = {page.name.removesuffix(".results.json") for page in REPORTS.glob("*.results.json")}
    assert found == set(analyses.names())


def test_they_are_regenerated_without_drift() -> None:
    """Statistics at 1e-9, counts and every byte of the pages exactly."""
    found = subprocess.run(
        [sys.executable, "-m", "recovery_stats", "check", "-o", str(REPORTS)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_they_are_of_the_synthetic_study() -> None:
    for page in REPORTS.glob("*.html"):
        assert "SYNTHETIC" in page.read_text(encoding="utf-8")


REAL = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not REAL.exists(), reason="the real data are not beside the project")
@pytest.mark.parametrize("study", ["ctn0094", "ctn0051", "uis"])
def test_reports_of_real_data_are_regenerated_without_drift(study: str) -> None:
    folder = ROOT / "tests" / "studies" / study
    command = [
        sys.executable, "-m", "recovery_stats", "check", str(folder / "study.toml"),
        "--allow-outside", "-o", str(folder / "reports"),
    ]  # fmt: skip
    found = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert found.returncode == 0, found.stdout + found.stderr
