"""Document to one self-contained HTML page: no script, nothing fetched, everything escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from recovery_stats.core.cell import Cell, Hidden, Sections
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
    Row,
    Table,
)
from recovery_stats.report import figure_data, figures, flow_table, html_flow, style, words
from recovery_stats.report.numbers import sentence
from recovery_stats.report.page import badge, page
from recovery_stats.report.page import text as _text
from recovery_stats.report.reference import DOI
from recovery_stats.report.words import BOXES, NUMBER

LONG_ROWS = 18  # from which a table may break between two pages
WIDE_COLUMNS = 6  # beyond which a table is set smaller on paper
PROSE = ' class="prose"'

Placed = tuple[int, Block, int]  # place in the document, block, number of its table or figure


@dataclass(frozen=True, slots=True)
class _Medium:
    """What a page is for: figures `folded` into lines of checks; paper, or screens of two widths.

    Paper has one drawing of a figure, and its numbers elsewhere.
    """

    folded: Mapping[str, Placed]
    paper: bool


def render(document: Document) -> bytes:
    """The page as UTF-8 bytes; the same document gives the same bytes."""
    return framed(document, body(document)).encode()


def body(document: Document, *, paper: bool = False) -> str:
    """All that stands below the title; on paper without what is for screens alone."""
    numbers = words.numbering(document)
    placed = [(i, block, numbers.get(i, 0)) for i, block in enumerate(document.blocks)]
    first = next((i for i, b in enumerate(document.blocks) if isinstance(b, Heading)), len(placed))
    folded = _folded(placed[first:])
    rest = [item for item in placed[first:] if item not in folded.values()]
    medium = _Medium(folded, paper)
    parts = [_lead(placed[:first], medium), _contents(document), _run(rest, medium)]
    return "\n".join(part for part in parts if part)


def framed(document: Document, body: str, style: str = "") -> str:
    """The page around a body; `style` comes after the page's own."""
    called = f"({document.badge.lower()} data)" if document.badge else ""
    badges = badge(document.badge)
    return page(document.title, badges, body, called=called, language=document.language, also=style)


def _folded(placed: Sequence[Placed]) -> dict[str, Placed]:
    """The figures that stand in the line of a check, by name."""
    checks = [
        check for _, block, _ in placed if isinstance(block, Checks) for check in block.checks
    ]
    names = {name for check in checks for name in check.figures}
    drawn = ((block.name, item) for item in placed if isinstance(block := item[1], Figure))
    return {name: item for name, item in drawn if name in names}


def _lead(placed: Sequence[Placed], medium: _Medium) -> str:
    """The first screen: question and answer across, then figure beside how sure and what not."""
    if not placed:
        return ""
    boxes = [item for item in placed if _boxed(item[1])]
    others = [item for item in placed if not _boxed(item[1])]
    drawn = next((k for k, (_, b, _) in enumerate(others) if hasattr(b, "caption")), len(others))
    aside = "\n".join(
        _run([item for item in boxes if _boxed(item[1]) == role], medium)
        for role in dict.fromkeys(_boxed(block) for _, block, _ in boxes)
    )
    side = f'\n<div class="side">\n{aside}\n</div>' if aside else ""
    figure = _run(others[drawn:], medium)
    columns = f'<div class="columns">\n<div>\n{figure}\n</div>{side}\n</div>'
    head = _run(others[:drawn], medium)
    return f'<section class="lead" aria-label="Summary">\n{head}\n{columns}\n</section>'


def _run(placed: Sequence[Placed], medium: _Medium) -> str:
    """The blocks in order; neighbours that share a boxed role share one box."""
    parts: list[str] = []
    for role, blocks in groupby(placed, key=lambda item: _boxed(item[1])):
        drawn = (_block(*item[1:], medium) for item in blocks)
        body = "\n".join(filter(None, drawn))
        if role:
            body = f'<div class="box {role}" role="note">\n<h2>{BOXES[role]}</h2>\n{body}\n</div>'
        parts.append(body)
    return "\n".join(parts)


def _boxed(block: Block) -> str:
    role = block.role if isinstance(block, Paragraph | Bullets) else ""
    return role if role in BOXES else ""


