"""Document to a zip of CSV files: tables, the numbers of figures, the participant flow."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from recovery_stats.core.document import Document, Figure, Flow, Table
from recovery_stats.report import figure_data, flow_table, words
from recovery_stats.report.archive import member_name, zipped
from recovery_stats.report.words import NUMBER, clean

RUNS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # what a spreadsheet may execute


def render(document: Document) -> bytes:
    """The zip; the same document gives the same bytes."""
    return zipped((name, csv_of(table)) for name, table in _tables(document))


def csv_of(table: Table) -> bytes:
    """One table as printed: UTF-8 with a mark that spreadsheets know, RFC 4180, no formula."""
    text = StringIO()
    writer = csv.writer(text)
    titles = [f"{c.group}: {c.label}" if c.group else c.label for c in table.columns]
    writer.writerow([safe(title) for title in (table.stub, *titles)])
    for row, cells in zip(table.rows, words.printed(table), strict=True):
        writer.writerow([safe(row.label), *map(safe, cells)])
    return text.getvalue().encode("utf-8-sig")


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula; a negative number stays a number."""
    line = clean(text)
    if NUMBER.fullmatch(line):
        return line.replace("−", "-")
    return f"'{line}" if line.startswith(RUNS) else line


def _tables(document: Document) -> Iterator[tuple[str, Table]]:
    """The name of each file and its table, in the order of the report."""
    numbers = words.numbering(document)
    for i, block in enumerate(document.blocks):
        if isinstance(block, Flow):
            yield "flow.csv", flow_table.table(block)
        elif isinstance(block, Table):
            yield member_name("table", numbers[i], block.name, ".csv"), block
        elif isinstance(block, Figure):
            yield member_name("figure", numbers[i], block.name, ".csv"), figure_data.table(block)
