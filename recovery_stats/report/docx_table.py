"""Tables of a Document as real Word tables in APA style."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from docx.enum.text import WD_ALIGN_PARAGRAPH as SIDE
from docx.shared import Cm, Pt

from recovery_stats.core.document import Flow, Hidden, Row, Table
from recovery_stats.report import words
from recovery_stats.report.docx_xml import (
    describe_table,
    header_row,
    numbered,
    rule,
    whole_row,
)
from recovery_stats.report.numbers import cell
from recovery_stats.report.words import NUMBER, clean

WIDE, WIDEST = 6, 9  # columns from which the type is smaller
INDENT_CM = 0.4
TEXT_CM = 16.6  # the width of the page between its margins
NARROW, BROAD = 8, 30  # characters a column counts for, at least and at most
CELL_STYLE = "Tabletext"


def add_table(page: Any, value: Table, number: int = 0) -> None:
    """Number and title above, heading rows that repeat, horizontal rules only, notes below."""
    caption(page, "Table", number, value.caption, before=True)
    grouped = any(c.group for c in value.columns)
    grid = _grid(page, 1 + grouped + len(value.rows), 1 + len(value.columns), value.caption)
    size = _size(len(value.columns))
    if grouped:
        _groups(grid.rows[0], [c.group for c in value.columns], size)
    head = grid.rows[int(grouped)]
    _line(head, [value.stub, *(c.label for c in value.columns)], size, bold=True)
    lines = zip(value.rows, words.aligned(words.printed(value)), strict=True)
    for target, (row, cells) in zip(grid.rows[1 + grouped :], lines, strict=True):
        _row(target, row, cells, size)
    _share_width(grid, [[value.stub, *(r.label for r in value.rows)], *_columns(value)])
    _finish(grid, 1 + grouped)
    notes(page, value.notes)


def _columns(value: Table) -> list[list[str]]:
    printed = words.printed(value)
    return [[c.label, *(row[j] for row in printed)] for j, c in enumerate(value.columns)]


def _share_width(grid: Any, texts: Sequence[Sequence[str]]) -> None:
    """Give each column room for its longest text, as far as the page has it."""
    wanted = [min(max(max(map(len, column)), NARROW), BROAD) for column in texts]
    for column, size in zip(grid.columns, wanted, strict=True):
        column.width = Cm(TEXT_CM * size / sum(wanted))


def add_flow(page: Any, flow: Flow) -> None:
    """The participant flow: one row a step."""
    titles = ["Step", "Remaining", "Left out", *(["People"] if flow.people else [])]
    grid = _grid(page, 1 + len(flow.steps), len(titles), "Participant flow")
    _line(grid.rows[0], titles, 9, bold=True)
    for i, (label, kept, lost) in enumerate(flow.steps):
        people = [cell(flow.people[i])] if flow.people else []
        _line(grid.rows[i + 1], [label, words.with_unit(kept), cell(lost), *people], 9)
    _finish(grid, 1)
    notes(page, ())


def add_pairs(page: Any, pairs: Sequence[tuple[str, str]], title: str) -> None:
    """Names and what they stand for, in two columns."""
    grid = _grid(page, len(pairs), 2, title)
    for row, (name, text) in zip(grid.rows, pairs, strict=True):
        _write(row.cells[0], name, 9, bold=True)
        _write(row.cells[1], text, 9)
        row.cells[0].width, row.cells[1].width = Cm(4.6), Cm(12.0)
        whole_row(row)
    notes(page, ())


def caption(page: Any, kind: str, number: int, text: str, *, before: bool) -> None:
    """The caption as Word's own style and field; `before`: it stays on the page of what follows."""
    paragraph = page.add_paragraph(style="Caption")
    if number:
        numbered(paragraph, kind, number)
        paragraph.add_run().add_break()
    paragraph.add_run(clean(text)).italic = True
    paragraph.paragraph_format.keep_with_next = before


def notes(page: Any, texts: Sequence[str]) -> None:
    """All notes in one paragraph; without any, the space below a table."""
    paragraph = page.add_paragraph(style="Table note")
    if texts:
        paragraph.add_run("Note. ").italic = True
        paragraph.add_run(" ".join(map(clean, texts)))


def _grid(page: Any, rows: int, columns: int, title: str) -> Any:
    grid = page.add_table(rows, columns)
    describe_table(grid, clean(title))
    return grid


def _size(columns: int) -> float:
    """The type size in points."""
    return 9 if columns < WIDE else 8 if columns < WIDEST else 7


def _groups(row: Any, names: Sequence[str], size: float) -> None:
    """Headings over several columns, each over one merged cell."""
    start = 1
    for name, run in groupby(names):
        width = len(list(run))
        spanned = row.cells[start].merge(row.cells[start + width - 1])
        _write(spanned, name, size, bold=True, side=SIDE.CENTER)
        if name:
            rule(spanned, "bottom", "thin")
        start += width


def _row(target: Any, row: Row, cells: Sequence[tuple[str, str]], size: float) -> None:
    _write(target.cells[0], row.label, size, bold=not row.cells)
    target.cells[0].paragraphs[0].paragraph_format.left_indent = Cm(INDENT_CM * min(row.depth, 3))
    values = (*row.cells, *[None] * len(cells))
    for place, (text, pad), value in zip(target.cells[1:], cells, values, strict=False):
        hidden = isinstance(value, Hidden)
        _write(place, text, size, side=SIDE.RIGHT, italic=hidden, pad=words.spaces(pad))


def _line(row: Any, texts: Sequence[str], size: float, *, bold: bool = False) -> None:
    for i, (place, text) in enumerate(zip(row.cells, texts, strict=True)):
        numeric = bool(i) and (bold or bool(NUMBER.match(text)))
        _write(place, text, size, bold=bold, side=SIDE.RIGHT if numeric else SIDE.LEFT)


def _write(
    place: Any,
    text: str,
    size: float,
    *,
    bold: bool = False,
    italic: bool = False,
    side: Any = SIDE.LEFT,
    pad: str = "",
) -> None:
    paragraph = place.paragraphs[0]
    paragraph._p.style = CELL_STYLE  # by its id: by name python-docx would read all styles
    paragraph.alignment = side
    run = paragraph.add_run(clean(text) + pad)
    run.bold, run.italic, run.font.size = bold or None, italic or None, Pt(size)


def _finish(grid: Any, heads: int) -> None:
    """The three rules of an APA table, and rows that neither break nor lose their headings."""
    for row in grid.rows:
        whole_row(row)
    for row in grid.rows[:heads]:
        header_row(row)
    for place in grid.rows[0].cells:
        rule(place, "top", "thick")
    for place in grid.rows[heads - 1].cells:
        rule(place, "bottom", "thin")
    if len(grid.rows) > heads:
        for place in grid.rows[-1].cells:
            rule(place, "bottom", "thick")
