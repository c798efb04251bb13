"""Document and tables as plain text for a terminal: no colour, no markup."""

from __future__ import annotations

import unicodedata
from textwrap import fill, wrap

from recovery_stats.core.document import (
    Block,
    Bullets,
    Checks,
    Document,
    EstimandBox,
    Flow,
    Heading,
    Paragraph,
    Provenance,
    Table,
)
from recovery_stats.report import figure_data, words
from recovery_stats.report.numbers import cell, sentence
from recovery_stats.report.words import clean

WIDTH = 96
LABEL_WIDTH = 44
GAP = "  "


def render(document: Document) -> bytes:
    """The whole document as text."""
    numbers = words.numbering(document)
    head = f"{clean(document.title)}\n{'=' * len(clean(document.title))}\n{document.badge} DATA"
    blocks = [_block(block, numbers.get(i, 0)) for i, block in enumerate(document.blocks)]
    return ("\n\n".join([head, *(block for block in blocks if block)]) + "\n").encode()


def table(value: Table, number: str = "", width: int = WIDTH) -> str:
    """A table with its caption above and notes below; wide labels are wrapped."""
    titles = [f"{c.group}: {c.label}" if c.group else c.label for c in value.columns]
    body = [[clean(text) for text in row] for row in words.printed(value)]
    labels = ["  " * row.depth + clean(row.label) for row in value.rows]
    head = clean(value.stub)
    stub = min(max(map(_width, [head, *labels]), default=0), LABEL_WIDTH)
    widths = [
        max([_width(clean(title)), *(_width(row[j]) for row in body)])
        for j, title in enumerate(titles)
    ]
    rule = "-" * min(stub + sum(w + len(GAP) for w in widths), width)
    caption = fill(f"{number} {clean(value.caption)}".strip(), width)
    lines = [caption, rule, _line(head, list(map(clean, titles)), stub, widths), rule]
    for label, row in zip(labels, body, strict=True):
        lines += _line(label, row, stub, widths).split("\n")
    notes = [fill(f"Note. {clean(note)}", width) for note in value.notes]
    return "\n".join(line.rstrip() for line in [*lines, rule, *notes] if line)


def _line(label: str, cells: list[str], stub: int, widths: list[int]) -> str:
    """One row; a label too long for its column goes on over following lines."""
    indent = label[: len(label) - len(label.lstrip())]
    first, *rest = wrap(label, stub, subsequent_indent=f"{indent}  ") or [""]
    padded = [" " * (w - _width(c)) + c for c, w in zip(cells, widths, strict=True)]
    lines = [GAP.join([first + " " * (stub - _width(first)), *padded]), *rest]
    return "\n".join(lines)


def _width(text: str) -> int:
    """Columns that a terminal gives to `text`: wide characters two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _block(block: Block, number: int) -> str:  # noqa: PLR0911, C901 (one case for each block)
    match block:
        case Heading(text, depth):
            return f"{clean(text)}\n{('-' if depth > 2 else '=') * _width(clean(text))}"
        case Paragraph(parts):
            return fill(clean(sentence(parts)), WIDTH)
        case Bullets(items):
            return "\n".join(_item("*", sentence(item)) for item in items)
        case Table():
            return table(block, f"Table {number}.")
        case Flow():
            return "\n".join(_flow(block))
        case Checks(checks):
            lines = ((words.VERDICTS[c.verdict], c.name, sentence(c.parts)) for c in checks)
            return "\n".join(_item(f"{v}:", f"{name}. {text}") for v, name, text in lines)
        case EstimandBox(estimand):
            return "\n".join(_item("*", f"{k}: {v}") for k, v in words.estimand(estimand))
        case Provenance(pairs):
            return "\n".join(_item("*", f"{k}: {v}") for k, v in pairs)
        case _:
            alt = fill(clean(figure_data.alt_text(block)), WIDTH)
            return f"{alt}\n\n{table(figure_data.table(block), f'Figure {number}.')}"


def _item(mark: str, text: str) -> str:
    return fill(f"{mark} {clean(text)}", WIDTH, subsequent_indent="  ")


def _flow(flow: Flow) -> list[str]:
    people = [f" ({cell(p)} people)" if p is not None else "" for p in flow.people]
    people += [""] * (len(flow.steps) - len(people))
    return [
        _item(
            "*", f"{label}: {words.with_unit(kept)}{who}" + (f", lost {cell(lost)}" if lost else "")
        )
        for (label, kept, lost), who in zip(flow.steps, people, strict=True)
    ]
