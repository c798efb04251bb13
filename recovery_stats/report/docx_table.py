"""Tables of a Document as real Word tables in APA style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from recovery_stats.core.cell import Hidden, Sections
from recovery_stats.core.document import Flow, Row, Table
from recovery_stats.report import flow_table, words
from recovery_stats.report.docx_grid import Grid, Place, Side, add_grid
from recovery_stats.report.docx_width import columns
from recovery_stats.report.docx_xml import numbered, paragraph
from recovery_stats.report.numbers import cell
from recovery_stats.report.words import clean

LONG = 18  # rows from which a table may break between two pages
INDENT_CM = 0.4
INDENT = "  "  # counted for each step of it
PAIR_CM = (4.2, 12.4)
NOWHERE: Mapping[str, str] = MappingProxyType({})


def add_table(page: Any, value: Table, number: int = 0, marks: Mapping[str, str] = NOWHERE) -> None:
    """Number and title above, heading rows that repeat, horizontal rules only, notes below.

    marks: the bookmark of each section, to which cells that name it lead.
    """
    caption(page, "Table", number, value.caption)
    printed = words.printed(value)
    prose = words.prose_columns(value)
    grouped = (
        [_groups([c.group for c in value.columns])] if any(c.group for c in value.columns) else []
    )
    sides: list[Side] = ["left", *("left" if p else "right" for p in prose)]
    labels = [value.stub, *(c.label for c in value.columns)]
    head = [Place(text, side, bold=True) for text, side in zip(labels, sides, strict=True)]
    lines = zip(value.rows, words.aligned(printed), strict=True)
    body = [_row(row, cells, sides, marks) for row, cells in lines]
    stub = [value.stub, *(INDENT * r.depth + r.label for r in value.rows)]
    texts = [stub, *_columns(value, printed)]
    size, widths = columns(texts, [False, *prose], len(value.columns))
    rows = [*grouped, head, *body]
    add_grid(page, Grid(value.caption, widths, rows, 1 + len(grouped), size, len(body) <= LONG))
    notes(page, value.notes)


def _columns(value: Table, printed: list[list[str]]) -> list[list[str]]:
    return [[c.label, *(row[j] for row in printed)] for j, c in enumerate(value.columns)]


def add_flow(page: Any, flow: Flow) -> None:
    """The participant flow: one row a step, the arms of a trial beside each other."""
    if flow.arms:
        add_table(page, flow_table.table(flow))
        return
    titles = ["Step", "Remaining", "Left out", *(["People"] if flow.people else [])]
    lines = [titles]
    for i, (label, kept, lost) in enumerate(flow.steps):
        people = [cell(flow.people[i])] if flow.people else []
        lines.append([label, words.with_unit(kept), cell(lost), *people])
    rows = [
        [Place(t, "right" if j else "left", bold=not i) for j, t in enumerate(line)]
        for i, line in enumerate(lines)
    ]
    texts = list(zip(*lines, strict=True))
    size, widths = columns(texts, [True] + [False] * (len(titles) - 1), len(titles) - 1)
    add_grid(page, Grid("Participant flow", widths, rows, 1, size))
    notes(page, ())


def add_pairs(page: Any, pairs: Sequence[tuple[str, str]], title: str) -> None:
    """Names and what they stand for, in two columns."""
    rows = [[Place(name, bold=True), Place(text)] for name, text in pairs]
    add_grid(page, Grid(title, PAIR_CM, rows, 0, 9))
    notes(page, ())


def caption(page: Any, kind: str, number: int, text: str) -> None:
    """The caption as Word's own style and field, on the page of what follows."""
    line = paragraph(page, "Caption")
    if number:
        numbered(line, kind, number)
        line.add_run().add_break()
    line.add_run(clean(text)).italic = True
    line.paragraph_format.keep_with_next = True


def notes(page: Any, texts: Sequence[str]) -> None:
    """All notes in one paragraph; without any, the space below a table."""
    line = paragraph(page, "Tablenote")
    if texts:
        line.add_run("Note. ").italic = True
        line.add_run(" ".join(map(clean, texts)))


def _links(value: Sections, marks: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The sections with their bookmarks; none where one of them has none."""
    known = all(name in marks for name in value.names)
    return tuple((name, marks[name]) for name in value.names) if known else ()


def _groups(names: Sequence[str]) -> list[Place]:
    """Headings over several columns, each over one merged cell."""
    row = [Place("")]
    for name, run in groupby(names):
        span = len(list(run))
        row.append(Place(name, "center", bold=True, span=span, below="thin" if name else ""))
    return row


def _row(
    row: Row, cells: Sequence[tuple[str, str]], sides: Sequence[Side], marks: Mapping[str, str]
) -> list[Place]:
    indent = INDENT_CM * min(row.depth, 3)
    made = [Place(row.label, bold=not row.cells, indent_cm=indent)]
    values = (*row.cells, *[None] * len(cells))
    for (text, pad), value, side in zip(cells, values, sides[1:], strict=False):
        hidden = isinstance(value, Hidden)
        links = _links(value, marks) if isinstance(value, Sections) else ()
        made.append(Place(text, side, italic=hidden, pad=words.spaces(pad), links=links))
    return made
