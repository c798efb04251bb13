"""Outcomes-research statistics for addiction-recovery studies: SPSS files in, reports out.

    import recovery_stats as rs

    study = rs.read_study("study.toml")
    result = rs.answer("meeting_frequency", study)
    result.write("report.html")

Names load on first use, so that `import recovery_stats` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recovery_stats.core.dataset import Dataset
    from recovery_stats.core.study import Study
    from recovery_stats.data.endpoint.piece import VISITS
    from recovery_stats.data.endpoint.visit import visit_patterns, weekly_patterns
    from recovery_stats.data.endpoints import endpoint, endpoints
    from recovery_stats.data.sav import read_spss
    from recovery_stats.data.sav_write import write_spss
    from recovery_stats.data.synthetic import synthetic_study
    from recovery_stats.data.timeline import timeline
    from recovery_stats.models.aft import aft
    from recovery_stats.models.arms import compare_arms
    from recovery_stats.models.clustered_trial import clustered_trial
    from recovery_stats.models.discrete import discrete_time
    from recovery_stats.models.doubly_robust import doubly_robust
    from recovery_stats.models.evidence import bayes_factor, equivalence
    from recovery_stats.models.flexible import flexible_survival
    from recovery_stats.models.gee import gee
    from recovery_stats.models.generalised import glmm
    from recovery_stats.models.glm import glm
    from recovery_stats.models.house_moderator import house_moderators
    from recovery_stats.models.icc import icc
    from recovery_stats.models.imputation import impute
    from recovery_stats.models.instrument import complier_effect
    from recovery_stats.models.kernel import kernel_cox
    from recovery_stats.models.leaving import leave_at, stay_courses
    from recovery_stats.models.likelihood_ratio import compare
    from recovery_stats.models.membership import membership_weights, multiple_membership
    from recovery_stats.models.missing_panel import missing_panel
    from recovery_stats.models.missingness import missing
    from recovery_stats.models.mixed import lmm
    from recovery_stats.models.multiplicity import adjust_p
    from recovery_stats.models.net_benefit import net_benefit
    from recovery_stats.models.one_way import one_way
    from recovery_stats.models.over_time import compare_over_time
    from recovery_stats.models.policy import lag_cox, marginal_structural, one_more_meeting
    from recovery_stats.models.pool import pool
    from recovery_stats.models.possible_counts import possible_counts
    from recovery_stats.models.propensity import propensity_weights
    from recovery_stats.models.propensity_match import propensity_match
    from recovery_stats.models.published import factorial, from_interval, two_by_two
    from recovery_stats.models.rater_icc import rater_icc
    from recovery_stats.models.reference_based import reference_based
    from recovery_stats.models.reliable_change import reliable_change
    from recovery_stats.models.repeated import repeated_anova
    from recovery_stats.models.reshape import landmark, person_days
    from recovery_stats.models.split import within_between
    from recovery_stats.models.staggered import difference_in_differences
    from recovery_stats.models.stay import residence_hazards
    from recovery_stats.models.strategy import Leaving, Strategy, courses, sustained
    from recovery_stats.models.subgroup import subgroups
    from recovery_stats.models.survival import (
        censoring_weights,
        concordance,
        cox,
        cumulative_incidence,
        fine_gray,
        gray_test,
        kaplan_meier,
        logrank,
        mean_cumulative,
        multistate,
        recurrent,
        recurrent_rows,
        transition_models,
    )
    from recovery_stats.models.turnbull import interval_logrank, turnbull
    from recovery_stats.study.locking import lock
    from recovery_stats.study.multiverse import multiverse
    from recovery_stats.study.scoring import instruments, score
    from recovery_stats.study.table import read_study
    from recovery_stats.study.workflow import Result, answer

__version__ = "0.1.0"

_HOME = {
    "Dataset": "recovery_stats.core.dataset",
    "leave_at": "recovery_stats.models.leaving",
    "Leaving": "recovery_stats.models.strategy",
    "residence_hazards": "recovery_stats.models.stay",
    "Result": "recovery_stats.study.workflow",
    "stay_courses": "recovery_stats.models.leaving",
    "Strategy": "recovery_stats.models.strategy",
    "Study": "recovery_stats.core.study",
    "VISITS": "recovery_stats.data.endpoint.piece",
    "adjust_p": "recovery_stats.models.multiplicity",
    "aft": "recovery_stats.models.aft",
    "answer": "recovery_stats.study.workflow",
    "bayes_factor": "recovery_stats.models.evidence",
    "clustered_trial": "recovery_stats.models.clustered_trial",
    "censoring_weights": "recovery_stats.models.survival",
    "compare": "recovery_stats.models.likelihood_ratio",
    "compare_arms": "recovery_stats.models.arms",
    "compare_over_time": "recovery_stats.models.over_time",
    "complier_effect": "recovery_stats.models.instrument",
    "concordance": "recovery_stats.models.survival",
    "courses": "recovery_stats.models.strategy",
    "cox": "recovery_stats.models.survival",
    "cumulative_incidence": "recovery_stats.models.survival",
    "difference_in_differences": "recovery_stats.models.staggered",
    "discrete_time": "recovery_stats.models.discrete",
    "doubly_robust": "recovery_stats.models.doubly_robust",
    "endpoint": "recovery_stats.data.endpoints",
    "endpoints": "recovery_stats.data.endpoints",
    "equivalence": "recovery_stats.models.evidence",
    "factorial": "recovery_stats.models.published",
    "fine_gray": "recovery_stats.models.survival",
    "flexible_survival": "recovery_stats.models.flexible",
    "from_interval": "recovery_stats.models.published",
    "gee": "recovery_stats.models.gee",
    "glm": "recovery_stats.models.glm",
    "glmm": "recovery_stats.models.generalised",
    "gray_test": "recovery_stats.models.survival",
    "house_moderators": "recovery_stats.models.house_moderator",
    "icc": "recovery_stats.models.icc",
    "impute": "recovery_stats.models.imputation",
    "instruments": "recovery_stats.study.scoring",
    "interval_logrank": "recovery_stats.models.turnbull",
    "kaplan_meier": "recovery_stats.models.survival",
    "kernel_cox": "recovery_stats.models.kernel",
    "lag_cox": "recovery_stats.models.policy",
    "landmark": "recovery_stats.models.reshape",
    "lmm": "recovery_stats.models.mixed",
    "lock": "recovery_stats.study.locking",
    "logrank": "recovery_stats.models.survival",
    "marginal_structural": "recovery_stats.models.policy",
    "mean_cumulative": "recovery_stats.models.survival",
    "membership_weights": "recovery_stats.models.membership",
    "missing": "recovery_stats.models.missingness",
    "missing_panel": "recovery_stats.models.missing_panel",
    "multiple_membership": "recovery_stats.models.membership",
    "multistate": "recovery_stats.models.survival",
    "multiverse": "recovery_stats.study.multiverse",
    "net_benefit": "recovery_stats.models.net_benefit",
    "one_more_meeting": "recovery_stats.models.policy",
    "one_way": "recovery_stats.models.one_way",
    "person_days": "recovery_stats.models.reshape",
    "pool": "recovery_stats.models.pool",
    "possible_counts": "recovery_stats.models.possible_counts",
    "propensity_match": "recovery_stats.models.propensity_match",
    "propensity_weights": "recovery_stats.models.propensity",
    "rater_icc": "recovery_stats.models.rater_icc",
    "read_spss": "recovery_stats.data.sav",
    "read_study": "recovery_stats.study.table",
    "recurrent": "recovery_stats.models.survival",
    "recurrent_rows": "recovery_stats.models.survival",
    "reference_based": "recovery_stats.models.reference_based",
    "reliable_change": "recovery_stats.models.reliable_change",
    "repeated_anova": "recovery_stats.models.repeated",
    "score": "recovery_stats.study.scoring",
    "subgroups": "recovery_stats.models.subgroup",
    "sustained": "recovery_stats.models.strategy",
    "synthetic_study": "recovery_stats.data.synthetic",
    "timeline": "recovery_stats.data.timeline",
    "transition_models": "recovery_stats.models.survival",
    "turnbull": "recovery_stats.models.turnbull",
    "two_by_two": "recovery_stats.models.published",
    "visit_patterns": "recovery_stats.data.endpoint.visit",
    "weekly_patterns": "recovery_stats.data.endpoint.visit",
    "within_between": "recovery_stats.models.split",
    "write_spss": "recovery_stats.data.sav_write",
}
__all__ = [
    "VISITS",
    "Dataset",
    "Leaving",
    "Result",
    "Strategy",
    "Study",
    "adjust_p",
    "aft",
    "answer",
    "bayes_factor",
    "censoring_weights",
    "clustered_trial",
    "compare",
    "compare_arms",
    "compare_over_time",
    "complier_effect",
    "concordance",
    "courses",
    "cox",
    "cumulative_incidence",
    "difference_in_differences",
    "discrete_time",
    "doubly_robust",
    "endpoint",
    "endpoints",
    "equivalence",
    "factorial",
    "fine_gray",
    "flexible_survival",
    "from_interval",
    "gee",
    "glm",
    "glmm",
    "gray_test",
    "house_moderators",
    "icc",
    "impute",
    "instruments",
    "interval_logrank",
    "kaplan_meier",
    "kernel_cox",
    "lag_cox",
    "landmark",
    "leave_at",
    "lmm",
    "lock",
    "logrank",
    "marginal_structural",
    "mean_cumulative",
    "membership_weights",
    "missing",
    "missing_panel",
    "multiple_membership",
    "multistate",
    "multiverse",
    "net_benefit",
    "one_more_meeting",
    "one_way",
    "person_days",
    "pool",
    "possible_counts",
    "propensity_match",
    "propensity_weights",
    "rater_icc",
    "read_spss",
    "read_study",
    "recurrent",
    "recurrent_rows",
    "reference_based",
    "reliable_change",
    "repeated_anova",
    "residence_hazards",
    "score",
    "stay_courses",
    "subgroups",
    "sustained",
    "synthetic_study",
    "timeline",
    "transition_models",
    "turnbull",
    "two_by_two",
    "visit_patterns",
    "weekly_patterns",
    "within_between",
    "write_spss",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'recovery_stats' has no attribute {name!r}")
    home = import_module(_HOME[name])
    if name not in ("VISITS", "Result"):
        import_module("recovery_stats.study.notebook").attach()
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