def _contents(document: Document) -> str:
    """Links to the sections, for pages that have several."""
    headings = [b.text for b in document.blocks if isinstance(b, Heading) and b.depth < 3]
    if len(headings) < 3:
        return ""
    links = "".join(f"<li>{_link(text)}</li>" for text in headings)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _block(  # noqa: C901, PLR0911 (one case a block)
    block: Block, number: int, medium: _Medium
) -> str:
    match block:
        case Heading(text, depth):
            level = min(max(depth, 2), 6)
            return f'<h{level} id="{words.anchor(text)}">{_text(text)}</h{level}>'
        case Paragraph(parts, role):
            return f'<p class="{role}">{_prose(parts)}</p>'
        case Bullets(items, role):
            shown = _linked if role == "references" else _prose
            lines = "".join(f"<li>{shown(item)}</li>\n" for item in items)
            return f'<ul class="{role}">\n{lines}</ul>'
        case Table():
            return table(block, f"Table {number}")
        case Flow():
            return _flow(block, medium)
        case Checks(checks):
            return _checks(checks, medium)
        case EstimandBox(estimand):
            return _pairs(words.estimand(estimand), "estimand")
        case Provenance(pairs):
            return _pairs(pairs, "provenance")
        case _:
            return _figure(block, number, medium)


def table(value: Table, number: str = "") -> str:
    """One table in APA style: number and title above, horizontal rules only, notes below."""
    label = f'<span class="number">{_text(number)}</span> ' if number else ""
    printed = words.printed(value)
    prose = words.prose_columns(value)
    head = (
        f"<caption>{label}{_text(value.caption)}</caption>\n"
        f"<thead>\n{_head(value, prose)}\n</thead>"
    )
    lines = zip(value.rows, words.aligned(printed), strict=True)
    body = "\n".join(_row(row, cells, prose) for row, cells in lines)
    grid = f"<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>"
    name = _text(number or value.caption)
    return (
        f'<div class="{_shape(value)}">\n<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{name}">\n{grid}\n</div>\n{_notes(value.notes)}</div>'
    )


def _shape(value: Table) -> str:
    """What paper must know of a table: whether it may break, whether its type is small."""
    long = " long" if len(value.rows) > LONG_ROWS else ""
    return f"table{long}{' wide' if len(value.columns) > WIDE_COLUMNS else ''}"


def _head(value: Table, prose: Sequence[bool]) -> str:
    titles = "".join(
        f'<th scope="col"{PROSE if words_only else ""}>{_text(c.label)}</th>'
        for c, words_only in zip(value.columns, prose, strict=True)
    )
    stub = f'<th scope="col" class="stub">{_text(value.stub)}</th>' if value.stub else "<td></td>"
    row = f"<tr>{stub}{titles}</tr>"
    if not any(c.group for c in value.columns):
        return row
    return f"<tr><td></td>{''.join(_spans([c.group for c in value.columns]))}</tr>\n{row}"


def _spans(groups: Sequence[str]) -> list[str]:
    """Headings over several columns, one for each run of columns of the same group."""
    runs: list[tuple[str, int]] = []
    for group in groups:
        if runs and runs[-1][0] == group:
            runs[-1] = (group, runs[-1][1] + 1)
        else:
            runs.append((group, 1))
    return [
        f'<th scope="colgroup" colspan="{n}" class="span">{_text(group)}</th>'
        if group
        else f'<td colspan="{n}"></td>'
        for group, n in runs
    ]


def _row(row: Row, cells: Sequence[tuple[str, str]], prose: Sequence[bool]) -> str:
    width = len(prose)
    label = f'<th scope="row" class="d{min(row.depth, 3)}">{_text(row.label)}</th>'
    label = label if row.label else "<td></td>"
    if not row.cells:
        return f'<tr class="head">{label}<td colspan="{width}"></td></tr>'
    values = (*row.cells, *[None] * width)
    data = (_data(*each) for each in zip(cells, values, prose, strict=False))
    return f"<tr>{label}{''.join(data)}</tr>"


