"""The parts of WordprocessingML that python-docx has no words for, and the file as fixed bytes."""

from __future__ import annotations

import re
from datetime import datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from docx.oxml import OxmlElement
from docx.oxml.ns import qn

START = datetime(1980, 1, 1)  # noqa: DTZ001 (the earliest a zip can hold; a zip has no zone)
MEMBER_DATE = (1980, 1, 1, 0, 0, 0)
RULE_EIGHTHS = {"thick": "12", "thin": "6"}  # of a point


def element(tag: str, **attributes: str) -> Any:
    """An element of the main namespace: element("tblHeader", val="1")."""
    made = OxmlElement(f"w:{tag}")
    for name, value in attributes.items():
        made.set(qn(f"w:{name}"), value)
    return made


def rule(cell: Any, side: str, weight: str) -> None:
    """A horizontal rule at the `side` (top, bottom) of a cell; APA tables have no others."""
    properties = cell._tc.get_or_add_tcPr()
    borders = properties.find(qn("w:tcBorders"))
    if borders is None:
        borders = element("tcBorders")
        properties.append(borders)
    line = element(side, val="single", sz=RULE_EIGHTHS[weight], space="0", color="1A1A1A")
    if side == "top":
        borders.insert(0, line)
    else:
        borders.append(line)


def header_row(row: Any) -> None:
    """Repeat the row on every page, and tell screen readers that it heads the columns."""
    row._tr.get_or_add_trPr().append(element("tblHeader", val="1"))


def whole_row(row: Any) -> None:
    """Never break the row between two pages."""
    row._tr.get_or_add_trPr().append(element("cantSplit", val="1"))


def describe_table(table: Any, title: str) -> None:
    """The title that screen readers announce, and that the first column holds row headings."""
    properties = table._tbl.tblPr
    look = properties.find(qn("w:tblLook"))
    if look is not None:
        properties.remove(look)
    properties.append(
        element("tblLook", val="00A0", firstRow="1", lastRow="0", firstColumn="1",
                lastColumn="0", noHBand="1", noVBand="1")
    )  # fmt: skip
    properties.append(element("tblCaption", val=title))


def describe_picture(run: Any, title: str, alt: str) -> None:
    """The alternative text of the picture in `run`."""
    for drawing in run._r.iter(qn("wp:docPr")):
        drawing.set("name", title)
        drawing.set("descr", alt)


def numbered(paragraph: Any, kind: str, number: int) -> None:
    """`Table 3` with the number as a SEQ field: Word can list, renumber and cross-refer."""
    paragraph.add_run(f"{kind} ").bold = True
    field = element("fldSimple", instr=f" SEQ {kind} \\* ARABIC ")
    run = paragraph.add_run(str(number))
    run.bold = True
    field.append(run._r)
    paragraph._p.append(field)


def fixed(document: Any) -> bytes:
    """The .docx with its members in order and without a time of making."""
    draft = BytesIO()
    document.save(draft)
    out = BytesIO()
    with ZipFile(draft) as source, ZipFile(out, "w") as target:
        for name in sorted(source.namelist(), key=lambda n: (n != "[Content_Types].xml", n)):
            member = ZipInfo(name, MEMBER_DATE)
            member.compress_type = ZIP_DEFLATED
            member.create_system = 3  # one value on every system
            member.external_attr = 0o600 << 16
            target.writestr(member, _without_thumbnail(name, source.read(name)))
    return out.getvalue()


def _without_thumbnail(name: str, content: bytes) -> bytes:
    """The template's picture of an empty page is nobody's first page."""
    if name != "_rels/.rels":
        return content
    return re.sub(rb"<Relationship [^>]*thumbnail[^>]*/>", b"", content)
