"""Documents as bytes: well formed, safe with hostile labels, the same in every process."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO, StringIO
from pathlib import Path
from zipfile import ZipFile

import docx
import pytest

from recovery_stats.core.cell import Count, Quantity, Shown
from recovery_stats.core.check import Check
from recovery_stats.core.document import (
    Checks,
    Column,
    Document,
    ForestFigure,
    Heading,
    LineFigure,
    Paragraph,
    Row,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import PROFILES
from recovery_stats.errors import UsageError
from recovery_stats.report import FORMATS, render, words
from recovery_stats.report.compose import compose
from recovery_stats.report.csv_zip import csv_of
from recovery_stats.report.disclose import disclose
from recovery_stats.report.numbers import cell
from recovery_stats.report.privacy.visit import cells
from recovery_stats.report.words import NUMBER
from tests.report import example

ROOT = Path(__file__).parents[2]
HERE = sorted(format for format in FORMATS if format != "pdf" or example.draws_pdf())
VOID = {"meta", "br", "link", "img", "hr"}


def report() -> Document:
    draft = compose(example.result(), "A question <b>?</b>", example.TEMPLATE)
    return disclose(draft, PROFILES["cms"])


@pytest.fixture(scope="module")
def page() -> str:
    return render(report(), "html").decode()


def word_text(content: bytes) -> str:
    """What python-docx reads of a Word file: paragraphs, then the cells of its tables."""
    page = docx.Document(BytesIO(content))
    cells = [p.text for t in page.tables for row in t.rows for c in row.cells for p in c.paragraphs]
    return "\n".join([*(p.text for p in page.paragraphs), *cells])


class Reader(HTMLParser):
    """Collects tags, ids and references, and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [
            (value or "")[1:]
            for name, value in attrs
            if name == "href" and (value or "").startswith("#")
        ]
        self.links += [
            i for name, value in attrs if name == "aria-labelledby" for i in (value or "").split()
        ]
        self.links += [i for _, value in attrs for i in re.findall(r"url\(#([^)]+)\)", value or "")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def test_the_page_is_well_formed_and_its_ids_are_unique(page: str) -> None:
    reader = read(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert set(reader.links) <= set(reader.ids)


def test_the_page_needs_nothing_and_runs_nothing(page: str) -> None:
    reader = read(page)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not {"script", "iframe", "object", "link", "img", "form"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    outside = re.findall(r"(?:src|href)=\"(?!#)[^\"]*|@import|url\((?!#)", page)
    assert outside == []


def test_the_page_is_accessible_in_structure(page: str) -> None:
    reader = read(page)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    for tag in ("main", "header", "nav", "h1", "caption", "title", "desc", "figcaption"):
        assert tag in reader.tags
    assert reader.tags.count("h1") == reader.tags.count("main") == 1
    assert reader.tags.count("svg") == page.count('role="img"') == 10  # each figure twice
    assert reader.tags.count("details") == 5
    assert page.count("<th ") == page.count("<th scope=")
    assert 'class="skip"' in page
    assert "SYNTHETIC DATA" in page


def test_a_figure_that_shows_a_check_is_folded_into_its_line() -> None:
    lines = Series("one", (0.0, 1.0), (1.0, 2.0))
    figure = LineFigure("course", "Course of the ratio", "Days", "Ratio", (lines,))
    other = replace(figure, name="other", caption="Another course")
    checks = (
        Check("steady", "ok", ("It is steady.",), figures=("course", "absent")),
        Check("steady as well", "ok", ("So is this.",), figures=("course",)),
    )
    blocks = (Heading("Checks"), Checks(checks), figure, Heading("Rest"), other)
    page = render(Document("a", "T", "", blocks), "html").decode()
    reader = read(page)
    assert reader.open == []
    assert page.count('<figure id="figure-1">') == page.count('<figure id="figure-2">') == 1
    line = page[page.index('<li class="ok">') : page.index("So is this.")]
    assert '<details class="evidence"><summary>Figure 1</summary>' in line
    assert "Course of the ratio" in line
    assert page.index("Another course") > page.index(">Rest</h2>")
    assert "Course of the ratio" in render(Document("a", "T", "", blocks), "md").decode()


@pytest.mark.parametrize("format", ["html", "md", "txt", "docx", "tex"])
def test_hostile_labels_stay_text(format: str) -> None:
    hostile = example.HOSTILE + " | ](javascript:alert(1)) `x` $\\frac{1}{0}$ &lt; -->"
    table = Table(
        hostile,
        hostile,
        (Column("a", hostile, hostile),),
        (Row("r", hostile, (hostile,)), Row("s", hostile)),
        (hostile,),
        stub=hostile,
    )
    figures = example.figures()
    love = next(b for b in report().blocks if getattr(b, "name", "") == "love")
    changed = type(figures["survival"])(
        hostile,
        hostile,
        hostile,
        hostile,
        (example.curve(hostile, 40, 0.01, 1),),
        (0.0, 100.0),
        ((50.0, hostile),),
        (hostile,),
    )
    text = Document("x", hostile, "REAL", (Paragraph((hostile,)), table, love, changed))  # type: ignore[arg-type]
    out = word_text(render(text, format)) if format == "docx" else render(text, format).decode()
    assert "\x00" not in out
    assert "\x1b" not in out
    assert "\u202e" not in out
    if format in ("html", "md"):
        assert "<script" not in out.lower()
    if format == "md":
        rows = [line for line in out.splitlines() if line.startswith("|")]
        bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows[:2]}
        assert len(bars) == 1
    if format == "tex":
        assert r"\frac" not in out.replace(r"\textbackslash{}frac", "")
    if format == "html":
        assert read(out).open == []
        assert "👩‍⚕️" in out


def test_hostile_labels_stay_strings_in_json() -> None:
    rows = json.loads(render(report(), "json"))
    assert all(isinstance(row["level"], str) for row in rows)


@pytest.mark.parametrize("format", HERE)
def test_two_processes_give_the_same_bytes(format: str) -> None:
    code = (
        "import sys; from tests.report.test_render import report; "
        "from recovery_stats.report import render; "
        f"sys.stdout.buffer.write(render(report(), {format!r}))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("77", "Asia/Tokyo"))
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0]


def test_everything_printed_is_in_the_results() -> None:
    document = report()
    rows = json.loads(render(document, "json"))
    numbers = [row["value"] for row in rows if isinstance(row["value"], int | float)]
    assert len(rows) > 100
    for value in cells(document).values():
        if isinstance(value, Count):
            assert value.n in numbers
    assert rows == sorted(
        rows,
        key=lambda r: tuple(r[k] for k in ("analysis", "group", "variable", "level", "statistic")),
    )
    assert len(
        {tuple(map(str, (r["group"], r["variable"], r["level"], r["statistic"]))) for r in rows}
    ) == len(rows)


def test_printed_cells_appear_in_the_page(page: str) -> None:
    for row in next(b for b in report().blocks if isinstance(b, Table)).rows:
        for value in row.cells:
            assert cell(value) is not None
    for text in ("296 (36.5%)", "&lt; 11", "0.84 [0.77, 0.92]", "p &lt; .001", "1,204"):
        assert text in page


def test_numbers_written_in_a_figure_are_those_of_its_table() -> None:
    """Coordinates are shortened, words are not."""
    few = Estimate("risk", "Risk", 0.29712, 0.19034, 0.43045)
    forest = ForestFigure("f", "Forest", "Risk", (Shown(few),))
    page = render(Document("x", "T", "REAL", (forest,)), "html").decode()
    assert ">0.297 [0.190, 0.430]</text>" in page


def test_the_key_figure_can_be_read_on_a_telephone() -> None:
    """A second drawing, shown instead of the wide one; its letters are 11 pixels high or more."""
    for figure in example.figures().values():
        lead = next(b for b in report().blocks if getattr(b, "name", "") == figure.name)
        page = render(Document("x", "T", "", (lead,)), "html").decode()
        broad, narrow = re.findall(r'<svg [^>]*viewBox="0 0 ([\d.]+) [^>]*>(.*?)</svg>', page, re.S)
        pixels = 360 / float(narrow[0])
        sizes = [
            float(size) for size in re.findall(r"font(?:-size)?: (?:\w+ )*([\d.]+)px", narrow[1])
        ]
        assert min(sizes) * pixels > 11
        assert float(broad[0]) > 500


def test_the_page_is_small(page: str) -> None:
    assert len(page.encode()) < 1_000_000


def test_unknown_formats_name_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'html'"):
        render(report(), "htm")


def test_an_empty_document_renders_in_every_format() -> None:
    empty = Document("x", "Nothing", "REAL", ())
    assert all(render(empty, format) for format in HERE)


# --- Word --------------------------------------------------------------------------------


def test_a_word_file_has_word_s_own_headings_captions_tables_and_alt_texts() -> None:
    document = report()
    page = docx.Document(BytesIO(render(document, "docx")))
    tables = [b for b in document.blocks if isinstance(b, Table)]
    headings = [b.text for b in document.blocks if isinstance(b, Heading)]
    styled = [(p.style.name, p.text) for p in page.paragraphs if p.style is not None]
    assert [t for s, t in styled if s.startswith("Heading")][: len(headings)] == headings
    assert sum("Table 1" in t for s, t in styled if s == "Caption") == 0  # a field, not typed text
    body = page.element.xml
    assert body.count(r" SEQ Table \* ARABIC ") == len(tables)
    assert body.count(r" SEQ Figure \* ARABIC ") == 5
    assert len(page.inline_shapes) == 6  # the participant flow has no number
    pictures = page.element.xpath(".//wp:docPr")
    assert all(len(p.get("descr")) > 40 for p in pictures)
    assert len({p.get("id") for p in pictures}) == len(pictures)


def test_the_cells_of_a_word_table_are_those_of_the_document() -> None:
    document = report()
    page = docx.Document(BytesIO(render(document, "docx")))
    table = next(b for b in document.blocks if isinstance(b, Table) and b.name == "table_one")
    found = next(t for t in page.tables if t.cell(len(t.rows) - 1, 0).text == table.rows[-1].label)
    body = [[c.text.rstrip("\u2007\u2008") for c in row.cells] for row in found.rows]
    wanted = [[r.label, *cells] for r, cells in zip(table.rows, words.printed(table), strict=True)]
    assert body[-len(wanted) :] == wanted


def test_a_word_file_tells_no_time_and_no_maker() -> None:
    with ZipFile(BytesIO(render(report(), "docx"))) as file:
        assert {m.date_time for m in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        core = file.read("docProps/core.xml").decode()
    assert "python-docx" not in core
    assert set(re.findall(r"\d{4}-\d\d-\d\d", core)) == {"1980-01-01"}


# --- tables to take away -----------------------------------------------------------------


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", " =", "＝", "\u202e="])
def test_a_cell_of_a_csv_file_never_runs(start: str) -> None:
    evil = f'{start}cmd|"/c calc"!A1'
    table = Table("t", evil, (Column("a", evil, evil),), (Row("r", evil, (evil,)),), stub=evil)
    for line in csv.reader(StringIO(csv_of(table).decode("utf-8-sig"))):
        assert not [c for c in line if c[:1] in tuple("=+-@＝\t\r")]


def test_a_csv_file_reads_back_as_the_printed_table() -> None:
    document = report()
    tables = [b for b in document.blocks if isinstance(b, Table)]
    with ZipFile(BytesIO(render(document, "csv"))) as file:
        names = [n for n in file.namelist() if n.startswith("table_")]
        assert len(file.namelist()) == len(tables) + 6  # figures and the flow
        for name, table in zip(names, tables, strict=True):
            lines = list(csv.reader(StringIO(file.read(name).decode("utf-8-sig"))))
            body = [[c.replace("-", "−") if NUMBER.fullmatch(c.replace("-", "−")) else c
                     for c in line[1:]] for line in lines[1:]]  # fmt: skip
            assert body == [list(map(words.clean, row)) for row in words.printed(table)]


def test_negative_numbers_stay_numbers_in_csv() -> None:
    table = Table("t", "T", (Column("a", "A"),), (Row("r", "R", (Quantity(-1.25),)),))
    assert csv_of(table).decode("utf-8-sig").splitlines()[1] == "R,-1.25"


def test_a_latex_table_is_balanced_and_as_wide_as_its_columns() -> None:
    text = render(report(), "tex").decode()
    assert text.count(r"\begin{") == text.count(r"\end{")
    for block in text.split(r"\begin{tabular}")[1:]:
        sides = re.match(r"\{([lr]+)\}", block)
        assert sides
        body = block.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in body} == {len(sides[1])}
