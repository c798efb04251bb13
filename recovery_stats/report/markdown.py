"""Document to Markdown: pipe tables, figures as the tables of their numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from recovery_stats.core.cell import Cell, Sections
from recovery_stats.core.check import Check
from recovery_stats.core.document import (
    Block,
    Bullets,
    Checks,
    Document,
    EstimandBox,
    Figure,
    Flow,
    Heading,
    Paragraph,
    Provenance,
    Table,
)
from recovery_stats.report import figure_data, flow_table, words
from recovery_stats.report.numbers import cell, sentence
from recovery_stats.report.words import clean

LEADS = {
    "answer": "Answer.",
    "sure": "How sure?",
    "limits": "What this does not show.",
    "warning": "Warning.",
}


def render(document: Document) -> bytes:
    """The whole document; every label is escaped, so that no data can become markup."""
    numbers = words.numbering(document)
    badge = f"**{document.badge} DATA**" if document.badge else ""
    blocks = [f"# {_escape(document.title)}", badge]
    blocks += [_block(block, numbers.get(i, 0)) for i, block in enumerate(document.blocks)]
    return ("\n\n".join(block for block in blocks if block) + "\n").encode()


def _block(block: Block, number: int) -> str:  # noqa: C901, PLR0911 (one case for each block)
    match block:
        case Heading(text, depth):
            return f"{'#' * depth} {_escape(text)}"
        case Paragraph(parts, role):
            lead = f"**{LEADS[role]}** " if role in LEADS else ""
            text = _escape(sentence(parts))
            return f"{lead}{'*' + text + '*' if role == 'question' else text}"
        case Bullets(items):
            return "\n".join(f"- {_escape(sentence(item))}" for item in items)
        case Table():
            return _table(block, f"Table {number}.")
        case Flow():
            return _flow(block)
        case Checks(checks):
            return "\n".join(_check(check) for check in checks)
        case EstimandBox(estimand):
            return "\n".join(f"- **{k}:** {_escape(v)}" for k, v in words.estimand(estimand))
        case Provenance(pairs):
            return "\n".join(f"- {_escape(k)}: {_code(v)}" for k, v in pairs)
        case _:
            return _figure(block, f"Figure {number}.")


def _table(table: Table, number: str) -> str:
    head = [f"**{number}** {_escape(table.caption)}", ""] if number else []
    lines = [*head, *_grid(table)]
    lines += ["", _notes(table.notes)] if table.notes else []
    return "\n".join(lines)


def _grid(table: Table) -> list[str]:
    titles = [f"{c.group}: {c.label}" if c.group else c.label for c in table.columns]
    printed = words.printed(table)
    lines = [_row([table.stub, *titles]), "|:---|" + "---:|" * len(titles)]
    for row, cells in zip(table.rows, printed, strict=True):
        label = "&nbsp;" * 4 * row.depth + _escape(row.label)
        if not row.cells:
            label = f"**{label}**" if row.label else ""
        values = (*row.cells, *[None] * len(cells))
        shown = [_cell(*pair) for pair in zip(cells, values, strict=False)]
        lines.append("| " + " | ".join([label, *shown]) + " |")
    return lines


def _cell(text: str, value: Cell) -> str:
    """The text of a cell; sections are links to where they begin, as hosts of code name them."""
    if not isinstance(value, Sections):
        return _escape(text)
    return "; ".join(f"[{_escape(name)}](#{_slug(name)})" for name in value.names)


def _slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", clean(heading).casefold()).replace(" ", "-")


def _figure(figure: Figure, number: str) -> str:
    summary = f"**{number}** {_escape(figure.caption)}"
    notes = [_notes(figure.notes)] if figure.notes else []
    opened = "<details><summary>Numbers of the figure</summary>"
    grid = "\n".join(_grid(figure_data.table(figure)))
    alt = _escape(figure_data.alt_text(figure))
    return "\n\n".join([summary, alt, *notes, opened, grid, "</details>"])


def _notes(notes: Sequence[str]) -> str:
    return f"*Note.* {' '.join(map(_escape, notes))}"


def _flow(flow: Flow) -> str:
    notes = ["", _notes(flow.notes)] if flow.notes else []
    if flow.arms:
        return "\n".join((*_grid(flow_table.table(flow)), *notes))
    lines = [
        f"| Step | {flow_table.KEPT} | {flow_table.LOST} |" + (" People |" if flow.people else "")
    ]
    lines.append("|:---|---:|---:|" + ("---:|" if flow.people else ""))
    for i, (label, kept, lost) in enumerate(flow.steps):
        people = [cell(flow.people[i])] if flow.people else []
        lines.append(_row([label, words.with_unit(kept), cell(lost), *people]))
    return "\n".join((*lines, *notes))


def _check(check: Check) -> str:
    about = f" ({_escape(check.about)})" if check.about else ""
    verdict = words.VERDICTS[check.verdict]
    return f"- **{verdict}: {_escape(check.name)}**{about}. {_escape(sentence(check.parts))}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escape, cells)) + " |"


def _code(text: str) -> str:
    return f"`{clean(text).replace('`', chr(39))}`"


def _escape(text: str) -> str:
    """Labels from data are text: no HTML, no emphasis, no links, no new cells or lines."""
    safe = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = re.sub(r"([\\`*_\[\]|~])", r"\\\1", safe)
    return re.sub(r"^(\s*)([#+-]|\d+[.)])(?=\s)", r"\1\\\2", safe)
