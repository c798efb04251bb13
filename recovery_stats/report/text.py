"""Document and tables as plain text for a terminal: no colour, no markup."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from textwrap import fill, wrap

from recovery_stats.core.cell import Sections
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
from recovery_stats.report import figure_data, flow_table, words
from recovery_stats.report.numbers import cell, sentence
from recovery_stats.report.words import clean

WIDTH = 96
LABEL_WIDTH = 44
GAP = "  "
NARROWEST = 10  # of a column of words


def render(document: Document) -> bytes:
    """The whole document as text."""
    numbers = words.numbering(document)
    head = f"{clean(document.title)}\n{'=' * len(clean(document.title))}"
    head += f"\n{document.badge} DATA" if document.badge else ""
    blocks = [_block(block, numbers.get(i, 0)) for i, block in enumerate(document.blocks)]
    return ("\n\n".join([head, *(block for block in blocks if block)]) + "\n").encode()


def table(value: Table, number: str = "", width: int = WIDTH) -> str:
    """A table with its caption above and notes below, no wider than `width` where it can be.

    Words are wrapped within their column and columns without any word left out; numbers stay
    whole, so that a table of many of them is set in parts below each other.
    """
    grid = _Grid.of(value)
    caption = fill(f"{number} {clean(value.caption)}".strip(), width)
    parts = [_part(grid, columns, width) for columns in _shared_out(grid, width)]
    notes = [fill(f"Note. {clean(note)}", width) for note in value.notes]
    return "\n".join(line for line in [caption, "\n\n".join(parts), *notes] if line)


@dataclass(frozen=True, slots=True)
class _Grid:
    """A table as text: the labels of the rows, then the columns, each with its heading."""

    head: str
    labels: list[str]
    titles: list[str]
    cells: list[list[str]]  # by column
    words: list[bool]  # whether a column holds words rather than numbers
    stub: int  # the columns of the terminal that the labels take

    @classmethod
    def of(cls, value: Table) -> _Grid:
        titles = [clean(f"{c.group}: {c.label}" if c.group else c.label) for c in value.columns]
        body = [[clean(text) for text in row] for row in words.printed(value)]
        head = clean(value.stub)
        labels = ["  " * row.depth + clean(row.label) for row in value.rows]
        cells = [[row[j] for row in body] for j in range(len(titles))]
        wordy = [_is_words(value, j) for j in range(len(titles))]
        kept = [j for j, w in enumerate(wordy) if not w or any(cells[j])]
        return cls(
            head,
            labels,
            [titles[j] for j in kept],
            [cells[j] for j in kept],
            [wordy[j] for j in kept],
            min(max(map(_width, [head, *labels])), LABEL_WIDTH),
        )

    def wide(self, j: int) -> int:
        """The columns of the terminal that column `j` takes when nothing is wrapped."""
        return max(map(_width, [self.titles[j], *self.cells[j]]))

    def narrow(self, j: int) -> int:
        """The least it needs: numbers whole, words in a few letters a line."""
        if not self.words[j]:
            whole = max(map(_width, self.cells[j]), default=0)
            return max(whole, max(map(_width, self.titles[j].split()), default=0))
        return min(self.wide(j), NARROWEST)


def _is_words(value: Table, j: int) -> bool:
    cells = [row.cells[j] for row in value.rows if j < len(row.cells)]
    return all(c is None or isinstance(c, str | Sections) for c in cells)


def _shared_out(grid: _Grid, width: int) -> list[list[int]]:
    """The columns in as many parts as the width calls for, at their narrowest."""
    parts: list[list[int]] = [[]]
    used = grid.stub
    for j in range(len(grid.titles)):
        if parts[-1] and used + len(GAP) + grid.narrow(j) > width:
            parts.append([])
            used = grid.stub
        parts[-1].append(j)
        used += len(GAP) + grid.narrow(j)
    return parts


def _part(grid: _Grid, columns: list[int], width: int) -> str:
    """Some of the columns beside the labels, the widest narrowed until they fit."""
    widths = {j: grid.wide(j) for j in columns}
    room = width - grid.stub - len(GAP) * len(columns)
    while (excess := sum(widths.values()) - room) > 0:
        loose = [j for j in columns if widths[j] > grid.narrow(j)]
        if not loose:
            break
        widest = max(loose, key=lambda j: widths[j])
        second = max([widths[j] for j in loose if j != widest], default=0)
        target = max(widths[widest] - excess, second - 1, grid.narrow(widest))
        widths[widest] = min(target, widths[widest] - 1)
    rule = "-" * min(grid.stub + sum(w + len(GAP) for w in widths.values()), width)
    lines = [rule, *_lines(grid, columns, widths, None), rule]
    for i in range(len(grid.labels)):
        lines += _lines(grid, columns, widths, i)
    return "\n".join(line.rstrip() for line in [*lines, rule])


def _lines(grid: _Grid, columns: list[int], widths: dict[int, int], row: int | None) -> list[str]:
    """One row (None: the headings) on as many lines as its longest cell needs."""
    label = grid.head if row is None else grid.labels[row]
    indent = label[: len(label) - len(label.lstrip())]
    stacks = [wrap(label, grid.stub, subsequent_indent=f"{indent}  ") or [""]]
    for j in columns:
        text = grid.titles[j] if row is None else grid.cells[j][row]
        stacks.append(wrap(text, widths[j]) if _width(text) > widths[j] else [text])
    height = max(map(len, stacks))
    filled = [[*stack, *[""] * (height - len(stack))] for stack in stacks]
    sides = [(grid.stub, True), *((widths[j], grid.words[j]) for j in columns)]
    return [
        GAP.join(
            _set(stack[i], w, left=left) for stack, (w, left) in zip(filled, sides, strict=True)
        )
        for i in range(height)
    ]


def _set(text: str, width: int, *, left: bool) -> str:
    """Words to the left of their column, numbers to the right."""
    room = " " * (width - _width(text))
    return text + room if left else room + text


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
    if flow.arms:
        return [table(flow_table.table(flow))]
    people = [f" ({cell(p)} people)" if p is not None else "" for p in flow.people]
    people += [""] * (len(flow.steps) - len(people))
    return [
        _item(
            "*", f"{label}: {words.with_unit(kept)}{who}" + (f", lost {cell(lost)}" if lost else "")
        )
        for (label, kept, lost), who in zip(flow.steps, people, strict=True)
    ]
