"""Questions of clusters and repeated measures: mixed models, GEE, GLM, scales of agreement."""

from __future__ import annotations

import math
from typing import Any

from recovery_stats.cli.selftest.question import Question, paper, stored, table


def _value(frame: Any, term: str, column: str = "estimate") -> float:
    return float(frame.set_index("term").loc[term, column])


def three_houses(**options: Any) -> Any:
    """Three houses of two, balanced: REML is the analysis of variance, MSB 74/3, MSW 2."""
    import pandas as pd

    from recovery_stats.models.mixed import lmm

    data = pd.DataFrame({"y": [1.0, 3, 4, 6, 8, 10], "house": ["a", "a", "b", "b", "c", "c"]})
    return lmm("y ~ 1 + (1 | house)", data, **options)


def _variance(fit: Any, group: str) -> float:
    return float(fit.variance_components().set_index("group").loc[group, "covariance"])


def lmm_visits(formula: str, **options: Any) -> Any:
    from recovery_stats.models.mixed import lmm

    return lmm(formula, table("visits"), **options)


def _nested() -> Any:
    return lmm_visits("y ~ wave + x + (1 | house) + (1 | id)")


def _df(method: Any) -> float:
    return _value(lmm_visits("y ~ wave + x + (1 | house)", df=method).tidy(), "x", "df")


def autoregressive() -> Any:
    return lmm_visits("y ~ wave + x", residual="ar1", residual_by="wave | id")


def _correlation() -> float:
    parts = autoregressive().variance_components().set_index("term_1")
    return float(parts.loc["correlation", "correlation"])


def glmm_visits(formula: str, family: Any, **options: Any) -> Any:
    from recovery_stats.models.generalised import glmm

    return glmm(formula, table("visits"), family=family, **options)


def _gee(correlation: Any, column: str) -> float:
    from recovery_stats.models.gee import gee

    found = gee(
        "used ~ wave + x", table("visits"), groups="id", family="binomial",
        correlation=correlation, small_sample="none",
    )  # fmt: skip
    return _value(found.tidy(), "x", column)


def _glm(column: str) -> float:
    from recovery_stats.models.glm import glm

    fit = glm("treated ~ x", table("people"), family="binomial")
    return _value(fit.tidy(), "x", column)


def _icc() -> float:
    from recovery_stats.models.icc import icc

    return float(icc(table("people"), outcome="y", cluster="house").tidy()["estimate"].iloc[0])


def _one_way() -> float:
    from recovery_stats.models.one_way import one_way

    return _value(one_way(table("people"), "y", "house").tidy(), "welch", "statistic")


def _repeated() -> float:
    from recovery_stats.models.repeated import repeated_anova

    wide = table("visits").pivot_table(index="id", columns="wave", values="y")
    found = repeated_anova(wide.set_axis(["w0", "w1", "w2"], axis=1), ["w0", "w1", "w2"])
    return float(found.tidy().set_index("term").loc["measure", "statistic"])


def _three_items() -> float:
    import numpy as np

    from recovery_stats.engines.factor import fit

    loading = np.array([0.8, 0.6, 0.7])
    return float(fit(np.outer(loading, loading) + np.diag(1 - loading**2), 100).loadings[1])


WAVE = "used ~ wave + x + (1 | id)"
BALANCED = "balanced: analysis of variance, MSB 74/3, MSW 2"
QUESTIONS: tuple[Question, ...] = (
    Question("lmm", "Mixed model, three houses: variance of houses", paper(34 / 3, BALANCED),
             lambda: _variance(three_houses(), "house")),
    Question("lmm", "Mixed model, three houses: residual variance", paper(2.0, BALANCED),
             lambda: _variance(three_houses(), "Residual")),
    Question("lmm", "Mixed model, three houses: standard error",
             paper(math.sqrt(74 / 18), BALANCED + ": √(MSB/6)"),
             lambda: _value(three_houses().tidy(), "Intercept", "std_error")),
    Question("lmm", "Mixed model, two levels: coefficient", stored("lmm.estimate"),
             lambda: _value(_nested().tidy(), "x")),
    Question("lmm", "Mixed model, two levels: variance of houses", stored("lmm.house"),
             lambda: _variance(_nested(), "house")),
    Question("lmm", "Mixed model, two levels: log likelihood", stored("lmm.loglik"),
             lambda: float(_nested().glance()["log_likelihood"].iloc[0])),
    Question("lmm", "Mixed model: Satterthwaite df", stored("lmm.satterthwaite"),
             lambda: _df("satterthwaite")),
    Question("lmm", "Mixed model: Kenward-Roger df", stored("lmm.kenward_roger"),
             lambda: _df("kenward-roger")),
    Question("lmm_residual", "Repeated measures, AR(1): coefficient", stored("ar1.estimate"),
             lambda: _value(autoregressive().tidy(), "x")),
    Question("lmm_residual", "Repeated measures, AR(1): correlation",
             stored("ar1.correlation"), _correlation),
    Question("glmm", "Mixed logistic model, Laplace: coefficient",
             stored("glmm.logit.estimate"),
             lambda: _value(glmm_visits(WAVE, "binomial").tidy(), "x")),
    Question("glmm", "Mixed logistic model, Laplace: log likelihood",
             stored("glmm.logit.loglik"),
             lambda: float(glmm_visits(WAVE, "binomial").glance()["log_likelihood"].iloc[0])),
    Question("glmm", "Mixed logistic model, 15 nodes: coefficient",
             stored("glmm.quadrature.estimate"),
             lambda: _value(glmm_visits(WAVE, "binomial", quadrature=15).tidy(), "x")),
    Question("glmm", "Mixed Poisson model: coefficient", stored("glmm.poisson.estimate"),
             lambda: _value(glmm_visits("drinks ~ wave + x + (1 | id)", "poisson").tidy(), "x")),
    Question("glmm", "Mixed ordinal model: coefficient", stored("glmm.ordinal.estimate"),
             lambda: _value(glmm_visits("rating ~ wave + (1 | id)", "ordinal").tidy(), "wave")),
    Question("gee", "GEE, exchangeable: coefficient", stored("gee.estimate"),
             lambda: _gee("exchangeable", "estimate")),
    Question("gee", "GEE, independence: robust standard error",
             stored("gee.independence.std_error"), lambda: _gee("independence", "std_error")),
    Question("glm", "Logistic model: coefficient", stored("glm.estimate"),
             lambda: _glm("estimate")),
    Question("glm", "Logistic model: standard error", stored("glm.std_error"),
             lambda: _glm("std_error")),
    Question("icc", "Intraclass correlation, one way", stored("icc.anova"), _icc),
    Question("one_way", "Welch's analysis of variance: F", stored("one_way.welch"), _one_way),
    Question("repeated", "Repeated-measures analysis of variance: F", stored("repeated.f"),
             _repeated),
    Question("factor", "One factor, three items: loading", paper(0.6,
             "just identified: loading² = r12·r23/r13", 1e-6), _three_items),
)  # fmt: skip
