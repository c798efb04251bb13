"""Withhold small counts, wherever they stand and whatever they could be worked out from.

In order: the participant flow (steps that lose few people are told together), figures (curves
coarsened, points and groups of few people dropped), estimates (raw summaries of few people),
then every count of the document together (`report.privacy.count`), then rounding. Sources: CMS
cell-size policy (no cell of 1 to 10, none that can be derived); Hundepool et al. 2012,
Statistical Disclosure Control, ch. 4. Attacked in tests/report/test_attack.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share, Shown, Spread
from recovery_stats.core.document import (
    Block,
    CaterpillarFigure,
    CurveFigure,
    Document,
    Flow,
    ForestFigure,
    LineFigure,
    Numbers,
    Row,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.panel import PanelFigure
from recovery_stats.core.study import Privacy
from recovery_stats.report import checklist
from recovery_stats.report.bar import filled
from recovery_stats.report.privacy.coarse import coarse_groups, coarse_line, coarsened
from recovery_stats.report.privacy.coarse import notes as coarse_notes
from recovery_stats.report.privacy.count import withhold_counts
from recovery_stats.report.privacy.curve import coarsen
from recovery_stats.report.privacy.estimate import withhold_estimates
from recovery_stats.report.privacy.flow import safe_flow
from recovery_stats.report.privacy.value import PUBLIC_UNITS, Value
from recovery_stats.report.privacy.visit import Place, cells, map_cells

OLDEST = 89  # HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C): ages above 89 as one category


def disclose(document: Document, privacy: Privacy) -> Document:
    """The document without what `privacy` withholds; only such documents leave the program."""
    marked = replace(document, meta=(*document.meta, ("privacy", privacy.profile)))
    if privacy.minimum <= 1 and privacy.round_to <= 1 and not privacy.hide_zero:
        return filled(marked)
    withheld: set[Value] = set()
    told = _in_tables(marked)
    blocks: list[Block] = []
    for block in marked.blocks:
        if isinstance(block, Flow):
            safe = safe_flow(block, privacy.minimum, told)
            withheld |= safe.withheld
            blocks.append(safe.flow)
        else:
            blocks.append(_thin(block, privacy))
    draft = withhold_estimates(replace(marked, blocks=tuple(blocks)), privacy)
    counted = withhold_counts(draft, frozenset(withheld), privacy)
    if privacy.rounds:
        counted = coarsened(counted, draft, privacy)
    rounded = _with_safe_sizes(_round(counted, privacy), privacy)
    finished = [_finish(block, privacy) for block in rounded.blocks]
    # What was withheld no longer meets an item.
    return filled(replace(rounded, blocks=checklist.resolved(finished)))


def _in_tables(document: Document) -> Counter[int]:
    """How often tables print each number of people, as a count or as the base of a share."""
    rows = [row for block in document.blocks if isinstance(block, Table) for row in block.rows]
    found = [c for row in rows for c in row.cells if isinstance(c, Count | Share)]
    return Counter(c.of if isinstance(c, Share) else c.n for c in found)


# --- figures -----------------------------------------------------------------------------


def _thin(block: Block, privacy: Privacy) -> Block:
    """A figure without what rests on few people, and without the counts behind the rest."""
    match block:
        case CurveFigure():
            return coarsen(block, privacy)
        case LineFigure():
            return _thick_lines(block, privacy)
        case PanelFigure(panels=panels):
            return replace(block, panels=tuple(_thick_panel(p, privacy) for p in panels))
        case CaterpillarFigure():
            groups = _thick_groups(block, privacy)
            return coarse_groups(groups, privacy) if privacy.rounds else replace(groups, shares=())
        case _:
            return block


def _thick_lines(figure: LineFigure, privacy: Privacy) -> LineFigure:
    expected = figure.expected
    if expected is not None and privacy.rounds:
        expected = coarse_line(expected, privacy)
    series = tuple(_thick_points(s, privacy) for s in figure.series)
    return replace(figure, series=series, expected=expected)


def _thick_points(series: Series, privacy: Privacy) -> Series:
    series = coarse_line(series, privacy) if privacy.rounds else series
    at = series.n_at or (privacy.minimum,) * len(series.x)
    kept = [i for i, n in enumerate(at) if n >= privacy.minimum]
    low, high = _pick(series.low, kept), _pick(series.high, kept)
    n_at = tuple(at[i] for i in kept) if series.n_at else ()  # until the counts are withheld
    return Series(series.name, _pick(series.x, kept), _pick(series.y, kept), low, high, n_at)


def _thick_panel(panel: LineFigure, privacy: Privacy) -> LineFigure:
    """Means of bins, told without how many people each rests on."""
    thick = _thick_lines(panel, privacy)
    return replace(thick, series=tuple(replace(s, n_at=()) for s in thick.series))


def _thick_groups(figure: CaterpillarFigure, privacy: Privacy) -> CaterpillarFigure:
    at = figure.n_at or (privacy.minimum,) * len(figure.value)
    kept = _many(at, privacy.minimum)
    value, low, high = (_pick(part, kept) for part in (figure.value, figure.low, figure.high))
    all_shown = len(kept) == len(figure.value)
    words = f"Groups that rest on fewer than {privacy.minimum} are withheld."
    note = () if all_shown else (words,)
    shares = tuple(figure.shares[i] for i in kept) if figure.shares else ()
    notes = (*figure.notes, *note)
    return replace(figure, value=value, low=low, high=high, n_at=(), notes=notes, shares=shares)


def _many(at: Sequence[int], minimum: int) -> list[int]:
    """Places of the groups to show; those left out are two and many, or none.

    Shares with their limits give back every count shown, and the total is known: one group left
    out, or a few people in all, would follow by subtraction.
    """
    order = sorted(range(len(at)), key=lambda i: at[i])
    few = sum(n < minimum for n in at)
    while 0 < few < len(at) and (few < 2 or sum(at[i] for i in order[:few]) < minimum):
        few += 1
    return sorted(order[few:])


def _pick(numbers: Numbers, places: list[int]) -> Numbers:
    return tuple(numbers[i] for i in places) if numbers else ()


# --- rounding and sizes ------------------------------------------------------------------


def _round(document: Document, privacy: Privacy) -> Document:
    """Round every count to the nearest multiple that the profile asks for."""
    if privacy.round_to <= 1:
        return document

    def rounded(n: int) -> int:
        return privacy.round_to * math.floor(n / privacy.round_to + 0.5)

    def change(_: Place, cell: Cell) -> Cell:
        match cell:
            case Count(n, unit) if unit not in PUBLIC_UNITS:
                return Count(rounded(n), unit)
            case Share(n, of):
                return Share(min(rounded(n), rounded(of)), rounded(of))
            case Spread(mean, sd, n):
                return Spread(mean, sd, rounded(n))
            case Quantity(value, style, n) if n is not None:
                return Quantity(value, style, rounded(n))
            case _:
                return cell

    return map_cells(document, change)


def _with_safe_sizes(document: Document, privacy: Privacy) -> Document:
    """Estimates carry `n` and `events` into results.json only where the page prints them too.

    Elsewhere a sample a few smaller than another would say how many people were left out.
    """
    printed = {c.n for c in cells(document).values() if isinstance(c, Count | Share)}
    printed |= {c.of for c in cells(document).values() if isinstance(c, Share)}

    def sized(e: Estimate) -> Estimate:
        n = e.n if e.n in printed else None
        return replace(e, n=n, events=e.events if e.events in printed else None)

    def change(_: Place, cell: Cell) -> Cell:
        return replace(cell, estimate=sized(cell.estimate)) if isinstance(cell, Shown) else cell

    def forest(block: Block) -> Block:
        if not isinstance(block, ForestFigure):
            return block
        rows = tuple(
            replace(r, estimate=sized(r.estimate)) if isinstance(r, Shown) else r
            for r in block.rows
        )
        return replace(block, rows=rows)

    done = map_cells(document, change)
    return replace(
        done,
        blocks=tuple(forest(block) for block in done.blocks),
        estimates=tuple(map(sized, document.estimates)),
    )


# --- what the reader is told -------------------------------------------------------------


def _finish(block: Block, privacy: Privacy) -> Block:
    """Say in a note what was withheld, and put ages above 89 into one category."""
    if isinstance(block, Table):
        rows = tuple(_without_high_ages(row) for row in block.rows)
        return replace(block, rows=rows, notes=(*block.notes, *_note(block, privacy)))
    if isinstance(block, Flow) and privacy.rounds:
        return replace(block, notes=(*block.notes, _rounding(privacy)))
    if isinstance(block, CurveFigure) and privacy.rounds:
        note = (
            f"Curves are those of counts rounded to the midpoint of every {privacy.bin} (of those "
            "who had the event, of those who left and of all), joined by lines, and end before "
            f"fewer than {privacy.minimum} remain."
        )
        return replace(block, notes=(*block.notes, note))
    if isinstance(block, CurveFigure) and privacy.grid_events > 1:
        note = (
            f"To protect people, the curve is known only at points at least {privacy.grid_events} "
            f"events apart, joined by lines, and ends before fewer than {privacy.minimum} remain."
        )
        return replace(block, notes=(*block.notes, note))
    return block


def _note(table: Table, privacy: Privacy) -> tuple[str, ...]:
    hidden = [c.below for row in table.rows for c in row.cells if isinstance(c, Hidden)]
    least = 0 if privacy.hide_zero else 1
    small = f"< {privacy.minimum}: withheld, from {least} to {privacy.minimum - 1}"
    told = [small] if any(hidden) else []
    if not all(hidden):
        told.append("withheld: a small number would follow from it, or stands behind it")
    every = [c for row in table.rows for c in row.cells]
    counted = any(isinstance(c, Count | Share) for c in every)
    notes = [f"{'; '.join(told).capitalize()}."] if told else []
    shown = [c.estimate for c in every if isinstance(c, Shown)]
    return (
        *notes,
        *([_rounding(privacy)] if counted and privacy.rounds else []),
        *(coarse_notes(shown, privacy) if privacy.rounds else ()),
    )


def _rounding(privacy: Privacy) -> str:
    return f"Counts are rounded to the nearest {privacy.round_to}."


def _without_high_ages(row: Row) -> Row:
    words = f"{row.key} {row.label}".casefold().replace(",", " ").split()
    if "age" not in words:
        return row

    def category(cell: Cell) -> Cell:
        old = isinstance(cell, Quantity) and cell.style != "p" and cell.value > OLDEST
        return f"{OLDEST + 1} or over" if old else cell

    return replace(row, cells=tuple(map(category, row.cells)))
