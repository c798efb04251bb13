"""The synthetic study that stands in for one's own: as committed, or again from its seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recovery_stats.core.study import Study

COMMITTED = Path(__file__).resolve().parents[2] / "synthetic_data" / "study.toml"
PRESET, PERSONS, SEED = "plain", 400, 1


def demo_study() -> Study:
    """Read the committed study in a checkout; elsewhere make the same one again."""
    from recovery_stats.data.synthetic import synthetic_study
    from recovery_stats.study.table import completed, prepared, read_study

    if COMMITTED.is_file():
        return read_study(COMMITTED)
    study = synthetic_study(PRESET, persons=PERSONS, seed=SEED)
    specs = study.protocol.tables
    made = {name: prepared(data, specs[name]) for name, data in study.tables.items()}
    return completed(replace(study, tables=made))
