"""What a trial of houses adds: every method for few clusters, and moving in by instrument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Asked, drawn_within
from recovery_stats.analyses._refusal import CONSTANT, caution
from recovery_stats.core.cell import Cell, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.comparison import Clusters, Primary
from recovery_stats.models.few_clusters import FewClusters, choice
from recovery_stats.models.instrument import WEAK, ComplierEffect, complier_effect
from recovery_stats.models.partially_nested import partially_nested
from recovery_stats.models.sample import Sample

RIVALS = ("mixed_by_arm", "gee_kauermann_carroll", "gee_mancl_derouen", "gee_fay_graubard", "wild",
          "permutation")  # fmt: skip
SEED = 20_261_129  # of the bootstrap's signs and the permutations drawn
DRAWN = {"randomised": "people", "houses-randomised": "clusters"}


@dataclass(frozen=True, slots=True)
class TrialAnswer:
    """Rows of the table of methods, checks, and the instrument where a treatment was named."""

    estimates: tuple[Estimate, ...]
    checks: tuple[Check, ...]
    moved: ComplierEffect | None


def answer_trial(
    asked: Asked,
    data: Dataset,
    sample: Sample,
    clusters: Clusters,
    found: Primary,
    strata: NDArray[np.intp] | None,
) -> TrialAnswer:
    """The part of the answer that this module tells; data: the people analysed."""
    within = _permuted_within(asked, data, strata)
    few = FewClusters(sample, clusters, within, DRAWN.get(asked.design), asked.level, asked.word)
    rows = [*_by_arm(asked, data, clusters), *few.all(_rng())] if asked.sensitivity else []
    checks = [choice(clusters, found.basis, found.stratified, asked.word)]
    if smallest := few.smallest():
        checks.append(smallest)
    moved = None
    if asked.treatment and data.frame[asked.treatment].nunique() == 1:
        checks.append(caution("treatment taken", "The effect of the treatment taken", CONSTANT))
    else:
        moved = _moved(asked, data, drawn_within(asked, data, clusters))
    if moved is not None:
        rows += _told(moved, asked)
        checks += moved.checks()
    return TrialAnswer(tuple(rows), tuple(checks), moved)


def _permuted_within(
    asked: Asked, data: Dataset, strata: NDArray[np.intp] | None
) -> NDArray[np.intp] | None:
    """Permutations of houses stay within their sites: valid whether or not they were drawn so."""
    if strata is not None or asked.design != "houses-randomised":
        return strata
    if not asked.own_site:
        return None
    return np.unique(data.frame[asked.own_site].astype(str), return_inverse=True)[1]


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def _by_arm(asked: Asked, data: Dataset, clusters: Clusters) -> Iterator[Estimate]:
    """The partially nested mixed model, where one arm has houses and the other people alone."""
    if not clusters.partial or asked.weights:
        return
    try:
        fit = partially_nested(data, OUTCOME, ARM, clusters, asked.adjust)
    except NotEstimable:
        return
    yield fit.estimate(
        {ARM: 1.0}, name="mixed_by_arm", label=f"Mixed model, {asked.word}s in one arm",
        level=asked.level, rank="sensitivity", n=len(data),
    )  # fmt: skip


def _moved(asked: Asked, data: Dataset, strata: str | None) -> ComplierEffect | None:
    """The effect of the treatment taken, with the arm as its instrument."""
    if asked.treatment is None:
        return None
    if asked.design == "chosen":
        raise UsageError(
            "'treatment' asks for assignment as an instrument, which it is only where chance "
            "decided the arm: set design = \"randomised\", or take 'treatment' out."
        )
    return complier_effect(
        data, outcome=OUTCOME, assigned=ARM, treatment=asked.treatment, cluster=asked.cluster,
        adjust=asked.adjust, strata=strata, weights=asked.weights,
    )  # fmt: skip


def _told(moved: ComplierEffect, asked: Asked) -> Iterator[Estimate]:
    """The effect with its own limits, and with those of Anderson and Rubin where they are two."""
    label = "A month of residence" if moved.months else "Moving in, among compliers"
    yield moved.estimate(name="moving_in", label=label, level=asked.level, rank="secondary")
    limits = moved.anderson_rubin(asked.level)
    if limits.shape == "interval":
        e = moved.engine
        yield Estimate(
            "moving_in_anderson_rubin", f"{label}: Anderson–Rubin limits", e.effect, limits.low,
            limits.high, p=e.test(0.0), df=e.df, level="secondary", method="Anderson–Rubin",
            confidence=asked.level, n=len(moved.d),
        )  # fmt: skip


def instrument_table(moved: ComplierEffect, level: float) -> Table:
    """Effect, strength, who crossed over, bounds."""
    usual, refused = moved.crossed()
    arms = moved.trial.arms
    limits: Cell = Ref("moving_in_anderson_rubin", "interval")
    if moved.anderson_rubin(level).shape != "interval":
        limits = "not an interval: assignment moves too few people"
    rows = [
        Row("moving_in", "A month of residence (linear average causal response)" if moved.months
            else "Moving in (complier-average effect)", (Ref("moving_in", "interval"),)),
        Row("anderson_rubin", "the same, Anderson–Rubin limits", (limits,), 1),
        Row("first_stage_f", "First-stage F", (Quantity(moved.engine.first_stage_f),)),
        Row("crossed", f"Treated all the same in “{arms.other}”", (usual,)),
        Row("refused", f"Never treated in “{arms.counted}”", (refused,)),
    ]  # fmt: skip
    if moved.compliance:
        rows.append(Row("compliers", "Share of compliers, if nobody defies",
                        (Quantity(moved.compliance.compliers),)))  # fmt: skip
    if moved.bounds:
        rows += [
            Row("bound_low", "Effect in everybody, lower bound", (Quantity(moved.bounds.low),)),
            Row("bound_high", "upper bound", (Quantity(moved.bounds.high),), 1),
        ]
    notes = (
        "Two-stage least squares with the arm as instrument, on the scale of the difference. The "
        "bounds (Balke and Pearl) assume nothing of who complies and are not confidence limits.",
    )
    return Table("instrument", "Moving in, by instrument", (Column("value", "Value"),), tuple(rows),
                 notes)  # fmt: skip


def said_of_trial(answer: TrialAnswer | None) -> Iterator[str]:
    """Names that switch sentences on."""
    if answer is None:
        return
    names = {e.name for e in answer.estimates}
    yield from (n for n in ("wild", "permutation", "mixed_by_arm") if n in names)
    if answer.moved:
        yield "instrument"
        yield "months" if answer.moved.months else "moved_in"
        if answer.moved.engine.first_stage_f < WEAK:
            yield "weak_instrument"


def facts_of_trial(answer: TrialAnswer | None) -> Mapping[str, Cell]:
    """Typed numbers for the holes of the template."""
    if answer is None or answer.moved is None:
        return {}
    return {"first_stage_f": Quantity(answer.moved.engine.first_stage_f)}
