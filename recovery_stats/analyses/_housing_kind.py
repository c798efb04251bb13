"""The outcome by its kind: rates of counts, shares of days, means of money.

The declared difference comes from a linear model, right for any outcome of which the mean is
asked. This adds what the kind allows: a model that keeps to its bounds, and the relative effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recovery_stats.analyses._housing_case import (
    ARM,
    OUTCOME,
    Asked,
    OutcomeAnswer,
    drawn_within,
)
from recovery_stats.analyses._part import Part
from recovery_stats.core.cell import Ref
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.arms import ArmsFit, compare_arms, read_kind
from recovery_stats.models.formula import quote
from recovery_stats.models.generalised import glmm
from recovery_stats.models.outcome import Reading

if TYPE_CHECKING:
    from recovery_stats.analyses._housing_question import Question

REPLICATES = 2000
REST, HOUSE, HOUSED = "rest|", "cluster|", "housed|"
KINDS = ("yes-no", "number", "count", "days", "money")
OWN_MODEL = ("count", "days", "money")
RATIO = {"count": "Ratio of rates", "days": "Ratio of days", "money": "Ratio of means"}
OF_KIND = ("zeros", "error of the bootstrap")  # checks that the declared difference lacks
MODELS = {
    "count": "Log-linear model, of which only the mean has to be right: counts may spread more "
    "or less than Poisson's.",
    "days": "Fractional logistic model, of which only the mean has to be right: days of one "
    "person may follow each other.",
    "money": "Gamma model with log link. The bootstrap draws people, or clusters, anew within each "
    "arm and takes no shape for granted.",
}


def read_declared(asked: Asked, everyone: Dataset) -> Reading:
    """The outcome as the declared kind of numbers; "auto" takes two levels as yes or no."""
    assert asked.outcome is not None
    return read_kind(
        everyone, asked.outcome, asked.kind, asked.out_of, asked.outcome_level  # type: ignore[arg-type]
    )[0]  # fmt: skip


def by_kind(q: Question, asked: Asked, outcome: OutcomeAnswer) -> Part:
    """Difference and ratio by the kind's own model; nothing for a yes-no outcome or a number."""
    if asked.kind not in OWN_MODEL:
        return Part()
    fit = _fit(q, asked, outcome)
    found = (*_renamed(fit, asked.kind), *_beta_binomial(asked, outcome))
    rows = tuple(
        Row(e.name, e.label, (Ref(e.name, "interval"), Ref(e.name, "df") if e.df else None,
                              Ref(e.name, "p") if e.level == "secondary" else None))
        for e in found
    )  # fmt: skip
    columns = (Column("interval", "Estimate [CI]"), Column("df", "df"), Column("p", "p"))
    caption = "The effect by a model of this kind of outcome"
    table = Table("by_kind", caption, columns, rows, (MODELS[asked.kind],))
    checks = tuple(c for c in fit.checks() if c.name in OF_KIND)
    said = frozenset((f"kind_{asked.kind}",))
    return Part(found, checks, (table,), said=said)


def _fit(q: Question, asked: Asked, outcome: OutcomeAnswer) -> ArmsFit:
    """The same people, covariates, clusters and strata as the declared difference."""
    out_of = 1.0 if isinstance(asked.out_of, str) else asked.out_of
    clustered = outcome.clusters.structure != "none"
    within = drawn_within(asked, outcome.data, outcome.clusters)
    return compare_arms(
        outcome.data, OUTCOME, ARM, kind=asked.kind,  # type: ignore[arg-type]
        out_of=out_of, adjust=asked.adjust,
        cluster=asked.cluster if clustered else None,
        strata=within if outcome.primary.stratified else None,
        weights=asked.weights, level=asked.level, seed=q.seed,
        replicates=REPLICATES if asked.kind == "money" and asked.sensitivity else 0,
    )  # fmt: skip


def _renamed(fit: ArmsFit, kind: str) -> Iterator[Estimate]:
    """Names of their own; the declared difference stays the primary one."""
    for e in fit.estimates():
        if e.name == "hedges_g":
            continue
        label = RATIO[kind] if e.scale == "ratio" else e.label
        level = "secondary" if e.level == "primary" else e.level
        yield replace(e, name=f"{kind}_{e.name}", label=label, level=level)


def _beta_binomial(asked: Asked, outcome: OutcomeAnswer) -> Iterator[Estimate]:
    """The odds of a day within a house, days of a person alike; for whole days out of a number.

    Beside the marginal answer, not instead of it: it holds given the house, and it needs the
    spread to be right. None without clusters, with weights, or where the model has no answer.
    """
    clusters = outcome.clusters
    days = outcome.data.frame[OUTCOME].to_numpy(float)
    whole = isinstance(asked.out_of, float | int) and not np.any(days % 1)
    if asked.kind != "days" or not whole or clusters.structure == "none" or asked.weights:
        return
    house, housed = np.where(clusters.real, clusters.codes, -1), clusters.real.astype(float)
    frame = outcome.data.frame.assign(
        **{REST: asked.out_of - days, HOUSE: house.astype(str), HOUSED: housed}
    )
    predictors = " + ".join(map(quote, (ARM, *asked.adjust)))
    formula = (
        f"cbind({quote(OUTCOME)}, {quote(REST)}) ~ {predictors} + "
        f"(0 + {quote(HOUSED)} | {quote(HOUSE)})"
    )
    table = outcome.data.with_frame(frame)
    try:
        fit = glmm(formula, table, family="beta-binomial", required=(ARM,))
    except NotEstimable:
        return
    yield fit.estimate(
        {ARM: 1.0}, name="days_odds_ratio", scale="ratio", level=asked.level, rank="secondary",
        label=f"Odds ratio of a day, within a {asked.word} (beta-binomial)", n=len(frame),
    )  # fmt: skip
