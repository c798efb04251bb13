"""What a reader should know before believing the hazard ratios of a Cox model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.models.columns import Array
from recovery_stats.models.spell_check import check_spells

if TYPE_CHECKING:
    from recovery_stats.models.hazard import CoxFit

FEW_CLUSTERS = 10  # a sandwich of fewer is luck, of Cox models and of curves
USUAL_RATIO = (0.5, 2.0)  # robust over model errors: outside it one of the two is wrong
FEW_EVENTS = 10  # events per coefficient below which Wald intervals are too short
HEAVY_TIES = 0.1  # share of events at times with several, from which Breslow shrinks effects


def told_events(events: int, p: int) -> tuple[Cell, ...]:
    """How many events stand behind how many coefficients."""
    return "Events: ", Count(events, "events"), "; coefficients: ", Quantity(p, "whole"), "."


def check_hazards(fit: CoxFit) -> Iterator[Check]:
    """Events, clusters, proportional hazards, ties, rows lost, strata without events."""
    events, p = fit.engine.n_events, len(fit.terms)
    if p:
        yield Check(
            "events per coefficient",
            "caution" if events < FEW_EVENTS * p else "ok",
            told_events(events, p),
        )
    if fit.robust is not None:
        name, n = fit.observation.cluster_name or "rows", fit.n_clusters or 0
        yield from check_clusters(name, n, fit.terms, fit.robust, fit.engine.covariance)
    yield from _proportionality_check(fit)
    yield from _tie_check(fit)
    yield from _row_checks(fit)
    yield from check_spells(fit.observation)


def check_clusters(
    name: str, n: int, terms: tuple[str, ...], robust: Array, model: Array
) -> Iterator[Check]:
    """Robust errors from few clusters, or far from the model's, are luck or a wrong model."""
    few = n < FEW_CLUSTERS
    note = (
        "; robust errors of so few are unreliable, so reports take the wider of the robust "
        "and the model's interval." if few else "."
    )  # fmt: skip
    yield Check(
        "clusters",
        "caution" if few else "ok",
        ("Robust errors from ", Quantity(n, "whole"), f" clusters ({name})", note),
        name,
    )
    ratios = np.sqrt(np.diag(robust) / np.diag(model))
    for term, ratio in zip(terms, ratios, strict=True):
        yield Check(
            "robust and model errors",
            "ok" if USUAL_RATIO[0] <= ratio <= USUAL_RATIO[1] else "caution",
            (
                "The robust standard error is ",
                Quantity(float(ratio), "ratio"),
                " times the model's" + _reading(float(ratio)),
            ),
            term,
        )


def word_clusters(n: int | None, robust: Array | None, model: Array) -> str:
    """Robust errors in half a sentence: of how many clusters, and how far from the model's."""
    if n is None or robust is None or not len(robust):
        return ""
    ratios = np.sqrt(np.diag(robust) / np.diag(model))
    few = ", too few to trust" if n < FEW_CLUSTERS else ""
    return (
        f"; robust errors of {n} clusters{few}, {ratios.min():.2g} to {ratios.max():.2g} times "
        "the model's"
    )


def _reading(ratio: float) -> str:
    if ratio < USUAL_RATIO[0]:
        return "; so short an interval is luck of few or nearly equal clusters, not knowledge."
    if ratio > USUAL_RATIO[1]:
        return "; rows of one cluster depend strongly, and the model's interval is too short."
    return "."


def _proportionality_check(fit: CoxFit) -> Iterator[Check]:
    if fit.engine.moments is None or not fit.terms:
        return
    test = fit.proportionality()
    p = float(test["p_value"].iloc[-1])
    worst = str(test["term"].iloc[int(test["p_value"].iloc[:-1].argmin())])
    yield Check(
        "proportional hazards",
        "caution" if p < 0.05 else "ok",
        (
            "Test that hazard ratios do not change over time: ",
            Quantity(p, "p"),
            f"; they change most for {worst}, and the ratio is an average over the follow-up."
            if p < 0.05
            else ".",
        ),
        worst if p < 0.05 else "",
    )


def _tie_check(fit: CoxFit) -> Iterator[Check]:
    n_events = fit.engine.problem.risk.n_events
    tied = int(n_events[n_events > 1].sum())
    heavy = tied > HEAVY_TIES * fit.engine.n_events
    if heavy:
        yield Check(
            "tied events",
            "caution" if fit.engine.ties == "breslow" else "ok",
            (
                Count(tied, "events"),
                " events share their time with another"
                + (
                    "; Breslow's method pulls hazard ratios towards one."
                    if fit.engine.ties == "breslow"
                    else "."
                ),
            ),
        )


def _row_checks(fit: CoxFit) -> Iterator[Check]:
    seen = fit.observation
    lost = sum(seen.design.lost.values())
    if lost:
        yield Check(
            "complete rows",
            "caution",
            (Count(lost, "rows"), " rows lack a value that the model needs and were left out."),
        )
    if seen.weightless:
        yield Check(
            "weights",
            "ok",
            (Count(seen.weightless, "rows"), " rows have weight 0 and were left out."),
        )
    if fit.engine.idle_strata:
        yield Check(
            "strata without events",
            "caution",
            (
                Quantity(fit.engine.idle_strata, "whole"),
                " strata have no event and tell nothing about the hazard ratios.",
            ),
        )
