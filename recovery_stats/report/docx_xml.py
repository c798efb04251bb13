"""The parts of WordprocessingML that python-docx has no words for, and the file as fixed bytes."""

from __future__ import annotations

import re
from datetime import datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from docx.oxml import OxmlElement
from docx.oxml.ns import qn

START = datetime(1980, 1, 1)  # noqa: DTZ001 (the earliest a zip can hold; a zip has no zone)
MEMBER_DATE = (1980, 1, 1, 0, 0, 0)


def element(tag: str, **attributes: str) -> Any:
    """An element of the main namespace: element("tblHeader", val="1")."""
    made = OxmlElement(f"w:{tag}")
    for name, value in attributes.items():
        made.set(qn(f"w:{name}"), value)
    return made


def paragraph(page: Any, style: str, text: str = "") -> Any:
    """A new paragraph at the end; `style` by its id: by name python-docx would read all styles."""
    made = page.add_paragraph(text)
    made._p.style = style
    return made


def bookmarked(line: Any, name: str, number: int) -> None:
    """The paragraph `line` as the end of links to `name`; `number` is no other bookmark's."""
    start = element("bookmarkStart", id=str(number), name=name)
    line._p.insert(1 if line._p.pPr is not None else 0, start)
    line._p.append(element("bookmarkEnd", id=str(number)))


def page_number(section: Any, title: str) -> None:
    """The title and the number of the page, at the foot of each."""
    line = section.footer.paragraphs[0]
    line._p.style = "Tablenote"
    line.add_run(f"{title}  ·  ")
    for instruction in ("PAGE", "NUMPAGES"):
        field = element("fldSimple", instr=f" {instruction} ")
        run = line.add_run("1")
        field.append(run._r)
        line._p.append(field)
        if instruction == "PAGE":
            line.add_run(" / ")


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
            packed = name.endswith(".png")  # once more would take time and no room
            member.compress_type = ZIP_STORED if packed else ZIP_DEFLATED
            member.create_system = 3  # one value on every system
            member.external_attr = 0o600 << 16
            target.writestr(member, _without_thumbnail(name, source.read(name)))
    return out.getvalue()


def _without_thumbnail(name: str, content: bytes) -> bytes:
    """The template's picture of an empty page is nobody's first page."""
    if name != "_rels/.rels":
        return content
    return re.sub(rb"<Relationship [^>]*thumbnail[^>]*/>", b"", content)
