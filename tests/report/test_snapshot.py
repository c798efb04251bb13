"""What each format makes of one small document, word for word.

    python -m tests.report.test_snapshot      writes the stored files again; look at the difference

What is left out of the stored files: the style sheet, which is a file of its own, and the strokes
of the drawings, which are matplotlib's; their words stay.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from textwrap import fill
from zipfile import ZipFile

import pytest

from recovery_stats.core.cell import Count, Quantity, Share, Shown, Spread
from recovery_stats.core.check import Check
from recovery_stats.core.document import (
    Bullets,
    Checks,
    Column,
    Document,
    EstimandBox,
    Flow,
    ForestFigure,
    Heading,
    Paragraph,
    Provenance,
    Row,
    Table,
    Total,
)
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.study import PROFILES
from recovery_stats.report import index, render
from recovery_stats.report.disclose import disclose
from tests.report import example

STORED = Path(__file__).parent / "snapshot"
RATIO = Estimate(
    "hr", "One more meeting a week", 0.8412, 0.7703, 0.9186, 0.0449, 0.00012,
    scale="ratio", level="primary", n=812, events=341,
)  # fmt: skip
NAIVE = Estimate(
    "naive", "Meetings at the start only", 0.9534, 0.8811, 1.0316, 0.0402, 0.2359,
    scale="ratio", level="naive", n=812, events=341,
)  # fmt: skip


def small() -> Document:
    """Every kind of block and cell once, after disclosure control."""
    blocks = (
        Paragraph(("Do people who attend more meetings relapse later?",), "question"),
        Paragraph(("Yes: hazard ratio for one more meeting ", Shown(RATIO), "."), "answer"),
        ForestFigure(
            "forest", "The same question, asked twice", "Hazard ratio",
            (Shown(RATIO), Shown(NAIVE)), 1.0, True, ((0, "Diary"), (1, "Baseline")), ("Cox.",),
        ),
        Paragraph((Count(812), " people, ", Share(341, 812), " relapsed."), "sure"),
        Paragraph(("People chose how often to attend.",), "limits"),
        Heading("Participants"),
        Flow((("in the file", Count(840), None), ("with a diary", Count(812), Count(28)))),
        _people(),
        Heading("Checks"),
        Checks((Check("clusters", "caution", (Count(14, "sites"), " sites."), "site"),)),
        Heading("Methods"),
        EstimandBox(Estimand("Adults", "One more meeting", "Relapse", "Death ends it", "HR")),
        Bullets((("Cox model (Efron 1977), ", Quantity(0.0312, "p"), ".",), ("<b> & =1+1",))),
        Provenance((("Data file", "sha256 abab"), ("Seed", "1"))),
    )  # fmt: skip
    draft = Document("meeting_frequency", "Meetings & relapse", "SYNTHETIC", blocks, (RATIO, NAIVE))
    return disclose(draft, PROFILES["cms"])


def _people() -> Table:
    columns = (
        Column("low", "Under one", "Meetings a week"),
        Column("high", "One or more", "Meetings a week"),
        Column("all", "All"),
        Column("told", "Told by"),
    )
    rows = (
        Row("n", "People", (Count(290), Count(522), Count(812), "the file of persons, at entry")),
        Row("age", "Age", (Spread(38.2, 11.3, 290), Spread(41.8, 9.9, 522), None, "themselves")),
        Row("sex", "Sex"),
        Row("f", "Female", (Share(112, 290), Share(184, 522), Share(296, 812), ""), 1),
        Row("m", "Male", (Share(171, 290), Share(334, 522), Share(505, 812), ""), 1),
        Row("o", "=cmd|'x'!A1", (Share(7, 290), Share(4, 522), Share(11, 812), ""), 1),
    )
    totals = (
        Total("n", ("f", "m", "o")),
        Total("all", ("low", "high"), "columns"),
    )
    return Table("people", "People at the start", columns, rows, ("Mean (SD) or n (%).",), totals)


# --- each format as text that can be compared ------------------------------------------------


def _html(page: bytes) -> str:
    """Tags and words; of a drawing its words."""
    text = re.sub(r"<style>.*?</style>", "<style>…</style>", page.decode(), flags=re.DOTALL)
    return re.sub(r"(<svg .*?</desc>\n)(.*?)</svg>", _words_of, text, flags=re.DOTALL)


def _words_of(drawing: re.Match[str]) -> str:
    words = re.findall(r"<text[^>]*>([^<]*)</text>", drawing[2])
    return "\n".join([drawing[1].rstrip(), *(f"  {w}" for w in sorted(words)), "</svg>"])


def _word(content: bytes) -> str:
    with ZipFile(BytesIO(content)) as file:
        text = file.read("word/document.xml").decode()
    return re.sub(r"(?=<w:(?:p|tbl|tr|tc|sectPr)[ >])", "\n", text)


def _csv(content: bytes) -> str:
    with ZipFile(BytesIO(content)) as file:
        names = file.namelist()
        return "".join(f"--- {n}\n{file.read(n).decode('utf-8-sig')}" for n in names)


def _paper(content: bytes) -> str:
    """The words of the pages, in lines that do not depend on where Pango breaks them."""
    command = ["pdftotext", "-", "-"]
    text = subprocess.run(command, input=content, capture_output=True, check=True).stdout.decode()
    return fill(" ".join(text.split()), 100) + "\n"


def _index() -> str:
    card = index.card(small())
    return _html(index.render("A study", {"meetings": (card, ["meetings.html", "meetings.docx"])}))


MADE: Mapping[str, Callable[[], str]] = {
    "small.html": lambda: _html(render(small(), "html")),
    "small.md": lambda: render(small(), "md").decode(),
    "small.txt": lambda: render(small(), "txt").decode(),
    "small.tex": lambda: render(small(), "tex").decode(),
    "small.bib": lambda: render(small(), "bib").decode(),
    "small.results.json": lambda: render(small(), "json").decode(),
    "small.document.xml": lambda: _word(render(small(), "docx")),
    "small.csv.txt": lambda: _csv(render(small(), "csv")),
    "small.pdf.txt": lambda: _paper(render(small(), "pdf")),
    "index.html": _index,
}
HERE = [n for n in MADE if "pdf" not in n or (example.draws_pdf() and shutil.which("pdftotext"))]


@pytest.mark.parametrize("name", HERE)
def test_a_format_says_what_it_said(name: str) -> None:
    """Where this fails on purpose: write the files again (see above) and read the difference."""
    assert MADE[name]().replace("\r\n", "\n") == (STORED / name).read_text(encoding="utf-8")


def test_every_stored_file_is_compared() -> None:
    assert {path.name for path in STORED.iterdir()} == set(MADE)


if __name__ == "__main__":
    STORED.mkdir(exist_ok=True)
    for name in HERE:
        text = MADE[name]().replace("\r\n", "\n")
        (STORED / name).write_text(text, encoding="utf-8", newline="\n")
