"""The contrast if people who left a trial went on as its reference arm did."""

from __future__ import annotations

from collections.abc import Iterator

from recovery_stats.engines.reference_based import CIR, CR, J2R
from recovery_stats.engines.visit_normal import SWEEPS
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.missing_contrast import Assumed, Contrast, not_estimable
from recovery_stats.models.missing_imputed import Draws
from recovery_stats.models.reference_answer import (
    BOOTSTRAP,
    RUBIN,
    TOLD,
    Work,
    answers,
    named,
    prepare,
)
from recovery_stats.models.reference_answer import GROUP as REFERENCE_BASED

__all__ = ["REFERENCE_BASED", "reference_rows", "why_no_reference"]

SAMPLES = 200  # of the bootstrap: its error is then known to a twentieth


def why_no_reference(contrast: Contrast) -> str:
    """Why reference-based imputation does not apply; empty where it does."""
    if not contrast.randomised:
        return (
            "People were not drawn into the arms one by one: the other arm does not show how they "
            "would have gone on in it."
        )
    if contrast.binary:
        return "It is for numbers; the shifts of the odds take its place for a yes or no."
    if contrast.weights:
        return "It is for people who count alike; these have weights."
    if clusters_of(contrast.data, contrast.cluster, contrast.arm).structure == "nested":
        return "People were not drawn one by one: arms hold whole clusters."
    if not contrast.earlier and not contrast.adjust:
        return "Neither a baseline nor an earlier visit tells people who left apart."
    return ""


def reference_rows(contrast: Contrast, draws: Draws) -> Iterator[Assumed]:
    """Each strategy with Rubin's and the bootstrap variance; with the last visit alone, one.

    Without an earlier visit whoever left did so from the baseline: copying the reference, or its
    increments, is then jumping to it.
    """
    if why_no_reference(contrast):
        return
    strategies = (J2R, CR, CIR) if contrast.earlier else (J2R,)
    try:
        work = Work(
            prepare(contrast), strategies, draws.m, SAMPLES, False, SWEEPS, draws.seed, draws.jobs
        )  # fmt: skip
        yield from answers(work)[1]
    except NotEstimable as reason:
        for s in strategies:
            for variance in (RUBIN, BOOTSTRAP):
                name, label = named(s, variance)
                yield not_estimable(name, label, TOLD[s], REFERENCE_BASED, str(reason))
