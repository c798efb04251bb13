"""One difference under every usual way of dealing with what is missing: `missing_panel`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.imputed import Imputed
from recovery_stats.models.missing_contrast import (
    Assumed,
    Contrast,
    bounds,
    complete_cases,
    read_contrast,
    single_values,
)
from recovery_stats.models.missing_imputed import (
    Draws,
    imputations,
    imputed_row,
    shifted_imputations,
)
from recovery_stats.models.missing_pattern import Pattern, shifted
from recovery_stats.models.missing_reference import REFERENCE_BASED, reference_rows
from recovery_stats.models.missing_waves import repeated_measures

SHIFTS = (-1.0, 1.0)  # of the grid: in log 2 of the odds, or in half a standard deviation
FEWEST = 2  # imputations: one alone does not tell how far they differ
ODDS, SDS = float(np.log(2.0)), 0.5
GROUPS = ("At random", "One value for each", "Not at random", REFERENCE_BASED, "Bounds")


@dataclass(frozen=True)
class MissingPanel:
    """The rows by assumption; `declared` is the one that was chosen before the run.

    A row that is not estimable stands among them, its numbers nan, with the reason. tables: the
    completed tables of the imputation at random; None where they could not be made. pattern: the
    difference as a function of how far missing outcomes lie from those seen.
    """

    contrast: Contrast = field(repr=False)
    rows: tuple[Assumed, ...]
    declared: str
    tables: Imputed | None = field(repr=False)
    pattern: Pattern = field(repr=False)

    def __getitem__(self, name: str) -> Assumed:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def tidy(self) -> pd.DataFrame:
        """`method, label, group, estimate … conf_high, assumption, not_estimable` (the reason)."""
        return pd.DataFrame(
            {
                "method": r.name, "label": r.estimate.label, "group": r.group, **r.numbers(),
                "declared": r.name == self.declared, "assumption": r.assumption,
                "not_estimable": r.reason,
            }
            for r in self.rows
        )  # fmt: skip

    def tipping(self) -> pd.DataFrame:
        """Where the interval begins or ceases to hold 0: `where, shift, odds_ratio`."""
        return self.pattern.points

    def traces(self) -> pd.DataFrame:
        """Mean and sd of the imputed values by imputation and sweep."""
        return pd.DataFrame() if self.tables is None else self.tables.traces()

    def checks(self) -> tuple[Check, ...]:
        """Whether the imputation settled."""
        return () if self.tables is None else self.tables.checks()


def missing_panel(
    data: pd.DataFrame | Dataset,
    outcome: str,
    arm: str,
    *,
    adjust: Sequence[str] = (),
    earlier: Sequence[str] = (),
    helping: Sequence[str] = (),
    cluster: str | None = None,
    strata: str | None = None,
    weights: str | None = None,
    counted: str | None = None,
    reference: str | None = None,
    limits: tuple[float, float] | None = None,
    declared: str = "complete",
    shifts: Sequence[float] = SHIFTS,
    randomised: bool = False,
    m: int = 20,
    seed: int,
    level: float = 0.95,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> MissingPanel:
    """The difference between two arms under each assumption on the outcomes that are missing.

    Complete cases; last observation carried forward; missing counted as the outcome and as none;
    mixed model of all visits; multiple imputation, at random and shifted; pattern mixture in both
    arms, in one and in opposite directions; in a trial, reference-based imputation; bounds. Each
    row says what it takes for true; none is right by itself.

    outcome: a yes/no (risk difference; `counted` names the level) or a number. arm: two groups,
    `reference` the one subtracted. adjust: baseline covariates; differences are standardised over
    them. earlier: columns with the outcome at earlier visits, first to last. helping: columns
    that only predict what is missing. cluster: people of one are alike. strata: people were
    randomised within. limits: lowest and highest value of a number, for the bounds; else those
    seen. declared: the row chosen beforehand. shifts: steps of the grid, each of them a doubling
    of the odds of a yes/no (its log odds ratio, IMOR, in units of log 2) or half a standard
    deviation of a number; an imputed outcome is shifted from what all else tells of it, earlier
    visits as imputed included (see `delta` of `impute`). randomised: people were drawn into the
    arms one by one; what becomes of those who left is then also told from the reference arm
    (`reference_based`).
    Raises UsageError, DataError where nothing is missing, NotEstimable. Checked: closed forms and
    what each method must agree with (tests/models/test_missing_panel.py).
    """
    if m < FEWEST:
        raise UsageError(f"m is the number of imputations, {FEWEST} or more, not {m}.")
    if not all(np.isfinite(s) and s for s in shifts) or len(set(shifts)) < len(shifts):
        raise UsageError("shifts are finite numbers other than 0, each given once.")
    contrast = read_contrast(
        data, outcome, arm, counted, reference, adjust=tuple(adjust), earlier=tuple(earlier),
        helping=tuple(helping), cluster=cluster, strata=strata, weights=weights, limits=limits,
        level=level, randomised=randomised,
    )  # fmt: skip
    draws = Draws(m, seed, jobs, progress)
    return panel(contrast, draws, declared=declared, shifts=tuple(shifts))


def panel(
    contrast: Contrast, draws: Draws, *, declared: str = "complete",
    shifts: tuple[float, ...] = SHIFTS,
) -> MissingPanel:  # fmt: skip
    """The panel of a contrast that was read before."""
    if not contrast.missing.any():
        raise DataError("The outcome is not missing for anybody: every method gives one answer.")
    contrast = contrast.ordered()
    pattern = Pattern.of(contrast)
    steps = tuple(s * (ODDS if contrast.binary else SDS * pattern.unit) for s in shifts)
    tables = _Tables(contrast, draws)
    rows = tuple(_rows(contrast, pattern, tables, draws, steps))
    names = [r.name for r in rows]
    if declared not in names:
        raise UsageError(unknown("method", declared, names))
    chosen = rows[names.index(declared)]
    if chosen.reason:
        raise NotEstimable(f"{chosen.estimate.label}, the row declared: {chosen.reason}")
    return MissingPanel(contrast, rows, declared, tables.made, pattern)


def _rows(
    contrast: Contrast, pattern: Pattern, tables: Callable[[], Imputed], draws: Draws,
    steps: tuple[float, ...],
) -> Iterator[Assumed]:  # fmt: skip
    """In the order in which they are read: at random, single values, not at random, bounds."""
    yield from complete_cases(contrast)
    yield from repeated_measures(contrast)
    yield imputed_row(contrast, tables, 0.0, pattern.unit)
    yield from single_values(contrast)
    yield from shifted_imputations(contrast, draws, steps, pattern.unit)
    yield from shifted(pattern, steps)
    yield from reference_rows(contrast, draws)
    yield from bounds(contrast)


@dataclass(slots=True)
class _Tables:
    """The imputation at random, kept once it is made; None where it could not be."""

    contrast: Contrast
    draws: Draws
    made: Imputed | None = None

    def __call__(self) -> Imputed:
        self.made = imputations(self.contrast, self.draws)
        return self.made
