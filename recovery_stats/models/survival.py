"""Time to relapse: hazard ratios, curves and tests from a formula."""

from recovery_stats.models.competing import FineGrayFit, fine_gray
from recovery_stats.models.curve import (
    Curves,
    GrayTest,
    IncidenceCurves,
    LogRankTest,
    cumulative_incidence,
    kaplan_meier,
    logrank,
)
from recovery_stats.models.firth import FirthFit
from recovery_stats.models.frailty import FrailtyFit
from recovery_stats.models.hazard import CoxFit, cox

__all__ = [
    "CoxFit",
    "Curves",
    "FineGrayFit",
    "FirthFit",
    "FrailtyFit",
    "GrayTest",
    "IncidenceCurves",
    "LogRankTest",
    "cox",
    "cumulative_incidence",
    "fine_gray",
    "kaplan_meier",
    "logrank",
]
