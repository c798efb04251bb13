"""The tables of a Document and its participant flow, to `\\input` into a paper: booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from recovery_stats.core.cell import Sections
from recovery_stats.core.document import Document, Flow, Row, Table
from recovery_stats.report import flow_table, words
from recovery_stats.report.words import clean

HEAD = """\
% Tables of: {title}
% {badge}In the preamble: \\usepackage{{booktabs,threeparttable}} and UTF-8.
"""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "[": "{[}", "]": "{]}", "`": r"\textasciigrave{}",
    "−": r"$-$", "×": r"$\times$", "÷": r"$\div$", "≥": r"$\geq$", "≤": r"$\leq$",
    "∞": r"$\infty$", "≈": r"$\approx$", "→": r"$\rightarrow$", "χ": r"$\chi$", "β": r"$\beta$",
    "–": "--", "—": "---", "…": r"\dots{}",
}  # fmt: skip


def render(document: Document) -> bytes:
    """Every table and the flow, in order; the text and the figures are in the other formats."""
    badge = f"{escape(document.badge)} DATA. " if document.badge else ""
    head = HEAD.format(title=escape(document.title), badge=badge)
    numbers = words.numbering(document)
    tables = [
        table_of(flow_table.table(block), f"{document.analysis}-flow")
        if isinstance(block, Flow)
        else table_of(block, f"{document.analysis}-{numbers[i]}")
        for i, block in enumerate(document.blocks)
        if isinstance(block, Flow | Table)
    ]
    return "\n".join([head, *tables]).encode()


def table_of(value: Table, label: str) -> str:
    """One floating table: caption above, three rules, notes below."""
    sides = "l" + "".join("l" if _is_words(value, j) else "r" for j in range(len(value.columns)))
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        r"\begin{threeparttable}",
        rf"\caption{{{escape(value.caption)}}}\label{{tab:{re.sub(r'[^a-z0-9-]', '-', label)}}}",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        *_head(value),
        r"\midrule",
        *_body(value),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(value.notes),
        r"\end{threeparttable}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that TeX sets as it stands: no command, no comment, no mathematics of its own."""
    return "".join(SPECIAL.get(character, character) for character in clean(text))


def _head(value: Table) -> list[str]:
    titles = _line([value.stub, *(c.label for c in value.columns)])
    if not any(c.group for c in value.columns):
        return [titles]
    cells, rules, start = [""], [], 2
    for name, run in groupby(c.group for c in value.columns):
        width = len(list(run))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [" & ".join(cells) + r" \\", *rules, titles]


def _body(value: Table) -> list[str]:
    aligned = words.aligned(words.printed(value))
    return [_row(row, cells) for row, cells in zip(value.rows, aligned, strict=True)]


def _row(row: Row, cells: Sequence[tuple[str, str]]) -> str:
    indent = rf"\hspace*{{{row.depth}em}}" if row.depth else ""
    label = escape(row.label) if row.cells else rf"\textit{{{escape(row.label)}}}"
    padded = [escape(text) + (rf"\phantom{{{pad}}}" if pad else "") for text, pad in cells]
    return " & ".join([indent + label, *padded]) + r" \\"


def _line(texts: Sequence[str]) -> str:
    return " & ".join(map(escape, texts)) + r" \\"


def _notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    text = " ".join(map(escape, notes))
    return [r"\begin{tablenotes}\footnotesize", rf"\item \textit{{Note.}} {text}",
            r"\end{tablenotes}"]  # fmt: skip


def _is_words(value: Table, j: int) -> bool:
    cells = [row.cells[j] for row in value.rows if j < len(row.cells)]
    texts = [c for c in cells if c is not None]
    return bool(texts) and all(isinstance(c, str | Sections) for c in texts)
