"""Pour a Result into its template: words and numbers become a Document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from recovery_stats.core.cell import Cell, Count, EstimatePart, Ref, Shown
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Step
from recovery_stats.core.document import (
    Block,
    Bullets,
    Checks,
    CurveFigure,
    Document,
    EstimandBox,
    Figure,
    Flow,
    FlowLine,
    ForestFigure,
    Heading,
    Paragraph,
    Provenance,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.result import Result
from recovery_stats.errors import UsageError, unknown
from recovery_stats.report import checklist, figure_data, reference
from recovery_stats.report.template import (
    Hole,
    Piece,
    Place,
    TemplateHeading,
    TemplateList,
    TemplateParagraph,
    Words,
    parse,
)

PARTS: tuple[EstimatePart, ...] = get_args(EstimatePart)
BUILT_IN = ("estimand", "flow", "checks", "references", "checklist", "provenance")


def compose(
    result: Result,
    title: str,
    template: str,
    *,
    provenance: tuple[tuple[str, str], ...] = (),
    level: float = 0.95,
) -> Document:
    """Fill `template` (see `report.template`) from `result`; sections left empty are dropped.

    Raises UsageError, with the nearest name, for a hole or a place the result cannot fill.
    """
    pieces = tuple(_said(parse(template), result.said))
    names = _Names(result, tuple(_cited(pieces, result.said)))
    pairs = (*_files(result), *provenance)
    blocks = [block for piece in pieces for block in _fill(piece, result, names, pairs)]
    return Document(
        result.analysis,
        title,
        "SYNTHETIC" if result.synthetic else "REAL",
        checklist.resolved(_drop_empty_sections(blocks)),
        result.estimates,
        meta=(("level", f"{level:g}"),),
        references=names.references,
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """What the names in a template, a table or a figure stand for."""

    result: Result
    references: tuple[str, ...] = ()

    @property
    def estimates(self) -> dict[str, Estimate]:
        return {estimate.name: estimate for estimate in self.result.estimates}

    def shown(self, name: str, part: str, where: str) -> Shown:
        """The estimate called `name`, to be printed in its aspect `part`."""
        if part not in PARTS:
            raise UsageError(unknown(f"part of an estimate in {where}", part, PARTS))
        if name not in self.estimates:
            raise UsageError(unknown(f"estimate in {where}", name, self.estimates))
        return Shown(self.estimates[name], next(p for p in PARTS if p == part))

    def hole(self, name: str) -> Cell:
        """The cell for `{name}` or `{name.part}`."""
        if reference.cited(name):
            return reference.citation(name)
        facts = self.result.facts
        if name in facts:
            return self.cell(facts[name], "the facts")
        if name in self.estimates:
            return Shown(self.estimates[name])
        base, _, part = name.rpartition(".")
        if base in self.estimates:
            return self.shown(base, part, "the template")
        raise UsageError(unknown("fact or estimate", base or name, (*facts, *self.estimates)))

    def cell(self, cell: Cell, where: str) -> Cell:
        """A Ref becomes the estimate it names; every other cell is itself."""
        return self.shown(cell.name, cell.part, where) if isinstance(cell, Ref) else cell

    def cells(self, cells: Iterable[Cell], where: str) -> tuple[Cell, ...]:
        return tuple(self.cell(cell, where) for cell in cells)


def _said(pieces: Iterable[Piece], said: frozenset[str]) -> Iterator[Piece]:
    """The pieces whose conditions hold; a heading that is not said takes its section with it."""
    silent_below: int | None = None
    for piece in pieces:
        holds = piece.condition.holds(said)
        if isinstance(piece, TemplateHeading) and not (
            silent_below is not None and piece.depth > silent_below
        ):
            silent_below = None if holds else piece.depth
        if holds and silent_below is None:
            yield piece


def _cited(pieces: Iterable[Piece], said: frozenset[str]) -> Iterator[str]:
    """The keys of the references in the words that are said, each once."""
    seen: set[str] = set()
    for key in (*_keys(pieces, said), *_of_checklist(pieces, said)):
        if key not in seen:
            seen.add(key)
            yield key


def _keys(pieces: Iterable[Piece], said: frozenset[str]) -> Iterator[str]:
    holes = (word.name for words in _told(pieces, said) for word in words if isinstance(word, Hole))
    yield from filter(None, map(reference.cited, holes))


def _of_checklist(pieces: Iterable[Piece], said: frozenset[str]) -> list[str]:
    placed = any(isinstance(piece, Place) and piece.name == checklist.NAME for piece in pieces)
    return checklist.cites(said) if placed else []


def _told(pieces: Iterable[Piece], said: frozenset[str]) -> Iterator[Words]:
    for piece in pieces:
        if isinstance(piece, TemplateParagraph):
            yield piece.words
        elif isinstance(piece, TemplateList):
            yield from (item.words for item in piece.items if item.condition.holds(said))


def _fill(
    piece: Piece, result: Result, names: _Names, provenance: tuple[tuple[str, str], ...]
) -> list[Block]:
    match piece:
        case TemplateHeading(text, depth):
            return [Heading(text, depth)]
        case TemplateParagraph(words, role):
            return [Paragraph(_words(words, names), role)]
        case TemplateList(items, role):
            said = [item.words for item in items if item.condition.holds(result.said)]
            filled = tuple(_words(words, names) for words in said)
            return [Bullets(filled, role)] if filled else []
        case Place():
            return _place(piece, result, names, provenance)


def _words(words: Words, names: _Names) -> tuple[Cell, ...]:
    return tuple(names.hole(word.name) if isinstance(word, Hole) else word for word in words)


def _place(
    place: Place, result: Result, names: _Names, provenance: tuple[tuple[str, str], ...]
) -> list[Block]:
    if place.name in BUILT_IN:
        return _built_in(place.name, result, names, provenance)
    if place.name in result.tables:
        return [_table(result.tables[place.name], names)]
    if place.name in result.figures:
        return [_figure(result.figures[place.name], names)]
    if place.optional:
        return []
    known = (*result.tables, *result.figures, *BUILT_IN)
    raise UsageError(unknown("table or figure", place.name, known))


def _built_in(
    name: str, result: Result, names: _Names, provenance: tuple[tuple[str, str], ...]
) -> list[Block]:
    match name:
        case "estimand":
            return [EstimandBox(result.estimand)]
        case "flow":
            return [_flow(result.flow, checklist.drawn(result.said))] if result.flow else []
        case "references":
            found = tuple((reference.apa(r),) for r in reference.listed(names.references))
            return [Bullets(found, "references")] if found else []
        case checklist.NAME:
            return checklist.blocks(result.said)
        case "checks":
            checks = tuple(_check(check, names) for check in result.checks)
            return [Checks(checks)] if checks else []
        case _:
            return [Provenance(provenance)] if provenance else []


def _table(table: Table, names: _Names) -> Table:
    where = f"table {table.name!r}"
    rows = tuple(replace(row, cells=names.cells(row.cells, where)) for row in table.rows)
    return replace(table, rows=rows)


def _check(check: Check, names: _Names) -> Check:
    return replace(check, parts=names.cells(check.parts, f"check {check.name!r}"))


def _figure(figure: Figure, names: _Names) -> Figure:
    match figure:
        case ForestFigure():
            where = f"figure {figure.name!r}"
            rows = tuple(
                names.shown(row.name, "interval", where) if isinstance(row, Ref) else row
                for row in figure.rows
            )
            return replace(figure, rows=rows)
        case CurveFigure() if not figure.risk:
            return replace(figure, risk=_risk(figure))
        case _:
            return figure


def _risk(figure: CurveFigure) -> tuple[tuple[Cell, ...], ...]:
    """The number at risk of every series at every `risk_times`."""
    return tuple(
        tuple(Count(at_risk(series, time)) for time in figure.risk_times) if own else ()
        for series, own in zip(figure.series, figure_data.counted_under(figure), strict=True)
    )


def at_risk(series: Series, time: float) -> int:
    """The number at risk just before `time`: that of the first listed time not before it."""
    later = [n for x, n in zip(series.x, series.n_at, strict=True) if x >= time]
    return later[0] if later else 0


def _flow(steps: tuple[Step, ...], drawn: bool) -> Flow:
    lines: list[tuple[str, Cell, Cell]] = []
    by_arm: list[tuple[tuple[Cell, Cell], ...]] = []
    before: Step | None = None
    for step in steps:
        same_unit = before is not None and before.unit == step.unit
        lost = Count(before.kept - step.kept, step.unit) if before and same_unit else None
        lines.append((step.reason, Count(step.kept, step.unit), lost))
        by_arm.append(_by_arm(step, before))
        before = step
    names = tuple(name for name, _ in steps[-1].arms)
    if not names:
        return Flow(tuple(lines), _people(steps))
    within = tuple(map(_within, steps))
    return Flow(tuple(lines), _people(steps), names, tuple(by_arm), within, drawn)


def _by_arm(step: Step, before: Step | None) -> tuple[tuple[Cell, Cell], ...]:
    """What remained in each arm, and what it lost since the step before."""
    was = dict(before.arms) if before else {}
    return tuple(
        (Count(n, step.unit), Count(was[name] - n, step.unit) if name in was else None)
        for name, n in step.arms
    )


def _within(step: Step) -> tuple[FlowLine, ...]:
    return tuple(
        FlowLine(d.label, tuple(Count(n, step.unit) for n in (d.n, *d.arms))) for d in step.details
    )


def _people(steps: tuple[Step, ...]) -> tuple[Cell, ...]:
    """The persons behind each step, where the flow counts something else."""
    known = [step.people is not None and step.unit != "people" for step in steps]
    if not any(known):
        return ()
    return tuple(
        Count(step.people) if step.people is not None and step.unit != "people" else None
        for step in steps
    )


def _files(result: Result) -> tuple[tuple[str, str], ...]:
    """What was read, by name and hash; nothing that was only in memory."""
    files: Mapping[str, Any] = {source.name: source for source in result.sources}
    return tuple(
        (f"Data file {name}", f"sha256 {source.sha256}")
        for name, source in files.items()
        if source.sha256
    )


def _drop_empty_sections(blocks: list[Block]) -> list[Block]:
    """Leave out each heading that nothing follows before a heading of its rank or above."""
    kept: list[Block] = []
    for block in reversed(blocks):
        if isinstance(block, Heading) and not _has_content(block, kept):
            continue
        kept.append(block)
    return kept[::-1]


def _has_content(heading: Heading, after: list[Block]) -> bool:
    following = after[-1] if after else None
    if isinstance(following, Heading):
        return following.depth > heading.depth
    return following is not None
