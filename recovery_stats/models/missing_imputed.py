"""The contrast after multiple imputation, at random and with what is imputed shifted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import rubin
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.imputation import impute
from recovery_stats.models.imputed import Imputed
from recovery_stats.models.missing_contrast import ARM, OUTCOME, Assumed, Contrast, attempt
from recovery_stats.models.missing_pattern import ratio_words, sd_words
from recovery_stats.models.risk import estimate

Array = NDArray[np.floating[Any]]
CODES = "cluster|"
FEW_CLUSTERS = 3  # below, a variance between clusters cannot be drawn


@dataclass(frozen=True, slots=True)
class Draws:
    """How many imputations, from which seed, and who hears how many are done."""

    m: int
    seed: int
    jobs: int = 1
    progress: Callable[[int, int], None] | None = None


def imputations(contrast: Contrast, draws: Draws, shift: float = 0.0) -> Imputed:
    """The table of outcome, arm, covariates, earlier visits and clusters, completed m times."""
    frame, clustered = _table(contrast)
    return impute(
        frame, m=draws.m, seed=draws.seed, jobs=draws.jobs, progress=draws.progress,
        methods=_methods(contrast, clustered), cluster=(CODES,) if clustered else (),
        heterogeneous=False, delta={OUTCOME: shift} if shift else {},
        exclude=[c for c in (contrast.weights,) if c and c not in contrast.adjust],
    )  # fmt: skip


def imputed(contrast: Contrast, tables: Imputed, shift: float, unit: float) -> Assumed:
    """The difference in each completed table, pooled by Rubin's rules."""
    clusters = contrast.data
    found = []
    for table in tables:
        values = table.frame if isinstance(table, Dataset) else table
        own = clusters.with_frame(
            clusters.frame.assign(**{c: values[c].to_numpy() for c in _columns(contrast)})
        )
        found.append(contrast.over(own).difference("", "", ""))
    q, u = (np.array([[getattr(e, k)] for e in found]) for k in ("value", "se"))
    rules = rubin.pool(q, u**2, np.array([np.mean([e.df for e in found])]))
    name, label, told = _words(contrast, shift, unit)
    pooled = estimate(
        name, label, float(rules.estimate[0]), float(np.sqrt(rules.total[0])), float(rules.df[0]),
        level=contrast.level, rank="sensitivity", n=found[0].n,
        method=f"{tables.m} imputations, Rubin's rules",
    )  # fmt: skip
    return Assumed(pooled, told, "Not at random" if shift else "At random")


def imputed_row(
    contrast: Contrast, made: Callable[[], Imputed], shift: float, unit: float
) -> Assumed:
    """The pooled difference over the tables that `made` completes, or why there is none."""
    name, label, told = _words(contrast, shift, unit)
    group = "Not at random" if shift else "At random"
    return attempt(
        lambda: imputed(contrast, made(), shift, unit).estimate, name, label, told, group
    )


def shifted_imputations(
    contrast: Contrast, draws: Draws, shifts: tuple[float, ...], unit: float
) -> Iterator[Assumed]:
    """Imputed outcomes shifted in both arms."""
    for shift in shifts:
        yield imputed_row(contrast, partial(imputations, contrast, draws, shift), shift, unit)


def _columns(contrast: Contrast) -> list[str]:
    """The columns of the analysis that imputation fills."""
    return [OUTCOME, *contrast.adjust]


def _table(contrast: Contrast) -> tuple[Dataset | pd.DataFrame, bool]:
    """The columns that take part, and whether people are drawn within clusters."""
    wanted = [OUTCOME, ARM, *contrast.adjust, *contrast.earlier, *contrast.helping]
    if contrast.weights:
        wanted.append(contrast.weights)
    data = contrast.data
    frame = data.frame[list(dict.fromkeys(wanted))].copy()
    clusters = clusters_of(data, contrast.cluster, contrast.arm)
    clustered = clusters.named >= FEW_CLUSTERS and bool(clusters.real.all())
    if clustered:
        frame[CODES] = clusters.codes
    return data.with_frame(frame), clustered


def _methods(contrast: Contrast, clustered: bool) -> dict[str, str]:
    """Outcomes by a model, so that a shift has its meaning: none for those matched."""
    if contrast.binary:
        return {} if clustered else {OUTCOME: "logistic"}
    return {OUTCOME: "normal"}


def _words(contrast: Contrast, shift: float, unit: float) -> tuple[str, str, str]:
    given = contrast.given + (" and earlier visits" if contrast.earlier else "")
    if not shift:
        told = f"Given {given}, being without an outcome does not depend on it."
        return "imputed", "Multiple imputation", told
    if contrast.binary:
        name, told = f"IMOR {ratio_words(shift)}", f"{ratio_words(shift)} times the odds of it"
    else:
        name = sd_words(shift / unit)
        told = f"a mean {name} apart"
    return (
        f"imputed{shift / unit:+.2f}",
        f"Multiple imputation, {name}",
        f"Given {given}, people without an outcome had {told}, in both arms.",
    )
