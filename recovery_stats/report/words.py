"""Words that every renderer shares: numbering, verdicts, headings of the estimand, clean text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from recovery_stats.core.cell import Cell, Count, Sections
from recovery_stats.core.check import Verdict
from recovery_stats.core.document import Document, Paragraph, ParagraphRole, Table
from recovery_stats.core.estimate import Estimand
from recovery_stats.report.numbers import alike, cell, column, interval_columns, sentence

VERDICTS: dict[Verdict, str] = {"ok": "Holds", "caution": "Caution", "fail": "Fails"}

BADGES = {
    "SYNTHETIC": "These people were simulated. Nothing here is evidence about real people.",
    "REAL": "Real people. Small counts were withheld by the privacy rule of the study.",
}
BOXES = {"sure": "How sure are we?", "limits": "What this does not show", "warning": "Warning"}
SUMMARY = "Summary"  # the first screen, which has no heading of its own
FIGURE_SPACE, POINT_SPACE = "\u2007", "\u2008"  # as wide as a digit, as wide as a full stop
WORD = 6  # characters up to which words may stand in for numbers: none, not, hidden
NUMBER = re.compile(r"−?[\d,]+(?:\.(\d+))?")

_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def clean(text: str) -> str:
    """Text without control characters, lone surrogates and direction overrides; one line.

    Joiners stay: emoji and several scripts are written with them.
    """
    line = " ".join(text.split())
    return "".join(c for c in line if _is_text(c))


def _is_text(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Cn") and (
        character not in _DIRECTION
    )


def anchor(heading: str) -> str:
    """What links to a section: s-missing-data. The first screen, without heading: report."""
    slug = re.sub(r"[^\w]+", "-", clean(heading).casefold()).strip("-")
    return "report" if heading == SUMMARY else f"s-{slug}"


def numbering(document: Document) -> dict[int, int]:
    """The number of each table and each figure, by its place among the blocks."""
    numbers: dict[int, int] = {}
    tables = figures = 0
    for i, block in enumerate(document.blocks):
        if isinstance(block, Table):
            tables += 1
            numbers[i] = tables
        elif hasattr(block, "caption"):
            figures += 1
            numbers[i] = figures
    return numbers


def printed(table: Table) -> list[list[str]]:
    """The cells of a table as text, row by row, decimals shared within each column.

    Means with their deviation, and shares, are read across: they share decimals within each row.
    """
    width = len(table.columns)
    filled = [(*row.cells, *[None] * (width - len(row.cells)))[:width] for row in table.rows]
    cells = [[row[j] for row in filled] for j in range(width)]
    columns = [column(values) for values in cells]
    if together := _interval(table):
        shared = interval_columns([cells[j] for j in together])
        for j, texts in zip(together, shared, strict=True):
            columns[j] = texts
    across = [alike(row) for row in filled]
    return [[across[i].get(j, columns[j][i]) for j in range(width)] for i in range(len(filled))]


def aligned(printed: list[list[str]]) -> list[list[tuple[str, str]]]:
    """Each cell with what must stand invisibly after it to bring the decimal points in line."""
    columns = [_padded(column) for column in zip(*printed, strict=True)]
    return [[column[i] for column in columns] for i in range(len(printed))]


def spaces(pad: str) -> str:
    """What `aligned` put after a cell, as spaces of the same width."""
    return pad.replace("0", FIGURE_SPACE).replace(".", POINT_SPACE)


def _padded(column: Sequence[str]) -> list[tuple[str, str]]:
    found = [NUMBER.fullmatch(text) for text in column]
    decimals = [len(m[1] or "") if m else 0 for m in found]
    most = max(decimals, default=0)
    return [
        (text, ("." if not d else "") + "0" * (most - d) if m and d < most else "")
        for text, m, d in zip(column, found, decimals, strict=True)
    ]


def prose_columns(table: Table) -> list[bool]:
    """Which columns hold words alone, and so are read from the left as text is."""
    columns = [
        [row.cells[j] for row in table.rows if j < len(row.cells)]
        for j in range(len(table.columns))
    ]
    return [
        all(value is None or isinstance(value, str | Sections) for value in column)
        and max((len(cell(value)) for value in column), default=0) > WORD
        for column in columns
    ]


def _interval(table: Table) -> list[int]:
    """The places of the columns that hold a value, its lower and its upper limit."""
    keys = [c.key for c in table.columns]
    value = next((k for k in ("value", "y") if k in keys), "")
    wanted = (value, "low", "high")
    return [keys.index(k) for k in wanted] if all(k in keys for k in wanted) else []


def with_unit(value: Cell) -> str:
    """A count with what was counted: 1,480 rows."""
    return f"{cell(value)} {value.unit}" if isinstance(value, Count) else cell(value)


def estimand(value: Estimand) -> list[tuple[str, str]]:
    """The five attributes of ICH E9(R1) with their names."""
    pairs = [
        ("Population", value.population),
        ("Treatment or exposure", value.treatment),
        ("Endpoint", value.endpoint),
        ("Intercurrent events", value.intercurrent),
        ("Summary measure", value.summary),
    ]
    return [(name, text) for name, text in pairs if text]


def said(document: Document, role: ParagraphRole) -> str:
    """The first paragraph of `role`, for those who list reports; empty where there is none."""
    for block in document.blocks:
        if isinstance(block, Paragraph) and block.role == role:
            return clean(sentence(block.parts))
    return ""
