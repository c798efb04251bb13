"""The panel on waves that lack a value: its rows, what each assumes, and which do not apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from recovery_stats.analyses._missing_rows import (
    NOT_TOLD,
    Attempt,
    Told,
    assumed_forest,
    assumed_table,
    refused,
)
from recovery_stats.analyses._satisfaction_missing import COUNTED, MOST_ROWS, Gaps
from recovery_stats.analyses._satisfaction_rows import Waves
from recovery_stats.analyses._wording import plural
from recovery_stats.core.bar import BarFigure, CellOf
from recovery_stats.core.document import ForestFigure, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.missing_figure import missing_by_reason
from recovery_stats.models.summary import levels_of

RANDOM, SINGLE, OTHER = "At random", "One value for each", "Not at random"


CAPTION = "The slope within people under each assumption on what is missing"


def missing_panel_table(
    gaps: Gaps, named: dict[str, Estimate], attempts: Sequence[Attempt]
) -> Table | None:
    """The panel; None where nothing is missing or no other row was asked for."""
    rows = _present(gaps, attempts)
    if not rows:
        return None
    lacking = plural(gaps.occasion).capitalize()
    notes = (
        f"SD: of the value as observed. {lacking} without a row in the table are in no row here. "
        "The data cannot tell which assumption holds.",
    )
    return assumed_table(CAPTION, gaps.model.law.heading, rows, named, "within", notes)


def missing_forest(gaps: Gaps, attempts: Sequence[Attempt]) -> ForestFigure | None:
    """The panel as a figure; None where only the declared row has a number."""
    law = gaps.model.law
    if not any(a.estimate for a in attempts):
        return None
    return assumed_forest(
        CAPTION, law.heading, _present(gaps, attempts), null=law.null, log_x=not law.linear
    )


def _present(gaps: Gaps, attempts: Sequence[Attempt]) -> tuple[Told, ...]:
    """The rows asked for, with a number or why there is none, and those that do not apply."""
    tried = {a.name: a for a in attempts}
    return tuple(_answered(r, tried) for r in _rows(gaps)) if tried else ()


def _answered(row: Told, tried: dict[str, Attempt]) -> Told:
    made = tried.get(row.name)
    return refused(made.label, row.group, made.reason) if made and made.reason else row


def _rows(gaps: Gaps) -> Iterator[Told]:
    """Every row with what it assumes, and those that do not apply with the reason."""
    o = gaps.occasion
    yield Told("missing[complete]", RANDOM, "People who lack a value are like those who do not.")
    alike = f"Given the values seen, a {o} that lacks one is like a {o} that does not."
    yield Told("within", RANDOM, alike, f"Mixed model, {plural(o)} with all values")
    if gaps.imputable:
        yield Told("missing[imputed]", RANDOM, f"{alike} What is seen of it counts.")
    else:
        yield Told("", RANDOM, _no_imputation(gaps), "Multiple imputation", "not done")
    yield Told("missing[carried]", SINGLE, f"What is missing stayed as at the {o} before.")
    yield from _single_rows(gaps)
    if gaps.imputable:
        yield from (Told(s.name, OTHER, s.words) for s in gaps.asked_shifts)
    own = f"People who lack a value have a slope of their own, the same at the {plural(o)} missed."
    yield Told("missing[mixture]", OTHER, own)
    why = (
        "The slope is no difference between randomised arms: no reference arm shows how people "
        "who left would have gone on."
    )
    yield Told("", OTHER, why, "Jump to reference, copy reference", NOT_TOLD)
    why = "Extreme values at either end of a deviation make any slope: there is no worst one."
    yield Told("", "Bounds", why, "Worst and best case", NOT_TOLD)


def _no_imputation(gaps: Gaps) -> str:
    if gaps.drawable:
        return (
            f"More than {MOST_ROWS:,} rows, which would take longer than all else in this report; "
            "the function impute takes them."
        )
    return "Only numbers, a yes or no and counts are imputed here; the function impute takes more."


def _single_rows(gaps: Gaps) -> Iterator[Told]:
    if gaps.binary:
        for value, (name, _) in COUNTED.items():
            yield Told(name, SINGLE, f"Every missing outcome was a {'yes' if value else 'no'}.")
    else:
        why = "The outcome is not a relapse that could be assumed."
        yield Told("", SINGLE, why, "Missing = relapse", NOT_TOLD)


def missingness(tables: Mapping[str, Table], waves: Waves, occasion: str) -> BarFigure | None:
    """Share of the rows that lack a value, by wave and reason; None where nothing is missing."""
    if "missing_waves" not in tables:
        return None
    whole = tables["missing"]
    levels = levels_of(waves.read, waves.asked.wave)
    bases = {row.key: CellOf(whole.name, row.key, "all") for row in whole.rows}
    for column in list(bases):
        for i, wave in enumerate(levels, 1):
            bases[f"{column}.{i}"] = CellOf("waves", f"wave_{wave:g}", "held")
    return missing_by_reason(
        tables["missing_waves"], bases, caption=f"Share missing by {occasion} and reason",
        axis="Share of rows held",
    )  # fmt: skip
