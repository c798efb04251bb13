"""The synthetic study that stands in for one's own: as committed, or again from its seed."""

from __future__ import annotations

from pathlib import Path

from recovery_stats.core.study import Study

COMMITTED = Path(__file__).resolve().parents[2] / "synthetic_data" / "study.toml"
PRESET, PERSONS, SEED = "plain", 400, 1


def demo_study() -> Study:
    """Read the committed study in a checkout; elsewhere make the same one again."""
    from recovery_stats.data.synthetic import synthetic_study
    from recovery_stats.study.table import read_study

    if COMMITTED.is_file():
        return read_study(COMMITTED)
    return synthetic_study(PRESET, persons=PERSONS, seed=SEED)
