"""The mixed model of a clustered outcome: its difference, its variances, its diagnostics.

Each house has a random intercept; a person without one has none, so that a partially nested
design is modelled as it is. Kenward and Roger's degrees of freedom, for few houses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Asked
from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.panel import PanelFigure
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.formula import quote
from recovery_stats.models.mixed import MixedFit, lmm
from recovery_stats.models.mixed_figure import diagnostic_figure, shown_in

CLUSTER, HOUSED = "cluster|", "housed|"
OF_NUMBERS = frozenset({"normal residuals", "normal random effects", "constant spread"})
TOLD = frozenset({"singular", "groups for the method", "influential groups"})


def fit_mixed(asked: Asked, data: Dataset, clusters: Clusters) -> MixedFit | None:
    """The model; None without clusters, with sampling weights, or where it has no answer."""
    if clusters.structure == "none" or asked.weights:
        return None
    frame = data.frame.assign(
        **{CLUSTER: np.where(clusters.real, clusters.codes, -1).astype(str),
           HOUSED: clusters.real.astype(float)}
    )  # fmt: skip
    predictors = " + ".join(map(quote, (ARM, *asked.adjust)))
    formula = f"{quote(OUTCOME)} ~ {predictors} + (0 + {quote(HOUSED)} | {quote(CLUSTER)})"
    try:
        fit = lmm(formula, data.with_frame(frame), df="kenward-roger", required=(ARM,))
        fit.tidy()
    except NotEstimable:
        return None
    return fit


def mixed_estimate(asked: Asked, data: Dataset, fit: MixedFit | None) -> Iterator[Estimate]:
    """The difference between the arms, as a row of the sensitivity table."""
    if fit is not None:
        yield fit.estimate(
            {ARM: 1.0}, name="mixed", label=f"Mixed model, random {asked.word}",
            level=asked.level, rank="sensitivity", n=len(data),
        )  # fmt: skip


def mixed_table(asked: Asked, fit: MixedFit) -> Table:
    """Degrees of freedom, variance components, likeness within a house, explained variance."""
    between, residual = float(fit.engine.psi[0][0, 0]), fit.engine.sigma2
    r2 = fit.r2()
    df = fit.tidy().set_index("term").loc[ARM, "df"]
    rows = (
        Row("df", "Degrees of freedom of the difference", (Quantity(float(df), "df"),)),
        Row("between", f"SD between {asked.word}s", (Quantity(float(np.sqrt(between))),)),
        Row("residual", "SD of people (residual)", (Quantity(float(np.sqrt(residual))),)),
        Row("icc", f"Intraclass correlation in a {asked.word}, given the covariates",
            (Quantity(between / (between + residual)),)),
        Row("r2_marginal", "R², arm and covariates", (Quantity(float(r2["marginal"])),)),
        Row("r2_conditional", f"R², with the {asked.word}s", (Quantity(float(r2["conditional"])),)),
    )  # fmt: skip
    notes = (
        "Restricted maximum likelihood. Degrees of freedom: Kenward and Roger. SDs are in units "
        "of the outcome. R²: Nakagawa and Schielzeth.",
    )
    return Table("mixed", "The mixed model", (Column("value", "Value"),), rows, notes)


def mixed_checks(asked: Asked, fit: MixedFit, *, binary: bool) -> Iterator[Check]:
    """Its diagnostics in the report's words; the shape of residuals says nothing of a yes or no."""
    drawn = mixed_diagnostics(asked, fit, binary=binary)
    for check in shown_in(fit.checks(), (drawn,) if drawn else ()):
        if check.name in TOLD or (check.name in OF_NUMBERS and not binary):
            parts = tuple(_told(p, asked) if isinstance(p, str) else p for p in check.parts)
            yield replace(check, parts=parts, about=f"mixed model, {_told(check.about, asked)}")


def mixed_diagnostics(asked: Asked, fit: MixedFit, *, binary: bool) -> PanelFigure | None:
    """Its residuals and the effects of houses, where the outcome is a number."""
    if binary:
        return None
    return diagnostic_figure(fit, called=lambda *_: f"effects of {asked.word}s")


def _told(text: str, asked: Asked) -> str:
    found = text.replace(f"{HOUSED} effects of {CLUSTER}", f"effects of {asked.word}s")
    found = found.replace(HOUSED, f"being in a {asked.word}").replace(CLUSTER, asked.word)
    return found or "variances"