def _data(printed: tuple[str, str], value: Cell, prose: bool) -> str:
    text, pad = printed
    if isinstance(value, Sections):
        kind = PROSE if prose else ' class="words"'
        return f"<td{kind}>{'; '.join(map(_link, value.names))}</td>"
    if prose:
        return f"<td{PROSE}>{_text(text)}</td>"
    if isinstance(value, Hidden):
        return f'<td class="hidden">{_text(text)}</td>'
    if isinstance(value, str) and not NUMBER.match(text):
        return f'<td class="words">{_text(text)}</td>'
    space = f'<span class="pad" aria-hidden="true">{pad}</span>' if pad else ""
    return f"<td>{_text(text)}{space}</td>"


def _link(heading: str) -> str:
    """A link to the section called `heading`."""
    return f'<a href="#{words.anchor(heading)}">{_text(heading)}</a>'


def _figure(figure: Figure, number: int, medium: _Medium) -> str:
    """The drawing; on screens with a second one for telephones, and its numbers folded."""
    drawing = figures.svg(figure, f"f{number}")
    numbers = ""
    if not medium.paper:
        small = figures.svg(figure, f"n{number}", style.NARROW_INCHES)
        drawing = f'<div class="broad">\n{drawing}</div>\n<div class="narrow">\n{small}</div>'
        numbers = (
            f"<details><summary>Numbers of figure {number}</summary>\n"
            f"{table(figure_data.table(figure))}\n</details>\n"
        )
    drawing = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Figure {number}">\n'
        f"{drawing}\n</div>"
    )
    caption = f'<span class="number">Figure {number}</span> {_text(figure.caption)}'
    return (
        f'<figure id="figure-{number}">\n<figcaption>{caption}</figcaption>\n{drawing}\n'
        f"{_notes(figure.notes)}{numbers}</figure>"
    )


def _notes(notes: Sequence[str]) -> str:
    """All notes in one paragraph, as APA sets them."""
    text = " ".join(_text(note) for note in notes)
    return f'<p class="note"><i>Note.</i> {text}</p>\n' if text else ""


def _flow(flow: Flow, medium: _Medium) -> str:
    """The diagram; on screens that of a trial is followed by its numbers, those of all first."""
    drawing = html_flow.drawn(flow)
    if medium.paper or not flow.arms:
        return "\n".join(filter(None, (drawing, _notes(flow.notes).rstrip())))
    numbers = table(flow_table.table(flow))
    return f"{drawing}\n<details><summary>Numbers of the flow</summary>\n{numbers}\n</details>"


def _checks(checks: Sequence[Check], medium: _Medium) -> str:
    """One line each; a figure is in the first line that names it, and the others link to it."""
    left = dict(medium.folded)
    lines = []
    for check in checks:
        own = [left.pop(name) for name in check.figures if name in left]
        above = [item for n in check.figures if (item := medium.folded.get(n)) and item not in own]
        lines.append(_check(check, own, above, medium))
    return '<ul class="checks">\n' + "\n".join(lines) + "\n</ul>"


def _check(check: Check, shown: Sequence[Placed], above: Sequence[Placed], medium: _Medium) -> str:
    about = f" ({_text(check.about)})" if check.about else ""
    verdict = f'<strong class="verdict">{words.VERDICTS[check.verdict]}</strong>'
    text = f"<b>{_text(check.name)}</b>{about}. {_prose(check.parts)}"
    text += "".join(f' <a href="#figure-{number}">Figure {number}</a>' for *_, number in above)
    evidence = "".join(
        f'\n<details class="evidence"><summary>Figure {number}</summary>\n'
        f"{_figure(block, number, medium)}\n</details>"
        for _, block, number in shown
        if isinstance(block, Figure)
    )
    return f'<li class="{check.verdict}">{verdict} <span>{text}</span>{evidence}</li>'


def _pairs(pairs: Sequence[tuple[str, str]], name: str) -> str:
    lines = "\n".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in pairs)
    return f'<dl class="{name}">\n{lines}\n</dl>'


def _linked(parts: Sequence[Cell]) -> str:
    """A reference, with its DOI to follow."""
    line, mark, doi = sentence(parts).partition(DOI)
    link = f'<a href="{_text(mark + doi)}">{_text(mark + doi)}</a>' if doi else ""
    return _text(line) + (" " + link if link else "")


def _prose(parts: Sequence[Cell]) -> str:
    return _text(sentence(parts))
