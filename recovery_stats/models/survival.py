"""Time to relapse: hazard ratios, curves and tests from a formula."""

from recovery_stats.models.curve import (
    Curves,
    IncidenceCurves,
    LogRankTest,
    cumulative_incidence,
    kaplan_meier,
    logrank,
)
from recovery_stats.models.hazard import CoxFit, cox

__all__ = [
    "CoxFit",
    "Curves",
    "IncidenceCurves",
    "LogRankTest",
    "cox",
    "cumulative_incidence",
    "kaplan_meier",
    "logrank",
]
