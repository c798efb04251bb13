"""The section of a report on outcomes that are missing: one difference under every assumption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from recovery_stats.analyses._missing_rows import (
    NOT_TOLD,
    Told,
    assumed_forest,
    assumed_table,
    refused,
)
from recovery_stats.analyses._refusal import safe_words
from recovery_stats.core import progress
from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.document import (
    Column,
    Figure,
    ForestFigure,
    LineFigure,
    Row,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.result import Result
from recovery_stats.errors import NotEstimable
from recovery_stats.models.imputed import Imputed
from recovery_stats.models.missing_contrast import Assumed, Contrast
from recovery_stats.models.missing_imputed import Draws
from recovery_stats.models.missing_panel import GROUPS, MissingPanel, panel
from recovery_stats.models.missing_pattern import WHERE, Pattern
from recovery_stats.models.missing_reference import REFERENCE_BASED, why_no_reference

DRAWN, CHAINS, POINTS = 20, 5, 25
WIDEST = 3.0  # of the figure: doublings of the odds, or standard deviations
STEP = "imputations"


def with_missing_panel(result: Result, contrast: Contrast | None, seed: int) -> Result:
    """The result with the panel, where the outcome is missing for somebody."""
    if contrast is None or not contrast.missing.any():
        return result
    draws = Draws(DRAWN, seed, progress=lambda done, of: progress.tell(STEP, done, of))
    try:
        found = panel(contrast, draws)
    except NotEstimable as reason:
        return replace(result, checks=(*result.checks, _no_panel(reason)))
    tables, figures = tuple(_tables(found)), tuple(_figures(found))
    return replace(
        result,
        estimates=(*result.estimates, *_estimates(found)),
        checks=(*result.checks, *_checks(found)),
        said=result.said | _said(found),
        tables={**result.tables, **{t.name: t for t in tables}},
        figures={**result.figures, **{f.name: f for f in figures}},
    )


def _no_panel(reason: NotEstimable) -> Check:
    words = f"The panel of assumptions on missing outcomes is not estimable. {reason}"
    return Check("missing outcomes", "caution", (words,))


def _said(found: MissingPanel) -> set[str]:
    groups = {r.group for r in _given(found)}
    own = {"imputed": found.tables is not None, "reference_based": REFERENCE_BASED in groups}
    return {"missing_panel", *(name for name, there in own.items() if there)}


def _key(name: str) -> str:
    return f"missing[{name}]"


def _estimates(found: MissingPanel) -> Iterator[Estimate]:
    for row in _given(found):
        declared = ", as declared" if row.name == found.declared else ""
        yield replace(
            row.estimate, name=_key(row.name), label=f"{row.estimate.label}{declared}",
            level="sensitivity",
        )  # fmt: skip


def _checks(found: MissingPanel) -> tuple[Check, ...]:
    """What imputation has to say, but for what took no part."""
    traces = ("imputation_mean", "imputation_sd")
    return tuple(
        replace(check, figures=traces) if check.name.endswith("convergence") else check
        for check in found.checks()
        if check.verdict != "ok" or check.name.endswith("convergence")
    )


# --- tables ----------------------------------------------------------------------------------


def _tables(found: MissingPanel) -> Iterator[Table]:
    yield _panel_table(found)
    yield _tipping_table(found.pattern)
    if found.tables is not None and found.tables.made.plan.sweeps > 1:
        yield _convergence_table(found.tables)


def _panel_table(found: MissingPanel) -> Table:
    told = (*(_told(r) for r in found.rows), *_without(found))
    return assumed_table(
        "The same difference under each assumption on what is missing", "Difference", told,
        {_key(r.name): r.estimate for r in _given(found)}, _key(found.declared),
        (_scale(found.contrast),),
    )  # fmt: skip


def _given(found: MissingPanel) -> list[Assumed]:
    """The rows that have a number."""
    return [r for r in found.rows if not r.reason]


def _told(row: Assumed) -> Told:
    if row.reason:
        return refused(row.estimate.label, row.group, safe_words(row.reason))
    return Told(_key(row.name), row.group, row.assumption)


def _without(found: MissingPanel) -> Iterator[Told]:
    """Reference-based imputation where it is not among the rows, and why."""
    if any(r.group == REFERENCE_BASED for r in found.rows):
        return
    why = why_no_reference(found.contrast)
    yield Told("", REFERENCE_BASED, why, "Jump to reference, copy reference", NOT_TOLD)


def _scale(contrast: Contrast) -> str:
    if contrast.binary:
        return (
            "IMOR: informative missingness odds ratio, the odds of the outcome among people "
            "without it recorded over the odds among people alike with it. No row is right by "
            "itself; the data cannot tell which assumption holds."
        )
    return (
        "SD: of the outcome as observed. No row is right by itself; the data cannot tell which "
        "assumption holds."
    )


def _tipping_table(pattern: Pattern) -> Table:
    points = pattern.points
    rows = []
    for where, words in WHERE.items():
        own = points.loc[points["where"] == where, "shift"]
        below, above = (own[own < 0], own[own > 0])
        cells = tuple(
            _point(pattern, float(s.iloc[0])) if len(s) else "none" for s in (below, above)
        )
        rows.append(Row(where, f"Shift {words}", cells))
    what = "odds ratio (IMOR)" if pattern.contrast.binary else "standard deviations"
    return Table(
        "tipping_point", "How far what is missing must lie from what was seen to turn the answer",
        (Column("below", "Lower"), Column("above", "Higher")), tuple(rows),
        (
            f"In {what}: the smallest shift at which the interval begins, or ceases, to hold no "
            "difference. None: not within "
            + ("1/1000 to 1000." if pattern.contrast.binary else "five standard deviations."),
        ),
    )  # fmt: skip


def _point(pattern: Pattern, shift: float) -> Quantity:
    if pattern.contrast.binary:
        return Quantity(float(np.exp(shift)), "ratio")
    return Quantity(shift / pattern.unit)


def _convergence_table(tables: Imputed) -> Table:
    labels = {t.name: t.name for t in tables.made.plan.targets}
    rows = tuple(
        Row(r.column, _label(tables, labels[r.column]), (
            tables.made.methods[r.column], Quantity(float(r.r_hat_mean), "ratio"),
            Quantity(float(r.r_hat_sd), "ratio"),
        ))
        for r in tables.convergence().itertuples()
    )  # fmt: skip
    return Table(
        "imputation", "What was imputed, and whether the chains agree",
        (Column("method", "Model"), Column("mean", "R-hat of the mean"),
         Column("sd", "R-hat of the SD")),
        rows, ("R-hat: near 1 where the imputations agree after the sweeps made.",),
    )  # fmt: skip


def _label(tables: Imputed, column: str) -> str:
    return tables.data.label(column) if hasattr(tables.data, "label") else column


# --- figures ---------------------------------------------------------------------------------


def _figures(found: MissingPanel) -> Iterator[Figure]:
    yield _forest(found)
    yield _tipping_figure(found.pattern)
    if found.tables is not None and found.tables.made.plan.sweeps > 1:
        yield from _traces(found.tables)


def _forest(found: MissingPanel) -> ForestFigure:
    ordered = [r for g in GROUPS for r in _given(found) if r.group == g]
    return assumed_forest(
        "The same difference under each assumption on what is missing", "Difference",
        [Told(_key(r.name), r.group, r.assumption) for r in ordered],
    )  # fmt: skip


def _tipping_figure(pattern: Pattern) -> LineFigure:
    """The difference with its interval over the shift in one arm."""
    binary = pattern.contrast.binary
    step = float(np.log(2.0)) if binary else pattern.unit
    x = np.linspace(-WIDEST, WIDEST, POINTS)
    series = []
    for where, words in WHERE.items():
        curve = pattern.curve(where, x * step)
        y, low, high = (tuple(curve[c].tolist()) for c in ("estimate", "conf_low", "conf_high"))
        series.append(Series(f"Shift {words}", tuple(x.tolist()), y, low, high))
    whole = range(-int(WIDEST), int(WIDEST) + 1)
    ticks = tuple((float(k), f"1/{2**-k}" if k < 0 else str(2**k)) for k in whole)
    return LineFigure(
        "missing_tipping", "The difference by how far what is missing lies from what was seen",
        "Odds among people without the outcome recorded, times those of people alike with it"
        if binary else "Mean among people without the outcome, in SD from people alike with it",
        "Difference", tuple(series), horizontal=0.0, x_ticks=ticks if binary else (),
        notes=("The answer turns where a band meets the line of no difference.",),
    )  # fmt: skip


def _traces(tables: Imputed) -> Iterator[LineFigure]:
    """Mean and sd of the imputed outcomes by sweep, some of the imputations."""
    traces = tables.traces()
    column = tables.made.plan.targets[0].name
    own = traces[(traces["column"] == column) & (traces["imputation"] <= CHAINS)]
    for what, words in (("mean", "Mean"), ("sd", "Standard deviation")):
        series = tuple(
            Series(f"Imputation {k}", tuple(t["sweep"].astype(float)), tuple(t[what]))
            for k, t in own.groupby("imputation")
        )
        yield LineFigure(
            f"imputation_{what}", f"{words} of what was imputed, by sweep", "Sweep", words, series,
            notes=(f"{_label(tables, column)}. Chains should mix, without a trend.",),
        )  # fmt: skip
