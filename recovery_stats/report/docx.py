"""Document to a Word file: headings, captions and tables that Word knows as such.

Figures are pictures with an alternative text, each followed by the table of its numbers in an
appendix, so that the text reads as a paper does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import docx
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor

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
from recovery_stats.report import figure_data, figures, flow_box, flow_table, words
from recovery_stats.report.docx_table import add_flow, add_pairs, add_table, caption, notes
from recovery_stats.report.docx_xml import (
    START,
    bookmarked,
    describe_picture,
    fixed,
    page_number,
    paragraph,
)
from recovery_stats.report.numbers import sentence
from recovery_stats.report.words import BADGES, BOXES, clean

INK = RGBColor(0x1A, 0x1A, 0x1A)
TEXT_FONT, HEAD_FONT = "Georgia", "Arial"
PICTURE_CM = 16.4
HEADINGS = {"Title": 20, "Heading 1": 15, "Heading 2": 12.5, "Heading 3": 11, "Heading 4": 11}
NO_BREAK = "\u00a0"
P_VALUE = re.compile(r"\bp [=<>] \.\d+")


def render(document: Document) -> bytes:
    """The .docx; the same document gives the same bytes."""
    marks = _marks(document)
    page = _page(document, marks[words.SUMMARY])
    numbers = words.numbering(document)
    role = ""
    for i, block in enumerate(document.blocks):
        now = block.role if isinstance(block, Paragraph | Bullets) else ""
        if now in BOXES and now != role:
            paragraph(page, "Boxheading", BOXES[now])
        role = now
        _add(page, block, numbers.get(i, 0), marks)
    _appendix(page, document, numbers)
    return fixed(page)


def _marks(document: Document) -> dict[str, str]:
    """The bookmark of each section by its heading, the first screen's among them.

    Word takes letters, digits and underscores, forty at most.
    """
    headings = [b.text for b in document.blocks if isinstance(b, Heading)]
    names = dict.fromkeys((words.SUMMARY, *headings))
    slugs = (re.sub(r"\W+", "_", clean(name).casefold()) for name in names)
    return {
        name: f"s{i}_{slug}"[:40] for i, (name, slug) in enumerate(zip(names, slugs, strict=True))
    }


def _page(document: Document, mark: str) -> Any:
    """An empty file with our styles, the title and what the data are."""
    page = docx.Document()
    _set_styles(page)
    _set_properties(page, document)
    section = page.sections[0]
    section.page_width, section.page_height = Cm(21.0), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.2)
    section.top_margin = section.bottom_margin = Cm(2.0)
    page_number(section, clean(document.title))
    bookmarked(paragraph(page, "Title", clean(document.title)), mark, 0)
    if document.badge:
        line = paragraph(page, "Tablenote")
        line.add_run(f"{clean(document.badge)} DATA ").bold = True
        line.add_run(BADGES.get(document.badge, ""))
    return page


def _set_properties(page: Any, document: Document) -> None:
    core = page.core_properties
    core.title, core.author, core.comments = clean(document.title), "recovery_stats", ""
    core.last_modified_by, core.revision, core.language = "recovery_stats", 1, document.language
    core.created = core.modified = START


def _set_styles(page: Any) -> None:
    _font(page.styles["Normal"], TEXT_FONT, 10.5)
    page.styles["Normal"].paragraph_format.space_after = Pt(6)
    for name, size in HEADINGS.items():
        _font(page.styles[name], HEAD_FONT, size)
    _font(page.styles["Caption"], HEAD_FONT, 9.5)
    page.styles["Caption"].font.bold = False
    page.styles["Caption"].paragraph_format.space_before = Pt(8)
    for name, size, after in (
        ("Table text", 9, 0),
        ("Table note", 8.5, 10),
        ("Box heading", 10.5, 2),
    ):
        style = page.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = page.styles["Normal"]
        _font(style, HEAD_FONT, size)
        style.paragraph_format.space_after = Pt(after)
    page.styles["Table text"].paragraph_format.space_before = Pt(1.5)
    page.styles["Box heading"].font.bold = True
    page.styles["Box heading"].paragraph_format.keep_with_next = True


def _font(style: Any, name: str, size: float) -> None:
    """One font for every script; the theme's own would win otherwise."""
    style.font.name, style.font.size, style.font.color.rgb = name, Pt(size), INK
    fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
    for attribute in list(fonts.attrib):
        if "Theme" in attribute:
            del fonts.attrib[attribute]
    for script in ("ascii", "hAnsi", "cs", "eastAsia"):
        fonts.set(qn(f"w:{script}"), name)


def _add(  # noqa: C901 (one case for each block)
    page: Any, block: Block, number: int, marks: dict[str, str]
) -> None:
    match block:
        case Heading(text, depth):
            line = paragraph(page, f"Heading{min(max(depth - 1, 1), 4)}", clean(text))
            bookmarked(line, marks[text], list(marks).index(text))
        case Paragraph(parts, role):
            _paragraph(page, sentence(parts), role)
        case Bullets(items):
            for item in items:
                paragraph(page, "ListBullet", _unbroken(sentence(item)))
        case Table():
            add_table(page, block, number, marks)
        case Flow():
            _picture(page, block, flow_table.CAPTION, flow_box.alt_text(block))
            add_flow(page, block)
        case Checks(checks):
            for check in checks:
                _check(page, check)
        case EstimandBox(estimand):
            add_pairs(page, words.estimand(estimand), "What is estimated")
        case Provenance(pairs):
            add_pairs(page, pairs, "Provenance")
        case _:
            _figure(page, block, number)


def _paragraph(page: Any, text: str, role: str) -> None:
    run = page.add_paragraph().add_run(_unbroken(text))
    run.italic = role == "question" or None
    run.bold = role == "answer" or None


def _check(page: Any, check: Check) -> None:
    line = paragraph(page, "ListBullet")
    line.add_run(f"{words.VERDICTS[check.verdict]}: {clean(check.name)}").bold = True
    about = f" ({clean(check.about)})" if check.about else ""
    line.add_run(f"{about}. {_unbroken(sentence(check.parts))}")


def _unbroken(text: str) -> str:
    """Text in which p = .012 stays on one line."""
    return P_VALUE.sub(lambda p: p[0].replace(" ", NO_BREAK), clean(text))


def _figure(page: Any, figure: Figure, number: int) -> None:
    caption(page, "Figure", number, figure.caption)
    line = _picture(page, figure, f"Figure {number}", figure_data.alt_text(figure))
    line.paragraph_format.keep_with_next = bool(figure.notes)
    notes(page, figure.notes)


def _picture(page: Any, drawn: Figure | Flow, title: str, alt: str) -> Any:
    """The paragraph with the drawing and its alternative text."""
    line = page.add_paragraph()
    run = line.add_run()
    run.add_picture(BytesIO(figures.png(drawn)), width=Cm(PICTURE_CM))
    describe_picture(run, title, clean(alt))
    return line


def _appendix(page: Any, document: Document, numbers: dict[int, int]) -> None:
    """The numbers of every figure, where they are in nobody's way."""
    drawn: Sequence[tuple[int, Figure]] = list(_figures(document, numbers))
    if not drawn:
        return
    paragraph(page, "Heading1", "Numbers of the figures")
    for number, figure in drawn:
        paragraph(page, "Heading2", f"Figure {number}")
        add_table(page, figure_data.table(figure))


def _figures(document: Document, numbers: dict[int, int]) -> Iterator[tuple[int, Figure]]:
    for i, block in enumerate(document.blocks):
        if isinstance(block, Figure):
            yield numbers[i], block
