"""Time to relapse: hazard ratios, curves and tests from a formula."""

from recovery_stats.models.censoring import CensoringWeights, censoring_weights
from recovery_stats.models.competing import FineGrayFit, fine_gray
from recovery_stats.models.concordance import ConcordanceTable, concordance
from recovery_stats.models.curve import Curves, kaplan_meier
from recovery_stats.models.event_history import recurrent_rows
from recovery_stats.models.firth import FirthFit
from recovery_stats.models.frailty import FrailtyFit
from recovery_stats.models.frailty_nested import NestedFrailtyFit
from recovery_stats.models.gray_test import gray_test
from recovery_stats.models.group_test import LogRankTest, logrank
from recovery_stats.models.hazard import CoxFit, cox
from recovery_stats.models.incidence import GrayTest, IncidenceCurves, cumulative_incidence
from recovery_stats.models.mean_cumulative import MeanCurves, mean_cumulative
from recovery_stats.models.multistate import StateCurves, multistate
from recovery_stats.models.recurrent import RecurrentFit, recurrent
from recovery_stats.models.smooth import SmoothFit
from recovery_stats.models.transition import TransitionFit, transition_models

__all__ = [
    "CensoringWeights",
    "ConcordanceTable",
    "CoxFit",
    "Curves",
    "FineGrayFit",
    "FirthFit",
    "FrailtyFit",
    "GrayTest",
    "IncidenceCurves",
    "LogRankTest",
    "MeanCurves",
    "NestedFrailtyFit",
    "RecurrentFit",
    "SmoothFit",
    "StateCurves",
    "TransitionFit",
    "censoring_weights",
    "concordance",
    "cox",
    "cumulative_incidence",
    "fine_gray",
    "gray_test",
    "kaplan_meier",
    "logrank",
    "mean_cumulative",
    "multistate",
    "recurrent",
    "recurrent_rows",
    "transition_models",
]
