"""A Word table written out as WordprocessingML: one piece of text, parsed once.

python-docx builds a table cell by cell through its object model, which took half of the time of
a report; a grid knows its cells before it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from recovery_stats.report.words import clean

Side = Literal["left", "right", "center"]
Weight = Literal["", "thin", "thick"]
RULE_EIGHTHS = {"thick": 12, "thin": 6}  # of a point
TWIPS = 1440 / 2.54  # a centimetre
MARGIN_TWIPS = 60  # left and right in a cell
CELL_STYLE = "Tabletext"
LINK_INK = "005A8C"


@dataclass(frozen=True, slots=True)
class Place:
    """One cell: its text, what stands invisibly after it, and how it is set."""

    text: str
    side: Side = "left"
    bold: bool = False
    italic: bool = False
    pad: str = ""
    indent_cm: float = 0.0
    span: int = 1
    below: Weight = ""  # a rule under this cell alone
    links: tuple[tuple[str, str], ...] = ()  # in the place of the text: words and their bookmark


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of places; the first `heads` repeat on every page. `whole`: kept on one page."""

    title: str
    widths_cm: Sequence[float]
    rows: Sequence[Sequence[Place]]
    heads: int
    size: float
    whole: bool = True


def add_grid(page: Any, grid: Grid) -> None:
    """Put the table at the end of the page."""
    page.element.body[-1].addprevious(parse_xml(_table(grid)))


def _table(grid: Grid) -> str:
    margins = "".join(
        f'<w:{side} w:w="{MARGIN_TWIPS}" w:type="dxa"/>' for side in ("left", "right")
    )
    margins = f"<w:tblCellMar>{margins}</w:tblCellMar>"
    columns = "".join(f'<w:gridCol w:w="{_twips(w)}"/>' for w in grid.widths_cm)
    look = (
        '<w:tblLook w:val="00A0" w:firstRow="1" w:lastRow="0" w:firstColumn="1" '
        'w:lastColumn="0" w:noHBand="1" w:noVBand="1"/>'
    )
    rows = "".join(_row(grid, i) for i in range(len(grid.rows)))
    return (
        f'<w:tbl {nsdecls("w")}><w:tblPr><w:tblW w:type="auto" w:w="0"/>{margins}{look}'
        f'<w:tblCaption w:val="{escape(clean(grid.title))}"/></w:tblPr>'
        f"<w:tblGrid>{columns}</w:tblGrid>{rows}</w:tbl>"
    )


def _row(grid: Grid, i: int) -> str:
    """A row never breaks between pages; one that heads the columns stands on each."""
    head = '<w:tblHeader w:val="1"/>' if i < grid.heads else ""
    stays = i < grid.heads or (grid.whole and i < len(grid.rows) - 1)
    cells, at = [], 0
    for place in grid.rows[i]:
        width = sum(grid.widths_cm[at : at + place.span])
        cells.append(_cell(place, width, _rules(grid, i, place), grid.size, stays=stays))
        at += place.span
    return f'<w:tr><w:trPr><w:cantSplit w:val="1"/>{head}</w:trPr>{"".join(cells)}</w:tr>'


def _rules(grid: Grid, i: int, place: Place) -> str:
    """The three rules of an APA table: above and below the headings, and at the end."""
    if not grid.heads:
        return ""
    top = _rule("top", "thick") if i == 0 else ""
    last: Weight = "thin" if i == grid.heads - 1 else place.below
    if i == len(grid.rows) - 1 and i >= grid.heads:
        last = "thick"
    both = top + (_rule("bottom", last) if last else "")
    return f"<w:tcBorders>{both}</w:tcBorders>" if both else ""


def _rule(side: str, weight: Weight) -> str:
    return f'<w:{side} w:val="single" w:sz="{RULE_EIGHTHS[weight]}" w:space="0" w:color="1A1A1A"/>'


def _cell(place: Place, width_cm: float, rules: str, size: float, *, stays: bool) -> str:
    span = f'<w:gridSpan w:val="{place.span}"/>' if place.span > 1 else ""
    keep = "<w:keepNext/>" if stays else ""
    indent = f'<w:ind w:left="{_twips(place.indent_cm)}"/>' if place.indent_cm else ""
    weight = f"{'<w:b/>' if place.bold else ''}{'<w:i/>' if place.italic else ''}"
    look = f'<w:rPr>{weight}<w:sz w:val="{round(2 * size)}"/></w:rPr>'
    runs = _links(place, look) if place.links else _run(clean(place.text) + place.pad, look)
    return (
        f'<w:tc><w:tcPr><w:tcW w:type="dxa" w:w="{_twips(width_cm)}"/>{span}{rules}</w:tcPr><w:p>'
        f'<w:pPr><w:pStyle w:val="{CELL_STYLE}"/>{keep}{indent}<w:jc w:val="{place.side}"/></w:pPr>'
        f"{runs}</w:p></w:tc>"
    )


def _run(text: str, look: str) -> str:
    return f'<w:r>{look}<w:t xml:space="preserve">{escape(text, quote=False)}</w:t></w:r>'


def _links(place: Place, look: str) -> str:
    """Words that lead to bookmarks, one after the other."""
    shown = look.replace("<w:sz ", f'<w:color w:val="{LINK_INK}"/><w:sz ', 1)
    shown = shown.replace("</w:rPr>", '<w:u w:val="single"/></w:rPr>')
    made = (
        f'<w:hyperlink w:anchor="{escape(mark)}" w:history="1">{_run(clean(text), shown)}'
        "</w:hyperlink>"
        for text, mark in place.links
    )
    return _run("; ", look).join(made)


def _twips(cm: float) -> int:
    return round(cm * TWIPS)
