"""A synthetic recovery cohort whose true effects are known.

`synthetic_study` draws it, `write` puts it on disk as SPSS files with study.toml and
truth.toml, `write_cohort` does both for sizes above memory. The process is described
in `course` (relapse), `stay` (houses), `wave` (interviews) and `outcome` (24 months); every
number of it is a field of `Preset`.
"""

from __future__ import annotations

from recovery_stats.data.synthetic.mess import DIRTY, NO_MESS, REALISTIC, Mess
from recovery_stats.data.synthetic.preset import PRESETS, Preset
from recovery_stats.data.synthetic.release import synthetic_study, write, write_cohort

__all__ = [
    "DIRTY",
    "NO_MESS",
    "PRESETS",
    "REALISTIC",
    "Mess",
    "Preset",
    "synthetic_study",
    "write",
    "write_cohort",
]
