"""What is true in a preset: closed forms here, the rest computed by scripts/truth.py."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.preset import Preset


def sheet(preset: Preset, mess: Mess) -> Mapping[str, Any]:
    """Estimand name to value."""
    return {
        "theta": preset.theta,
        "half_life": preset.half_life_days,
        "b_house": preset.b_house,
        "b_sev": preset.b_severity,
        "b_motiv": preset.b_motivation,
        "pacs_within": preset.craving.within,
        "pss_within": preset.stress.within,
        "pda_within": preset.abstinence.within,
        "whoqol_ps_within": preset.quality_of_life.within,
    }


def stored(name: str) -> Mapping[str, Any]:
    """The stored results of scripts/truth.py for a preset, empty where there are none."""
    file = files(__package__).joinpath("truth", f"{name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
